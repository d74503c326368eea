//! Looking after users: finding them, changing them, bringing them in from elsewhere, and their passwords.

use std::fmt;

use serde_json::Value;

use super::fields::{Fields, Unknown};
use super::user::{check_names_in, is_known_password, is_password};
use super::{Role, SessionId, Timestamp, User, UserId};
use crate::error::{Error, Result};

/// By what users are ordered, and found. Without regard to ASCII case, and else by the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserOrder {
    /// The username.
    Username,
    /// The e-mail. Those who have none are left out.
    Email,
}

impl UserOrder {
    /// By what those are found whom a text is about: by e-mail when there is an `@` in it.
    #[must_use]
    pub fn for_query(query: &str) -> Self {
        if query.contains('@') { Self::Email } else { Self::Username }
    }

    /// Whether a user has what this orders by.
    #[must_use]
    pub fn is_of(self, user: &User) -> bool {
        self == Self::Username || user.email.is_some()
    }

    /// What a user is ordered by.
    #[must_use]
    pub fn key_of(self, user: &User) -> String {
        let key = match self {
            Self::Username => Some(&user.username),
            Self::Email => user.email.as_ref(),
        };
        key.map(|key| key.to_ascii_lowercase()).unwrap_or_default()
    }
}

/// A part of the list of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserList {
    /// By what they are ordered; of two who have the same, the smaller id comes first.
    pub by: UserOrder,
    /// Only those with whom that begins so; lower case.
    pub starts_with: String,
    /// Behind this place, whether or not someone is still there.
    pub after: Option<UserCursor>,
    /// At most so many.
    pub limit: u32,
}

impl UserList {
    /// The list of those whose username begins with a text, or whose e-mail does if there is an `@` in it.
    pub(crate) fn of(query: &str, after: Option<UserCursor>, limit: u32) -> Self {
        let by = UserOrder::for_query(query);
        Self { by, starts_with: query.to_ascii_lowercase(), after, limit }
    }

    /// The place behind which the list begins: what it is ordered by, and an id.
    #[must_use]
    pub fn begin(&self) -> (String, UserId) {
        let first = (self.starts_with.clone(), UserId::from_uuid(uuid::Uuid::nil()));
        match &self.after {
            Some(UserCursor { key, id }) => first.max((key.clone(), *id)),
            None => first,
        }
    }

    /// What is behind all that the list is ordered by, whoever is in it.
    #[must_use]
    pub fn end(&self) -> String {
        let mut letters: Vec<char> = self.starts_with.chars().collect();
        while let Some(last) = letters.pop() {
            // Not every number is a letter: between 0xD7FF and 0xE000 there are none.
            let next = (u32::from(last) + 1..=0x0010_FFFF).find_map(char::from_u32);
            if let Some(next) = next {
                letters.push(next);
                return letters.into_iter().collect();
            }
        }
        char::MAX.to_string().repeat(1_024)
    }
}

/// A place in a list of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCursor {
    /// What the list is ordered by, in lower case.
    pub key: String,
    /// Whose it is.
    pub id: UserId,
}

impl UserCursor {
    /// The place of a user.
    #[must_use]
    pub fn of(user: &User, by: UserOrder) -> Self {
        Self { key: by.key_of(user), id: user.id }
    }

    /// Reads a cursor that [`Display`](fmt::Display) wrote.
    #[must_use]
    pub fn from_client(text: &str) -> Option<Self> {
        let (id, key) = text.split_once('_')?;
        let (id, key) = (UserId::from_client(id), key.to_ascii_lowercase());
        (!id.is_nil() && !key.contains('\0') && key.len() <= 1_024).then_some(Self { key, id })
    }
}

impl fmt::Display for UserCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.id, self.key)
    }
}

/// What to change of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserChange {
    /// Another role.
    pub role: Option<Role>,
    /// Whether they are shut out.
    pub disabled: Option<bool>,
}

impl UserChange {
    /// Reads a change, which must be one.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] with one entry for each field at fault.
    pub fn parse(body: Value) -> Result<Self> {
        let mut fields = Fields::new(body, Unknown::Refuse)?;
        let is_empty = !fields.has("role") && !fields.has("disabled");
        let role = fields.optional_choice("role", &Role::NAMES).and_then(Role::from_name);
        let disabled = fields.optional_bool("disabled");
        fields.finish()?;
        if is_empty {
            return Err(Error::field("value", "must have at least one of [role, disabled]"));
        }
        Ok(Self { role, disabled })
    }
}

/// A session as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnSession {
    /// Its id.
    pub id: SessionId,
    /// When it began.
    pub created_at: Timestamp,
    /// When its tokens were last renewed.
    pub last_used_at: Timestamp,
    /// When it ends unless they are renewed.
    pub ends_at: Timestamp,
    /// What the client called itself when it began.
    pub user_agent: Option<String>,
}

/// What someone sends to get another password.
#[derive(Clone)]
pub struct NewPassword {
    /// The one they have.
    pub current: String,
    /// The one they will have.
    pub new: String,
}

impl NewPassword {
    /// Reads a change of password.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] with one entry for each field at fault.
    pub fn parse(body: Value) -> Result<Self> {
        let mut fields = Fields::new(body, Unknown::Refuse)?;
        let current = fields.string("currentPassword");
        let new = fields.string("newPassword");
        fields.check("currentPassword", current.as_deref(), is_known_password, "is not valid");
        check_new(&mut fields, "newPassword", new.as_deref());
        fields.finish()?;
        Ok(Self { current: current.unwrap_or_default(), new: new.unwrap_or_default() })
    }

    /// Refuses one that no parser has seen, and that keeps the rules no better.
    pub(crate) fn check(password: &str) -> Result<()> {
        let mut fields = Fields::none();
        check_new(&mut fields, "newPassword", Some(password));
        fields.finish()
    }
}

fn check_new(fields: &mut Fields, field: &str, password: Option<&str>) {
    fields.check(field, password, is_password, "must be 8 characters to 1024 bytes long");
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword")
    }
}

/// Someone who has an account in another program, to have one here with the same password.
#[derive(Clone)]
#[non_exhaustive]
pub struct ImportedUser {
    /// As one registers.
    pub email: String,
    /// As one registers.
    pub username: String,
    /// What the other program has stored of the password: bcrypt (`$2a$`, `$2b$` or `$2y$`, with a cost of at most
    /// 14), or argon2 (`$argon2id$…` and its kin, with at most 64 MiB and 16 passes). When they first log in it
    /// is replaced by one of our own.
    pub password_hash: String,
    /// What they may do.
    pub role: Role,
    /// The address of a picture.
    pub avatar: Option<String>,
    /// When they came to the other program; now, if that is not said.
    pub created_at: Option<Timestamp>,
}

impl ImportedUser {
    /// A customer with this e-mail, name and stored password.
    #[must_use]
    pub fn new(
        email: impl Into<String>,
        username: impl Into<String>,
        password_hash: impl Into<String>,
    ) -> Self {
        Self {
            email: email.into(),
            username: username.into(),
            password_hash: password_hash.into(),
            role: Role::Customer,
            avatar: None,
            created_at: None,
        }
    }

    /// The same user with another role.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Refuses one whose fields keep the rules no better than a registration may; of the hash it is asked.
    pub(crate) fn check(&self, is_hash: bool) -> Result<()> {
        let mut fields = Fields::none();
        check_names_in(&mut fields, Some(&self.email.to_ascii_lowercase()), Some(&self.username));
        let is_address = |address: &str| address.len() <= 2_048 && !address.chars().any(char::is_control);
        let rule = "must be at most 2048 bytes long, without control characters";
        fields.check("avatar", self.avatar.as_deref(), is_address, rule);
        fields.check("passwordHash", Some(&is_hash), |good| *good, "is no hash that can be verified");
        fields.finish()
    }
}

impl fmt::Debug for ImportedUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportedUser").field("role", &self.role).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(starts_with: &str) -> UserList {
        UserList::of(starts_with, None, 10)
    }

    #[test]
    fn a_list_ends_behind_all_that_begins_so() {
        for (starts_with, end) in [("a", "b"), ("az", "a{"), ("\u{d7ff}", "\u{e000}"), ("a\u{10ffff}", "b")] {
            assert_eq!(list(starts_with).end(), end, "{starts_with:?}");
        }
        for all in ["", "\u{10ffff}"] {
            assert!(list(all).end() > "\u{10ffff}".repeat(255), "{all:?}");
        }
    }

    #[test]
    fn a_list_begins_behind_its_place() {
        let ann = UserId::new();
        let after = |key: &str| Some(UserCursor { key: key.to_owned(), id: ann });
        assert_eq!(UserList { after: after("bob"), ..list("b") }.begin(), ("bob".to_owned(), ann));
        // A place from another list begins nothing before this one.
        assert_eq!(UserList { after: after("ann"), ..list("b") }.begin().0, "b");
        assert_eq!((list("A").by, list("A").starts_with.as_str()), (UserOrder::Username, "a"));
        assert_eq!(list("a@").by, UserOrder::Email);
    }

    #[test]
    fn a_place_comes_back_as_it_was() {
        for key in ["ann", "", "a_b", "änn 😀"] {
            let cursor = UserCursor { key: key.to_owned(), id: UserId::new() };
            assert_eq!(UserCursor::from_client(&cursor.to_string()), Some(cursor));
        }
        let id = UserId::new();
        for bad in [
            String::new(),
            "x_ann".into(),
            id.to_string(),
            format!("{id}_\0"),
            format!("{id}_{}", "x".repeat(1_025)),
        ] {
            assert_eq!(UserCursor::from_client(&bad), None, "{bad}");
        }
    }
}
