//! A restart, after which everybody comes back at once.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use priyo_tests::{Database, PATIENCE, Person, ServerProcess, Socket, may_open};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::chance::is_long;
use crate::measures::Times;

const GROUP: usize = 10;
/// How long until everybody has everything again.
const BACK_WITHIN: Duration = Duration::from_secs(15);
/// What one socket that comes back may ask of the storage: its session, what it missed, and its part of what is asked
/// and written for many at once, who knows whom and who was there and was handed what.
const QUERIES: f64 = 3.0;

/// What the storage was asked for until now.
async fn queries(server: &ServerProcess) -> f64 {
    let read = server.measured(r#"priyo_storage_calls_total{kind="read"}"#).await;
    read + server.measured(r#"priyo_storage_calls_total{kind="write"}"#).await
}

/// Connects as often as it takes, and asks for what was missed; gives that, and the socket.
async fn come_back(addr: SocketAddr, person: &Person, group: &str, after: u64) -> (Vec<Value>, Socket) {
    let deadline = Instant::now() + BACK_WITHIN;
    let mut socket = loop {
        match Socket::try_connect(addr, &person.token, deadline).await {
            Some(connected) => break connected.unwrap(),
            None => assert!(Instant::now() < deadline, "{} does not get in", person.name),
        }
    };
    let answer = socket.must("conversation:join", json!({"conversationId": group, "after": after})).await;
    (answer["messages"].as_array().unwrap().clone(), socket)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_everybody_is_back_with_everything_in_time() {
    let count = if is_long() { 1_000 } else { 300 };
    assert!(may_open(4_000), "this process may not open enough files");
    let database = Database::new();
    let server = ServerProcess::start(&database).await;
    let mut people = server.customers("person", count).await;
    let mut groups = Vec::new();
    for some in people.chunks(GROUP) {
        groups.push(some[0].starts_group_with(&some[1..].iter().collect::<Vec<_>>()).await);
    }
    let sockets: Vec<_> = join_all(
        (0..count).map(|number| come_back(server.addr, &people[number], &groups[number / GROUP], 0)),
    )
    .await;
    assert!(server.terminate(PATIENCE).await.expect("the server stops in time").success());
    drop(sockets);

    let server = ServerProcess::start(&database).await;
    for person in &mut people {
        person.wire = server.wire.clone();
    }
    for (number, group) in groups.iter().enumerate() {
        people[number * GROUP].says(group, "while you were away").await;
    }
    let before = queries(&server).await;
    let begin = Instant::now();
    let returns = (0..count).map(async |number| {
        let (missed, socket) = come_back(server.addr, &people[number], &groups[number / GROUP], 0).await;
        assert_eq!(missed.len(), 1, "{missed:?}");
        (begin.elapsed(), socket)
    });
    let back = join_all(returns).await;
    let took = begin.elapsed();

    let each = (queries(&server).await - before) / f64::from(u32::try_from(count).unwrap());
    let mut times = Times::default();
    back.iter().for_each(|(time, _)| times.note(*time));
    println!("{count} sockets back after {took:.1?} ({times}), {each:.2} queries each");
    assert!(took <= BACK_WITHIN);
    assert!(each <= QUERIES, "{each} queries each");

    // The control: who asks for the list, each history and what is unread, as clients without `after` do, asks for more.
    drop(back);
    let before = queries(&server).await;
    for person in &people[..GROUP] {
        let list = person.get("/api/conversations").await.expect(200).json();
        let group = list["conversations"][0]["id"].as_str().unwrap();
        let socket = come_back(server.addr, person, group, 0).await;
        person.history(group).await;
        person.get("/api/messages/unread/count").await.expect(200);
        drop(socket);
    }
    let each = (queries(&server).await - before) / 10.0;
    assert!(each > QUERIES, "{each} queries each");
}
