//! A client that stops reading loses its access like any other. That it is ended at all is in the fault tests.

use std::time::Duration;

use futures_util::future::join_all;
use priyo_core::Limits;
use priyo_core::model::Clock;
use priyo_server::listen::Listen;
use priyo_tests::{Mounted, Person, Served, Site, Socket};
use serde_json::json;

use crate::within;

/// Enough large messages to fill every buffer of the system between the two.
const MESSAGES: usize = 700;

/// How long an access may be felt after its end by one that does not read, in seconds.
const PROMPTLY: u64 = 5;

/// A server that does not end a client for not reading, so that only what a test does can.
fn patient() -> Served {
    let mut listen = Listen::default();
    listen.stall_timeout = Duration::from_hours(1);
    Served::Guarded(listen)
}

/// Alice, Bob and their group; Bob listens and reads nothing of what Alice says.
struct Scene {
    server: Mounted,
    alice: Person,
    at_alice: Socket,
    bob: Person,
    stuck: Socket,
    group: String,
}

impl Scene {
    async fn new(served: Served, limits: Limits, bobs_token: impl AsyncFnOnce(&Person) -> String) -> Self {
        let server = Mounted::start(served, limits).await;
        let (alice, bob) = (server.agent("alice").await, server.customer("bob").await);
        let group = alice.starts_group_with(&[&bob]).await;
        let mut at_alice = server.socket(&alice).await;
        let token = bobs_token(&bob).await;
        let stuck = stalled(&server, &token, &group).await;
        at_alice.next("user:status").await;
        says_much(&alice, &group).await;
        Self { server, alice, at_alice, bob, stuck, group }
    }

    async fn with_bob_stuck() -> Self {
        Self::new(patient(), Limits::default(), async |bob| bob.token.clone()).await
    }

    /// Bob is gone for all to see, and so is his connection.
    async fn bob_is_gone(&mut self) {
        let deadline = within(PROMPTLY);
        let offline = self.at_alice.next_by("user:status", deadline).await;
        assert_eq!((&offline["userId"], &offline["isOnline"]), (&json!(self.bob.id), &json!(false)));
        assert!(self.stuck.is_reset_by(deadline).await, "the connection is still open");
    }

    /// What the kernel had for Bob already, and not a word more.
    async fn nothing_of(mut self, secret: &str) {
        assert!(self.stuck.ends_by(within(PROMPTLY)).await);
        let heard = self.stuck.taken();
        assert!(heard.len() < MESSAGES, "he had everything: he was never behind");
        assert!(heard.iter().all(|(_, payload)| payload["content"] != *secret));
    }
}

/// Joins a conversation, with hardly any room for what comes in, and then reads nothing any more.
async fn stalled(site: &Site, token: &str, group: &str) -> Socket {
    let mut socket = Socket::open(site.addr, Some(4_096)).await;
    socket.send_text(&format!("40{}", json!({ "token": token }))).await;
    socket.welcome().await.unwrap();
    socket.must("conversation:join", group.to_owned()).await;
    socket
}

/// 15 kB each.
async fn says_much(person: &Person, group: &str) {
    let text = "\u{20ac}".repeat(5_000);
    let some = async |count: usize| {
        for _ in 0..count {
            person.says(group, &text).await;
        }
    };
    join_all((0..10).map(|_| some(MESSAGES / 10))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logging_out_ends_a_client_that_does_not_read() {
    let mut scene = Scene::with_bob_stuck().await;
    scene.bob.post_nothing("/api/auth/logout").await.expect(200);
    scene.bob_is_gone().await;
    scene.alice.says(&scene.group, "a secret").await;
    scene.nothing_of("a secret").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_refresh_token_ends_a_client_that_does_not_read() {
    let mut scene = Scene::with_bob_stuck().await;
    let refresh =
        async |token: &str| scene.bob.post("/api/auth/refresh", json!({ "refreshToken": token })).await;
    let child = refresh(&scene.bob.refresh_token).await.expect(200).json();
    refresh(child["tokens"]["refreshToken"].as_str().unwrap()).await.expect(200);
    refresh(&scene.bob.refresh_token).await.expect(401);
    scene.bob_is_gone().await;
    scene.alice.says(&scene.group, "a secret").await;
    scene.nothing_of("a secret").await;
}

/// Bob's token ends when this much is said, or soon after.
async fn soon_over(bob: &Person) -> String {
    let now = Clock::system().now();
    bob.claims(now).claim("exp", now.as_secs() + 2).sign()
}

fn hasty() -> Limits {
    let mut limits = Limits::default();
    limits.token_grace = Duration::from_millis(500);
    limits
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_expires_ends_a_client_that_does_not_read() {
    let mut scene = Scene::new(patient(), hasty(), soon_over).await;
    scene.bob_is_gone().await;
    scene.alice.says(&scene.group, "a secret").await;
    scene.nothing_of("a secret").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_accept_loop_is_what_closes_the_connection_of_a_client_that_does_not_read() {
    // The control: the same engine without it. That the client is out of the chat holds there as well.
    let mut scene = Scene::new(Served::Plainly, hasty(), soon_over).await;
    let offline = scene.at_alice.next_by("user:status", within(PROMPTLY)).await;
    assert_eq!((&offline["userId"], &offline["isOnline"]), (&json!(scene.bob.id), &json!(false)));
    assert!(!scene.stuck.is_reset_by(within(1)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_not_read_hears_nothing_that_is_said_after_it_was_taken_out() {
    for is_removed in [false, true] {
        let Scene { server: _server, alice, at_alice: _here, bob, mut stuck, group } =
            Scene::with_bob_stuck().await;
        if is_removed {
            alice.delete(format!("/api/conversations/{group}/participants/{}", bob.id)).await.expect(200);
        } else {
            bob.post_nothing(format!("/api/conversations/{group}/leave")).await.expect(200);
        }
        alice.says(&group, "a secret").await;

        // It reads again: all that was said before is there, and then that it is out.
        let heard = stuck.heard().await;

        let said = heard.iter().filter(|(name, _)| name == "message:new");
        let seqs: Vec<u64> = said.map(|(_, message)| message["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (1..=MESSAGES as u64).collect::<Vec<_>>());
        let (last, payload) = heard.last().unwrap();
        assert_eq!((last.as_str(), &payload["gone"]), ("conversation:updated", &json!(true)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_not_read_can_say_nothing_once_the_conversation_is_closed() {
    let Scene { server: _server, alice, at_alice: _here, mut stuck, group, .. } =
        Scene::with_bob_stuck().await;
    alice.delete(format!("/api/conversations/{group}")).await.expect(200);

    let late =
        stuck.emit_asking("message:send", json!({"conversationId": group, "content": "too late"})).await;

    let answer = stuck.ack(late).await;
    assert_eq!(answer["error"]["code"], "conversation_closed");
    let heard = stuck.taken();
    assert_eq!(heard.iter().filter(|(name, _)| name == "message:new").count(), MESSAGES);
    let (last, payload) = heard.last().unwrap();
    assert_eq!(
        (last.as_str(), &payload["conversation"]["status"]),
        ("conversation:closed", &json!("CLOSED"))
    );
    assert_eq!(alice.history(&group).await.len(), MESSAGES);
}
