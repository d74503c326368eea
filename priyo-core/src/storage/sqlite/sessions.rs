//! Sessions and their refresh tokens.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStorage;
use super::failure::Failure;
use super::users::user_at;
use super::values::{Db, get, get_opt, statements};
use crate::model::{SessionId, Timestamp, UserId};
use crate::storage::{NewSession, RefreshToken, Result, Rotation, Session, SessionStore, TokenHash};

statements! {
    INSERT_SESSION = "INSERT INTO sessions (id, user_id, created_at_ms, expires_at_ms) VALUES (?1, ?2, ?3, ?4)";
    INSERT_TOKEN = "
        INSERT INTO refresh_tokens (hash, session_id, parent, created_at_ms, expires_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
    SESSION = "
        SELECT s.id, s.expires_at_ms, s.revoked_at_ms IS NOT NULL,
            u.id, u.external_id, u.email, u.username, u.avatar, u.role, u.disabled, u.created_at_ms, u.last_seen_ms
        FROM sessions s CROSS JOIN users u ON u.id = s.user_id WHERE s.id = ?1";
    TOKEN = "SELECT session_id, expires_at_ms, used_at_ms FROM refresh_tokens WHERE hash = ?1";
    HAS_USED_CHILD = "SELECT EXISTS (SELECT 1 FROM refresh_tokens WHERE parent = ?1 AND used_at_ms IS NOT NULL)";
    USE_TOKEN = "UPDATE refresh_tokens SET used_at_ms = ?2 WHERE hash = ?1 AND used_at_ms IS NULL";
    REVOKE_SESSION = "UPDATE sessions SET revoked_at_ms = ?2 WHERE id = ?1 AND revoked_at_ms IS NULL";
    REVOKE_SESSIONS = "
        UPDATE sessions SET revoked_at_ms = ?2 WHERE user_id = ?1 AND revoked_at_ms IS NULL
        RETURNING id, expires_at_ms > ?2";
}

#[async_trait]
impl SessionStore for SqliteStorage {
    async fn create_session(&self, session: &NewSession, token: &RefreshToken) -> Result<()> {
        let (session, token) = (session.clone(), token.clone());
        self.write(move |db| {
            db.prepare_cached(INSERT_SESSION)?.execute((
                Db(session.id),
                Db(session.user_id),
                Db(session.created_at),
                Db(session.expires_at),
            ))?;
            insert_token(db, session.id, None, &token)
        })
        .await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>> {
        self.read(move |db| session(db, id)).await
    }

    async fn rotate_refresh_token(
        &self,
        presented: &TokenHash,
        next: &RefreshToken,
        now: Timestamp,
        grace: Duration,
    ) -> Result<Rotation> {
        let (presented, next) = (*presented, next.clone());
        self.write(move |db| rotate(db, &presented, &next, now, grace)).await
    }

    async fn session_of_token(&self, token: &TokenHash) -> Result<Option<SessionId>> {
        let token = *token;
        self.read(move |db| {
            Ok(db.prepare_cached(TOKEN)?.query_row([Db(token)], |row| get(row, 0)).optional()?)
        })
        .await
    }

    async fn revoke_session(&self, id: SessionId, at: Timestamp) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached(REVOKE_SESSION)?.execute((Db(id), Db(at)))?;
            Ok(())
        })
        .await
    }

    async fn revoke_sessions_of(&self, user: UserId, at: Timestamp) -> Result<Vec<SessionId>> {
        self.write(move |db| {
            let mut revoke = db.prepare_cached(REVOKE_SESSIONS)?;
            let ended = revoke
                .query_map((Db(user), Db(at)), |row| Ok((get(row, 0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<(SessionId, bool)>>>()?;
            Ok(ended.into_iter().filter_map(|(id, was_live)| was_live.then_some(id)).collect())
        })
        .await
    }
}

fn session(db: &Connection, id: SessionId) -> Result<Option<Session>, Failure> {
    let mut session = db.prepare_cached(SESSION)?;
    let found = session.query_row([Db(id)], |row| {
        Ok(Session {
            id: get(row, 0)?,
            expires_at: get(row, 1)?,
            revoked: row.get(2)?,
            user: user_at(row, 3)?,
        })
    });
    Ok(found.optional()?)
}

fn insert_token(
    db: &Connection,
    session: SessionId,
    parent: Option<&TokenHash>,
    token: &RefreshToken,
) -> Result<(), Failure> {
    db.prepare_cached(INSERT_TOKEN)?.execute(params![
        Db(token.hash),
        Db(session),
        parent.map(|hash| Db(*hash)),
        Db(token.created_at),
        Db(token.expires_at),
    ])?;
    Ok(())
}

fn rotate(
    db: &Connection,
    presented: &TokenHash,
    next: &RefreshToken,
    now: Timestamp,
    grace: Duration,
) -> Result<Rotation, Failure> {
    let token = db
        .prepare_cached(TOKEN)?
        .query_row([Db(*presented)], |row| Ok((get(row, 0)?, get(row, 1)?, get_opt(row, 2)?)))
        .optional()?;
    let Some((id, expires_at, used_at)): Option<(SessionId, Timestamp, Option<Timestamp>)> = token else {
        return Ok(Rotation::Invalid);
    };
    let Some(mut session) = session(db, id)? else { return Ok(Rotation::Invalid) };
    if expires_at <= now || session.expires_at <= now || session.revoked {
        return Ok(Rotation::Invalid);
    }
    let is_late = match used_at {
        None => false,
        Some(used_at) => {
            now.since(used_at) > grace
                || db.prepare_cached(HAS_USED_CHILD)?.query_row([Db(*presented)], |row| row.get(0))?
        }
    };
    if is_late {
        db.prepare_cached(REVOKE_SESSION)?.execute((Db(id), Db(now)))?;
        session.revoked = true;
        return Ok(Rotation::Reused(session));
    }
    db.prepare_cached(USE_TOKEN)?.execute((Db(*presented), Db(now)))?;
    insert_token(db, id, Some(presented), next)?;
    Ok(Rotation::Rotated(session))
}
