//! `/api/conversations`.

use serde_json::{Value, json};

use super::super::operation::Described;
use super::super::schema::{
    closed, constant, ids, list as list_of, nullable_text, object, one_of, perhaps, reference, sent, sized,
};
use super::limit_parameter;
use crate::error::ErrorCode;
use crate::limits::Limits;

pub(super) const GROUP: &str = "Conversations";

const NOT_THERE: &str = "There is no such conversation, or none that the caller may see.";
const NOT_A_GROUP: &str =
    "A DIRECT conversation stays between its two, or a field is wrong; `details` says which.";

pub(super) fn list(limits: &Limits) -> Described {
    let answer = object([
        ("conversations", list_of(&reference("ListedConversation"), "Newest activity first.")),
        ("nextCursor", nullable_text("The `cursor` of the next page; `null` on the last one.")),
    ]);
    Described::new("listConversations", GROUP, "List conversations")
        .says(
            "Newest activity first. CUSTOMER and AGENT get those that they take part in, ADMIN all of them. \
             `unreadCount` counts the messages of others that came while the caller was in the conversation and \
             that the caller has not marked as read.",
        )
        .query("limit", "How many at most.", limit_parameter(limits.page_rows, limits.default_list_rows))
        .query("cursor", "Where the last page ended: its `nextCursor`.", json!({ "type": "string" }))
        .query(
            "scope",
            "For an ADMIN: `own` gives only those that they take part in.",
            json!({ "type": "string", "enum": ["all", "own"], "default": "all" }),
        )
        .answers(200, "A page of conversations.", answer)
}

pub(super) fn create(limits: &Limits) -> Described {
    let participants = ids(
        limits.participants,
        "The ids of users. The caller is added, duplicates are removed; a DIRECT conversation then has exactly two.",
    );
    let kind = one_of(&["DIRECT", "GROUP"], "A DIRECT conversation is between exactly two.");
    let body = object([("participantIds", participants), ("type", kind)]);
    let name = sized(sent(nullable_text("A title; ignored for a DIRECT conversation.")), 0, 100);
    let answer = object([
        ("message", constant("Conversation created successfully")),
        ("conversation", reference("Conversation")),
    ]);
    Described::new("createConversation", GROUP, "Begin a conversation")
        .says("Two users have at most one open DIRECT conversation, also when both begin one at the same moment.")
        .body(closed(perhaps(body, [("name", name)])), true)
        .answers(201, "The conversation.", answer)
        .fails(
            ErrorCode::ValidationFailed,
            "A field is wrong (`details` says which), a participant does not exist, or a DIRECT conversation is \
             not between exactly two.",
        )
        .fails(
            ErrorCode::DirectExists,
            "The two have an open DIRECT conversation; `conversationId` names it.",
        )
}

pub(super) fn get() -> Described {
    one("getConversation", "Read a conversation")
        .says("An ADMIN may read any; one that they are not in is noted in the audit log.")
        .answers(200, "The conversation.", conversation())
}

pub(super) fn close() -> Described {
    one("closeConversation", "Close a conversation")
        .says(
            "Sets `status` to CLOSED: the history stays readable, and sending is refused. For an AGENT who takes \
             part, and for an ADMIN. Closing it again is fine.",
        )
        .answers(200, "It is closed.", object([("message", constant("Conversation closed successfully"))]))
        .fails(ErrorCode::Forbidden, "A CUSTOMER may not.")
}

pub(super) fn reopen() -> Described {
    one("reopenConversation", "Reopen a conversation")
        .says("For an AGENT who takes part, and for an ADMIN. One that is open stays so.")
        .answers(200, "The open conversation.", conversation())
        .fails(ErrorCode::Forbidden, "A CUSTOMER may not.")
        .fails(
            ErrorCode::DirectExists,
            "The two have another open DIRECT conversation; `conversationId` names it.",
        )
}

pub(super) fn leave() -> Described {
    one("leaveConversation", "Leave a group")
        .says("From then on the caller can read nothing of it, and their sockets no longer hear of it.")
        .answers(
            200,
            "The caller has left.",
            object([("message", constant("Left conversation successfully"))]),
        )
        .fails(ErrorCode::ValidationFailed, "A DIRECT conversation cannot be left.")
}

pub(super) fn add_participants(limits: &Limits) -> Described {
    let body = object([("userIds", ids(limits.participants, "The ids of users to bring in."))]);
    one("addParticipants", "Bring users into a group")
        .says(
            "For the creator of the group, an AGENT in it, and an ADMIN. Who comes in reads the whole history; \
             nothing of it counts as unread. Users who are in it already stay as they are.",
        )
        .body(closed(body), true)
        .answers(200, "The conversation with its participants.", conversation())
        .fails(
            ErrorCode::ValidationFailed,
            "The conversation is DIRECT, a user does not exist, there would be too many, or a field is wrong.",
        )
        .fails(ErrorCode::Forbidden, "The caller may not change who takes part.")
}

pub(super) fn remove_participant() -> Described {
    one("removeParticipant", "Take a user out of a group")
        .says("For the creator of the group, an AGENT in it, and an ADMIN.")
        .segment("userId", "Whom to take out.")
        .answers(200, "The conversation with its participants.", conversation())
        .fails(ErrorCode::ValidationFailed, NOT_A_GROUP)
        .fails(ErrorCode::NotFound, "There is no such conversation to see, or the user is not in it.")
        .fails(ErrorCode::Forbidden, "The caller may not change who takes part.")
}

fn one(id: &'static str, summary: &'static str) -> Described {
    Described::new(id, GROUP, summary)
        .segment("conversationId", "Which conversation.")
        .fails(ErrorCode::NotFound, NOT_THERE)
}

fn conversation() -> Value {
    object([("conversation", reference("Conversation"))])
}
