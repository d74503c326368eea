//! Users as they and administrators see them, and what they sign in with.

use serde::Serialize;

use crate::auth::Caller;
use crate::engine::{ChatEngine, SignedIn};
use crate::model::{OwnSession, Role, SessionId, Timestamp, User, UserId};

/// A user as the one it is sees it, with presence where they sign in.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserView<'a> {
    id: UserId,
    /// Lower case; `null` for a user who cannot log in with one.
    email: Option<&'a str>,
    username: &'a str,
    /// The address of a picture.
    avatar: Option<&'a str>,
    role: Role,
    created_at: Timestamp,
    #[serde(flatten)]
    presence: Option<PresenceView>,
    #[serde(flatten)]
    managed: Option<ManagedView>,
}

/// What an administrator sees besides.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct ManagedView {
    /// Whether they are shut out.
    disabled: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct PresenceView {
    /// Whether there is a live socket now.
    pub(super) is_online: bool,
    /// When they last had a socket, to about half a minute while they have one; `null` until they had.
    pub(super) last_seen: Option<Timestamp>,
}

impl<'a> UserView<'a> {
    /// Without presence.
    pub(crate) fn new(user: &'a User) -> Self {
        Self {
            id: user.id,
            email: user.email.as_deref(),
            username: &user.username,
            avatar: user.avatar.as_deref(),
            role: user.role,
            created_at: user.created_at,
            presence: None,
            managed: None,
        }
    }

    /// With presence.
    pub(crate) fn with_presence(engine: &ChatEngine, user: &'a User) -> Self {
        let presence = PresenceView { is_online: engine.is_online(user.id), last_seen: user.last_seen };
        Self { presence: Some(presence), ..Self::new(user) }
    }

    /// As an administrator sees them.
    pub(crate) fn managed(engine: &ChatEngine, user: &'a User) -> Self {
        let managed = ManagedView { disabled: user.disabled };
        Self { managed: Some(managed), ..Self::with_presence(engine, user) }
    }
}

/// A session as the one it belongs to sees it.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionView<'a> {
    id: SessionId,
    created_at: Timestamp,
    /// When its tokens were last refreshed, which a client that is there does every few minutes.
    last_used_at: Timestamp,
    /// When it ends unless they are refreshed before.
    expires_at: Timestamp,
    /// What the client called itself when it signed in; `null` when it did not say.
    user_agent: Option<&'a str>,
    /// Whether it is the session that asks.
    current: bool,
}

impl<'a> SessionView<'a> {
    pub(crate) fn new(session: &'a OwnSession, caller: &Caller) -> Self {
        Self {
            id: session.id,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: session.ends_at,
            user_agent: session.user_agent.as_deref(),
            current: caller.session_id == Some(session.id),
        }
    }
}

/// Tokens as a client gets them.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokensView<'a> {
    /// For `Authorization: Bearer` and the handshake of sockets.
    access_token: &'a str,
    /// Good for one refresh.
    refresh_token: &'a str,
    /// How long the access token is good, in seconds.
    expires_in: u64,
}

impl<'a> TokensView<'a> {
    pub(crate) fn new(signed_in: &'a SignedIn) -> Self {
        let tokens = &signed_in.tokens;
        Self {
            access_token: &tokens.access_token,
            refresh_token: &tokens.refresh_token,
            expires_in: tokens.expires_in.as_secs(),
        }
    }
}
