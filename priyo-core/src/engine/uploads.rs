//! Uploads: who may store and fetch a file.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;

use super::ChatEngine;
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::files::{FileStore, FileType, NewFile, is_stored_name};
use crate::model::{Attachment, FileId, FileRecord, FileRef};

const NO_FILE: &str = "File not found";

/// A file that someone may read.
#[derive(Debug, Clone)]
pub struct Download {
    record: FileRecord,
    files: FileStore,
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
}

impl ChatEngine {
    /// Whether there is a place for uploads.
    #[must_use]
    pub fn has_files(&self) -> bool {
        self.inner.files.is_some()
    }

    /// Stores a file, which only the caller may read until they send it in a message.
    ///
    /// The bytes are read as they are written, a few hundred kilobytes at a time on a local disk. Whatever goes
    /// wrong, and whoever goes away, nothing is left of an upload that was not answered with `Ok`.
    ///
    /// # Errors
    ///
    /// - [`Error::TooLarge`] when there are more than `limits.upload_bytes`; the rest is then not read.
    /// - [`Error::UnsupportedMediaType`] when the bytes are of no type that is taken, or name and type say otherwise.
    /// - [`Error::Unavailable`] when the file store or the storage is away.
    /// - [`Error::RouteNotFound`] when the engine has no place for uploads.
    /// - Whatever error the bytes end with.
    pub async fn upload(
        &self,
        caller: &Caller,
        file: NewFile,
        bytes: impl Stream<Item = Result<Bytes>> + Send + 'static,
    ) -> Result<FileRecord> {
        let files = self.inner.files.clone().ok_or(Error::RouteNotFound)?;
        let uploader = caller.user_id;
        self.to_the_end(async move |engine: Self| {
            let saved = files.save(&file, engine.limits().upload_bytes, bytes).await?;
            let record = FileRecord {
                id: FileId::new(),
                uploader,
                stored_name: saved.stored_name,
                original_name: saved.original_name,
                content_type: saved.content_type.to_owned(),
                size: saved.size,
                created_at: engine.now(),
            };
            if let Err(error) = engine.inner.storage.create_file(&record).await {
                if let Err(error) = files.remove(&record.stored_name).await {
                    tracing::warn!(%error, "the bytes of an upload that nobody knows of are left");
                }
                return Err(error.into());
            }
            Ok(record)
        })
        .await
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
        Ok(Download { record, files })
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
