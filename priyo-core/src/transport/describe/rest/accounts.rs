//! `/api/auth`.

use serde_json::json;

use super::super::operation::Described;
use super::super::schema::{
    closed, constant, list, object, one_of, perhaps, reference, sent, sized, text, yes_or_no,
};
use crate::error::ErrorCode;

pub(super) const GROUP: &str = "Accounts";

pub(super) fn register() -> Described {
    let password = sent(text("8 characters to 1,024 bytes of UTF-8."));
    let username =
        text("Shown to others; unique without regard to case. Letters a-z, digits, `_`, `.` and `-`.");
    let mut username = sized(username, 3, 30);
    username["pattern"] = "^[A-Za-z0-9_.-]+$".into();
    let mut email = sized(text("Unique without regard to case; stored lower-case."), 3, 254);
    email["format"] = "email".into();
    let body = object([("email", email), ("username", username), ("password", sized(password, 8, 1024))]);
    let mut role = one_of(&["CUSTOMER", "AGENT", "ADMIN"], "AGENT and ADMIN are not for everyone to take.");
    role["default"] = "CUSTOMER".into();
    let answer = object([
        ("message", constant("User registered successfully")),
        ("user", reference("User")),
        ("tokens", reference("Tokens")),
    ]);
    Described::new("register", GROUP, "Register")
        .says(
            "Makes an account and signs it in. Anyone may register as CUSTOMER. AGENT and ADMIN may be taken freely \
             only where the server allows it (its development default); elsewhere the request needs the token of an \
             ADMIN. A token that is not good counts as none.",
        )
        .for_anyone()
        .for_anyone_or_users()
        .body(closed(perhaps(body, [("role", role)])), true)
        .answers(201, "Registered and signed in.", answer)
        .fails(ErrorCode::Forbidden, "Only an ADMIN may give this role. Nothing was created.")
        .fails(ErrorCode::Conflict, "A user with this e-mail or username exists; which of the two is not said.")
        .fails(ErrorCode::Overloaded, "Too many passwords are being hashed.")
}

pub(super) fn login() -> Described {
    let mut email = sent(text("Without regard to case."));
    email["minLength"] = 1.into();
    let body =
        object([("email", email), ("password", sized(sent(text("At most 1,024 bytes of UTF-8.")), 1, 1024))]);
    let answer = object([("user", reference("UserWithPresence")), ("tokens", reference("Tokens"))]);
    Described::new("login", GROUP, "Log in")
        .says("Begins a session with an access token and a refresh token.")
        .for_anyone()
        .body(closed(body), true)
        .answers(200, "Signed in.", answer)
        .fails(
            ErrorCode::InvalidCredentials,
            "No such account, or not its password: which of the two is not said.",
        )
        .fails(ErrorCode::Overloaded, "Too many passwords are being hashed.")
}

pub(super) fn refresh() -> Described {
    let body = object([("refreshToken", sent(text("The newest refresh token of the session.")))]);
    let answer =
        object([("message", constant("Tokens refreshed successfully")), ("tokens", reference("Tokens"))]);
    Described::new("refreshTokens", GROUP, "Refresh tokens")
        .says(
            "Trades a refresh token for new tokens. It is good once: presented again it ends the whole session and \
             closes its sockets, since someone has a copy. Only the token just before the newest one may come again \
             within 10 seconds, so that two tabs can refresh at once.",
        )
        .for_anyone()
        .body(closed(body), true)
        .answers(200, "New tokens.", answer)
        .fails(ErrorCode::InvalidRefreshToken, "The refresh token is not, or no longer, good.")
}

pub(super) fn logout() -> Described {
    let body = perhaps(
        object([]),
        [
            ("all", yes_or_no("Whether to end all sessions of the user, not only this one.")),
            ("refreshToken", json!({ "description": "Accepted and ignored." })),
        ],
    );
    Described::new("logout", GROUP, "Log out")
        .says(
            "Ends this session: its refresh tokens are dead, its access token is refused from now on, and its \
             sockets are closed. A body is not needed.",
        )
        .body(closed(body), false)
        .answers(200, "The session has ended.", object([("message", constant("Logout successful"))]))
}

pub(super) fn me() -> Described {
    Described::new("me", GROUP, "Who one is").answers(
        200,
        "The caller's own user.",
        object([("user", reference("UserWithPresence"))]),
    )
}

pub(super) fn change_password() -> Described {
    let current = sent(json!({
        "type": "string", "maxLength": 1024, "description": "The password so far; at most 1,024 bytes of UTF-8.",
    }));
    let new = sized(sent(text("8 characters to 1,024 bytes of UTF-8.")), 8, 1024);
    let body = object([("currentPassword", current), ("newPassword", new)]);
    Described::new("changePassword", GROUP, "Change the password")
        .says(
            "All other sessions of the user end: their tokens are refused from now on and their sockets closed. This \
             session goes on with the tokens that it has.",
        )
        .body(closed(body), true)
        .answers(
            200,
            "The password is another one.",
            object([("message", constant("Password changed successfully"))]),
        )
        .fails(ErrorCode::Forbidden, "The current password is another one. Nothing has changed.")
        .fails(ErrorCode::Overloaded, "Too many passwords are being hashed. Nothing has changed.")
}

pub(super) fn list_sessions() -> Described {
    let sessions = list(&reference("Session"), "The last used first.");
    Described::new("listSessions", GROUP, "List one's sessions")
        .says("The user's sessions that have not ended: one for each login, the last used first, at most a page.")
        .answers(200, "The sessions.", object([("sessions", sessions)]))
}

pub(super) fn end_session() -> Described {
    Described::new("endSession", GROUP, "End one of one's sessions")
        .says(
            "As a logout on that device: its tokens are refused from now on, and its sockets closed. It may be the \
             session that asks.",
        )
        .segment("sessionId", "The session.")
        .answers(200, "It has ended.", object([("message", constant("Session ended successfully"))]))
        .fails(ErrorCode::NotFound, "There is no such session of the user, or it has ended already.")
}
