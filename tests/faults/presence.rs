//! Who is there, and how soon others know that somebody is not any more.

use std::time::Duration;

use priyo_core::Limits;
use priyo_core::model::{Clock, Timestamp};
use priyo_server::listen::Listen;
use priyo_tests::{Came, Database, Mounted, Person, Proxy, Served, ServerProcess, Socket, Treatment, Way};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::chance::is_long;

/// How long after its end a user may still count as there, whatever the end was.
const GONE_WITHIN: Duration = Duration::from_mins(1);

/// The next news of one user, by the deadline.
async fn status_of(watcher: &mut Socket, person: &Person, deadline: Instant) -> bool {
    let status = watcher.next_by("user:status", deadline).await;
    assert_eq!(status["userId"], person.id, "{status}");
    assert_eq!(status["lastSeen"].is_string(), status["isOnline"] == false, "{status}");
    status["isOnline"] == true
}

fn guarded() -> Served {
    Served::Guarded(Listen::default())
}

#[tokio::test]
async fn the_last_of_three_connections_is_what_counts_and_each_change_is_told_once() {
    let site = Mounted::start(guarded(), Limits::default()).await;
    let (alice, bob) = (site.customer("alice").await, site.customer("bob").await);
    // However many conversations they share.
    for _ in 0..3 {
        alice.starts_group_with(&[&bob]).await;
    }
    let mut watcher = site.socket(&bob).await;
    let soon = Instant::now() + GONE_WITHIN;

    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(site.socket(&alice).await);
    }
    assert!(status_of(&mut watcher, &alice, soon).await);
    let staying = sockets.pop();
    // Without a word.
    drop(sockets);
    // That nothing happens has no event to wait for.
    sleep(Duration::from_millis(500)).await;
    assert_eq!(watcher.heard_of("user:status").await, Vec::<Value>::new());
    assert!(is_online(&bob, &alice).await);

    drop(staying);
    assert!(!status_of(&mut watcher, &alice, soon).await);
    assert!(!is_online(&bob, &alice).await);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(watcher.heard_of("user:status").await, Vec::<Value>::new());
}

/// What `viewer` is shown of `who` over REST.
async fn is_online(viewer: &Person, who: &Person) -> bool {
    let list = viewer.get("/api/conversations").await.expect(200).json();
    let all = list["conversations"].as_array().unwrap().iter();
    let shown = all.flat_map(|one| one["participants"].as_array().unwrap()).find(|one| one["id"] == who.id);
    shown.expect("they share a conversation")["isOnline"] == true
}

/// A client in a process of its own, connected.
async fn lone_client(addr: std::net::SocketAddr, person: &Person) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lone-client"));
    command.arg(addr.to_string()).arg(&person.token).stdout(std::process::Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("connected"));
    child
}

#[tokio::test]
async fn a_client_that_is_killed_is_not_there_any_more() {
    let site = Mounted::start(guarded(), Limits::default()).await;
    let (alice, bob) = (site.customer("alice").await, site.customer("bob").await);
    alice.starts_conversation_with(&bob).await;
    let mut watcher = site.socket(&bob).await;
    let mut client = lone_client(site.addr, &alice).await;
    let deadline = Instant::now() + GONE_WITHIN;
    assert!(status_of(&mut watcher, &alice, deadline).await);

    let killed = Instant::now();
    client.kill().await.unwrap();

    assert!(!status_of(&mut watcher, &alice, deadline).await);
    println!("offline {:?} after SIGKILL", killed.elapsed());
}

/// How long after a client fell silent its user was offline: one whose network swallows everything but keeps the
/// connection, and one that is frozen, whose kernel goes on taking what comes.
async fn offline_after(site: &Mounted, patience: Duration) -> Option<Duration> {
    let (alice, carol, bob) =
        (site.customer("alice").await, site.customer("carol").await, site.customer("bob").await);
    bob.starts_group_with(&[&alice, &carol]).await;
    let mut watcher = site.socket(&bob).await;
    let proxy = Proxy::start(site.addr).await;
    let mut swallowed = Socket::connect(proxy.addr, &alice.token).await.unwrap();
    let frozen = site.socket(&carol).await;
    for _ in 0..2 {
        assert_eq!(watcher.next("user:status").await["isOnline"], true);
    }
    let answering = tokio::spawn(async move { swallowed.ends_by(Instant::now() + GONE_WITHIN).await });

    let silent = Instant::now();
    proxy.treat(Way::ToServer, Treatment::SWALLOWED);
    proxy.treat(Way::ToClient, Treatment::SWALLOWED);
    let mut gone = Vec::new();
    while gone.len() < 2 {
        // The watcher lives, and answers its own pings meanwhile.
        match watcher.came_by(silent + patience).await {
            Some(Came::Event(name, status)) if name == "user:status" => {
                assert_eq!(status["isOnline"], false);
                gone.push(status["userId"].clone());
            }
            Some(Came::End) => panic!("the watcher's own connection has ended"),
            Some(_) => {}
            None => break,
        }
    }
    answering.abort();
    drop(frozen);
    if gone.is_empty() {
        return None;
    }
    assert!(gone.contains(&json!(alice.id)) && gone.contains(&json!(carol.id)), "{gone:?}");
    Some(silent.elapsed())
}

#[tokio::test]
async fn a_client_that_falls_silent_is_not_there_once_it_has_missed_a_ping() {
    let mut limits = Limits::default();
    if !is_long() {
        (limits.ping_interval, limits.ping_timeout) = (Duration::from_secs(1), Duration::from_secs(1));
    }
    let promised = limits.ping_interval + limits.ping_timeout;
    let site = Mounted::start(guarded(), limits).await;

    let gone = offline_after(&site, GONE_WITHIN).await.expect("both are gone");

    println!("offline {gone:?} after falling silent");
    assert!(gone < promised + Duration::from_secs(2), "{gone:?}");
    drop(site);

    // The control: nobody asks them.
    let mut limits = Limits::default();
    (limits.ping_interval, limits.ping_timeout) = (Duration::from_hours(1), Duration::from_hours(1));
    let site = Mounted::start(guarded(), limits).await;
    let gone = offline_after(&site, Duration::from_secs(3)).await;
    assert_eq!(gone, None);
}

/// When it is stored that a user was last there.
async fn stored(database: &Database, person: &Person) -> Option<Timestamp> {
    let rows = database.query("SELECT id, last_seen_ms FROM users").await;
    let row = rows.iter().find(|row| row["id"] == *person.id).expect("there is such a user");
    row["last_seen_ms"].as_i64().map(Timestamp::from_millis)
}

/// Waits until it is stored that a user was there after a moment.
async fn stored_after(database: &Database, person: &Person, moment: Timestamp, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if stored(database, person).await.is_some_and(|at| at >= moment) {
            return true;
        }
        // Nothing tells of a write: it can only be looked for.
        sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn a_killed_server_leaves_its_users_offline_and_knows_when_they_were_there() {
    let database = Database::new();
    let server = ServerProcess::start(&database).await;
    let alice = server.customer("alice").await;
    let came = Clock::system().now();
    let mut socket = server.socket(&alice).await;
    assert!(stored_after(&database, &alice, came, Duration::from_secs(5)).await, "its coming is stored");
    if is_long() {
        // Longer than what may be forgotten.
        let reading = Instant::now() + Duration::from_secs(95);
        while socket.came_by(reading).await.is_some() {}
    }

    let killed = Clock::system().now();
    server.kill_nine().await;
    let server = ServerProcess::start(&database).await;

    let alice = Person { wire: server.wire.clone(), ..alice };
    let me = alice.get("/api/auth/me").await.expect(200).json();
    assert_eq!(me["user"]["isOnline"], false);
    let last = stored(&database, &alice).await.expect("it was stored");
    println!("last seen {:?} before the kill", killed.since(last));
    assert!(killed.since(last) <= Duration::from_mins(1), "{:?}", killed.since(last));
    assert_eq!(me["user"]["lastSeen"], json!(last));
}

#[tokio::test]
async fn that_a_user_is_there_is_stored_as_long_as_they_are() {
    let database = Database::new();
    let mut limits = Limits::default();
    limits.presence_renewal = Duration::from_millis(200);
    let site = Mounted::start_on(&database, guarded(), limits).await;
    let alice = site.customer("alice").await;
    let _socket = site.socket(&alice).await;
    for _ in 0..3 {
        let now = Clock::system().now();
        assert!(stored_after(&database, &alice, now, Duration::from_secs(5)).await);
    }
    drop(site);

    // The control: where it is stored once an hour, it is stored once.
    let database = Database::new();
    let mut limits = Limits::default();
    limits.presence_renewal = Duration::from_hours(1);
    let site = Mounted::start_on(&database, guarded(), limits).await;
    let alice = site.customer("alice").await;
    let came = Clock::system().now();
    let _socket = site.socket(&alice).await;
    assert!(stored_after(&database, &alice, came, Duration::from_secs(5)).await);
    let now = Clock::system().now();
    assert!(!stored_after(&database, &alice, now, Duration::from_secs(2)).await);
}
