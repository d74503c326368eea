//! A client that joins and then never reads again.

use std::time::Duration;

use priyo_core::model::UserId;
use priyo_core::{ChatEngine, Limits};
use priyo_server::listen::Listen;
use priyo_tests::{Database, Mounted, PATIENCE, Person, Served, ServerProcess, Socket};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::chance::is_long;
use crate::held::Held;

/// More than the kernel keeps for a client that does not read, on both sides.
const SENDS: usize = 800;
/// 16 kB of UTF-8 within the limit on code points.
const CODE_POINTS: usize = 4_000;
/// Who sends at once.
const LANES: usize = 8;
/// How long a server may take to be rid of it.
const GONE_WITHIN: Duration = Duration::from_secs(15);
/// The same where the guard's limit is short.
const SHORT: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_gone_in_time_and_costs_nobody_a_message() {
    let (sends, others) = if is_long() { (4_000, 10) } else { (SENDS, 3) };
    let server = ServerProcess::start(&Database::new()).await;
    let (sender, sleeper) = (server.customer("sender").await, server.customer("sleeper").await);
    let neighbours = server.customers("neighbour", others).await;
    let mut others: Vec<&Person> = neighbours.iter().collect();
    others.push(&sleeper);
    let conversation = sender.starts_group_with(&others).await;
    let base = Held::at_rest(&server).await;
    let watcher = server.socket(&sender).await;
    let mut listening = JoinSet::new();
    for neighbour in &neighbours {
        let mut socket = server.socket(neighbour).await;
        socket.must("conversation:join", conversation.as_str()).await;
        listening.spawn(numbers(socket, sends));
    }
    let mut stalled = stall(server.addr, &sleeper, &conversation).await;

    let watching = tokio::spawn(offline_after(watcher, sleeper.id.clone()));
    flood(&Person { wire: server.another_wire(), ..sender }, &conversation, sends).await;
    for heard in listening.join_all().await {
        assert_eq!(heard, (1..=sends as u64).collect::<Vec<_>>());
    }
    println!("{sends} messages to {} who read; gone after {:?}", neighbours.len(), watching.await.unwrap());
    // Its own end of the connection is still open.
    base.is_let_go(&server, PATIENCE).await;
    assert!(stalled.was_reset(), "its connection is still open");
    // What the kernel had for it already.
    assert!(stalled.ends_by(Instant::now() + PATIENCE).await);
    let last = stalled.taken().iter().rev().find_map(|(_, payload)| payload["seq"].as_u64()).unwrap_or(0);
    assert!(last < sends as u64, "it had everything: it was never behind");

    let mut again = server.socket(&sleeper).await;
    assert_eq!(resume(&mut again, &conversation, last).await, (last + 1..=sends as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_cannot_keep_the_server_from_stopping() {
    let server = ServerProcess::start(&Database::new()).await;
    let (sender, sleeper) = (server.customer("sender").await, server.customer("sleeper").await);
    let conversation = sender.starts_group_with(&[&sleeper]).await;
    let _stalled = stall(server.addr, &sleeper, &conversation).await;
    flood(&sender, &conversation, SENDS).await;

    let begin = Instant::now();
    let ended = server.terminate(PATIENCE).await.expect("the server stops in time");

    assert!(ended.success(), "{ended}");
    println!("stopped after {:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accept_loop_is_what_ends_a_client_that_never_reads() {
    let mut listen = Listen::default();
    listen.stall_timeout = SHORT;
    let (is_online, was_reset) = fate_after(Served::Guarded(listen), |_| async {}).await;
    assert!(!is_online && was_reset, "online: {is_online}, reset: {was_reset}");

    // The control: the same engine without it.
    let (is_online, was_reset) = fate_after(Served::Plainly, |_| async {}).await;
    assert!(is_online && !was_reset, "online: {is_online}, reset: {was_reset}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accept_loop_is_what_closes_a_client_that_never_reads_when_the_server_stops() {
    let close = |engine: ChatEngine| async move { engine.close_connections().await };
    // So long that only the stopping can end it.
    let mut listen = Listen::default();
    listen.stall_timeout = Duration::from_hours(1);
    let (_, was_reset) = fate_after(Served::Guarded(listen), close).await;
    assert!(was_reset);

    // The control: the same engine without it.
    let (_, was_reset) = fate_after(Served::Plainly, close).await;
    assert!(!was_reset);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accept_loop_is_what_closes_a_client_that_never_reads_when_its_access_ends() {
    let end = |engine: ChatEngine, sleeper: UserId| async move {
        engine.disconnect_user(sleeper);
        // That nothing happens has no event to wait for.
        sleep(SHORT).await;
    };
    let mut listen = Listen::default();
    listen.stall_timeout = Duration::from_hours(1);
    let (is_online, was_reset) = fate_of(Served::Guarded(listen), end).await;
    assert!(!is_online && was_reset, "online: {is_online}, reset: {was_reset}");

    // The control: the same engine without it. Nothing more is sent, but the connection stays.
    let (is_online, was_reset) = fate_of(Served::Plainly, end).await;
    assert!(!is_online && !was_reset, "online: {is_online}, reset: {was_reset}");
}

/// As [`fate_of`], some time later.
async fn fate_after<F: Future<Output = ()>>(
    served: Served,
    then: impl FnOnce(ChatEngine) -> F,
) -> (bool, bool) {
    fate_of(served, |engine, _| async move {
        then(engine).await;
        // That nothing happens has no event to wait for.
        sleep(SHORT * 3).await;
    })
    .await
}

/// What became of a client that never reads, after it had more than it could take and `then` was done: whether it
/// counts as online, and whether its connection was reset.
async fn fate_of<F: Future<Output = ()>>(
    served: Served,
    then: impl FnOnce(ChatEngine, UserId) -> F,
) -> (bool, bool) {
    let server = Mounted::start(served, Limits::default()).await;
    let (sender, sleeper) = (server.customer("sender").await, server.customer("sleeper").await);
    let conversation = sender.starts_group_with(&[&sleeper]).await;
    let stalled = stall(server.addr, &sleeper, &conversation).await;
    flood(&sender, &conversation, SENDS).await;
    let sleeper = UserId::from_client(&sleeper.id);
    then(server.engine.clone(), sleeper).await;
    (server.engine.is_online(sleeper), stalled.was_reset())
}

/// A client that joins, and reads nothing from then on as long as it is left alone.
pub(crate) async fn stall(addr: std::net::SocketAddr, person: &Person, conversation: &str) -> Socket {
    let mut socket = Socket::open(addr, Some(4_096)).await;
    socket.send_text(&format!("40{}", json!({ "token": person.token }))).await;
    socket.welcome().await.unwrap();
    socket.must("conversation:join", conversation).await;
    socket
}

/// Sends more than a client that does not read can be given, eight at a time.
pub(crate) async fn flood(sender: &Person, conversation: &str, sends: usize) {
    let mut sending = JoinSet::new();
    for lane in 0..LANES {
        let (sender, conversation) = (sender.clone(), conversation.to_owned());
        sending.spawn(async move {
            for number in (lane..sends).step_by(LANES) {
                let text = "\u{1d11e}".repeat(CODE_POINTS - 1);
                let content = format!("{text}{}", number % 10);
                let message = json!({"conversationId": conversation, "content": content});
                sender.post("/api/messages", message).await.expect(201);
            }
        });
    }
    sending.join_all().await;
}

/// How long until somebody is said to be offline.
async fn offline_after(mut watcher: Socket, who: String) -> Duration {
    let begin = Instant::now();
    loop {
        let status = watcher.next_by("user:status", begin + GONE_WITHIN).await;
        if status["userId"] == who && status["isOnline"] == false {
            return begin.elapsed();
        }
    }
}

/// The numbers of the messages that come, until all have.
async fn numbers(mut socket: Socket, sends: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < sends {
        numbers.push(socket.next("message:new").await["seq"].as_u64().unwrap());
    }
    numbers
}

/// Joins with the last number that the client has, until there is no more; gives the numbers that came.
async fn resume(socket: &mut Socket, conversation: &str, mut after: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let answer =
            socket.must("conversation:join", json!({"conversationId": conversation, "after": after})).await;
        let seq = |message: &Value| message["seq"].as_u64().unwrap();
        numbers.extend(answer["messages"].as_array().unwrap().iter().map(seq));
        after = numbers.last().copied().unwrap_or(after);
        if answer["hasMore"] == false {
            return numbers;
        }
    }
}
