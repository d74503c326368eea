//! A conversation with a very long history: whatever one asks of it must cost what it costs in a short one.

use std::time::Duration;

use axum::body::Bytes;
use priyo_tests::{Person, ServerProcess, resident_bytes};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::chance::{Dice, Evidence, is_long};
use crate::stored::fill;

/// Messages in the short one.
const FEW: u64 = 1_000;
/// How often each thing is asked for.
const TIMES: usize = 200;
/// How many times as long as in the short one it may take. Reading past all that came before takes hundreds.
const AT_MOST: f64 = 4.0;
/// How much memory it may cost to read everywhere in it.
const MEMORY_KB: u64 = 20 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_long_history_costs_what_a_page_of_a_short_one_does() {
    let many = if is_long() { 1_000_000 } else { 50_000 };
    let evidence = Evidence::new();
    let mut dice = evidence.dice();
    let database = evidence.database();
    let server = ServerProcess::start(&database).await;
    let (writer, reader, other) =
        (server.customer("writer").await, server.customer("reader").await, server.customer("other").await);
    let long = writer.starts_group_with(&[&reader]).await;
    let short = writer.starts_group_with(&[&other]).await;
    assert!(server.terminate(Duration::from_secs(10)).await.unwrap().success());
    fill(&database, &long, &writer.id, many).await;
    fill(&database, &short, &writer.id, FEW).await;

    let server = ServerProcess::start(&database).await;
    let at = |person: &Person| Person { wire: server.wire.clone(), ..person.clone() };
    let (of_long, of_short) = (at(&reader), at(&other));
    // Each connection to the database reads its schema when it is used first.
    for _ in 0..TIMES {
        pages(&of_short, &short, FEW, &mut dice).await;
    }
    let memory = resident_bytes(server.pid()) / 1_024;
    let (mut in_long, mut in_short) = (Timings::default(), Timings::default());
    for _ in 0..TIMES {
        in_long.add(pages(&of_long, &long, many, &mut dice).await);
        in_short.add(pages(&of_short, &short, FEW, &mut dice).await);
    }
    let grown = (resident_bytes(server.pid()) / 1_024).saturating_sub(memory);

    println!("of {many} messages and of {FEW}; memory grew by {grown} kB");
    for (place, name) in PLACES.iter().enumerate() {
        let (long, short) = (in_long.sorted(place), in_short.sorted(place));
        println!("{name}: median {:?} and {:?}, p99 {:?} and {:?}", long.0, short.0, long.1, short.1);
        let ratio = long.0.as_secs_f64() / short.0.as_secs_f64();
        assert!(ratio <= AT_MOST, "{name}: {ratio:.1} times as long");
    }
    assert!(grown <= MEMORY_KB, "{grown} kB");
}

/// What is asked for.
const PLACES: [&str; 6] = [
    "the newest page",
    "the oldest",
    "after the middle",
    "before the middle",
    "before anywhere",
    "the unread count",
];

/// Asks for everything once; gives how long each took.
async fn pages(person: &Person, conversation: &str, count: u64, dice: &mut Dice) -> Vec<Duration> {
    let (middle, anywhere) = (count / 2, dice.between(51, count));
    let asked = [
        (String::new(), count - 49),
        ("?after=0".to_owned(), 1),
        (format!("?after={middle}"), middle + 1),
        (format!("?before={middle}"), middle - 50),
        (format!("?before={anywhere}"), anywhere - 50),
    ];
    let mut took = Vec::new();
    for (query, first) in asked {
        let begin = Instant::now();
        let page = person.get(format!("/api/messages/{conversation}{query}")).await.expect(200);
        took.push(begin.elapsed());
        let page = page.json();
        let messages = page["messages"].as_array().unwrap();
        assert_eq!((messages.len(), messages[0]["seq"].as_u64().unwrap()), (50, first), "{query}");
    }
    let begin = Instant::now();
    let unread = person.send("GET", "/api/messages/unread/count", None, Bytes::new()).await.expect(200);
    took.push(begin.elapsed());
    assert_eq!(unread.json()["unreadCount"], count);
    took
}

/// How long each thing took, each time.
#[derive(Default)]
struct Timings(Vec<Vec<Duration>>);

impl Timings {
    fn add(&mut self, of_each: Vec<Duration>) {
        self.0.push(of_each);
    }

    /// The median of one thing, and its 99th percentile.
    fn sorted(&self, place: usize) -> (Duration, Duration) {
        let mut all: Vec<Duration> = self.0.iter().map(|of_each| of_each[place]).collect();
        all.sort_unstable();
        (all[all.len() / 2], all[all.len() * 99 / 100])
    }
}

/// The control: pages that are counted from the beginning, as a page's number invites to.
#[test]
fn counting_pages_from_the_beginning_takes_longer_in_a_longer_history() {
    let dir = TempDir::new().unwrap();
    let db = Connection::open(dir.path().join("counted.db")).unwrap();
    db.execute_batch(
        "PRAGMA synchronous = OFF; CREATE TABLE messages (seq INTEGER PRIMARY KEY, content TEXT)",
    )
    .unwrap();
    let fill =
        "WITH RECURSIVE numbers (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM numbers WHERE seq < 50000)
        INSERT INTO messages SELECT seq, 'message ' || seq FROM numbers";
    db.execute_batch(fill).unwrap();
    let mut page = db.prepare("SELECT content FROM messages ORDER BY seq DESC LIMIT 50 OFFSET ?1").unwrap();
    let mut median = |offset: i64| {
        let mut took = Vec::new();
        for _ in 0..TIMES {
            let begin = Instant::now();
            let rows = page.query_map([offset], |row| row.get::<_, String>(0)).unwrap();
            assert_eq!(rows.count(), 50);
            took.push(begin.elapsed());
        }
        took.sort_unstable();
        took[took.len() / 2].as_secs_f64()
    };
    let (short, long) = (median(500), median(49_000));
    assert!(long / short > AT_MOST, "only {:.1} times as long: the measure is too coarse", long / short);
}
