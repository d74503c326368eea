use std::time::Duration;

use async_trait::async_trait;
use priyo_core::model::{OwnSession, SessionId, Timestamp, UserId};
use priyo_core::storage::{
    NewSession, RefreshToken, Result, Rotation, Session, SessionStore, TokenHash, UserStore,
};

use super::{Broken, Fault, pause};

#[async_trait]
impl SessionStore for Broken {
    async fn create_session(
        &self,
        session: &NewSession,
        token: &RefreshToken,
        password_hash: Option<&str>,
    ) -> Result<bool> {
        let memory = self.memory();
        let mut session = session.clone();
        let password_hash = password_hash.filter(|_| !self.has(Fault::AnyPasswordIsProof));
        let password_hash = if self.has(Fault::ProofsAreLookedAtFirst) {
            let is_good = memory.password_hash(session.user_id).await?.as_deref() == password_hash;
            pause().await;
            password_hash.filter(|_| !is_good)
        } else {
            password_hash
        };
        if self.has(Fault::TokensOutliveTheirSession) {
            session.expires_at = Timestamp::from_millis(i64::MAX);
        }
        if let Some(user) = memory.user(session.user_id).await? {
            self.note(|notes| notes.session_users.insert(session.id, user));
        }
        self.note(|notes| notes.sessions.push((session.id, session.user_id)));
        memory.create_session(&session, token, password_hash).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>> {
        let session = self.memory().session(id).await?;
        Ok(session.map(|session| match self.fault {
            Fault::ReuseIsOnlyRefused => Session { revoked: false, ..session },
            Fault::SessionsRememberTheirUser => {
                let then = self.note(|notes| notes.session_users.get(&id).cloned());
                Session { user: then.unwrap_or(session.user.clone()), ..session }
            }
            _ => session,
        }))
    }

    async fn ended_sessions(&self, of: &[SessionId]) -> Result<Vec<SessionId>> {
        let memory = self.memory();
        let mut ended = memory.ended_sessions(of).await?;
        if self.has(Fault::GoneSessionsAreNotOver) {
            let mut there = Vec::new();
            for id in ended {
                there.extend(memory.session(id).await?.map(|_| id));
            }
            ended = there;
        }
        Ok(ended)
    }

    async fn rotate_refresh_token(
        &self,
        presented: &TokenHash,
        next: &RefreshToken,
        now: Timestamp,
        grace: Duration,
    ) -> Result<Rotation> {
        let memory = self.memory();
        let session = memory.session_of_token(presented).await?;
        let last_use = self.note(|notes| notes.uses.get(presented).copied());
        let within = last_use.is_some_and(|last_use| now.since(last_use) <= grace);
        let given = match self.fault {
            Fault::TheGraceNeverEnds => Duration::MAX,
            Fault::EachUseRenewsTheGrace if within => Duration::MAX,
            _ => grace,
        };
        let rotation = memory.rotate_refresh_token(presented, next, now, given).await?;
        if self.has(Fault::EachUseRenewsTheGrace) || last_use.is_none() {
            self.note(|notes| notes.uses.insert(*presented, now));
        }
        match (rotation, self.fault, session) {
            (Rotation::Rotated(session), Fault::ThereIsNoGrace, _) if last_use.is_some() => {
                memory.revoke_session(session.id, now).await?;
                Ok(Rotation::Reused(Session { revoked: true, ..session }))
            }
            (Rotation::Reused(session), Fault::TheUseOfAChildIsForgotten, _) if within => {
                Ok(Rotation::Rotated(Session { revoked: false, ..session }))
            }
            (Rotation::Reused(reused), Fault::StoresTheChildOfAReusedToken, Some(session)) => {
                self.note(|notes| notes.tokens_left.insert(next.hash, session));
                Ok(Rotation::Reused(reused))
            }
            (Rotation::Invalid, Fault::AnExpiredTokenRevokes, Some(session)) => {
                memory.revoke_session(session, now).await?;
                Ok(Rotation::Invalid)
            }
            (rotation, ..) => Ok(rotation),
        }
    }

    async fn session_of_token(&self, token: &TokenHash) -> Result<Option<SessionId>> {
        if let Some(left) = self.note(|notes| notes.tokens_left.get(token).copied()) {
            return Ok(Some(left));
        }
        let memory = self.memory();
        let session = memory.session_of_token(token).await?;
        if let Some(id) = session
            && self.has(Fault::RevokingForgetsTheTokens)
            && memory.session(id).await?.is_some_and(|session| session.revoked)
        {
            return Ok(None);
        }
        Ok(session)
    }

    async fn revoke_session(&self, id: SessionId, at: Timestamp) -> Result<()> {
        self.memory().revoke_session(id, at).await
    }

    async fn revoke_sessions_of(&self, user: UserId, at: Timestamp) -> Result<Vec<SessionId>> {
        let memory = self.memory();
        let ended = memory.revoke_sessions_of(user, at).await?;
        let all = self.note(|notes| notes.sessions.clone());
        match self.fault {
            Fault::RevokingGivesTheDeadToo => {
                Ok(all.into_iter().filter(|(_, owner)| *owner == user).map(|(id, _)| id).collect())
            }
            Fault::RevokingHitsEveryone => {
                for (id, _) in all {
                    memory.revoke_session(id, at).await?;
                }
                Ok(ended)
            }
            _ => Ok(ended),
        }
    }

    async fn sessions_of(&self, user: UserId, now: Timestamp, limit: u32) -> Result<Vec<OwnSession>> {
        let now =
            if self.has(Fault::SessionsAreListedForEver) { Timestamp::from_millis(i64::MIN) } else { now };
        let mut sessions = self.memory().sessions_of(user, now, limit).await?;
        if self.has(Fault::TheFirstSessionIsListedFirst) {
            sessions.sort_by_key(|session| session.created_at);
        }
        Ok(sessions)
    }

    async fn delete_ended(&self, before: Timestamp, limit: u32) -> Result<u64> {
        let memory = self.memory();
        match self.fault {
            Fault::DeletesOnlyBefore => {
                memory.delete_ended(before.before(Duration::from_millis(1)), limit).await
            }
            Fault::DeletesWhatIsLive => {
                memory.delete_ended(before.after(Duration::from_secs(1)), limit).await
            }
            Fault::DeletesAllAtOnce => memory.delete_ended(before, u32::MAX).await,
            _ => memory.delete_ended(before, limit).await,
        }
    }
}
