//! Users, who they know, and the audit log.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStorage;
use super::connection::Connection;
use super::failure::Failure;
use super::values::{Db, Statement, array, get, get_opt, statements};
use crate::model::{Timestamp, User, UserId};
use crate::storage::{AuditEntry, Result, UserStore};

statements! {
    INSERT_ACCOUNT = "
        INSERT INTO users (id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms, password_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
    UPSERT_HOST_USER = "
        INSERT INTO users (id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (external_id) WHERE external_id IS NOT NULL DO UPDATE
        SET username = excluded.username, avatar = excluded.avatar, role = excluded.role
        RETURNING id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms";
    USER = "
        SELECT id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms
        FROM users WHERE id = $1";
    HOST_USER = "
        SELECT id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms
        FROM users WHERE external_id = $1";
    ACCOUNT = "
        SELECT id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms, password_hash
        FROM users WHERE lower(email) = lower($1 COLLATE \"C\") AND password_hash IS NOT NULL";
    /// Locked in the order of their ids: two servers may write of the same users at once.
    SET_LAST_SEEN = "
        UPDATE users SET last_seen_ms = $2
        FROM (SELECT id FROM users WHERE id = ANY ($1) AND (last_seen_ms IS NULL OR last_seen_ms < $2)
              ORDER BY id FOR NO KEY UPDATE) AS earlier
        WHERE users.id = earlier.id";
    CONTACTS = "
        SELECT DISTINCT other.user_id FROM participants me
        JOIN participants other ON other.conversation_id = me.conversation_id
        WHERE me.user_id = $1 AND me.left_at_ms IS NULL AND other.left_seq IS NULL AND other.user_id <> $1";
    INSERT_AUDIT = "
        INSERT INTO audit_log (at_ms, actor_id, action, subject)
        SELECT e.at_ms, e.actor_id, e.action, e.subject
        FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[]) WITH ORDINALITY
            AS e (at_ms, actor_id, action, subject, place)
        ORDER BY e.place";
}

/// Reads a user from the nine columns that every query above begins with, `first` being the number of the first.
pub(super) fn user_at(row: &PgRow, first: usize) -> sqlx::Result<User> {
    Ok(User {
        id: get(row, first)?,
        external_id: row.try_get(first + 1)?,
        email: row.try_get(first + 2)?,
        username: row.try_get(first + 3)?,
        avatar: row.try_get(first + 4)?,
        role: get(row, first + 5)?,
        disabled: row.try_get(first + 6)?,
        created_at: get(row, first + 7)?,
        last_seen: get_opt(row, first + 8)?,
    })
}

#[async_trait]
impl UserStore for PostgresStorage {
    async fn create_account(&self, user: &User, password_hash: &str) -> Result<bool> {
        let account = (user.clone(), password_hash.to_owned());
        self.write(account, |db, (user, password_hash)| Box::pin(create_account(db, user, password_hash)))
            .await
    }

    async fn upsert_host_user(&self, user: &User) -> Result<User> {
        self.write(user.clone(), |db, user| Box::pin(upsert_host_user(db, user))).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        self.read(id, |db, id| {
            let user = db.query(USER).bind(Db(*id)).try_map(|row| user_at(&row, 0));
            Box::pin(async { Ok(user.fetch_optional(&mut db.inner).await?) })
        })
        .await
    }

    async fn host_user(&self, external_id: &str) -> Result<Option<User>> {
        self.read(external_id.to_owned(), |db, external_id| {
            let user = db.query(HOST_USER).bind(external_id.clone()).try_map(|row| user_at(&row, 0));
            Box::pin(async { Ok(user.fetch_optional(&mut db.inner).await?) })
        })
        .await
    }

    async fn account(&self, email: &str) -> Result<Option<(User, String)>> {
        self.read(email.to_owned(), |db, email| {
            let account = db.query(ACCOUNT).bind(email.clone());
            let account = account.try_map(|row| Ok((user_at(&row, 0)?, row.try_get(9)?)));
            Box::pin(async { Ok(account.fetch_optional(&mut db.inner).await?) })
        })
        .await
    }

    async fn set_last_seen(&self, users: &[UserId], at: Timestamp) -> Result<()> {
        self.write((users.to_vec(), at), |db, (users, at)| {
            let set = db.query(SET_LAST_SEEN).bind(array(users.iter().copied())).bind(Db(*at));
            Box::pin(async { Ok(set.execute(&mut db.inner).await.map(drop)?) })
        })
        .await
    }

    async fn contacts_of(&self, id: UserId) -> Result<Vec<UserId>> {
        self.read(id, |db, id| {
            let contacts = db.query(CONTACTS).bind(Db(*id)).try_map(|row| get(&row, 0));
            Box::pin(async { Ok(contacts.fetch_all(&mut db.inner).await?) })
        })
        .await
    }

    async fn audit(&self, entries: &[AuditEntry]) -> Result<()> {
        self.write(entries.to_vec(), |db, entries| {
            let insert = db
                .query(INSERT_AUDIT)
                .bind(array(entries.iter().map(|entry| entry.at)))
                .bind(entries.iter().map(|entry| entry.actor.map(Db)).collect::<Vec<_>>())
                .bind(entries.iter().map(|entry| entry.action).collect::<Vec<_>>())
                .bind(entries.iter().map(|entry| entry.subject.clone()).collect::<Vec<_>>());
            Box::pin(async { Ok(insert.execute(&mut db.inner).await.map(drop)?) })
        })
        .await
    }
}

/// Binds the nine columns.
fn bind_user(insert: Statement, user: &User) -> Statement {
    insert
        .bind(Db(user.id))
        .bind(user.external_id.clone())
        .bind(user.email.clone())
        .bind(user.username.clone())
        .bind(user.avatar.clone())
        .bind(Db(user.role))
        .bind(user.disabled)
        .bind(Db(user.created_at))
        .bind(user.last_seen.map(Db))
}

async fn create_account(db: &mut Connection, user: &User, password_hash: &str) -> Result<bool, Failure> {
    let insert = bind_user(db.query(INSERT_ACCOUNT), user).bind(password_hash.to_owned());
    if insert.execute(&mut db.inner).await?.rows_affected() == 1 {
        return Ok(true);
    }
    // A name that is taken is an answer; an id that is taken is a fault.
    match db.query(USER).bind(Db(user.id)).fetch_optional(&mut db.inner).await? {
        None => Ok(false),
        Some(_) => Err(Failure::IdTaken),
    }
}

async fn upsert_host_user(db: &mut Connection, user: &User) -> Result<User, Failure> {
    let upsert = bind_user(db.query(UPSERT_HOST_USER), user).try_map(|row| user_at(&row, 0));
    Ok(upsert.fetch_one(&mut db.inner).await?)
}
