//! The end of an access token: the warning, the way on with another one, and the closing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Bytes;
use priyo_core::auth::Authenticator;
use priyo_core::model::{Clock, Timestamp, User, UserId};
use priyo_core::{Caller, Error, Limits};
use priyo_server::listen::Listen;
use priyo_tests::{Mounted, Person, Polling, Served, Site, Socket, assert_keys};
use serde_json::{Value, json};

use crate::within;

const WARNING: Duration = Duration::from_millis(800);
const GRACE: Duration = Duration::from_millis(600);
/// How late a closing may come on a machine that is busy with other tests.
const LATE: Duration = Duration::from_secs(2);

/// A server on which all that takes a minute takes less than a second.
async fn hasty() -> Mounted {
    Mounted::start(Served::Guarded(Listen::default()), limits()).await
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.token_warning, limits.token_grace) = (WARNING, GRACE);
    limits
}

fn now() -> Timestamp {
    Clock::system().now()
}

/// A person's access token that expires so many seconds from now, counted from the second that has begun; and when
/// that is.
fn token(of: &Person, seconds: i64) -> (String, Timestamp) {
    let ends = now().as_secs() + seconds;
    (of.claims(now()).claim("exp", ends).sign(), Timestamp::from_millis(ends * 1_000))
}

/// A live connection with a token that expires soon; and when it does.
async fn short_lived(site: &Site, of: &Person) -> (Socket, Timestamp) {
    let (token, ends) = token(of, 3);
    (site.socket(&of.with_token(token)).await, ends)
}

/// The server's and this process's clocks are one, but a timer counts whole milliseconds.
const TICK: Duration = Duration::from_millis(5);

#[tokio::test]
async fn a_socket_is_warned_before_its_token_expires_works_on_and_is_closed_after_it() {
    let server = hasty().await;
    let (alice, bob) = (server.customer("alice").await, server.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    let mut at_bob = server.socket(&bob).await;
    let (mut socket, ends) = short_lived(&server, &alice).await;
    at_bob.next("user:status").await;

    let warning = socket.next("auth:expiring").await;

    assert_keys(&warning, &["expiresIn"]);
    assert!(warning["expiresIn"].as_u64().unwrap() <= 1, "{warning}");
    let left = ends.since(now());
    assert!(left <= WARNING + TICK && left > Duration::ZERO, "{left:?}");
    let (mut answered, mut is_refused) = (now(), false);
    let say = json!({"conversationId": conversation, "content": "still here"});
    loop {
        let number = socket.emit_asking("message:send", say.clone()).await;
        let Some(answer) = socket.try_ack(number).await else { break };
        if answer["ok"] == true {
            assert!(!is_refused, "whoever was refused once is not served again");
            answered = now();
        } else {
            // Its end has begun. From then on nothing is done for it; that it is told so while the transport is being
            // closed is better than a silence that would look like a lost acknowledgement.
            is_refused = true;
            assert_eq!(answer["error"]["code"], "invalid_token", "{answer}");
            assert!(now().after(TICK) >= ends.after(GRACE), "{answer}");
        }
    }
    let closed = now();
    assert!(answered >= ends, "it worked until it was closed");
    assert!(closed.after(TICK) >= ends.after(GRACE), "not before {:?}", ends.after(GRACE));
    assert!(closed.since(ends) < GRACE + LATE);
    assert!(!socket.was_told_to_go(), "the transport ends, not the namespace");
    assert_eq!(at_bob.next_by("user:status", within(2)).await["isOnline"], false);
    assert_eq!(socket.kept("auth:expiring"), 0, "it is warned once");
}

#[tokio::test]
async fn who_comes_back_with_a_fresh_token_has_missed_nothing() {
    let server = hasty().await;
    let (alice, bob) = (server.customer("alice").await, server.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    let (mut socket, _) = short_lived(&server, &bob).await;
    socket.must("conversation:join", conversation.clone()).await;
    alice.says(&conversation, "one").await;
    assert_eq!(socket.next("message:new").await["seq"], 1);
    assert!(socket.ends_by(within(5)).await);
    alice.says(&conversation, "two").await;

    let mut again = server.socket(&bob.with_token(token(&bob, 900).0)).await;
    let joined = again.must("conversation:join", json!({"conversationId": conversation, "after": 1})).await;

    assert_eq!((&joined["messages"][0]["content"], &joined["hasMore"]), (&json!("two"), &json!(false)));
    alice.says(&conversation, "three").await;
    assert_eq!(again.next("message:new").await["seq"], 3);
}

#[tokio::test]
async fn a_socket_goes_on_with_each_fresh_token() {
    let server = hasty().await;
    let (alice, bob) = (server.customer("alice").await, server.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    let (mut socket, _) = short_lived(&server, &alice).await;
    socket.must("conversation:join", conversation.clone()).await;
    for _ in 0..2 {
        socket.next("auth:expiring").await;
        let answer = socket.must("auth:refresh", json!({"token": token(&alice, 2).0})).await;
        assert_keys(&answer, &["ok", "expiresIn"]);
        assert!((1..=2).contains(&answer["expiresIn"].as_u64().unwrap()), "{answer}");
    }
    // The control: one that stays as it is.
    let (mut other, _) = short_lived(&server, &alice).await;
    socket.next("auth:expiring").await;
    let answer = socket.must("auth:refresh", json!({"token": token(&alice, 900).0})).await;
    assert!((899..=900).contains(&answer["expiresIn"].as_u64().unwrap()), "{answer}");

    assert!(other.ends_by(within(5)).await);

    bob.says(&conversation, "hello").await;
    assert_eq!(socket.next("message:new").await["content"], "hello");
    assert_eq!(socket.kept("auth:expiring"), 0, "it is warned of the token that it has");
    // Also one that is expired already, as long as it lives.
    let (mut late, ends) = short_lived(&server, &alice).await;
    late.next("auth:expiring").await;
    while now() < ends {
        late.must("typing:stop", json!({"conversationId": conversation})).await;
    }
    late.must("auth:refresh", json!({"token": token(&alice, 900).0})).await;
}

#[tokio::test]
async fn a_token_of_another_session_or_user_does_not_do_and_neither_does_a_bad_one() {
    let server = hasty().await;
    let (alice, bob) = (server.customer("alice").await, server.customer("bob").await);
    let phone = server.another_device(&alice).await;
    let ended = server.another_device(&alice).await;
    ended.post_nothing("/api/auth/logout").await.expect(200);
    let (mut socket, ends) = short_lived(&server, &alice).await;
    let expired = alice.claims(now()).claim("exp", now().as_secs() - 6).sign();
    for (token, code) in [
        (&phone.token, "forbidden"),
        (&bob.token, "forbidden"),
        (&ended.token, "invalid_token"),
        (&expired, "invalid_token"),
        (&alice.refresh_token, "invalid_token"),
        (&"junk".to_owned(), "invalid_token"),
        (&String::new(), "invalid_token"),
        (&"a".repeat(30_000), "invalid_token"),
    ] {
        assert_eq!(socket.refused("auth:refresh", json!({ "token": token })).await, code, "{token:.80}");
    }
    // It still has the token that it came with, and nothing more.
    assert_eq!(socket.ask("sync", json!({"conversations": {}})).await["ok"], true);
    assert!(socket.ends_by(within(5)).await);
    assert!(now().after(TICK) >= ends.after(GRACE));
}

#[tokio::test]
async fn a_polling_client_is_warned_and_its_session_ended_without_a_word() {
    let server = hasty().await;
    let (alice, bob) = (server.customer("alice").await, server.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    let mut at_bob = server.socket(&bob).await;
    let (token, ends) = token(&alice, 3);
    let mut client = Polling::connect(server.wire.clone(), &token).await;
    at_bob.next("user:status").await;
    client.event("auth:expiring").await;

    // As a client does, it polls until that is refused: then it opens a session of its own accord.
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", client.sid());
    let mut polled = String::new();
    let status = loop {
        let answer = server.wire.send("GET", &path, &[], Bytes::new()).await;
        if answer.status != 200 {
            break answer.status;
        }
        polled.push_str(&answer.text());
    };

    let closed = now();
    assert_eq!(status, 400);
    assert!(closed.after(TICK) >= ends.after(GRACE) && closed.since(ends) < GRACE + LATE);
    assert!(!polled.contains("41"), "it is not taken out of the namespace: {polled}");
    assert_eq!(at_bob.next_by("user:status", within(2)).await["isOnline"], false);
    let send = format!("42{}", json!(["message:send", {"conversationId": conversation, "content": "ghost"}]));
    client.send(&send).await.expect(400);
    assert_eq!(alice.history(&conversation).await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_polling_client_goes_on_with_a_fresh_token() {
    let server = hasty().await;
    let alice = server.customer("alice").await;
    let mut client = Polling::connect(server.wire.clone(), &token(&alice, 3).0).await;
    client.event("auth:expiring").await;
    assert_eq!(client.ask("auth:refresh", json!({"token": token(&alice, 900).0})).await["ok"], true);
    let (mut other, _) = short_lived(&server, &alice).await;
    assert!(other.ends_by(within(5)).await);
    assert_eq!(client.ask("sync", json!({"conversations": {}})).await["ok"], true);
}

#[tokio::test]
async fn a_polling_client_that_was_logged_out_has_no_session_left() {
    let server = hasty().await;
    let alice = server.customer("alice").await;
    let mut client = Polling::connect(server.wire.clone(), &alice.token).await;

    alice.post_nothing("/api/auth/logout").await.expect(200);

    assert_eq!(client.next().await, "41", "it is told, and does not come back by itself");
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", client.sid());
    // What may still come is the packet that releases a request that waits.
    let mut answer = server.wire.send("GET", &path, &[], Bytes::new()).await;
    if answer.status == 200 {
        answer = server.wire.send("GET", &path, &[], Bytes::new()).await;
    }
    assert_eq!(answer.status, 400);
}

/// A host program's own login: a badge is a user and perhaps an end.
#[derive(Debug, Default)]
struct Badges(Mutex<HashMap<String, Caller>>);

impl Badges {
    fn give(&self, badge: &str, to: &Person, ends: Option<Timestamp>) {
        let user = User {
            id: UserId::from_client(&to.id),
            external_id: None,
            email: None,
            username: to.name.clone(),
            avatar: None,
            role: to.role,
            disabled: false,
            created_at: now(),
            last_seen: None,
        };
        let caller = Caller { expires_at: ends, ..Caller::new(&user) };
        self.0.lock().unwrap().insert(badge.to_owned(), caller);
    }
}

#[async_trait]
impl Authenticator for Badges {
    async fn authenticate(&self, token: &str) -> priyo_core::Result<Caller> {
        self.0.lock().unwrap().get(token).cloned().ok_or(Error::InvalidToken)
    }

    /// As a host may: by the token that it gave.
    async fn recheck(&self, caller: &Caller) -> priyo_core::Result<Caller> {
        let is_over = caller.expires_at.is_some_and(|ends| ends <= now());
        if is_over { Err(Error::InvalidToken) } else { Ok(caller.clone()) }
    }
}

#[tokio::test]
async fn a_hosts_token_without_an_end_is_not_watched_and_one_with_an_end_is() {
    let badges = Arc::new(Badges::default());
    let server = Mounted::start_for(Served::Guarded(Listen::default()), limits(), badges.clone()).await;
    let (alice, bob) = (server.customer("alice").await, server.customer("bob").await);
    badges.give("alice", &alice, None);
    badges.give("bob", &bob, None);
    badges.give("alice for a moment", &alice, Some(now().after(Duration::from_secs(1))));
    badges.give("alice for an hour", &alice, Some(now().after(Duration::from_hours(1))));
    let mut for_ever = server.socket(&alice.with_token("alice")).await;
    let mut short = server.socket(&alice.with_token("alice for a moment")).await;
    let mut renewed = server.socket(&alice.with_token("alice for a moment")).await;
    renewed.next("auth:expiring").await;
    assert_eq!(renewed.refused("auth:refresh", json!({"token": "bob"})).await, "forbidden");
    let answer = renewed.must("auth:refresh", json!({"token": "alice for an hour"})).await;
    assert!((3_599..=3_600).contains(&answer["expiresIn"].as_u64().unwrap()), "{answer}");

    short.next("auth:expiring").await;
    assert!(short.ends_by(within(5)).await);

    assert_eq!(for_ever.heard().await, []);
    renewed.must("sync", json!({"conversations": {}})).await;
    let answer = renewed.must("auth:refresh", json!({"token": "alice"})).await;
    assert_eq!(answer["expiresIn"], Value::Null);
}
