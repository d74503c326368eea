//! What is announced, to whom, and through what.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::{
    ConnectionId, Conversation, ConversationId, InboxItem, Message, MessageId, SessionId, Timestamp,
    UserBrief, UserId,
};

/// Something that happened. It is announced after it is stored, so that it can be missed but not untrue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A message was accepted. Whoever listens to a conversation hears each once, in `seq` order, without a gap; see
    /// [`Transport`] for those who do not.
    MessageNew(Arc<Message>),
    /// Messages were handed to someone else than their sender: to a live connection, or when they were read back.
    /// Each is announced at least once; again when it is read back after an older one had not been handed over.
    MessageDelivered {
        /// Where.
        conversation_id: ConversationId,
        /// The newest of them.
        message_id: MessageId,
        /// Its `seq`.
        seq: u64,
        /// All of them, oldest first, when there are too many for one event each; else empty.
        message_ids: Vec<MessageId>,
        /// Whose connections.
        delivered_to: Vec<UserId>,
    },
    /// Someone has read messages.
    MessageRead {
        /// Where.
        conversation_id: ConversationId,
        /// The newest of them.
        message_id: MessageId,
        /// Its `seq`.
        seq: u64,
        /// All of them, oldest first, when there are too many for one event each; else empty.
        message_ids: Vec<MessageId>,
        /// Who.
        reader: UserId,
        /// When.
        read_at: Timestamp,
    },
    /// Someone is writing.
    TypingStarted(Typist),
    /// Someone is no longer writing.
    TypingStopped(Typist),
    /// A user's first connection came, or the last one went.
    UserStatus {
        /// Who.
        user_id: UserId,
        /// Whether there is a connection now.
        is_online: bool,
        /// When the last connection ended.
        last_seen: Option<Timestamp>,
    },
    /// A conversation began, or the receiver came into it.
    ConversationNew(Arc<Conversation>),
    /// A conversation's participants or status changed.
    ConversationUpdated(Arc<Conversation>),
    /// A conversation was closed.
    ConversationClosed(Arc<Conversation>),
    /// The receiver is no longer in a conversation.
    ConversationGone(ConversationId),
    /// A visitor has begun to write, to those who answer visitors.
    InboxNew(Arc<InboxItem>),
    /// Something of a support conversation has changed, to those who answer visitors.
    InboxUpdated(Arc<InboxItem>),
    /// Somebody has taken a support conversation on, to those who answer visitors.
    InboxClaimed {
        /// Which one.
        conversation_id: ConversationId,
        /// Who.
        assignee: UserBrief,
    },
    /// The token of a connection will expire: it needs another one.
    AuthExpiring {
        /// How long it is still good.
        expires_in: Duration,
    },
}

impl Event {
    /// The event's name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.kind().name()
    }

    const fn kind(&self) -> EventKind {
        match self {
            Self::MessageNew(_) => EventKind::MessageNew,
            Self::MessageDelivered { .. } => EventKind::MessageDelivered,
            Self::MessageRead { .. } => EventKind::MessageRead,
            Self::TypingStarted(_) => EventKind::TypingStart,
            Self::TypingStopped(_) => EventKind::TypingStop,
            Self::UserStatus { .. } => EventKind::UserStatus,
            Self::ConversationNew(_) => EventKind::ConversationNew,
            Self::ConversationUpdated(_) | Self::ConversationGone(_) => EventKind::ConversationUpdated,
            Self::ConversationClosed(_) => EventKind::ConversationClosed,
            Self::InboxNew(_) => EventKind::InboxNew,
            Self::InboxUpdated(_) => EventKind::InboxUpdated,
            Self::InboxClaimed { .. } => EventKind::InboxClaimed,
            Self::AuthExpiring { .. } => EventKind::AuthExpiring,
        }
    }
}

/// The kinds of event, as clients tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventKind {
    MessageNew,
    MessageDelivered,
    MessageRead,
    TypingStart,
    TypingStop,
    UserStatus,
    ConversationNew,
    ConversationUpdated,
    ConversationClosed,
    InboxNew,
    InboxUpdated,
    InboxClaimed,
    AuthExpiring,
}

impl EventKind {
    /// All of them, in the order to show them.
    #[cfg(feature = "openapi")]
    pub(crate) const ALL: [Self; 13] = [
        Self::MessageNew,
        Self::MessageDelivered,
        Self::MessageRead,
        Self::TypingStart,
        Self::TypingStop,
        Self::UserStatus,
        Self::ConversationNew,
        Self::ConversationUpdated,
        Self::ConversationClosed,
        Self::InboxNew,
        Self::InboxUpdated,
        Self::InboxClaimed,
        Self::AuthExpiring,
    ];

    /// The name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::MessageNew => "message:new",
            Self::MessageDelivered => "message:delivered",
            Self::MessageRead => "message:read",
            Self::TypingStart => "typing:start",
            Self::TypingStop => "typing:stop",
            Self::UserStatus => "user:status",
            Self::ConversationNew => "conversation:new",
            Self::ConversationUpdated => "conversation:updated",
            Self::ConversationClosed => "conversation:closed",
            Self::InboxNew => "inbox:new",
            Self::InboxUpdated => "inbox:updated",
            Self::InboxClaimed => "inbox:claimed",
            Self::AuthExpiring => "auth:expiring",
        }
    }
}

/// Someone who is writing somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typist {
    /// Where.
    pub conversation_id: ConversationId,
    /// Who.
    pub user_id: UserId,
    /// Their name.
    pub username: String,
}

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// The connections that listen to a conversation.
    Conversation {
        /// Which one.
        id: ConversationId,
        /// But not this one.
        except: Option<ConnectionId>,
    },
    /// Every connection of these users.
    Users(Vec<UserId>),
    /// One connection.
    Connection(ConnectionId),
}

/// An access that has ended. Live connections that rest on it must not get anything more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// A session was ended: its connections are closed.
    Session(SessionId),
    /// A user may not connect at all: all their connections are closed.
    User(UserId),
    /// The token of a connection has expired and was not replaced. It is closed in a way after which its client comes
    /// back by itself, with a fresh token.
    Expired(ConnectionId),
    /// A user left a conversation, or was removed: their connections no longer listen to it.
    Membership {
        /// Who.
        user_id: UserId,
        /// Which conversation.
        conversation_id: ConversationId,
    },
}

/// Somewhere events go: Socket.IO, a webhook, a test recorder.
///
/// The engine calls each transport in turn, after the change is committed. Nothing else of the conversation is
/// announced until it returns, so it must not wait: hand slow work to a queue of its own. It has no way to fail a
/// call, because what it is told of is stored.
///
/// A connection begins to listen to a conversation by [`ChatEngine::join`](crate::ChatEngine::join), and keeps the
/// [`Listening`](crate::engine::Listening) that it gets there. As long as any connection of this node does, every
/// transport is told of all messages of the conversation, whichever node stored them: each once and in `seq` order.
/// Otherwise it is told of those that this node stored, in the order of their commits.
#[async_trait]
pub trait Transport: Debug + Send + Sync {
    /// Takes one event. Answers which participants it handed the event to, on a live connection.
    fn deliver(&self, audience: &Audience, event: &Event) -> Vec<UserId>;

    /// Ends what rests on an access that has ended. When this returns, nothing more is handed to it.
    ///
    /// It may be told of the same one more than once, as when a token of a session is used that has ended: whoever ended
    /// it may have had no answer from the storage, so that nobody was told then.
    fn revoke(&self, revocation: &Revocation);

    /// Ends every connection, telling each that it may come back. Bounded in time by the caller.
    async fn close(&self);
}
