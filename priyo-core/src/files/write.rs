//! Writing one file into the store: at once if it is small, else in parts.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    Error as StoreError, MultipartId, MultipartUpload, ObjectStoreExt, PutPayload, PutPayloadMut, PutResult,
    UploadPart, WriteMultipart,
};

use super::picture::Measure;
use super::sniff::{FileType, Watch};
use super::{FileStore, NOT_ALLOWED, Notes, failure, length};
use crate::error::{Error, Result};
use crate::model::Dimensions;

/// Parts of one file that may be on their way at once.
const PARTS_AT_ONCE: usize = 2;

/// How long to try to take away what could not be finished.
const REMOVED_WITHIN: Duration = Duration::from_secs(2);

/// What was written.
pub(super) struct Written {
    pub(super) size: u64,
    pub(super) dimensions: Option<Dimensions>,
}

/// A file that is being written.
pub(super) struct Writer<'a, N> {
    pub(super) files: &'a FileStore,
    pub(super) stored_name: &'a str,
    pub(super) file_type: FileType,
    pub(super) notes: &'a N,
}

/// As much of it as is not in the store yet.
enum Rest {
    /// All of it: there are not enough bytes for a part.
    Small(PutPayloadMut),
    Parts(WriteMultipart),
}

impl Rest {
    async fn give_up(self) -> object_store::Result<()> {
        match self {
            Self::Small(_) => Ok(()),
            Self::Parts(parts) => parts.abort().await,
        }
    }
}

impl<N: Notes> Writer<'_, N> {
    /// Writes the file, its head first: all of it, or nothing.
    pub(super) async fn write(
        &self,
        head: Bytes,
        bytes: Pin<&mut (impl Stream<Item = Result<Bytes>> + Send)>,
    ) -> Result<Written> {
        let mut rest = Rest::Small(PutPayloadMut::new());
        let outcome = self.fill(&mut rest, head, bytes).await;
        match (outcome, rest) {
            (Ok(written), rest) => self.finish(rest).await.map(|()| written),
            (Err(error), rest) => {
                match rest.give_up().await {
                    Ok(()) => self.notes.forget(self.stored_name).await,
                    Err(error) => tracing::warn!(%error, "an upload that was broken off is left for now"),
                }
                Err(error)
            }
        }
    }

    /// Takes all bytes, as long as they are of their type.
    async fn fill(
        &self,
        rest: &mut Rest,
        head: Bytes,
        bytes: Pin<&mut (impl Stream<Item = Result<Bytes>> + Send)>,
    ) -> Result<Written> {
        let (mut watch, mut measure) = (Watch::new(self.file_type), Measure::new(self.file_type));
        let mut size = 0;
        let mut all = pin!(stream::iter([Ok(head)]).chain(bytes));
        while let Some(piece) = all.try_next().await? {
            if !watch.see(&piece) {
                return Err(NOT_ALLOWED);
            }
            measure.see(&piece);
            size += length(&piece);
            self.put(rest, piece).await?;
        }
        if !watch.is_whole() {
            return Err(NOT_ALLOWED);
        }
        Ok(Written { size, dimensions: measure.dimensions() })
    }

    async fn put(&self, rest: &mut Rest, piece: Bytes) -> Result<()> {
        match rest {
            Rest::Small(small) => {
                small.push(piece);
                if small.content_length() > self.files.part_bytes {
                    let start = PutPayload::from(std::mem::take(small));
                    let mut parts = self.begin_parts().await?;
                    start.into_iter().for_each(|piece| parts.put(piece));
                    *rest = Rest::Parts(parts);
                }
            }
            Rest::Parts(parts) => {
                parts.wait_for_capacity(PARTS_AT_ONCE).await.map_err(failure)?;
                parts.put(piece);
            }
        }
        Ok(())
    }

    async fn begin_parts(&self) -> Result<WriteMultipart> {
        let path = self.files.path(self.stored_name);
        let upload: Box<dyn MultipartUpload> = match &self.files.parts {
            None => self.files.store.put_multipart(&path).await.map_err(failure)?,
            Some(store) => {
                let id = store.0.create_multipart(&path).await.map_err(failure)?;
                let upload = Named { store: Arc::clone(&store.0), path, id, parts: Arc::default() };
                // Only this name will do to take the parts away if this process does not live to do it.
                if let Err(error) = self.notes.note(self.stored_name, Some(&upload.id)).await {
                    let _ = upload.store.abort_multipart(&upload.path, &upload.id).await;
                    return Err(error);
                }
                Box::new(upload)
            }
        };
        Ok(WriteMultipart::new_with_chunk_size(upload, self.files.part_bytes))
    }

    async fn finish(&self, rest: Rest) -> Result<()> {
        let path = self.files.path(self.stored_name);
        let (finished, was_in_parts) = match rest {
            Rest::Small(all) => (self.files.store.put(&path, all.into()).await, false),
            Rest::Parts(parts) => (parts.finish().await, true),
        };
        let Err(error) = finished else { return Ok(()) };
        // It may be there all the same, if only the answer got lost. A store that does not answer is not waited for
        // once more.
        match tokio::time::timeout(REMOVED_WITHIN, self.files.remove(self.stored_name)).await {
            // Whether its parts could be taken away is not known.
            Ok(Ok(())) if was_in_parts && self.files.parts.is_some() => {}
            Ok(Ok(())) => self.notes.forget(self.stored_name).await,
            Ok(Err(error)) => tracing::warn!(%error, "an upload that failed is left for now"),
            Err(_late) => tracing::warn!("an upload that failed is left for now"),
        }
        Err(Error::Unavailable(error.into()))
    }
}

/// A store that tells what it calls an upload in parts.
#[derive(Clone)]
pub(super) struct Parts(pub(super) Arc<dyn MultipartStore>);

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

/// An upload in parts, by the name that the store has for it.
struct Named {
    store: Arc<dyn MultipartStore>,
    path: Path,
    id: MultipartId,
    /// Those that have arrived, in their order.
    parts: Arc<Mutex<Vec<Option<PartId>>>>,
}

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Named").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl MultipartUpload for Named {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (store, path, id) = (Arc::clone(&self.store), self.path.clone(), self.id.clone());
        let parts = Arc::clone(&self.parts);
        let place = {
            let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
            parts.push(None);
            parts.len() - 1
        };
        async move {
            let part = store.put_part(&path, &id, place, data).await?;
            parts.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(part);
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let parts = std::mem::take(&mut *self.parts.lock().unwrap_or_else(PoisonError::into_inner));
        let parts: Option<Vec<PartId>> = parts.into_iter().collect();
        let parts = parts
            .ok_or_else(|| StoreError::Generic { store: "priyo", source: "a part has not arrived".into() })?;
        self.store.complete_multipart(&self.path, &self.id, parts).await
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.store.abort_multipart(&self.path, &self.id).await
    }
}
