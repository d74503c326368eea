//! `message:delivered` and `message:read`.

use priyo_tests::assert_keys;
use serde_json::{Value, json};

use crate::pair;

#[tokio::test]
async fn a_message_handed_to_a_live_connection_is_delivered_now() {
    let (server, alice, bob, conversation) = pair().await;
    let (mut one, mut other) = (server.socket(&alice).await, server.socket(&alice).await);
    let mut at_bob = server.socket(&bob).await;
    at_bob.must("conversation:join", conversation.clone()).await;

    let message = alice.says(&conversation, "hi").await;

    for socket in [&mut one, &mut other] {
        let delivered = socket.next("message:delivered").await;
        assert_keys(&delivered, &["messageId", "conversationId", "deliveredTo", "seq"]);
        assert_eq!(
            delivered,
            json!({"messageId": message["id"], "conversationId": conversation,
                                     "deliveredTo": [bob.id], "seq": 1})
        );
    }
    assert_eq!(at_bob.heard_of("message:delivered").await, Vec::<Value>::new(), "only the sender is told");
    bob.get(format!("/api/messages/{conversation}")).await.expect(200);
    assert_eq!(one.heard_of("message:delivered").await, Vec::<Value>::new(), "and once");
}

#[tokio::test]
async fn a_message_is_delivered_later_by_a_join_or_by_history() {
    let (server, alice, bob, conversation) = pair().await;
    let mut at_alice = server.socket(&alice).await;
    at_alice.must("conversation:join", conversation.clone()).await;
    alice.says(&conversation, "one").await;
    assert_eq!(
        at_alice.heard_of("message:delivered").await,
        Vec::<Value>::new(),
        "one's own is not delivered"
    );
    let mut at_bob = server.socket(&bob).await;
    at_bob.must("conversation:join", conversation.clone()).await;
    assert_eq!(at_alice.heard_of("message:delivered").await, Vec::<Value>::new(), "nothing was handed over");

    at_bob.must("conversation:join", json!({"conversationId": conversation, "after": 0})).await;
    assert_eq!(at_alice.next("message:delivered").await["seq"], 1);
    at_bob.must("conversation:leave", conversation.clone()).await;
    alice.says(&conversation, "two").await;
    bob.get(format!("/api/messages/{conversation}")).await.expect(200);
    assert_eq!(at_alice.next("message:delivered").await["seq"], 2);
    assert_eq!(at_alice.heard_of("message:delivered").await, Vec::<Value>::new());
}

#[tokio::test]
async fn more_than_twenty_deliveries_at_once_are_one_event() {
    let (server, alice, bob, conversation) = pair().await;
    let mut at_alice = server.socket(&alice).await;
    let mut ids = Vec::new();
    for _ in 0..21 {
        ids.push(alice.says(&conversation, "x").await["id"].clone());
    }
    let mut at_bob = server.socket(&bob).await;
    at_bob.must("conversation:join", json!({"conversationId": conversation, "after": 0})).await;
    let delivered = at_alice.next("message:delivered").await;
    assert_eq!((&delivered["messageId"], &delivered["messageIds"]), (&ids[20], &json!(ids)));
    assert_eq!(delivered["seq"], 21);
    assert_eq!(at_alice.heard_of("message:delivered").await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_read_over_a_socket_reaches_the_room_but_not_the_readers_own_socket() {
    let (server, alice, bob, conversation) = pair().await;
    let message = alice.says(&conversation, "hi").await;
    let (mut at_alice, mut reading) = (server.socket(&alice).await, server.socket(&bob).await);
    let mut other_tab = server.socket(&bob).await;
    for socket in [&mut at_alice, &mut reading, &mut other_tab] {
        socket.must("conversation:join", conversation.clone()).await;
    }
    let read = json!({"messageId": message["id"], "conversationId": conversation});

    let answer = reading.must("message:read", read.clone()).await;

    assert_keys(&answer, &["ok"]);
    for socket in [&mut at_alice, &mut other_tab] {
        let event = socket.next("message:read").await;
        assert_keys(&event, &["messageId", "conversationId", "readBy", "readAt", "seq"]);
        assert_eq!((&event["messageId"], &event["readBy"]), (&message["id"], &json!(bob.id)));
    }
    assert_eq!(reading.heard_of("message:read").await, Vec::<Value>::new());
    reading.must("message:read", read).await;
    assert_eq!(at_alice.heard_of("message:read").await, Vec::<Value>::new(), "again is no news");
    assert_eq!(bob.get("/api/messages/unread/count").await.json()["unreadCount"], 0);
}

#[tokio::test]
async fn a_read_over_rest_reaches_every_socket_in_the_room() {
    let (server, alice, bob, conversation) = pair().await;
    let mut ids = Vec::new();
    for _ in 0..21 {
        ids.push(alice.says(&conversation, "x").await["id"].clone());
    }
    let (mut at_alice, mut at_bob) = (server.socket(&alice).await, server.socket(&bob).await);
    for socket in [&mut at_alice, &mut at_bob] {
        socket.must("conversation:join", conversation.clone()).await;
    }
    bob.post("/api/messages/read", json!({ "messageIds": ids })).await.expect(200);
    for socket in [&mut at_alice, &mut at_bob] {
        let event = socket.next("message:read").await;
        assert_keys(&event, &["messageId", "conversationId", "readBy", "readAt", "seq", "messageIds"]);
        assert_eq!((&event["messageId"], &event["messageIds"]), (&ids[20], &json!(ids)));
    }
}

#[tokio::test]
async fn several_are_marked_at_once_all_or_none() {
    let (server, alice, bob, conversation) = pair().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(alice.says(&conversation, "x").await["id"].clone());
    }
    let elsewhere = alice.starts_group_with(&[&bob]).await;
    let foreign = alice.says(&elsewhere, "x").await["id"].clone();
    let mut socket = server.socket(&bob).await;
    let mark = |ids: Value| json!({"messageIds": ids, "conversationId": conversation});

    for bad in [json!([ids[0], foreign]), json!([ids[0], "x"])] {
        assert_eq!(socket.refused("message:read", mark(bad)).await, "validation_failed");
    }
    assert_eq!(bob.get("/api/messages/unread/count").await.json()["unreadCount"], 4);
    socket.must("message:read", mark(json!(ids))).await;
    assert_eq!(bob.get("/api/messages/unread/count").await.json()["unreadCount"], 1);
    let many: Vec<u32> = (0..501).collect();
    assert_eq!(socket.refused("message:read", mark(json!(many))).await, "validation_failed");
}

#[tokio::test]
async fn an_outsider_marks_nothing() {
    let (server, alice, _, conversation) = pair().await;
    let message = alice.says(&conversation, "x").await;
    let mut at_alice = server.socket(&alice).await;
    at_alice.must("conversation:join", conversation.clone()).await;
    let mut socket = server.socket(&server.customer("carol").await).await;
    for id in [&*conversation, "0199a000-0000-7000-8000-000000000000"] {
        let read = json!({"messageId": message["id"], "conversationId": id});
        assert_eq!(socket.refused("message:read", read).await, "not_found");
    }
    assert_eq!(at_alice.heard().await, []);
}

#[tokio::test]
async fn what_history_brings_is_delivered_also_when_newer_messages_were_before_it() {
    let (server, alice, bob, conversation) = pair().await;
    let mut at_alice = server.socket(&alice).await;
    for _ in 0..3 {
        alice.says(&conversation, "while Bob is away").await;
    }
    let mut at_bob = server.socket(&bob).await;
    at_bob.must("conversation:join", conversation.clone()).await;
    alice.says(&conversation, "live").await;
    assert_eq!(at_alice.next("message:delivered").await["seq"], 4);

    bob.get(format!("/api/messages/{conversation}")).await.expect(200);

    let later: Vec<Value> =
        at_alice.heard_of("message:delivered").await.iter().map(|e| e["seq"].clone()).collect();
    for missed in [1, 2, 3] {
        assert!(later.contains(&json!(missed)), "{missed} of {later:?}");
    }
}

#[tokio::test]
async fn who_has_left_is_not_told_who_reads_there_now() {
    let (server, alice, bob, _) = pair().await;
    let carol = server.customer("carol").await;
    let conversation = bob.starts_group_with(&[&alice, &carol]).await;
    alice.says(&conversation, "before I go").await;
    bob.says(&conversation, "bye").await;
    let (mut at_alice, mut at_bob) = (server.socket(&alice).await, server.socket(&bob).await);
    alice.post(format!("/api/conversations/{conversation}/leave"), json!({})).await.expect(200);

    carol.get(format!("/api/messages/{conversation}")).await.expect(200);

    assert_eq!(at_bob.next("message:delivered").await["seq"], 2, "Bob, who is still there, is told");
    assert_eq!(at_alice.heard_of("message:delivered").await, Vec::<Value>::new());
}
