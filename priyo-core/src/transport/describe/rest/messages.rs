//! `/api/messages`.

use serde_json::{Value, json};

use super::super::operation::Described;
use super::super::schema::{
    closed, constant, count, ids, list as list_of, nullable_text, object, one_of, perhaps, reference, sent,
    sized, text, yes_or_no,
};
use super::limit_parameter;
use crate::error::ErrorCode;
use crate::limits::Limits;

pub(super) const GROUP: &str = "Messages";

const NOT_THERE: &str = "There is no such conversation, or none that the caller may see.";

/// Something that is not white space as Unicode has it: what `\\S` means differs from engine to engine.
const NOT_BLANK: &str = "[^\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";

/// What makes a message, over REST and over sockets.
pub(in super::super) fn new_message(limits: &Limits) -> Value {
    let (chars, bytes) = (limits.message_chars, limits.message_bytes);
    let content = format!(
        "The words: at most {chars} Unicode code points and {bytes} bytes of UTF-8, no NUL, stored and given back \
         exactly as sent. A TEXT must have some that are not white space; FILE and IMAGE may have none."
    );
    let mut content = sent(nullable_text(&content));
    content["maxLength"] = chars.into();
    let mut kind = one_of(&["TEXT", "FILE", "IMAGE"], "FILE and IMAGE carry a file, TEXT does not.");
    kind["default"] = "TEXT".into();
    let own_id = "The sender's own name for the message, such as a new UUID. With it a request can be repeated \
                  safely: the repeat gives the first message back.";
    let url = "The `url` of one's own upload, instead of `fileId`; a query in it does not count.";
    let mut conversation = sent(text("Where to say it."));
    conversation["minLength"] = 1.into();
    let mut body = perhaps(
        object([("conversationId", conversation)]),
        [
            ("content", content),
            ("type", kind),
            ("clientMessageId", sized(sent(nullable_text(own_id)), 1, 128)),
            ("fileId", sent(nullable_text("The `id` of one's own upload."))),
            ("fileUrl", sent(nullable_text(url))),
            ("fileName", json!({ "description": "Accepted and ignored: the upload says it." })),
            ("fileSize", json!({ "description": "Accepted and ignored: the upload says it." })),
        ],
    );
    let (is_text, none) = (json!({ "type": "string" }), json!({ "type": "null" }));
    let words = json!({ "type": "string", "pattern": NOT_BLANK });
    let with_file = |name: &str| {
        let mut kind =
            json!({ "required": ["type", name], "properties": { "type": { "enum": ["FILE", "IMAGE"] } } });
        kind["properties"][name] = is_text.clone();
        kind
    };
    body["anyOf"] = json!([
        {
            "required": ["content"],
            "properties": { "type": { "const": "TEXT" }, "content": words, "fileId": none, "fileUrl": none },
        },
        with_file("fileId"),
        with_file("fileUrl"),
    ]);
    body
}

pub(super) fn send(limits: &Limits) -> Described {
    let answer =
        || object([("message", constant("Message sent successfully")), ("data", reference("SentMessage"))]);
    let mut repeat = perhaps(answer(), [("duplicate", yes_or_no("Always `true` here."))]);
    repeat["required"] = json!(["message", "data", "duplicate"]);
    Described::new("sendMessage", GROUP, "Send a message")
        .says(
            "The answer comes after the message is stored for good. When none comes, or 503, send it again with the \
             same `clientMessageId`: the message is then there exactly once.",
        )
        .body(closed(new_message(limits)), true)
        .answers(201, "The message is stored.", answer())
        .answers(200, "This `clientMessageId` was sent before: the first message, and nothing has changed.", repeat)
        .fails(ErrorCode::NotFound, "There is no such conversation or file, or none that the caller may know of.")
        .fails(ErrorCode::Forbidden, "An ADMIN who is not in the conversation cannot send there.")
        .fails(ErrorCode::ConversationClosed, "The conversation takes no more messages.")
        .fails(ErrorCode::ClientIdReused, "This `clientMessageId` stands for another message.")
        .fails(ErrorCode::Overloaded, "Too many messages wait to be stored.")
}

pub(super) fn list(limits: &Limits) -> Described {
    let more = "Whether there are more: older ones, or newer ones with `after`.";
    let answer =
        object([("messages", list_of(&reference("Message"), "Oldest first.")), ("hasMore", yes_or_no(more))]);
    let number = |min: u32| json!({ "type": "integer", "minimum": min, "maximum": 1_u64 << 53 });
    let mut page = number(1);
    page["default"] = 1.into();
    Described::new("listMessages", GROUP, "Read messages")
        .says(format!(
            "A part of the history, oldest first. At most one of `page`, `before` and `after` may be given. Pages \
             move while people write: to go back in time use `before` with the lowest `seq` that is known, to catch \
             up use `after` with the highest. An answer ends early, and says `hasMore`, when it reaches {} KiB. What \
             a participant reads here is delivered to them.",
            limits.page_bytes / 1024,
        ))
        .segment("conversationId", "Which conversation.")
        .query("limit", "How many at most.", limit_parameter(limits.page_rows, limits.default_page_rows))
        .query("page", "Page 1 has the newest messages. Not together with `before` or `after`.", page)
        .query("before", "Only messages with a lower `seq`. Not together with the other two.", number(0))
        .query("after", "Only messages with a higher `seq`. Not together with the other two.", number(0))
        .answers(200, "The messages.", answer)
        .fails(ErrorCode::NotFound, NOT_THERE)
}

pub(super) fn mark_read(limits: &Limits) -> Described {
    let body = object([("messageIds", ids(limits.read_ids, "Which messages; duplicates are fine."))]);
    Described::new("markRead", GROUP, "Mark messages as read")
        .says(
            "Marks all of them or none. Marking one message does not mark another; marking it again is fine.",
        )
        .body(closed(body), true)
        .answers(200, "They are marked.", object([("message", constant("Messages marked as read"))]))
        .fails(
            ErrorCode::ValidationFailed,
            "A message does not exist or may not be known of, or a field is wrong; `details` says which.",
        )
        .fails(ErrorCode::Forbidden, "An ADMIN who is not in the conversation cannot mark there.")
}

pub(super) fn count_unread() -> Described {
    let mut by_conversation = json!({
        "type": "object",
        "additionalProperties": count("Unread messages of the conversation with this id."),
    });
    by_conversation["description"] = "For each conversation that has any.".into();
    let answer = object([("unreadCount", count("In all.")), ("conversations", by_conversation)]);
    Described::new("countUnread", GROUP, "Count unread messages")
        .says("Unread are messages of others that came while the caller was in the conversation, until marked as read.")
        .answers(200, "How many.", answer)
}
