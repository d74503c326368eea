//! Sessions and their refresh tokens.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStorage;
use super::connection::Connection;
use super::failure::Failure;
use super::users::user_at;
use super::values::{Db, array, get, get_opt, statements};
use crate::model::{OwnSession, SessionId, Timestamp, UserId};
use crate::storage::{NewSession, RefreshToken, Result, Rotation, Session, SessionStore, TokenHash};

statements! {
    /// Waits for one who is about to end all sessions of the user, and then looks at the user again.
    INSERT_SESSION = "
        WITH owner AS (
            SELECT u.id FROM users u
            WHERE u.id = $2 AND NOT u.disabled AND ($8::text IS NULL OR u.password_hash = $8) FOR KEY SHARE),
        begun AS (
            INSERT INTO sessions (id, user_id, created_at_ms, expires_at_ms, last_used_at_ms, ends_at_ms, user_agent)
            SELECT $1::uuid, owner.id, $3::bigint, $4::bigint, $3, least($4, $7::bigint), $9::text FROM owner
            RETURNING id)
        INSERT INTO refresh_tokens (hash, session_id, created_at_ms, expires_at_ms)
        SELECT $5::bytea, begun.id, $6::bigint, $7 FROM begun";
    SESSION = "
        SELECT s.id, s.expires_at_ms, s.revoked_at_ms IS NOT NULL,
            u.id, u.external_id, u.email, u.username, u.avatar, u.role, u.disabled, u.created_at_ms, u.last_seen_ms
        FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1";
    ENDED_SESSIONS = "
        SELECT id FROM unnest($1::uuid[]) AS one (id)
        WHERE coalesce((
            SELECT s.revoked_at_ms IS NOT NULL OR u.disabled
            FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = one.id), TRUE)";
    SESSION_OF_TOKEN = "SELECT session_id FROM refresh_tokens WHERE hash = $1";
    LOCK_SESSION_OF_TOKEN = "
        SELECT s.id FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.hash = $1
        FOR NO KEY UPDATE OF s";
    TOKEN = "
        SELECT s.id, s.expires_at_ms, s.revoked_at_ms IS NOT NULL,
            u.id, u.external_id, u.email, u.username, u.avatar, u.role, u.disabled, u.created_at_ms, u.last_seen_ms,
            t.expires_at_ms, t.used_at_ms,
            EXISTS (SELECT 1 FROM refresh_tokens c WHERE c.parent = t.hash AND c.used_at_ms IS NOT NULL)
        FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id JOIN users u ON u.id = s.user_id
        WHERE t.hash = $1";
    USE_TOKEN = "
        WITH used AS (UPDATE refresh_tokens SET used_at_ms = $2 WHERE hash = $1 AND used_at_ms IS NULL)
        INSERT INTO refresh_tokens (hash, session_id, parent, created_at_ms, expires_at_ms)
        VALUES ($3, $4, $1, $5, $6)";
    USE_SESSION = "
        UPDATE sessions SET last_used_at_ms = greatest(last_used_at_ms, $2), ends_at_ms = least(expires_at_ms, $3)
        WHERE id = $1";
    REVOKE_SESSION = "
        UPDATE sessions SET revoked_at_ms = $2, ends_at_ms = least(ends_at_ms, $2)
        WHERE id = $1 AND revoked_at_ms IS NULL";
    REVOKE_SESSIONS = "
        WITH live AS MATERIALIZED (
            SELECT id FROM sessions
            WHERE user_id = $1 AND revoked_at_ms IS NULL AND id IS DISTINCT FROM $3::uuid
            ORDER BY id FOR NO KEY UPDATE)
        UPDATE sessions s SET revoked_at_ms = $2, ends_at_ms = least(s.ends_at_ms, $2)
        FROM live WHERE s.id = live.id RETURNING s.id, s.expires_at_ms > $2";
    /// A user has few sessions: the sum keeps it from the index by end, of which most sessions are a part.
    OWN_SESSIONS = "
        SELECT id, created_at_ms, last_used_at_ms, ends_at_ms, user_agent FROM sessions
        WHERE user_id = $1 AND revoked_at_ms IS NULL AND ends_at_ms + 0 > $2
        ORDER BY last_used_at_ms DESC, id DESC LIMIT $3";
    TRY_LOCK_DELETING = "
        SELECT pg_try_advisory_xact_lock(hashtextextended('priyo: deleting of ' || current_schema(), 0))";
    EXPIRED_TOKENS = "SELECT hash FROM refresh_tokens WHERE expires_at_ms <= $1 ORDER BY expires_at_ms LIMIT $2";
    SESSIONS_PAST_END = "
        SELECT id FROM sessions WHERE ends_at_ms <= $1 ORDER BY ends_at_ms LIMIT $2 FOR UPDATE SKIP LOCKED";
    TOKENS_OF_SESSIONS = "SELECT hash FROM refresh_tokens WHERE session_id = ANY ($1) LIMIT $2";
    ORPHAN_TOKENS = "UPDATE refresh_tokens SET parent = NULL WHERE parent = ANY ($1)";
    DELETE_TOKENS = "DELETE FROM refresh_tokens WHERE hash = ANY ($1)";
    DELETE_SESSIONS = "DELETE FROM sessions WHERE id = ANY ($1)";
}

#[async_trait]
impl SessionStore for PostgresStorage {
    async fn create_session(
        &self,
        session: &NewSession,
        token: &RefreshToken,
        password_hash: Option<&str>,
    ) -> Result<bool> {
        let new = (session.clone(), token.clone(), password_hash.map(str::to_owned));
        self.write(new, |db, (session, token, password_hash)| {
            let insert = db
                .query(INSERT_SESSION)
                .bind(Db(session.id))
                .bind(Db(session.user_id))
                .bind(Db(session.created_at))
                .bind(Db(session.expires_at))
                .bind(Db(token.hash))
                .bind(Db(token.created_at))
                .bind(Db(token.expires_at))
                .bind(password_hash.clone())
                .bind(session.user_agent.clone());
            Box::pin(async { Ok(insert.execute(&mut db.inner).await?.rows_affected() == 1) })
        })
        .await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>> {
        self.read(id, |db, id| {
            let session = db.query(SESSION).bind(Db(*id)).try_map(|row| session(&row));
            Box::pin(async { Ok(session.fetch_optional(&mut db.inner).await?) })
        })
        .await
    }

    async fn ended_sessions(&self, of: &[SessionId]) -> Result<Vec<SessionId>> {
        self.read(of.to_vec(), |db, of| {
            let ended = db.query(ENDED_SESSIONS).bind(array(of.iter().copied())).try_map(|row| get(&row, 0));
            Box::pin(async { Ok(ended.fetch_all(&mut db.inner).await?) })
        })
        .await
    }

    async fn rotate_refresh_token(
        &self,
        presented: &TokenHash,
        next: &RefreshToken,
        now: Timestamp,
        grace: Duration,
    ) -> Result<Rotation> {
        self.write((*presented, next.clone(), now, grace), |db, (presented, next, now, grace)| {
            Box::pin(rotate(db, presented, next, *now, *grace))
        })
        .await
    }

    async fn session_of_token(&self, token: &TokenHash) -> Result<Option<SessionId>> {
        self.read(*token, |db, token| {
            let session = db.query(SESSION_OF_TOKEN).bind(Db(*token)).try_map(|row| get(&row, 0));
            Box::pin(async { Ok(session.fetch_optional(&mut db.inner).await?) })
        })
        .await
    }

    async fn revoke_session(&self, id: SessionId, at: Timestamp) -> Result<()> {
        self.write((id, at), |db, (id, at)| Box::pin(revoke(db, *id, *at))).await
    }

    async fn revoke_sessions_of(&self, user: UserId, at: Timestamp) -> Result<Vec<SessionId>> {
        self.write((user, at), |db, (user, at)| Box::pin(revoke_all(db, *user, None, *at))).await
    }

    async fn sessions_of(&self, user: UserId, now: Timestamp, limit: u32) -> Result<Vec<OwnSession>> {
        self.read((user, now, limit), |db, (user, now, limit)| {
            let sessions = db.query(OWN_SESSIONS).bind(Db(*user)).bind(Db(*now)).bind(i64::from(*limit));
            let sessions = sessions.try_map(|row| {
                Ok(OwnSession {
                    id: get(&row, 0)?,
                    created_at: get(&row, 1)?,
                    last_used_at: get(&row, 2)?,
                    ends_at: get(&row, 3)?,
                    user_agent: row.try_get(4)?,
                })
            });
            Box::pin(async { Ok(sessions.fetch_all(&mut db.inner).await?) })
        })
        .await
    }

    async fn delete_ended(&self, before: Timestamp, limit: u32) -> Result<u64> {
        self.write((before, limit), |db, (before, limit)| Box::pin(delete_ended(db, *before, *limit))).await
    }
}

/// Ends the sessions of a user, but for one; gives those that were live.
pub(super) async fn revoke_all(
    db: &mut Connection,
    user: UserId,
    keep: Option<SessionId>,
    at: Timestamp,
) -> Result<Vec<SessionId>, Failure> {
    let revoke = db.query(REVOKE_SESSIONS).bind(Db(user)).bind(Db(at)).bind(keep.map(Db));
    let revoke = revoke.try_map(|row| Ok((get(&row, 0)?, row.try_get(1)?)));
    let ended: Vec<(SessionId, bool)> = revoke.fetch_all(&mut db.inner).await?;
    Ok(ended.into_iter().filter_map(|(id, was_live)| was_live.then_some(id)).collect())
}

/// One server at a time: two would wait for each other's tokens, whose parents and children each may have.
async fn delete_ended(db: &mut Connection, before: Timestamp, limit: u32) -> Result<u64, Failure> {
    let is_ours: bool = db.query(TRY_LOCK_DELETING).fetch_one(&mut db.inner).await?.try_get(0)?;
    if !is_ours {
        return Ok(0);
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let expired = db.query(EXPIRED_TOKENS).bind(Db(before)).bind(Db(limit as u64));
    let expired: Vec<TokenHash> = expired.try_map(|row| get(&row, 0)).fetch_all(&mut db.inner).await?;
    delete_tokens(db, &expired).await?;
    let left = limit - expired.len();
    let ended = db.query(SESSIONS_PAST_END).bind(Db(before)).bind(Db(left as u64));
    let mut ended: Vec<SessionId> = ended.try_map(|row| get(&row, 0)).fetch_all(&mut db.inner).await?;
    let of_ended = db.query(TOKENS_OF_SESSIONS).bind(array(ended.iter().copied())).bind(Db(left as u64));
    let of_ended: Vec<TokenHash> = of_ended.try_map(|row| get(&row, 0)).fetch_all(&mut db.inner).await?;
    delete_tokens(db, &of_ended).await?;
    // As long as there may be more tokens of theirs, they stay.
    ended.truncate(left - of_ended.len());
    if of_ended.len() < left {
        let delete = db.query(DELETE_SESSIONS).bind(array(ended.iter().copied()));
        delete.execute(&mut db.inner).await?;
    }
    Ok((expired.len() + of_ended.len() + ended.len()) as u64)
}

async fn delete_tokens(db: &mut Connection, hashes: &[TokenHash]) -> Result<(), Failure> {
    // Their children may be good still.
    for change in [ORPHAN_TOKENS, DELETE_TOKENS] {
        db.query(change).bind(array(hashes.iter().copied())).execute(&mut db.inner).await?;
    }
    Ok(())
}

/// Reads a session from the twelve columns that the queries above begin with.
fn session(row: &PgRow) -> sqlx::Result<Session> {
    Ok(Session {
        id: get(row, 0)?,
        expires_at: get(row, 1)?,
        revoked: row.try_get(2)?,
        user: user_at(row, 3)?,
    })
}

async fn revoke(db: &mut Connection, id: SessionId, at: Timestamp) -> Result<(), Failure> {
    db.query(REVOKE_SESSION).bind(Db(id)).bind(Db(at)).execute(&mut db.inner).await?;
    Ok(())
}

struct Presented {
    session: Session,
    expires_at: Timestamp,
    used_at: Option<Timestamp>,
    has_used_child: bool,
}

async fn rotate(
    db: &mut Connection,
    presented: &TokenHash,
    next: &RefreshToken,
    now: Timestamp,
    grace: Duration,
) -> Result<Rotation, Failure> {
    // The tokens of a session are traded one after the other: the use of a child must not be missed.
    let lock = db.query(LOCK_SESSION_OF_TOKEN).bind(Db(*presented)).execute(&mut db.inner).await?;
    if lock.rows_affected() == 0 {
        return Ok(Rotation::Invalid);
    }
    let token = db.query(TOKEN).bind(Db(*presented)).try_map(|row| {
        Ok(Presented {
            session: session(&row)?,
            expires_at: get(&row, 12)?,
            used_at: get_opt(&row, 13)?,
            has_used_child: row.try_get(14)?,
        })
    });
    let Presented { mut session, expires_at, used_at, has_used_child } =
        token.fetch_one(&mut db.inner).await?;
    if expires_at <= now || session.expires_at <= now || session.revoked {
        return Ok(Rotation::Invalid);
    }
    if used_at.is_some_and(|used_at| now.since(used_at) > grace || has_used_child) {
        revoke(db, session.id, now).await?;
        session.revoked = true;
        return Ok(Rotation::Reused(session));
    }
    let trade = db
        .query(USE_TOKEN)
        .bind(Db(*presented))
        .bind(Db(now))
        .bind(Db(next.hash))
        .bind(Db(session.id))
        .bind(Db(next.created_at))
        .bind(Db(next.expires_at));
    trade.execute(&mut db.inner).await?;
    let used = db.query(USE_SESSION).bind(Db(session.id)).bind(Db(now)).bind(Db(next.expires_at));
    used.execute(&mut db.inner).await?;
    Ok(Rotation::Rotated(session))
}
