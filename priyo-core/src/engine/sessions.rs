//! The sessions of a user, who may look at them and end them.

use super::ChatEngine;
use super::audit::Deed;
use super::unanswered::is_unanswered;
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::events::Revocation;
use crate::model::{OwnSession, SessionId};

const NO_SESSION: &str = "Session not found";

impl ChatEngine {
    /// Ends the caller's session, or all of the caller's sessions: their tokens are refused from now on and their
    /// connections closed.
    ///
    /// # Errors
    ///
    /// - [`Error::RouteNotFound`] when the engine keeps no accounts.
    /// - [`Error::Unavailable`] when the storage is away. The connections are closed all the same; whether the tokens
    ///   are still good is not known.
    pub async fn logout(&self, caller: &Caller, all: bool) -> Result<()> {
        let session = caller.session_id.ok_or(Error::RouteNotFound)?;
        let caller = caller.clone();
        self.to_the_end(async move |engine: Self| {
            if all {
                let revoked = engine.inner.storage.revoke_sessions_of(caller.user_id, engine.now()).await;
                if is_unanswered(&revoked) {
                    // Which they are is not known either.
                    engine.keeper()?.sessions.forget_user(caller.user_id);
                    engine.disconnect_user(caller.user_id);
                }
                let ended = revoked?;
                engine.note_revoked(&caller, &ended);
                return engine.end_sessions(&ended);
            }
            engine.revoke(&caller, session).await
        })
        .await
    }

    /// The caller's sessions that are live, the last used first; at most `limits.page_rows`.
    ///
    /// # Errors
    ///
    /// - [`Error::RouteNotFound`] when the engine keeps no accounts.
    /// - [`Error::Unavailable`] when the storage is away.
    pub async fn sessions(&self, caller: &Caller) -> Result<Vec<OwnSession>> {
        self.keeper()?;
        let (now, limit) = (self.now(), self.limits().page_rows);
        Ok(self.inner.storage.sessions_of(caller.user_id, now, limit).await?)
    }

    /// Ends one of the caller's sessions, which may be this one.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] when there is none of the caller's by this id, or it has ended.
    /// - [`Error::RouteNotFound`] when the engine keeps no accounts.
    /// - [`Error::Unavailable`] when the storage is away. The connections are closed all the same; whether the tokens
    ///   are still good is not known.
    pub async fn end_session(&self, caller: &Caller, id: SessionId) -> Result<()> {
        self.keeper()?;
        let caller = caller.clone();
        self.to_the_end(async move |engine: Self| {
            let now = engine.now();
            let session = engine.inner.storage.session(id).await?;
            let is_live = session.is_some_and(|session| {
                session.user.id == caller.user_id && !session.revoked && session.expires_at > now
            });
            if !is_live {
                return Err(Error::NotFound(NO_SESSION));
            }
            engine.revoke(&caller, id).await
        })
        .await
    }

    /// Ends a session of the caller. Its connections are closed also when it is not known whether it has ended.
    async fn revoke(&self, caller: &Caller, session: SessionId) -> Result<()> {
        let revoked = self.inner.storage.revoke_session(session, self.now()).await;
        if revoked.is_ok() || is_unanswered(&revoked) {
            self.note_revoked(caller, &[session]);
            self.end_sessions(&[session])?;
        }
        Ok(revoked?)
    }

    /// What follows when sessions were revoked in storage.
    pub(super) fn end_sessions(&self, ended: &[SessionId]) -> Result<()> {
        for session in ended {
            self.keeper()?.sessions.forget_session(*session);
            self.inner.announcer.revoke(&Revocation::Session(*session));
        }
        Ok(())
    }

    fn note_revoked(&self, caller: &Caller, ended: &[SessionId]) {
        for session in ended {
            self.inner.audit.note(Deed::of(caller, "session_revoked").to(session));
        }
    }
}
