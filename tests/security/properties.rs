//! Class M: fields that are not the client's to set.

use serde_json::{Value, json};

use crate::world::World;

fn with(mut body: Value, more: &Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn who_registers_sets_nothing_that_is_the_servers() {
    let world = World::new().await;
    let watch = world.watch_stranger().await;
    let good = json!({"email": "mallory@example.net", "username": "mallory", "password": "correct horse"});
    for more in [
        json!({"id": world.c1.id}),
        json!({"verified": true}),
        json!({"isOnline": true}),
        json!({"createdAt": "2000-01-01T00:00:00.000Z"}),
        json!({"passwordHash": "x"}),
        json!({"disabled": false}),
        json!({"externalId": "x"}),
        json!({"isAdmin": true}),
    ] {
        let refused = watch.post("/api/auth/register", with(good.clone(), &more)).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{more}");
    }
    watch.ends().await;
}

#[tokio::test]
async fn who_sends_sets_nothing_that_is_the_servers() {
    let world = World::new().await;
    let more = json!({
        "senderId": world.c2.id, "sender": {"id": world.c2.id}, "seq": 1, "id": world.d12_message,
        "createdAt": "2000-01-01T00:00:00.000Z", "reads": [world.c2.id], "readBy": [world.c2.id],
        "isDeleted": true, "metadata": "m".repeat(20_000),
    });
    let body = json!({"conversationId": world.d12, "content": "mine"});
    let watch = world.watch(&world.c1).await;
    for (name, value) in more.as_object().unwrap() {
        let refused = watch.post("/api/messages", with(body.clone(), &json!({(name): value}))).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{name}");
        assert_eq!(refused.fields_at_fault(), std::slice::from_ref(name));
    }
    watch.assert_unchanged().await;

    // Clients of old send more than they need over sockets, and it counts for nothing there.
    let mut socket = watch.socket().await;
    let sent = socket.must("message:send", with(body, &more)).await["message"].clone();
    let stored = world.c2.history(&world.d12).await.pop().unwrap();

    for message in [&sent, &stored] {
        assert_eq!((&message["sender"]["id"], &message["content"]), (&json!(world.c1.id), &json!("mine")));
        assert_eq!((&message["seq"], message["id"] == *world.d12_message), (&json!(3), false));
        assert!(message["createdAt"].as_str().unwrap() > "2026", "{message}");
        assert!(message.get("metadata").is_none() && message.get("isDeleted").is_none(), "{message}");
    }
    assert_eq!(stored["reads"], json!([]));
    watch.inspect_socket(&mut socket).await;
    watch.ends_changed().await;
}

#[tokio::test]
async fn who_begins_a_conversation_sets_nothing_that_is_the_servers() {
    let world = World::new().await;
    let watch = world.watch(&world.c3).await;
    let good = json!({"participantIds": [world.c1.id], "type": "GROUP", "name": "new"});
    for more in [
        json!({"id": world.d12}),
        json!({"status": "CLOSED"}),
        json!({"ownerId": world.c1.id}),
        json!({"createdBy": world.c1.id}),
        json!({"isActive": false}),
        json!({"lastSeq": 100}),
        json!({"participants": [{"userId": world.c3.id, "role": "ADMIN"}]}),
    ] {
        let refused = watch.post("/api/conversations", with(good.clone(), &more)).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{more}");
    }
    for other in ["SUPPORT", "ADMIN", "group", ""] {
        let refused = watch.post("/api/conversations", with(good.clone(), &json!({"type": other}))).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{other}");
    }
    watch.ends().await;
}

#[tokio::test]
async fn an_id_is_a_text_and_nothing_else() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let mut socket = watch.socket().await;
    let room = &world.d12;
    for odd in [json!([room]), json!({"id": room}), json!({"$ne": null}), json!(1), json!(true), json!(null)]
    {
        let send = json!({"conversationId": odd, "content": "x"});
        for refused in [
            watch.post("/api/messages", send.clone()).await,
            watch.post("/api/messages/read", json!({"messageIds": odd})).await,
            watch.post("/api/messages/read", json!({"messageIds": [odd]})).await,
            watch.post("/api/conversations", json!({"participantIds": [odd], "type": "GROUP"})).await,
            watch
                .post(&format!("/api/conversations/{}/participants", world.group), json!({"userIds": [odd]}))
                .await,
        ] {
            assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{odd}");
        }
        for (event, payload) in [
            ("message:send", send),
            ("conversation:join", json!({"conversationId": odd})),
            ("typing:start", json!({"conversationId": odd})),
            ("message:read", json!({"messageId": odd, "conversationId": room})),
        ] {
            assert_eq!(socket.refused(event, payload).await, "validation_failed", "{event} {odd}");
        }
    }
    let nothing = watch.post("/api/messages", json!({"conversationId": "", "content": "x"})).await;
    assert_eq!(nothing.refusal(), (400, "validation_failed".to_owned()));
    watch.inspect_socket(&mut socket).await;
    watch.ends().await;
}
