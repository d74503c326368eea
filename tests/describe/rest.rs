//! What the REST door really answers is what is described.

use axum::body::Bytes;
use priyo_core::Rates;
use priyo_core::rates::{Action, Rate};
use priyo_core::transport::{describe, rest};
use priyo_tests::{Answer, Person, Settings, TestApp, Wire};
use serde_json::{Value, json};

use crate::fit::Description;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

/// A chat whose answers are held against its description.
struct Checked {
    app: TestApp,
    description: Description,
}

impl Checked {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let app = TestApp::with(settings).await;
        let description = Description::of_rest(&app.engine).await;
        Self { app, description }
    }

    /// GET or DELETE, with `{}` in the path for each variable part.
    async fn call(&self, who: &Person, method: &str, path: &str, parts: &[&str], query: &str) -> Answer {
        let answer = who.send(method, &(filled(path, parts) + query), None, Bytes::new()).await;
        self.description.allows(method, path, &answer);
        answer
    }

    async fn get(&self, who: &Person, path: &str, parts: &[&str], query: &str) -> Answer {
        self.call(who, "GET", path, parts, query).await
    }

    /// POST; a body that is taken must be one that is described.
    async fn post(&self, who: &Person, path: &str, parts: &[&str], body: Value) -> Answer {
        let answer = who.post(filled(path, parts), body.clone()).await;
        self.description.allows("POST", path, &answer);
        if answer.status < 300 {
            assert!(self.description.takes("POST", path, &body), "{path}: {body}");
        }
        answer
    }

    /// POST of a body that neither the chat nor its description takes.
    async fn refused(&self, who: &Person, path: &str, body: Value) {
        assert!(!self.description.takes("POST", path, &body), "{path}: {body}");
        assert_eq!(self.post(who, path, &[], body).await.refusal(), (400, "validation_failed".to_owned()));
    }

    async fn post_nothing(&self, who: &Person, path: &str, parts: &[&str]) -> Answer {
        let answer = who.post_nothing(filled(path, parts)).await;
        self.description.allows("POST", path, &answer);
        answer
    }
}

/// A path with its variable parts filled in.
fn filled(path: &str, parts: &[&str]) -> String {
    let mut parts = parts.iter();
    let pieces =
        path.split('/').map(|piece| if piece.starts_with('{') { parts.next().unwrap() } else { piece });
    pieces.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn what_is_said_of_rates_is_described_where_it_is_said() {
    const PATH: &str = "/api/messages";
    let mut rates = Rates::off();
    rates.set(Action::Request, Rate::parse("5/1h"));
    rates.set(Action::Send, Rate::parse("2/1h"));
    let chat = Checked::with(Settings { rates, ..Settings::default() }).await;
    let alice = chat.app.customer("alice").await;
    let group = alice.starts_group_with(&[]).await;
    let message = json!({"conversationId": group, "content": "hello"});
    for status in [201, 201, 429] {
        chat.post(&alice, PATH, &[], message.clone()).await.expect(status);
    }
    chat.get(&alice, "/api/auth/me", &[], "").await.expect(200);
    // The rate of all requests, without the narrower one.
    chat.get(&alice, "/api/auth/me", &[], "").await.expect(429);
    chat.get(&alice, "/health", &[], "").await.expect(200);

    let responses = |path: &str, method: &str| &chat.description.operation(method, path)["responses"];
    assert_eq!(responses("/health", "GET")["200"]["headers"].as_object().unwrap().len(), 1);
    assert_eq!(responses(PATH, "POST")["201"]["headers"].as_object().unwrap().len(), 4);
    let too_many = responses(PATH, "POST")["429"]["description"].as_str().unwrap();
    assert!(too_many.contains("Messages of one user. 2 at once, then one more every 1800s."), "{too_many}");
    // Control: where nothing is counted there is no such answer.
    let free = Checked::new().await;
    let responses = &free.description.operation("POST", PATH)["responses"];
    assert!(responses["429"].is_null() && responses["201"]["headers"]["RateLimit-Limit"].is_null());
}

#[tokio::test]
async fn answers_about_accounts_are_described() {
    let chat = Checked::new().await;
    let nobody = chat.app.customer("nobody").await.with_token("x");
    let account = json!({"email": "Ada@example.com", "username": "ada", "password": "correct horse"});
    chat.post(&nobody, "/api/auth/register", &[], account.clone()).await.expect(201);
    chat.post(&nobody, "/api/auth/register", &[], account).await.expect(409);
    let short = json!({"email": "b@example.com", "username": "b", "password": "correct horse"});
    chat.refused(&nobody, "/api/auth/register", short).await;
    let typo =
        json!({"email": "c@example.com", "username": "cee", "password": "correct horse", "rôle": "AGENT"});
    chat.refused(&nobody, "/api/auth/register", typo).await;

    let password = |password: &str| json!({"email": "ada@example.com", "password": password});
    chat.post(&nobody, "/api/auth/login", &[], password("wrong")).await.expect(401);
    let tokens =
        chat.post(&nobody, "/api/auth/login", &[], password("correct horse")).await.json()["tokens"].take();
    let ada = nobody.with_token(tokens["accessToken"].as_str().unwrap());
    chat.get(&ada, "/api/auth/me", &[], "").await.expect(200);
    chat.get(&nobody, "/api/auth/me", &[], "").await.expect(401);

    chat.post(&ada, "/api/auth/refresh", &[], json!({"refreshToken": "x"})).await.expect(401);
    let refresh = json!({"refreshToken": tokens["refreshToken"]});
    chat.post(&ada, "/api/auth/refresh", &[], refresh).await.expect(200);
    chat.post(&ada, "/api/auth/logout", &[], json!({"all": true})).await.expect(200);
    chat.post_nothing(&ada, "/api/auth/logout", &[]).await.expect(401);
}

#[tokio::test]
async fn answers_about_ones_own_account_are_described() {
    let chat = Checked::new().await;
    let nobody = chat.app.customer("nobody").await;
    let account = json!({"email": "ada@example.com", "username": "ada", "password": "correct horse"});
    let made = chat.post(&nobody, "/api/auth/register", &[], account).await.expect(201).json();
    let ada = nobody.with_token(made["tokens"]["accessToken"].as_str().unwrap());
    let change = |current: &str| json!({"currentPassword": current, "newPassword": "battery staple"});
    chat.post(&ada, "/api/auth/password", &[], change("wrong")).await.expect(403);
    chat.post(&ada, "/api/auth/password", &[], change("correct horse")).await.expect(200);
    let short = json!({"currentPassword": "battery staple", "newPassword": "short"});
    chat.refused(&ada, "/api/auth/password", short).await;

    let sessions = chat.get(&ada, "/api/auth/sessions", &[], "").await.expect(200).json();
    let id = sessions["sessions"][0]["id"].as_str().unwrap();
    let session = "/api/auth/sessions/{sessionId}";
    chat.call(&nobody, "DELETE", session, &[id], "").await.expect(404);
    chat.call(&ada, "DELETE", session, &[id], "").await.expect(200);
    chat.get(&ada, "/api/auth/sessions", &[], "").await.expect(401);
}

#[tokio::test]
async fn answers_about_users_are_described() {
    let chat = Checked::new().await;
    let (root, alice) = (chat.app.admin("root").await, chat.app.customer("alice").await);
    for (who, query, status) in [
        (&root, "", 200),
        (&root, "?limit=1", 200),
        (&root, "?q=al", 200),
        (&root, "?limit=0", 400),
        (&alice, "", 403),
    ] {
        chat.get(who, "/api/users", &[], query).await.expect(status);
    }
    let one = "/api/users/{userId}";
    for (who, id, body, status) in [
        (&root, &alice.id, json!({"role": "AGENT", "disabled": false}), 200),
        (&root, &alice.id, json!({}), 400),
        (&root, &alice.id, json!({"role": "KING"}), 400),
        (&root, &"x".to_owned(), json!({"disabled": true}), 404),
        (&root, &root.id, json!({"disabled": true}), 409),
        (&alice, &root.id, json!({"disabled": true}), 403),
    ] {
        let answer = who.patch(filled(one, &[id]), body.clone()).await.expect(status);
        chat.description.allows("PATCH", one, &answer);
        assert_eq!(chat.description.takes("PATCH", one, &body), status != 400, "{body}");
    }
}

#[tokio::test]
async fn answers_about_conversations_are_described() {
    let chat = Checked::new().await;
    let (alice, bob) = (chat.app.customer("alice").await, chat.app.customer("bob").await);
    let (agent, admin) = (chat.app.agent("agent").await, chat.app.admin("admin").await);
    let all = "/api/conversations";
    let one = "/api/conversations/{conversationId}";
    let direct = json!({"participantIds": [agent.id], "type": "DIRECT"});
    let made = chat.post(&alice, all, &[], direct.clone()).await.expect(201).json();
    let direct_id = made["conversation"]["id"].as_str().unwrap();
    chat.post(&alice, all, &[], direct.clone()).await.expect(409);
    chat.refused(&alice, all, json!({"participantIds": [], "type": "GROUP"})).await;
    let group = json!({"participantIds": [bob.id], "type": "GROUP", "name": "ours"});
    let group = chat.post(&alice, all, &[], group).await.expect(201).json();
    let group = group["conversation"]["id"].as_str().unwrap();
    alice.says(direct_id, "hello").await;

    for (who, query, status) in
        [(&alice, "", 200), (&alice, "?limit=1", 200), (&admin, "?scope=own", 200), (&alice, "?limit=0", 400)]
    {
        chat.get(who, all, &[], query).await.expect(status);
    }
    chat.get(&admin, one, &[direct_id], "").await.expect(200);
    chat.get(&bob, one, &[direct_id], "").await.expect(404);

    let participants = "/api/conversations/{conversationId}/participants";
    let brought = json!({"userIds": [agent.id]});
    chat.post(&bob, participants, &[group], brought.clone()).await.expect(403);
    chat.post(&alice, participants, &[group], brought.clone()).await.expect(200);
    chat.post(&alice, participants, &[direct_id], brought).await.expect(400);
    let participant = "/api/conversations/{conversationId}/participants/{userId}";
    chat.call(&alice, "DELETE", participant, &[group, &bob.id], "").await.expect(200);
    chat.call(&alice, "DELETE", participant, &[group, &bob.id], "").await.expect(404);
    let leave = "/api/conversations/{conversationId}/leave";
    chat.post_nothing(&alice, leave, &[direct_id]).await.expect(400);
    chat.post_nothing(&alice, leave, &[group]).await.expect(200);

    let reopen = "/api/conversations/{conversationId}/reopen";
    chat.call(&alice, "DELETE", one, &[direct_id], "").await.expect(403);
    chat.call(&agent, "DELETE", one, &[direct_id], "").await.expect(200);
    chat.post_nothing(&alice, reopen, &[direct_id]).await.expect(403);
    chat.post(&alice, all, &[], direct).await.expect(201);
    chat.post_nothing(&agent, reopen, &[direct_id]).await.expect(409);
    chat.post_nothing(&agent, reopen, &[group]).await.expect(200);
}

#[tokio::test]
async fn answers_about_messages_are_described() {
    let chat = Checked::new().await;
    let (alice, agent) = (chat.app.customer("alice").await, chat.app.agent("agent").await);
    let admin = chat.app.admin("admin").await;
    let id = alice.starts_conversation_with(&agent).await;
    let file = alice.uploads("a.png", PNG).await.expect(200).json()["file"].take();
    let send = "/api/messages";
    let said = json!({"conversationId": id, "content": "hello", "clientMessageId": "1"});
    chat.post(&alice, send, &[], said.clone()).await.expect(201);
    chat.post(&alice, send, &[], said.clone()).await.expect(200);
    let other = json!({"conversationId": id, "content": "other", "clientMessageId": "1"});
    chat.post(&alice, send, &[], other).await.expect(409);
    let image = json!({"conversationId": id, "type": "IMAGE", "fileUrl": file["url"], "fileName": "b", "fileSize": 1});
    let newest = chat.post(&alice, send, &[], image).await.expect(201).json()["data"]["id"].take();
    chat.post(&alice, send, &[], json!({"conversationId": id, "content": "no id"})).await.expect(201);
    chat.post(&admin, send, &[], said.clone()).await.expect(403);
    chat.post(&alice, send, &[], json!({"conversationId": "x", "content": "hi"})).await.expect(404);
    for bad in [
        json!({"content": "hi"}),
        json!({"conversationId": id}),
        json!({"conversationId": id, "content": "x".repeat(5_001)}),
        json!({"conversationId": id, "content": "hi", "type": "VIDEO"}),
        json!({"conversationId": id, "content": "hi", "clientMessageId": ""}),
        json!({"conversationId": id, "content": "hi", "clientMessageID": "1"}),
    ] {
        chat.refused(&alice, send, bad).await;
    }

    let read = json!({"messageIds": [newest, newest]});
    chat.post(&agent, "/api/messages/read", &[], read).await.expect(200);
    chat.post(&agent, "/api/messages/read", &[], json!({"messageIds": ["x"]})).await.expect(400);
    chat.refused(&agent, "/api/messages/read", json!({"messageIds": []})).await;
    chat.get(&agent, "/api/messages/unread/count", &[], "").await.expect(200);
    let history = "/api/messages/{conversationId}";
    for (query, status) in
        [("", 200), ("?page=1&limit=1", 200), ("?after=1", 200), ("?before=2", 200), ("?page=1&after=1", 400)]
    {
        chat.get(&alice, history, &[&id], query).await.expect(status);
    }
    chat.get(&alice, history, &["x"], "").await.expect(404);
    chat.get(&agent, "/api/conversations", &[], "").await.expect(200);
    agent.delete(format!("/api/conversations/{id}")).await.expect(200);
    let late = json!({"conversationId": id, "content": "late"});
    chat.post(&alice, send, &[], late).await.expect(409);
}

#[tokio::test]
async fn answers_about_bodies_that_are_no_json_are_described() {
    let chat = Checked::new().await;
    let alice = chat.app.customer("alice").await;
    let long = "x".repeat(70_000);
    for (media, body, status) in
        [("application/json", "{", 400), ("text/plain", "{}", 415), ("application/json", &long, 413)]
    {
        let answer = alice.send("POST", "/api/messages", Some(media), body.to_owned().into()).await;
        chat.description.allows("POST", "/api/messages", &answer.expect(status));
    }
}

#[tokio::test]
async fn answers_about_files_are_described() {
    let chat = Checked::new().await;
    let (alice, bob) = (chat.app.customer("alice").await, chat.app.customer("bob").await);
    let allows = |answer: Answer| chat.description.allows("POST", "/api/upload", &answer);
    let stored = alice.uploads("a.png", PNG).await.expect(200);
    let name = stored.json()["file"]["filename"].as_str().unwrap().to_owned();
    allows(stored);
    allows(alice.uploads("a.exe", b"MZ\x90\0").await.expect(415));
    allows(alice.uploads_as("other", "a.png", None, PNG).await.expect(400));
    allows(alice.uploads("a.txt", &vec![b'a'; 5 * 1024 * 1024 + 1]).await.expect(413));
    allows(alice.with_token("x").uploads("a.png", PNG).await.expect(401));

    for path in ["/uploads/{filename}", "/api/upload/{filename}"] {
        let whole = chat.get(&alice, path, &[&name], "").await.expect(200);
        chat.get(&bob, path, &[&name], "").await.expect(404);
        let bearer = format!("Bearer {}", alice.token);
        for (header, value, status) in [
            ("range", "bytes=0-3", 206),
            ("range", "bytes=9999-", 416),
            ("if-none-match", whole.header("etag"), 304),
        ] {
            let headers = [("authorization", bearer.as_str()), (header, value)];
            let part = alice.wire.send("GET", &filled(path, &[&name]), &headers, Bytes::new()).await;
            chat.description.allows("GET", path, &part.expect(status));
        }
    }
}

#[tokio::test]
async fn answers_about_visitors_are_described() {
    let chat = Checked::new().await;
    let (agent, other) = (chat.app.agent("agent").await, chat.app.agent("other").await);
    let page = json!({"url": "https://shop.example/", "title": null});
    let body = json!({"name": "Vera", "email": null, "page": page, "identity": null, "visitorToken": null});
    // A token that is sent along does not matter.
    let visited = chat.post(&agent, "/api/widget/session", &[], body).await.expect(200).json();
    let vera = Person::visiting(chat.app.wire.clone(), &visited);
    for bad in
        [json!({"role": "ADMIN"}), json!({"page": {}}), json!({"identity": {"userId": "", "hash": ""}})]
    {
        chat.refused(&agent, "/api/widget/session", bad).await;
    }
    let forged = json!({"identity": {"userId": "a", "hash": "0"}});
    assert_eq!(chat.post(&agent, "/api/widget/session", &[], forged).await.status, 401);
    assert_eq!(chat.post_nothing(&agent, "/api/widget/conversation", &[]).await.status, 403);
    let opened = chat.post_nothing(&vera, "/api/widget/conversation", &[]).await.expect(201).json();
    chat.post_nothing(&vera, "/api/widget/conversation", &[]).await.expect(200);
    let id = opened["conversation"]["id"].as_str().unwrap();
    vera.says(id, "help").await;

    for query in ["", "?state=unassigned&limit=1", "?state=open", "?state=closed"] {
        chat.get(&agent, "/api/inbox", &[], query).await.expect(200);
    }
    assert_eq!(chat.get(&agent, "/api/inbox", &[], "?state=all").await.status, 400);
    assert_eq!(chat.get(&vera, "/api/inbox", &[], "").await.status, 403);
    let people = chat.get(&agent, "/api/inbox/people", &[], "?q=GEN").await.expect(200).json();
    assert_eq!(people["users"].as_array().unwrap().len(), 1);
    let (claim, release) = ("/api/inbox/{conversationId}/claim", "/api/inbox/{conversationId}/release");
    chat.post_nothing(&agent, claim, &[id]).await.expect(200);
    assert_eq!(chat.post_nothing(&other, claim, &[id]).await.status, 409);
    assert_eq!(chat.post_nothing(&other, release, &[id]).await.status, 403);
    assert_eq!(chat.post_nothing(&other, release, &["none"]).await.status, 404);
    chat.get(&agent, "/api/inbox", &[], "?state=mine").await.expect(200);
    chat.post_nothing(&agent, release, &[id]).await.expect(200);
}

#[tokio::test]
async fn answers_about_the_service_are_described() {
    let chat = Checked::new().await;
    let engine = &chat.app.engine;
    let routes =
        rest::router(engine.clone()).merge(rest::index(engine, true)).merge(describe::router(engine));
    let wire = Wire::Router(routes);
    for path in ["/", "/health", "/api/health", "/ready", "/api/openapi.json", "/api/asyncapi.json", "/docs"]
    {
        let answer = wire.send("GET", path, &[], Bytes::new()).await.expect(200);
        if !path.ends_with(".json") {
            chat.description.allows("GET", path, &answer);
        }
    }
    engine.close().await;
    let away = wire.send("GET", "/ready", &[], Bytes::new()).await.expect(503);
    chat.description.allows("GET", "/ready", &away);
}

#[tokio::test]
#[should_panic(expected = "surprise")]
async fn an_answer_with_a_field_too_many_does_not_fit() {
    let chat = Checked::new().await;
    let alice = chat.app.customer("alice").await;
    let mut answer = alice.get("/api/auth/me").await;
    let mut body = answer.json();
    chat.description.allows("GET", "/api/auth/me", &answer);
    body["user"]["surprise"] = 1.into();
    answer.body = body.to_string().into();
    chat.description.allows("GET", "/api/auth/me", &answer);
}
