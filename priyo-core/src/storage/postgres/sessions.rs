//! Sessions and their refresh tokens.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStorage;
use super::connection::Connection;
use super::failure::Failure;
use super::users::user_at;
use super::values::{Db, get, get_opt, statements};
use crate::model::{SessionId, Timestamp, UserId};
use crate::storage::{NewSession, RefreshToken, Result, Rotation, Session, SessionStore, TokenHash};

statements! {
    INSERT_SESSION = "
        WITH begun AS (INSERT INTO sessions (id, user_id, created_at_ms, expires_at_ms) VALUES ($1, $2, $3, $4))
        INSERT INTO refresh_tokens (hash, session_id, created_at_ms, expires_at_ms) VALUES ($5, $1, $6, $7)";
    SESSION = "
        SELECT s.id, s.expires_at_ms, s.revoked_at_ms IS NOT NULL,
            u.id, u.external_id, u.email, u.username, u.avatar, u.role, u.disabled, u.created_at_ms, u.last_seen_ms
        FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1";
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
    REVOKE_SESSION = "UPDATE sessions SET revoked_at_ms = $2 WHERE id = $1 AND revoked_at_ms IS NULL";
    REVOKE_SESSIONS = "
        WITH live AS MATERIALIZED (
            SELECT id FROM sessions WHERE user_id = $1 AND revoked_at_ms IS NULL ORDER BY id FOR NO KEY UPDATE)
        UPDATE sessions s SET revoked_at_ms = $2 FROM live WHERE s.id = live.id RETURNING s.id, s.expires_at_ms > $2";
}

#[async_trait]
impl SessionStore for PostgresStorage {
    async fn create_session(&self, session: &NewSession, token: &RefreshToken) -> Result<()> {
        self.write((session.clone(), token.clone()), |db, (session, token)| {
            let insert = db
                .query(INSERT_SESSION)
                .bind(Db(session.id))
                .bind(Db(session.user_id))
                .bind(Db(session.created_at))
                .bind(Db(session.expires_at))
                .bind(Db(token.hash))
                .bind(Db(token.created_at))
                .bind(Db(token.expires_at));
            Box::pin(async { Ok(insert.execute(&mut db.inner).await.map(drop)?) })
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
        self.write((user, at), |db, (user, at)| {
            let revoke = db.query(REVOKE_SESSIONS).bind(Db(*user)).bind(Db(*at));
            let revoke = revoke.try_map(|row| Ok((get(&row, 0)?, row.try_get(1)?)));
            Box::pin(async {
                let ended: Vec<(SessionId, bool)> = revoke.fetch_all(&mut db.inner).await?;
                Ok(ended.into_iter().filter_map(|(id, was_live)| was_live.then_some(id)).collect())
            })
        })
        .await
    }
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
    Ok(Rotation::Rotated(session))
}
