//! Class W: visitors of websites, who are anybody.

use aws_lc_rs::hmac;
use priyo_tests::{Answer, Database, Person, Refused, ServerProcess, Socket, Wire};
use serde_json::{Value, json};

use crate::oracle::Secret;
use crate::world::{World, id};

const SECRET: &str = "0b1c2d3e4f5061728394a5b6c7d8e9f00b1c2d3e4f506172";
const PROVEN: [(&str, &str); 2] = [("WIDGET_IDENTITY_SECRET", SECRET), ("WIDGET_IDENTITY_REQUIRED", "on")];

#[allow(clippy::needless_pass_by_value, reason = "so that a test can write `json!` in place")]
async fn session(wire: &Wire, body: Value) -> Answer {
    let headers = [("content-type", "application/json")];
    wire.send("POST", "/api/widget/session", &headers, body.to_string().into()).await
}

/// Somebody who comes to a website; the token of their browser beside.
async fn visitor(wire: &Wire, body: Value) -> (Person, Value) {
    let visited = session(wire, body).await.expect(200).json();
    (Person::visiting(wire.clone(), &visited), visited["visitorToken"].clone())
}

/// The visitor's open conversation.
async fn conversation(of: &Person) -> String {
    let answer = of.post_nothing("/api/widget/conversation").await;
    assert!([200, 201].contains(&answer.status), "{}", answer.text());
    id(&answer.json()["conversation"])
}

/// What the website's server makes of a user's id.
fn hash_of(user: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::sign(&key, user.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn proof_of(user: &str) -> Value {
    json!({"userId": user, "hash": hash_of(user)})
}

/// The texts of a conversation, as somebody reads them.
async fn said(by: &Person, conversation: &str) -> Vec<String> {
    let history = by.get(format!("/api/messages/{conversation}")).await.expect(200).json();
    let messages = history["messages"].as_array().unwrap().iter();
    messages.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn nobody_becomes_a_visitor_by_their_id() {
    let mut world = World::new().await;
    let (v1, _) = visitor(&world.server.wire, json!({})).await;
    let canary = Secret::canary("w01", &[&v1, &world.adm, &world.ag1, &world.ag2]);
    let own = conversation(&v1).await;
    v1.says(&own, canary.text()).await;
    world.add_secret(canary);
    let (v2, _) = visitor(&world.server.wire, json!({})).await;
    let watch = world.watch(&v2).await;

    for body in [json!({"visitorId": v1.id}), json!({"visitorToken": v1.id}), json!({"userId": v1.id})] {
        let refused = watch.post("/api/widget/conversation", body).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()));
    }
    let other = watch.post("/api/widget/conversation", json!({})).await.expect(201).json();
    assert_ne!(id(&other["conversation"]), own);
    for guess in [v1.id.clone(), "0".repeat(64), String::new(), "x".repeat(9_000)] {
        let visited = session(&world.server.wire, json!({"visitorToken": guess})).await.expect(200).json();
        assert_ne!(visited["user"]["id"], v1.id);
        assert_eq!(visited["conversation"], Value::Null);
        assert_ne!(visited["visitorToken"], guess, "one that is not ours is not taken on");
    }
    watch.ends_changed().await;
}

#[tokio::test]
async fn whoever_names_a_registered_address_gets_no_part_of_its_account() {
    let world = World::new().await;
    let taken = format!("{}@example.com", world.ag1.name);
    let visited = session(&world.server.wire, json!({"email": taken, "name": world.ag1.name})).await;
    let visited = visited.expect(200).json();

    assert_eq!(visited["user"]["role"], "CUSTOMER");
    assert_ne!(visited["user"]["id"], world.ag1.id);
    let visitor = Person::visiting(world.server.wire.clone(), &visited);
    let me = visitor.get("/api/auth/me").await.expect(200).json();
    assert_eq!(me["user"]["email"], Value::Null, "it is contact data");
    assert_eq!(visitor.get("/api/inbox").await.refusal(), (403, "forbidden".to_owned()));
    // And the visitor's address is nobody's to log in with.
    let login = json!({"email": "visitor@example.net", "password": "correct horse"});
    session(&world.server.wire, json!({"email": "visitor@example.net"})).await.expect(200);
    let headers = [("content-type", "application/json")];
    let refused = world.server.wire.send("POST", "/api/auth/login", &headers, login.to_string().into()).await;
    assert_eq!(refused.refusal(), (401, "invalid_credentials".to_owned()));
    world.assert_well().await;
}

#[tokio::test]
async fn an_identity_is_believed_only_with_its_proof() {
    let world = World::with(&PROVEN).await;
    let wire = &world.server.wire;
    let others = hash_of("somebody else");
    for wrong in [
        json!({}),
        json!({"identity": {"userId": "ann", "hash": ""}}),
        json!({"identity": {"userId": "ann", "hash": others}}),
        json!({"identity": {"userId": "ann", "hash": &hash_of("ann")[..63]}}),
        json!({"identity": {"userId": "Ann", "hash": hash_of("ann")}}),
        json!({"identity": null}),
    ] {
        let refused = session(wire, wrong.clone()).await;
        assert_eq!(refused.refusal(), (401, "invalid_credentials".to_owned()), "{wrong}");
    }
    let missing = session(wire, json!({"identity": {"userId": "ann"}})).await;
    assert_eq!(missing.refusal(), (400, "validation_failed".to_owned()));
    let (ann, _) = visitor(wire, json!({"identity": proof_of("ann")})).await;
    let (again, _) = visitor(wire, json!({"identity": proof_of("ann")})).await;
    assert_eq!(ann.id, again.id, "the same on any browser");

    // Control: where no proof is required one that is wrong is still refused, and none is fine.
    let lenient = ServerProcess::start_with(&Database::new(), &PROVEN[..1]).await;
    let wrong = json!({"identity": {"userId": "ann", "hash": hash_of("bob")}});
    assert_eq!(session(&lenient.wire, wrong).await.status, 401);
    session(&lenient.wire, json!({})).await.expect(200);
    // And without a secret nobody can prove anything.
    let plain = ServerProcess::start(&Database::new()).await;
    assert_eq!(session(&plain.wire, json!({"identity": proof_of("ann")})).await.status, 401);
}

#[tokio::test]
async fn where_a_proof_is_required_nothing_goes_without_it() {
    let database = Database::new();
    let before = ServerProcess::start_with(&database, &PROVEN[..1]).await;
    let (anonymous, _) = visitor(&before.wire, json!({})).await;
    let own = conversation(&anonymous).await;
    anonymous.says(&own, "while it is allowed").await;
    before.socket(&anonymous).await;
    before.kill_nine().await;

    let server = ServerProcess::start_with(&database, &PROVEN).await;
    let mut people = [anonymous];
    server.rewire(&mut people);
    let [anonymous] = people;
    for (method, path, body) in [
        ("POST", "/api/messages".to_owned(), json!({"conversationId": own, "content": "let me"}).to_string()),
        ("GET", format!("/api/messages/{own}"), String::new()),
        ("POST", "/api/widget/conversation".to_owned(), String::new()),
        ("GET", "/api/conversations".to_owned(), String::new()),
    ] {
        let media = (!body.is_empty()).then_some("application/json");
        let refused = anonymous.send(method, &path, media, body.into()).await;
        assert_eq!(refused.refusal(), (401, "invalid_token".to_owned()), "{method} {path}");
    }
    let socket = server.try_socket(&anonymous).await.unwrap_err();
    assert_eq!(socket, Refused("Invalid authentication token".to_owned()));
    assert_eq!(server.database().rows("messages").await, 2, "the greeting and what was allowed");
    // Control: with a proof it goes.
    let (ann, _) = visitor(&server.wire, json!({"identity": proof_of("ann")})).await;
    let own = conversation(&ann).await;
    let mut socket = server.socket(&ann).await;
    socket.must("message:send", json!({"conversationId": own, "content": "hello"})).await;
}

#[tokio::test]
async fn a_visitor_has_their_own_conversation_and_nothing_else() {
    let world = World::new().await;
    let (v1, _) = visitor(&world.server.wire, json!({"name": "Vera"})).await;
    let own = conversation(&v1).await;
    let watch = world.watch(&v1).await;

    let list = watch.get("/api/conversations").await.expect(200).json();
    let ids: Vec<String> = list["conversations"].as_array().unwrap().iter().map(id).collect();
    assert_eq!(ids, std::slice::from_ref(&own));
    let new = json!({"participantIds": [world.ag2.id], "type": "DIRECT"});
    let forbidden = (403, "forbidden".to_owned());
    assert_eq!(watch.post("/api/conversations", new).await.refusal(), forbidden);
    assert_eq!(watch.delete(&format!("/api/conversations/{own}")).await.refusal(), forbidden);
    let reopen = format!("/api/conversations/{own}/reopen");
    assert_eq!(watch.post(&reopen, json!({})).await.refusal(), forbidden);
    let invite = format!("/api/conversations/{own}/participants");
    assert_eq!(watch.post(&invite, json!({"userIds": [world.c1.id]})).await.refusal(), forbidden);
    let leave = watch.send("POST", &format!("/api/conversations/{own}/leave"), None, "").await;
    assert_eq!(leave.refusal(), (400, "validation_failed".to_owned()));
    let refresh = watch.post("/api/auth/refresh", json!({"refreshToken": v1.token})).await;
    assert_eq!(refresh.refusal(), (401, "invalid_refresh_token".to_owned()));
    let read = watch.post("/api/messages/read", json!({"messageIds": [world.d12_message]})).await;
    assert_eq!(read.refusal(), (400, "validation_failed".to_owned()));
    for path in ["/api/inbox", "/api/inbox?state=mine", "/api/users"] {
        assert_eq!(watch.get(path).await.refusal(), forbidden, "{path}");
    }
    for action in ["claim", "release"] {
        let path = format!("/api/inbox/{own}/{action}");
        assert_eq!(watch.send("POST", &path, None, "").await.refusal(), forbidden, "{action}");
    }
    let password = json!({"currentPassword": "", "newPassword": "correct horse"});
    assert!(watch.post("/api/auth/password", password).await.status >= 400, "there is no password");
    watch.ends_changed().await;
    // Nor is a visitor made more than a customer by somebody who may.
    let promote = world.adm.patch(format!("/api/users/{}", v1.id), json!({"role": "AGENT"})).await;
    assert_eq!(promote.refusal(), (409, "conflict".to_owned()));
}

#[tokio::test]
async fn a_socket_is_not_let_in_by_anything_but_a_token() {
    let world = World::new().await;
    let (v1, token) = visitor(&world.server.wire, json!({})).await;
    for auth in [
        json!({"visitorId": v1.id}),
        json!({"visitorId": 7}),
        json!({"visitorId": {"$ne": null}}),
        json!({"visitorToken": token}),
        json!({"token": null, "visitorToken": token}),
    ] {
        let refused = Socket::connect_with(world.server.addr, Some(auth.clone())).await.unwrap_err();
        assert_eq!(refused, Refused("Authentication token required".to_owned()), "{auth}");
    }
    for token in [json!(token), json!(7), json!({"visitorId": v1.id})] {
        let auth = json!({"token": token});
        let refused = Socket::connect_with(world.server.addr, Some(auth)).await.unwrap_err();
        assert_eq!(refused, Refused("Invalid authentication token".to_owned()), "{token}");
    }
    world.server.socket(&v1).await;
    world.assert_well().await;
}

#[tokio::test]
async fn the_conversation_of_another_visitor_is_not_there() {
    let mut world = World::new().await;
    let (v1, _) = visitor(&world.server.wire, json!({})).await;
    let canary = Secret::canary("w10", &[&v1, &world.adm, &world.ag1, &world.ag2]);
    let foreign = conversation(&v1).await;
    v1.says(&foreign, canary.text()).await;
    world.add_secret(canary);
    let (v2, _) = visitor(&world.server.wire, json!({})).await;
    conversation(&v2).await;
    let watch = world.watch(&v2).await;
    let mut socket = watch.socket().await;

    let not_found = (404, "not_found".to_owned());
    assert_eq!(watch.get(&format!("/api/messages/{foreign}")).await.refusal(), not_found);
    assert_eq!(watch.get(&format!("/api/conversations/{foreign}")).await.refusal(), not_found);
    let send = json!({"conversationId": foreign, "content": "let me in"});
    assert_eq!(watch.post("/api/messages", send.clone()).await.refusal(), not_found);
    assert_eq!(socket.refused("conversation:join", json!(foreign)).await, "not_found");
    let after = json!({"conversationId": foreign, "after": 0});
    assert_eq!(socket.refused("conversation:join", after).await, "not_found");
    assert_eq!(socket.refused("message:send", send).await, "not_found");
    v1.says(&foreign, "and on").await;
    watch.inspect_socket(&mut socket).await;
    assert_eq!(socket.heard().await, []);
    watch.ends_changed().await;
}

/// What a socket from a page of this origin is told that shows this token.
async fn socket_from(server: &ServerProcess, origin: &str, token: &str) -> String {
    let path = "/socket.io/?EIO=4&transport=polling";
    let headers = [("origin", origin)];
    let opened = server.wire.send("GET", path, &headers, "".into()).await;
    if opened.status != 200 {
        assert_eq!(opened.header("access-control-allow-origin"), "", "{origin}");
        return opened.status.to_string();
    }
    let greeting: Value = serde_json::from_str(&opened.text()[1..]).unwrap();
    let path = format!("{path}&sid={}", greeting["sid"].as_str().unwrap());
    let connect = format!("40{}", json!({"token": token}));
    server.wire.send("POST", &path, &headers, connect.into()).await.expect(200);
    loop {
        let came = server.wire.send("GET", &path, &headers, "".into()).await.expect(200).text();
        // A heartbeat may be first.
        if came != "2" {
            return came;
        }
        server.wire.send("POST", &path, &headers, "3".into()).await.expect(200);
    }
}

#[tokio::test]
async fn only_pages_of_the_list_have_the_widget() {
    let (site, app, evil) = ("https://www.example", "https://app.example", "https://evil.example");
    let world = World::with(&[("WIDGET_ORIGINS", site), ("CORS_ORIGIN", app)]).await;
    let wire = &world.server.wire;
    let (v1, _) = visitor(wire, json!({})).await;
    let bearer = format!("Bearer {}", v1.token);
    for (origin, allowed) in
        [(site, true), (app, false), (evil, false), ("null", false), ("https://www.example.evil.test", false)]
    {
        let from = [("origin", origin), ("content-type", "application/json")];
        let visit = wire.send("POST", "/api/widget/session", &from, "{}".into()).await;
        assert_eq!(visit.status, if allowed { 200 } else { 403 }, "{origin}");
        let reflected = visit.header("access-control-allow-origin");
        assert_eq!(reflected, if allowed { origin } else { "" });
        // With a visitor's token other routes, too.
        let from = [("origin", origin), ("authorization", &*bearer)];
        let list = wire.send("GET", "/api/conversations", &from, "".into()).await;
        assert_eq!(list.status, if allowed { 200 } else { 403 }, "{origin}");
        let said = socket_from(&world.server, origin, &v1.token).await;
        assert_eq!(said.contains("\"sid\""), allowed, "{origin}: {said}");
        assert!(allowed || said == "403" || said.contains("Origin not allowed"), "{origin}: {said}");
    }
    // Those who log in have pages of their own.
    assert!(socket_from(&world.server, app, &world.c1.token).await.contains("\"sid\""));
    let foreign = socket_from(&world.server, site, &world.c1.token).await;
    assert!(foreign.contains("Origin not allowed"), "{foreign}");
    // Control: without a list of its own the widget is for the pages of the other one.
    let plain = ServerProcess::start_with(&Database::new(), &[("CORS_ORIGIN", app)]).await;
    let from = [("origin", app), ("content-type", "application/json")];
    plain.wire.send("POST", "/api/widget/session", &from, "{}".into()).await.expect(200);
    world.assert_well().await;
}

#[tokio::test]
async fn six_conversations_an_hour_come_from_one_address() {
    let server = ServerProcess::start_with(&Database::new(), &[("RATE_LIMIT_VISITS", "6/1h")]).await;
    let mut answers = Vec::new();
    for _ in 0..50 {
        let (visitor, _) = visitor(&server.wire, json!({})).await;
        answers.push((visitor.post_nothing("/api/widget/conversation").await, visitor));
    }
    let statuses: Vec<u16> = answers.iter().map(|(answer, _)| answer.status).collect();
    assert_eq!(statuses, [vec![201; 6], vec![429; 44]].concat());
    let (refused, _) = &answers[49];
    assert_eq!(refused.code(), "rate_limited");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    assert_eq!(server.database().rows("conversations").await, 6);
    // Who has one still has it.
    let (_, first) = &answers[0];
    first.post_nothing("/api/widget/conversation").await.expect(200);
    // Control: where nothing is counted all have one.
    let free = ServerProcess::start(&Database::new()).await;
    for _ in 0..8 {
        let (visitor, _) = visitor(&free.wire, json!({})).await;
        visitor.post_nothing("/api/widget/conversation").await.expect(201);
    }
}

#[tokio::test]
async fn the_next_one_at_a_shared_computer_finds_nothing_of_the_last() {
    let world = World::with(&PROVEN[..1]).await;
    let wire = &world.server.wire;
    let (anonymous, token) = visitor(wire, json!({})).await;
    let own = conversation(&anonymous).await;
    anonymous.says(&own, "before it was known who I am").await;
    let (ann, kept) = visitor(wire, json!({"visitorToken": token, "identity": proof_of("ann")})).await;
    assert_eq!(conversation(&ann).await, own, "it is carried over");
    ann.says(&own, "the number of my card").await;
    assert_eq!(kept, token);

    // The page has forgotten the token, as it should; or it has not.
    for body in [json!({}), json!({"visitorToken": token})] {
        let visited = session(wire, body.clone()).await.expect(200).json();
        assert_eq!(visited["conversation"], Value::Null, "{body}");
        let next = Person::visiting(wire.clone(), &visited);
        assert_ne!(next.id, ann.id);
        let list = next.get("/api/conversations").await.expect(200).json();
        assert_eq!(list["conversations"], json!([]), "{body}");
        assert_eq!(next.get(format!("/api/messages/{own}")).await.status, 404);
    }
    // Nor does the token open to the next one by name what is the last one's.
    let (bob, _) = visitor(wire, json!({"visitorToken": token, "identity": proof_of("bob")})).await;
    assert_eq!(bob.get(format!("/api/messages/{own}")).await.status, 404);
    assert_eq!(anonymous.get(format!("/api/messages/{own}")).await.status, 404, "the token of before");
    // Control: it is all there for her, wherever she comes from, and it is she who said it.
    let (elsewhere, _) = visitor(wire, json!({"identity": proof_of("ann")})).await;
    let all = said(&elsewhere, &own).await;
    assert_eq!(all[1..], ["before it was known who I am", "the number of my card"]);
    let history = elsewhere.get(format!("/api/messages/{own}")).await.json();
    assert_eq!(history["messages"][1]["sender"]["id"], ann.id);
    world.assert_well().await;
}

#[tokio::test]
async fn whoever_is_disabled_gets_nobodys_conversation_and_loses_theirs_to_nobody() {
    let server = ServerProcess::start_with(&Database::new(), &PROVEN[..1]).await;
    let (wire, admin) = (&server.wire, server.admin("admin").await);
    let disable = async |person: &Person| {
        admin.patch(format!("/api/users/{}", person.id), json!({"disabled": true})).await.expect(200);
    };
    let (ann, _) = visitor(wire, json!({"identity": proof_of("ann")})).await;
    disable(&ann).await;
    let (nameless, token) = visitor(wire, json!({})).await;
    let own = conversation(&nameless).await;
    let as_ann = json!({"visitorToken": token["visitorToken"], "identity": proof_of("ann")});
    assert_eq!(session(wire, as_ann).await.status, 401);
    nameless.says(&own, "still mine").await;

    disable(&nameless).await;
    let as_bob = json!({"visitorToken": token["visitorToken"], "identity": proof_of("bob")});
    let (bob, visited) = visitor(wire, as_bob).await;
    assert_eq!(visited["conversation"], Value::Null);
    assert_eq!(bob.get(format!("/api/messages/{own}")).await.status, 404);
}

#[tokio::test]
async fn other_tabs_go_on_hearing_what_was_not_carried_over() {
    let server = ServerProcess::start_with(&Database::new(), &PROVEN[..1]).await;
    let (wire, agent) = (&server.wire, server.agent("agent").await);
    // By their name they have an open one already.
    conversation(&visitor(wire, json!({"identity": proof_of("ann")})).await.0).await;
    let (nameless, token) = visitor(wire, json!({})).await;
    let own = conversation(&nameless).await;
    let mut other_tab = server.socket(&nameless).await;
    other_tab.must("conversation:join", own.clone()).await;
    visitor(wire, json!({"visitorToken": token["visitorToken"], "identity": proof_of("ann")})).await;
    agent.post_nothing(format!("/api/inbox/{own}/claim")).await.expect(200);
    agent.says(&own, "can I help?").await;
    assert_eq!(other_tab.next("message:new").await["content"], "can I help?");
}

#[tokio::test]
async fn there_are_no_routes_for_bots_and_webhooks() {
    let world = World::new().await;
    let watch = world.watch_stranger().await;
    for path in [
        "/ai-agent/trigger",
        "/api/ai-agent/trigger",
        "/webhook",
        "/api/webhook",
        "/api/widget/message",
        "/api/widget/auth",
        "/api/widget/webhook",
        "/widget/message",
    ] {
        for headers in [&[][..], &[("x-signature", "sha256=00")], &[("x-hub-signature-256", "sha256=00")]] {
            let body = json!({"visitorId": world.c1.id, "content": "x"}).to_string();
            let headers = [headers, &[("content-type", "application/json")]].concat();
            let answer = watch.send_with("POST", path, &headers, body).await;
            assert!([401, 404, 405].contains(&answer.status), "{path}: {}", answer.text());
        }
    }
    watch.assert_unchanged().await;
    watch.ends().await;
}
