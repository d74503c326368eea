//! A chat whose tokens are good for three seconds, so that a client of another language sees the end of many.
//!
//! Prints the address that it listens on, and serves until it is killed.

#![allow(clippy::unwrap_used, reason = "the test that started it must notice")]

use std::time::Duration;

use priyo_core::Limits;
use priyo_server::listen::Listen;
use priyo_tests::{Mounted, Served, accounts};

fn main() {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let (mut limits, mut accounts) = (Limits::default(), accounts());
        accounts.access_ttl = Duration::from_secs(3);
        limits.token_grace = Duration::from_millis(500);
        let server = Mounted::start_for(Served::Guarded(Listen::default()), limits, accounts).await;
        println!("http://{}", server.addr);
        std::future::pending::<()>().await;
    });
}
