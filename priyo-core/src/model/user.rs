//! Users and what they send of themselves.

use serde::Serialize;
use serde_json::Value;

use super::fields::{Fields, Unknown};
use super::{Timestamp, UserId};
use crate::error::Result;

/// What a user may do in general. What one may do in a conversation also depends on being in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    /// Writes, and reads what they take part in.
    Customer,
    /// Also closes and reopens the conversations they take part in.
    Agent,
    /// Also reads every conversation, and manages users.
    Admin,
}

impl Role {
    /// The name on the wire and in storage.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "CUSTOMER",
            Self::Agent => "AGENT",
            Self::Admin => "ADMIN",
        }
    }

    /// The names of all of them.
    pub(crate) const NAMES: [&'static str; 3] = ["CUSTOMER", "AGENT", "ADMIN"];

    /// The role with this exact name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Customer, Self::Agent, Self::Admin].into_iter().find(|role| role.as_str() == name)
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who it is.
    pub id: UserId,
    /// The host program's name for this user, if it brought its own users.
    pub external_id: Option<String>,
    /// Lower case. Absent for users that a host program provisions without one.
    pub email: Option<String>,
    /// Shown to others; as the user wrote it.
    pub username: String,
    /// The address of a picture.
    pub avatar: Option<String>,
    /// What the user may do.
    pub role: Role,
    /// A disabled user can do nothing.
    pub disabled: bool,
    /// When the user was made.
    pub created_at: Timestamp,
    /// When the user last had a connection, to within `limits.presence_renewal` while they have one; absent until
    /// they had.
    pub last_seen: Option<Timestamp>,
}

impl User {
    /// The part that others see beside a message.
    #[must_use]
    pub fn brief(&self) -> UserBrief {
        UserBrief { id: self.id, username: self.username.clone(), avatar: self.avatar.clone() }
    }
}

/// A user as others see them beside a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserBrief {
    /// Who it is.
    pub id: UserId,
    /// Their name.
    pub username: String,
    /// The address of their picture.
    pub avatar: Option<String>,
}

/// A user of a host program that has its own login, to be known to the engine.
#[derive(Debug, Clone)]
pub struct HostUser {
    /// The host's own name for the user: its primary key, say. At most 255 bytes.
    pub external_id: String,
    /// Shown to others.
    pub username: String,
    /// The address of a picture.
    pub avatar: Option<String>,
    /// What the user may do.
    pub role: Role,
}

impl HostUser {
    /// A customer called `username`, whom the host knows as `external_id`.
    #[must_use]
    pub fn new(external_id: impl Into<String>, username: impl Into<String>) -> Self {
        Self {
            external_id: external_id.into(),
            username: username.into(),
            avatar: None,
            role: Role::Customer,
        }
    }

    /// The same user with another role.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }
}

/// What someone sends to get an account.
#[derive(Clone)]
pub struct Registration {
    /// Lower case, valid.
    pub email: String,
    /// Valid.
    pub username: String,
    /// Long enough, not too long.
    pub password: String,
    /// The role asked for.
    pub role: Role,
}

impl Registration {
    /// Reads and checks a registration, naming every fault.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`](crate::Error::Validation) with one entry for each field at fault.
    pub fn parse(body: Value) -> Result<Self> {
        let mut fields = Fields::new(body, Unknown::Refuse)?;
        let email = fields.string("email").map(|text| text.to_ascii_lowercase());
        let username = fields.string("username");
        let password = fields.string("password");
        Self::check_in(&mut fields, email.as_deref(), username.as_deref(), password.as_deref());
        let role = fields.optional_choice("role", &Role::NAMES);
        fields.finish()?;
        Ok(Self {
            email: email.unwrap_or_default(),
            username: username.unwrap_or_default(),
            password: password.unwrap_or_default(),
            role: role.and_then(Role::from_name).unwrap_or(Role::Customer),
        })
    }

    /// Refuses one that no parser has seen, and that keeps the rules no better.
    pub(crate) fn check(&self) -> Result<()> {
        let mut fields = Fields::none();
        Self::check_in(&mut fields, Some(&self.email), Some(&self.username), Some(&self.password));
        fields.finish()
    }

    fn check_in(fields: &mut Fields, email: Option<&str>, username: Option<&str>, password: Option<&str>) {
        check_names_in(fields, email, username);
        fields.check("password", password, is_password, "must be 8 characters to 1024 bytes long");
    }
}

pub(super) fn check_names_in(fields: &mut Fields, email: Option<&str>, username: Option<&str>) {
    fields.check("email", email, is_email, "must be a valid email");
    let rule = "must be 3 to 30 characters, each a letter a-z, a digit, or one of _ . -";
    fields.check("username", username, is_username, rule);
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration").field("role", &self.role).finish_non_exhaustive()
    }
}

/// What someone sends to log in.
#[derive(Clone)]
pub struct Login {
    /// Lower case.
    pub email: String,
    /// As typed.
    pub password: String,
}

impl Login {
    /// Reads a login. Its e-mail need not be a valid one: it is then simply nobody's.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`](crate::Error::Validation) with one entry for each field at fault.
    pub fn parse(body: Value) -> Result<Self> {
        let mut fields = Fields::new(body, Unknown::Refuse)?;
        let email = fields.string("email").map(|text| text.to_ascii_lowercase());
        fields.check("email", email.as_deref(), |text| !text.is_empty(), "is not allowed to be empty");
        let password = fields.string("password");
        fields.check("password", password.as_deref(), |text| !text.is_empty(), "is not allowed to be empty");
        // Before any hashing: a megabyte of password must not buy a megabyte of work.
        fields.check("password", password.as_deref(), is_known_password, "is too long");
        fields.finish()?;
        Ok(Self { email: email.unwrap_or_default(), password: password.unwrap_or_default() })
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

/// Longest password, in bytes. Fixed: a shorter setting would lock out those who have a longer one.
const PASSWORD_BYTES: usize = 1024;

pub(super) fn is_password(text: &str) -> bool {
    text.chars().count() >= 8 && text.len() <= PASSWORD_BYTES
}

/// Whether somebody may have this password, by the rules of any time.
pub(super) fn is_known_password(text: &str) -> bool {
    text.len() <= PASSWORD_BYTES
}

fn is_username(text: &str) -> bool {
    (3..=30).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// The addresses people have, not all that RFC 5322 allows: ASCII, no quoting, no comments, a dotted domain.
pub(super) fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&b);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 254
        && (1..=64).contains(&local.len())
        && local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom))
        && domain.contains('.')
        && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails() {
        for good in ["a@example.com", "a.b+c@mail.example.co", "x_y@1.example"] {
            assert!(is_email(good), "{good}");
        }
        for bad in [
            "", "a", "a@", "@b.c", "a@b", "a b@c.d", " a@b.cd", "ａ@b.cd", "a@b..cd", ".a@b.cd", "a@-b.cd",
            "a@b@c.d",
        ] {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
