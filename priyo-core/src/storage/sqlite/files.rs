//! What is known of uploaded files.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStorage;
use super::failure::Failure;
use super::values::{Db, get, statements};
use crate::model::{Attachment, Dimensions, FileId, FileRecord, Timestamp, UserId};
use crate::storage::{FileRecordStore, LooseFile, Result};

statements! {
    /// Changes nothing when it would be too much. Nothing is added up that could be more than the database can count.
    USE = "
        INSERT INTO file_usage (user_id, bytes) SELECT ?1, ?2 WHERE ?2 <= ?3
        ON CONFLICT (user_id) DO UPDATE SET bytes = bytes + excluded.bytes WHERE bytes <= ?3 - excluded.bytes";
    INSERT_FILE = "
        INSERT INTO files
            (id, uploader_id, stored_name, original_name, content_type, size, width, height, created_at_ms, unsent)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1)";
    FILE = "
        SELECT id, uploader_id, stored_name, original_name, content_type, size, width, height, created_at_ms
        FROM files WHERE id = ?1";
    FILE_NAMED = "
        SELECT id, uploader_id, stored_name, original_name, content_type, size, width, height, created_at_ms
        FROM files WHERE stored_name = ?1";
    SENT = "UPDATE files SET unsent = NULL WHERE id = ?1 AND unsent IS NOT NULL";
    IS_ATTACHED = "SELECT EXISTS (SELECT 1 FROM messages WHERE file_id = ?1)";
    IS_ATTACHED_FOR = "
        SELECT EXISTS (
            SELECT 1 FROM messages m CROSS JOIN participants p ON p.conversation_id = m.conversation_id
            WHERE m.file_id = ?1 AND p.user_id = ?2 AND p.left_at_ms IS NULL)";
    USED = "SELECT bytes FROM file_usage WHERE user_id = ?1";
    UNSENT = "
        SELECT id, uploader_id, stored_name, size FROM files
        WHERE unsent IS NOT NULL AND created_at_ms < ?1 ORDER BY created_at_ms, id LIMIT ?2";
    DELETE_FILE = "DELETE FROM files WHERE id = ?1";
    USE_NO_MORE = "UPDATE file_usage SET bytes = bytes - ?2 WHERE user_id = ?1";
    NOTE_LOOSE = "
        INSERT INTO loose_files (stored_name, upload_id, since_ms) VALUES (?1, ?2, ?3)
        ON CONFLICT (stored_name) DO UPDATE SET upload_id = excluded.upload_id, since_ms = excluded.since_ms";
    LOOSE = "
        SELECT stored_name, upload_id, since_ms FROM loose_files
        WHERE since_ms <= ?1 ORDER BY since_ms, stored_name LIMIT ?2";
    FORGET_LOOSE = "DELETE FROM loose_files WHERE stored_name = ?1";
}

fn file(row: &Row<'_>) -> rusqlite::Result<FileRecord> {
    Ok(FileRecord {
        id: get(row, 0)?,
        uploader: get(row, 1)?,
        stored_name: row.get(2)?,
        original_name: row.get(3)?,
        content_type: row.get(4)?,
        size: get(row, 5)?,
        dimensions: dimensions(row, 6)?,
        created_at: get(row, 8)?,
    })
}

/// Reads how large a picture is from two columns.
pub(super) fn dimensions(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Dimensions>> {
    let (width, height): (Option<u32>, Option<u32>) = (row.get(first)?, row.get(first + 1)?);
    Ok(width.zip(height).map(|(width, height)| Dimensions { width, height }))
}

/// What a message with this file carries.
pub(super) fn attachment(db: &Connection, id: FileId) -> Result<Option<Attachment>, Failure> {
    let found = db.prepare_cached(FILE)?.query_row([Db(id)], file).optional()?;
    Ok(found.map(|file| file.attachment()))
}

/// Notes that a message carries the file.
pub(super) fn sent(db: &Connection, id: FileId) -> Result<(), Failure> {
    db.prepare_cached(SENT)?.execute([Db(id)])?;
    Ok(())
}

fn create(db: &Connection, file: &FileRecord, max_bytes: u64) -> Result<bool, Failure> {
    let used = db.prepare_cached(USE)?.execute((Db(file.uploader), Db(file.size), Db(max_bytes)))?;
    if used == 0 {
        return Ok(false);
    }
    db.prepare_cached(INSERT_FILE)?.execute(params![
        Db(file.id),
        Db(file.uploader),
        file.stored_name,
        file.original_name,
        file.content_type,
        Db(file.size),
        file.dimensions.map(|dimensions| dimensions.width),
        file.dimensions.map(|dimensions| dimensions.height),
        Db(file.created_at),
    ])?;
    db.prepare_cached(FORGET_LOOSE)?.execute([&file.stored_name])?;
    Ok(true)
}

fn loosen_unsent(db: &Connection, before: Timestamp, limit: u32, at: Timestamp) -> Result<u32, Failure> {
    let mut unsent = db.prepare_cached(UNSENT)?;
    let found = unsent
        .query_map((Db(before), limit), |row| Ok((get(row, 0)?, get(row, 1)?, row.get(2)?, get(row, 3)?)));
    let found = found?.collect::<rusqlite::Result<Vec<(FileId, UserId, String, u64)>>>()?;
    for (id, uploader, stored_name, size) in &found {
        db.prepare_cached(DELETE_FILE)?.execute([Db(*id)])?;
        db.prepare_cached(USE_NO_MORE)?.execute((Db(*uploader), Db(*size)))?;
        db.prepare_cached(NOTE_LOOSE)?.execute((stored_name, None::<String>, Db(at)))?;
    }
    Ok(u32::try_from(found.len()).unwrap_or(u32::MAX))
}

fn loose(row: &Row<'_>) -> rusqlite::Result<LooseFile> {
    Ok(LooseFile { stored_name: row.get(0)?, upload_id: row.get(1)?, since: get(row, 2)? })
}

#[async_trait]
impl FileRecordStore for SqliteStorage {
    async fn create_file(&self, file: &FileRecord, max_bytes: u64) -> Result<bool> {
        let file = file.clone();
        self.write(move |db| create(db, &file, max_bytes)).await
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

    async fn stored_bytes(&self, user: UserId) -> Result<u64> {
        self.read(move |db| {
            let used = db.prepare_cached(USED)?.query_row([Db(user)], |row| get(row, 0)).optional()?;
            Ok(used.unwrap_or(0))
        })
        .await
    }

    async fn loosen_unsent_files(&self, before: Timestamp, limit: u32, at: Timestamp) -> Result<u32> {
        self.write(move |db| loosen_unsent(db, before, limit, at)).await
    }

    async fn note_loose_file(&self, file: &LooseFile) -> Result<()> {
        let LooseFile { stored_name, upload_id, since } = file.clone();
        self.write(move |db| {
            db.prepare_cached(NOTE_LOOSE)?.execute((stored_name, upload_id, Db(since)))?;
            Ok(())
        })
        .await
    }

    async fn loose_files(&self, until: Timestamp, limit: u32) -> Result<Vec<LooseFile>> {
        self.read(move |db| {
            let mut found = db.prepare_cached(LOOSE)?;
            let found = found.query_map((Db(until), limit), loose)?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn forget_loose_files(&self, stored_names: &[String]) -> Result<()> {
        let stored_names = stored_names.to_vec();
        self.write(move |db| {
            let mut forget = db.prepare_cached(FORGET_LOOSE)?;
            for name in stored_names {
                forget.execute([name])?;
            }
            Ok(())
        })
        .await
    }
}
