//! A clock that jumps: that of the server alone, by libfaketime.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use priyo_core::model::{Clock, Timestamp};
use priyo_tests::{PATIENCE, Person, ServerProcess, skipped};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::chance::{Evidence, is_long};
use crate::history::{History, Record};
use crate::workload::{Place, Scene};

/// How long a typing notice lives.
const TYPING_ENDS: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_loses_no_message_and_no_socket() {
    let evidence = Evidence::new();
    let Some(clock) = FakeClock::of(&evidence) else { return };
    let database = evidence.database();
    let mut scene = Scene::set(&database).await;
    scene.with_tokens(lasting_token);
    let history = Arc::new(History::new(&evidence.history()));
    let server = ServerProcess::start_with(&database, &clock.variables(Monotonic::Real)).await;
    let place = Place::of(&server);
    let load = scene.begin(&place, &history, "clock", &mut evidence.dice()).await;

    let each = if is_long() { 2_000 } else { 200 };
    for (number, jump) in ["+1h", "+0", "-1h", "-1d", "+0", "+1h", "-1d"].into_iter().enumerate() {
        let person = server.customer(&format!("person-{number}")).await;
        clock.jump(jump);
        let enough = history.acknowledged() + each;
        let deadline = Instant::now() + PATIENCE * 6;
        while history.acknowledged() < enough {
            assert!(Instant::now() < deadline, "nothing goes on after {jump}");
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(clock.offset(&server).await, jump, "the clock is fake");
        match jump {
            "+1h" => an_old_token_is_refused_and_a_new_one_is_had(&person).await,
            "+0" => drop(person.get("/api/auth/me").await.expect(200)),
            // A token from the future is nobody's.
            _ => assert_eq!(person.get("/api/auth/me").await.status, 401),
        }
    }
    load.stop().await;
    let is_unknown = |record: &Record| matches!(record, Record::Unknown(..) | Record::Fail(..));
    assert!(!history.records().iter().any(is_unknown), "a socket was dropped, or a send refused");
    let violations = scene.check(&place, &history, &database).await;
    assert!(violations.is_empty(), "{violations:#?}");
    println!("{} messages over seven jumps", history.acknowledged());
}

/// An access token that is good in all the times that come.
fn lasting_token(of: &Person, now: Timestamp) -> String {
    let (begun, ends) = (now.as_secs() - 10 * 86_400, now.as_secs() + 10 * 86_400);
    of.claims(now).claim("iat", begun).claim("exp", ends).sign()
}

/// An hour from now the access token has expired, and the refresh token has not.
async fn an_old_token_is_refused_and_a_new_one_is_had(person: &Person) {
    assert_eq!(person.get("/api/auth/me").await.refusal(), (401, "invalid_token".to_owned()));
    let body = json!({"refreshToken": person.refresh_token});
    let answer = person.post("/api/auth/refresh", body).await.expect(200).json();
    let renewed = person.with_token(answer["tokens"]["accessToken"].as_str().unwrap());
    renewed.get("/api/auth/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_after_a_time_takes_no_notice_of_the_clock() {
    let evidence = Evidence::new();
    let Some(clock) = FakeClock::of(&evidence) else { return };
    let lived = notice_over_jumps(&evidence, &clock, Monotonic::Real, &["+1h", "-1d"]).await;
    let late = TYPING_ENDS + Duration::from_secs(2);
    assert!(lived >= TYPING_ENDS - Duration::from_millis(500) && lived <= late, "it lived for {lived:?}");
}

/// The control: the same jump of the clock that timers go by.
#[tokio::test(flavor = "multi_thread")]
async fn timers_that_went_by_the_clock_would_end_at_a_jump() {
    let evidence = Evidence::of(1);
    let Some(clock) = FakeClock::of(&evidence) else { return };
    let lived = notice_over_jumps(&evidence, &clock, Monotonic::Faked, &["+1h"]).await;
    assert!(lived < TYPING_ENDS / 2, "it lived for {lived:?}: the jump is not one");
}

/// How long a typing notice lives while the clock jumps.
async fn notice_over_jumps(
    evidence: &Evidence,
    clock: &FakeClock,
    monotonic: Monotonic,
    jumps: &[&str],
) -> Duration {
    let database = evidence.database();
    let server = ServerProcess::start_with(&database, &clock.variables(monotonic)).await;
    let mut people = Vec::new();
    for name in ["alice", "bob"] {
        let person = server.customer(name).await;
        people.push(person.with_token(lasting_token(&person, Clock::system().now())));
    }
    let [alice, bob] = &people[..] else { unreachable!("there are two") };
    let conversation = alice.starts_group_with(&[bob]).await;
    let (mut at_alice, mut at_bob) = (server.socket(alice).await, server.socket(bob).await);
    at_bob.must("conversation:join", conversation.as_str()).await;

    let begin = Instant::now();
    at_alice.must("typing:start", json!({"conversationId": conversation})).await;
    at_bob.next("typing:start").await;
    for jump in jumps {
        clock.jump(jump);
        // Whatever it does to timers, it does it while something is done.
        at_alice.ask("tests:nothing", Value::Null).await;
    }
    at_bob.next_by("typing:stop", begin + PATIENCE).await;
    begin.elapsed()
}

/// Whether the clock that only goes forward is told lies too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Monotonic {
    Real,
    Faked,
}

/// What a server takes for the time.
struct FakeClock {
    library: PathBuf,
    file: PathBuf,
}

impl FakeClock {
    /// One that is right; none, and the test skipped, where there is no library for it.
    fn of(evidence: &Evidence) -> Option<Self> {
        let Some(library) = library() else {
            skipped("there is no libfaketime (Debian's package faketime)");
            return None;
        };
        let clock = Self { library, file: evidence.folder("clock").join("offset") };
        clock.jump("+0");
        Some(clock)
    }

    fn variables(&self, monotonic: Monotonic) -> Vec<(&str, &str)> {
        let mut variables = vec![
            ("LD_PRELOAD", self.library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_str().unwrap()),
            // Else it looks only every ten seconds.
            ("FAKETIME_NO_CACHE", "1"),
        ];
        if monotonic == Monotonic::Real {
            variables.push(("FAKETIME_DONT_FAKE_MONOTONIC", "1"));
        }
        variables
    }

    /// Sets the clock so far before or after the real time.
    fn jump(&self, offset: &str) {
        // Never half written.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{offset}\n")).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }

    /// How far the server's clock is from the real time, in the words of `jump`.
    async fn offset(&self, server: &ServerProcess) -> &'static str {
        let health = server.wire.send("GET", "/health", &[], Bytes::new()).await.expect(200).json();
        let told = health["timestamp"].as_str().unwrap().to_owned();
        let known = [("+0", 0), ("+1h", 3_600), ("-1h", -3_600), ("-1d", -86_400)];
        let now = Clock::system().now();
        // As text, to the minute and the next: it may have come to an end meanwhile.
        let is_near = |seconds: i64| {
            [-60, 0].iter().any(|slack| {
                let then = Timestamp::from_millis(now.as_millis() + (seconds + slack) * 1_000).to_string();
                then[..16] == told[..16]
            })
        };
        known.iter().find(|(_, seconds)| is_near(*seconds)).map_or("elsewhere", |(name, _)| name)
    }
}

/// The library, where Debian and others keep it.
fn library() -> Option<PathBuf> {
    let of_architectures = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let mut folders = of_architectures.chain([PathBuf::from("/usr/lib"), PathBuf::from("/usr/local/lib")]);
    let in_folder = |folder: PathBuf| folder.join("faketime/libfaketimeMT.so.1");
    folders.find_map(|folder| Some(in_folder(folder)).filter(|path| Path::is_file(path)))
}
