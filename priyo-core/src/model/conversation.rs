//! Conversations.

use serde::Serialize;
use serde_json::Value;

use super::fields::{Fields, Unknown};
use super::message::text_wire_bytes;
use super::{ConversationId, Message, Role, Timestamp, UserId};
use crate::error::Result;

/// What kind of conversation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum ConversationKind {
    /// Between exactly two; there is only ever one open between the same two.
    Direct,
    /// Between any number.
    Group,
    /// Between a visitor of a website and those who answer; a visitor has only ever one open.
    Support,
}

impl ConversationKind {
    /// The name on the wire and in storage.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "DIRECT",
            Self::Group => "GROUP",
            Self::Support => "SUPPORT",
        }
    }

    /// The kind with this exact name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Direct, Self::Group, Self::Support].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Whether a conversation takes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum ConversationStatus {
    /// It does.
    Open,
    /// It does not; its history stays readable.
    Closed,
}

impl ConversationStatus {
    /// The name on the wire and in storage.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Closed => "CLOSED",
        }
    }

    /// The status with this exact name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Open, Self::Closed].into_iter().find(|status| status.as_str() == name)
    }
}

/// A conversation and who is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Which one.
    pub id: ConversationId,
    /// Its title; only groups have one.
    pub name: Option<String>,
    /// Direct, group or support.
    pub kind: ConversationKind,
    /// Open or closed.
    pub status: ConversationStatus,
    /// Who made it.
    pub created_by: UserId,
    /// The number of its newest message; 0 when there is none.
    pub last_seq: u64,
    /// Who is in it now, in the order they came.
    pub participants: Vec<Participant>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When something last happened in it.
    pub updated_at: Timestamp,
}

impl Conversation {
    /// Whether `user` is in it now.
    #[must_use]
    pub fn has(&self, user: UserId) -> bool {
        self.participants.iter().any(|p| p.user_id == user)
    }

    /// Whether it takes messages.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.status == ConversationStatus::Open
    }

    /// The ids of those who are in it now.
    #[must_use]
    pub fn participant_ids(&self) -> Vec<UserId> {
        self.participants.iter().map(|p| p.user_id).collect()
    }
}

/// Someone in a conversation. Whether they are online is not stored: ask the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// Who it is.
    pub user_id: UserId,
    /// Their name.
    pub username: String,
    /// The address of their picture.
    pub avatar: Option<String>,
    /// What they may do in general.
    pub role: Role,
    /// When they last had a connection.
    pub last_seen: Option<Timestamp>,
}

/// A conversation as one user's list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationSummary {
    /// The conversation.
    pub conversation: Conversation,
    /// Its newest message.
    pub last_message: Option<Message>,
    /// How many messages of it the user has not read; 0 for one who is not in it.
    pub unread: u64,
}

impl ConversationSummary {
    /// About how many bytes of JSON it takes: a little more rather than less.
    pub(crate) fn wire_bytes(&self) -> usize {
        /// Ids, times and the names of the fields; and those of a participant.
        const FIELDS: usize = 320;
        const PARTICIPANT: usize = 160;
        let optional = |text: &Option<String>| text.as_deref().map_or(0, text_wire_bytes);
        let participant =
            |one: &Participant| PARTICIPANT + text_wire_bytes(&one.username) + optional(&one.avatar);
        let participants = self.conversation.participants.iter().map(participant).sum::<usize>();
        let last_message = self.last_message.as_ref().map_or(0, Message::wire_bytes);
        FIELDS + optional(&self.conversation.name) + participants + last_message
    }
}

/// What someone sends to start a conversation.
#[derive(Debug, Clone)]
pub struct NewConversation {
    /// Whom to talk to. The caller is added, duplicates removed.
    pub participant_ids: Vec<UserId>,
    /// Direct or group.
    pub kind: ConversationKind,
    /// A title; ignored for a direct one.
    pub name: Option<String>,
}

impl NewConversation {
    /// Reads a new conversation with at most `max_participants` named.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`](crate::Error::Validation) with one entry for each field at fault.
    pub fn parse(body: Value, max_participants: usize) -> Result<Self> {
        let mut fields = Fields::new(body, Unknown::Refuse)?;
        let ids = fields.strings("participantIds", max_participants);
        let kind = fields.choice("type", &["DIRECT", "GROUP"]).and_then(ConversationKind::from_name);
        let name = fields.optional_string("name");
        Self::check_name_in(&mut fields, name.as_deref());
        fields.finish()?;
        let kind = kind.unwrap_or(ConversationKind::Group);
        Ok(Self {
            participant_ids: ids.unwrap_or_default().iter().map(|id| UserId::from_client(id)).collect(),
            kind,
            name,
        })
    }

    /// The title it will have, if it may have the one that it asks for. No parser need have seen it.
    pub(crate) fn title(&self) -> Result<Option<String>> {
        let mut fields = Fields::none();
        Self::check_name_in(&mut fields, self.name.as_deref());
        fields.check_nul("name", self.name.as_deref());
        fields.finish()?;
        let is_shown = |name: &String| self.kind == ConversationKind::Group && !name.trim().is_empty();
        Ok(self.name.clone().filter(is_shown))
    }

    fn check_name_in(fields: &mut Fields, name: Option<&str>) {
        let fits = |name: &str| name.chars().count() <= 100;
        fields.check("name", name, fits, "must be at most 100 characters long");
    }
}
