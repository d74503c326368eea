//! `message:send` and `message:new`.

use priyo_tests::assert_keys;
use serde_json::{Value, json};

use crate::pair;

const NEW: &[&str] =
    &["id", "seq", "conversationId", "content", "type", "senderId", "senderUsername", "createdAt"];

#[tokio::test]
async fn a_message_sent_over_a_socket_is_acknowledged_and_reaches_the_room() {
    let (server, alice, bob, conversation) = pair().await;
    let (mut at_alice, mut at_bob) = (server.socket(&alice).await, server.socket(&bob).await);
    for socket in [&mut at_alice, &mut at_bob] {
        socket.must("conversation:join", conversation.clone()).await;
    }
    let body = json!({"conversationId": conversation, "content": " <i>hi</i> 🎉", "clientMessageId": "c-1"});

    let answer = at_alice.must("message:send", body).await;

    assert_keys(&answer, &["ok", "message"]);
    let message = &answer["message"];
    let stored = &bob.history(&conversation).await[0];
    for (name, value) in stored.as_object().unwrap() {
        assert_eq!(&message[name], value, "{name}");
    }
    assert_eq!((&message["reads"], &message["seq"]), (&json!([]), &json!(1)));
    for socket in [&mut at_alice, &mut at_bob] {
        let new = socket.next("message:new").await;
        assert_keys(&new, &[NEW, &["clientMessageId"]].concat());
        assert_eq!((&new["id"], &new["content"]), (&message["id"], &json!(" <i>hi</i> 🎉")));
        assert_eq!((&new["senderId"], &new["senderUsername"]), (&json!(alice.id), &json!("alice")));
        assert_eq!((&new["type"], &new["clientMessageId"]), (&json!("TEXT"), &json!("c-1")));
    }
}

#[tokio::test]
async fn a_message_sent_over_rest_reaches_the_room_too() {
    let (server, alice, bob, conversation) = pair().await;
    let (mut at_alice, mut at_bob) = (server.socket(&alice).await, server.socket(&bob).await);
    for socket in [&mut at_alice, &mut at_bob] {
        socket.must("conversation:join", conversation.clone()).await;
    }
    let data = alice.says(&conversation, "over rest").await;
    for socket in [&mut at_alice, &mut at_bob] {
        let new = socket.next("message:new").await;
        assert_keys(&new, NEW);
        assert_eq!((&new["id"], &new["createdAt"]), (&data["id"], &data["createdAt"]));
    }
}

#[tokio::test]
async fn sending_without_an_acknowledgement_works_and_without_having_joined() {
    let (server, alice, bob, conversation) = pair().await;
    let (mut at_alice, mut at_bob) = (server.socket(&alice).await, server.socket(&bob).await);
    at_bob.must("conversation:join", conversation.clone()).await;

    at_alice.emit("message:send", json!({"conversationId": conversation, "content": "hi"})).await;

    assert_eq!(at_bob.next("message:new").await["content"], "hi");
    let heard = at_alice.heard().await;
    assert!(heard.iter().all(|(name, _)| name != "error" && name != "message:new"), "{heard:?}");
}

#[tokio::test]
async fn a_repeat_is_acknowledged_with_the_first_and_announced_to_nobody() {
    let (server, alice, bob, conversation) = pair().await;
    let (mut at_alice, mut at_bob) = (server.socket(&alice).await, server.socket(&bob).await);
    let body = json!({"conversationId": conversation, "content": "once", "clientMessageId": "c-1"});
    let first = at_alice.must("message:send", body.clone()).await;
    at_bob.must("conversation:join", conversation.clone()).await;

    let repeat = at_alice.must("message:send", body.clone()).await;

    assert_keys(&repeat, &["ok", "message", "duplicate"]);
    assert_eq!((&repeat["duplicate"], &repeat["message"]["id"]), (&json!(true), &first["message"]["id"]));
    let other = json!({"conversationId": conversation, "content": "twice", "clientMessageId": "c-1"});
    assert_eq!(at_alice.refused("message:send", other).await, "client_id_reused");
    let rest = alice.post("/api/messages", body).await.expect(200).json();
    assert_eq!((&rest["duplicate"], &rest["data"]["id"]), (&json!(true), &first["message"]["id"]));
    assert_eq!(at_bob.heard_of("message:new").await, Vec::<Value>::new());
}

#[tokio::test]
async fn unknown_fields_of_a_payload_are_ignored_as_before() {
    let (server, alice, _, conversation) = pair().await;
    let mut socket = server.socket(&alice).await;
    let body =
        json!({"conversationId": conversation, "content": "hi", "senderId": "x", "seq": 99, "tempId": [1]});
    let answer = socket.must("message:send", body).await;
    assert_eq!(
        (&answer["message"]["seq"], &answer["message"]["sender"]["id"]),
        (&json!(1), &json!(alice.id))
    );
    socket.must("conversation:join", json!({"conversationId": conversation, "since": 3})).await;
    socket.must("typing:start", json!({"conversationId": conversation, "username": "mallory"})).await;
}

#[tokio::test]
async fn a_closed_conversation_takes_no_messages_and_no_typing_but_is_read() {
    let server = priyo_tests::TestServer::start().await;
    let (alice, greg) = (server.customer("alice").await, server.agent("greg").await);
    let conversation = alice.starts_conversation_with(&greg).await;
    alice.says(&conversation, "hi").await;
    greg.delete(format!("/api/conversations/{conversation}")).await.expect(200);
    let mut socket = server.socket(&alice).await;
    let send = json!({"conversationId": conversation, "content": "x"});
    assert_eq!(socket.refused("message:send", send).await, "conversation_closed");
    let typing = json!({"conversationId": conversation});
    assert_eq!(socket.refused("typing:start", typing).await, "conversation_closed");
    let joined = socket.must("conversation:join", json!({"conversationId": conversation, "after": 0})).await;
    assert_eq!(joined["lastSeq"], 1);
}

#[tokio::test]
async fn no_payload_carries_what_is_not_for_the_receiver() {
    let (server, alice, bob, conversation) = pair().await;
    let (mut at_alice, mut at_bob) = (server.socket(&alice).await, server.socket(&bob).await);
    for socket in [&mut at_alice, &mut at_bob] {
        socket.must("conversation:join", conversation.clone()).await;
    }
    let message = alice.says(&conversation, "hi").await;
    at_alice.must("typing:start", json!({"conversationId": conversation})).await;
    at_alice.must("typing:stop", json!({"conversationId": conversation})).await;
    let read = json!({"messageId": message["id"], "conversationId": conversation});
    at_bob.must("message:read", read).await;
    alice.starts_group_with(&[&bob]).await;
    let all = format!("{:?}{:?}", at_bob.heard().await, at_alice.heard().await);
    for secret in ["@example.com", "email", "argon2", &alice.session, &bob.session, "password", "\"sid\""] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}
