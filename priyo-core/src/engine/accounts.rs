//! The engine's own accounts: register, log in, renew.

use super::audit::Deed;
use super::unanswered::is_unanswered;
use super::{AccountKeeper, ChatEngine};
use crate::auth::{Caller, Tokens, Verdict, hash_token};
use crate::error::{Error, Result};
use crate::model::{Login, Origin, Registration, Role, SessionId, Timestamp, User, UserId};
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
    /// Makes an account and signs it in. `from` is where the request comes from, as far as that is known.
    ///
    /// # Errors
    ///
    /// - [`Error::RateLimited`] when too many are made from there; an administrator's do not count.
    /// - [`Error::RoleRequired`] when a role is asked for that only an administrator may give.
    /// - [`Error::Validation`] when e-mail, username or password are not what [`Registration::parse`] would take.
    /// - [`Error::Conflict`] when the e-mail or the username is taken, which of them is not said.
    /// - [`Error::Overloaded`] when too many passwords are being hashed.
    /// - [`Error::RouteNotFound`] when the engine keeps no accounts.
    pub async fn register(
        &self,
        caller: Option<&Caller>,
        new: Registration,
        from: &Origin,
    ) -> Result<SignedIn> {
        let by = caller.map(|caller| caller.role);
        if by != Some(Role::Admin) {
            self.count_registration(from.address)?;
        }
        if new.role != Role::Customer
            && !self.keeper()?.settings.self_service_roles
            && by != Some(Role::Admin)
        {
            let deed = Deed::by(caller.map(|caller| caller.user_id), from, "authorization_denied");
            self.inner.audit.note(deed.saying("register_with_a_role").refused());
            return Err(Error::RoleRequired { required: &[Role::Admin], current: by });
        }
        let (actor, origin) = (caller.map(|caller| caller.user_id), from.clone());
        self.to_the_end(async move |engine: Self| {
            let user = engine.make_account(new, actor, &origin).await?;
            engine.sign_in(user, None, &origin).await
        })
        .await
    }

    /// Makes an account of any role, without signing it in: for a command line, not for clients.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register), but for the role.
    pub async fn create_account(&self, new: Registration) -> Result<User> {
        self.make_account(new, None, &Origin::default()).await
    }

    async fn make_account(&self, new: Registration, actor: Option<UserId>, from: &Origin) -> Result<User> {
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
        self.store_account(&user, &password_hash).await?;
        let action = match user.role {
            Role::Admin => "admin_created",
            Role::Agent => "agent_created",
            Role::Customer => return Ok(user),
        };
        self.inner.audit.note(Deed::by(actor, from, action).to(&user.id));
        Ok(user)
    }

    pub(super) async fn store_account(&self, user: &User, password_hash: &str) -> Result<()> {
        if self.inner.storage.create_account(user, password_hash).await? {
            return Ok(());
        }
        Err(Error::Conflict(TAKEN))
    }

    /// Signs a user in with e-mail and password. A stored hash that is of another program or another time is replaced.
    /// `from` is where the request comes from.
    ///
    /// # Errors
    ///
    /// - [`Error::RateLimited`] when there were too many logins from there, to this account or to any. What comes from
    ///   elsewhere does not count: nobody can keep a user out.
    /// - [`Error::InvalidCredentials`] when there is no such account, it is disabled, or the password is another;
    ///   after the same work in each case, unless the account was imported and nobody has logged in to it yet.
    /// - [`Error::Overloaded`] when too many passwords are being hashed.
    /// - [`Error::RouteNotFound`] when the engine keeps no accounts.
    pub async fn login(&self, login: Login, from: &Origin) -> Result<SignedIn> {
        let keeper = self.keeper()?;
        self.count_login(&login.email, from.address)?;
        // No e-mail has a NUL, and not every storage can be asked for one.
        let account = match &login.email {
            email if email.contains('\0') => None,
            email => self.inner.storage.account(email).await?,
        };
        let (user, hash) = account.unzip();
        let verdict = keeper.hasher.verify(login.password, hash.clone()).await?;
        let refuse = |user: Option<UserId>| {
            let deed =
                user.into_iter().fold(Deed::by(None, from, "login_failed"), |deed, user| deed.to(&user));
            self.inner.audit.note(deed.refused());
            Error::InvalidCredentials
        };
        let (Some(user), Some(hash), Verdict::Right { better }) = (user.clone(), hash, verdict) else {
            return Err(refuse(user.map(|user| user.id)));
        };
        if user.disabled {
            return Err(refuse(Some(user.id)));
        }
        let origin = from.clone();
        self.to_the_end(async move |engine: Self| {
            let mut proved = hash;
            if let Some(better) = better
                && engine.inner.storage.replace_password_hash(user.id, &proved, &better).await?
            {
                proved = better;
            }
            engine.sign_in(user, Some(&proved), &origin).await
        })
        .await
    }

    /// Trades a refresh token for new tokens. It is good once; presented again later than its grace, it ends the
    /// session, since someone has a copy.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidRefreshToken`] when it is not, or no longer, good.
    /// - [`Error::RouteNotFound`] when the engine keeps no accounts.
    pub async fn refresh(&self, refresh_token: &str, from: &Origin) -> Result<SignedIn> {
        let keeper = self.keeper()?;
        let now = self.now();
        let proof = keeper.keys.check_refresh(refresh_token, now).ok_or(Error::InvalidRefreshToken)?;
        let presented = hash_token(refresh_token);
        let origin = from.clone();
        self.to_the_end(async move |engine: Self| {
            let session = engine.inner.storage.session(proof.session_id).await?;
            let session = session.filter(|s| !s.user.disabled).ok_or(Error::InvalidRefreshToken)?;
            let (tokens, next) =
                engine.keeper()?.tokens(&session.user, session.id, now, session.expires_at)?;
            let grace = engine.keeper()?.settings.refresh_grace;
            let rotation = engine.inner.storage.rotate_refresh_token(&presented, &next, now, grace).await;
            if is_unanswered(&rotation) {
                // It may have ended the session.
                engine.keeper()?.sessions.forget_session(session.id);
            }
            match rotation? {
                Rotation::Rotated(Session { user, .. }) => Ok(SignedIn { user, tokens }),
                Rotation::Invalid => {
                    if session.revoked {
                        // Perhaps by another try, of which nobody was told.
                        engine.end_sessions(&[session.id])?;
                    }
                    Err(Error::InvalidRefreshToken)
                }
                Rotation::Reused(session) => {
                    let deed = Deed::by(Some(session.user.id), &origin, "refresh_token_reused");
                    engine.inner.audit.note(deed.to(&session.id));
                    engine.end_sessions(&[session.id])?;
                    Err(Error::InvalidRefreshToken)
                }
            }
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

    pub(super) fn keeper(&self) -> Result<&AccountKeeper> {
        self.inner.accounts.as_ref().ok_or(Error::RouteNotFound)
    }

    /// Begins a session of a user who has proved to know the password that `proved` was made of.
    async fn sign_in(&self, user: User, proved: Option<&str>, from: &Origin) -> Result<SignedIn> {
        let keeper = self.keeper()?;
        let now = self.now();
        let id = SessionId::new();
        let ends = now.after(keeper.settings.session_ttl);
        let (tokens, refresh_token) = keeper.tokens(&user, id, now, ends)?;
        let user_agent = from.user_agent.as_deref().map(str::to_owned);
        let session = NewSession { id, user_id: user.id, created_at: now, expires_at: ends, user_agent };
        if !self.inner.storage.create_session(&session, &refresh_token, proved).await? {
            // They were disabled meanwhile, or have another password.
            return Err(Error::InvalidCredentials);
        }
        self.inner.audit.note(Deed::by(Some(user.id), from, "logged_in").to(&id));
        Ok(SignedIn { user, tokens })
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
