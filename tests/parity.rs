//! Both doors agree: each action over REST and over a socket gives the same row, the same event, the same error.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a surprise must fail the test")]

use priyo_tests::{Person, Socket, TestServer};
use serde_json::{Value, json};

const NOTHING: &str = "0199a000-0000-7000-8000-000000000000";

/// A conversation of Alice, who acts, and Bob, who listens.
struct Scene {
    server: TestServer,
    alice: Person,
    at_alice: Socket,
    bob: Person,
    at_bob: Socket,
    conversation: String,
}

async fn scene() -> Scene {
    let server = TestServer::start().await;
    let (alice, bob) = (server.customer("alice").await, server.agent("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    let (at_alice, mut at_bob) = (server.socket(&alice).await, server.socket(&bob).await);
    at_bob.must("conversation:join", conversation.clone()).await;
    at_bob.heard().await;
    Scene { server, alice, at_alice, bob, at_bob, conversation }
}

/// Blanks what differs from one message to the next, and must.
fn blanked(mut value: Value, names: &[&str]) -> Value {
    for name in names {
        let field = &mut value[*name];
        assert!(!field.is_null(), "{name} is there");
        *field = json!("*");
    }
    value
}

const OWN: &[&str] = &["id", "seq", "createdAt"];

#[tokio::test]
async fn sending_gives_the_same_message_the_same_row_and_the_same_event() {
    let Scene { server: _server, alice, mut at_alice, bob, mut at_bob, conversation } = scene().await;
    let body = |number: u32| json!({"conversationId": conversation, "content": "x", "clientMessageId": format!("c-{number}")});

    let rest = alice.post("/api/messages", body(1)).await.expect(201).json()["data"].clone();
    let by_rest = at_bob.next("message:new").await;
    let socket = at_alice.must("message:send", body(2)).await["message"].clone();
    let by_socket = at_bob.next("message:new").await;

    let own = [OWN, &["clientMessageId"]].concat();
    assert_eq!(blanked(by_rest, &own), blanked(by_socket, &own));
    let rows: Vec<Value> = bob.history(&conversation).await;
    assert_eq!(blanked(rows[0].clone(), OWN), blanked(rows[1].clone(), OWN));
    let mut answered = blanked(socket, &own);
    answered.as_object_mut().unwrap().remove("reads");
    assert_eq!(blanked(rest, &own), answered);
}

#[tokio::test]
async fn a_repeat_through_the_other_door_is_a_repeat() {
    let Scene { server: _server, alice, mut at_alice, bob, mut at_bob, conversation } = scene().await;
    let body = |id: &str, content: &str| json!({"conversationId": conversation, "content": content, "clientMessageId": id});
    let first = alice.post("/api/messages", body("c-1", "x")).await.expect(201).json();
    let repeat = at_alice.must("message:send", body("c-1", "x")).await;
    assert_eq!((&repeat["duplicate"], &repeat["message"]["id"]), (&json!(true), &first["data"]["id"]));
    let second = at_alice.must("message:send", body("c-2", "x")).await;
    let repeat = alice.post("/api/messages", body("c-2", "x")).await.expect(200).json();
    assert_eq!((&repeat["duplicate"], &repeat["data"]["id"]), (&json!(true), &second["message"]["id"]));
    assert_eq!(at_alice.refused("message:send", body("c-1", "y")).await, "client_id_reused");
    let refused = alice.post("/api/messages", body("c-2", "y")).await;
    assert_eq!(refused.refusal(), (409, "client_id_reused".to_owned()));
    assert_eq!(at_bob.heard_of("message:new").await.len(), 2);
    assert_eq!(bob.history(&conversation).await.len(), 2);
}

#[tokio::test]
async fn reading_gives_the_same_row_and_the_same_event() {
    let Scene { server, alice, mut at_alice, bob, mut at_bob, conversation } = scene().await;
    at_alice.must("conversation:join", conversation.clone()).await;
    let (one, other) = (alice.says(&conversation, "x").await, alice.says(&conversation, "x").await);

    bob.post("/api/messages/read", json!({"messageIds": [one["id"]]})).await.expect(200);
    let by_rest = at_alice.next("message:read").await;
    let read = json!({"messageId": other["id"], "conversationId": conversation});
    at_bob.must("message:read", read).await;
    let by_socket = at_alice.next("message:read").await;

    let own = ["messageId", "seq", "readAt"];
    assert_eq!(blanked(by_rest, &own), blanked(by_socket, &own));
    let rows = alice.history(&conversation).await;
    let readers = |row: &Value| row["reads"][0]["user"].clone();
    assert_eq!((readers(&rows[0]), rows[0]["reads"].as_array().unwrap().len()), (readers(&rows[1]), 1));
    assert_eq!(bob.get("/api/messages/unread/count").await.json()["unreadCount"], 0);
    server.stop().await;
}

#[tokio::test]
async fn what_was_missed_is_the_same_through_history_and_through_a_join() {
    let Scene { server: _server, alice, bob, mut at_bob, conversation, .. } = scene().await;
    for number in 0..230 {
        alice.says(&conversation, &number.to_string()).await;
    }
    for after in [0, 100, 229, 230] {
        let page = bob.get(format!("/api/messages/{conversation}?after={after}&limit=200")).await.json();
        let joined =
            at_bob.must("conversation:join", json!({"conversationId": conversation, "after": after})).await;
        assert_eq!(
            (&page["messages"], &page["hasMore"]),
            (&joined["messages"], &joined["hasMore"]),
            "{after}"
        );
    }
}

#[tokio::test]
async fn a_send_that_is_refused_is_refused_alike() {
    let Scene { server, alice, mut at_alice, bob, mut at_bob, conversation } = scene().await;
    let carol = server.customer("carol").await;
    let root = server.admin("root").await;
    let (mut at_carol, mut at_root) = (server.socket(&carol).await, server.socket(&root).await);
    let closed = alice.starts_group_with(&[&bob]).await;
    bob.delete(format!("/api/conversations/{closed}")).await.expect(200);
    at_bob.heard().await;
    let send = |id: &str, content: Value| json!({"conversationId": id, "content": content});
    let here = |content: Value| send(&conversation, content);

    let bad = vec![
        json!(null),
        json!(5),
        json!([]),
        json!("x"),
        json!({}),
        here(json!(null)),
        here(json!("")),
        here(json!(" \n")),
        here(json!(5)),
        here(json!(["x"])),
        here(json!("a\u{0}")),
        here(json!("é".repeat(5_001))),
        json!({"conversationId": null, "content": "x"}),
        json!({"conversationId": conversation, "content": "x", "type": "AUDIO"}),
        json!({"conversationId": conversation, "content": "x", "clientMessageId": ""}),
        json!({"conversationId": conversation, "content": "x", "fileId": NOTHING}),
        json!({"conversationId": conversation, "content": "x", "type": "FILE"}),
        json!({"conversationId": conversation, "type": "IMAGE", "fileId": NOTHING}),
        send(NOTHING, json!("x")),
        send("x", json!("x")),
        send("", json!("x")),
        send(&closed, json!("x")),
    ];
    for body in bad {
        assert_same_refusal(&alice, &mut at_alice, &body).await;
    }
    assert_same_refusal(&carol, &mut at_carol, &here(json!("x"))).await;
    assert_same_refusal(&root, &mut at_root, &here(json!("x"))).await;

    assert_eq!(at_bob.heard_of("message:new").await, Vec::<Value>::new());
    assert_eq!(bob.history(&conversation).await, Vec::<Value>::new());
}

async fn assert_same_refusal(person: &Person, socket: &mut Socket, body: &Value) {
    let rest = person.post("/api/messages", body.clone()).await;
    assert!(rest.status >= 400 && rest.status < 500, "{body:.100}: {}", rest.status);
    let answer = socket.ask("message:send", body.clone()).await;
    assert_eq!(answer["error"]["code"], rest.code(), "{body:.100}");
    assert_eq!(answer["error"]["message"], rest.error(), "{body:.100}");
}

#[tokio::test]
async fn a_read_that_is_refused_is_refused_alike() {
    let Scene { server, alice, mut at_alice, bob, mut at_bob, conversation } = scene().await;
    let carol = server.customer("carol").await;
    let mut at_carol = server.socket(&carol).await;
    let message = alice.says(&conversation, "x").await;
    at_bob.heard().await;
    for ids in [json!([]), json!(5), json!([5]), json!(null), json!([message["id"], NOTHING]), json!(["x"])] {
        let rest = bob.post("/api/messages/read", json!({ "messageIds": ids })).await;
        let event = json!({"messageIds": ids, "conversationId": conversation});
        assert_eq!(at_bob.refused("message:read", event).await, rest.code(), "{ids}");
    }
    let foreign = json!({"messageIds": [message["id"]], "conversationId": conversation});
    assert_eq!(at_carol.refused("message:read", foreign).await, "not_found");
    let rest = carol.post("/api/messages/read", json!({"messageIds": [message["id"]]})).await;
    assert_eq!(rest.status, 400);
    assert_eq!(at_alice.heard_of("message:read").await, Vec::<Value>::new());
    assert_eq!(bob.get("/api/messages/unread/count").await.json()["unreadCount"], 1);
}
