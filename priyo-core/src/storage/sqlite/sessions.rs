//! Sessions and their refresh tokens.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStorage;
use super::failure::Failure;
use super::users::user_at;
use super::values::{Db, get, get_opt, statements};
use crate::model::{OwnSession, SessionId, Timestamp, UserId};
use crate::storage::{NewSession, RefreshToken, Result, Rotation, Session, SessionStore, TokenHash};

statements! {
    INSERT_SESSION = "
        INSERT INTO sessions (id, user_id, created_at_ms, expires_at_ms, last_used_at_ms, ends_at_ms, user_agent)
        SELECT ?1, u.id, ?3, ?4, ?3, min(?4, ?5), ?6 FROM users u
        WHERE u.id = ?2 AND u.disabled = 0 AND (?7 IS NULL OR u.password_hash = ?7)";
    INSERT_TOKEN = "
        INSERT INTO refresh_tokens (hash, session_id, parent, created_at_ms, expires_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
    SESSION = "
        SELECT s.id, s.expires_at_ms, s.revoked_at_ms IS NOT NULL,
            u.id, u.external_id, u.email, u.username, u.avatar, u.role, u.disabled, u.created_at_ms, u.last_seen_ms
        FROM sessions s CROSS JOIN users u ON u.id = s.user_id WHERE s.id = ?1";
    TOKEN = "SELECT session_id, expires_at_ms, used_at_ms FROM refresh_tokens WHERE hash = ?1";
    HAS_USED_CHILD = "SELECT EXISTS (SELECT 1 FROM refresh_tokens WHERE parent = ?1 AND used_at_ms IS NOT NULL)";
    USE_TOKEN = "UPDATE refresh_tokens SET used_at_ms = ?2 WHERE hash = ?1 AND used_at_ms IS NULL";
    USE_SESSION = "
        UPDATE sessions SET last_used_at_ms = max(last_used_at_ms, ?2), ends_at_ms = min(expires_at_ms, ?3)
        WHERE id = ?1";
    REVOKE_SESSION = "
        UPDATE sessions SET revoked_at_ms = ?2, ends_at_ms = min(ends_at_ms, ?2)
        WHERE id = ?1 AND revoked_at_ms IS NULL";
    REVOKE_SESSIONS = "
        UPDATE sessions SET revoked_at_ms = ?2, ends_at_ms = min(ends_at_ms, ?2)
        WHERE user_id = ?1 AND revoked_at_ms IS NULL AND id IS NOT ?3
        RETURNING id, expires_at_ms > ?2";
    OWN_SESSIONS = "
        SELECT id, created_at_ms, last_used_at_ms, ends_at_ms, user_agent FROM sessions
        WHERE user_id = ?1 AND revoked_at_ms IS NULL AND ends_at_ms > ?2
        ORDER BY last_used_at_ms DESC, id DESC LIMIT ?3";
    EXPIRED_TOKENS = "SELECT hash FROM refresh_tokens WHERE expires_at_ms <= ?1 ORDER BY expires_at_ms LIMIT ?2";
    SESSIONS_PAST_END = "SELECT id FROM sessions WHERE ends_at_ms <= ?1 ORDER BY ends_at_ms LIMIT ?2";
    TOKENS_OF_SESSION = "SELECT hash FROM refresh_tokens WHERE session_id = ?1 LIMIT ?2";
    ORPHAN_TOKENS = "UPDATE refresh_tokens SET parent = NULL WHERE parent = ?1";
    DELETE_TOKEN = "DELETE FROM refresh_tokens WHERE hash = ?1";
    DELETE_SESSION = "DELETE FROM sessions WHERE id = ?1";
}

#[async_trait]
impl SessionStore for SqliteStorage {
    async fn create_session(
        &self,
        session: &NewSession,
        token: &RefreshToken,
        password_hash: Option<&str>,
    ) -> Result<bool> {
        let (session, token) = (session.clone(), token.clone());
        let password_hash = password_hash.map(str::to_owned);
        self.write(move |db| {
            let added = db.prepare_cached(INSERT_SESSION)?.execute(params![
                Db(session.id),
                Db(session.user_id),
                Db(session.created_at),
                Db(session.expires_at),
                Db(token.expires_at),
                session.user_agent,
                password_hash,
            ])?;
            if added == 1 {
                insert_token(db, session.id, None, &token)?;
            }
            Ok(added == 1)
        })
        .await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>> {
        self.read(move |db| session(db, id)).await
    }

    async fn ended_sessions(&self, of: &[SessionId]) -> Result<Vec<SessionId>> {
        let of = of.to_vec();
        self.read(move |db| {
            let mut ended = Vec::new();
            for id in of {
                if session(db, id)?.is_none_or(|session| session.revoked || session.user.disabled) {
                    ended.push(id);
                }
            }
            Ok(ended)
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
        self.write(move |db| revoke_all(db, user, None, at)).await
    }

    async fn sessions_of(&self, user: UserId, now: Timestamp, limit: u32) -> Result<Vec<OwnSession>> {
        self.read(move |db| {
            let mut sessions = db.prepare_cached(OWN_SESSIONS)?;
            let sessions = sessions.query_map((Db(user), Db(now), limit), |row| {
                Ok(OwnSession {
                    id: get(row, 0)?,
                    created_at: get(row, 1)?,
                    last_used_at: get(row, 2)?,
                    ends_at: get(row, 3)?,
                    user_agent: row.get(4)?,
                })
            })?;
            Ok(sessions.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn delete_ended(&self, before: Timestamp, limit: u32) -> Result<u64> {
        self.write(move |db| delete_ended(db, before, limit)).await
    }
}

/// Ends the sessions of a user, but for one; gives those that were live.
pub(super) fn revoke_all(
    db: &Connection,
    user: UserId,
    keep: Option<SessionId>,
    at: Timestamp,
) -> Result<Vec<SessionId>, Failure> {
    let mut revoke = db.prepare_cached(REVOKE_SESSIONS)?;
    let ended = revoke
        .query_map((Db(user), Db(at), keep.map(Db)), |row| Ok((get(row, 0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(SessionId, bool)>>>()?;
    Ok(ended.into_iter().filter_map(|(id, was_live)| was_live.then_some(id)).collect())
}

fn delete_ended(db: &Connection, before: Timestamp, limit: u32) -> Result<u64, Failure> {
    let expired = tokens(db, EXPIRED_TOKENS, Db(before), u64::from(limit))?;
    let mut left = u64::from(limit) - delete_tokens(db, &expired)?;
    let mut ended = db.prepare_cached(SESSIONS_PAST_END)?;
    let ended = ended.query_map((Db(before), Db(left)), |row| get(row, 0))?;
    for id in ended.collect::<rusqlite::Result<Vec<SessionId>>>()? {
        left -= delete_tokens(db, &tokens(db, TOKENS_OF_SESSION, Db(id), left)?)?;
        if left == 0 {
            break;
        }
        db.prepare_cached(DELETE_SESSION)?.execute([Db(id)])?;
        left -= 1;
    }
    Ok(u64::from(limit) - left)
}

/// The hashes that a statement finds, at most `limit`.
fn tokens<T>(db: &Connection, sql: &str, of: Db<T>, limit: u64) -> Result<Vec<Vec<u8>>, Failure>
where
    Db<T>: rusqlite::ToSql,
{
    let mut found = db.prepare_cached(sql)?;
    let found = found.query_map((of, Db(limit)), |row| row.get(0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn delete_tokens(db: &Connection, hashes: &[Vec<u8>]) -> Result<u64, Failure> {
    for hash in hashes {
        // Its children may be good still.
        db.prepare_cached(ORPHAN_TOKENS)?.execute([hash])?;
        db.prepare_cached(DELETE_TOKEN)?.execute([hash])?;
    }
    Ok(hashes.len() as u64)
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
    db.prepare_cached(USE_SESSION)?.execute((Db(id), Db(now), Db(next.expires_at)))?;
    Ok(Rotation::Rotated(session))
}
