//! Uploads: who may store and fetch a file.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;

use super::ChatEngine;
use crate::auth::{Caller, Signature};
use crate::error::{Error, Result};
use crate::files::{Bounds, FileStore, FileType, NewFile, Notes, Saved, is_stored_name};
use crate::limits::Limits;
use crate::model::{Attachment, FileId, FileRecord, FileRef, Timestamp, UserId};
use crate::rates::Action;
use crate::storage::{LooseFile, Storage};

const NO_FILE: &str = "File not found";

/// How long an upload may take. What goes on for longer counts as broken off.
const UPLOADED_WITHIN: Duration = Duration::from_mins(30);

/// A file that someone may read.
#[derive(Debug, Clone)]
pub struct Download {
    record: FileRecord,
    files: FileStore,
    storage: Arc<dyn Storage>,
    bounds: Bounds,
}

impl Download {
    /// What is known of the file.
    #[must_use]
    pub fn record(&self) -> &FileRecord {
        &self.record
    }

    /// Whether a browser may show it in the page's own site: a picture, audio or video. Everything else is to be
    /// saved.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        FileType::from_content_type(&self.record.content_type).is_some_and(FileType::is_inline)
    }

    /// A part of its bytes.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] when the file store has lost it.
    /// - [`Error::Unavailable`] when the file store is away, now or while the bytes are read.
    pub async fn bytes(&self, range: Range<u64>) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.files.read(&self.record.stored_name, range).await
    }

    /// A small picture of a picture, and its media type: no larger than `limits.thumbnail_side`, the right way up, and
    /// without what a camera notes in its pictures. It is made when it is asked for first.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] when there is none: of what is no picture, is broken, or takes more memory than
    ///   `limits.picture_bytes`.
    /// - [`Error::Overloaded`] when too many are being made.
    /// - [`Error::Unavailable`] when the file store is away.
    pub async fn thumbnail(&self) -> Result<(Bytes, &'static str)> {
        let thumbnail = self.files.thumbnail(&self.record, self.bounds).await?;
        // The file may have been removed meanwhile, and with it what was made of it, but for this.
        if self.storage.file(self.record.id).await?.is_none() {
            self.files.remove(&self.record.stored_name).await?;
            return Err(Error::NotFound(NO_FILE));
        }
        Ok(thumbnail)
    }
}

/// Notes an upload while it is under way.
struct UploadNotes {
    storage: Arc<dyn Storage>,
    since: Timestamp,
}

#[async_trait]
impl Notes for UploadNotes {
    async fn note(&self, stored_name: &str, upload_id: Option<&str>) -> Result<()> {
        let (stored_name, upload_id) = (stored_name.to_owned(), upload_id.map(str::to_owned));
        let note = LooseFile { stored_name, upload_id, since: self.since };
        Ok(self.storage.note_loose_file(&note).await?)
    }

    async fn forget(&self, stored_name: &str) {
        if let Err(error) = self.storage.forget_loose_files(&[stored_name.to_owned()]).await {
            tracing::warn!(%error, "the name of an upload that failed is left for now");
        }
    }
}

impl ChatEngine {
    /// Whether there is a place for uploads.
    #[must_use]
    pub fn has_files(&self) -> bool {
        self.inner.files.is_some()
    }

    /// Stores a file, which only the caller may read until they send it in a message. One that is not sent within
    /// `limits.unsent_file_ttl` is removed.
    ///
    /// The bytes are read as they are written, about a hundred kilobytes at a time on a local disk. Whatever goes
    /// wrong, and whoever goes away, nothing is left of an upload that was not answered with `Ok`; what this process
    /// cannot take away when it happens is taken away later, also by another one.
    ///
    /// # Errors
    ///
    /// - [`Error::TooLarge`] when there are more than `limits.upload_bytes`; the rest is then not read.
    /// - [`Error::QuotaExceeded`] when the caller's files would be more than `limits.user_bytes` together.
    /// - [`Error::UnsupportedMediaType`] when the bytes are of no type that is taken, or name and type say otherwise.
    /// - [`Error::Unavailable`] when the file store or the storage is away.
    /// - [`Error::RouteNotFound`] when the engine has no place for uploads.
    /// - [`Error::RateLimited`] when the caller stores too many; none of the bytes is then read.
    /// - Whatever error the bytes end with.
    pub async fn upload(
        &self,
        caller: &Caller,
        file: NewFile,
        bytes: impl Stream<Item = Result<Bytes>> + Send + 'static,
    ) -> Result<FileRecord> {
        let files = self.inner.files.clone().ok_or(Error::RouteNotFound)?;
        self.count(Action::Upload, caller)?;
        let uploader = caller.user_id;
        self.to_the_end(async move |engine: Self| {
            let max_bytes = engine.room_for(uploader).await?;
            let storage = engine.inner.storage.clone();
            let notes = UploadNotes { storage, since: engine.now() };
            let saving = tokio::time::timeout(UPLOADED_WITHIN, files.save(&file, max_bytes, bytes, &notes));
            match saving.await.unwrap_or(Err(Error::Refused("The upload took too long"))) {
                Ok(saved) => engine.note_upload(uploader, saved, &files, &notes).await,
                Err(Error::TooLarge { .. }) if max_bytes < engine.limits().upload_bytes => {
                    Err(engine.quota_exceeded())
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// How large a file of this user may be now.
    async fn room_for(&self, uploader: UserId) -> Result<u64> {
        let Limits { upload_bytes, user_bytes, .. } = *self.limits();
        let used = self.inner.storage.stored_bytes(uploader).await?;
        match user_bytes.saturating_sub(used) {
            0 => Err(self.quota_exceeded()),
            left => Ok(left.min(upload_bytes)),
        }
    }

    /// Notes a file whose bytes are stored, if its uploader still has room for it.
    async fn note_upload(
        &self,
        uploader: UserId,
        saved: Saved,
        files: &FileStore,
        notes: &UploadNotes,
    ) -> Result<FileRecord> {
        let record = FileRecord {
            id: FileId::new(),
            uploader,
            stored_name: saved.name.as_str().to_owned(),
            original_name: saved.original_name,
            content_type: saved.content_type.to_owned(),
            size: saved.size,
            dimensions: saved.dimensions,
            created_at: self.now(),
        };
        // Where this fails it may have been noted all the same: then the bytes are not for the taking.
        if self.inner.storage.create_file(&record, self.limits().user_bytes).await? {
            return Ok(record);
        }
        match files.remove(&record.stored_name).await {
            Ok(()) => notes.forget(&record.stored_name).await,
            Err(error) => tracing::warn!(%error, "the bytes of an upload that was refused are left for now"),
        }
        Err(self.quota_exceeded())
    }

    fn quota_exceeded(&self) -> Error {
        Error::QuotaExceeded { max_bytes: self.limits().user_bytes }
    }

    /// Removes at once what the engine removes now and then by itself: files that were not sent within
    /// `limits.unsent_file_ttl`, and what broken uploads have left. At most a thousand of each.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the storage or the file store is away.
    pub async fn remove_unsent_files(&self) -> Result<()> {
        self.to_the_end(async move |engine: Self| match &engine.inner.sweeper {
            Some(sweeper) => sweeper.sweep().await,
            None => Ok(()),
        })
        .await
    }

    /// The address of a file, good for whoever has it: for 45 minutes at least and an hour at most. Within a quarter
    /// of an hour it is the same, so that browsers need not fetch the file again.
    #[must_use]
    pub fn file_url(&self, stored_name: &str) -> String {
        let Signature { expires, text } = self.inner.links.sign(stored_name, self.now());
        format!("{}/uploads/{stored_name}?exp={expires}&sig={text}", self.public_path())
    }

    /// The file of an address that the engine has given out, whoever asks; `None` when the address is not, or no
    /// longer, good.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such file any more.
    pub async fn download_signed(
        &self,
        stored_name: &str,
        expires: i64,
        signature: &str,
    ) -> Result<Option<Download>> {
        let signature = Signature { expires, text: signature.to_owned() };
        if !self.inner.links.check(stored_name, &signature, self.now()) {
            return Ok(None);
        }
        self.file_named(stored_name).await.map(Some)
    }

    /// A file that the caller uploaded, or that a message of a conversation carries which the caller is in. For an
    /// administrator any file that a message carries, and the audit log has it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is none, or none that the caller may know of.
    pub async fn download(&self, caller: &Caller, stored_name: &str) -> Result<Download> {
        let download = self.file_named(stored_name).await?;
        let (storage, file) = (&self.inner.storage, download.record.id);
        if download.record.uploader == caller.user_id
            || storage.is_attached(file, Some(caller.user_id)).await?
        {
            return Ok(download);
        }
        if caller.is_admin() && storage.is_attached(file, None).await? {
            self.audit(caller, "file_read_by_admin", Some(file.to_string())).await?;
            return Ok(download);
        }
        Err(Error::NotFound(NO_FILE))
    }

    /// Whether the file store answers within two seconds; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when it does not.
    pub async fn files_ready(&self) -> Option<Result<()>> {
        let files = self.inner.files.as_ref()?;
        let answer = tokio::time::timeout(Duration::from_secs(2), files.ping()).await;
        Some(answer.unwrap_or_else(|late| Err(Error::Unavailable(late.into()))))
    }

    /// The file that a message of the caller names, if the caller uploaded it.
    pub(super) async fn attachable(&self, caller: &Caller, file: &FileRef) -> Result<Attachment> {
        let storage = &self.inner.storage;
        let record = match file {
            FileRef::Id(id) => storage.file(*id).await?,
            FileRef::Url(url) => {
                let name = stored_name_in(url, self.public_path())
                    .ok_or_else(|| Error::field("fileUrl", "must be the url of an upload"))?;
                storage.file_named(name).await?
            }
        };
        let own = record.filter(|record| self.has_files() && record.uploader == caller.user_id);
        own.map(|record| record.attachment()).ok_or(Error::NotFound(NO_FILE))
    }

    /// A stored file, whoever asks: who may read it is for the callers of this to decide.
    async fn file_named(&self, stored_name: &str) -> Result<Download> {
        let files = self.inner.files.clone().ok_or(Error::NotFound(NO_FILE))?;
        if !is_stored_name(stored_name) {
            return Err(Error::NotFound(NO_FILE));
        }
        let record = self.inner.storage.file_named(stored_name).await?.ok_or(Error::NotFound(NO_FILE))?;
        let Limits { thumbnail_side: side, picture_bytes: bytes, .. } = *self.limits();
        let (storage, bounds) = (self.inner.storage.clone(), Bounds { side, bytes });
        Ok(Download { record, files, storage, bounds })
    }
}

/// The name in the address of an upload, as the engine gives them out; its query does not matter.
fn stored_name_in<'a>(url: &'a str, public_path: &str) -> Option<&'a str> {
    let path = url.split_once('?').map_or(url, |(path, _)| path);
    path.strip_prefix(public_path)?.strip_prefix("/uploads/").filter(|name| is_stored_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_of_ours_names_a_file() {
        let name = format!("{}.png", "0f".repeat(16));
        let found = |url: &str, public_path| stored_name_in(url, public_path) == Some(name.as_str());
        assert!(found(&format!("/uploads/{name}"), ""));
        assert!(found(&format!("/chat/uploads/{name}?exp=1&sig=2"), "/chat"));
        for other in [
            format!("/uploads/{name}/"),
            format!("/uploads/../uploads/{name}"),
            format!("/api/upload/{name}"),
            format!("//evil.example/uploads/{name}"),
            format!("http://127.0.0.1/uploads/{name}"),
            format!("/uploads/{name}#x"),
            "/uploads/".to_owned(),
            "javascript:alert(1)".to_owned(),
            String::new(),
        ] {
            assert!(!found(&other, ""), "{other}");
        }
    }
}
