//! Users, who they know, and the audit log.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, params};

use super::SqliteStorage;
use super::values::{Db, get, get_opt, statements};
use crate::model::{Timestamp, User, UserId};
use crate::storage::{AuditEntry, Result, UserStore};

statements! {
    INSERT_ACCOUNT = "
        INSERT INTO users (id, external_id, email, username, avatar, role, password_hash, disabled, created_at_ms, last_seen_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
        ON CONFLICT (email COLLATE NOCASE) WHERE password_hash IS NOT NULL DO NOTHING
        ON CONFLICT (username COLLATE NOCASE) WHERE password_hash IS NOT NULL DO NOTHING";
    /// Not `ON CONFLICT DO UPDATE`: with it SQLite looks for children of the new row through every table that refers
    /// to users.
    UPDATE_HOST_USER = "
        UPDATE users SET username = ?2, avatar = ?3, role = ?4 WHERE external_id = ?1
        RETURNING id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms";
    INSERT_HOST_USER = "
        INSERT INTO users (id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    USER = "
        SELECT id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms
        FROM users WHERE id = ?1";
    HOST_USER = "
        SELECT id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms
        FROM users WHERE external_id = ?1";
    ACCOUNT = "
        SELECT id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms, password_hash
        FROM users WHERE email = ?1 COLLATE NOCASE AND password_hash IS NOT NULL";
    SET_LAST_SEEN = "
        UPDATE users SET last_seen_ms = ?2 WHERE id = ?1 AND (last_seen_ms IS NULL OR last_seen_ms < ?2)";
    CONTACTS = "
        SELECT DISTINCT other.user_id FROM participants me
        CROSS JOIN participants other ON other.conversation_id = me.conversation_id
        WHERE me.user_id = ?1 AND me.left_at_ms IS NULL AND other.left_at_ms IS NULL AND other.user_id <> ?1";
    INSERT_AUDIT = "INSERT INTO audit_log (at_ms, actor_id, action, subject) VALUES (?1, ?2, ?3, ?4)";
}

/// Reads a user from the nine columns that every query above begins with, `first` being the number of the first.
pub(super) fn user_at(row: &Row<'_>, first: usize) -> rusqlite::Result<User> {
    Ok(User {
        id: get(row, first)?,
        external_id: row.get(first + 1)?,
        email: row.get(first + 2)?,
        username: row.get(first + 3)?,
        avatar: row.get(first + 4)?,
        role: get(row, first + 5)?,
        disabled: row.get(first + 6)?,
        created_at: get(row, first + 7)?,
        last_seen: get_opt(row, first + 8)?,
    })
}

#[async_trait]
impl UserStore for SqliteStorage {
    async fn create_account(&self, user: &User, password_hash: &str) -> Result<bool> {
        let (user, password_hash) = (user.clone(), password_hash.to_owned());
        self.write(move |db| {
            let added = db.prepare_cached(INSERT_ACCOUNT)?.execute(params![
                Db(user.id),
                user.external_id,
                user.email,
                user.username,
                user.avatar,
                Db(user.role),
                password_hash,
                user.disabled,
                Db(user.created_at),
                user.last_seen.map(Db),
            ])?;
            Ok(added == 1)
        })
        .await
    }

    async fn upsert_host_user(&self, user: &User) -> Result<User> {
        let user = user.clone();
        self.write(move |db| {
            let known = (&user.external_id, &user.username, &user.avatar, Db(user.role));
            let mut update = db.prepare_cached(UPDATE_HOST_USER)?;
            if let Some(updated) = update.query_row(known, |row| user_at(row, 0)).optional()? {
                return Ok(updated);
            }
            db.prepare_cached(INSERT_HOST_USER)?.execute(params![
                Db(user.id),
                user.external_id,
                user.email,
                user.username,
                user.avatar,
                Db(user.role),
                user.disabled,
                Db(user.created_at),
                user.last_seen.map(Db),
            ])?;
            Ok(user)
        })
        .await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        self.read(move |db| {
            Ok(db.prepare_cached(USER)?.query_row([Db(id)], |row| user_at(row, 0)).optional()?)
        })
        .await
    }

    async fn host_user(&self, external_id: &str) -> Result<Option<User>> {
        let external_id = external_id.to_owned();
        self.read(move |db| {
            Ok(db.prepare_cached(HOST_USER)?.query_row([external_id], |row| user_at(row, 0)).optional()?)
        })
        .await
    }

    async fn account(&self, email: &str) -> Result<Option<(User, String)>> {
        let email = email.to_owned();
        self.read(move |db| {
            let mut account = db.prepare_cached(ACCOUNT)?;
            Ok(account.query_row([email], |row| Ok((user_at(row, 0)?, row.get(9)?))).optional()?)
        })
        .await
    }

    async fn set_last_seen(&self, users: &[UserId], at: Timestamp) -> Result<()> {
        let users = users.to_vec();
        self.write(move |db| {
            let mut set = db.prepare_cached(SET_LAST_SEEN)?;
            for user in users {
                set.execute((Db(user), Db(at)))?;
            }
            Ok(())
        })
        .await
    }

    async fn contacts_of(&self, id: UserId) -> Result<Vec<UserId>> {
        self.read(move |db| {
            let mut contacts = db.prepare_cached(CONTACTS)?;
            Ok(contacts.query_map([Db(id)], |row| get(row, 0))?.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn audit(&self, entries: &[AuditEntry]) -> Result<()> {
        let entries = entries.to_vec();
        self.write(move |db| {
            let mut insert = db.prepare_cached(INSERT_AUDIT)?;
            for entry in entries {
                insert.execute(params![Db(entry.at), entry.actor.map(Db), entry.action, entry.subject])?;
            }
            Ok(())
        })
        .await
    }
}
