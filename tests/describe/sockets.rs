//! What really goes over sockets is what is described.

use std::collections::BTreeSet;

use priyo_core::model::Clock;
use priyo_tests::{Person, Socket, TestApp, TestServer};
use serde_json::{Value, json};

use crate::fit::Description;

/// A server whose events are held against their description, and Alice's and Bob's group on it.
struct Checked {
    server: TestServer,
    description: Description,
    seen: BTreeSet<String>,
}

impl Checked {
    async fn new() -> Self {
        let description = Description::of_sockets(&TestApp::new().await.engine).await;
        Self { server: TestServer::start().await, description, seen: BTreeSet::new() }
    }

    /// Emits an event that is taken, and gives the answer.
    async fn ask(&self, socket: &mut Socket, event: &str, payload: Value) -> Value {
        assert!(self.description.takes_event(event, &payload), "{event} {payload}");
        let answer = socket.ask(event, payload).await;
        assert_eq!(answer["ok"], true, "{event}: {answer}");
        self.description.allows_acknowledgement(event, &answer);
        answer
    }

    /// Emits an event that is not taken.
    async fn refused(&self, socket: &mut Socket, event: &str, payload: Value) -> String {
        let answer = socket.ask(event, payload).await;
        assert_eq!(answer["ok"], false, "{event}: {answer}");
        self.description.allows_acknowledgement(event, &answer);
        answer["error"]["code"].as_str().unwrap().to_owned()
    }

    /// Waits for an event.
    async fn hears(&mut self, socket: &mut Socket, event: &str) -> Value {
        let payload = socket.next(event).await;
        self.description.allows_event(event, &payload);
        self.seen.insert(event.to_owned());
        payload
    }

    /// A live connection.
    async fn socket(&self, of: &Person) -> Socket {
        self.server.socket(of).await
    }
}

#[tokio::test]
async fn events_and_acknowledgements_are_described() {
    let mut chat = Checked::new().await;
    let (alice, bob) = (chat.server.customer("alice").await, chat.server.customer("bob").await);
    let agent = chat.server.agent("agent").await;
    let mut at_alice = chat.socket(&alice).await;
    let id = alice.starts_group_with(&[&bob, &agent]).await;
    chat.hears(&mut at_alice, "conversation:new").await;
    chat.ask(&mut at_alice, "conversation:join", json!(id)).await;
    let mut at_bob = chat.socket(&bob).await;
    chat.hears(&mut at_alice, "user:status").await;

    let said = json!({"conversationId": id, "content": "hello", "clientMessageId": "1"});
    chat.ask(&mut at_alice, "message:send", said.clone()).await;
    let repeat = chat.ask(&mut at_alice, "message:send", said).await;
    assert_eq!(repeat["duplicate"], true);
    chat.hears(&mut at_alice, "message:new").await;
    let joined = chat.ask(&mut at_bob, "conversation:join", json!({"conversationId": id, "after": 0})).await;
    assert_eq!(joined["messages"].as_array().unwrap().len(), 1);
    chat.hears(&mut at_alice, "message:delivered").await;
    let file = alice.uploads("a.txt", b"words").await.expect(200).json()["file"].take();
    let with_file = json!({"conversationId": id, "type": "FILE", "fileId": file["id"]});
    chat.ask(&mut at_alice, "message:send", with_file).await;
    let new = chat.hears(&mut at_bob, "message:new").await;
    assert_eq!(new["fileSize"], 5);

    chat.ask(&mut at_bob, "typing:start", json!({"conversationId": id})).await;
    chat.hears(&mut at_alice, "typing:start").await;
    chat.ask(&mut at_bob, "typing:stop", json!({"conversationId": id})).await;
    chat.hears(&mut at_alice, "typing:stop").await;
    let read = json!({"conversationId": id, "messageId": new["id"]});
    chat.ask(&mut at_bob, "message:read", read).await;
    chat.hears(&mut at_alice, "message:read").await;

    let now = Clock::system().now();
    let soon_over = alice.with_token(alice.claims(now).claim("exp", now.as_secs() + 2).sign());
    let mut short = chat.socket(&soon_over).await;
    chat.hears(&mut short, "auth:expiring").await;
    chat.ask(&mut short, "auth:refresh", json!({"token": alice.token})).await;
    let empty = alice.starts_group_with(&[]).await;
    let known = json!({"conversations": {&id: 1, "x": 0}, "newAfter": null});
    let synced = chat.ask(&mut short, "sync", known).await;
    assert_eq!((&synced["new"][0]["id"], &synced["gone"]), (&json!(empty), &json!(["x"])));
    assert_eq!(synced["conversations"][&id]["messages"].as_array().unwrap().len(), 1);
    let known = json!({"conversations": {}, "newAfter": id});
    chat.ask(&mut short, "sync", known).await;

    bob.post_nothing(format!("/api/conversations/{id}/leave")).await.expect(200);
    let gone = chat.hears(&mut at_bob, "conversation:updated").await;
    assert_eq!(gone["gone"], true);
    let changed = chat.hears(&mut at_alice, "conversation:updated").await;
    assert!(changed["conversation"].is_object());
    agent.delete(format!("/api/conversations/{id}")).await.expect(200);
    chat.hears(&mut at_alice, "conversation:closed").await;
    chat.ask(&mut at_alice, "conversation:leave", json!(id)).await;
    at_alice.emit("message:send", json!({})).await;
    chat.hears(&mut at_alice, "error").await;

    visitors_are_heard_of(&mut chat, &agent).await;

    // All that is described was there to be seen.
    assert_eq!(chat.seen, chat.description.messages("fromServer"));
}

/// A visitor of a website writes, and an agent takes that on.
async fn visitors_are_heard_of(chat: &mut Checked, agent: &Person) {
    let mut at_agent = chat.socket(agent).await;
    let headers = [("content-type", "application/json")];
    let visit = chat.server.wire.send("POST", "/api/widget/session", &headers, "{}".into()).await.expect(200);
    let visitor = Person::visiting(chat.server.wire.clone(), &visit.json());
    let support = visitor.post_nothing("/api/widget/conversation").await.expect(201).json();
    let support = support["conversation"]["id"].as_str().unwrap().to_owned();
    visitor.says(&support, "help").await;
    chat.hears(&mut at_agent, "inbox:new").await;
    agent.post_nothing(format!("/api/inbox/{support}/claim")).await.expect(200);
    chat.hears(&mut at_agent, "inbox:claimed").await;
    chat.hears(&mut at_agent, "inbox:updated").await;
}

#[tokio::test]
async fn many_receipts_at_once_are_described() {
    let mut chat = Checked::new().await;
    let (alice, bob) = (chat.server.customer("alice").await, chat.server.customer("bob").await);
    let id = alice.starts_conversation_with(&bob).await;
    let mut at_alice = chat.socket(&alice).await;
    chat.ask(&mut at_alice, "conversation:join", json!(id)).await;
    let mut ids = Vec::new();
    for number in 0..21 {
        ids.push(alice.says(&id, &number.to_string()).await["id"].take());
    }
    let mut at_bob = chat.socket(&bob).await;
    chat.ask(&mut at_bob, "conversation:join", json!({"conversationId": id, "after": null})).await;
    chat.ask(&mut at_bob, "conversation:join", json!({"conversationId": id, "after": 0})).await;
    let delivered = chat.hears(&mut at_alice, "message:delivered").await;
    assert_eq!(delivered["messageIds"], json!(ids));
    chat.ask(&mut at_bob, "message:read", json!({"conversationId": id, "messageIds": ids})).await;
    let read = chat.hears(&mut at_alice, "message:read").await;
    assert_eq!(read["messageIds"], json!(ids));
}

#[tokio::test]
async fn refusals_are_described() {
    let chat = Checked::new().await;
    let (alice, bob) = (chat.server.customer("alice").await, chat.server.customer("bob").await);
    let admin = chat.server.admin("admin").await;
    let id = alice.starts_conversation_with(&bob).await;
    let mut at_admin = chat.socket(&admin).await;
    let said = json!({"conversationId": id, "content": "hi"});
    assert_eq!(chat.refused(&mut at_admin, "message:send", said).await, "forbidden");
    assert_eq!(chat.refused(&mut at_admin, "conversation:join", json!("x")).await, "not_found");
    for (event, payload) in [
        ("conversation:join", json!(null)),
        ("conversation:leave", json!([])),
        ("message:send", json!({"conversationId": id})),
        ("typing:start", json!({})),
        ("typing:stop", json!({"conversationId": 1})),
        ("message:read", json!({"conversationId": id})),
        ("sync", json!({"conversations": {&id: -1}})),
        ("sync", json!({})),
        ("auth:refresh", json!({})),
    ] {
        assert!(!chat.description.takes_event(event, &payload), "{event} {payload}");
        assert_eq!(chat.refused(&mut at_admin, event, payload).await, "validation_failed", "{event}");
    }
    for auth in [None, Some(json!({"token": "x"}))] {
        let refused = Socket::connect_with(chat.server.addr, auth).await.unwrap_err();
        chat.description.allows_refusal(&refused.0);
    }
}

#[tokio::test]
#[should_panic(expected = "surprise")]
async fn an_event_with_a_field_too_many_does_not_fit() {
    let chat = Checked::new().await;
    let mut payload = json!({"userId": priyo_core::model::UserId::new(), "isOnline": true, "lastSeen": null});
    chat.description.allows_event("user:status", &payload);
    payload["surprise"] = 1.into();
    chat.description.allows_event("user:status", &payload);
}
