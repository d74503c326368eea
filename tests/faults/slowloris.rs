//! Clients that send or take as little as they can, to hold what others need.

use std::net::SocketAddr;
use std::time::Duration;

use priyo_core::Limits;
use priyo_server::listen::Listen;
use priyo_tests::{Database, Mounted, Person, Served, ServerProcess, may_open};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::chance::is_long;
use crate::measures::Times;

/// What a dribbler waits between two bytes.
const PAUSE: Duration = Duration::from_millis(500);
/// Requests of a healthy client, before and during.
const HEALTHY: usize = 400;

/// How many of each kind.
#[derive(Debug, Clone, Copy)]
struct Crowd {
    heads: usize,
    bodies: usize,
    readers: usize,
}

/// How long each kind held its connection; `None` when it still has it.
#[derive(Debug, Default)]
struct Held {
    heads: Vec<Option<Duration>>,
    bodies: Vec<Option<Duration>>,
    readers: Vec<Option<Duration>>,
}

const HEAD: &str = "GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ";
const BODY: &str = "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                    Content-Length: 60000\r\n\r\n{\"email\": \"";

/// Sends a byte now and then until the connection breaks or an answer comes; says how long that took.
async fn dribble(addr: SocketAddr, start: &'static str, patience: Duration) -> Option<Duration> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let begin = Instant::now();
    stream.write_all(start.as_bytes()).await.unwrap();
    let mut answer = [0; 512];
    while begin.elapsed() < patience {
        if !matches!(timeout(PAUSE, stream.read(&mut answer)).await, Err(_still_open)) {
            return Some(begin.elapsed());
        }
        if stream.write_all(b"x").await.is_err() {
            return Some(begin.elapsed());
        }
    }
    None
}

/// Asks for a long page again and again, and takes a byte of the answers now and then.
async fn sip(addr: SocketAddr, request: String, patience: Duration) -> Option<Duration> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(addr).await.unwrap();
    let begin = Instant::now();
    stream.write_all(request.repeat(PAGES).as_bytes()).await.unwrap();
    while begin.elapsed() < patience {
        // What has come can still be read after a reset, so it is asked for.
        if stream.take_error().unwrap().is_some() || !matches!(stream.read(&mut [0]).await, Ok(1)) {
            return Some(begin.elapsed());
        }
        sleep(PAUSE).await;
    }
    None
}

/// Pages that a slow reader asks for at once: together more than the kernel keeps for it.
const PAGES: usize = 40;

/// All of them at once, while somebody else goes on; says what they held, and the times of the other one before and
/// during.
async fn besiege(addr: SocketAddr, alice: &Person, crowd: Crowd, patience: Duration) -> (Held, Times, Times) {
    let group = alice.starts_group_with(&[]).await;
    for _ in 0..20 {
        alice.says(&group, &"\u{1d11e}".repeat(4_000)).await;
    }
    let page = format!(
        "GET /api/messages/{group}?after=0&limit=200 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        alice.token
    );
    let before = ask_often(alice).await;
    let mut dribbling = JoinSet::new();
    for _ in 0..crowd.heads {
        dribbling.spawn(async move { (0, dribble(addr, HEAD, patience).await) });
    }
    for _ in 0..crowd.bodies {
        dribbling.spawn(async move { (1, dribble(addr, BODY, patience).await) });
    }
    for _ in 0..crowd.readers {
        let page = page.clone();
        dribbling.spawn(async move { (2, sip(addr, page, patience).await) });
    }
    let during = ask_often(alice).await;
    let mut held = Held::default();
    while let Some(outcome) = dribbling.join_next().await {
        let (kind, time) = outcome.unwrap();
        [&mut held.heads, &mut held.bodies, &mut held.readers][kind].push(time);
    }
    (held, before, during)
}

/// What a healthy client does meanwhile.
async fn ask_often(person: &Person) -> Times {
    let group = person.starts_group_with(&[]).await;
    let mut times = Times::default();
    for number in 0..HEALTHY {
        let begin = Instant::now();
        if number % 4 == 0 {
            let message = json!({"conversationId": group, "content": "hello"});
            person.post("/api/messages", message).await.expect(201);
        } else {
            person.get("/api/auth/me").await.expect(200);
        }
        times.note(begin.elapsed());
    }
    times
}

/// Fails unless each was held no longer than allowed; says how long at most.
fn assert_held(kind: &str, held: &[Option<Duration>], limit: Duration) {
    let longest = held.iter().copied().max_by_key(|time| time.unwrap_or(Duration::MAX)).flatten();
    let longest = longest.unwrap_or_else(|| panic!("{kind}: one was never closed"));
    println!("{} {kind} held a connection for {longest:?} at most", held.len());
    assert!(longest <= limit, "{kind}: {longest:?}");
}

fn assert_served(before: &Times, during: &Times) {
    println!("a healthy client: {before} before, {during} during");
    // Where the machine has a hiccup, the ratio of two short times says nothing.
    let floor = Duration::from_millis(50);
    assert!(during.p99() <= before.p99().max(floor) * 2, "{before} before, {during} during");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_dribble_are_closed_in_time_and_nobody_else_notices() {
    if is_long() {
        return besiege_the_program().await;
    }
    let crowd = Crowd { heads: 20, bodies: 5, readers: 5 };
    let seconds = Duration::from_secs;
    let mut listen = Listen::default();
    (listen.header_timeout, listen.body_timeout, listen.stall_timeout) = (seconds(2), seconds(4), seconds(2));
    let site = Mounted::start(Served::Guarded(listen), Limits::default()).await;
    let alice = site.customer("alice").await;
    let (held, before, during) = besiege(site.addr, &alice, crowd, seconds(12)).await;
    assert_held("heads", &held.heads, seconds(3));
    assert_held("bodies", &held.bodies, seconds(6));
    assert_held("readers", &held.readers, seconds(6));
    assert_served(&before, &during);
    drop(site);

    // The control: the same engine on a stock server closes none of them.
    let site = Mounted::start(Served::Plainly, Limits::default()).await;
    let alice = site.customer("alice").await;
    let (held, ..) = besiege(site.addr, &alice, crowd, seconds(7)).await;
    let all = [held.heads, held.bodies, held.readers].concat();
    assert!(all.iter().all(Option::is_none), "{all:?}");
}

/// The same with the program as it is shipped, whose times are longer.
async fn besiege_the_program() {
    let crowd = Crowd { heads: 500, bodies: 100, readers: 100 };
    assert!(may_open(2_000), "this process may not open enough files");
    let server = ServerProcess::start(&Database::new()).await;
    let alice = server.customer("alice").await;
    let seconds = Duration::from_secs;
    let (held, before, during) = besiege(server.addr, &alice, crowd, seconds(60)).await;
    assert_held("heads", &held.heads, seconds(15));
    assert_held("bodies", &held.bodies, seconds(31));
    assert_held("readers", &held.readers, seconds(30));
    assert_served(&before, &during);
}
