//! `/api/users`.

use serde_json::json;

use super::super::operation::Described;
use super::super::schema::{
    closed, list as list_of, nullable_text, object, one_of, perhaps, reference, yes_or_no,
};
use super::limit_parameter;
use crate::error::ErrorCode;
use crate::limits::Limits;

pub(super) const GROUP: &str = "Users";

pub(super) fn list(limits: &Limits) -> Described {
    let answer = object([
        ("users", list_of(&reference("ManagedUser"), "In order.")),
        ("nextCursor", nullable_text("Where the next part begins; `null` at the end.")),
    ]);
    let limit = limit_parameter(limits.page_rows, limits.default_list_rows);
    Described::new("listUsers", GROUP, "List users")
        .says(
            "A part of the users, ordered by username. With `q` only those whose username begins so; or, if there is an \
             `@` in it, those whose e-mail does, ordered by e-mail. ASCII letters have no case here.",
        )
        .query("limit", "How many at most.", limit)
        .query("cursor", "The `nextCursor` of the part before, with the same `q`.", json!({ "type": "string" }))
        .query("q", "How the username begins, or the e-mail.", json!({ "type": "string" }))
        .answers(200, "A part of the list.", answer)
        .fails(ErrorCode::Forbidden, "Only for an ADMIN.")
}

pub(super) fn update() -> Described {
    let role = one_of(&["CUSTOMER", "AGENT", "ADMIN"], "What they may do.");
    let disabled = yes_or_no("Whether they are shut out.");
    let mut body = closed(perhaps(object([]), [("role", role), ("disabled", disabled)]));
    body["minProperties"] = 1.into();
    Described::new("updateUser", GROUP, "Change what a user may do")
        .says(
            "In force at once, for live sockets too. Who is disabled is signed out everywhere and cannot sign in; when \
             enabled again they sign in anew. The sockets of one who is no ADMIN any more are closed and come back. An \
             ADMIN may change themselves, but the last one must stay one.",
        )
        .segment("userId", "The user.")
        .body(body, true)
        .answers(200, "The user as they are now.", object([("user", reference("ManagedUser"))]))
        .fails(ErrorCode::Forbidden, "Only for an ADMIN.")
        .fails(ErrorCode::NotFound, "There is no such user.")
        .fails(ErrorCode::Conflict, "No ADMIN would be left who can log in. Nothing has changed.")
}
