//! What is known of uploaded files.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStorage;
use super::connection::Connection;
use super::failure::Failure;
use super::values::{Db, array, get, get_opt, statements};
use crate::model::{Attachment, Dimensions, FileId, FileRecord, Timestamp, UserId};
use crate::storage::{FileRecordStore, LooseFile, Result};

statements! {
    /// Changes nothing when it would be too much, and holds the row of the user otherwise: of many uploads at once each
    /// sees what those before it have used. Nothing is added up that could be more than the database can count.
    USE = "
        INSERT INTO file_usage AS u (user_id, bytes) SELECT $1::uuid, $2::bigint WHERE $2 <= $3::bigint
        ON CONFLICT (user_id) DO UPDATE SET bytes = u.bytes + excluded.bytes
            WHERE u.bytes <= $3::bigint - excluded.bytes";
    INSERT_FILE = "
        WITH known AS (DELETE FROM loose_files WHERE stored_name = $3)
        INSERT INTO files
            (id, uploader_id, stored_name, original_name, content_type, size, width, height, created_at_ms, unsent)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, true)";
    FILE = "
        SELECT id, uploader_id, stored_name, original_name, content_type, size, width, height, created_at_ms
        FROM files WHERE id = $1";
    FILE_NAMED = "
        SELECT id, uploader_id, stored_name, original_name, content_type, size, width, height, created_at_ms
        FROM files WHERE stored_name = $1";
    /// One after the other, in order. Whoever takes old files away passes over those that are locked.
    LOCK_FILES = "
        SELECT f.id, f.uploader_id, f.stored_name, f.original_name, f.content_type, f.size, f.width, f.height,
            f.created_at_ms
        FROM (SELECT * FROM unnest($1::uuid[]) AS w (id) ORDER BY 1) w
        CROSS JOIN LATERAL (SELECT * FROM files f WHERE f.id = w.id FOR NO KEY UPDATE) f";
    /// Worded so that the file is found by its id, and not among all that were not sent.
    SENT = "UPDATE files SET unsent = NULL WHERE id = ANY ($1) AND coalesce(unsent, false)";
    IS_ATTACHED = "SELECT EXISTS (SELECT 1 FROM messages WHERE file_id = $1)";
    IS_ATTACHED_FOR = "
        SELECT EXISTS (
            SELECT 1 FROM messages m JOIN participants p ON p.conversation_id = m.conversation_id
            WHERE m.file_id = $1 AND p.user_id = $2 AND p.left_seq IS NULL)";
    USED = "SELECT bytes FROM file_usage WHERE user_id = $1";
    /// The flag is looked at once more when the row is locked: a message may have come between.
    LOCK_UNSENT = "
        SELECT id, uploader_id, stored_name, size FROM files
        WHERE unsent IS NOT NULL AND created_at_ms < $1 ORDER BY created_at_ms, id LIMIT $2
        FOR UPDATE SKIP LOCKED";
    /// One after the other, in order.
    LOCK_USAGE = "
        SELECT u.user_id FROM (SELECT * FROM unnest($1::uuid[]) AS w (id) ORDER BY 1) w
        CROSS JOIN LATERAL (SELECT * FROM file_usage u WHERE u.user_id = w.id FOR NO KEY UPDATE) u";
    USE_NO_MORE = "
        UPDATE file_usage SET bytes = bytes - ($2::bigint[])[array_position($1::uuid[], user_id)]
        WHERE user_id = ANY ($1)";
    DELETE_FILES = "DELETE FROM files WHERE id = ANY ($1)";
    NOTE_LOOSE = "
        INSERT INTO loose_files (stored_name, upload_id, since_ms)
        SELECT stored_name, $2::text, $3::bigint FROM unnest($1::text[]) AS l (stored_name)
        ON CONFLICT (stored_name) DO UPDATE SET upload_id = excluded.upload_id, since_ms = excluded.since_ms";
    LOOSE = "
        SELECT stored_name, upload_id, since_ms FROM loose_files
        WHERE since_ms <= $1 ORDER BY since_ms, stored_name LIMIT $2";
    FORGET_LOOSE = "DELETE FROM loose_files WHERE stored_name = ANY ($1)";
}

fn file(row: &PgRow) -> sqlx::Result<FileRecord> {
    Ok(FileRecord {
        id: get(row, 0)?,
        uploader: get(row, 1)?,
        stored_name: row.try_get(2)?,
        original_name: row.try_get(3)?,
        content_type: row.try_get(4)?,
        size: get(row, 5)?,
        dimensions: dimensions(row, 6)?,
        created_at: get(row, 8)?,
    })
}

/// Reads how large a picture is from two columns.
pub(super) fn dimensions(row: &PgRow, first: usize) -> sqlx::Result<Option<Dimensions>> {
    let (width, height) = (get_opt::<u32>(row, first)?, get_opt::<u32>(row, first + 1)?);
    Ok(width.zip(height).map(|(width, height)| Dimensions { width, height }))
}

/// What messages with these files carry, which are locked now. A file that is gone is left out.
pub(super) async fn attachments(
    db: &mut Connection,
    ids: impl IntoIterator<Item = FileId>,
) -> Result<HashMap<FileId, Attachment>, Failure> {
    let ids: BTreeSet<FileId> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let files =
        db.query(LOCK_FILES).bind(array(ids)).try_map(|row| file(&row)).fetch_all(&mut db.inner).await?;
    Ok(files.into_iter().map(|file| (file.id, file.attachment())).collect())
}

/// Notes that messages carry these files, which are locked.
pub(super) async fn sent(db: &mut Connection, ids: impl Iterator<Item = FileId>) -> Result<(), Failure> {
    let ids = array(ids);
    if !ids.is_empty() {
        db.query(SENT).bind(ids).execute(&mut db.inner).await?;
    }
    Ok(())
}

async fn create(db: &mut Connection, file: &FileRecord, max_bytes: u64) -> Result<bool, Failure> {
    let use_ = db.query(USE).bind(Db(file.uploader)).bind(Db(file.size)).bind(Db(max_bytes));
    if use_.execute(&mut db.inner).await?.rows_affected() == 0 {
        return Ok(false);
    }
    let insert = db
        .query(INSERT_FILE)
        .bind(Db(file.id))
        .bind(Db(file.uploader))
        .bind(file.stored_name.clone())
        .bind(file.original_name.clone())
        .bind(file.content_type.clone())
        .bind(Db(file.size))
        .bind(file.dimensions.map(|dimensions| Db(dimensions.width)))
        .bind(file.dimensions.map(|dimensions| Db(dimensions.height)))
        .bind(Db(file.created_at));
    insert.execute(&mut db.inner).await?;
    Ok(true)
}

async fn loosen_unsent(
    db: &mut Connection,
    before: Timestamp,
    limit: u32,
    at: Timestamp,
) -> Result<u32, Failure> {
    let lock = db.query(LOCK_UNSENT).bind(Db(before)).bind(i64::from(limit)).try_map(|row| {
        Ok((get::<FileId>(&row, 0)?, get::<UserId>(&row, 1)?, row.try_get::<String, _>(2)?, get(&row, 3)?))
    });
    let found = lock.fetch_all(&mut db.inner).await?;
    if found.is_empty() {
        return Ok(0);
    }
    let mut bytes: BTreeMap<UserId, u64> = BTreeMap::new();
    for (_, uploader, _, size) in &found {
        *bytes.entry(*uploader).or_default() += size;
    }
    db.query(LOCK_USAGE).bind(array(bytes.keys().copied())).execute(&mut db.inner).await?;
    let less = db.query(USE_NO_MORE).bind(array(bytes.keys().copied())).bind(array(bytes.values().copied()));
    less.execute(&mut db.inner).await?;
    let delete = db.query(DELETE_FILES).bind(array(found.iter().map(|(id, ..)| *id)));
    delete.execute(&mut db.inner).await?;
    let names: Vec<String> = found.into_iter().map(|(_, _, stored_name, _)| stored_name).collect();
    let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
    db.query(NOTE_LOOSE).bind(names).bind(None::<String>).bind(Db(at)).execute(&mut db.inner).await?;
    Ok(count)
}

fn loose(row: &PgRow) -> sqlx::Result<LooseFile> {
    Ok(LooseFile { stored_name: row.try_get(0)?, upload_id: row.try_get(1)?, since: get(row, 2)? })
}

#[async_trait]
impl FileRecordStore for PostgresStorage {
    async fn create_file(&self, file: &FileRecord, max_bytes: u64) -> Result<bool> {
        self.write((file.clone(), max_bytes), |db, (file, max_bytes)| Box::pin(create(db, file, *max_bytes)))
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

    async fn stored_bytes(&self, user: UserId) -> Result<u64> {
        self.read(user, |db, user| {
            let used = db.query(USED).bind(Db(*user)).try_map(|row| get(&row, 0));
            Box::pin(async { Ok(used.fetch_optional(&mut db.inner).await?.unwrap_or(0)) })
        })
        .await
    }

    async fn loosen_unsent_files(&self, before: Timestamp, limit: u32, at: Timestamp) -> Result<u32> {
        self.write((before, limit, at), |db, (before, limit, at)| {
            Box::pin(loosen_unsent(db, *before, *limit, *at))
        })
        .await
    }

    async fn note_loose_file(&self, file: &LooseFile) -> Result<()> {
        self.write(file.clone(), |db, file| {
            let note = db.query(NOTE_LOOSE).bind(vec![file.stored_name.clone()]);
            let note = note.bind(file.upload_id.clone()).bind(Db(file.since));
            Box::pin(async { Ok(note.execute(&mut db.inner).await.map(drop)?) })
        })
        .await
    }

    async fn loose_files(&self, until: Timestamp, limit: u32) -> Result<Vec<LooseFile>> {
        self.read((until, limit), |db, (until, limit)| {
            let found = db.query(LOOSE).bind(Db(*until)).bind(i64::from(*limit)).try_map(|row| loose(&row));
            Box::pin(async { Ok(found.fetch_all(&mut db.inner).await?) })
        })
        .await
    }

    async fn forget_loose_files(&self, stored_names: &[String]) -> Result<()> {
        self.write(stored_names.to_vec(), |db, stored_names| {
            let forget = db.query(FORGET_LOOSE).bind(stored_names.clone());
            Box::pin(async { Ok(forget.execute(&mut db.inner).await.map(drop)?) })
        })
        .await
    }
}
