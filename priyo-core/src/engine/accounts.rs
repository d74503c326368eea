//! The engine's own accounts: register, log in, renew, log out.

use super::{AccountKeeper, ChatEngine};
use crate::auth::{Caller, Tokens, hash_token};
use crate::error::{Error, Result};
use crate::events::Revocation;
use crate::model::{Login, Registration, Role, SessionId, Timestamp, User, UserId};
use crate::storage::{NewSession, RefreshToken, Rotation, Session};

/// A user who has signed in, and the tokens to show for it.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// What to send from now on.
    pub tokens: Tokens,
}

const TAKEN: &str = "User with this email or username already exists";

impl ChatEngine {
    /// Makes an account and signs it in.
    ///
    /// # Errors
    ///
    /// - [`Error::RoleRequired`] when a role is asked for that only an administrator may give.
    /// - [`Error::Validation`] when e-mail, username or password are not what [`Registration::parse`] would take.
    /// - [`Error::Conflict`] when the e-mail or the username is taken, which of them is not said.
    /// - [`Error::Overloaded`] when too many passwords are being hashed.
    /// - [`Error::RouteNotFound`] when the engine keeps no accounts.
    pub async fn register(&self, caller: Option<&Caller>, new: Registration) -> Result<SignedIn> {
        let by = caller.map(|caller| caller.role);
        if new.role != Role::Customer
            && !self.keeper()?.settings.self_service_roles
            && by != Some(Role::Admin)
        {
            return Err(Error::RoleRequired { required: &[Role::Admin], current: by });
        }
        self.to_the_end(async move |engine: Self| {
            let user = engine.create_account(new).await?;
            engine.sign_in(user).await
        })
        .await
    }

    /// Makes an account of any role, without signing it in: for a command line, not for clients.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register), but for the role.
    pub async fn create_account(&self, new: Registration) -> Result<User> {
        // A parser has looked at it already, but a host program may come without one.
        new.check()?;
        let password_hash = self.keeper()?.hasher.hash(new.password).await?;
        let user = User {
            id: UserId::new(),
            external_id: None,
            email: Some(new.email.to_ascii_lowercase()),
            username: new.username,
            avatar: None,
            role: new.role,
            disabled: false,
            created_at: self.now(),
            last_seen: None,
        };
        if self.inner.storage.create_account(&user, &password_hash).await? {
            Ok(user)
        } else {
            Err(Error::Conflict(TAKEN))
        }
    }

    /// Signs a user in with e-mail and password.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidCredentials`] when there is no such account, it is disabled, or the password is another;
    ///   after the same work in each case.
    /// - [`Error::Overloaded`] when too many passwords are being hashed.
    /// - [`Error::RouteNotFound`] when the engine keeps no accounts.
    pub async fn login(&self, login: Login) -> Result<SignedIn> {
        let keeper = self.keeper()?;
        // No e-mail has a NUL, and not every storage can be asked for one.
        let account = match &login.email {
            email if email.contains('\0') => None,
            email => self.inner.storage.account(email).await?,
        };
        let (user, password_hash) = account.unzip();
        let matches = keeper.hasher.verify(login.password, password_hash).await?;
        let user = user.filter(|user| matches && !user.disabled).ok_or(Error::InvalidCredentials)?;
        self.to_the_end(async move |engine: Self| engine.sign_in(user).await).await
    }

    /// Trades a refresh token for new tokens. It is good once; presented again later than its grace, it ends the
    /// session, since someone has a copy.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidRefreshToken`] when it is not, or no longer, good.
    /// - [`Error::RouteNotFound`] when the engine keeps no accounts.
    pub async fn refresh(&self, refresh_token: &str) -> Result<SignedIn> {
        let keeper = self.keeper()?;
        let now = self.now();
        let proof = keeper.keys.check_refresh(refresh_token, now).ok_or(Error::InvalidRefreshToken)?;
        let presented = hash_token(refresh_token);
        self.to_the_end(async move |engine: Self| {
            let session = engine.inner.storage.session(proof.session_id).await?;
            let session = session.filter(|s| !s.user.disabled).ok_or(Error::InvalidRefreshToken)?;
            let (tokens, next) = engine.keeper()?.tokens(&session.user, session.id, now, session.expires_at)?;
            let grace = engine.keeper()?.settings.refresh_grace;
            match engine.inner.storage.rotate_refresh_token(&presented, &next, now, grace).await? {
                Rotation::Rotated(Session { user, .. }) => Ok(SignedIn { user, tokens }),
                Rotation::Invalid => Err(Error::InvalidRefreshToken),
                Rotation::Reused(session) => {
                    tracing::warn!(user.id = %session.user.id, "a used refresh token came again: session ended");
                    engine.end_sessions(&[session.id])?;
                    Err(Error::InvalidRefreshToken)
                }
            }
        })
        .await
    }

    /// Ends the caller's session, or all of the caller's sessions: their tokens are refused from now on and their
    /// connections closed.
    ///
    /// # Errors
    ///
    /// - [`Error::RouteNotFound`] when the engine keeps no accounts.
    /// - [`Error::Unavailable`] when the storage is away; the session goes on.
    pub async fn logout(&self, caller: &Caller, all: bool) -> Result<()> {
        let session = caller.session_id.ok_or(Error::RouteNotFound)?;
        let user = caller.user_id;
        self.to_the_end(async move |engine: Self| {
            let now = engine.now();
            let ended = if all {
                engine.inner.storage.revoke_sessions_of(user, now).await?
            } else {
                engine.inner.storage.revoke_session(session, now).await?;
                vec![session]
            };
            engine.end_sessions(&ended)
        })
        .await
    }

    /// The caller's own user.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`] when it is gone.
    pub async fn me(&self, caller: &Caller) -> Result<User> {
        self.inner.storage.user(caller.user_id).await?.ok_or(Error::UnknownUser)
    }

    fn keeper(&self) -> Result<&AccountKeeper> {
        self.inner.accounts.as_ref().ok_or(Error::RouteNotFound)
    }

    async fn sign_in(&self, user: User) -> Result<SignedIn> {
        let keeper = self.keeper()?;
        let now = self.now();
        let id = SessionId::new();
        let ends = now.after(keeper.settings.session_ttl);
        let (tokens, refresh_token) = keeper.tokens(&user, id, now, ends)?;
        let session = NewSession { id, user_id: user.id, created_at: now, expires_at: ends };
        self.inner.storage.create_session(&session, &refresh_token).await?;
        Ok(SignedIn { user, tokens })
    }

    /// What follows when sessions were revoked in storage.
    fn end_sessions(&self, ended: &[SessionId]) -> Result<()> {
        for session in ended {
            self.keeper()?.sessions.forget_session(*session);
            self.inner.announcer.revoke(&Revocation::Session(*session));
        }
        Ok(())
    }
}

impl AccountKeeper {
    /// New tokens for a session that ends at `ends` at the latest, and what to store of the refresh token.
    fn tokens(
        &self,
        user: &User,
        session: SessionId,
        now: Timestamp,
        ends: Timestamp,
    ) -> Result<(Tokens, RefreshToken)> {
        let until = now.after(self.settings.refresh_ttl).min(ends);
        let tokens = self.keys.issue(user, session, now, until)?;
        let stored =
            RefreshToken { hash: hash_token(&tokens.refresh_token), created_at: now, expires_at: until };
        Ok((tokens, stored))
    }
}
