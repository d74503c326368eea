//! People who come, talk and go for half an hour. Nothing of them may be left then, and memory must not have grown.

mod visitor;

use std::time::Duration;

use futures_util::future::join_all;
use priyo_core::model::Role;
use priyo_tests::{Database, Person, ServerProcess, Socket, Wire, may_open, resident_bytes};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use self::visitor::{Deeds, Visitor};
use crate::chance::{Dice, Evidence, is_long};
use crate::held::Held;
use crate::measures::growth;

/// How many there are, and for how long.
#[derive(Debug, Clone, Copy)]
struct Size {
    people: usize,
    /// From one thing that somebody does to the next.
    pace: Duration,
    /// For how long so few come that what they leave is what anybody leaves.
    first: Duration,
    /// For how long memory may grow: caches fill.
    warm_up: Duration,
    time: Duration,
    /// Messages that are stored before: enough to fill the cache of who writes.
    stored: usize,
}

impl Size {
    fn asked_for() -> Self {
        let seconds = Duration::from_secs;
        if !is_long() {
            let (pace, time) = (Duration::from_millis(150), seconds(4));
            return Self { people: 60, pace, first: seconds(1), warm_up: seconds(0), time, stored: 0 };
        }
        let minutes = std::env::var("PRIYO_SOAK_MINUTES").map_or(30, |minutes| minutes.parse().unwrap());
        let time = seconds(60) * minutes;
        Self { people: 500, pace: seconds(4), first: seconds(10), warm_up: time / 6, time, stored: 20_000 }
    }
}

/// How many share a conversation.
const GROUP: usize = 10;
/// One of so many has a password, and signs in with it.
const WITH_PASSWORD: usize = 10;
/// How many come at first, of those that there are.
const FIRST: usize = 5;
/// How many messages are sent at once to be stored.
const LANES: usize = 16;

/// How soon everything is let go.
const LET_GO_WITHIN: Duration = Duration::from_secs(20);
/// How much more memory each minute is growth.
const GROWTH_MB: f64 = 1.0;
/// How long is looked for the least memory that is in use: a moment's work is no growth.
const WINDOW: u32 = 40;
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[tokio::test(flavor = "multi_thread")]
async fn people_who_come_and_go_leave_nothing_behind_and_memory_does_not_grow() {
    let size = Size::asked_for();
    assert!(may_open(4_000), "this process may not open enough files");
    let mut dice = Evidence::new().dice();
    let server = ServerProcess::start(&Database::new()).await;
    let mut cast = Cast::gather(&server, size).await;
    cast.come_and_go(&server, size.people / FIRST, size.pace, size.first, &mut dice).await;
    let base = Held::at_rest(&server).await;
    println!("at first {base}");

    let begin = Instant::now();
    let (deeds, samples) = tokio::join!(
        cast.come_and_go(&server, size.people, size.pace, size.time, &mut dice),
        sample(server.pid(), size.time),
    );
    println!("{} people in {:.0?}: {deeds}", size.people, begin.elapsed());
    let after = base.is_let_go(&server, LET_GO_WITHIN).await;
    println!("let go after {after:.1?}: {}", Held::by(&server).await);
    // Of seconds nothing can be said.
    if is_long() {
        let warm: Vec<_> = samples.into_iter().filter(|(time, _)| *time >= size.warm_up).collect();
        let [(_, first), .., (_, last)] = warm[..] else { panic!("nothing was measured") };
        let grows = growth(&warm);
        println!("{first:.1} MB when warm, {last:.1} MB at the end, {grows:.2} MB more each minute");
        assert!(grows <= GROWTH_MB, "{warm:?}");
    }
}

/// The control: whatever somebody does not let go of is found.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_let_go_is_found() {
    let server = ServerProcess::start(&Database::new()).await;
    let alice = server.customer("alice").await;
    let group = alice.starts_group_with(&[]).await;
    let base = Held::at_rest(&server).await;

    let mut socket = server.socket(&alice).await;
    socket.must("conversation:join", group.as_str()).await;
    socket.must("typing:start", json!({ "conversationId": group })).await;
    let stranger = Socket::open(server.addr, None).await;
    let mut found = Held::by(&server).await.above(&base);
    found.sort_unstable();
    let all = [
        "descriptors",
        "priyo_conversations_listened_to",
        "priyo_sockets",
        "priyo_sockets_unknown",
        "priyo_tasks",
        "priyo_typing_notices",
        "priyo_users_online",
    ];
    assert_eq!(found, all);

    drop((socket, stranger));
    base.is_let_go(&server, LET_GO_WITHIN).await;
}

/// The memory that a process has, in megabytes: the least of each window.
async fn sample(pid: u32, time: Duration) -> Vec<(Duration, f64)> {
    let (begin, mut samples) = (Instant::now(), Vec::new());
    let mut tick = interval(LOOK_EVERY);
    while begin.elapsed() < time {
        let mut least = u64::MAX;
        for _ in 0..WINDOW {
            tick.tick().await;
            least = least.min(resident_bytes(pid));
            if begin.elapsed() >= time {
                break;
            }
        }
        samples.push((begin.elapsed(), least as f64 / f64::from(1 << 20)));
    }
    samples
}

/// Those who come, and the conversations of each ten of them.
struct Cast {
    people: Vec<Person>,
    groups: Vec<String>,
}

impl Cast {
    async fn gather(server: &ServerProcess, size: Size) -> Self {
        let wire = server.another_wire();
        let with_password = size.people / WITH_PASSWORD;
        let mut people = server.customers("person", size.people - with_password).await;
        for number in 0..with_password {
            // Somebody in each group.
            people.insert(number * WITH_PASSWORD, register(&wire, number).await);
        }
        people.iter_mut().for_each(|person| person.wire = wire.clone());
        drop(wire);
        let mut cast = Self { people, groups: Vec::new() };
        for some in cast.people.chunks(GROUP) {
            cast.groups.push(some[0].starts_group_with(&some[1..].iter().collect::<Vec<_>>()).await);
        }
        join_all((0..LANES).map(|lane| cast.fill(lane, size.stored / LANES))).await;
        server.rewire(&mut cast.people);
        cast
    }

    /// Sends long messages.
    async fn fill(&self, lane: usize, count: usize) {
        for number in 0..count {
            let at = (lane + number * LANES) % self.people.len();
            self.people[at].says(&self.groups[at / GROUP], &"x".repeat(1_000)).await;
        }
    }

    /// Lets the first so many come and go for some time; when this returns all are gone.
    async fn come_and_go(
        &mut self,
        server: &ServerProcess,
        count: usize,
        pace: Duration,
        time: Duration,
        dice: &mut Dice,
    ) -> Deeds {
        let (until, wire, mut visiting) = (Instant::now() + time, server.another_wire(), JoinSet::new());
        for (number, person) in self.people.iter().enumerate().take(count) {
            let visitor = Visitor {
                person: Person { wire: wire.clone(), ..person.clone() },
                has_password: number % WITH_PASSWORD == 0,
                friend: self.people[number / GROUP * GROUP + (number + 1) % GROUP].id.clone(),
                group: self.groups[number / GROUP].clone(),
                addr: server.addr,
                pace,
                dice: Dice::new(dice.next()),
                deeds: Deeds::default(),
            };
            visiting.spawn(async move { (number, visitor.come_and_go(until).await) });
        }
        let mut all = Vec::new();
        for (number, visitor) in visiting.join_all().await {
            // A refresh token is good for once.
            self.people[number] = Person { wire: server.wire.clone(), ..visitor.person };
            all.push(visitor.deeds);
        }
        all.into_iter().sum()
    }
}

/// Somebody with a password.
async fn register(wire: &Wire, number: usize) -> Person {
    let name = format!("registered-{number}");
    let body =
        json!({"email": format!("{name}@example.com"), "username": name, "password": visitor::PASSWORD});
    let headers = [("content-type", "application/json")];
    let answer = wire.send("POST", "/api/auth/register", &headers, body.to_string().into()).await;
    let made = answer.expect(201).json();
    let text = |one: &serde_json::Value| one.as_str().unwrap().to_owned();
    Person {
        id: text(&made["user"]["id"]),
        name,
        role: Role::Customer,
        session: String::new(),
        token: text(&made["tokens"]["accessToken"]),
        refresh_token: text(&made["tokens"]["refreshToken"]),
        wire: wire.clone(),
    }
}
