//! Visitors of websites, and `inbox:new`, `inbox:updated`, `inbox:claimed` to those who answer them.

use std::collections::BTreeSet;

use priyo_tests::{Person, TestServer, assert_keys};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const ITEM: &[&str] = &[
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
    "visitor",
    "assignee",
    "waitingSince",
];

/// What a visitor is told who says this of themselves.
async fn visit(server: &TestServer, body: &Value) -> Value {
    let headers = [("content-type", "application/json")];
    let answer = server.wire.send("POST", "/api/widget/session", &headers, body.to_string().into()).await;
    answer.expect(200).json()
}

pub(crate) async fn visitor(server: &TestServer) -> Person {
    Person::visiting(server.wire.clone(), &visit(server, &json!({"name": "Vera"})).await)
}

pub(crate) async fn conversation(of: &Person) -> String {
    let made = of.post_nothing("/api/widget/conversation").await.expect(201).json();
    made["conversation"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_visit_makes_a_visitor_and_the_same_browser_is_the_same_one() {
    let server = TestServer::start_with(&[("WIDGET_TITLE", "Shop"), ("WIDGET_ACCENT", "#2563eb")]).await;
    let page = json!({"url": "https://shop.example/a?b", "title": "A"});
    let body = json!({"name": "Vera", "email": "Vera@Example.com", "page": page});
    let first = visit(&server, &body).await;
    assert_keys(&first, &["token", "expiresIn", "visitorToken", "user", "conversation", "settings"]);
    assert_keys(&first["user"], &["id", "username", "role"]);
    let settings = json!({
        "title": "Shop", "greeting": null, "accent": "#2563eb", "locale": null, "online": false,
    });
    assert_eq!((&first["settings"], &first["conversation"]), (&settings, &Value::Null));
    assert_eq!((&first["user"]["username"], &first["user"]["role"]), (&json!("Vera"), &json!("CUSTOMER")));
    assert_eq!(first["expiresIn"], 900);
    assert_eq!(first["visitorToken"].as_str().unwrap().len(), 64);

    let vera = Person::visiting(server.wire.clone(), &first);
    let agent = server.agent("agent").await;
    let _at_agent = server.socket(&agent).await;
    let own = conversation(&vera).await;
    vera.says(&own, "help").await;
    let again = visit(&server, &json!({"visitorToken": first["visitorToken"]})).await;
    assert_eq!(again["user"], first["user"]);
    assert_eq!(again["visitorToken"], first["visitorToken"]);
    assert_eq!(again["conversation"], json!({"id": own, "status": "OPEN", "lastSeq": 2}));
    assert_eq!(again["settings"]["online"], true);

    let inbox = agent.get("/api/inbox").await.expect(200).json();
    let [item] = &inbox["conversations"].as_array().unwrap()[..] else { panic!("{inbox}") };
    assert_keys(item, ITEM);
    let known = json!({
        "id": vera.id, "name": "Vera", "email": "vera@example.com", "page": page, "isOnline": false,
    });
    assert_eq!(
        (&item["visitor"], &item["type"], &item["assignee"]),
        (&known, &json!("SUPPORT"), &Value::Null)
    );
    assert_eq!((&item["unreadCount"], &item["waitingSince"]), (&json!(1), &item["lastMessage"]["createdAt"]));
}

#[tokio::test]
async fn a_socket_goes_on_with_the_token_of_another_visit() {
    let server = TestServer::start().await;
    let first = visit(&server, &json!({})).await;
    let vera = Person::visiting(server.wire.clone(), &first);
    let mut socket = server.socket(&vera).await;
    let again = visit(&server, &json!({"visitorToken": first["visitorToken"]})).await;
    assert_ne!(again["token"], first["token"]);
    let renewed = socket.must("auth:refresh", json!({"token": again["token"]})).await;
    // The second in which it was made may be over.
    assert!((898..=900).contains(&renewed["expiresIn"].as_u64().unwrap()), "{renewed}");
    // Control: not with somebody else's.
    let other = visit(&server, &json!({})).await;
    assert_eq!(socket.refused("auth:refresh", json!({"token": other["token"]})).await, "forbidden");
}

#[tokio::test]
async fn the_greeting_is_message_one_in_the_visitors_language_and_answers_nothing() {
    let server = TestServer::start().await;
    let vera = visitor(&server).await;
    let bearer = format!("Bearer {}", vera.token);
    let headers = [("authorization", &*bearer), ("accept-language", "de-AT,de;q=0.9,en;q=0.8")];
    let made = server.wire.send("POST", "/api/widget/conversation", &headers, "".into()).await.expect(201);
    let own = made.json()["conversation"]["id"].as_str().unwrap().to_owned();
    let history = vera.get(format!("/api/messages/{own}")).await.expect(200).json();
    let [greeting] = &history["messages"].as_array().unwrap()[..] else { panic!("{history}") };
    assert_eq!((&greeting["seq"], &greeting["sender"]["username"]), (&json!(1), &json!("Support")));
    assert!(greeting["content"].as_str().unwrap().starts_with("Hallo"), "{greeting}");
    let participants = made.json()["conversation"]["participants"].clone();
    assert_eq!(participants.as_array().unwrap().len(), 1, "whoever greets takes no part");
    // Nobody has asked anything yet.
    let agent = server.agent("agent").await;
    assert_eq!(agent.get("/api/inbox").await.json()["conversations"], json!([]));
    let open = agent.get("/api/inbox?state=open").await.json();
    assert_eq!(open["conversations"][0]["waitingSince"], Value::Null);

    let own = TestServer::start_with(&[("WIDGET_GREETING", "off")]).await;
    let silent = conversation(&visitor(&own).await).await;
    let history = own.agent("agent").await.get(format!("/api/messages/{silent}")).await.expect(200).json();
    assert_eq!(history["messages"], json!([]));
}

#[tokio::test]
async fn those_who_answer_hear_of_everything_and_nobody_else_does() {
    let server = TestServer::start().await;
    let (agent, admin) = (server.agent("agent").await, server.admin("admin").await);
    let (mut at_agent, mut at_admin) = (server.socket(&agent).await, server.socket(&admin).await);
    let mut at_customer = server.socket(&server.customer("customer").await).await;
    let vera = visitor(&server).await;
    let mut at_vera = server.socket(&vera).await;
    let own = conversation(&vera).await;
    assert_eq!(at_vera.next("conversation:new").await["conversation"]["id"], *own);

    vera.says(&own, "help").await;
    for socket in [&mut at_agent, &mut at_admin] {
        let new = socket.next("inbox:new").await;
        assert_keys(&new, &["conversation"]);
        assert_keys(&new["conversation"], ITEM);
        assert_eq!(new["conversation"]["lastMessage"]["content"], "help");
        assert_eq!(new["conversation"]["visitor"]["isOnline"], true);
    }
    vera.says(&own, "please").await;
    for socket in [&mut at_agent, &mut at_admin] {
        assert_eq!(socket.next("inbox:updated").await["conversation"]["unreadCount"], 2);
    }

    agent.post_nothing(format!("/api/inbox/{own}/claim")).await.expect(200);
    let claimed = json!({
        "conversationId": own, "assignee": {"id": agent.id, "username": "agent", "avatar": null},
    });
    for socket in [&mut at_agent, &mut at_admin] {
        assert_eq!(socket.next("inbox:claimed").await, claimed);
    }
    assert_eq!(at_agent.next("conversation:new").await["conversation"]["id"], *own);
    let updated = at_vera.next("conversation:updated").await;
    assert_eq!(updated["conversation"]["participants"].as_array().unwrap().len(), 2);
    agent.says(&own, "what is it?").await;
    until(&mut at_admin, |item| item["waitingSince"].is_null() && item["lastSeq"] == 4).await;

    agent.delete(format!("/api/conversations/{own}")).await.expect(200);
    until(&mut at_admin, |item| item["status"] == "CLOSED").await;
    at_vera.next("conversation:closed").await;
    vera.says(&own, "one more thing").await;
    let open = until(&mut at_admin, |item| item["status"] == "OPEN").await;
    assert_eq!((&open["lastSeq"], &open["assignee"]["id"]), (&json!(5), &json!(agent.id)));
    assert_eq!(at_vera.next("conversation:updated").await["conversation"]["status"], "OPEN");
    // What is unread is each one's own: one message for the one who is in it.
    let own_item = until(&mut at_agent, |item| item["lastSeq"] == 5).await;
    assert_eq!(own_item["unreadCount"], 1);

    agent.post_nothing(format!("/api/inbox/{own}/release")).await.expect(200);
    until(&mut at_admin, |item| item["assignee"].is_null()).await;
    assert_eq!(at_customer.heard().await, []);
    assert!(at_vera.heard().await.iter().all(|(name, _)| !name.starts_with("inbox:")));
}

/// The next news of the inbox that are so. Of several changes at once the last is told.
pub(crate) async fn until(socket: &mut priyo_tests::Socket, is_so: impl Fn(&Value) -> bool) -> Value {
    loop {
        let item = socket.next("inbox:updated").await["conversation"].clone();
        if is_so(&item) {
            return item;
        }
    }
}

#[tokio::test]
async fn an_agent_looks_before_they_claim_and_writes_after_it() {
    let server = TestServer::start().await;
    let (agent, vera) = (server.agent("agent").await, visitor(&server).await);
    let own = conversation(&vera).await;
    vera.says(&own, "help").await;
    let mut at_agent = server.socket(&agent).await;

    let history = agent.get(format!("/api/messages/{own}")).await.expect(200).json();
    assert_eq!(history["messages"].as_array().unwrap().len(), 2);
    at_agent.must("conversation:join", json!({"conversationId": own, "after": 0})).await;
    vera.says(&own, "is there anybody?").await;
    assert_eq!(at_agent.next("message:new").await["content"], "is there anybody?");
    let send = json!({"conversationId": own, "content": "yes"});
    assert_eq!(agent.post("/api/messages", send.clone()).await.refusal(), (403, "forbidden".to_owned()));
    assert_eq!(at_agent.refused("message:send", send.clone()).await, "forbidden");
    let typing = json!({"conversationId": own});
    assert_eq!(at_agent.refused("typing:start", typing).await, "forbidden");
    // Control: of what is no support conversation there is nothing to see.
    let (alice, bob) = (server.customer("alice").await, server.customer("bob").await);
    let foreign = alice.starts_conversation_with(&bob).await;
    assert_eq!(agent.get(format!("/api/messages/{foreign}")).await.status, 404);
    let send_there = json!({"conversationId": foreign, "content": "yes"});
    assert_eq!(agent.post("/api/messages", send_there).await.status, 404);
    assert_eq!(agent.post_nothing(format!("/api/inbox/{foreign}/claim")).await.status, 404);

    let claimed = agent.post_nothing(format!("/api/inbox/{own}/claim")).await.expect(200).json();
    assert_eq!(claimed["conversation"]["assignee"]["id"], agent.id);
    agent.post_nothing(format!("/api/inbox/{own}/claim")).await.expect(200);
    at_agent.must("message:send", send).await;
    let mine = agent.get("/api/inbox?state=mine").await.json();
    assert_eq!(mine["conversations"][0]["id"], *own);
    assert_eq!(agent.get("/api/inbox").await.json()["conversations"], json!([]));

    // Only agents come in beside, and the visitor stays.
    let path = format!("/api/conversations/{own}/participants");
    let refused = agent.post(&path, json!({"userIds": [alice.id]})).await;
    assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()));
    let second = server.agent("second").await;
    agent.post(&path, json!({"userIds": [second.id]})).await.expect(200);
    assert_eq!(agent.delete(format!("{path}/{}", vera.id)).await.status, 400);
    assert_eq!(
        second.post_nothing(format!("/api/inbox/{own}/release")).await.refusal(),
        (403, "forbidden".to_owned())
    );
}

#[tokio::test]
async fn of_agents_who_claim_at_once_one_gets_it_and_the_others_are_told_who() {
    let server = TestServer::start().await;
    let own = conversation(&visitor(&server).await).await;
    let mut claims = JoinSet::new();
    for n in 0..8 {
        let agent = server.agent(&format!("agent{n}")).await;
        let path = format!("/api/inbox/{own}/claim");
        claims.spawn(async move { (agent.id.clone(), agent.post_nothing(path).await) });
    }
    let answers = claims.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|(_, answer)| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 7));
    for (_, answer) in lost {
        assert_eq!(answer.refusal(), (409, "already_claimed".to_owned()));
        assert_eq!(answer.json()["assignee"]["id"], won[0].0);
    }
}

#[tokio::test]
async fn a_visitor_has_one_open_conversation_however_many_they_ask_for_at_once() {
    let server = TestServer::start_with(&[("RATE_LIMIT_VISITS", "1/1h")]).await;
    let vera = visitor(&server).await;
    let mut asked = JoinSet::new();
    for _ in 0..50 {
        let vera = vera.clone();
        asked.spawn(async move { vera.post_nothing("/api/widget/conversation").await });
    }
    let answers = asked.join_all().await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    let ids: BTreeSet<String> =
        answers.iter().map(|answer| answer.json()["conversation"]["id"].to_string()).collect();
    assert_eq!((made, ids.len()), (1, 1), "and it counts once");
    assert!(answers.iter().all(|answer| [200, 201].contains(&answer.status)));
}

#[tokio::test]
async fn who_is_no_agent_any_more_hears_nothing_of_visitors() {
    let server = TestServer::start().await;
    let (agent, admin) = (server.agent("agent").await, server.admin("admin").await);
    let vera = visitor(&server).await;
    let own = conversation(&vera).await;
    vera.says(&own, "help").await;
    let mut at_agent = server.socket(&agent).await;
    at_agent.must("conversation:join", json!(own)).await;
    admin.patch(format!("/api/users/{}", agent.id), json!({"role": "CUSTOMER"})).await.expect(200);
    assert!(at_agent.ends_by(super::within(5)).await, "it comes back as who it is now");
    let mut again = server.socket(&agent).await;
    assert_eq!(again.refused("conversation:join", json!(own)).await, "not_found");
    vera.says(&own, "is there anybody?").await;
    assert_eq!(again.heard().await, []);
    assert_eq!(agent.get("/api/inbox").await.refusal(), (403, "forbidden".to_owned()));
}
