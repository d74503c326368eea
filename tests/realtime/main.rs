//! The wire of Socket.IO: real clients on a real port.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a surprise must fail the test")]

mod access;
mod accounts;
mod arriving;
mod backlog;
mod bad_input;
mod conversations;
mod expiry;
mod former_agents;
mod handshake;
mod inbox;
mod joining;
#[path = "../../examples/custom_storage/memory/mod.rs"]
mod memory;
mod messages;
mod own_transport;
mod presence;
mod rates;
mod receipts;
mod slow;
mod sync;
mod typing;
mod waiting;

use priyo_tests::{Person, TestServer};
use tokio::time::{Duration, Instant};

/// A server, Alice and Bob, and their direct conversation.
async fn pair() -> (TestServer, Person, Person, String) {
    let server = TestServer::start().await;
    let (alice, bob) = (server.customer("alice").await, server.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    (server, alice, bob, conversation)
}

/// A moment so many seconds from now.
fn within(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}
