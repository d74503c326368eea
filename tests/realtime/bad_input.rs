//! Whatever a client sends, it is answered: by a negative acknowledgement if it asked for one, otherwise by an
//! `error` event, and never by both.

use priyo_tests::{Socket, assert_keys};
use serde_json::{Value, json};

use crate::{pair, within};

const EVENTS: [&str; 8] = [
    "conversation:join",
    "conversation:leave",
    "message:send",
    "typing:start",
    "typing:stop",
    "message:read",
    "sync",
    "auth:refresh",
];

/// Code and message; a validation error names the fields at fault too, as it does over REST.
#[track_caller]
fn assert_error(error: &Value) {
    let named = error["message"] == "Validation error";
    assert_keys(error, if named { &["code", "message", "details"] } else { &["code", "message"] });
}

/// Sends an event with these arguments, JSON texts, once with and once without asking for an acknowledgement, and
/// expects exactly one refusal each time; gives its code.
async fn refused_both_ways(socket: &mut Socket, event: &str, arguments: &[&str]) -> String {
    let mut parts = vec![json!(event).to_string()];
    parts.extend(arguments.iter().map(|&argument| argument.to_owned()));
    let body = format!("[{}]", parts.join(","));
    socket.send_text(&format!("42900{body}")).await;
    let answer = socket.ack(900).await;
    assert_keys(&answer, &["ok", "error"]);
    assert_error(&answer["error"]);
    assert_eq!(answer["ok"], false, "{body:.200}");
    assert_eq!(socket.heard().await, [], "{body:.200}: one refusal is enough");

    socket.send_text(&format!("42{body}")).await;
    let heard = socket.heard().await;
    let [(name, error)] = heard.as_slice() else { panic!("{body:.200}: {heard:?}") };
    assert_eq!(name, "error");
    assert_eq!(error, &answer["error"], "{body:.200}: the same refusal either way");
    error["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_oddity_of_a_payload_is_answered_exactly_once() {
    let (server, alice, _, conversation) = pair().await;
    let mut socket = server.socket(&alice).await;
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let long = json!("a".repeat(30_000)).to_string();
    let oddities: Vec<Vec<&str>> = vec![
        vec![],
        vec!["null"],
        vec!["true"],
        vec!["0"],
        vec!["-1e300"],
        vec!["[]"],
        vec!["[1,2]"],
        vec!["{}"],
        vec!["[{}]"],
        vec!["{\"conversationId\":null}"],
        vec!["{\"conversationId\":5}"],
        vec!["{\"conversationId\":[\"x\"]}"],
        vec!["{\"conversationId\":{\"$ne\":null}}"],
        vec!["{\"conversationId\":\"a\\u0000b\"}"],
        vec![&deep],
        vec!["1", "2", "3"],
        vec!["null", "null", "null"],
        vec!["{}", "{}", "{}"],
        vec![&long],
        vec!["\"x\""],
        vec!["\"\""],
    ];
    for event in EVENTS {
        for arguments in &oddities {
            let code = refused_both_ways(&mut socket, event, arguments).await;
            let expected: &[&str] = &["validation_failed", "not_found"];
            assert!(expected.contains(&&*code), "{event} {arguments:.80?}: {code}");
        }
    }
    assert_eq!(alice.history(&conversation).await, Vec::<Value>::new());
    socket.must("message:send", json!({"conversationId": conversation, "content": "still works"})).await;
}

#[tokio::test]
async fn wrong_fields_are_validation_errors() {
    let (server, alice, _, conversation) = pair().await;
    let mut socket = server.socket(&alice).await;
    let id = json!(conversation).to_string();
    for (event, argument) in [
        ("message:send", format!("{{\"conversationId\":{id}}}")),
        ("message:send", format!("{{\"conversationId\":{id},\"content\":\"\"}}")),
        ("message:send", format!("{{\"conversationId\":{id},\"content\":\" \"}}")),
        ("message:send", format!("{{\"conversationId\":{id},\"content\":5}}")),
        ("message:send", format!("{{\"conversationId\":{id},\"content\":\"a\\u0000\"}}")),
        ("message:send", format!("{{\"conversationId\":{id},\"content\":{}}}", json!("é".repeat(5_001)))),
        ("message:send", format!("{{\"conversationId\":{id},\"content\":\"x\",\"type\":\"AUDIO\"}}")),
        ("message:send", format!("{{\"conversationId\":{id},\"content\":\"x\",\"clientMessageId\":9}}")),
        ("message:send", format!("{{\"conversationId\":{id},\"content\":\"x\",\"fileId\":\"y\"}}")),
        ("message:send", format!("{{\"conversationId\":{id},\"type\":\"FILE\"}}")),
        ("conversation:join", format!("{{\"conversationId\":{id},\"after\":-1}}")),
        ("conversation:join", format!("{{\"conversationId\":{id},\"after\":1.5}}")),
        ("conversation:join", format!("{{\"conversationId\":{id},\"after\":\"1\"}}")),
        ("conversation:join", format!("{{\"conversationId\":{id},\"after\":1e300}}")),
        ("message:read", format!("{{\"conversationId\":{id}}}")),
        ("message:read", format!("{{\"conversationId\":{id},\"messageId\":7}}")),
        ("message:read", format!("{{\"conversationId\":{id},\"messageIds\":[]}}")),
        ("message:read", format!("{{\"conversationId\":{id},\"messageIds\":\"x\"}}")),
        ("message:read", "{\"messageId\":\"x\"}".to_owned()),
        ("sync", format!("{{\"conversations\":[{id}]}}")),
        ("sync", format!("{{\"conversations\":{{{id}:null}}}}")),
        ("sync", format!("{{\"conversations\":{{{id}:-1}}}}")),
        ("sync", format!("{{\"conversations\":{{{id}:1.5}}}}")),
        ("sync", format!("{{\"conversations\":{{{id}:\"1\"}}}}")),
        ("sync", format!("{{\"conversations\":{{{id}:1,{id}:2}}}}")),
        ("sync", format!("{{\"conversations\":{{{id}:1}},\"newAfter\":\"x\"}}")),
        ("sync", format!("{{\"conversations\":{{{id}:1}},\"newAfter\":5}}")),
        ("auth:refresh", "{\"token\":null}".to_owned()),
        ("auth:refresh", "{\"token\":[\"x\"]}".to_owned()),
    ] {
        let code = refused_both_ways(&mut socket, event, &[&argument]).await;
        assert_eq!(code, "validation_failed", "{event} {argument:.100}");
    }
    assert_eq!(alice.history(&conversation).await, Vec::<Value>::new());
}

#[tokio::test]
async fn an_unknown_event_is_answered() {
    let (server, alice, _, _) = pair().await;
    let mut socket = server.socket(&alice).await;
    for event in ["message:sned", "", "MESSAGE:SEND", "é", "__proto__", "message:new", "error", "ping"] {
        let answer = socket.ask(event, json!({})).await;
        assert_eq!(answer["ok"], false, "{event}");
        assert_eq!(answer["error"], json!({"code": "unknown_event", "message": "Unknown event"}), "{event}");
        socket.emit(event, json!({})).await;
        let error = socket.next("error").await;
        assert_eq!(error, json!({"code": "unknown_event", "message": "Unknown event"}), "{event}");
    }
    assert_eq!(socket.heard().await, []);
}

#[tokio::test]
async fn a_binary_payload_is_answered_too() {
    let (server, alice, _, conversation) = pair().await;
    let mut socket = server.socket(&alice).await;
    for event in EVENTS {
        let body = json!([event, {"_placeholder": true, "num": 0}]);
        socket.send_text(&format!("451-77{body}")).await;
        socket.send_binary(&[1, 2, 3]).await;
        let answer = socket.ack(77).await;
        assert_eq!(
            (&answer["ok"], &answer["error"]["code"]),
            (&json!(false), &json!("validation_failed")),
            "{event}"
        );
        socket.send_text(&format!("451-{body}")).await;
        socket.send_binary(&[1, 2, 3]).await;
        assert_eq!(socket.next("error").await["code"], "validation_failed", "{event}");
        assert_eq!(socket.heard().await, [], "{event}");
    }
    assert_eq!(alice.history(&conversation).await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_is_no_packet_ends_the_connection_and_nothing_else() {
    let (server, alice, bob, conversation) = pair().await;
    let mut at_bob = server.socket(&bob).await;
    at_bob.must("conversation:join", conversation.clone()).await;
    let too_deep = format!("42[\"message:send\",{}1{}]", "[".repeat(20_000), "]".repeat(20_000));
    let too_long = format!("42[\"message:send\",\"{}\"]", "a".repeat(70_000));
    for frame in [
        "",
        "9",
        "4",
        "49",
        "42",
        "42{",
        "42[",
        "42[]",
        "42[5]",
        "42[null,1]",
        "42\"x\"",
        "43",
        "43x",
        "4299999999999999999999999[\"x\"]",
        "45",
        "459-[\"x\"]",
        "42[\"x\",\"\\ud800\"]",
        &too_deep,
        &too_long,
    ] {
        let mut socket = server.socket(&alice).await;
        socket.send_text(frame).await;
        // Closed or ignored as no event at all; what must not be is a server that is stuck.
        if socket.try_send_text("425[\"tests:nothing\"]").await {
            socket.try_ack(5).await;
        }
    }
    alice.says(&conversation, "all is well").await;
    assert_eq!(at_bob.next_by("message:new", within(5)).await["content"], "all is well");
}
