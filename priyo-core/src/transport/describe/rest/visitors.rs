//! `/api/widget` and `/api/inbox`.

use serde_json::{Value, json};

use super::super::operation::Described;
use super::super::schema::{
    closed, list, nullable_text, object, one_of, perhaps, reference, sent, sized, text,
};
use super::limit_parameter;
use crate::error::ErrorCode;
use crate::limits::Limits;
use crate::model::InboxState;

pub(super) const GROUP: &str = "Visitors";

const NO_AGENT: &str = "A CUSTOMER may not.";
const NOT_THERE: &str = "There is no such support conversation.";

pub(super) fn visit() -> Described {
    let mut email = nullable_text("Where to write to them: contact data, never a login.");
    email["format"] = "email".into();
    let contact =
        [("name", sent(nullable_text("What to call them; cut to 100 characters."))), ("email", email)];
    let mut user_id =
        text("What the website calls the user: 1 to 255 bytes of UTF-8, without control characters.");
    user_id["pattern"] = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$".into();
    let user_id = sized(user_id, 1, 255);
    let hash = text("The HMAC-SHA256 of `userId` under `WIDGET_IDENTITY_SECRET`, in hexadecimal.");
    let identity = perhaps(object([("userId", user_id), ("hash", sent(hash))]), contact.clone());
    let url = sent(text("Kept if it is of http or https, without a login in it."));
    let title = sent(nullable_text("Cut to 200 characters."));
    let page = perhaps(object([("url", url)]), [("title", title)]);
    let body = perhaps(
        perhaps(object([]), contact),
        [
            ("visitorToken", sent(nullable_text("What this browser was given when it first came."))),
            ("identity", perhaps_null(closed(identity))),
            ("page", perhaps_null(closed(page))),
        ],
    );
    Described::new("visit", GROUP, "Come to a website")
        .says(
            "Receives a visitor and gives an access token, good on REST and sockets; call it again to renew that. A \
             visitor is a user with the role CUSTOMER who cannot log in, and who has one open conversation of type \
             SUPPORT at a time. Without `visitorToken` and `identity` the visitor is new. Whoever brings both keeps \
             the open conversation: it is theirs by their identity from then on, and the token alone no longer opens \
             it. `visitorToken` is for this browser only.",
        )
        .for_anyone()
        .body(closed(body), true)
        .answers(200, "The visitor.", reference("Visited"))
        .fails(
            ErrorCode::InvalidCredentials,
            "`identity.hash` is wrong, or there is no `identity` where there must be, or the visitor is disabled.",
        )
        .fails(ErrorCode::Forbidden, "Pages of this origin may not have the widget.")
}

pub(super) fn open() -> Described {
    let answer = object([("conversation", reference("Conversation"))]);
    Described::new("openSupport", GROUP, "Begin to write, as a visitor")
        .says(
            "The visitor's open conversation, which begins now if there is none: with a greeting as message 1, in the \
             first language of `Accept-Language` that there is one in. Its sender is a user who takes no part. \
             Afterwards there are the ordinary messages, uploads and socket events. A body is not needed.",
        )
        .body(closed(object([])), false)
        .answers(200, "The open conversation.", answer.clone())
        .answers(201, "The conversation that has begun.", answer)
        .fails(ErrorCode::Forbidden, "The caller is no visitor, or pages of this origin may not have the widget.")
}

pub(super) fn inbox(limits: &Limits) -> Described {
    let states: Vec<&str> = InboxState::ALL.into_iter().map(InboxState::as_str).collect();
    let mut state = one_of(&states, "Open ones are `unassigned` until somebody claims them.");
    state["default"] = InboxState::Unassigned.as_str().into();
    let answer = object([
        ("conversations", list(&reference("InboxItem"), "Newest activity first.")),
        ("nextCursor", nullable_text("The `cursor` of the next page; `null` on the last one.")),
    ]);
    Described::new("listInbox", GROUP, "List support conversations")
        .says(
            "For an AGENT or ADMIN. `unassigned` has those only in which a visitor has written something. Every AGENT \
             may read and join any support conversation; to write in it one claims it.",
        )
        .query("state", "Which ones.", state)
        .query("limit", "How many at most.", limit_parameter(limits.page_rows, limits.default_list_rows))
        .query("cursor", "Where the last page ended: its `nextCursor`.", json!({ "type": "string" }))
        .answers(200, "A page of conversations.", answer)
        .fails(ErrorCode::Forbidden, NO_AGENT)
}

pub(super) fn people() -> Described {
    let answer = object([("users", list(&reference("Participant"), "By their usernames."))]);
    Described::new("listAgents", GROUP, "List those who answer")
        .says(
            "For an AGENT or ADMIN, to write to each other: agents and administrators who are not disabled.",
        )
        .query(
            "q",
            "A part of the username, without regard to ASCII case: at most 254 bytes.",
            json!({ "type": "string", "pattern": "^[^\\u0000]*$", "maxLength": 254 }),
        )
        .answers(200, "As many as a list has by default.", answer)
        .fails(ErrorCode::Forbidden, NO_AGENT)
}

pub(super) fn claim() -> Described {
    one("claimConversation", "Take a support conversation on")
        .says("Of several who claim one at once one gets it. Claiming it again is fine.")
        .answers(200, "It is the caller's, who is in it now.", item())
        .fails(ErrorCode::AlreadyClaimed, "Somebody else has it: `assignee`.")
}

pub(super) fn release() -> Described {
    one("releaseConversation", "Give a support conversation back")
        .says("For the one who has it, and for an ADMIN. One that is nobody's stays so.")
        .answers(200, "It is nobody's, and who had it is in it no longer.", item())
        .fails(ErrorCode::Forbidden, "A CUSTOMER may not, nor an AGENT who does not have it.")
}

fn one(id: &'static str, summary: &'static str) -> Described {
    Described::new(id, GROUP, summary)
        .segment("conversationId", "Which conversation.")
        .fails(ErrorCode::NotFound, NOT_THERE)
        .fails(ErrorCode::Forbidden, NO_AGENT)
}

fn item() -> Value {
    object([("conversation", reference("InboxItem"))])
}

fn perhaps_null(mut object: Value) -> Value {
    object["type"] = json!(["object", "null"]);
    object
}
