//! Who is calling: the only place where a token becomes a [`Caller`].

mod accounts;
mod identity;
mod links;
mod password;
mod session;
mod token;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use accounts::Accounts;
pub use token::Tokens;

pub(crate) use identity::IdentityKey;
pub(crate) use links::{LinkKeys, Signature};
pub(crate) use password::{Hasher, Verdict};
pub(crate) use session::SessionAuthenticator;
pub(crate) use token::{TokenKeys, hash_token, random_secret};

use crate::error::Result;
use crate::model::{ConnectionId, Origin, Role, SessionId, Timestamp, User, UserId};

/// How a visitor of a website is known. One who is known in one way is never known in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VisitorKind {
    /// By a token that their browser holds.
    Anonymous,
    /// By the word of the website's own server.
    Identified,
}

/// A user who has proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub user_id: UserId,
    /// Their name, as others see it.
    pub username: Arc<str>,
    /// What they may do.
    pub role: Role,
    /// How they are known, if they visit a website and cannot log in.
    pub visitor: Option<VisitorKind>,
    /// The login they came by; none with a host program's own login.
    pub session_id: Option<SessionId>,
    /// When their token is no longer good; none when it does not end.
    pub expires_at: Option<Timestamp>,
    /// The live connection they speak through; none for a single request.
    pub connection_id: Option<ConnectionId>,
    /// Where they call from. The doors set it; an [`Authenticator`] need not.
    pub origin: Origin,
}

impl Caller {
    /// A caller known to be `user`: for an [`Authenticator`] that has checked a token of its own.
    #[must_use]
    pub fn new(user: &User) -> Self {
        Self {
            user_id: user.id,
            username: user.username.as_str().into(),
            role: user.role,
            visitor: None,
            session_id: None,
            expires_at: None,
            connection_id: None,
            origin: Origin::default(),
        }
    }

    /// The same caller, from there.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// The same caller, speaking through a live connection.
    #[must_use]
    pub fn on(mut self, connection: ConnectionId) -> Self {
        self.connection_id = Some(connection);
        self
    }

    /// How long their token is still good; none when it does not end.
    #[must_use]
    pub fn expires_in(&self, now: Timestamp) -> Option<Duration> {
        self.expires_at.map(|end| end.since(now))
    }

    /// Whether the caller may see every conversation.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }
}

/// Turns a token into a [`Caller`], for REST and sockets alike.
///
/// A host program with its own login implements this, and makes its users known by
/// [`ChatEngine::users`](crate::ChatEngine::users).
#[async_trait]
pub trait Authenticator: Debug + Send + Sync + 'static {
    /// Who sent this token.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidToken`](crate::Error::InvalidToken) when it is nobody's, has expired or was revoked; [`Error::UnknownUser`](crate::Error::UnknownUser) when it is
    /// good but its user is gone.
    async fn authenticate(&self, token: &str) -> Result<Caller>;

    /// Whether an authenticated caller is still who they were, and what they may do now. Asked before each event of
    /// a live connection, so it must be cheap. A host that revokes access also calls
    /// [`ChatEngine::disconnect_user`](crate::ChatEngine::disconnect_user).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidToken`](crate::Error::InvalidToken) when their access has ended.
    async fn recheck(&self, caller: &Caller) -> Result<Caller> {
        Ok(caller.clone())
    }
}

/// Where users come from.
#[derive(Debug)]
pub enum Identity {
    /// The engine keeps accounts and sessions itself.
    Accounts(Accounts),
    /// The host program has its own login.
    Host(Arc<dyn Authenticator>),
}

impl From<Accounts> for Identity {
    fn from(accounts: Accounts) -> Self {
        Self::Accounts(accounts)
    }
}

impl<A: Authenticator> From<Arc<A>> for Identity {
    fn from(authenticator: Arc<A>) -> Self {
        Self::Host(authenticator)
    }
}
