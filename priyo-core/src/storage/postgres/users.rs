//! Users, who they know, and the audit log.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStorage;
use super::connection::Connection;
use super::failure::Failure;
use super::sessions::revoke_all;
use super::values::{Db, Statement, array, get, get_opt, statements};
use crate::model::{Page, Role, SessionId, Timestamp, User, UserChange, UserId, UserList, UserOrder};
use crate::storage::{AuditEntry, PasswordRow, Result, UserStore, UserUpdate};

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
    PASSWORD_HASH = "SELECT password_hash FROM users WHERE id = $1";
    REPLACE_PASSWORD_HASH = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2";
    /// Holds up those who are about to begin a session of the user.
    LOCK_USER = "SELECT id FROM users WHERE id = $1 FOR UPDATE";
    SET_PASSWORD_HASH = "
        UPDATE users SET password_hash = $3
        WHERE id = $1 AND password_hash IS NOT NULL AND ($2::text IS NULL OR password_hash = $2)";
    LIST_BY_USERNAME = "
        SELECT id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms FROM users
        WHERE (lower(username), id) > ($1, $2) AND lower(username) < $3 ORDER BY lower(username), id LIMIT $4";
    LIST_BY_EMAIL = "
        SELECT id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms FROM users
        WHERE email IS NOT NULL AND (lower(email), id) > ($1, $2) AND lower(email) < $3
        ORDER BY lower(email), id LIMIT $4";
    /// The user, and every administrator who can log in: of those who take one away, one comes after the other.
    LOCK_ADMINISTRATORS_AND = "
        SELECT id FROM users
        WHERE id = ANY (ARRAY(
            SELECT a.id FROM users a WHERE a.role = 'ADMIN' AND NOT a.disabled AND a.password_hash IS NOT NULL) || $1)
        ORDER BY id FOR UPDATE";
    /// Whether this user is such an administrator, and whether there is another one.
    ADMINISTRATORS = "
        SELECT
            EXISTS (SELECT 1 FROM users
                WHERE role = 'ADMIN' AND NOT disabled AND password_hash IS NOT NULL AND id = $1),
            EXISTS (SELECT 1 FROM users
                WHERE role = 'ADMIN' AND NOT disabled AND password_hash IS NOT NULL AND id <> $1)";
    UPDATE_USER = "UPDATE users SET role = $2, disabled = $3 WHERE id = $1";
    /// Locked in the order of their ids: two servers may write of the same users at once.
    SET_LAST_SEEN = "
        UPDATE users SET last_seen_ms = $2
        FROM (SELECT id FROM users WHERE id = ANY ($1) AND (last_seen_ms IS NULL OR last_seen_ms < $2)
              ORDER BY id FOR NO KEY UPDATE) AS earlier
        WHERE users.id = earlier.id";
    CONTACTS = "
        SELECT n.place, c.user_id FROM unnest($1::uuid[]) WITH ORDINALITY AS n (user_id, place)
        CROSS JOIN LATERAL (
            SELECT DISTINCT other.user_id FROM participants me
            JOIN participants other ON other.conversation_id = me.conversation_id
            WHERE me.user_id = n.user_id AND me.left_at_ms IS NULL AND other.left_seq IS NULL
                AND other.user_id <> n.user_id
        ) c";
    INSERT_AUDIT = "
        INSERT INTO audit_log (at_ms, actor_id, action, subject, detail, address, request_id)
        SELECT e.at_ms, e.actor_id, e.action, e.subject, e.detail, e.address, e.request_id
        FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
            WITH ORDINALITY AS e (at_ms, actor_id, action, subject, detail, address, request_id, place)
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

    async fn password_hash(&self, id: UserId) -> Result<Option<String>> {
        self.read(id, |db, id| {
            let hash =
                db.query(PASSWORD_HASH).bind(Db(*id)).try_map(|row| row.try_get::<Option<String>, _>(0));
            Box::pin(async { Ok(hash.fetch_optional(&mut db.inner).await?.flatten()) })
        })
        .await
    }

    async fn replace_password_hash(&self, id: UserId, old: &str, new: &str) -> Result<bool> {
        self.write((id, old.to_owned(), new.to_owned()), |db, (id, old, new)| {
            let replace = db.query(REPLACE_PASSWORD_HASH).bind(Db(*id)).bind(old.clone()).bind(new.clone());
            Box::pin(async { Ok(replace.execute(&mut db.inner).await?.rows_affected() == 1) })
        })
        .await
    }

    async fn change_password(&self, new: &PasswordRow) -> Result<Option<Vec<SessionId>>> {
        self.write(new.clone(), |db, new| Box::pin(change_password(db, new))).await
    }

    async fn users(&self, list: &UserList) -> Result<Page<User>> {
        self.read(list.clone(), |db, list| Box::pin(users(db, list))).await
    }

    async fn update_user(&self, id: UserId, change: UserChange, at: Timestamp) -> Result<UserUpdate> {
        self.write((id, change, at), |db, (id, change, at)| Box::pin(update_user(db, *id, *change, *at)))
            .await
    }

    async fn set_last_seen(&self, users: &[UserId], at: Timestamp) -> Result<()> {
        self.write((users.to_vec(), at), |db, (users, at)| {
            let set = db.query(SET_LAST_SEEN).bind(array(users.iter().copied())).bind(Db(*at));
            Box::pin(async { Ok(set.execute(&mut db.inner).await.map(drop)?) })
        })
        .await
    }

    async fn contacts_of(&self, users: &[UserId]) -> Result<Vec<Vec<UserId>>> {
        self.read(users.to_vec(), |db, users| Box::pin(contacts_of(db, users))).await
    }

    async fn audit(&self, entries: &[AuditEntry]) -> Result<()> {
        self.write(entries.to_vec(), |db, entries| {
            let insert = db
                .query(INSERT_AUDIT)
                .bind(array(entries.iter().map(|entry| entry.at)))
                .bind(entries.iter().map(|entry| entry.actor.map(Db)).collect::<Vec<_>>())
                .bind(entries.iter().map(|entry| entry.action).collect::<Vec<_>>())
                .bind(entries.iter().map(|entry| entry.subject.clone()).collect::<Vec<_>>())
                .bind(entries.iter().map(|entry| entry.detail.clone()).collect::<Vec<_>>())
                .bind(entries.iter().map(|entry| entry.address.clone()).collect::<Vec<_>>())
                .bind(entries.iter().map(|entry| entry.request_id.clone()).collect::<Vec<_>>());
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

async fn contacts_of(db: &mut Connection, users: &[UserId]) -> Result<Vec<Vec<UserId>>, Failure> {
    let found = db
        .query(CONTACTS)
        .bind(array(users.iter().copied()))
        .try_map(|row| Ok((get::<u64>(&row, 0)?, get::<UserId>(&row, 1)?)));
    let mut contacts = vec![Vec::new(); users.len()];
    for (place, contact) in found.fetch_all(&mut db.inner).await? {
        // Places count from 1.
        let of = usize::try_from(place).ok().and_then(|place| contacts.get_mut(place.checked_sub(1)?));
        of.into_iter().for_each(|of| of.push(contact));
    }
    Ok(contacts)
}

async fn upsert_host_user(db: &mut Connection, user: &User) -> Result<User, Failure> {
    let upsert = bind_user(db.query(UPSERT_HOST_USER), user).try_map(|row| user_at(&row, 0));
    Ok(upsert.fetch_one(&mut db.inner).await?)
}

async fn change_password(db: &mut Connection, new: &PasswordRow) -> Result<Option<Vec<SessionId>>, Failure> {
    db.query(LOCK_USER).bind(Db(new.user_id)).execute(&mut db.inner).await?;
    let set = db.query(SET_PASSWORD_HASH).bind(Db(new.user_id));
    let set = set.bind(new.old_hash.clone()).bind(new.new_hash.clone());
    if set.execute(&mut db.inner).await?.rows_affected() == 0 {
        return Ok(None);
    }
    revoke_all(db, new.user_id, new.keep, new.at).await.map(Some)
}

async fn users(db: &mut Connection, list: &UserList) -> Result<Page<User>, Failure> {
    let statement = match list.by {
        UserOrder::Username => LIST_BY_USERNAME,
        UserOrder::Email => LIST_BY_EMAIL,
    };
    let (key, id) = list.begin();
    let users = db.query(statement).bind(key).bind(Db(id)).bind(list.end()).bind(i64::from(list.limit) + 1);
    let mut items = users.try_map(|row| user_at(&row, 0)).fetch_all(&mut db.inner).await?;
    let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
    let has_more = items.len() > limit;
    items.truncate(limit);
    Ok(Page { items, has_more })
}

async fn update_user(
    db: &mut Connection,
    id: UserId,
    change: UserChange,
    at: Timestamp,
) -> Result<UserUpdate, Failure> {
    db.query(LOCK_ADMINISTRATORS_AND).bind(Db(id)).execute(&mut db.inner).await?;
    let before = db.query(USER).bind(Db(id)).try_map(|row| user_at(&row, 0));
    let Some(before) = before.fetch_optional(&mut db.inner).await? else { return Ok(UserUpdate::NotFound) };
    let (role, disabled) = (change.role.unwrap_or(before.role), change.disabled.unwrap_or(before.disabled));
    if role != Role::Admin || disabled {
        let row = db.query(ADMINISTRATORS).bind(Db(id)).fetch_one(&mut db.inner).await?;
        let (is_one, is_another): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
        if is_one && !is_another {
            return Ok(UserUpdate::LastAdmin);
        }
    }
    db.query(UPDATE_USER).bind(Db(id)).bind(Db(role)).bind(disabled).execute(&mut db.inner).await?;
    let ended = if disabled { revoke_all(db, id, None, at).await? } else { Vec::new() };
    Ok(UserUpdate::Updated { user: User { role, disabled, ..before.clone() }, before, ended })
}
