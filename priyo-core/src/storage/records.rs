//! What goes into a storage and comes out of it: rows to be, and what became of them.

use std::fmt;

use crate::model::{
    Attachment, Conversation, ConversationId, ConversationKind, ConversationStatus, Message, MessageId,
    MessageKind, MessagePage, SessionId, Timestamp, User, UserId,
};

/// The SHA-256 of a refresh token: the token itself is never stored.
pub type TokenHash = [u8; 32];

/// A refresh token to be.
#[derive(Debug, Clone)]
pub struct RefreshToken {
    /// Its hash.
    pub hash: TokenHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is no longer good.
    pub expires_at: Timestamp,
}

/// A session to be.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends, however often its tokens are renewed.
    pub expires_at: Timestamp,
    /// What the client called itself.
    pub user_agent: Option<String>,
}

/// A session and its user, as they are now.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: User,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// Whether it was ended.
    pub revoked: bool,
}

/// What became of a refresh token.
#[derive(Debug, Clone)]
pub enum Rotation {
    /// It was good: its child is stored.
    Rotated(Session),
    /// There is no such token, or it or its session has expired or was revoked. Nothing has changed.
    Invalid,
    /// It had been used before and the grace was over: its session is revoked now.
    Reused(Session),
}

/// A password to be.
#[derive(Clone)]
pub struct PasswordRow {
    /// Whose.
    pub user_id: UserId,
    /// The hash that they must have still; `None` when whatever they have is to be replaced.
    pub old_hash: Option<String>,
    /// The hash that they will have.
    pub new_hash: String,
    /// The session that goes on.
    pub keep: Option<SessionId>,
    /// When.
    pub at: Timestamp,
}

/// Without the hashes: debug output ends up in logs.
impl fmt::Debug for PasswordRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordRow").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

/// What became of a change of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and it is not kept")]
pub enum UserUpdate {
    /// It is done.
    Updated {
        /// The user as they were.
        before: User,
        /// The user as they are now.
        user: User,
        /// Their sessions that were live, if they are disabled now.
        ended: Vec<SessionId>,
    },
    /// There is no such user. Nothing has changed.
    NotFound,
    /// There would be no administrator left who can log in. Nothing has changed.
    LastAdmin,
}

/// A conversation to be.
#[derive(Debug, Clone)]
pub struct ConversationRow {
    /// Its id.
    pub id: ConversationId,
    /// Direct or group.
    pub kind: ConversationKind,
    /// Its title.
    pub name: Option<String>,
    /// Who makes it.
    pub created_by: UserId,
    /// Who is in it from the start, distinct, in this order.
    pub participants: Vec<UserId>,
    /// When.
    pub at: Timestamp,
}

/// What became of a new conversation.
#[derive(Debug, Clone)]
pub enum Created {
    /// It is stored.
    Created(Conversation),
    /// The two have this open direct conversation already.
    DirectExists(ConversationId),
    /// A participant does not exist or is disabled.
    UnknownParticipant,
}

/// How a user stands to a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether the user is in it now.
    pub is_participant: bool,
    /// Who made it.
    pub created_by: UserId,
    /// Direct or group.
    pub kind: ConversationKind,
    /// Open or closed.
    pub status: ConversationStatus,
    /// The number of its newest message.
    pub last_seq: u64,
    /// Up to where every message is noted as handed to the user.
    pub delivered_seq: u64,
}

/// Who reads a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// Who.
    pub user_id: UserId,
    /// Whether they may read it without being in it.
    pub from_outside: bool,
}

/// A part of a conversation's messages, as it comes to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// How they stand to the conversation.
    pub standing: Standing,
    /// The part.
    pub page: MessagePage,
    /// Those of its senders who are in the conversation now, each once.
    pub present: Vec<UserId>,
}

/// What became of a change of status.
#[derive(Debug, Clone)]
pub enum StatusChange {
    /// It changed.
    Changed(Conversation),
    /// It was so already.
    Unchanged(Conversation),
    /// There is no such conversation.
    NotFound,
    /// The two have this other open direct conversation.
    DirectExists(ConversationId),
}

/// What became of adding participants.
#[derive(Debug, Clone)]
pub enum Addition {
    /// They are in it; `added` are those who were not before.
    Added {
        /// The conversation as it is now.
        conversation: Conversation,
        /// Who is new, in the order that they were named, each once.
        added: Vec<UserId>,
    },
    /// There is no such conversation.
    NotFound,
    /// One of the users does not exist or is disabled.
    UnknownUser,
    /// There would be too many.
    TooMany,
}

/// A message to be.
#[derive(Debug, Clone)]
pub struct NewMessageRow {
    /// Its id.
    pub id: MessageId,
    /// Where.
    pub conversation_id: ConversationId,
    /// Who.
    pub sender: UserId,
    /// The sender's own name for it.
    pub client_message_id: Option<String>,
    /// The words.
    pub content: String,
    /// Text, file or image.
    pub kind: MessageKind,
    /// The file.
    pub attachment: Option<Attachment>,
    /// When.
    pub at: Timestamp,
}

/// What became of a new message.
#[derive(Debug, Clone)]
pub enum Appended {
    /// It is stored.
    New(Message),
    /// It is stored, in a support conversation.
    InSupport {
        /// The message.
        message: Message,
        /// What it has done to the conversation.
        effect: Effect,
    },
    /// The sender sent it before: this is the first one.
    Duplicate(Message),
    /// The sender used the same `client_message_id` for something else.
    ClientIdReused,
    /// There is no such conversation.
    NoConversation,
    /// The sender is not in it.
    NotParticipant,
    /// It is closed, and not opened again by this.
    Closed,
    /// The file is gone.
    FileGone,
    /// Somebody else holds the conversation or the sender's place in it for too long. Trying again later may help.
    Busy,
}

/// What a message has done to a support conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is the first that its visitor wrote.
    Begins,
    /// It has opened the conversation again.
    Reopens,
    /// Nothing but that there is more to read.
    GoesOn,
}

impl Effect {
    /// The effect of a message: whether it opens the conversation again, whether it is the visitor's, its number, and
    /// the number of the newest one that is not the visitor's. The only one that may be before the visitor's first is
    /// the greeting.
    #[must_use]
    pub fn of(reopens: bool, is_of_visitor: bool, seq: u64, answered_seq: u64) -> Self {
        if reopens {
            Self::Reopens
        } else if is_of_visitor && answered_seq <= 1 && seq == answered_seq + 1 {
            Self::Begins
        } else {
            Self::GoesOn
        }
    }
}

/// What became of read marks.
#[derive(Debug, Clone)]
pub enum ReadOutcome {
    /// All are marked; these are new, ordered by conversation and `seq`.
    Marked(Vec<ReadMark>),
    /// One does not exist, or is not in the conversation named. Nothing was marked.
    Unknown,
    /// One is in a conversation that the user is not in. Nothing was marked.
    NotParticipant,
}

/// A read mark that was not there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadMark {
    /// Where.
    pub conversation_id: ConversationId,
    /// Which message.
    pub message_id: MessageId,
    /// Its place there.
    pub seq: u64,
}

/// That messages, from one to another without a gap, were handed to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveredMark {
    /// Where.
    pub conversation_id: ConversationId,
    /// To whom.
    pub user_id: UserId,
    /// The number of the first.
    pub first_seq: u64,
    /// The number of the last.
    pub last_seq: u64,
}

/// Messages of a conversation, from one to another without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageSpan {
    /// Where.
    pub conversation_id: ConversationId,
    /// The number of the first.
    pub first_seq: u64,
    /// The number of the last.
    pub last_seq: u64,
}

/// A name under which there may be bytes that no file stands for: of an upload that is not done, or of a file that is
/// no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LooseFile {
    /// The name that the bytes are stored under.
    pub stored_name: String,
    /// What the file store calls an upload in parts.
    pub upload_id: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// Something that must be traceable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who did it, if that is known.
    pub actor: Option<UserId>,
    /// What, in snake_case, such as `conversation_read_by_admin`.
    pub action: &'static str,
    /// To what: an id.
    pub subject: Option<String>,
    /// What else is to be said of it, in a few words.
    pub detail: Option<String>,
    /// The network that the client was in.
    pub address: Option<String>,
    /// The id of the request.
    pub request_id: Option<String>,
}
