//! Strangers who open sockets and never say who they are.

use std::time::Duration;

use axum::body::Bytes;
use priyo_core::Limits;
use priyo_server::listen::Listen;
use priyo_tests::{Polling, Wire};

use crate::mounted::{Mounted, Served};

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";

#[tokio::test]
async fn strangers_hold_only_so_many_sockets_and_for_so_long() {
    let mut limits = Limits::default();
    (limits.unknown_sockets, limits.connect_timeout) = (10, Duration::from_secs(2));
    let site = Mounted::start(Served::Guarded(Listen::default()), limits).await;
    let wire = Wire::http(&format!("http://{}", site.addr));
    let alice = site.customer("alice").await;

    // Who has said who they are takes no place from strangers.
    let mut known = Vec::new();
    for _ in 0..3 {
        known.push(Polling::connect(wire.clone(), &alice.token).await);
    }
    let mut answers = Vec::new();
    for _ in 0..30 {
        answers.push(wire.send("GET", OPEN, &[], Bytes::new()).await.status);
    }
    assert_eq!(answers, [vec![200; 10], vec![503; 20]].concat());

    // Their time runs out, whatever they do, and then others may come.
    loop {
        let answer = wire.send("GET", OPEN, &[], Bytes::new()).await;
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.code(), "overloaded");
        tokio::task::yield_now().await;
    }
}
