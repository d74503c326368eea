//! One who sends as fast as they can, and comes back as often as they are turned out.

use std::time::Duration;

use priyo_tests::{Came, Database, Memory, Person, ServerProcess, resident_bytes, skipped};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::bystander::Bystander;

/// What the flooder would send in [`LONG`], and how much at once before it looks at the answers.
const SENDS: usize = 50_000;
const LONG: Duration = Duration::from_secs(5);
const AT_ONCE: usize = 500;
/// What the server ships with: so many sends at once, and then so many a second.
const BURST: usize = 60;
const EACH_SECOND: usize = 5;
/// What the server may have of memory.
const BYTES: u64 = 256 << 20;

/// What became of the sends.
#[derive(Debug, Default)]
struct Answers {
    sent: usize,
    accepted: usize,
    limited: usize,
    /// Those that came while too many were unfinished.
    overloaded: usize,
    others: Vec<String>,
    turned_out: usize,
}

/// Sends as fast as it can, on a new socket when the old one is gone.
async fn flood(server: &ServerProcess, person: &Person, conversation: &str) -> Answers {
    let message = json!({"conversationId": conversation, "content": "flood"});
    let (mut answers, begin) = (Answers::default(), Instant::now());
    while answers.sent < SENDS && begin.elapsed() < LONG {
        let Ok(mut socket) = server.try_socket(person).await else { continue };
        loop {
            for _ in 0..AT_ONCE {
                if socket.try_emit_asking("message:send", message.clone()).await.is_none() {
                    break;
                }
                answers.sent += 1;
            }
            // All that is there, and once nothing more is sent all that comes.
            let is_over = answers.sent >= SENDS || begin.elapsed() >= LONG;
            let deadline = Instant::now() + if is_over { Duration::from_secs(1) } else { Duration::ZERO };
            let is_open = loop {
                match socket.came_by(deadline).await {
                    Some(Came::Ack(_, answer)) if answer["ok"] == true => answers.accepted += 1,
                    Some(Came::Ack(_, answer)) if answer["error"]["code"] == "rate_limited" => {
                        answers.limited += 1
                    }
                    Some(Came::Ack(_, answer)) if answer["error"]["code"] == "overloaded" => {
                        answers.overloaded += 1
                    }
                    Some(Came::Ack(_, answer)) => answers.others.push(answer.to_string()),
                    Some(Came::Event(..)) => {}
                    Some(Came::End) => break false,
                    None => break true,
                }
            };
            if !is_open {
                answers.turned_out += 1;
                break;
            }
            if is_over {
                return answers;
            }
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_sends_is_refused_and_turned_out_and_costs_little() {
    let database = Database::new();
    let rates = [("RATE_LIMITS", "on")];
    let memory = Memory::of(BYTES);
    let server = match &memory {
        Some(memory) => ServerProcess::start_within(&database, &rates, memory).await,
        None => return skipped("no control group for memory can be made here"),
    };
    let (mallory, alice) = (server.customer("mallory").await, server.customer("alice").await);
    let conversation = mallory.starts_group_with(&[&alice]).await;
    let bystander = || Bystander::start(server.addr, "/api/auth/me", &alice.token, None);
    let asking = bystander();
    sleep(LONG / 2).await;
    let (before, _) = asking.stop().await;

    let (asking, begin) = (bystander(), Instant::now());
    let answers = flood(&server, &mallory, &conversation).await;
    let took = begin.elapsed();
    let (during, _) = asking.stop().await;
    let resident = resident_bytes(server.pid());
    println!("{answers:?} in {took:.1?}, {} MB resident", resident >> 20);
    println!("somebody else: {before} before, {during} during");

    // Some whose acknowledgement was cut off.
    let stored = alice.history(&conversation).await.len();
    let may = BURST + EACH_SECOND * usize::try_from(took.as_secs() + 1).unwrap();
    assert!((answers.accepted.max(1)..=may).contains(&stored), "{stored} of {may}");
    assert!(answers.limited > answers.accepted && answers.turned_out > 0);
    assert_eq!(answers.others, Vec::<String>::new());
    assert!(resident < BYTES);
    // Where the machine has a hiccup, the ratio of two short times says nothing.
    let floor = Duration::from_millis(50);
    assert!(during.p99() <= before.p99().max(floor) * 2);
    drop(server);

    // The control: where nothing is counted, more is accepted.
    let server = ServerProcess::start(&Database::new()).await;
    let mallory = server.customer("mallory").await;
    let conversation = mallory.starts_group_with(&[]).await;
    let answers = flood(&server, &mallory, &conversation).await;
    println!("uncounted: {} accepted of {}", answers.accepted, answers.sent);
    assert!(answers.accepted > may);
}
