//! Where uploaded bytes are kept, and what is taken.

mod name;
mod picture;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod remote;
mod sniff;
mod thumbnail;
mod write;

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::Path as FsPath;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::model::Dimensions;
use crate::storage::LooseFile;
use sniff::HEAD;
use write::{Parts, Writer};

pub(crate) use name::is_stored_name;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
pub use remote::RemoteError;
pub(crate) use sniff::FileType;
pub(crate) use thumbnail::Bounds;

/// Where uploaded bytes are kept. Cheap to clone; all clones are the same store.
#[derive(Debug, Clone)]
pub struct FileStore {
    store: Arc<dyn ObjectStore>,
    /// The same store, if it tells what it calls an upload in parts, so that it can be ended by another process.
    parts: Option<Parts>,
    /// What the names of all files begin with.
    folder: Path,
    /// A file of no more than this is written at once, a larger one in parts of this size.
    part_bytes: usize,
    /// Whether others may be writing into it.
    is_shared: bool,
    /// The names of the uploads that this process is at.
    under_way: Arc<Mutex<HashSet<String>>>,
    drawing: Arc<Semaphore>,
}

/// What a sender says of a file.
#[derive(Debug, Clone, Default)]
pub struct NewFile {
    /// What the sender calls it: anything, also a path, also nothing.
    pub name: String,
    /// The media type that the sender says it has.
    pub content_type: Option<String>,
}

/// A file that was stored.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) original_name: String,
    pub(crate) content_type: &'static str,
    pub(crate) size: u64,
    pub(crate) dimensions: Option<Dimensions>,
    pub(crate) name: UnderWay,
}

/// The name of an upload that this process is at, as long as it is.
#[derive(Debug)]
pub(crate) struct UnderWay {
    name: String,
    all: Arc<Mutex<HashSet<String>>>,
}

impl UnderWay {
    /// The name that the file is stored under.
    pub(crate) fn as_str(&self) -> &str {
        &self.name
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

/// Where it is noted that there may be bytes under a name that no file stands for yet. It is noted before there are.
#[async_trait]
pub(crate) trait Notes: Send + Sync {
    async fn note(&self, stored_name: &str, upload_id: Option<&str>) -> Result<()>;

    /// There are none any more.
    async fn forget(&self, stored_name: &str);
}

/// Smallest part that S3 takes, but for the last one.
const REMOTE_PART: usize = 5 * 1024 * 1024;

/// On a disk small parts are as good, and cost less memory.
const LOCAL_PART: usize = 64 * 1024;

const NOT_ALLOWED: Error = Error::UnsupportedMediaType("File type not allowed");

impl FileStore {
    /// Keeps files in an object store: memory, anything that implements [`ObjectStore`].
    ///
    /// Holds up to three times 5 MiB of each upload that is under way in memory. Parts of an upload that a process
    /// left when it was killed are for the store to remove.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            parts: None,
            folder: Path::default(),
            part_bytes: REMOTE_PART,
            is_shared: true,
            under_way: Arc::default(),
            drawing: Arc::new(Semaphore::new(thumbnail::AT_ONCE)),
        }
    }

    /// Keeps files in a folder of this machine, which is made if it is not there, for no other user to read. What
    /// an earlier process left half written is removed; so no other process may use the folder.
    ///
    /// A stored file survives a power loss.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made or read.
    pub fn local(folder: impl AsRef<FsPath>) -> io::Result<Self> {
        let folder = folder.as_ref();
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(folder)?;
        // A new folder must itself survive a power loss, or its files do not.
        if let Some(parent) = folder.canonicalize()?.parent() {
            std::fs::File::open(parent)?.sync_all()?;
        }
        remove_unfinished(folder)?;
        let store = LocalFileSystem::new_with_prefix(folder).map_err(io::Error::other)?.with_fsync(true);
        Ok(Self { part_bytes: LOCAL_PART, is_shared: false, ..Self::new(Arc::new(store)) })
    }

    /// Whether others may be writing into it.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Whether this process is at an upload of this name.
    pub(crate) fn is_under_way(&self, stored_name: &str) -> bool {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).contains(stored_name)
    }

    /// Stores a file under a new name. When this has returned `Ok` it survives a crash; when it has not, nothing is
    /// left of it, unless the store is away or the process is killed: then `notes` knows its name.
    ///
    /// # Errors
    ///
    /// - [`Error::TooLarge`] when there are more than `max_bytes`; the rest is then not read.
    /// - [`Error::UnsupportedMediaType`] when the bytes are of no type that is taken, or the sender says otherwise.
    /// - [`Error::Unavailable`] when the store is away or full.
    /// - Whatever error the bytes or the notes end with.
    pub(crate) async fn save(
        &self,
        file: &NewFile,
        max_bytes: u64,
        bytes: impl Stream<Item = Result<Bytes>> + Send,
        notes: &impl Notes,
    ) -> Result<Saved> {
        let mut bytes = pin!(limited(bytes, max_bytes));
        let head = read_head(bytes.as_mut()).await?;
        let file_type = FileType::of(&head).ok_or(NOT_ALLOWED)?;
        let name = name::clean(&file.name);
        if !file_type.agrees(file.content_type.as_deref(), &name) {
            return Err(NOT_ALLOWED);
        }
        let stored = self.set_out(name::stored_name(file_type.extension())?);
        let original_name = name::shown(&name, file_type.extension());
        notes.note(stored.as_str(), None).await?;
        let writer = Writer { files: self, stored_name: stored.as_str(), file_type, notes };
        let written = writer.write(head, bytes).await?;
        Ok(Saved {
            original_name,
            content_type: file_type.content_type(),
            size: written.size,
            dimensions: written.dimensions,
            name: stored,
        })
    }

    /// A part of a file. An empty one is not looked for.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] when there is no such file.
    /// - [`Error::Unavailable`] when the store is away, now or while the bytes are read.
    pub(crate) async fn read(
        &self,
        stored_name: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        if range.is_empty() {
            return Ok(stream::empty().boxed());
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = self.store.get_opts(&self.path(stored_name), options).await;
        let broken = |error: object_store::Error| {
            tracing::warn!(%error, "a file could not be read to its end");
            failure(error)
        };
        Ok(found.map_err(failure)?.into_stream().map_err(broken).boxed())
    }

    /// Removes a file, and what was made of it. It is fine when there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the store is away.
    pub(crate) async fn remove(&self, stored_name: &str) -> Result<()> {
        for name in [stored_name, &name::of_thumbnail(stored_name)] {
            match self.store.delete(&self.path(name)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failure(error)),
            }
        }
        Ok(())
    }

    /// Removes whatever there is under a name that no file stands for.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the store is away.
    pub(crate) async fn clear(&self, loose: &LooseFile) -> Result<()> {
        if let (Some(id), Some(parts)) = (&loose.upload_id, &self.parts) {
            match parts.0.abort_multipart(&self.path(&loose.stored_name), id).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failure(error)),
            }
        }
        self.remove(&loose.stored_name).await
    }

    /// Answers if the store does.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when it does not.
    pub(crate) async fn ping(&self) -> Result<()> {
        match self.store.head(&self.path("ping")).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }

    fn path(&self, name: &str) -> Path {
        self.folder.clone().join(name)
    }

    fn set_out(&self, name: String) -> UnderWay {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        UnderWay { name, all: Arc::clone(&self.under_way) }
    }
}

/// The same bytes, or an error where they become more than `max_bytes`.
fn limited(
    bytes: impl Stream<Item = Result<Bytes>> + Send,
    max_bytes: u64,
) -> impl Stream<Item = Result<Bytes>> + Send {
    let mut left = Some(max_bytes);
    bytes.map(move |piece| {
        let piece = piece?;
        left = left.and_then(|left| left.checked_sub(length(&piece)));
        if left.is_some() { Ok(piece) } else { Err(Error::TooLarge { what: "File", max_bytes }) }
    })
}

/// The start of a file, as much as it takes to know what it is.
async fn read_head(mut bytes: Pin<&mut (impl Stream<Item = Result<Bytes>> + Send)>) -> Result<Bytes> {
    let mut head = BytesMut::new();
    while head.len() < HEAD
        && let Some(piece) = bytes.try_next().await?
    {
        head.extend_from_slice(&piece);
    }
    Ok(head.freeze())
}

fn length(piece: &Bytes) -> u64 {
    u64::try_from(piece.len()).unwrap_or(u64::MAX)
}

fn failure(error: object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::NotFound("File not found"),
        other => Error::Unavailable(other.into()),
    }
}

/// Removes what a process that was killed has left: files that are written under `<stored name>#<number>` first.
fn remove_unfinished(folder: &FsPath) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let unfinished =
            name.to_str().and_then(|name| name.split_once('#')).is_some_and(|(stored, number)| {
                is_stored_name(stored) && number.bytes().all(|byte| byte.is_ascii_digit())
            });
        if unfinished {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    const PART: usize = 1024;

    fn store() -> FileStore {
        FileStore { part_bytes: PART, ..FileStore::new(Arc::new(InMemory::new())) }
    }

    /// Notes nothing.
    struct NoNotes;

    #[async_trait]
    impl Notes for NoNotes {
        async fn note(&self, _: &str, _: Option<&str>) -> Result<()> {
            Ok(())
        }

        async fn forget(&self, _: &str) {}
    }

    async fn stored(files: &FileStore) -> usize {
        files.store.list(None).count().await
    }

    fn text(length: usize) -> impl Stream<Item = Result<Bytes>> + Send {
        let pieces: Vec<_> = vec![b'a'; length].chunks(700).map(|piece| Ok(piece.to_vec().into())).collect();
        stream::iter(pieces)
    }

    #[tokio::test]
    async fn what_is_read_is_what_was_stored() {
        let files = store();
        for length in [0, 1, PART - 1, PART, HEAD - 1, HEAD, 3 * HEAD + 1] {
            let file = NewFile { name: "a.txt".to_owned(), content_type: None };
            let saved = files.save(&file, u64::MAX, text(length), &NoNotes).await.unwrap();
            assert_eq!((saved.size, saved.content_type), (length as u64, "text/plain"));
            assert_eq!(saved.original_name, "a.txt");

            let all = files.read(saved.name.as_str(), 0..saved.size).await.unwrap();
            let all: Vec<Bytes> = all.try_collect().await.unwrap();
            assert_eq!(all.concat(), vec![b'a'; length]);
        }
    }

    #[tokio::test]
    async fn exactly_the_limit_is_taken_and_of_one_byte_more_nothing_is_left() {
        let files = store();
        for length in [1, PART, HEAD, 2 * HEAD] {
            let max = length as u64;
            let refused = files.save(&NewFile::default(), max, text(length + 1), &NoNotes).await;
            assert!(
                matches!(refused, Err(Error::TooLarge { max_bytes, .. }) if max_bytes == max),
                "{refused:?}"
            );
            assert_eq!(stored(&files).await, 0);

            let saved = files.save(&NewFile::default(), max, text(length), &NoNotes).await.unwrap();
            assert_eq!(saved.size, max);
            files.remove(saved.name.as_str()).await.unwrap();
            assert_eq!(stored(&files).await, 0);
        }
    }

    #[tokio::test]
    async fn of_an_upload_that_goes_wrong_nothing_is_left() {
        let files = store();
        for end in [
            Err(Error::Refused("the client went away")),
            Ok(Bytes::from_static(b"\0")),
            Ok("\u{e9}".as_bytes()[..1].to_vec().into()),
        ] {
            let expected = end.as_ref().err().map_or(NOT_ALLOWED.to_string(), ToString::to_string);
            let bytes = text(2 * HEAD).chain(stream::iter([end]));
            let refused = files.save(&NewFile::default(), u64::MAX, bytes, &NoNotes).await;
            assert_eq!(refused.unwrap_err().to_string(), expected);
            assert_eq!(stored(&files).await, 0);
        }
    }
}
