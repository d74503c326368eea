//! What the chat answered, through either door.

use std::fmt::Debug;

use priyo_tests::Answer;
use serde_json::Value;

/// What the chat answered; a refusal by its code.
pub(super) type Reply = Result<Value, String>;

/// The answer to a request; the status must be that of its code.
pub(super) fn reply(answer: &Answer) -> Reply {
    if answer.status < 300 {
        return Ok(answer.json());
    }
    let code = answer.code();
    let status = match code.as_str() {
        "validation_failed" => 400,
        "forbidden" => 403,
        "not_found" => 404,
        "direct_exists" | "conversation_closed" | "client_id_reused" => 409,
        other => panic!("{other}: {}", answer.text()),
    };
    assert_eq!(answer.status, status, "{code}");
    Err(code)
}

/// The acknowledgement of an event.
pub(super) fn acknowledged(answer: Value) -> Reply {
    if answer["ok"] == true { Ok(answer) } else { Err(answer["error"]["code"].as_str().unwrap().to_owned()) }
}

/// Fails unless the chat has answered as it was to.
#[track_caller]
pub(super) fn agree(what: &impl Debug, expected: Result<(), &'static str>, got: &Reply) {
    let got = got.as_ref().map(drop).map_err(String::as_str);
    assert_eq!(got, expected, "{what:?}");
}
