//! The shapes of the contract, field by field.

use priyo_tests::assert_keys;
use serde_json::Value;

/// `U6`: a user, without presence.
#[track_caller]
pub(crate) fn assert_u6(user: &Value) {
    assert_keys(user, &["id", "email", "username", "avatar", "role", "createdAt"]);
    assert_time(&user["createdAt"]);
}

/// `U8`: a user with presence.
#[track_caller]
pub(crate) fn assert_u8(user: &Value) {
    assert_keys(user, &["id", "email", "username", "avatar", "role", "createdAt", "isOnline", "lastSeen"]);
    assert_time(&user["createdAt"]);
}

/// `P`: a participant. Never an e-mail.
#[track_caller]
pub(crate) fn assert_participant(participant: &Value) {
    assert_keys(participant, &["id", "username", "avatar", "isOnline", "lastSeen", "role"]);
}

/// `tokens`.
#[track_caller]
pub(crate) fn assert_tokens(tokens: &Value) {
    assert_keys(tokens, &["accessToken", "refreshToken", "expiresIn"]);
}

/// A conversation by itself, as it is made and asked for.
#[track_caller]
pub(crate) fn assert_conversation(conversation: &Value) {
    let expected = ["id", "name", "type", "status", "participants", "createdAt", "updatedAt"];
    assert_keys(conversation, &expected);
    conversation["participants"].as_array().unwrap().iter().for_each(assert_participant);
    assert_time(&conversation["createdAt"]);
    assert_time(&conversation["updatedAt"]);
}

/// A conversation in a list.
#[track_caller]
pub(crate) fn assert_listed(conversation: &Value) {
    assert_keys(
        conversation,
        &[
            "id",
            "name",
            "type",
            "status",
            "participants",
            "lastMessage",
            "unreadCount",
            "lastSeq",
            "createdAt",
            "updatedAt",
        ],
    );
    conversation["participants"].as_array().unwrap().iter().for_each(assert_participant);
    if !conversation["lastMessage"].is_null() {
        assert_last_message(&conversation["lastMessage"]);
    }
}

/// `LM`: the newest message of a conversation in a list.
#[track_caller]
pub(crate) fn assert_last_message(message: &Value) {
    assert_keys(
        message,
        &[
            "id",
            "seq",
            "content",
            "type",
            "fileUrl",
            "fileName",
            "fileSize",
            "conversationId",
            "senderId",
            "createdAt",
            "sender",
        ],
    );
    assert_keys(&message["sender"], &["id", "username"]);
}

/// `M`: a message in history.
#[track_caller]
pub(crate) fn assert_message(message: &Value) {
    assert_keys(
        message,
        &[
            "id",
            "seq",
            "conversationId",
            "content",
            "type",
            "fileUrl",
            "fileName",
            "fileSize",
            "sender",
            "reads",
            "createdAt",
        ],
    );
    assert_keys(&message["sender"], &["id", "username", "avatar"]);
    for read in message["reads"].as_array().unwrap() {
        assert_keys(read, &["user", "readAt"]);
        assert_keys(&read["user"], &["id", "username"]);
        assert_time(&read["readAt"]);
    }
    assert_time(&message["createdAt"]);
}

/// The message in the answer to a send.
#[track_caller]
pub(crate) fn assert_sent(message: &Value) {
    assert_keys(
        message,
        &[
            "id",
            "seq",
            "conversationId",
            "clientMessageId",
            "content",
            "type",
            "fileUrl",
            "fileName",
            "fileSize",
            "sender",
            "createdAt",
        ],
    );
    assert_keys(&message["sender"], &["id", "username", "avatar"]);
}

/// A time: always milliseconds, always `Z`.
#[track_caller]
pub(crate) fn assert_time(time: &Value) {
    let text = time.as_str().unwrap_or_else(|| panic!("not a time: {time}"));
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{text}");
}
