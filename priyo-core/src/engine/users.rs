//! The users of a host program.

use super::ChatEngine;
use crate::error::{Error, Result};
use crate::model::{HostUser, User, UserId};

/// The users of a host program that has its own login. Made by [`ChatEngine::users`].
#[derive(Debug, Clone, Copy)]
pub struct Users<'a>(&'a ChatEngine);

impl ChatEngine {
    /// The users of a host program that has its own login.
    #[must_use]
    pub fn users(&self) -> Users<'_> {
        Users(self)
    }
}

impl Users<'_> {
    /// Makes a user of the host program known, or brings the one with the same `external_id` up to date.
    ///
    /// # Errors
    ///
    /// - [`Error::Validation`] when `external_id` is not 1 to 255 bytes, or the name not 1 to 100 characters, or
    ///   either has control characters.
    /// - [`Error::Unavailable`] when the storage is away.
    pub async fn upsert(&self, user: HostUser) -> Result<User> {
        let plain = |text: &str| !text.chars().any(char::is_control);
        if !(1..=255).contains(&user.external_id.len()) || !plain(&user.external_id) {
            return Err(Error::field(
                "externalId",
                "must be 1 to 255 bytes long, without control characters",
            ));
        }
        if !(1..=100).contains(&user.username.chars().count()) || !plain(&user.username) {
            return Err(Error::field(
                "username",
                "must be 1 to 100 characters long, without control characters",
            ));
        }
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

    /// The user whom the host program knows as `external_id`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the storage is away.
    pub async fn get(&self, external_id: &str) -> Result<Option<User>> {
        Ok(self.0.inner.storage.host_user(external_id).await?)
    }
}
