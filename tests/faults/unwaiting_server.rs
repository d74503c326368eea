//! A chat whose commits do not wait for the disk: what a power cut must be able to hurt.
//!
//! Takes the path of a database, prints the address that it listens on, and serves until it is killed.

#![allow(clippy::unwrap_used, reason = "the test that started it must notice")]

use std::net::Ipv4Addr;
use std::sync::Arc;

use priyo_core::storage::sqlite::{Durability, SqliteOptions};
use priyo_core::transport::socketio::SocketIoTransport;
use priyo_core::{Accounts, ChatEngine};
use priyo_tests::{ACCESS_SECRET, REFRESH_SECRET, uncounted};
use tokio::net::TcpListener;

fn main() {
    let database = std::env::args_os().nth(1).unwrap();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let storage = SqliteOptions::default().durability(Durability::Normal).open(database).unwrap();
        let sockets = SocketIoTransport::default();
        let engine = ChatEngine::builder(storage, Accounts::new(ACCESS_SECRET, REFRESH_SECRET))
            .limits(uncounted())
            .transport(Arc::new(sockets.clone()))
            .build()
            .await
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        axum::serve(listener, priyo_core::router(&engine, &sockets)).await.unwrap();
    });
}
