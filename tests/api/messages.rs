//! `POST /api/messages`.

use priyo_core::{Audience, Event};
use priyo_tests::{Person, TestApp, assert_keys};
use serde_json::{Value, json};

use crate::shapes::assert_sent;

const NOTHING: &str = "0199a000-0000-7000-8000-000000000000";

async fn pair(app: &TestApp) -> (Person, Person, String) {
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    app.events();
    (alice, bob, conversation)
}

#[tokio::test]
async fn a_message_is_stored_announced_and_answered_with() {
    let app = TestApp::new().await;
    let (alice, bob, conversation) = pair(&app).await;
    let body = json!({"conversationId": conversation, "content": "  <b>hé</b> &amp; \r\n\t🎉 ",
                      "clientMessageId": "c-1", "type": "TEXT"});

    let answer = alice.post("/api/messages", body.clone()).await.expect(201).json();

    assert_keys(&answer, &["message", "data"]);
    assert_eq!(answer["message"], "Message sent successfully");
    let data = &answer["data"];
    assert_sent(data);
    assert_eq!(data["content"], body["content"], "verbatim");
    assert_eq!(
        (&data["seq"], &data["type"], &data["conversationId"]),
        (&json!(1), &json!("TEXT"), &json!(conversation))
    );
    assert_eq!(data["clientMessageId"], "c-1");
    assert_eq!(
        (&data["fileUrl"], &data["fileName"], &data["fileSize"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(data["sender"], json!({"id": alice.id, "username": "alice", "avatar": null}));
    assert_eq!(data["createdAt"], "2026-11-23T02:15:35.850Z");
    let events = app.events();
    let [(Audience::Conversation { id, except: None }, Event::MessageNew(new))] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(
        (id.to_string(), new.id.to_string()),
        (conversation.clone(), data["id"].as_str().unwrap().to_owned())
    );
    let history = bob.history(&conversation).await;
    assert_eq!((history.len(), &history[0]["id"]), (1, &data["id"]));
    assert_eq!(history[0]["content"], body["content"]);
}

#[tokio::test]
async fn messages_are_numbered_from_one_without_a_gap() {
    let app = TestApp::new().await;
    let (alice, bob, conversation) = pair(&app).await;
    for number in 1..=6 {
        let sender = if number % 2 == 0 { &alice } else { &bob };
        assert_eq!(sender.says(&conversation, "x").await["seq"], number);
        // What is refused takes no number.
        let blank = json!({"conversationId": conversation, "content": " "});
        assert_eq!(sender.post("/api/messages", blank).await.status, 400);
    }
    let other = alice.starts_group_with(&[&bob]).await;
    assert_eq!(alice.says(&other, "x").await["seq"], 1);
}

#[tokio::test]
async fn a_repeat_gets_the_first_message_back() {
    let app = TestApp::new().await;
    let (alice, bob, conversation) = pair(&app).await;
    let body = json!({"conversationId": conversation, "content": "once", "clientMessageId": "c-1"});
    let first = alice.post("/api/messages", body.clone()).await.expect(201).json();
    assert_eq!(first.get("duplicate"), None);
    app.events();

    let repeat = alice.post("/api/messages", body.clone()).await.expect(200).json();

    assert_keys(&repeat, &["message", "data", "duplicate"]);
    assert_eq!((&repeat["duplicate"], &repeat["data"]), (&json!(true), &first["data"]));
    let mut other = body.clone();
    other["content"] = json!("twice");
    let refused = alice.post("/api/messages", other).await;
    assert_eq!(refused.refusal(), (409, "client_id_reused".to_owned()));
    assert_eq!(app.events(), []);
    assert_eq!(alice.history(&conversation).await.len(), 1);

    // The id is the sender's own, in one conversation.
    bob.post("/api/messages", body.clone()).await.expect(201);
    let group = alice.starts_group_with(&[&bob]).await;
    let mut elsewhere = body;
    elsewhere["conversationId"] = json!(group);
    alice.post("/api/messages", elsewhere).await.expect(201);
}

#[tokio::test]
async fn a_repeat_is_known_on_another_device_and_after_the_conversation_was_closed() {
    let app = TestApp::new().await;
    let (alice, greg) = (app.customer("alice").await, app.agent("greg").await);
    let conversation = alice.starts_conversation_with(&greg).await;
    let body = json!({"conversationId": conversation, "content": "once", "clientMessageId": "c-1"});
    let first = alice.post("/api/messages", body.clone()).await.expect(201).json();
    let phone = app.another_device(&alice).await;
    greg.delete(format!("/api/conversations/{conversation}")).await.expect(200);

    let repeat = phone.post("/api/messages", body).await.expect(200).json();

    assert_eq!((&repeat["duplicate"], &repeat["data"]["id"]), (&json!(true), &first["data"]["id"]));
}

#[tokio::test]
async fn twenty_at_once_with_one_client_id_are_one_message() {
    let app = TestApp::new().await;
    let (alice, _, conversation) = pair(&app).await;
    let body = json!({"conversationId": conversation, "content": "once", "clientMessageId": "c-1"});

    let all =
        futures_util::future::join_all((0..20).map(|_| alice.post("/api/messages", body.clone()))).await;

    assert_eq!(all.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(all.iter().all(|answer| answer.status == 201 || answer.json()["duplicate"] == true));
    assert_eq!(app.event_names(), ["message:new"]);
    assert_eq!(alice.history(&conversation).await.len(), 1);
}

#[tokio::test]
async fn what_is_not_a_message_is_refused_field_by_field_and_nobody_hears_of_it() {
    let app = TestApp::new().await;
    let (alice, bob, conversation) = pair(&app).await;
    for (field, value) in [
        ("conversationId", json!(null)),
        ("conversationId", json!(5)),
        ("conversationId", json!([conversation])),
        ("conversationId", json!({"$ne": null})),
        ("content", json!("")),
        ("content", json!(" \t\r\n\u{3000}\u{2003}")),
        ("content", json!("a\u{0}b")),
        ("content", json!("é".repeat(5_001))),
        ("content", json!("🎉".repeat(5_000) + "a")),
        ("content", json!(1)),
        ("content", json!(null)),
        ("content", json!(["x"])),
        ("type", json!("text")),
        ("type", json!("SYSTEM")),
        ("type", json!(null)),
        ("type", json!(0)),
        ("clientMessageId", json!("")),
        ("clientMessageId", json!("a".repeat(129))),
        ("clientMessageId", json!(7)),
        ("clientMessageId", json!("a\u{0}")),
        ("senderId", json!(bob.id)),
        ("createdAt", json!("2020-01-01T00:00:00.000Z")),
        ("seq", json!(7)),
        ("contents", json!("a typo")),
    ] {
        let mut body = json!({"conversationId": conversation, "content": "hello"});
        body[field] = value.clone();
        let refused = alice.post("/api/messages", body).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{field} {value:.60}");
        assert_eq!(refused.fields_at_fault(), [field], "{value:.60}");
    }
    assert_eq!(alice.post("/api/messages", json!({})).await.fields_at_fault(), ["conversationId", "content"]);
    assert_eq!(app.events(), []);
    assert_eq!(app.rows("messages").await, 0);
}

#[tokio::test]
async fn texts_at_the_edge_of_what_is_allowed_come_back_verbatim() {
    let app = TestApp::new().await;
    let (alice, bob, conversation) = pair(&app).await;
    let texts = [
        "🎉".repeat(5_000),
        "a".repeat(5_000),
        "\u{feff}x".to_owned(),
        "e\u{301} \u{202e}rtl\u{202c} \u{200b}".to_owned(),
        "'; DROP TABLE messages;--".to_owned(),
        "{\"json\":true}".to_owned(),
        "\u{1}\u{7f}\u{85}x".to_owned(),
        "\u{10ffff}\u{fffd}".to_owned(),
    ];
    for text in &texts {
        alice.says(&conversation, text).await;
    }
    let read: Vec<String> =
        bob.history(&conversation).await.iter().map(|m| m["content"].as_str().unwrap().to_owned()).collect();
    assert_eq!(read, texts);
}

#[tokio::test]
async fn an_outsider_and_an_unknown_conversation_get_the_same_answer() {
    let app = TestApp::new().await;
    let (_, _, conversation) = pair(&app).await;
    let (carol, greg, root) = (app.customer("carol").await, app.agent("greg").await, app.admin("root").await);
    for outsider in [&carol, &greg] {
        let mut bodies = Vec::new();
        for id in [&*conversation, NOTHING, "x"] {
            let refused = outsider.post("/api/messages", json!({"conversationId": id, "content": "x"})).await;
            assert_eq!(
                (refused.refusal(), refused.error()),
                ((404, "not_found".to_owned()), "Conversation not found".to_owned())
            );
            let mut body = refused.json();
            body["requestId"].take();
            bodies.push(body);
        }
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
    }
    let refused = root.post("/api/messages", json!({"conversationId": conversation, "content": "x"})).await;
    assert_eq!(refused.refusal(), (403, "forbidden".to_owned()), "an admin reads, and says nothing");
    assert_eq!(app.events(), []);
    assert_eq!(app.rows("messages").await, 0);
}

#[tokio::test]
async fn a_client_that_hangs_up_after_the_commit_does_not_stop_the_event() {
    let app = TestApp::new().await;
    let (alice, _, conversation) = pair(&app).await;
    let body = json!({"conversationId": conversation, "content": "x", "clientMessageId": "c-1"});
    // Each is dropped after another number of steps; whether it was stored is seen afterwards.
    for steps in 0..20 {
        let mut one = body.clone();
        one["clientMessageId"] = json!(format!("c-{steps}"));
        let mut sending = Box::pin(alice.post("/api/messages", one));
        for _ in 0..steps {
            let step = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(std::future::Future::poll(sending.as_mut(), cx).is_ready())
            });
            if step.await {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    // One more: those before it are stored and announced by then, or never will be.
    alice.says(&conversation, "last").await;
    let announced = app.event_names().len();
    assert_eq!(announced, alice.history(&conversation).await.len());
}
