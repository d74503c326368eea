//! Users: those of a host program, those who come from elsewhere, and what administrators may do with them.

use super::ChatEngine;
use super::audit::Deed;
use super::unanswered::is_unanswered;
use crate::auth::{Caller, Hasher};
use crate::error::{Error, Result};
use crate::events::Revocation;
use crate::model::fields::Fields;
use crate::model::{
    HostUser, ImportedUser, Origin, Page, Role, User, UserChange, UserCursor, UserId, UserList,
};
use crate::storage::{UserUpdate, VisitorKey};

/// Users that a program brings along: those of a host with its own login, and those who had an account elsewhere. Made
/// by [`ChatEngine::users`].
#[derive(Debug, Clone, Copy)]
pub struct Users<'a>(&'a ChatEngine);

/// Longest text to find users by, in bytes.
const QUERY_BYTES: usize = 254;

impl ChatEngine {
    /// The users that a program brings along.
    #[must_use]
    pub fn users(&self) -> Users<'_> {
        Users(self)
    }

    /// For an administrator: a part of the users whose username begins with `query`, or whose e-mail does if there is
    /// an `@` in it; ordered by that, without regard to ASCII case.
    ///
    /// # Errors
    ///
    /// - [`Error::RoleRequired`] for anybody else.
    /// - [`Error::Validation`] when `limit` is 0 or more than `limits.page_rows`, or `query` is longer than 254 bytes or
    ///   has a NUL.
    /// - [`Error::RouteNotFound`] when the engine keeps no accounts.
    pub async fn list_users(
        &self,
        caller: &Caller,
        query: &str,
        after: Option<UserCursor>,
        limit: Option<u32>,
    ) -> Result<Page<User>> {
        self.keeper()?;
        self.require_admin(caller, "list_users")?;
        let limits = self.limits();
        let limit = limits.rows(limit, limits.default_list_rows)?;
        let mut fields = Fields::none();
        fields.check("q", Some(query), |text| text.len() <= QUERY_BYTES, "must be at most 254 bytes long");
        fields.check_nul("q", Some(query));
        fields.finish()?;
        Ok(self.inner.storage.users(&UserList::of(query, after, limit)).await?)
    }

    /// For an administrator: changes what a user may do, in force at once. One who is disabled is signed out everywhere
    /// and cannot sign in; one whose role allows less hears nothing more that is not for them. What one who is disabled
    /// or becomes a customer had taken on of visitors waits for others again.
    ///
    /// # Errors
    ///
    /// - [`Error::RoleRequired`] for anybody else.
    /// - [`Error::NotFound`] when there is no such user.
    /// - [`Error::Conflict`] when no administrator would be left who can log in, or a visitor of a website would be
    ///   more than a customer.
    /// - [`Error::RouteNotFound`] when the engine keeps no accounts.
    pub async fn update_user(&self, caller: &Caller, id: UserId, change: UserChange) -> Result<User> {
        self.keeper()?;
        self.require_admin(caller, "update_user")?;
        if change.role.is_some_and(|role| role != Role::Customer)
            && self.inner.storage.visitor(&VisitorKey::User(id)).await?.is_some()
        {
            return Err(Error::Conflict(ONLY_A_VISITOR));
        }
        let caller = caller.clone();
        self.to_the_end(async move |engine: Self| {
            let updated = engine.inner.storage.update_user(id, change, engine.now()).await;
            if is_unanswered(&updated) {
                engine.send_back(id)?;
            }
            match updated? {
                UserUpdate::Updated { before, user, ended } => {
                    engine.note_changes(&caller, &before, &user);
                    engine.keeper()?.sessions.forget_user(id);
                    if user.disabled {
                        engine.end_sessions(&ended)?;
                        // And those who are about to come in.
                        engine.disconnect_user(id);
                    } else if user.role < before.role {
                        engine.send_back(id)?;
                    } else if user.role > before.role {
                        let connections = engine.inner.presence.connections_of(id);
                        engine.inner.inbox_news.agents.add(id, user.role, connections);
                    }
                    if user.disabled || user.role == Role::Customer {
                        engine.give_back_all(id).await?;
                    }
                    Ok(user)
                }
                UserUpdate::NotFound => Err(Error::NotFound("User not found")),
                UserUpdate::LastAdmin => Err(Error::Conflict(LAST_ADMIN)),
            }
        })
        .await
    }

    /// Takes one who does not answer visitors any more out of their conversations, so that others see who waits. If that
    /// fails in the middle, asking for the same change again goes on with it.
    async fn give_back_all(&self, user: UserId) -> Result<()> {
        for id in self.inner.storage.supports_of(user).await? {
            self.take_out(id, user).await?;
        }
        Ok(())
    }

    /// Closes the connections of a user so that those come back who may, as who they are now: what they listen to may
    /// not be for them any more.
    pub(super) fn send_back(&self, user: UserId) -> Result<()> {
        self.keeper()?.sessions.forget_user(user);
        for connection in self.inner.presence.connections_of(user) {
            self.inner.announcer.revoke(&Revocation::Expired(connection));
        }
        Ok(())
    }

    fn note_changes(&self, caller: &Caller, before: &User, user: &User) {
        let audit = &self.inner.audit;
        if before.role != user.role {
            let change = format!("{} to {}", before.role.as_str(), user.role.as_str());
            audit.note(Deed::of(caller, "role_changed").to(&user.id).saying(change));
        }
        if before.disabled != user.disabled {
            let action = if user.disabled { "user_disabled" } else { "user_enabled" };
            audit.note(Deed::of(caller, action).to(&user.id));
        }
    }
}

const LAST_ADMIN: &str = "The last administrator must stay one";

/// Their token lies in a browser, and nobody has to log in for it.
const ONLY_A_VISITOR: &str = "A visitor of a website stays a customer";

impl Users<'_> {
    /// Makes a user of the host program known, or brings the one with the same `external_id` up to date.
    ///
    /// # Errors
    ///
    /// - [`Error::Validation`](crate::Error::Validation) when `external_id` is not 1 to 255 bytes, or the name not 1 to 100 characters, or the
    ///   address of the picture more than 2,048 bytes, or any of them has control characters.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) when the storage is away.
    pub async fn upsert(&self, user: HostUser) -> Result<User> {
        let is_name = |name: &str| (1..=100).contains(&name.chars().count()) && is_plain(name);
        let is_address = |address: &str| address.len() <= 2_048 && is_plain(address);
        let mut fields = Fields::none();
        let rule = "must be 1 to 255 bytes long, without control characters";
        fields.check("externalId", Some(&*user.external_id), is_external_id, rule);
        let rule = "must be 1 to 100 characters long, without control characters";
        fields.check("username", Some(&*user.username), is_name, rule);
        let rule = "must be at most 2048 bytes long, without control characters";
        fields.check("avatar", user.avatar.as_deref(), is_address, rule);
        fields.finish()?;
        let user = User {
            id: UserId::new(),
            external_id: Some(user.external_id),
            email: None,
            username: user.username,
            avatar: user.avatar,
            role: user.role,
            disabled: false,
            created_at: self.0.now(),
            last_seen: None,
        };
        Ok(self.0.inner.storage.upsert_host_user(&user).await?)
    }

    /// Makes an account for someone who has one in another program, with the password that they have there. Whoever
    /// logs in first with it gets a hash of our own in its place.
    ///
    /// # Errors
    ///
    /// - [`Error::Validation`](crate::Error::Validation) when e-mail or username are not what one may register with, the
    ///   address of the picture is more than 2,048 bytes, or the hash cannot be verified.
    /// - [`Error::Conflict`](crate::Error::Conflict) when the e-mail or the username is taken.
    /// - [`Error::RouteNotFound`](crate::Error::RouteNotFound) when the engine keeps no accounts.
    pub async fn import(&self, user: ImportedUser) -> Result<User> {
        self.0.keeper()?;
        user.check(Hasher::can_verify(&user.password_hash))?;
        let made = User {
            id: UserId::new(),
            external_id: None,
            email: Some(user.email.to_ascii_lowercase()),
            username: user.username,
            avatar: user.avatar,
            role: user.role,
            disabled: false,
            created_at: user.created_at.unwrap_or_else(|| self.0.now()),
            last_seen: None,
        };
        self.0.store_account(&made, &user.password_hash).await?;
        let deed = Deed::by(None, &Origin::default(), "user_imported");
        self.0.inner.audit.note(deed.to(&made.id).saying(made.role.as_str()));
        Ok(made)
    }

    /// The user whom the host program knows as `external_id`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) when the storage is away.
    pub async fn get(&self, external_id: &str) -> Result<Option<User>> {
        if !is_external_id(external_id) {
            return Ok(None);
        }
        Ok(self.0.inner.storage.host_user(external_id).await?)
    }
}

fn is_external_id(text: &str) -> bool {
    (1..=255).contains(&text.len()) && is_plain(text)
}

/// Among the control characters is NUL, which not every storage can store, or be asked for.
fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}
