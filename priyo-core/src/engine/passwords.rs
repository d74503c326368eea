//! Changing passwords.

use super::ChatEngine;
use super::audit::Deed;
use super::unanswered::is_unanswered;
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::model::{NewPassword, Origin, User};
use crate::rates::Action;
use crate::storage::PasswordRow;

impl ChatEngine {
    /// Gives the caller another password. All their other sessions end: their tokens are refused from now on and their
    /// connections closed. This one goes on.
    ///
    /// # Errors
    ///
    /// - [`Error::Validation`] when the new password is too short or too long.
    /// - [`Error::WrongPassword`] when the current one is another, or the caller has none; nothing has changed.
    /// - [`Error::RateLimited`] when the caller has tried too often; nothing has changed.
    /// - [`Error::Overloaded`] when too many passwords are being hashed; nothing has changed.
    /// - [`Error::RouteNotFound`] when the engine keeps no accounts.
    /// - [`Error::Unavailable`] when the storage is away; it may have changed.
    pub async fn change_password(&self, caller: &Caller, password: NewPassword) -> Result<()> {
        NewPassword::check(&password.new)?;
        let keeper = self.keeper()?;
        // Whoever holds a token may guess as often as whoever logs in.
        self.count(Action::Login, caller)?;
        let old_hash = self.inner.storage.password_hash(caller.user_id).await?;
        let caller = caller.clone();
        if !keeper.hasher.verify(password.current, old_hash.clone()).await?.is_right() {
            return Err(self.wrong_password(&caller));
        }
        let new_hash = keeper.hasher.hash(password.new).await?;
        self.to_the_end(async move |engine: Self| {
            let (user_id, keep, at) = (caller.user_id, caller.session_id, engine.now());
            let row = PasswordRow { user_id, old_hash, new_hash, keep, at };
            let changed = engine.inner.storage.change_password(&row).await;
            if is_unanswered(&changed) {
                engine.send_back(user_id)?;
            }
            // Changed by somebody else meanwhile: what was proved is the one of before.
            let Some(ended) = changed? else {
                return Err(engine.wrong_password(&caller));
            };
            engine.inner.audit.note(Deed::of(&caller, "password_changed").to(&user_id));
            engine.end_sessions(&ended)
        })
        .await
    }

    /// Gives a user another password, whatever the one they had, and ends all their sessions: for a command line, not
    /// for clients. Another program on the same database that does not share it, as a server on SQLite does not, may
    /// believe their access tokens until these expire.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] when nobody logs in with this e-mail.
    /// - [`Error::Validation`] when the password is too short or too long.
    /// - [`Error::Overloaded`] when too many passwords are being hashed.
    /// - [`Error::RouteNotFound`] when the engine keeps no accounts.
    pub async fn reset_password(&self, email: &str, password: String) -> Result<User> {
        NewPassword::check(&password)?;
        let new_hash = self.keeper()?.hasher.hash(password).await?;
        let email = email.to_ascii_lowercase();
        let account = if email.contains('\0') { None } else { self.inner.storage.account(&email).await? };
        let (user, _) = account.ok_or(Error::NotFound("User not found"))?;
        self.to_the_end(async move |engine: Self| {
            let row =
                PasswordRow { user_id: user.id, old_hash: None, new_hash, keep: None, at: engine.now() };
            let ended = engine.inner.storage.change_password(&row).await?;
            let deed = Deed::by(None, &Origin::default(), "password_reset");
            engine.inner.audit.note(deed.to(&user.id));
            engine.end_sessions(&ended.unwrap_or_default())?;
            Ok(user)
        })
        .await
    }

    fn wrong_password(&self, caller: &Caller) -> Error {
        self.inner.audit.note(Deed::of(caller, "password_change_failed").refused());
        Error::WrongPassword
    }
}
