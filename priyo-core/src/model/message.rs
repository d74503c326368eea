//! Messages, their receipts and the files they carry.

use serde::Serialize;
use serde_json::Value;

use super::fields::{Fields, Unknown};
use super::{ConversationId, FileId, MessageId, Timestamp, UserBrief, UserId};
use crate::error::Result;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum MessageKind {
    /// Words.
    Text,
    /// A file, perhaps with words.
    File,
    /// A picture, perhaps with words.
    Image,
}

impl MessageKind {
    /// The name on the wire and in storage.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::File => "FILE",
            Self::Image => "IMAGE",
        }
    }

    /// The kind with this exact name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Text, Self::File, Self::Image].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A message. It never changes once it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Which one.
    pub id: MessageId,
    /// Where it was said.
    pub conversation_id: ConversationId,
    /// Its place there: 1, 2, 3 and so on without a gap.
    pub seq: u64,
    /// Who said it.
    pub sender: UserBrief,
    /// The sender's own name for it, by which a repeat is known.
    pub client_message_id: Option<String>,
    /// The words, exactly as sent.
    pub content: String,
    /// Text, file or image.
    pub kind: MessageKind,
    /// The file.
    pub attachment: Option<Attachment>,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// The file of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Which file.
    pub file_id: FileId,
    /// The name it is stored and fetched under.
    pub stored_name: String,
    /// What its uploader called it.
    pub original_name: String,
    /// Its length in bytes.
    pub size: u64,
    /// How large a picture it is, where that is known.
    pub dimensions: Option<Dimensions>,
}

/// How large a picture is, in pixels, the way round that it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dimensions {
    /// From left to right.
    pub width: u32,
    /// From top to bottom.
    pub height: u32,
}

/// An uploaded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRecord {
    /// Which file.
    pub id: FileId,
    /// Who uploaded it.
    pub uploader: UserId,
    /// The name it is stored and fetched under: random, with the extension of its type.
    pub stored_name: String,
    /// What its uploader called it, cleaned of path and control characters.
    pub original_name: String,
    /// The media type its bytes say it has.
    pub content_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// How large a picture it is, where that is known.
    pub dimensions: Option<Dimensions>,
    /// When it was uploaded.
    pub created_at: Timestamp,
}

impl FileRecord {
    /// The part that a message carries.
    #[must_use]
    pub fn attachment(&self) -> Attachment {
        Attachment {
            file_id: self.id,
            stored_name: self.stored_name.clone(),
            original_name: self.original_name.clone(),
            size: self.size,
            dimensions: self.dimensions,
        }
    }
}

/// That someone has read a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Who.
    pub user_id: UserId,
    /// Their name.
    pub username: String,
    /// When.
    pub read_at: Timestamp,
}

/// A message and who has read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageWithReads {
    /// The message.
    pub message: Message,
    /// Its readers, in the order they read it.
    pub reads: Vec<Read>,
}

impl Message {
    /// About how many bytes of JSON it takes: a little more rather than less.
    pub(crate) fn wire_bytes(&self) -> usize {
        /// Ids, names, times and the names of the fields.
        const FIELDS: usize = 640;
        /// A signed address, a length and two sides.
        const FILE: usize = 320;
        let file = |file: &Attachment| FILE + text_wire_bytes(&file.original_name);
        FIELDS + text_wire_bytes(&self.content) + self.attachment.as_ref().map_or(0, file)
    }
}

impl MessageWithReads {
    /// About how many bytes of JSON it takes: a little more rather than less.
    pub(crate) fn wire_bytes(&self) -> usize {
        /// One who has read it.
        const READ: usize = 180;
        self.message.wire_bytes() + self.reads.len() * READ
    }
}

/// How many bytes of JSON a text takes.
pub(super) fn text_wire_bytes(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

/// How a new message names the file it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileRef {
    /// By the upload's id.
    Id(FileId),
    /// By the upload's url.
    Url(String),
}

/// What someone sends to say something.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Where.
    pub conversation_id: ConversationId,
    /// The words; the engine checks their length.
    pub content: String,
    /// Text, file or image.
    pub kind: MessageKind,
    /// The sender's own name for the message: sending it again gives the first message back.
    pub client_message_id: Option<String>,
    /// The file, for a file or an image.
    pub file: Option<FileRef>,
}

impl NewMessage {
    /// A text message.
    #[must_use]
    pub fn text(conversation_id: ConversationId, content: impl Into<String>) -> Self {
        let kind = MessageKind::Text;
        Self { conversation_id, content: content.into(), kind, client_message_id: None, file: None }
    }

    /// Reads a new message.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`](crate::Error::Validation) with one entry for each field at fault.
    pub fn parse(body: Value, unknown: Unknown) -> Result<Self> {
        let mut fields = Fields::new(body, unknown)?;
        let conversation = fields.string("conversationId");
        fields.check(
            "conversationId",
            conversation.as_deref(),
            |id| !id.is_empty(),
            "is not allowed to be empty",
        );
        let kind = fields.optional_choice("type", &["TEXT", "FILE", "IMAGE"]);
        let kind = kind.and_then(MessageKind::from_name).unwrap_or(MessageKind::Text);
        let content = match kind {
            MessageKind::Text => fields.string("content"),
            MessageKind::File | MessageKind::Image => fields.optional_string("content"),
        };
        let client_message_id = fields.optional_string("clientMessageId");
        Self::check_client_id_in(&mut fields, client_message_id.as_deref());
        let file_id = fields.optional_string("fileId");
        let file_url = fields.optional_string("fileUrl");
        // The upload says what they are; clients of old send them along.
        fields.ignore("fileName");
        fields.ignore("fileSize");
        let file = file_id.map(|id| FileRef::Id(FileId::from_client(&id))).or(file_url.map(FileRef::Url));
        match (kind, &file) {
            (MessageKind::Text, Some(_)) => {
                fields.fault("type", "must be FILE or IMAGE for a message with a file")
            }
            (MessageKind::File | MessageKind::Image, None) => fields.fault("fileId", "is required"),
            _ => {}
        }
        fields.finish()?;
        Ok(Self {
            conversation_id: ConversationId::from_client(&conversation.unwrap_or_default()),
            content: content.unwrap_or_default(),
            kind,
            client_message_id,
            file,
        })
    }

    /// Refuses one with texts that no parser has seen and that would have been refused there.
    pub(crate) fn check_texts(&self) -> Result<()> {
        let mut fields = Fields::none();
        let client_message_id = self.client_message_id.as_deref();
        Self::check_client_id_in(&mut fields, client_message_id);
        fields.check_nul("clientMessageId", client_message_id);
        fields.check_nul("content", Some(&self.content));
        fields.finish()
    }

    fn check_client_id_in(fields: &mut Fields, id: Option<&str>) {
        let fits = |id: &str| (1..=128).contains(&id.chars().count());
        fields.check("clientMessageId", id, fits, "must be 1 to 128 characters long");
    }
}

/// What someone sends to say that they have read something.
#[derive(Debug, Clone)]
pub struct MarkRead {
    /// Which messages.
    pub message_ids: Vec<MessageId>,
    /// Where they are, when the client says so; they must then all be there.
    pub conversation_id: Option<ConversationId>,
}

impl MarkRead {
    /// Reads the body of a REST call: `messageIds`, at most `max` of them.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`](crate::Error::Validation) with one entry for each field at fault.
    pub fn parse_body(body: Value, max: usize) -> Result<Self> {
        let mut fields = Fields::new(body, Unknown::Refuse)?;
        let ids = fields.strings("messageIds", max);
        fields.finish()?;
        Ok(Self { message_ids: Self::ids(&ids.unwrap_or_default()), conversation_id: None })
    }

    /// Reads the payload of a socket event: `conversationId`, and `messageId` or at most `max` `messageIds`.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`](crate::Error::Validation) with one entry for each field at fault.
    pub fn parse_event(payload: Value, max: usize) -> Result<Self> {
        let mut fields = Fields::new(payload, Unknown::Ignore)?;
        let conversation = fields.string("conversationId");
        let ids = if fields.has("messageIds") {
            fields.strings("messageIds", max)
        } else {
            fields.string("messageId").map(|id| vec![id])
        };
        fields.finish()?;
        Ok(Self {
            message_ids: Self::ids(&ids.unwrap_or_default()),
            conversation_id: Some(ConversationId::from_client(&conversation.unwrap_or_default())),
        })
    }

    fn ids(texts: &[String]) -> Vec<MessageId> {
        texts.iter().map(|text| MessageId::from_client(text)).collect()
    }
}
