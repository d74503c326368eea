//! How often a client may do what, over REST: whom it is counted for, what is said of it, and when it is forgiven.

use std::time::Duration;

use axum::body::Bytes;
use priyo_core::Rates;
use priyo_core::rates::{Action, Rate};
use priyo_tests::{Answer, Person, Settings, TestApp, TestServer, Wire, assert_keys};
use serde_json::{Value, json};

/// A chat where only these are counted.
async fn counting(rates: &[(Action, &str)]) -> TestApp {
    let mut only = Rates::off();
    for (action, rate) in rates {
        only.set(*action, Some(Rate::parse(rate).unwrap()));
    }
    TestApp::with(Settings { rates: only, ..Settings::default() }).await
}

/// A chat with the rates that are shipped.
async fn as_shipped() -> TestApp {
    TestApp::with(Settings { rates: Rates::default(), ..Settings::default() }).await
}

async fn post(wire: &Wire, path: &str, body: &Value) -> Answer {
    wire.send("POST", path, &[("content-type", "application/json")], body.to_string().into()).await
}

async fn logs_in(wire: &Wire, email: &str, password: &str) -> Answer {
    post(wire, "/api/auth/login", &json!({"email": email, "password": password})).await
}

async fn registers(wire: &Wire, name: &str) -> Answer {
    let body = json!({"email": format!("{name}@example.com"), "username": name, "password": "correct horse"});
    post(wire, "/api/auth/register", &body).await
}

/// Limit, remaining and reset, as the headers say it.
#[track_caller]
fn said(answer: &Answer) -> [u64; 3] {
    ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"]
        .map(|name| answer.header(name).parse().unwrap_or_else(|_| panic!("{name}: {answer:?}")))
}

/// Fails unless an answer says that there were too many; gives how many seconds to wait.
#[track_caller]
fn waits(answer: &Answer) -> u64 {
    let body = answer.json();
    assert_eq!(answer.refusal(), (429, "rate_limited".to_owned()));
    assert_keys(&body, &["error", "code", "requestId", "retryAfter"]);
    assert_eq!(answer.error(), "Too many requests, please try again later");
    assert_eq!(answer.header("retry-after"), body["retryAfter"].to_string());
    assert_eq!(said(answer)[1], 0);
    body["retryAfter"].as_u64().unwrap()
}

/// A request of a person.
async fn me(person: &Person) -> Answer {
    person.get("/api/auth/me").await
}

/// The same person at an address.
fn at(app: &TestApp, person: &Person, address: &str) -> Person {
    Person { wire: app.wire_from(address), ..person.clone() }
}

#[test]
fn the_rates_are_those_of_the_contract() {
    let rates = Rates::default();
    let is = |action, burst, every_ms| {
        let rate = rates.of(action).unwrap();
        assert_eq!((rate.burst(), rate.every()), (burst, Duration::from_millis(every_ms)), "{action:?}");
    };
    is(Action::Request, 2_000, 450);
    is(Action::Login, 10, 90_000);
    is(Action::LoginFrom, 30, 2_000);
    is(Action::Register, 5, 12_000);
    is(Action::Converse, 30, 120_000);
    is(Action::Visit, 6, 600_000);
    is(Action::Upload, 60, 60_000);
    is(Action::Send, 60, 200);
    is(Action::Typing, 1, 2_000);
}

#[tokio::test]
async fn requests_are_counted_for_the_user_wherever_they_come_from() {
    let app = counting(&[(Action::Request, "3/3m")]).await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let (here, there) = (at(&app, &alice, "192.0.2.1"), at(&app, &alice, "192.0.2.2"));

    assert_eq!(said(&me(&here).await.expect(200)), [3, 2, 60]);
    assert_eq!(said(&me(&there).await.expect(200)), [3, 1, 120]);
    // What is refused for another reason counts, and says so too.
    assert_eq!(said(&here.get("/api/nothing").await.expect(404)), [3, 0, 180]);
    assert_eq!(waits(&me(&there).await), 60);
    // Who waits as long as they are told is served, once.
    app.passes(Duration::from_secs(60));
    me(&here).await.expect(200);
    assert_eq!(waits(&me(&here).await), 60);
    // Nobody else is held to it.
    me(&at(&app, &bob, "192.0.2.1")).await.expect(200);
}

#[tokio::test]
async fn who_is_not_signed_in_is_counted_by_address_and_an_ipv6_network_is_one() {
    let app = counting(&[(Action::Request, "2/2m")]).await;
    let asks = async |address: &str, token: &str| {
        let headers = [("authorization", token)];
        app.wire_from(address).send("GET", "/api/auth/me", &headers, Bytes::new()).await
    };
    asks("2001:db8::1", "Bearer x").await.expect(401);
    asks("2001:db8::ffff", "Basic x").await.expect(401);
    // Before who it is, which is the same for all.
    assert_eq!(waits(&asks("2001:db8::2", "Bearer y").await), 60);
    asks("2001:db8:0:1::1", "Bearer x").await.expect(401);
    asks("192.0.2.1", "Bearer x").await.expect(401);
    // A user of that network is not held to what strangers there did.
    let alice = app.customer("alice").await;
    me(&at(&app, &alice, "2001:db8::1")).await.expect(200);
}

#[tokio::test]
async fn what_machines_and_pictures_ask_for_is_not_counted() {
    let app = counting(&[(Action::Request, "1/1h")]).await;
    let wire = app.wire_from("192.0.2.1");
    let ask = async |path: &str| wire.send("GET", path, &[], Bytes::new()).await;
    for (path, status) in [("/health", 200), ("/api/health", 200), ("/ready", 200), ("/uploads/x.png", 401)] {
        for _ in 0..3 {
            let answer = ask(path).await.expect(status);
            assert_eq!(answer.header("ratelimit-limit"), "", "{path}");
        }
    }
    // Control.
    ask("/api/conversations").await.expect(401);
    waits(&ask("/api/conversations/").await);
}

#[tokio::test]
async fn where_nothing_is_counted_nothing_is_said_of_it() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    for _ in 0..100 {
        assert_eq!(me(&alice).await.expect(200).header("ratelimit-limit"), "");
    }
}

#[tokio::test]
async fn ten_wrong_passwords_are_enough_and_the_right_one_must_wait_too() {
    let app = as_shipped().await;
    let (wire, email) = (app.wire_from("127.0.0.2"), "alice@example.com");
    let tokens = registers(&wire, "alice").await.expect(201).json()["tokens"].take();
    let alice = Person { token: tokens["accessToken"].as_str().unwrap().into(), ..app.customer("x").await };
    for guess in 0..10 {
        // Another spelling is the same account.
        let email = if guess % 2 == 0 { email } else { "ALICE@Example.com" };
        assert_eq!(logs_in(&wire, email, "wrong").await.code(), "invalid_credentials", "{guess}");
    }
    for _ in 0..9 {
        assert_eq!(waits(&logs_in(&wire, email, "wrong").await), 90);
    }
    assert_eq!(waits(&logs_in(&wire, email, "correct horse").await), 90);

    // Elsewhere its owner notices nothing, and is still signed in.
    logs_in(&app.wire_from("127.0.0.3"), email, "correct horse").await.expect(200);
    me(&alice).await.expect(200);
    // Another account is not held to it.
    assert_eq!(logs_in(&wire, "bob@example.com", "wrong").await.code(), "invalid_credentials");

    app.passes(Duration::from_secs(15 * 60));
    logs_in(&wire, email, "correct horse").await.expect(200);
}

#[tokio::test]
async fn one_password_for_many_accounts_is_tried_thirty_times_from_one_address() {
    let app = as_shipped().await;
    let (wire, mut refused) = (app.wire_from("192.0.2.1"), 0);
    for number in 0..40 {
        let answer = logs_in(&wire, &format!("user-{number}@example.com"), "123456").await;
        refused += u32::from(answer.status == 429);
        assert_eq!(answer.status, if number < 30 { 401 } else { 429 }, "{number}");
    }
    assert_eq!(refused, 10);
    logs_in(&app.wire_from("192.0.2.2"), "user-0@example.com", "123456").await.expect(401);
}

#[tokio::test]
async fn a_login_too_many_costs_no_hashing() {
    let mut settings = Settings { rates: Rates::default(), ..Settings::default() };
    // No room for any: what comes as far as hashing is answered 503.
    (settings.limits.hashing_at_once, settings.limits.hashing_queue) = (1, 0);
    let app = TestApp::with(settings).await;
    let wire = app.wire_from("192.0.2.1");
    let all = (0..40).map(|_| logs_in(&wire, "alice@example.com", "wrong"));
    let statuses: Vec<u16> =
        futures_util::future::join_all(all).await.iter().map(|answer| answer.status).collect();
    let count = |status: u16| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((count(401) + count(503), count(429)), (10, 30), "{statuses:?}");
    assert!(count(503) > 0, "{statuses:?}");
}

#[tokio::test]
async fn without_an_address_logins_share_what_one_address_has_and_no_account_is_locked() {
    let app = as_shipped().await;
    registers(&app.wire, "alice").await.expect(201);
    for _ in 0..20 {
        logs_in(&app.wire, "alice@example.com", "wrong").await.expect(401);
    }
    logs_in(&app.wire, "alice@example.com", "correct horse").await.expect(200);
    for _ in 21..30 {
        logs_in(&app.wire, "bob@example.com", "wrong").await.expect(401);
    }
    waits(&logs_in(&app.wire, "carol@example.com", "wrong").await);
    // Who comes with an address is not held to it.
    logs_in(&app.wire_from("192.0.2.1"), "alice@example.com", "correct horse").await.expect(200);
}

#[tokio::test]
async fn an_address_registers_five_in_a_minute_and_an_administrator_as_many_as_they_like() {
    let app = as_shipped().await;
    let wire = app.wire_from("192.0.2.1");
    registers(&wire, "alice").await.expect(201);
    for _ in 1..5 {
        registers(&wire, "alice").await.expect(409);
    }
    assert_eq!(waits(&registers(&wire, "alice").await), 12);
    waits(&registers(&wire, "bob").await);
    assert_eq!(app.rows("users").await, 1, "nothing was created");
    registers(&app.wire_from("192.0.2.2"), "bob").await.expect(201);

    let root = at(&app, &app.admin("root").await, "192.0.2.1");
    for number in 0..6 {
        let name = format!("agent-{number}");
        let body = json!({"email": format!("{name}@example.com"), "username": name, "password": "correct horse", "role": "AGENT"});
        root.post("/api/auth/register", body).await.expect(201);
    }
    app.passes(Duration::from_secs(12));
    registers(&wire, "carol").await.expect(201);
}

#[tokio::test]
async fn a_user_sends_sixty_at_once_and_then_five_each_second() {
    let app = as_shipped().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let group = alice.starts_group_with(&[&bob]).await;
    let send = async |who: &Person| {
        who.post("/api/messages", json!({"conversationId": group, "content": "hello"})).await
    };
    for _ in 0..60 {
        send(&alice).await.expect(201);
    }
    assert_eq!(waits(&send(&alice).await), 1);
    send(&bob).await.expect(201);
    app.passes(Duration::from_secs(1));
    for _ in 0..5 {
        send(&alice).await.expect(201);
    }
    waits(&send(&alice).await);
    assert_eq!(app.rows("messages").await, 66);
    // What is wrong in itself does not count.
    app.passes(Duration::from_millis(200));
    alice.post("/api/messages", json!({"conversationId": group, "content": ""})).await.expect(400);
    send(&alice).await.expect(201);
}

#[tokio::test]
async fn conversations_uploads_and_marks_are_counted_for_the_user() {
    let rates = [(Action::Converse, "2/1h"), (Action::Upload, "2/1h"), (Action::Read, "2/1h")];
    let app = counting(&rates).await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let group = alice.starts_group_with(&[&bob]).await;
    let id = bob.says(&group, "hello").await["id"].clone();
    alice.starts_group_with(&[]).await;
    let body = json!({"participantIds": [alice.id], "type": "GROUP"});
    assert_eq!(waits(&alice.post("/api/conversations", body.clone()).await), 1_800);
    bob.post("/api/conversations", body).await.expect(201);

    for _ in 0..2 {
        alice.uploads("a.txt", b"a few words").await.expect(200);
    }
    waits(&alice.uploads("a.txt", b"a few words").await);
    assert_eq!(std::fs::read_dir(app.uploads()).unwrap().count(), 2);
    bob.uploads("a.txt", b"a few words").await.expect(200);

    for status in [200, 200, 429] {
        alice.post("/api/messages/read", json!({"messageIds": [id]})).await.expect(status);
    }
}

#[tokio::test]
async fn what_a_client_writes_into_its_headers_gives_it_no_other_address() {
    let server = TestServer::start_with(&[("RATE_LIMITS", "on"), ("RATE_LIMIT_LOGINS_FROM", "3/1h")]).await;
    for number in 0..10 {
        let forged = format!("203.0.113.{number}");
        let mut headers = vec![("content-type", "application/json")];
        for name in ["x-forwarded-for", "x-real-ip", "forwarded", "cf-connecting-ip", "true-client-ip"] {
            headers.push((name, &forged));
        }
        let body = json!({"email": format!("{number}@example.com"), "password": "x"}).to_string();
        let answer = server.wire.send("POST", "/api/auth/login", &headers, body.into()).await;
        assert_eq!(answer.status, if number < 3 { 401 } else { 429 }, "{number}");
    }
    server.stop().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_what_it_added_is_the_address() {
    let settings = [("RATE_LIMITS", "on"), ("RATE_LIMIT_LOGINS_FROM", "1/1h"), ("TRUSTED_PROXIES", "1")];
    let server = TestServer::start_with(&settings).await;
    let login = async |forwarded: &str| {
        let headers = [("content-type", "application/json"), ("x-forwarded-for", forwarded)];
        let body = json!({"email": "a@example.com", "password": "x"}).to_string();
        server.wire.send("POST", "/api/auth/login", &headers, body.into()).await.status
    };
    assert_eq!(login("1.1.1.1, 192.0.2.1").await, 401);
    assert_eq!(login("2.2.2.2, 192.0.2.1").await, 429, "what is in front of it is anybody's word");
    assert_eq!(login("192.0.2.1, 192.0.2.2").await, 401);
    // Of those of whom it says nothing all are one.
    assert_eq!((login("unknown").await, login("_hidden").await), (401, 429));
    server.stop().await;
}

#[tokio::test]
async fn a_host_without_the_servers_accept_loop_is_told_the_peer_by_axum() {
    let app = counting(&[(Action::Request, "1/1h")]).await;
    let Wire::Router(router) = app.wire.clone() else { panic!("it is a router") };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let routes = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
    let from = async |address: [u8; 4]| {
        let client = reqwest::Client::builder().no_proxy().local_address(std::net::IpAddr::from(address));
        let url = format!("http://{addr}/api/auth/me");
        client.build().unwrap().get(url).send().await.unwrap().status().as_u16()
    };
    assert_eq!((from([127, 0, 0, 2]).await, from([127, 0, 0, 2]).await), (401, 429));
    assert_eq!(from([127, 0, 0, 3]).await, 401);
    serving.abort();
}
