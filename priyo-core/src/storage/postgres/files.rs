//! What is known of uploaded files.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStorage;
use super::connection::Connection;
use super::failure::Failure;
use super::values::{Db, array, get, statements};
use crate::model::{Attachment, FileId, FileRecord, UserId};
use crate::storage::{FileRecordStore, Result};

statements! {
    INSERT_FILE = "
        INSERT INTO files (id, uploader_id, stored_name, original_name, content_type, size, created_at_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    FILE = "
        SELECT id, uploader_id, stored_name, original_name, content_type, size, created_at_ms
        FROM files WHERE id = $1";
    FILE_NAMED = "
        SELECT id, uploader_id, stored_name, original_name, content_type, size, created_at_ms
        FROM files WHERE stored_name = $1";
    FILES = "
        SELECT id, uploader_id, stored_name, original_name, content_type, size, created_at_ms
        FROM files WHERE id = ANY ($1)";
    IS_ATTACHED = "SELECT EXISTS (SELECT 1 FROM messages WHERE file_id = $1)";
    IS_ATTACHED_FOR = "
        SELECT EXISTS (
            SELECT 1 FROM messages m JOIN participants p ON p.conversation_id = m.conversation_id
            WHERE m.file_id = $1 AND p.user_id = $2 AND p.left_seq IS NULL)";
}

fn file(row: &PgRow) -> sqlx::Result<FileRecord> {
    Ok(FileRecord {
        id: get(row, 0)?,
        uploader: get(row, 1)?,
        stored_name: row.try_get(2)?,
        original_name: row.try_get(3)?,
        content_type: row.try_get(4)?,
        size: get(row, 5)?,
        created_at: get(row, 6)?,
    })
}

/// What messages with these files carry. A file that is gone is left out.
pub(super) async fn attachments(
    db: &mut Connection,
    ids: impl IntoIterator<Item = FileId>,
) -> Result<HashMap<FileId, Attachment>, Failure> {
    let ids = array(ids);
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let files = db.query(FILES).bind(ids).try_map(|row| file(&row)).fetch_all(&mut db.inner).await?;
    Ok(files.into_iter().map(|file| (file.id, file.attachment())).collect())
}

#[async_trait]
impl FileRecordStore for PostgresStorage {
    async fn create_file(&self, file: &FileRecord) -> Result<()> {
        self.write(file.clone(), |db, file| {
            let insert = db
                .query(INSERT_FILE)
                .bind(Db(file.id))
                .bind(Db(file.uploader))
                .bind(file.stored_name.clone())
                .bind(file.original_name.clone())
                .bind(file.content_type.clone())
                .bind(Db(file.size))
                .bind(Db(file.created_at));
            Box::pin(async { Ok(insert.execute(&mut db.inner).await.map(drop)?) })
        })
        .await
    }

    async fn file(&self, id: FileId) -> Result<Option<FileRecord>> {
        self.read(id, |db, id| {
            let found = db.query(FILE).bind(Db(*id)).try_map(|row| file(&row));
            Box::pin(async { Ok(found.fetch_optional(&mut db.inner).await?) })
        })
        .await
    }

    async fn file_named(&self, stored_name: &str) -> Result<Option<FileRecord>> {
        self.read(stored_name.to_owned(), |db, stored_name| {
            let found = db.query(FILE_NAMED).bind(stored_name.clone()).try_map(|row| file(&row));
            Box::pin(async { Ok(found.fetch_optional(&mut db.inner).await?) })
        })
        .await
    }

    async fn is_attached(&self, file: FileId, user: Option<UserId>) -> Result<bool> {
        self.read((file, user), |db, (file, user)| {
            let is_attached = match user {
                None => db.query(IS_ATTACHED).bind(Db(*file)),
                Some(user) => db.query(IS_ATTACHED_FOR).bind(Db(*file)).bind(Db(*user)),
            };
            let is_attached = is_attached.try_map(|row| row.try_get(0));
            Box::pin(async { Ok(is_attached.fetch_one(&mut db.inner).await?) })
        })
        .await
    }
}
