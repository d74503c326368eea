//! Users and their sessions.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use priyo_core::model::{OwnSession, Page, Role, SessionId, Timestamp, User, UserChange, UserId, UserList};
use priyo_core::storage::{
    AuditEntry, NewSession, PasswordRow, RefreshToken, Result, Rotation, Session, SessionStore, TokenHash,
    UserStore, UserUpdate,
};

use super::{MemoryStorage, SessionRow, State, Token, insert, taken};

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

    async fn password_hash(&self, id: UserId) -> Result<Option<String>> {
        self.run(|state| Ok(state.users.get(&id).and_then(|(_, hash)| hash.clone())))
    }

    async fn replace_password_hash(&self, id: UserId, old: &str, new: &str) -> Result<bool> {
        self.run(|state| {
            let hash = state.users.get_mut(&id).and_then(|(_, hash)| hash.as_mut());
            let Some(hash) = hash.filter(|hash| *hash == old) else { return Ok(false) };
            new.clone_into(hash);
            Ok(true)
        })
    }

    async fn change_password(&self, new: &PasswordRow) -> Result<Option<Vec<SessionId>>> {
        self.run(|state| {
            let hash = state.users.get_mut(&new.user_id).and_then(|(_, hash)| hash.as_mut());
            let is_meant = |hash: &&mut String| new.old_hash.as_ref().is_none_or(|old| old == *hash);
            let Some(hash) = hash.filter(is_meant) else { return Ok(None) };
            hash.clone_from(&new.new_hash);
            Ok(Some(state.revoke_all(new.user_id, new.keep, new.at)))
        })
    }

    async fn users(&self, list: &UserList) -> Result<Page<User>> {
        self.run(|state| {
            let (begin, end) = (list.begin(), list.end());
            let place = |user: &User| (list.by.key_of(user), user.id);
            let has_key = |user: &&User| list.by.is_of(user);
            let mut users: Vec<User> =
                state.users.values().map(|(user, _)| user).filter(has_key).cloned().collect();
            users.retain(|user| place(user) > begin && place(user).0 < end);
            users.sort_by_key(place);
            let limit = list.limit as usize;
            let has_more = users.len() > limit;
            users.truncate(limit);
            Ok(Page { items: users, has_more })
        })
    }

    async fn update_user(&self, id: UserId, change: UserChange, at: Timestamp) -> Result<UserUpdate> {
        self.run(|state| {
            let Some((before, _)) = state.users.get(&id).cloned() else { return Ok(UserUpdate::NotFound) };
            let mut user = before.clone();
            user.role = change.role.unwrap_or(before.role);
            user.disabled = change.disabled.unwrap_or(before.disabled);
            let is_admin = |user: &User, hash: &Option<String>| {
                user.role == Role::Admin && !user.disabled && hash.is_some()
            };
            let mut admins =
                state.users.values().filter(|(user, hash)| is_admin(user, hash)).map(|(user, _)| user.id);
            let only_one = admins.next().filter(|_| admins.next().is_none());
            if only_one == Some(id) && (user.role != Role::Admin || user.disabled) {
                return Ok(UserUpdate::LastAdmin);
            }
            if let Some((known, _)) = state.users.get_mut(&id) {
                known.clone_from(&user);
            }
            let ended = if user.disabled { state.revoke_all(id, None, at) } else { Vec::new() };
            Ok(UserUpdate::Updated { before, user, ended })
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

    async fn contacts_of(&self, users: &[UserId]) -> Result<Vec<Vec<UserId>>> {
        self.run(|state| Ok(users.iter().map(|user| state.contacts_of(*user)).collect()))
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
    async fn create_session(
        &self,
        session: &NewSession,
        token: &RefreshToken,
        password_hash: Option<&str>,
    ) -> Result<bool> {
        self.run(|state| {
            let Some((user, hash)) = state.users.get(&session.user_id) else { return Ok(false) };
            if user.disabled || password_hash.is_some_and(|proved| hash.as_deref() != Some(proved)) {
                return Ok(false);
            }
            // Looked at first: what fails must leave nothing behind.
            if state.tokens.contains_key(&token.hash) {
                return Err(taken());
            }
            let ends_at = session.expires_at.min(token.expires_at);
            let (made, last_used_at) = (session.clone(), session.created_at);
            let row = SessionRow { made, last_used_at, ends_at, is_revoked: false };
            insert(&mut state.sessions, session.id, row)?;
            insert(&mut state.tokens, token.hash, Token::new(session.id, None, token))?;
            Ok(true)
        })
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>> {
        self.run(|state| Ok(state.session(id)))
    }

    async fn ended_sessions(&self, of: &[SessionId]) -> Result<Vec<SessionId>> {
        self.run(|state| {
            let is_over = |session: Session| session.revoked || session.user.disabled;
            Ok(of.iter().copied().filter(|id| state.session(*id).is_none_or(is_over)).collect())
        })
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
                state.revoke(token.session, now);
                return Ok(Rotation::Reused(Session { revoked: true, ..session }));
            }
            insert(&mut state.tokens, next.hash, Token::new(session.id, Some(*presented), next))?;
            state.tokens.insert(*presented, Token { used_at: token.used_at.or(Some(now)), ..token });
            if let Some(row) = state.sessions.get_mut(&session.id) {
                row.last_used_at = row.last_used_at.max(now);
                row.ends_at = row.made.expires_at.min(next.expires_at);
            }
            Ok(Rotation::Rotated(session))
        })
    }

    async fn session_of_token(&self, token: &TokenHash) -> Result<Option<SessionId>> {
        self.run(|state| Ok(state.tokens.get(token).map(|token| token.session)))
    }

    async fn revoke_session(&self, id: SessionId, at: Timestamp) -> Result<()> {
        self.run(|state| {
            state.revoke(id, at);
            Ok(())
        })
    }

    async fn revoke_sessions_of(&self, user: UserId, at: Timestamp) -> Result<Vec<SessionId>> {
        self.run(|state| Ok(state.revoke_all(user, None, at)))
    }

    async fn sessions_of(&self, user: UserId, now: Timestamp, limit: u32) -> Result<Vec<OwnSession>> {
        self.run(|state| {
            let all = state.sessions.values();
            let live = all.filter(|row| row.made.user_id == user && !row.is_revoked && row.ends_at > now);
            let mut live: Vec<OwnSession> = live.map(SessionRow::own).collect();
            live.sort_by_key(|session| std::cmp::Reverse((session.last_used_at, session.id)));
            live.truncate(limit as usize);
            Ok(live)
        })
    }

    async fn delete_ended(&self, before: Timestamp, limit: u32) -> Result<u64> {
        self.run(|state| {
            let has_ended = |id: &SessionId| state.sessions[id].ends_at <= before;
            let is_over = |token: &Token| token.expires_at <= before || has_ended(&token.session);
            let mut tokens: Vec<TokenHash> =
                state.tokens.iter().filter(|(_, token)| is_over(token)).map(|(hash, _)| *hash).collect();
            tokens.truncate(limit as usize);
            for hash in &tokens {
                state.tokens.remove(hash);
            }
            // Not before all its tokens are gone.
            let mut left = limit as usize - tokens.len();
            let tokens_left = &state.tokens;
            state.sessions.retain(|id, row| {
                let has_tokens = || tokens_left.values().any(|token| token.session == *id);
                if row.ends_at > before || left == 0 || has_tokens() {
                    return true;
                }
                left -= 1;
                false
            });
            Ok(u64::from(limit) - left as u64)
        })
    }
}

impl State {
    fn contacts_of(&self, id: UserId) -> Vec<UserId> {
        let shared = self.rooms.values().filter(|room| room.has(id));
        let users: HashSet<UserId> =
            shared.flat_map(|room| room.members.iter().map(|(user, _)| *user)).collect();
        users.into_iter().filter(|user| *user != id).collect()
    }

    /// Ends a session for good.
    fn revoke(&mut self, id: SessionId, at: Timestamp) {
        if let Some(row) = self.sessions.get_mut(&id).filter(|row| !row.is_revoked) {
            row.is_revoked = true;
            row.ends_at = row.ends_at.min(at);
        }
    }

    /// Ends the sessions of a user, but for one; gives those that were live.
    fn revoke_all(&mut self, user: UserId, keep: Option<SessionId>, at: Timestamp) -> Vec<SessionId> {
        let all = self.sessions.values().filter(|row| row.made.user_id == user && Some(row.made.id) != keep);
        let not_revoked = all.filter(|row| !row.is_revoked);
        let ended: Vec<_> = not_revoked.map(|row| (row.made.id, row.made.expires_at > at)).collect();
        ended.iter().for_each(|(id, _)| self.revoke(*id, at));
        ended.into_iter().filter_map(|(id, was_live)| was_live.then_some(id)).collect()
    }
}

impl SessionRow {
    fn own(&self) -> OwnSession {
        OwnSession {
            id: self.made.id,
            created_at: self.made.created_at,
            last_used_at: self.last_used_at,
            ends_at: self.ends_at,
            user_agent: self.made.user_agent.clone(),
        }
    }
}

impl Token {
    fn new(session: SessionId, parent: Option<TokenHash>, token: &RefreshToken) -> Self {
        Self { session, parent, expires_at: token.expires_at, used_at: None }
    }
}
