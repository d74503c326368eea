//! The users of a host program.

use super::ChatEngine;
use crate::error::Result;
use crate::model::fields::Fields;
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
