//! Access that ends while a connection lives, and what is no access.

use axum::body::Bytes;
use priyo_core::model::Clock;
use priyo_tests::{Polling, Socket};
use serde_json::{Value, json};

use crate::{pair, within};

#[tokio::test]
async fn logging_out_closes_the_sockets_of_this_session_within_a_second() {
    let (server, alice, _, conversation) = pair().await;
    let phone = server.another_device(&alice).await;
    let (mut one, mut other) = (server.socket(&alice).await, server.socket(&alice).await);
    let mut at_phone = server.socket(&phone).await;
    at_phone.must("conversation:join", conversation.clone()).await;
    let polling = Polling::connect(server.wire.clone(), &alice.token).await;

    alice.post_nothing("/api/auth/logout").await.expect(200);
    let deadline = within(1);

    assert!(one.ends_by(deadline).await && other.ends_by(deadline).await);
    let send = format!("42{}", json!(["message:send", {"conversationId": conversation, "content": "ghost"}]));
    polling.send(&send).await;
    phone.says(&conversation, "still here").await;
    assert_eq!(at_phone.next("message:new").await["content"], "still here");
    assert_eq!(phone.history(&conversation).await.len(), 1, "the polling client was gone too");
}

#[tokio::test]
async fn logging_out_everywhere_closes_all_sockets() {
    let (server, alice, bob, _) = pair().await;
    let phone = server.another_device(&alice).await;
    let (mut one, mut other) = (server.socket(&alice).await, server.socket(&phone).await);
    let mut at_bob = server.socket(&bob).await;
    phone.post("/api/auth/logout", json!({"all": true})).await.expect(200);
    let deadline = within(1);
    assert!(one.ends_by(deadline).await && other.ends_by(deadline).await);
    at_bob.heard().await;
}

#[tokio::test]
async fn a_stolen_refresh_token_closes_the_sockets_of_its_session() {
    let (server, alice, _, _) = pair().await;
    let mut socket = server.socket(&alice).await;
    let refresh = async |token: &str| alice.post("/api/auth/refresh", json!({ "refreshToken": token })).await;
    let child = refresh(&alice.refresh_token).await.expect(200).json();
    refresh(child["tokens"]["refreshToken"].as_str().unwrap()).await.expect(200);
    refresh(&alice.refresh_token).await.expect(401);
    assert!(socket.ends_by(within(1)).await);
}

#[tokio::test]
async fn nothing_that_others_see_opens_a_polling_session() {
    let (server, alice, bob, conversation) = pair().await;
    let victim = Polling::connect(server.wire.clone(), &alice.token).await;
    let mut at_bob = server.socket(&bob).await;
    at_bob.must("conversation:join", conversation.clone()).await;
    let message = alice.says(&conversation, "hi").await;
    let answers = bob.get("/api/conversations").await.text() + &bob.get("/api/auth/me").await.text();
    let seen = format!("{:?}{answers}", at_bob.heard().await);
    assert!(!seen.contains(victim.sid()), "nobody else learns a session id");

    let send =
        format!("42{}", json!(["message:send", {"conversationId": conversation, "content": "forged"}]));
    for id in [&*alice.id, &*alice.session, message["id"].as_str().unwrap(), &*conversation, "x", ""] {
        let path = format!("/socket.io/?EIO=4&transport=polling&sid={id}");
        for (method, body) in [("POST", send.clone()), ("GET", String::new())] {
            let headers = [("content-type", "text/plain")];
            let refused = server.wire.send(method, &path, &headers, Bytes::from(body)).await;
            assert!([400, 401, 403].contains(&refused.status), "{method} {id}: {}", refused.status);
        }
    }
    assert_eq!(alice.history(&conversation).await.len(), 1);
}

#[tokio::test]
async fn an_event_before_the_connect_or_in_another_namespace_does_nothing() {
    let (server, alice, _, conversation) = pair().await;
    let argument = json!(["message:send", {"conversationId": conversation, "content": "too early"}]);
    let mut socket = Socket::open(server.addr, None).await;
    if socket.try_send_text(&format!("420{argument}")).await {
        assert!(socket.ends_by(within(12)).await, "who does not connect is not kept");
    }
    let mut socket = Socket::open(server.addr, None).await;
    socket.send_text(&format!("40/admin,{}", json!({"token": alice.token}))).await;
    socket.send_text(&format!("42/admin,0{argument}")).await;
    socket.send_text(&format!("40{}", json!({"token": alice.token}))).await;
    drop(socket);
    assert_eq!(alice.history(&conversation).await, Vec::<Value>::new());
}

#[tokio::test]
async fn an_expired_token_keeps_no_one_from_reading_what_is_theirs_again() {
    let (server, alice, _, conversation) = pair().await;
    let now = Clock::system().now();
    let short = alice.with_token(alice.claims(now).claim("exp", now.as_secs() + 2).sign());
    let mut socket = server.socket(&short).await;
    socket.must("conversation:join", conversation.clone()).await;
    let refreshed = alice.post("/api/auth/refresh", json!({"refreshToken": alice.refresh_token})).await;
    let token = refreshed.expect(200).json()["tokens"]["accessToken"].as_str().unwrap().to_owned();
    let mut again = server.socket(&alice.with_token(token)).await;
    again.must("conversation:join", json!({"conversationId": conversation, "after": 0})).await;
}
