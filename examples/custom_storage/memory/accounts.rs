//! Users and their sessions.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use priyo_core::model::{SessionId, Timestamp, User, UserId};
use priyo_core::storage::{
    AuditEntry, NewSession, RefreshToken, Result, Rotation, Session, SessionStore, TokenHash, UserStore,
};

use super::{MemoryStorage, State, Token, insert, taken};

#[async_trait]
impl UserStore for MemoryStorage {
    async fn create_account(&self, user: &User, password_hash: &str) -> Result<bool> {
        self.run(|state| {
            // ASCII only: what is one letter to Unicode is two to some people.
            let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
            let email = |user: &User| user.email.clone().unwrap_or_default();
            let is_taken = state.users.values().any(|(other, hash)| {
                hash.is_some() && (same(&other.username, &user.username) || same(&email(other), &email(user)))
            });
            if is_taken {
                return Ok(false);
            }
            insert(&mut state.users, user.id, (user.clone(), Some(password_hash.to_owned())))?;
            Ok(true)
        })
    }

    async fn upsert_host_user(&self, user: &User) -> Result<User> {
        self.run(|state| {
            let mut users = state.users.values_mut().map(|(user, _)| user);
            if let Some(known) = users.find(|known| known.external_id == user.external_id) {
                known.username.clone_from(&user.username);
                known.avatar.clone_from(&user.avatar);
                known.role = user.role;
                return Ok(known.clone());
            }
            insert(&mut state.users, user.id, (user.clone(), None))?;
            Ok(user.clone())
        })
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        self.run(|state| Ok(state.users.get(&id).map(|(user, _)| user.clone())))
    }

    async fn host_user(&self, external_id: &str) -> Result<Option<User>> {
        self.run(|state| {
            let mut users = state.users.values().map(|(user, _)| user);
            Ok(users.find(|user| user.external_id.as_deref() == Some(external_id)).cloned())
        })
    }

    async fn account(&self, email: &str) -> Result<Option<(User, String)>> {
        self.run(|state| {
            let mut accounts = state.users.values().filter_map(|(user, hash)| Some((user, hash.clone()?)));
            let found = accounts.find(|(user, _)| user.email.as_deref() == Some(email));
            Ok(found.map(|(user, hash)| (user.clone(), hash)))
        })
    }

    async fn set_last_seen(&self, users: &[UserId], at: Timestamp) -> Result<()> {
        self.run(|state| {
            for id in users {
                if let Some((user, _)) = state.users.get_mut(id) {
                    // Never back: of two servers the later news may be stored first.
                    user.last_seen = user.last_seen.max(Some(at));
                }
            }
            Ok(())
        })
    }

    async fn contacts_of(&self, id: UserId) -> Result<Vec<UserId>> {
        self.run(|state| {
            let shared = state.rooms.values().filter(|room| room.has(id));
            let users: HashSet<UserId> =
                shared.flat_map(|room| room.members.iter().map(|(user, _)| *user)).collect();
            Ok(users.into_iter().filter(|user| *user != id).collect())
        })
    }

    async fn audit(&self, entries: &[AuditEntry]) -> Result<()> {
        self.run(|state| {
            state.audit_log.extend_from_slice(entries);
            Ok(())
        })
    }
}

#[async_trait]
impl SessionStore for MemoryStorage {
    async fn create_session(&self, session: &NewSession, token: &RefreshToken) -> Result<()> {
        self.run(|state| {
            // Looked at first: what fails must leave nothing behind.
            if state.tokens.contains_key(&token.hash) {
                return Err(taken());
            }
            insert(&mut state.sessions, session.id, (session.clone(), false))?;
            insert(&mut state.tokens, token.hash, Token::new(session.id, None, token))
        })
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>> {
        self.run(|state| Ok(state.session(id)))
    }

    async fn rotate_refresh_token(
        &self,
        presented: &TokenHash,
        next: &RefreshToken,
        now: Timestamp,
        grace: Duration,
    ) -> Result<Rotation> {
        self.run(|state| {
            let Some(token) = state.tokens.get(presented).cloned() else { return Ok(Rotation::Invalid) };
            let Some(session) = state.session(token.session) else { return Ok(Rotation::Invalid) };
            if token.expires_at <= now || session.expires_at <= now || session.revoked {
                return Ok(Rotation::Invalid);
            }
            let child_was_used =
                state.tokens.values().any(|t| t.parent == Some(*presented) && t.used_at.is_some());
            // From its first use: a grace that each use renewed would never end.
            if token.used_at.is_some_and(|used_at| now.since(used_at) > grace || child_was_used) {
                state.revoke(token.session);
                return Ok(Rotation::Reused(Session { revoked: true, ..session }));
            }
            insert(&mut state.tokens, next.hash, Token::new(session.id, Some(*presented), next))?;
            state.tokens.insert(*presented, Token { used_at: token.used_at.or(Some(now)), ..token });
            Ok(Rotation::Rotated(session))
        })
    }

    async fn session_of_token(&self, token: &TokenHash) -> Result<Option<SessionId>> {
        self.run(|state| Ok(state.tokens.get(token).map(|token| token.session)))
    }

    async fn revoke_session(&self, id: SessionId, _at: Timestamp) -> Result<()> {
        self.run(|state| {
            state.revoke(id);
            Ok(())
        })
    }

    async fn revoke_sessions_of(&self, user: UserId, at: Timestamp) -> Result<Vec<SessionId>> {
        self.run(|state| {
            let all = state.sessions.values_mut().filter(|(session, _)| session.user_id == user);
            let ended = all.filter_map(|(session, revoked)| {
                let was_live = !std::mem::replace(revoked, true) && session.expires_at > at;
                was_live.then_some(session.id)
            });
            Ok(ended.collect())
        })
    }
}

impl State {
    /// Ends a session for good.
    fn revoke(&mut self, id: SessionId) {
        if let Some((_, revoked)) = self.sessions.get_mut(&id) {
            *revoked = true;
        }
    }
}

impl Token {
    fn new(session: SessionId, parent: Option<TokenHash>, token: &RefreshToken) -> Self {
        Self { session, parent, expires_at: token.expires_at, used_at: None }
    }
}
