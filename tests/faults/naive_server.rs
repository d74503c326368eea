//! A chat whose handlers are as one writes them for socketioxide: a payload is taken for a good one, and an event that
//! is not known falls to the ground.
//!
//! Takes the path of a database, prints the address that it listens on, and serves until it is killed.

#![allow(clippy::unwrap_used, reason = "the test that started it must notice, and so it is written")]

use std::net::Ipv4Addr;

use priyo_core::model::NewMessage;
use priyo_core::model::fields::Unknown;
use priyo_core::storage::sqlite::SqliteOptions;
use priyo_core::transport::rest;
use priyo_core::{Accounts, ChatEngine};
use priyo_tests::{ACCESS_SECRET, REFRESH_SECRET};
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use tokio::net::TcpListener;

fn main() {
    let database = std::env::args_os().nth(1).unwrap();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let storage = SqliteOptions::default().open(database).unwrap();
        let accounts = Accounts::new(ACCESS_SECRET, REFRESH_SECRET);
        let engine = ChatEngine::builder(storage, accounts).build().await.unwrap();
        let (layer, io) = SocketIo::new_layer();
        let of_sockets = engine.clone();
        io.ns("/", async move |socket: SocketRef, Data(auth): Data<Value>| {
            let engine = of_sockets.clone();
            let caller = engine.authenticate(auth["token"].as_str().unwrap()).await.unwrap();
            socket.on("message:send", async move |Data(payload): Data<Value>, ack: AckSender| {
                let new = NewMessage::parse(payload, Unknown::Ignore).unwrap();
                engine.send_message(&caller, new).await.unwrap();
                ack.send(&json!({"ok": true})).unwrap();
            });
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        axum::serve(listener, rest::router(engine).layer(layer)).await.unwrap();
    });
}
