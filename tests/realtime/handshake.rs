//! Who is let in.

use priyo_core::model::Clock;
use priyo_tests::{PATIENCE, Polling, Refused, Socket, TestServer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::within;

fn refusal(text: &str) -> Refused {
    Refused(text.to_owned())
}

#[tokio::test]
async fn a_client_without_a_token_is_told_that_one_is_required() {
    let server = TestServer::start().await;
    for auth in [
        None,
        Some(json!({})),
        Some(json!({"token": null})),
        Some(json!({"token": ""})),
        Some(json!({"tokens": "x"})),
    ] {
        let refused = Socket::connect_with(server.addr, auth.clone()).await.unwrap_err();
        assert_eq!(refused, refusal("Authentication token required"), "{auth:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_is_refused_in_the_same_words() {
    let server = TestServer::start().await;
    let alice = server.customer("alice").await;
    let now = Clock::system().now();
    let claims = || alice.claims(now);
    let tokens = [
        json!("junk"),
        json!(5),
        json!([alice.token]),
        json!({"token": alice.token}),
        json!(format!("Bearer {}", alice.token)),
        json!(alice.refresh_token),
        json!(claims().claim("exp", now.as_secs() - 6).sign()),
        json!(claims().claim("aud", "others").sign()),
        json!(claims().secret("another-secret-0123456789abcdefghijklmno").sign()),
        json!(claims().with_header(&json!({"alg": "none"}), "")),
        json!("a".repeat(30_000)),
    ];
    for token in tokens {
        let refused = Socket::connect_with(server.addr, Some(json!({ "token": token }))).await.unwrap_err();
        assert_eq!(refused, refusal("Invalid authentication token"), "{token:.80}");
    }
    alice.post_nothing("/api/auth/logout").await.expect(200);
    assert_eq!(server.try_socket(&alice).await.unwrap_err(), refusal("Invalid authentication token"));
}

#[tokio::test]
async fn a_good_token_of_a_user_who_is_gone_finds_no_user() {
    let server = TestServer::start().await;
    let alice = server.customer("alice").await;
    let claims = alice.claims(Clock::system().now());
    let gone = alice.with_token(claims.claim("sid", "0199a000-0000-7000-8000-000000000000").sign());
    assert_eq!(server.try_socket(&gone).await.unwrap_err(), refusal("User not found"));
}

#[tokio::test]
async fn a_user_has_at_most_twenty_sockets_and_may_come_back_when_one_is_gone() {
    let server = TestServer::start_with(&[("SOCKETS_PER_USER", "20")]).await;
    let (alice, bob) = (server.customer("alice").await, server.customer("bob").await);
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(server.socket(&alice).await);
    }
    assert_eq!(server.try_socket(&alice).await.unwrap_err(), refusal("Too many connections"));
    server.socket(&bob).await;
    sockets.pop().unwrap().hang_up().await;
    let deadline = within(5);
    // The server notices the end of a connection when it does, and nothing tells the client that it has.
    while server.try_socket(&alice).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the place is free again");
    }
}

#[tokio::test]
async fn a_client_that_polls_is_let_in_and_refused_alike() {
    let server = TestServer::start().await;
    let alice = server.customer("alice").await;
    for (auth, text) in
        [("", "Authentication token required"), ("{\"token\":\"junk\"}", "Invalid authentication token")]
    {
        let mut client = Polling::open(server.wire.clone()).await;
        client.send(&format!("40{auth}")).await.expect(200);
        let answer = client.next().await;
        let why: Value = serde_json::from_str(answer.strip_prefix("44").expect("a refusal")).unwrap();
        assert_eq!(why["message"], text);
    }
    let mut client = Polling::connect(server.wire.clone(), &alice.token).await;
    let conversation = alice.starts_group_with(&[]).await;
    let new = client.event("conversation:new").await;
    assert_eq!(new["conversation"]["id"], *conversation);
    assert_eq!(client.ask("conversation:join", conversation.clone()).await["ok"], true);
    alice.says(&conversation, "hello").await;
    assert_eq!(client.event("message:new").await["content"], "hello");
}

#[tokio::test]
async fn a_connection_whose_upgrade_was_refused_does_not_end_with_the_session() {
    let server = TestServer::start().await;
    let alice = server.customer("alice").await;
    let client = Polling::connect(server.wire.clone(), &alice.token).await;
    // As one that a proxy uses for many clients.
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let path = format!("/socket.io/?EIO=4&transport=websocket&sid={}", client.sid());
    ask_plainly(&mut stream, &path, "connection: upgrade\r\nupgrade: websocket\r\n", "HTTP/1.1 400").await;

    alice.post_nothing("/api/auth/logout").await.expect(200);
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", client.sid());
    let deadline = Instant::now() + PATIENCE;
    while server.wire.send("GET", &path, &[], "".into()).await.status == 200 {
        assert!(Instant::now() < deadline, "the session goes on");
    }

    ask_plainly(&mut stream, "/health", "", "HTTP/1.1 200").await;
}

async fn ask_plainly(stream: &mut TcpStream, path: &str, headers: &str, answer: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(answer) {
        let more = timeout(PATIENCE, stream.read_buf(&mut read)).await.expect("an answer").unwrap();
        assert!(more > 0, "hung up after {:?}", String::from_utf8_lossy(&read));
    }
}

#[tokio::test]
async fn a_token_in_the_address_lets_nobody_in() {
    let server = TestServer::start().await;
    let alice = server.customer("alice").await;
    let path = format!("/socket.io/?EIO=4&transport=polling&token={}&auth={}", alice.token, alice.token);
    let opened = server.wire.send("GET", &path, &[], "".into()).await.expect(200).text();
    let greeting: Value = serde_json::from_str(&opened[1..]).unwrap();
    let sid = greeting["sid"].as_str().unwrap();
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={sid}&token={}", alice.token);
    server.wire.send("POST", &path, &[("content-type", "text/plain")], "40".into()).await.expect(200);
    let answer = server.wire.send("GET", &path, &[], "".into()).await.text();
    assert!(answer.contains("Authentication token required"), "{answer}");
}

#[tokio::test]
async fn what_is_sent_the_moment_one_is_let_in_is_answered() {
    let server = TestServer::start().await;
    let alice = server.customer("alice").await;
    let group = alice.starts_group_with(&[]).await;
    for round in 0..20 {
        let mut socket = server.socket(&alice).await;
        let join = format!("420{}", json!(["conversation:join", group]));
        let send = format!("421{}", json!(["message:send", {"conversationId": group, "content": "hi"}]));
        socket.send_burst(&[&join, &send]).await;
        assert_eq!(socket.ack(0).await["ok"], true, "round {round}");
        assert_eq!(socket.ack(1).await["message"]["seq"], round + 1);
        assert_eq!(socket.next("message:new").await["content"], "hi");
        socket.hang_up().await;
    }
}

/// The protocol lets a client speak only once it was let in. One that does not wait is answered or hung up on: it
/// must not wait for an answer that never comes.
#[tokio::test]
async fn an_event_in_the_same_burst_as_the_connect_is_answered_or_ends_the_connection() {
    let server = TestServer::start().await;
    let alice = server.customer("alice").await;
    let group = alice.starts_group_with(&[]).await;
    let mut answered = 0;
    for _ in 0..20 {
        let mut socket = Socket::open(server.addr, None).await;
        let connect = format!("40{}", json!({"token": alice.token}));
        let send = format!("420{}", json!(["message:send", {"conversationId": group, "content": "hi"}]));
        socket.send_burst(&[&connect, &send]).await;
        if let Some(answer) = socket.try_ack(0).await {
            assert_eq!(answer["ok"], true);
            answered += 1;
        }
    }
    assert_eq!(alice.history(&group).await.len(), answered, "stored is answered");
}

#[tokio::test]
async fn pages_of_strangers_cannot_open_a_socket() {
    let server = TestServer::start().await;
    let open = "/socket.io/?EIO=4&transport=polling";
    let own = format!("http://{}", server.addr);
    for (origin, allowed) in [
        (&*own, true),
        ("http://localhost:5173", true),
        ("http://127.0.0.1:8080", true),
        ("http://evil.example", false),
        ("https://localhost.evil.example", false),
        ("null", false),
    ] {
        let answer = server.wire.send("GET", open, &[("origin", origin)], "".into()).await;
        assert_eq!(answer.status == 200, allowed, "{origin}: {}", answer.status);
        let headers = [
            ("origin", origin),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let path = "/socket.io/?EIO=4&transport=websocket";
        let upgrade = server.wire.send("GET", path, &headers, "".into()).await;
        assert_eq!(upgrade.status == 101, allowed, "{origin}: {}", upgrade.status);
    }
}
