//! A client that stops reading loses its access like any other. That it is ended at all is in the fault tests.

use std::net::SocketAddr;

use futures_util::future::join_all;
use priyo_tests::{Person, Site, Socket, TestServer};
use serde_json::{Value, json};

use crate::within;

/// Enough large messages to fill every buffer of the system between the two.
const MESSAGES: usize = 700;

/// 15 kB.
fn large() -> String {
    "€".repeat(5_000)
}

/// Opens a socket with hardly any room for what comes in.
async fn narrow(addr: SocketAddr, auth: Value) -> Socket {
    let mut socket = Socket::open(addr, Some(4_096)).await;
    socket.send_text(&format!("40{auth}")).await;
    socket.welcome().await.unwrap();
    socket
}

/// Joins a conversation and then reads nothing any more.
async fn stalled(site: &Site, person: &Person, group: &str) -> Socket {
    let mut socket = narrow(site.addr, json!({"token": person.token})).await;
    socket.must("conversation:join", group.to_owned()).await;
    socket
}

async fn says_much(person: &Person, group: &str) {
    let text = large();
    let some = async |count: usize| {
        for _ in 0..count {
            person.says(group, &text).await;
        }
    };
    join_all((0..10).map(|_| some(MESSAGES / 10))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logging_out_ends_a_client_that_does_not_read() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.customer("alice").await, server.customer("bob").await);
    let group = alice.starts_group_with(&[&bob]).await;
    let mut at_alice = server.socket(&alice).await;
    let stuck = stalled(&server, &bob, &group).await;
    at_alice.next("user:status").await;
    says_much(&alice, &group).await;

    bob.post_nothing("/api/auth/logout").await.expect(200);

    let offline = at_alice.next_by("user:status", within(5)).await;
    assert_eq!((&offline["userId"], &offline["isOnline"]), (&json!(bob.id), &json!(false)));
    drop(stuck);
}
