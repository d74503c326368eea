//! What can go wrong, what a client is told of it, and nothing else: the one table of failures.

use std::error::Error as StdError;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::model::{ConversationId, Role, UserBrief};
use crate::telemetry;

/// What an engine call gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an engine call failed.
///
/// `Display` is safe to send to a client; the cause of [`Error::Internal`] is only for the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input is wrong: one entry for each fault, starting with the quoted name of the field.
    #[error("Validation error")]
    Validation(Vec<String>),
    /// The input is wrong as a whole; the text says how.
    #[error("{0}")]
    Refused(&'static str),
    /// The body is not JSON.
    #[error("Invalid JSON in request body")]
    MalformedJson,
    /// No token.
    #[error("Access token required")]
    Unauthenticated,
    /// A token that is not, or no longer, good.
    #[error("Invalid or expired access token")]
    InvalidToken,
    /// A good token of a user or session that is no longer there.
    #[error("Invalid or expired access token")]
    UnknownUser,
    /// No such account, or not its password: which of the two is not said.
    #[error("Invalid credentials")]
    InvalidCredentials,
    /// A refresh token that is not, or no longer, good.
    #[error("Invalid refresh token")]
    InvalidRefreshToken,
    /// Seen, but not allowed.
    #[error("Insufficient permissions")]
    Forbidden,
    /// Not the password that the caller has.
    #[error("Current password is incorrect")]
    WrongPassword,
    /// A role is missing.
    #[error("Insufficient permissions")]
    RoleRequired {
        /// Any of these would do.
        required: &'static [Role],
        /// What the caller has; none when not signed in.
        current: Option<Role>,
    },
    /// No such thing, or none that the caller may know of: which of the two is not said.
    #[error("{0}")]
    NotFound(&'static str),
    /// No such route.
    #[error("Route not found")]
    RouteNotFound,
    /// The route does not take this method.
    #[error("Method not allowed")]
    MethodNotAllowed,
    /// No such socket event.
    #[error("Unknown event")]
    UnknownEvent,
    /// Something of that name is there already.
    #[error("{0}")]
    Conflict(&'static str),
    /// The two have an open direct conversation already, or the visitor one of support.
    #[error("Direct conversation already exists")]
    DirectExists(ConversationId),
    /// Somebody else has taken the support conversation on.
    #[error("Conversation was claimed already")]
    AlreadyClaimed(UserBrief),
    /// The conversation takes no more messages.
    #[error("Conversation is closed")]
    ConversationClosed,
    /// The client's own message id stands for another message already.
    #[error("clientMessageId was already used for another message")]
    ClientIdReused,
    /// More bytes than are taken.
    #[error("{what} too large")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How many bytes are taken.
        max_bytes: u64,
    },
    /// The files of a user would be more than they may be.
    #[error("Storage quota exceeded")]
    QuotaExceeded {
        /// How many bytes they may have together.
        max_bytes: u64,
    },
    /// A kind of content that is not taken; the text says what is.
    #[error("{0}")]
    UnsupportedMediaType(&'static str),
    /// Too many requests.
    #[error("Too many requests, please try again later")]
    RateLimited {
        /// How often it may be done at once.
        limit: u32,
        /// How long to wait.
        retry_after: Duration,
    },
    /// The user has as many live connections as one may have.
    #[error("Too many connections")]
    TooManyConnections,
    /// A queue is full.
    #[error("Server is busy, please try again")]
    Overloaded,
    /// The storage is away or full. Nothing was changed, or the change may not have been kept: ask again.
    #[error("Service temporarily unavailable")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// Our fault. The cause is for the log.
    #[error("Internal server error")]
    Internal(#[source] Box<dyn StdError + Send + Sync>),
}

/// A failure's name for programs. Stable: renaming one is a breaking change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(rename_all = "snake_case"))]
#[non_exhaustive]
#[allow(missing_docs, reason = "each is described where `Error` has its variant")]
pub enum ErrorCode {
    ValidationFailed,
    MalformedJson,
    Unauthenticated,
    InvalidToken,
    InvalidCredentials,
    InvalidRefreshToken,
    Forbidden,
    NotFound,
    RouteNotFound,
    MethodNotAllowed,
    UnknownEvent,
    Conflict,
    DirectExists,
    AlreadyClaimed,
    ConversationClosed,
    ClientIdReused,
    PayloadTooLarge,
    QuotaExceeded,
    UnsupportedMediaType,
    RateLimited,
    Overloaded,
    Unavailable,
    Internal,
}

impl ErrorCode {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ValidationFailed => "validation_failed",
            Self::MalformedJson => "malformed_json",
            Self::Unauthenticated => "unauthenticated",
            Self::InvalidToken => "invalid_token",
            Self::InvalidCredentials => "invalid_credentials",
            Self::InvalidRefreshToken => "invalid_refresh_token",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::RouteNotFound => "route_not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnknownEvent => "unknown_event",
            Self::Conflict => "conflict",
            Self::DirectExists => "direct_exists",
            Self::AlreadyClaimed => "already_claimed",
            Self::ConversationClosed => "conversation_closed",
            Self::ClientIdReused => "client_id_reused",
            Self::PayloadTooLarge => "payload_too_large",
            Self::QuotaExceeded => "quota_exceeded",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status for this code: the only place that pairs them.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::ValidationFailed | Self::MalformedJson | Self::UnknownEvent => 400,
            Self::Unauthenticated
            | Self::InvalidToken
            | Self::InvalidCredentials
            | Self::InvalidRefreshToken => 401,
            Self::Forbidden => 403,
            Self::NotFound | Self::RouteNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict
            | Self::DirectExists
            | Self::AlreadyClaimed
            | Self::ConversationClosed
            | Self::ClientIdReused => 409,
            Self::PayloadTooLarge | Self::QuotaExceeded => 413,
            Self::UnsupportedMediaType => 415,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Overloaded | Self::Unavailable => 503,
        }
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What a client is told of a failure. Each transport puts it in its own envelope.
#[derive(Debug, Clone)]
pub struct WireError {
    /// For programs.
    pub code: ErrorCode,
    /// For people; safe to show.
    pub message: String,
    /// What goes with it, such as `details` or `conversationId`.
    pub extras: Map<String, Value>,
    /// In how many seconds to try again, where that is known.
    pub retry_after_secs: Option<u64>,
    /// How often it may be done at once, where that was too often.
    pub rate_limit: Option<u32>,
}

impl Error {
    /// Wraps a cause that no client shall see.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }

    /// One field at fault: `"field" what`.
    #[must_use]
    pub fn field(field: &str, what: &str) -> Self {
        Self::Validation(vec![format!("\"{field}\" {what}")])
    }

    /// The name of this failure for programs.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Validation(_) | Self::Refused(_) => ErrorCode::ValidationFailed,
            Self::MalformedJson => ErrorCode::MalformedJson,
            Self::Unauthenticated => ErrorCode::Unauthenticated,
            Self::InvalidToken | Self::UnknownUser => ErrorCode::InvalidToken,
            Self::InvalidCredentials => ErrorCode::InvalidCredentials,
            Self::InvalidRefreshToken => ErrorCode::InvalidRefreshToken,
            Self::Forbidden | Self::WrongPassword | Self::RoleRequired { .. } => ErrorCode::Forbidden,
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::RouteNotFound => ErrorCode::RouteNotFound,
            Self::MethodNotAllowed => ErrorCode::MethodNotAllowed,
            Self::UnknownEvent => ErrorCode::UnknownEvent,
            Self::Conflict(_) => ErrorCode::Conflict,
            Self::DirectExists(_) => ErrorCode::DirectExists,
            Self::AlreadyClaimed(_) => ErrorCode::AlreadyClaimed,
            Self::ConversationClosed => ErrorCode::ConversationClosed,
            Self::ClientIdReused => ErrorCode::ClientIdReused,
            Self::TooLarge { .. } => ErrorCode::PayloadTooLarge,
            Self::QuotaExceeded { .. } => ErrorCode::QuotaExceeded,
            Self::UnsupportedMediaType(_) => ErrorCode::UnsupportedMediaType,
            Self::RateLimited { .. } | Self::TooManyConnections => ErrorCode::RateLimited,
            Self::Overloaded => ErrorCode::Overloaded,
            Self::Unavailable(_) => ErrorCode::Unavailable,
            Self::Internal(_) => ErrorCode::Internal,
        }
    }

    /// Turns this into its wire form, logging it once if it is our fault.
    #[must_use]
    pub fn into_wire(self) -> WireError {
        telemetry::refused(self.code().as_str());
        match &self {
            Self::Internal(cause) => tracing::error!(error = %Chain(cause.as_ref()), "request failed"),
            Self::Unavailable(cause) => tracing::warn!(error = %Chain(cause.as_ref()), "storage unavailable"),
            _ => {}
        }
        let mut extras = Map::new();
        let mut add = |name: &str, value: Value| {
            extras.insert(name.to_owned(), value);
        };
        let (mut retry_after_secs, mut rate_limit) = (None, None);
        match &self {
            Self::Validation(details) => add("details", json!(details)),
            Self::RoleRequired { required, current } => {
                add("required", json!(required));
                add("current", json!(current));
            }
            Self::DirectExists(id) => add("conversationId", json!(id)),
            Self::AlreadyClaimed(assignee) => add("assignee", json!(assignee)),
            Self::TooLarge { max_bytes, .. } | Self::QuotaExceeded { max_bytes } => {
                add("maxSize", json!(max_bytes));
            }
            Self::RateLimited { limit, retry_after } => {
                let secs = whole_seconds(*retry_after).max(1);
                add("retryAfter", json!(secs));
                (retry_after_secs, rate_limit) = (Some(secs), Some(*limit));
            }
            Self::TooManyConnections | Self::Overloaded | Self::Unavailable(_) => retry_after_secs = Some(1),
            _ => {}
        }
        WireError { code: self.code(), message: self.to_string(), extras, retry_after_secs, rate_limit }
    }
}

/// A wait in whole seconds, rounded up: who waits that long has waited long enough.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// An error with its causes, on one line.
struct Chain<'a>(&'a (dyn StdError + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}
