//! The database server is killed or started again, while our server stays up.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use priyo_tests::{Cluster, Database, PATIENCE, ServerProcess, Wire};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::crowd::{Crowd, Notes};
use super::{ANSWERED_WITHIN, BACK_WITHIN, rounds};
use crate::chance::{Dice, Evidence, seed};
use crate::checker::Violation;
use crate::history::History;
use crate::workload::{Place, Scene};

/// Longer than any call waits.
const DOWN: Duration = Duration::from_secs(5);

/// What is done to the database server.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// All of it is killed, and started again.
    KillAll,
    /// The same, and nobody starts it again for longer than a call waits.
    KeepDown,
    /// One of its processes is killed: it breaks off all that goes on, and recovers.
    KillOne,
    /// An operator starts it again without waiting for anybody.
    Restart,
}

impl Blow {
    /// Strikes; gives the time from then until the server takes connections again.
    async fn strike(self, cluster: &Cluster) -> Range<Instant> {
        let begin = Instant::now();
        match self {
            Self::KillAll => {
                cluster.kill_nine().await;
                cluster.start_again().await;
            }
            Self::KeepDown => {
                cluster.kill_nine().await;
                sleep(DOWN).await;
                cluster.start_again().await;
            }
            Self::KillOne => cluster.kill_one_nine().await,
            Self::Restart => cluster.restart().await,
        }
        cluster.accepts().await;
        begin..Instant::now()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_database_server_is_killed() {
    suffer(Blow::KillAll, rounds(2, 20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_database_server_is_down_for_long() {
    suffer(Blow::KeepDown, rounds(1, 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_one_process_of_the_database_server_is_killed() {
    suffer(Blow::KillOne, rounds(2, 20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_database_server_is_restarted() {
    suffer(Blow::Restart, rounds(2, 5)).await;
}

async fn suffer(blow: Blow, rounds: u64) {
    let Some(cluster) = Cluster::start().await else { return };
    let evidence = Evidence::of(seed());
    let mut dice = Dice::new(seed());
    let database = Database::on(&cluster);
    let server = ServerProcess::start(&database).await;
    let crowd = Crowd::gather(&[&server], 16, 4).await;
    let notes = Notes::new(&evidence);

    let talk = crowd.talk(&notes, "talk", &mut dice).await;
    let (mut gaps, mut back) = (Vec::new(), Duration::ZERO);
    for _ in 0..rounds {
        // This is the fault itself: it has no event to wait for.
        sleep(Duration::from_millis(dice.between(50, 400))).await;
        let gap = blow.strike(&cluster).await;
        back = back.max(notes.answers.done_after(gap.end).await);
        gaps.push(gap.start..gap.end + BACK_WITHIN);
    }
    talk.stop().await;

    notes.answers.assert_honest(ANSWERED_WITHIN, &gaps);
    assert!(back <= BACK_WITHIN, "the first was stored {back:?} after the database was back");
    let violations = crowd.check(&notes, &database).await;
    assert!(violations.is_empty(), "{violations:#?}");
    println!(
        "{blow:?} {rounds} times: {} acknowledged, {} refused, answered within {:?}, back within {back:?}",
        notes.history.acknowledged(),
        notes.answers.unavailable(),
        notes.answers.slowest(),
    );
    // It is the same process, and well.
    assert!(server.terminate(PATIENCE).await.expect("the server stops in time").success());
}

/// The control: the same blow to a server that tells of a commit before it is on the disk.
#[tokio::test(flavor = "multi_thread")]
async fn messages_are_lost_when_the_database_server_does_not_wait_for_the_disk() {
    let Some(cluster) = Cluster::start().await else { return };
    let evidence = Evidence::of(1);
    let database = Database::on(&cluster);
    database.execute("ALTER SYSTEM SET synchronous_commit = off").await;
    cluster.restart().await;
    let scene = Scene::set(&database).await;
    let history = Arc::new(History::new(&evidence.history()));
    // What comes before is safe; what comes after waits for a process that sleeps.
    database.execute("CHECKPOINT").await;
    let writer =
        &database.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'").await[0]["pid"];
    let slept = Command::new("sh").arg("-c").arg(format!("kill -STOP {writer}")).status().await.unwrap();
    assert!(slept.success());
    let server = ServerProcess::start(&database).await;
    let place = Place::of(&server);

    let load = scene.begin(&place, &history, "async", &mut Dice::new(1)).await;
    sleep(Duration::from_millis(300)).await;
    cluster.kill_nine().await;
    load.notice().await;
    cluster.start_again().await;
    is_ready(&server.wire).await;

    let violations = scene.check(&place, &history, &database).await;
    let lost = violations.iter().filter(|one| matches!(one, Violation::Lost { .. })).count();
    assert!(lost > 0, "of {} none was lost: the blow does not hurt", history.acknowledged());
    println!("{lost} of {} acknowledged messages were lost", history.acknowledged());
}

/// Waits until the server says that it is.
async fn is_ready(wire: &Wire) {
    let deadline = Instant::now() + PATIENCE;
    while wire.send("GET", "/ready", &[], Bytes::new()).await.status != 200 {
        assert!(Instant::now() < deadline, "it is not ready again");
        // Nothing tells of it: it can only be asked.
        sleep(Duration::from_millis(5)).await;
    }
}
