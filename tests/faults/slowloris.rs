//! Clients that send or take as little as they can, to hold what others need.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use priyo_core::Limits;
use priyo_server::listen::Listen;
use priyo_tests::{Database, Mounted, Person, Served, ServerProcess, may_open};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::chance::is_long;
use crate::measures::Times;

/// What a dribbler waits between two bytes.
const PAUSE: Duration = Duration::from_millis(500);
/// Requests of a healthy client in a row.
const HEALTHY: usize = 400;
/// How often it makes so many of them where one hiccup of the machine must not decide.
const ROWS: usize = 5;

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

/// The times of a healthy client.
#[derive(Debug)]
struct Healthy {
    /// Alone, in each row.
    before: Vec<Times>,
    /// While those come who are slow. The server makes the answers that they do not take.
    among_coming: Times,
    /// While they are there, in each row.
    among_slow: Vec<Times>,
    /// While as many honest clients come and have the server make as much.
    among_honest: Times,
}

const HEAD: &str = "GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ";
const BODY: &str = "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                    Content-Length: 60000\r\n\r\n{\"email\": \"";

/// Sends a byte now and then until the connection breaks or an answer comes; says how long that took.
async fn dribble(
    addr: SocketAddr,
    start: &'static str,
    in_place: Arc<Semaphore>,
    patience: Duration,
) -> Option<Duration> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let begin = Instant::now();
    stream.write_all(start.as_bytes()).await.unwrap();
    in_place.add_permits(1);
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
async fn sip(
    addr: SocketAddr,
    request: String,
    in_place: Arc<Semaphore>,
    patience: Duration,
) -> Option<Duration> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(addr).await.unwrap();
    let begin = Instant::now();
    stream.write_all(request.repeat(PAGES).as_bytes()).await.unwrap();
    // The first of the answers is here, and the others are being made.
    stream.peek(&mut [0]).await.unwrap();
    in_place.add_permits(1);
    while begin.elapsed() < patience {
        // What has come can still be read after a reset, so it is asked for.
        if stream.take_error().unwrap().is_some() || !matches!(stream.read(&mut [0]).await, Ok(1)) {
            return Some(begin.elapsed());
        }
        sleep(PAUSE).await;
    }
    None
}

/// Pages that the kernel keeps for a reader in any case.
const A_FEW: usize = 5;

/// Pages that a slow reader asks for at once: together more than the kernel keeps for it.
const PAGES: usize = 40;

/// Asks for as much as somebody who is slow, and takes it.
async fn take(addr: SocketAddr, request: &str, answers: usize) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let last = request.trim_end().to_owned() + "\r\nConnection: close\r\n\r\n";
    stream.write_all((request.repeat(answers - 1) + &last).as_bytes()).await.unwrap();
    // A reset is an end, too.
    drop(stream.read_to_end(&mut Vec::new()).await);
}

/// As many as the slow ones, who take what those have the server make.
fn honest(addr: SocketAddr, crowd: Crowd, page: &str, pages: usize) -> JoinSet<()> {
    let mut taking = JoinSet::new();
    for _ in 0..crowd.heads + crowd.bodies {
        taking.spawn(async move { take(addr, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", 1).await });
    }
    for _ in 0..crowd.readers {
        let page = page.to_owned();
        taking.spawn(async move { take(addr, &page, pages).await });
    }
    taking
}

/// All of them at once, while somebody else goes on; says what they held, and the times of the other one. `settled`
/// says when the server has done all that it can do for them, and how many pages it has made for each reader.
async fn besiege(
    addr: SocketAddr,
    alice: &Person,
    crowd: Crowd,
    patience: Duration,
    settled: impl AsyncFnOnce() -> usize,
) -> (Held, Healthy) {
    let group = alice.starts_group_with(&[]).await;
    for _ in 0..20 {
        alice.says(&group, &"\u{1d11e}".repeat(4_000)).await;
    }
    let page = format!(
        "GET /api/messages/{group}?after=0&limit=200 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        alice.token
    );
    let before = ask_steadily(alice).await;
    let in_place = Arc::new(Semaphore::new(0));
    let mut dribbling = JoinSet::new();
    for _ in 0..crowd.heads {
        let in_place = in_place.clone();
        dribbling.spawn(async move { (0, dribble(addr, HEAD, in_place, patience).await) });
    }
    for _ in 0..crowd.bodies {
        let in_place = in_place.clone();
        dribbling.spawn(async move { (1, dribble(addr, BODY, in_place, patience).await) });
    }
    for _ in 0..crowd.readers {
        let (page, in_place) = (page.clone(), in_place.clone());
        dribbling.spawn(async move { (2, sip(addr, page, in_place, patience).await) });
    }
    let among_coming = ask_often(alice).await;
    let all = u32::try_from(crowd.heads + crowd.bodies + crowd.readers).unwrap();
    drop(in_place.acquire_many(all).await.unwrap());
    let pages = settled().await;
    let among_slow = ask_steadily(alice).await;

    let mut held = Held::default();
    while let Some(outcome) = dribbling.join_next().await {
        let (kind, time) = outcome.unwrap();
        [&mut held.heads, &mut held.bodies, &mut held.readers][kind].push(time);
    }
    let mut taking = honest(addr, crowd, &page, pages);
    let among_honest = ask_often(alice).await;
    while taking.join_next().await.is_some() {}
    (held, Healthy { before, among_coming, among_slow, among_honest })
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

async fn ask_steadily(person: &Person) -> Vec<Times> {
    let mut rows = Vec::new();
    for _ in 0..ROWS {
        rows.push(ask_often(person).await);
    }
    rows
}

/// The p99 of the row in the middle.
fn usual(rows: &[Times]) -> Duration {
    let mut all: Vec<Duration> = rows.iter().map(Times::p99).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

/// Fails unless each was held no longer than allowed; says how long at most.
fn assert_held(kind: &str, held: &[Option<Duration>], limit: Duration) {
    let longest = held.iter().copied().max_by_key(|time| time.unwrap_or(Duration::MAX)).flatten();
    let longest = longest.unwrap_or_else(|| panic!("{kind}: one was never closed"));
    println!("{} {kind} held a connection for {longest:?} at most", held.len());
    assert!(longest <= limit, "{kind}: {longest:?}");
}

impl Healthy {
    /// Fails unless a healthy client takes no more than twice as long while slow ones are there; what is within
    /// `floor` is too short to compare. What they have the server make while they come is work like any other: that it
    /// costs no more than that of honest clients is there to be read.
    fn assert_served(&self, floor: Duration) {
        let Self { before, among_coming, among_slow, among_honest } = self;
        let (alone, among) = (usual(before), usual(among_slow));
        println!(
            "a healthy client, p99 of the middle row: {alone:.1?} alone, {among:.1?} while the slow ones are there"
        );
        println!("while they come: {among_coming}");
        println!("while as many honest ones come: {among_honest}");
        assert!(among <= alone.max(floor) * 2, "{among:?} is more than twice {alone:?}");
    }
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
    let (held, healthy) = besiege(site.addr, &alice, crowd, seconds(12), async || A_FEW).await;
    assert_held("heads", &held.heads, seconds(3));
    assert_held("bodies", &held.bodies, seconds(6));
    assert_held("readers", &held.readers, seconds(6));
    healthy.assert_served(Duration::from_millis(50));
    drop(site);

    // The control: the same engine on a stock server closes none of them.
    let site = Mounted::start(Served::Plainly, Limits::default()).await;
    let alice = site.customer("alice").await;
    let (held, _) = besiege(site.addr, &alice, crowd, seconds(7), async || A_FEW).await;
    let all = [held.heads, held.bodies, held.readers].concat();
    assert!(all.iter().all(Option::is_none), "{all:?}");
}

/// The series that grows with each page that the server has made.
const PAGES_MADE: &str =
    r#"priyo_http_requests_total{method="GET",route="/api/messages/{conversationId}",status="2xx"}"#;

/// The same with the program as it is shipped, whose times are longer.
async fn besiege_the_program() {
    let crowd = Crowd { heads: 500, bodies: 100, readers: 100 };
    assert!(may_open(2_000), "this process may not open enough files");
    let server = ServerProcess::start(&Database::new()).await;
    let alice = server.customer("alice").await;
    let seconds = Duration::from_secs;
    let (held, healthy) = besiege(server.addr, &alice, crowd, seconds(60), async || {
        let mut made = -1.0;
        while made < server.measured(PAGES_MADE).await {
            made = server.measured(PAGES_MADE).await;
            sleep(Duration::from_millis(200)).await;
        }
        let each = made / 100.0;
        println!("the server made {each:.1} pages for each slow reader");
        (1..=PAGES).rfind(|pages| *pages as f64 <= each).unwrap_or(1)
    })
    .await;
    assert_held("heads", &held.heads, seconds(15));
    assert_held("bodies", &held.bodies, seconds(31));
    assert_held("readers", &held.readers, seconds(30));
    // All share the cores with the clients, so a hiccup is soon as long as the time itself.
    healthy.assert_served(Duration::from_millis(3));
}
