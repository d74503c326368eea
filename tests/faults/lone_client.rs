//! One client in a process of its own, to be killed or frozen.
//!
//! Takes the address of a server and an access token, prints a line when it is connected, and answers the server's
//! pings until it is ended.

#![allow(clippy::unwrap_used, reason = "the test that started it must notice")]

use std::net::SocketAddr;

use priyo_tests::{Came, Socket};
use tokio::time::{Duration, Instant};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let addr: SocketAddr = arguments.next().unwrap().parse().unwrap();
    let token = arguments.next().unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut socket = Socket::connect(addr, &token).await.unwrap();
        println!("connected");
        while socket.came_by(Instant::now() + Duration::from_mins(1)).await != Some(Came::End) {}
    });
}
