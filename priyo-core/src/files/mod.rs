//! Where uploaded bytes are kept, and what is taken.

mod name;
mod sniff;

use std::io;
use std::ops::Range;
use std::path::Path as FsPath;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt, TryStreamExt};
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use tokio::io::AsyncWrite;

use crate::error::{Error, Result};
use sniff::{HEAD, Watch};

pub(crate) use name::is_stored_name;
pub(crate) use sniff::FileType;

/// Where uploaded bytes are kept. Cheap to clone; all clones are the same store.
#[derive(Debug, Clone)]
pub struct FileStore {
    store: Arc<dyn ObjectStore>,
    /// A file of less than this is written at once, a larger one in parts of this size.
    part_bytes: usize,
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
    pub(crate) stored_name: String,
    pub(crate) original_name: String,
    pub(crate) content_type: &'static str,
    pub(crate) size: u64,
}

/// Smallest part that S3 takes, but for the last one.
const REMOTE_PART: usize = 5 * 1024 * 1024;

/// On a disk small parts are as good, and cost less memory.
const LOCAL_PART: usize = 256 * 1024;

/// Parts of one file that may be on their way at once.
const PARTS_AT_ONCE: usize = 2;

const NOT_ALLOWED: Error = Error::UnsupportedMediaType("File type not allowed");

impl FileStore {
    /// Keeps files in an object store: S3, memory, anything that implements [`ObjectStore`].
    ///
    /// Holds up to three times 5 MiB of each upload that is under way in memory.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, part_bytes: REMOTE_PART }
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
        Ok(Self { store: Arc::new(store), part_bytes: LOCAL_PART })
    }

    /// Stores a file under a new name. When this has returned `Ok` it survives a crash; when it has not, nothing is
    /// left of it.
    ///
    /// # Errors
    ///
    /// - [`Error::TooLarge`] when there are more than `max_bytes`; the rest is then not read.
    /// - [`Error::UnsupportedMediaType`] when the bytes are of no type that is taken, or the sender says otherwise.
    /// - [`Error::Unavailable`] when the store is away or full.
    /// - Whatever error the bytes end with.
    pub(crate) async fn save(
        &self,
        file: &NewFile,
        max_bytes: u64,
        bytes: impl Stream<Item = Result<Bytes>> + Send,
    ) -> Result<Saved> {
        let mut bytes = pin!(limited(bytes, max_bytes));
        let head = read_head(bytes.as_mut()).await?;
        let file_type = FileType::of(&head).ok_or(NOT_ALLOWED)?;
        let name = name::clean(&file.name);
        if !file_type.agrees(file.content_type.as_deref(), &name) {
            return Err(NOT_ALLOWED);
        }
        let stored_name = name::stored_name(file_type.extension())?;
        let original_name = name::shown(&name, file_type.extension());
        let size = self.write(&stored_name, file_type, head, bytes).await?;
        Ok(Saved { stored_name, original_name, content_type: file_type.content_type(), size })
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
        let found = self.store.get_opts(&Path::from(stored_name), options).await;
        let broken = |error: object_store::Error| {
            tracing::warn!(%error, "a file could not be read to its end");
            failure(error)
        };
        Ok(found.map_err(failure)?.into_stream().map_err(broken).boxed())
    }

    /// Removes a file. It is fine when there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the store is away.
    pub(crate) async fn remove(&self, stored_name: &str) -> Result<()> {
        match self.store.delete(&Path::from(stored_name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }

    /// Answers if the store does.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when it does not.
    pub(crate) async fn ping(&self) -> Result<()> {
        match self.store.head(&Path::from("ping")).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }

    /// Writes a file, its head first; gives its length. All of it, or nothing.
    async fn write(
        &self,
        stored_name: &str,
        file_type: FileType,
        head: Bytes,
        rest: Pin<&mut (impl Stream<Item = Result<Bytes>> + Send)>,
    ) -> Result<u64> {
        let mut writer =
            BufWriter::with_capacity(self.store.clone(), Path::from(stored_name), self.part_bytes)
                .with_max_concurrency(PARTS_AT_ONCE);
        let written = fill(&mut writer, file_type, head, rest).await;
        if written.is_err() {
            if let Err(error) = writer.abort().await {
                tracing::warn!(%error, "parts of an upload that was broken off may be left");
            }
            return written;
        }
        let finished = std::future::poll_fn(|context| Pin::new(&mut writer).poll_shutdown(context)).await;
        if let Err(error) = finished {
            // It may be there all the same, if only the answer got lost.
            if let Err(error) = self.remove(stored_name).await {
                tracing::warn!(%error, "an upload that failed may be left");
            }
            return Err(Error::Unavailable(error.into()));
        }
        written
    }
}

/// Puts all bytes of a file into the writer, as long as they are of its type; gives how many.
async fn fill(
    writer: &mut BufWriter,
    file_type: FileType,
    head: Bytes,
    rest: Pin<&mut (impl Stream<Item = Result<Bytes>> + Send)>,
) -> Result<u64> {
    let mut watch = Watch::new(file_type);
    let mut size = 0;
    let mut all = pin!(stream::iter([Ok(head)]).chain(rest));
    while let Some(piece) = all.try_next().await? {
        if !watch.see(&piece) {
            return Err(NOT_ALLOWED);
        }
        size += length(&piece);
        writer.put(piece).await.map_err(failure)?;
    }
    if watch.is_whole() { Ok(size) } else { Err(NOT_ALLOWED) }
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
        FileStore { store: Arc::new(InMemory::new()), part_bytes: PART }
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
            let saved = files.save(&file, u64::MAX, text(length)).await.unwrap();
            assert_eq!((saved.size, saved.content_type), (length as u64, "text/plain"));
            assert_eq!(saved.original_name, "a.txt");

            let all = files.read(&saved.stored_name, 0..saved.size).await.unwrap();
            let all: Vec<Bytes> = all.try_collect().await.unwrap();
            assert_eq!(all.concat(), vec![b'a'; length]);
        }
    }

    #[tokio::test]
    async fn exactly_the_limit_is_taken_and_of_one_byte_more_nothing_is_left() {
        let files = store();
        for length in [1, PART, HEAD, 2 * HEAD] {
            let max = length as u64;
            let refused = files.save(&NewFile::default(), max, text(length + 1)).await;
            assert!(
                matches!(refused, Err(Error::TooLarge { max_bytes, .. }) if max_bytes == max),
                "{refused:?}"
            );
            assert_eq!(stored(&files).await, 0);

            let saved = files.save(&NewFile::default(), max, text(length)).await.unwrap();
            assert_eq!(saved.size, max);
            files.remove(&saved.stored_name).await.unwrap();
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
            let refused = files.save(&NewFile::default(), u64::MAX, bytes).await;
            assert_eq!(refused.unwrap_err().to_string(), expected);
            assert_eq!(stored(&files).await, 0);
        }
    }
}
