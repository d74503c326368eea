//! SIGTERM in the middle of everything.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use priyo_core::model::{Clock, Timestamp};
use priyo_tests::{Came, Database, PATIENCE, Person, ServerProcess, Socket};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use crate::chance::rounds;
use crate::stalled::{flood, stall};

const PEOPLE: usize = 40;
const SOCKETS_EACH: usize = 5;
const GROUP: usize = 10;
const STALLED: usize = 5;
/// Together the senders send 500 messages in a second.
const SEND_EVERY: Duration = Duration::from_millis(80);
/// How long a server may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// What was acknowledged: the client's own names of the messages.
type Acknowledged = Arc<Mutex<Vec<String>>>;

/// Sends at its pace until the connection ends; says whether the server took it out before.
async fn send(mut socket: Socket, group: String, name: String, acknowledged: Acknowledged) -> bool {
    let mut tick = interval(SEND_EVERY);
    let mut waiting = HashSet::new();
    for number in 0.. {
        let due = tick.tick().await + SEND_EVERY;
        let client_message_id = format!("{name}-{number}");
        let message = json!({"conversationId": group, "content": name, "clientMessageId": client_message_id});
        let Some(ack) = socket.try_emit_asking("message:send", message).await else { break };
        waiting.insert((ack, client_message_id));
        loop {
            match socket.came_by(due).await {
                Some(Came::Ack(ack, answer)) => {
                    let sent = waiting.iter().find(|(number, _)| *number == ack).cloned().unwrap();
                    waiting.remove(&sent);
                    // One that came too late is refused.
                    if answer["ok"] == true {
                        acknowledged.lock().unwrap().push(sent.1);
                    }
                }
                Some(Came::Event(..)) => {}
                Some(Came::End) => return socket.was_told_to_go(),
                None => break,
            }
        }
    }
    socket.was_told_to_go()
}

/// Listens until the connection ends; says whether the server took it out before.
async fn listen(mut socket: Socket) -> bool {
    while socket.came_by(Instant::now() + PATIENCE).await != Some(Came::End) {}
    socket.was_told_to_go()
}

/// How long new connections are still accepted.
async fn refused_after(addr: SocketAddr) -> Duration {
    let begin = Instant::now();
    while TcpStream::connect(addr).await.is_ok() {
        assert!(begin.elapsed() < GONE_WITHIN, "it still accepts");
        // Nothing tells of it: it can only be tried.
        sleep(Duration::from_millis(5)).await;
    }
    begin.elapsed()
}

/// Everyone in the tests, with their groups.
async fn everybody(server: &ServerProcess) -> (Vec<Person>, Vec<String>) {
    let people = server.customers("person", PEOPLE).await;
    let mut groups = Vec::new();
    for some in people.chunks(GROUP) {
        groups.push(some[0].starts_group_with(&some[1..].iter().collect::<Vec<_>>()).await);
    }
    (people, groups)
}

/// When each user was last there, as it is stored.
async fn last_seen(database: &Database, people: &[Person]) -> Vec<Option<Timestamp>> {
    let rows = database.query("SELECT id, last_seen_ms FROM users").await;
    let of = |person: &Person| {
        let row = rows.iter().find(|row| row["id"] == *person.id).unwrap();
        row["last_seen_ms"].as_i64().map(Timestamp::from_millis)
    };
    people.iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_is_gone_in_time_and_has_kept_its_word() {
    for _ in 0..rounds(1, 5) {
        stop_under_load().await;
    }
}

async fn stop_under_load() {
    let database = Database::new();
    let server = ServerProcess::start(&database).await;
    let (people, groups) = everybody(&server).await;
    let (flooder, victims) = (server.customer("flooder").await, server.customers("victim", STALLED).await);
    let flooded = flooder.starts_group_with(&victims.iter().collect::<Vec<_>>()).await;
    let mut stalled = Vec::new();
    for victim in &victims {
        stalled.push(stall(server.addr, victim, &flooded).await);
    }
    let acknowledged = Acknowledged::default();
    let mut clients = JoinSet::new();
    for (number, person) in people.iter().enumerate() {
        let group = &groups[number / GROUP];
        for tab in 0..SOCKETS_EACH {
            let mut socket = server.socket(person).await;
            socket.must("conversation:join", group.as_str()).await;
            let (group, acknowledged) = (group.clone(), acknowledged.clone());
            if tab == 0 {
                clients.spawn(send(socket, group, person.name.clone(), acknowledged));
            } else {
                clients.spawn(listen(socket));
            }
        }
    }
    flood(&flooder, &flooded, 400).await;
    // This is the load itself: it has no event to wait for.
    sleep(Duration::from_secs(1)).await;

    let (addr, told) = (server.addr, Clock::system().now());
    let begin = Instant::now();
    let (ended, refused) = tokio::join!(server.terminate(GONE_WITHIN), refused_after(addr));
    let took = begin.elapsed();
    let ended = ended.expect("the server stops in time");
    let told_to_go = clients.join_all().await;

    println!("gone after {took:?}, new connections refused after {refused:?}");
    assert!(ended.success(), "{ended}");
    assert!(refused < Duration::from_secs(1), "{refused:?}");
    // Else their clients would not come back by themselves.
    assert!(told_to_go.iter().all(|told| !told), "{told_to_go:?}");
    for at in last_seen(&database, &[people, victims].concat()).await {
        assert!(at.is_some_and(|at| at >= told), "{at:?}, told to stop at {told:?}");
    }
    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    assert_kept(&database, &acknowledged).await;
}

/// Everything that was acknowledged is stored, once, and each conversation is without a hole.
async fn assert_kept(database: &Database, acknowledged: &[String]) {
    let rows =
        database.query("SELECT client_message_id FROM messages WHERE client_message_id IS NOT NULL").await;
    let stored: HashSet<&str> = rows.iter().map(|row| row["client_message_id"].as_str().unwrap()).collect();
    let lost: Vec<&String> = acknowledged.iter().filter(|name| !stored.contains(name.as_str())).collect();
    println!("{} acknowledged, {} stored", acknowledged.len(), stored.len());
    assert!(lost.is_empty() && acknowledged.len() > 200, "{lost:?}");
    assert_eq!(stored.len(), rows.len(), "some are stored twice");
    let counts = database
        .query("SELECT max(seq) AS newest, count(*) AS rows FROM messages GROUP BY conversation_id")
        .await;
    assert!(counts.iter().all(|count| count["newest"] == count["rows"]), "{counts:?}");
}

/// The control: one that is killed has not written who was there until then.
#[tokio::test]
async fn a_server_that_is_killed_has_written_nothing_of_its_last_moments() {
    let database = Database::new();
    let server = ServerProcess::start(&database).await;
    let people = server.customers("person", 3).await;
    let mut sockets = Vec::new();
    for person in &people {
        sockets.push(server.socket(person).await);
    }
    while last_seen(&database, &people).await.contains(&None) {
        sleep(Duration::from_millis(50)).await;
    }
    let killed = Clock::system().now();

    server.kill_nine().await;

    for at in last_seen(&database, &people).await {
        assert!(at.is_some_and(|at| at < killed), "{at:?}");
    }
}
