//! The JSON shapes that clients see, the same over REST and sockets.

mod accounts;
mod events;
mod inbox;

use std::time::Duration;

use serde::Serialize;

use accounts::PresenceView;
pub(crate) use accounts::{SessionView, TokensView, UserView};
pub(crate) use events::event_payload;
pub(crate) use inbox::{InboxItemView, VisitedView};

use crate::engine::{ChatEngine, Sent};
use crate::model::{
    Attachment, Conversation, ConversationId, ConversationKind, ConversationStatus, ConversationSummary,
    FileId, FileRecord, Message, MessageId, MessageKind, MessageWithReads, Participant, Read, Role,
    Timestamp, User, UserBrief, UserId,
};

/// Whole seconds, to the nearest.
pub(crate) fn seconds(time: Duration) -> u64 {
    time.saturating_add(Duration::from_millis(500)).as_secs()
}

/// The schema of every shape, by its name.
#[cfg(feature = "openapi")]
pub(crate) fn schemas() -> Schemas {
    let mut schemas = Schemas::new();
    add_schema::<UserView<'_>>(&mut schemas);
    add_schema::<TokensView<'_>>(&mut schemas);
    add_schema::<SessionView<'_>>(&mut schemas);
    add_schema::<ConversationView<'_>>(&mut schemas);
    add_schema::<InboxItemView<'_>>(&mut schemas);
    add_schema::<VisitedView<'_>>(&mut schemas);
    add_schema::<UploadView<'_>>(&mut schemas);
    add_schema::<MessageView<'_>>(&mut schemas);
    add_schema::<crate::error::ErrorCode>(&mut schemas);
    events::add_schemas(&mut schemas);
    schemas
}

#[cfg(feature = "openapi")]
type Schemas = Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>;

/// Adds the schema of a type, and those that it names.
#[cfg(feature = "openapi")]
fn add_schema<T: utoipa::ToSchema>(schemas: &mut Schemas) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

/// A participant: never an e-mail.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ParticipantView<'a> {
    id: UserId,
    username: &'a str,
    /// The address of a picture.
    avatar: Option<&'a str>,
    /// Whether there is a live socket now.
    is_online: bool,
    /// When they last had a socket, to about half a minute while they have one; `null` until they had.
    last_seen: Option<Timestamp>,
    role: Role,
}

impl<'a> ParticipantView<'a> {
    fn new(engine: &ChatEngine, participant: &'a Participant) -> Self {
        Self {
            id: participant.user_id,
            username: &participant.username,
            avatar: participant.avatar.as_deref(),
            is_online: engine.is_online(participant.user_id),
            last_seen: participant.last_seen,
            role: participant.role,
        }
    }

    /// A user as who they would be in a conversation.
    pub(crate) fn of(engine: &ChatEngine, user: &'a User) -> Self {
        Self {
            id: user.id,
            username: &user.username,
            avatar: user.avatar.as_deref(),
            is_online: engine.is_online(user.id),
            last_seen: user.last_seen,
            role: user.role,
        }
    }
}

/// A conversation.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConversationView<'a> {
    id: ConversationId,
    /// `null` for a direct one, and for a group without a name.
    name: Option<&'a str>,
    #[serde(rename = "type")]
    kind: ConversationKind,
    status: ConversationStatus,
    participants: Vec<ParticipantView<'a>>,
    #[serde(flatten)]
    listed: Option<ListedView<'a>>,
    created_at: Timestamp,
    /// When something last happened in it.
    updated_at: Timestamp,
}

/// What a list adds to a conversation.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct ListedView<'a> {
    /// The newest message; `null` while there is none.
    last_message: Option<LastMessageView<'a>>,
    /// Messages of others that the caller has not read.
    unread_count: u64,
    /// The `seq` of the newest message; 0 while there is none.
    last_seq: u64,
}

impl<'a> ConversationView<'a> {
    /// By itself.
    pub(crate) fn new(engine: &ChatEngine, conversation: &'a Conversation) -> Self {
        let participants = &conversation.participants;
        Self {
            id: conversation.id,
            name: conversation.name.as_deref(),
            kind: conversation.kind,
            status: conversation.status,
            participants: participants.iter().map(|one| ParticipantView::new(engine, one)).collect(),
            listed: None,
            created_at: conversation.created_at,
            updated_at: conversation.updated_at,
        }
    }

    /// In a list.
    pub(crate) fn listed(engine: &ChatEngine, summary: &'a ConversationSummary) -> Self {
        let listed = ListedView {
            last_message: summary.last_message.as_ref().map(|message| LastMessageView::new(engine, message)),
            unread_count: summary.unread,
            last_seq: summary.conversation.last_seq,
        };
        Self { listed: Some(listed), ..Self::new(engine, &summary.conversation) }
    }
}

/// The file of a message.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct FileView<'a> {
    /// Where to fetch the file, without a token, for an hour at most; `null` without one, as the next two.
    file_url: Option<String>,
    /// What its uploader called it.
    file_name: Option<&'a str>,
    /// In bytes.
    file_size: Option<u64>,
    /// How wide a picture is, in pixels, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    /// How high it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
}

impl<'a> FileView<'a> {
    fn new(engine: &ChatEngine, attachment: Option<&'a Attachment>) -> Self {
        let dimensions = attachment.and_then(|file| file.dimensions);
        Self {
            file_url: attachment.map(|file| engine.file_url(&file.stored_name)),
            file_name: attachment.map(|file| file.original_name.as_str()),
            file_size: attachment.map(|file| file.size),
            width: dimensions.map(|dimensions| dimensions.width),
            height: dimensions.map(|dimensions| dimensions.height),
        }
    }
}

/// An uploaded file as its uploader gets it.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct UploadView<'a> {
    id: FileId,
    /// Where to fetch it, without a token, for an hour at most: what a message names as `fileUrl`.
    url: String,
    /// What its uploader called it, cleaned of path and control characters.
    original_name: &'a str,
    /// The name it is stored under: random, with the extension of its type.
    filename: &'a str,
    /// In bytes.
    size: u64,
    /// The media type that its bytes say it has.
    mimetype: &'a str,
    /// How wide a picture is, in pixels, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    /// How high it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
}

impl<'a> UploadView<'a> {
    pub(crate) fn new(engine: &ChatEngine, file: &'a FileRecord) -> Self {
        Self {
            id: file.id,
            url: engine.file_url(&file.stored_name),
            original_name: &file.original_name,
            filename: &file.stored_name,
            size: file.size,
            mimetype: &file.content_type,
            width: file.dimensions.map(|dimensions| dimensions.width),
            height: file.dimensions.map(|dimensions| dimensions.height),
        }
    }
}

/// The newest message of a conversation in a list.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct LastMessageView<'a> {
    id: MessageId,
    /// Its place in the conversation: 1, 2, 3 and so on without a gap.
    seq: u64,
    content: &'a str,
    #[serde(rename = "type")]
    kind: MessageKind,
    #[serde(flatten)]
    file: FileView<'a>,
    conversation_id: ConversationId,
    sender_id: UserId,
    created_at: Timestamp,
    sender: NameView<'a>,
}

impl<'a> LastMessageView<'a> {
    fn new(engine: &ChatEngine, message: &'a Message) -> Self {
        Self {
            id: message.id,
            seq: message.seq,
            content: &message.content,
            kind: message.kind,
            file: FileView::new(engine, message.attachment.as_ref()),
            conversation_id: message.conversation_id,
            sender_id: message.sender.id,
            created_at: message.created_at,
            sender: NameView { id: message.sender.id, username: &message.sender.username },
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct NameView<'a> {
    id: UserId,
    username: &'a str,
}

/// A message as history has it, and as the one who sent it gets it.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageView<'a> {
    id: MessageId,
    /// Its place in the conversation: 1, 2, 3 and so on without a gap.
    seq: u64,
    conversation_id: ConversationId,
    /// The sender's own name for it; `null` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_message_id: Option<Option<&'a str>>,
    /// Exactly as sent: escape it before you show it.
    content: &'a str,
    #[serde(rename = "type")]
    kind: MessageKind,
    #[serde(flatten)]
    file: FileView<'a>,
    sender: &'a UserBrief,
    /// Who has read it, in the order they did.
    #[serde(skip_serializing_if = "Option::is_none")]
    reads: Option<Vec<ReadView<'a>>>,
    created_at: Timestamp,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct ReadView<'a> {
    user: NameView<'a>,
    read_at: Timestamp,
}

impl<'a> MessageView<'a> {
    /// In history.
    pub(crate) fn history(engine: &ChatEngine, item: &'a MessageWithReads) -> Self {
        let read = |read: &'a Read| ReadView {
            user: NameView { id: read.user_id, username: &read.username },
            read_at: read.read_at,
        };
        Self { reads: Some(item.reads.iter().map(read).collect()), ..Self::plain(engine, &item.message) }
    }

    /// In the answer to a REST send.
    pub(crate) fn sent(engine: &ChatEngine, sent: &'a Sent) -> Self {
        let client_message_id = Some(sent.message.client_message_id.as_deref());
        Self { client_message_id, ..Self::plain(engine, &sent.message) }
    }

    /// In the acknowledgement of a socket send.
    pub(crate) fn acknowledged(engine: &ChatEngine, sent: &'a Sent) -> Self {
        Self { reads: Some(Vec::new()), ..Self::sent(engine, sent) }
    }

    fn plain(engine: &ChatEngine, message: &'a Message) -> Self {
        Self {
            id: message.id,
            seq: message.seq,
            conversation_id: message.conversation_id,
            client_message_id: None,
            content: &message.content,
            kind: message.kind,
            file: FileView::new(engine, message.attachment.as_ref()),
            sender: &message.sender,
            reads: None,
            created_at: message.created_at,
        }
    }
}
