//! The payloads of events.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{ConversationView, FileView, InboxItemView, PresenceView, seconds};
use crate::engine::ChatEngine;
use crate::events::{Event, Typist};
use crate::model::{
    Conversation, ConversationId, InboxItem, Message, MessageId, MessageKind, Timestamp, UserBrief, UserId,
};

/// Adds the schema of every payload.
#[cfg(feature = "openapi")]
pub(super) fn add_schemas(schemas: &mut super::Schemas) {
    super::add_schema::<MessageNewView<'_>>(schemas);
    super::add_schema::<DeliveredView<'_>>(schemas);
    super::add_schema::<ReadEventView<'_>>(schemas);
    super::add_schema::<TypingView<'_>>(schemas);
    super::add_schema::<StatusView>(schemas);
    super::add_schema::<ConversationEventView<'_>>(schemas);
    super::add_schema::<GoneView>(schemas);
    super::add_schema::<InboxEventView<'_>>(schemas);
    super::add_schema::<InboxClaimedView<'_>>(schemas);
    super::add_schema::<ExpiringView>(schemas);
}

/// The payload of an event, as every receiver gets it.
///
/// # Errors
///
/// When it cannot be written as JSON, which none of ours is.
pub(crate) fn event_payload(engine: &ChatEngine, event: &Event) -> serde_json::Result<Box<RawValue>> {
    use serde_json::value::to_raw_value;
    match event {
        Event::MessageNew(message) => to_raw_value(&MessageNewView::new(engine, message)),
        Event::MessageDelivered { conversation_id, message_id, seq, message_ids, delivered_to } => {
            let what = ReceiptView::new(*conversation_id, *message_id, *seq, message_ids);
            to_raw_value(&DeliveredView { what, delivered_to })
        }
        Event::MessageRead { conversation_id, message_id, seq, message_ids, reader, read_at } => {
            let what = ReceiptView::new(*conversation_id, *message_id, *seq, message_ids);
            to_raw_value(&ReadEventView { what, read_by: *reader, read_at: *read_at })
        }
        Event::TypingStarted(typist) | Event::TypingStopped(typist) => to_raw_value(&TypingView::new(typist)),
        Event::UserStatus { user_id, is_online, last_seen } => {
            let presence = PresenceView { is_online: *is_online, last_seen: *last_seen };
            to_raw_value(&StatusView { user_id: *user_id, presence })
        }
        Event::ConversationNew(conversation) => {
            to_raw_value(&ConversationEventView::new(engine, None, conversation))
        }
        Event::ConversationUpdated(conversation) | Event::ConversationClosed(conversation) => {
            to_raw_value(&ConversationEventView::new(engine, Some(conversation.id), conversation))
        }
        Event::ConversationGone(id) => to_raw_value(&GoneView { conversation_id: *id, gone: true }),
        Event::InboxNew(item) | Event::InboxUpdated(item) => to_raw_value(&InboxEventView::new(engine, item)),
        Event::InboxClaimed { conversation_id, assignee } => {
            to_raw_value(&InboxClaimedView { conversation_id: *conversation_id, assignee })
        }
        Event::AuthExpiring { expires_in } => {
            to_raw_value(&ExpiringView { expires_in: seconds(*expires_in) })
        }
    }
}

/// A message that was accepted.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct MessageNewView<'a> {
    id: MessageId,
    /// Its place in the conversation: 1, 2, 3 and so on without a gap.
    seq: u64,
    conversation_id: ConversationId,
    /// Exactly as sent: escape it before you show it.
    content: &'a str,
    #[serde(rename = "type")]
    kind: MessageKind,
    #[serde(flatten)]
    file: Option<FileView<'a>>,
    sender_id: UserId,
    sender_username: &'a str,
    created_at: Timestamp,
    /// The sender's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_message_id: Option<&'a str>,
}

impl<'a> MessageNewView<'a> {
    fn new(engine: &ChatEngine, message: &'a Message) -> Self {
        Self {
            id: message.id,
            seq: message.seq,
            conversation_id: message.conversation_id,
            content: &message.content,
            kind: message.kind,
            file: message.attachment.as_ref().map(|file| FileView::new(engine, Some(file))),
            sender_id: message.sender.id,
            sender_username: &message.sender.username,
            created_at: message.created_at,
            client_message_id: message.client_message_id.as_deref(),
        }
    }
}

/// Which messages a receipt is for.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct ReceiptView<'a> {
    /// The newest of the messages.
    message_id: MessageId,
    conversation_id: ConversationId,
    /// The `seq` of that message.
    seq: u64,
    /// All of the messages, oldest first, when they are more than 20.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    message_ids: &'a [MessageId],
}

impl<'a> ReceiptView<'a> {
    fn new(
        conversation_id: ConversationId,
        message_id: MessageId,
        seq: u64,
        message_ids: &'a [MessageId],
    ) -> Self {
        Self { message_id, conversation_id, seq, message_ids }
    }
}

/// That messages were handed to live connections of others.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct DeliveredView<'a> {
    #[serde(flatten)]
    what: ReceiptView<'a>,
    /// The users whose live connections got it.
    delivered_to: &'a [UserId],
}

/// That someone has read messages.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct ReadEventView<'a> {
    #[serde(flatten)]
    what: ReceiptView<'a>,
    /// The user who has read it.
    read_by: UserId,
    read_at: Timestamp,
}

/// Someone who is writing, or no longer.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct TypingView<'a> {
    conversation_id: ConversationId,
    user_id: UserId,
    username: &'a str,
}

impl<'a> TypingView<'a> {
    fn new(typist: &'a Typist) -> Self {
        Self { conversation_id: typist.conversation_id, user_id: typist.user_id, username: &typist.username }
    }
}

/// That a user's first connection came, or the last one went.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct StatusView {
    user_id: UserId,
    #[serde(flatten)]
    presence: PresenceView,
}

/// A conversation that is new to the receiver, or has changed.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct ConversationEventView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<ConversationId>,
    conversation: ConversationView<'a>,
}

impl<'a> ConversationEventView<'a> {
    fn new(engine: &ChatEngine, id: Option<ConversationId>, conversation: &'a Conversation) -> Self {
        Self { conversation_id: id, conversation: ConversationView::new(engine, conversation) }
    }
}

/// That the receiver is no longer in a conversation.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct GoneView {
    conversation_id: ConversationId,
    /// Always `true`.
    gone: bool,
}

/// A support conversation as it is now.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct InboxEventView<'a> {
    conversation: InboxItemView<'a>,
}

impl<'a> InboxEventView<'a> {
    fn new(engine: &ChatEngine, item: &'a InboxItem) -> Self {
        Self { conversation: InboxItemView::new(engine, item) }
    }
}

/// That somebody has taken a support conversation on.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct InboxClaimedView<'a> {
    conversation_id: ConversationId,
    /// Who answers from now on.
    assignee: &'a UserBrief,
}

/// That the socket's access token will expire.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct ExpiringView {
    /// How long it is still good, in seconds.
    expires_in: u64,
}
