//! What is known of uploaded files.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStorage;
use super::failure::Failure;
use super::values::{Db, get, statements};
use crate::model::{Attachment, FileId, FileRecord, UserId};
use crate::storage::{FileRecordStore, Result};

statements! {
    INSERT_FILE = "
        INSERT INTO files (id, uploader_id, stored_name, original_name, content_type, size, created_at_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    FILE = "
        SELECT id, uploader_id, stored_name, original_name, content_type, size, created_at_ms
        FROM files WHERE id = ?1";
    FILE_NAMED = "
        SELECT id, uploader_id, stored_name, original_name, content_type, size, created_at_ms
        FROM files WHERE stored_name = ?1";
    IS_ATTACHED = "SELECT EXISTS (SELECT 1 FROM messages WHERE file_id = ?1)";
    IS_ATTACHED_FOR = "
        SELECT EXISTS (
            SELECT 1 FROM messages m CROSS JOIN participants p ON p.conversation_id = m.conversation_id
            WHERE m.file_id = ?1 AND p.user_id = ?2 AND p.left_at_ms IS NULL)";
}

fn file(row: &Row<'_>) -> rusqlite::Result<FileRecord> {
    Ok(FileRecord {
        id: get(row, 0)?,
        uploader: get(row, 1)?,
        stored_name: row.get(2)?,
        original_name: row.get(3)?,
        content_type: row.get(4)?,
        size: get(row, 5)?,
        created_at: get(row, 6)?,
    })
}

/// What a message with this file carries.
pub(super) fn attachment(db: &Connection, id: FileId) -> Result<Option<Attachment>, Failure> {
    let found = db.prepare_cached(FILE)?.query_row([Db(id)], file).optional()?;
    Ok(found.map(|file| file.attachment()))
}

#[async_trait]
impl FileRecordStore for SqliteStorage {
    async fn create_file(&self, file: &FileRecord) -> Result<()> {
        let file = file.clone();
        self.write(move |db| {
            db.prepare_cached(INSERT_FILE)?.execute(params![
                Db(file.id),
                Db(file.uploader),
                file.stored_name,
                file.original_name,
                file.content_type,
                Db(file.size),
                Db(file.created_at),
            ])?;
            Ok(())
        })
        .await
    }

    async fn file(&self, id: FileId) -> Result<Option<FileRecord>> {
        self.read(move |db| Ok(db.prepare_cached(FILE)?.query_row([Db(id)], file).optional()?)).await
    }

    async fn file_named(&self, stored_name: &str) -> Result<Option<FileRecord>> {
        let stored_name = stored_name.to_owned();
        self.read(move |db| Ok(db.prepare_cached(FILE_NAMED)?.query_row([stored_name], file).optional()?))
            .await
    }

    async fn is_attached(&self, file: FileId, user: Option<UserId>) -> Result<bool> {
        self.read(move |db| {
            Ok(match user {
                None => db.prepare_cached(IS_ATTACHED)?.query_row([Db(file)], |row| row.get(0))?,
                Some(user) => {
                    db.prepare_cached(IS_ATTACHED_FOR)?.query_row((Db(file), Db(user)), |row| row.get(0))?
                }
            })
        })
        .await
    }
}
