//! What each socket event takes and gives, in words.

use serde_json::{Value, json};

use super::rest::new_message;
use super::schema::{
    constant, count, ids, list, nullable_text, object, one_of, perhaps, reference, text, yes_or_no,
};
use crate::events::EventKind;
use crate::limits::Limits;
use crate::transport::socketio::ClientEvent;

/// An event that a client sends, or that it is sent.
pub(super) struct Described {
    pub(super) summary: &'static str,
    pub(super) text: String,
    pub(super) payload: Value,
    /// What the acknowledgement of success has beside `ok`; for events of clients only.
    pub(super) acknowledgement: Value,
}

impl Described {
    fn new(summary: &'static str, text: impl Into<String>, payload: Value) -> Self {
        Self { summary, text: text.into(), payload, acknowledgement: object([("ok", constant(true))]) }
    }

    fn acknowledged_by(self, acknowledgement: Value) -> Self {
        Self { acknowledgement, ..self }
    }
}

/// The description of an event that a client sends.
pub(super) fn from_client(event: ClientEvent, limits: &Limits) -> Described {
    match event {
        ClientEvent::Join => join(limits),
        ClientEvent::Leave => Described::new(
            "Stop to listen to a conversation",
            "Leaves the room, not the conversation. Leaving a room that one is not in is fine.",
            conversation_or_id(object([("conversationId", text("Which conversation."))])),
        )
        .acknowledged_by(object([("ok", constant(true)), ("conversationId", reference("ConversationId"))])),
        ClientEvent::Send => Described::new(
            "Send a message",
            "The same fields, rules and result as `POST /api/messages`, except that unknown fields are ignored. The \
             acknowledgement comes after the message is stored for good. When none comes, send it again with the \
             same `clientMessageId`: the message is then there exactly once. Messages of one socket are stored in \
             the order they were sent.",
            new_message(limits),
        )
        .acknowledged_by(perhaps(
            object([("ok", constant(true)), ("message", reference("AcknowledgedMessage"))]),
            [("duplicate", yes_or_no("`true` where this `clientMessageId` was sent before."))],
        )),
        ClientEvent::TypingStart => Described::new(
            "Begin to write",
            format!(
                "For participants. Ends by itself after {} seconds, and when the socket ends: send it again while the \
                 user goes on writing.",
                limits.typing_ttl.as_secs(),
            ),
            object([("conversationId", text("Where."))]),
        ),
        ClientEvent::TypingStop => Described::new(
            "No longer write",
            "For participants.",
            object([("conversationId", text("Where."))]),
        ),
        ClientEvent::Read => read(limits),
        ClientEvent::Sync => sync(limits),
        ClientEvent::Refresh => refresh(limits),
    }
}

fn join(limits: &Limits) -> Described {
    let mut after = count("The highest `seq` that the client has; 0 for none.");
    after["type"] = json!(["integer", "null"]);
    let by_id = perhaps(object([("conversationId", text("Which conversation."))]), [("after", after)]);
    let answer = object([
        ("ok", constant(true)),
        ("conversationId", reference("ConversationId")),
        ("lastSeq", count("The highest `seq` of the conversation.")),
        ("messages", list(&reference("Message"), "What was missed, oldest first; empty without `after`.")),
        ("hasMore", yes_or_no("Whether more was missed: join again with the last `seq` of `messages`.")),
    ]);
    Described::new(
        "Listen to a conversation",
        format!(
            "With `after` the acknowledgement brings what was missed since, oldest first and a part at a time. The \
             socket enters the room with the answer that says `hasMore: false`, and gets live messages only after \
             it: what a client has then is without a gap. Joining with `after` again takes it out first. A socket \
             listens to at most {} conversations at once. An ADMIN may listen to any; that is noted in the audit log \
             and announced to nobody. A conversation that the user is not in is refused with `not_found`.",
            limits.rooms_per_socket,
        ),
        conversation_or_id(by_id),
    )
    .acknowledged_by(answer)
}

fn read(limits: &Limits) -> Described {
    let mut payload = perhaps(
        object([("conversationId", text("Where the messages are."))]),
        [
            ("messageId", text("One message.")),
            ("messageIds", ids(limits.read_ids, "Several, instead of `messageId`; duplicates are fine.")),
        ],
    );
    payload["anyOf"] = json!([{ "required": ["messageId"] }, { "required": ["messageIds"] }]);
    let text = "For participants. Marks all of them or none. Marking one message does not mark another; marking it \
                again is fine.";
    Described::new("Mark messages as read", text, payload)
}

fn sync(limits: &Limits) -> Described {
    let Limits { sync_ids, page_rows, page_bytes, default_list_rows, .. } = limits;
    let mut known = count("The highest `seq` of this conversation that the client has; 0 for none.");
    known["maximum"] = json!(1_u64 << 53);
    let conversations = json!({
        "type": "object", "additionalProperties": known, "maxProperties": sync_ids,
        "description": "The conversations that the client knows, by their ids.",
    });
    let payload = perhaps(
        object([("conversations", conversations)]),
        [("newAfter", nullable_text("The id of the last conversation in the `new` of the last answer."))],
    );
    let missed = object([
        ("messages", list(&reference("Message"), "What was missed, oldest first.")),
        ("lastSeq", count("The highest `seq` of the conversation.")),
        ("hasMore", yes_or_no("Whether more was missed.")),
    ]);
    let answer = object([
        ("ok", constant(true)),
        (
            "conversations",
            json!({
                "type": "object", "additionalProperties": missed,
                "description": "What was missed, by the ids of the conversations: of each that was named and is not gone.",
            }),
        ),
        (
            "new",
            list(
                &reference("ListedConversation"),
                "Conversations that the user is in and that were not named.",
            ),
        ),
        ("hasMoreNew", yes_or_no("Whether there are more of these.")),
        ("gone", list(&text("An id, as it was named."), "Those named that the user may not see.")),
    ]);
    let text = format!(
        "For a client that comes back. Names the conversations that it knows, at most {sync_ids} at once, and gets \
         what it missed in each. One answer has at most {page_rows} messages and {page_bytes} bytes; conversations \
         with the fewest missed messages come first, and one that there was no room for has no `messages` and \
         `hasMore: true`. Ask again while there is any `hasMore`, with the last `seq` that came of each.\n\n\
         `new` has at most {default_list_rows} conversations, ordered by their ids. While there is `hasMoreNew`, ask \
         again and name these too: with their `lastSeq`, or with 0 to get their history as well. With more than \
         {sync_ids} conversations ask in parts; `new` then has those of the other parts too, and `newAfter` goes on \
         through it from where it ended.\n\n\
         `gone` has what was named and that the user is not in, or no longer, or that never was: the same for all. \
         An ADMIN may name any, which is noted in the audit log. Messages that came so count as delivered. Joins \
         nothing: join with `after` for what comes next.",
    );
    Described::new("Catch up on many conversations", text, payload).acknowledged_by(answer)
}

fn refresh(limits: &Limits) -> Described {
    let mut left = count("How long the token is good, in seconds; `null` for one that does not end.");
    left["type"] = json!(["integer", "null"]);
    Described::new(
        "Go on with a fresh access token",
        format!(
            "Moves the socket to another access token of the same session, such as `POST /api/auth/refresh` gives. A \
             socket whose token has expired goes on for {} seconds. A token that is not good is refused with \
             `invalid_token`, and one of another user or another session with `forbidden`; the socket then keeps the \
             one that it has.",
            limits.token_grace.as_secs(),
        ),
        object([("token", text("The access token."))]),
    )
    .acknowledged_by(object([("ok", constant(true)), ("expiresIn", left)]))
}

/// A conversation by its id alone, or an object.
fn conversation_or_id(object: Value) -> Value {
    let mut either = json!({});
    either["oneOf"] = vec![text("The conversation's id."), object].into();
    either
}

/// The description of an event that clients are sent.
pub(super) fn from_server(event: EventKind, limits: &Limits) -> Described {
    let (summary, text, shapes): (_, _, &[&str]) = match event {
        EventKind::MessageNew => (
            "A message was sent",
            "To the sockets that listen to the conversation, the sender's too, however the message was sent. In one \
             conversation these come in the order of `seq`. The fields of a file are there only where there is one.",
            &["MessageNew"],
        ),
        EventKind::MessageDelivered => (
            "Messages were delivered",
            "To the sender's sockets, when a message was handed to another participant's live socket, at once or \
             later on join or by reading the history. Of more than 20 at once the newest is named, and `messageIds` \
             lists all of them.",
            &["Delivered"],
        ),
        EventKind::MessageRead => (
            "Messages were read",
            "To the sockets that listen to the conversation, except the one that marked them. Of more than 20 at \
             once the newest is named, and `messageIds` lists all of them.",
            &["ReadEvent"],
        ),
        EventKind::TypingStart => (
            "Someone is writing",
            "To the sockets that listen to the conversation, except the writer's own one.",
            &["Typing"],
        ),
        EventKind::TypingStop => (
            "Someone is no longer writing",
            "To the sockets that listen to the conversation, except the writer's own one.",
            &["Typing"],
        ),
        EventKind::UserStatus => (
            "Someone came or went",
            "Once to each user who shares a conversation, on the user's first socket and after the last one is gone.",
            &["Status"],
        ),
        EventKind::ConversationNew => (
            "A conversation began, or one was brought into it",
            "To every socket of the participants, joined or not.",
            &["ConversationNew"],
        ),
        EventKind::ConversationUpdated => (
            "A conversation has changed",
            "To every socket of the participants, joined or not: who takes part, or that it is open again. Who was \
             taken out or has left gets `gone` instead of the conversation.",
            &["ConversationChanged", "Gone"],
        ),
        EventKind::ConversationClosed => (
            "A conversation was closed",
            "To every socket of the participants, joined or not.",
            &["ConversationChanged"],
        ),
        EventKind::InboxNew | EventKind::InboxUpdated | EventKind::InboxClaimed => inbox(event),
        EventKind::AuthExpiring => return expiring(limits),
    };
    let payload = match shapes {
        [one] => reference(one),
        several => json!({ "oneOf": several.iter().map(|one| reference(one)).collect::<Vec<_>>() }),
    };
    Described::new(summary, text, payload)
}

/// What those who answer visitors are sent.
fn inbox(event: EventKind) -> (&'static str, &'static str, &'static [&'static str]) {
    match event {
        EventKind::InboxNew => (
            "A visitor has begun to write",
            "To every socket of an AGENT or ADMIN, with the first message of a visitor in a conversation.",
            &["InboxEvent"],
        ),
        EventKind::InboxUpdated => (
            "A support conversation has changed",
            "To every socket of an AGENT or ADMIN: a message, who has taken it on or is in it, whether it is open, or \
             what the visitor says of themselves. Of several changes at once the last is told. `unreadCount` is that \
             of the one who is told.",
            &["InboxEvent"],
        ),
        _ => (
            "A support conversation was taken on",
            "To every socket of an AGENT or ADMIN.",
            &["InboxClaimed"],
        ),
    }
}

fn expiring(limits: &Limits) -> Described {
    let (warning, grace) = (limits.token_warning.as_secs(), limits.token_grace.as_secs());
    let text = format!(
        "To one socket, {warning} seconds before its access token expires, or when half of its time is left if that \
         is less. Answer with `auth:refresh`, or do nothing: {grace} seconds after it has expired the transport is \
         closed, but not the namespace, so that a client comes back by itself, and with a fresh token where `auth` is \
         a function that gets one.",
    );
    Described::new("The access token will expire", text, reference("Expiring"))
}

/// What a failure says, in an acknowledgement and in the event `error`.
pub(super) fn failure() -> Value {
    let role = reference("Role");
    let current = json!({
        "description": "With `forbidden`, where a role was missing: the caller's.",
        "anyOf": [role.clone(), { "type": "null" }],
    });
    let failure =
        object([("code", reference("ErrorCode")), ("message", text("What went wrong, for a person."))]);
    perhaps(
        failure,
        [
            (
                "details",
                list(&text("A quoted field and its fault."), "With `validation_failed`: one for each fault."),
            ),
            ("required", list(&role, "With `forbidden`, where a role was missing: any of these would do.")),
            ("current", current),
            ("maxSize", count("With `payload_too_large`: how much is taken, in bytes.")),
            ("retryAfter", count("With `rate_limited`: how long to wait, in seconds.")),
        ],
    )
}

/// What a client sends to be let in.
pub(super) fn handshake() -> Value {
    object([("token", nullable_text("The access token."))])
}

/// What it is told when it is not.
pub(super) fn refusal() -> Value {
    let why = one_of(
        &[
            "Authentication token required",
            "Invalid authentication token",
            "User not found",
            "Origin not allowed",
            "Too many connections",
            "Service temporarily unavailable",
            "Server is closing",
        ],
        "Why. After `Invalid authentication token` get a fresh token before trying again; after the last two just \
         try again later.",
    );
    object([("message", why)])
}
