//! Users, who they know, and the audit log.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStorage;
use super::failure::Failure;
use super::sessions::revoke_all;
use super::values::{Db, get, get_opt, statements};
use crate::model::{Page, Role, SessionId, Timestamp, User, UserChange, UserId, UserList, UserOrder};
use crate::storage::{AuditEntry, PasswordRow, Result, UserStore, UserUpdate};

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
    PASSWORD_HASH = "SELECT password_hash FROM users WHERE id = ?1";
    REPLACE_PASSWORD_HASH = "UPDATE users SET password_hash = ?3 WHERE id = ?1 AND password_hash = ?2";
    SET_PASSWORD_HASH = "
        UPDATE users SET password_hash = ?3
        WHERE id = ?1 AND password_hash IS NOT NULL AND (?2 IS NULL OR password_hash = ?2)";
    LIST_BY_USERNAME = "
        SELECT id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms FROM users
        WHERE username COLLATE NOCASE >= ?1 AND (username COLLATE NOCASE, id) > (?1, ?2)
            AND username COLLATE NOCASE < ?3
        ORDER BY username COLLATE NOCASE, id LIMIT ?4";
    LIST_BY_EMAIL = "
        SELECT id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms FROM users
        WHERE email COLLATE NOCASE >= ?1 AND (email COLLATE NOCASE, id) > (?1, ?2) AND email COLLATE NOCASE < ?3
        ORDER BY email COLLATE NOCASE, id LIMIT ?4";
    /// Whether this user is an administrator who can log in, and whether there is another one.
    ADMINISTRATORS = "
        SELECT
            EXISTS (SELECT 1 FROM users
                WHERE role = 'ADMIN' AND disabled = 0 AND password_hash IS NOT NULL AND id = ?1),
            EXISTS (SELECT 1 FROM users
                WHERE role = 'ADMIN' AND disabled = 0 AND password_hash IS NOT NULL AND id <> ?1)";
    UPDATE_USER = "UPDATE users SET role = ?2, disabled = ?3 WHERE id = ?1";
    SET_LAST_SEEN = "
        UPDATE users SET last_seen_ms = ?2 WHERE id = ?1 AND (last_seen_ms IS NULL OR last_seen_ms < ?2)";
    CONTACTS = "
        SELECT DISTINCT other.user_id FROM participants me
        CROSS JOIN participants other ON other.conversation_id = me.conversation_id
        WHERE me.user_id = ?1 AND me.left_at_ms IS NULL AND other.left_at_ms IS NULL AND other.user_id <> ?1";
    INSERT_AUDIT = "
        INSERT INTO audit_log (at_ms, actor_id, action, subject, detail, address, request_id)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
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

    async fn password_hash(&self, id: UserId) -> Result<Option<String>> {
        self.read(move |db| {
            let hash = db.prepare_cached(PASSWORD_HASH)?.query_row([Db(id)], |row| row.get(0)).optional()?;
            Ok(hash.flatten())
        })
        .await
    }

    async fn replace_password_hash(&self, id: UserId, old: &str, new: &str) -> Result<bool> {
        let (old, new) = (old.to_owned(), new.to_owned());
        self.write(move |db| Ok(db.prepare_cached(REPLACE_PASSWORD_HASH)?.execute((Db(id), old, new))? == 1))
            .await
    }

    async fn change_password(&self, new: &PasswordRow) -> Result<Option<Vec<SessionId>>> {
        let PasswordRow { user_id, old_hash, new_hash, keep, at } = new.clone();
        self.write(move |db| {
            let changed = db.prepare_cached(SET_PASSWORD_HASH)?.execute((Db(user_id), old_hash, new_hash))?;
            if changed == 0 {
                return Ok(None);
            }
            revoke_all(db, user_id, keep, at).map(Some)
        })
        .await
    }

    async fn users(&self, list: &UserList) -> Result<Page<User>> {
        let list = list.clone();
        self.read(move |db| {
            let statement = match list.by {
                UserOrder::Username => LIST_BY_USERNAME,
                UserOrder::Email => LIST_BY_EMAIL,
            };
            let (key, id) = list.begin();
            let mut users = db.prepare_cached(statement)?;
            let users = users
                .query_map((key, Db(id), list.end(), i64::from(list.limit) + 1), |row| user_at(row, 0))?;
            let mut items = users.collect::<rusqlite::Result<Vec<_>>>()?;
            let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
            let has_more = items.len() > limit;
            items.truncate(limit);
            Ok(Page { items, has_more })
        })
        .await
    }

    async fn update_user(&self, id: UserId, change: UserChange, at: Timestamp) -> Result<UserUpdate> {
        self.write(move |db| update_user(db, id, change, at)).await
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

    async fn contacts_of(&self, users: &[UserId]) -> Result<Vec<Vec<UserId>>> {
        let users = users.to_vec();
        self.read(move |db| {
            let mut contacts = db.prepare_cached(CONTACTS)?;
            let mut of = |user| contacts.query_map([Db(user)], |row| get(row, 0))?.collect();
            Ok(users.into_iter().map(&mut of).collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn audit(&self, entries: &[AuditEntry]) -> Result<()> {
        let entries = entries.to_vec();
        self.write(move |db| {
            let mut insert = db.prepare_cached(INSERT_AUDIT)?;
            for entry in entries {
                insert.execute(params![
                    Db(entry.at),
                    entry.actor.map(Db),
                    entry.action,
                    entry.subject,
                    entry.detail,
                    entry.address,
                    entry.request_id,
                ])?;
            }
            Ok(())
        })
        .await
    }
}

fn update_user(
    db: &Connection,
    id: UserId,
    change: UserChange,
    at: Timestamp,
) -> Result<UserUpdate, Failure> {
    let before = db.prepare_cached(USER)?.query_row([Db(id)], |row| user_at(row, 0)).optional()?;
    let Some(before) = before else { return Ok(UserUpdate::NotFound) };
    let (role, disabled) = (change.role.unwrap_or(before.role), change.disabled.unwrap_or(before.disabled));
    if role != Role::Admin || disabled {
        let (is_one, is_another) = db
            .prepare_cached(ADMINISTRATORS)?
            .query_row([Db(id)], |row| Ok((row.get::<_, bool>(0)?, row.get::<_, bool>(1)?)))?;
        if is_one && !is_another {
            return Ok(UserUpdate::LastAdmin);
        }
    }
    db.prepare_cached(UPDATE_USER)?.execute((Db(id), Db(role), disabled))?;
    let ended = if disabled { revoke_all(db, id, None, at)? } else { Vec::new() };
    Ok(UserUpdate::Updated { user: User { role, disabled, ..before.clone() }, before, ended })
}
