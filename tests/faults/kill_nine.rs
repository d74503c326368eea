//! SIGKILL in the middle of everything.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use priyo_tests::ServerProcess;
use tokio::time::{Instant, sleep};

use crate::chance::{Evidence, rounds, seed};
use crate::history::History;
use crate::workload::{Place, Scene};

/// How often the server of one database is killed.
const KILLS: u64 = 10;
/// How soon after its start a server that was killed must be ready again.
const READY_WITHIN: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_doubled_when_the_server_is_killed() {
    let (first, databases) = (seed(), rounds(1, 10));
    let (mut acknowledged, mut slowest) = (0, Duration::ZERO);
    for number in 0..databases {
        // The seed that a database says is that of a first one.
        let survived = survives(&Evidence::of(first.wrapping_add(number))).await;
        acknowledged += survived.0;
        slowest = slowest.max(survived.1);
    }
    let kills = databases * KILLS;
    println!(
        "{acknowledged} acknowledged messages survived {kills} kills; ready again after {slowest:?} at most"
    );
    assert!(slowest <= READY_WITHIN, "ready after {slowest:?}");
}

/// How many acknowledged messages survived, and the longest time until a server was ready again.
async fn survives(evidence: &Evidence) -> (usize, Duration) {
    let mut dice = evidence.dice();
    let database = evidence.database();
    let scene = Scene::set(&database).await;
    let history = Arc::new(History::new(&evidence.history()));
    let mut server = ServerProcess::start(&database).await;
    let mut slowest = Duration::ZERO;
    for kill in 0..KILLS {
        let load = scene.begin(&Place::of(&server), &history, &format!("kill-{kill}"), &mut dice).await;
        // This is the fault itself: it has no event to wait for.
        sleep(Duration::from_millis(dice.between(50, 400))).await;
        server.kill_nine().await;
        load.notice().await;

        let begin = Instant::now();
        server = ServerProcess::start(&database).await;
        let ready = server.wire.send("GET", "/ready", &[], Bytes::new()).await;
        slowest = slowest.max(begin.elapsed());
        assert_eq!(ready.status, 200, "{}", ready.text());

        let place = Place::of(&server);
        scene.retry_unknown(&place, &history).await;
        assert!(history.unknown().is_empty(), "kill {kill}: {:?}", history.unknown());
        let violations = scene.check(&place, &history, &database).await;
        assert!(violations.is_empty(), "kill {kill}: {violations:#?}");
    }
    assert!(history.acknowledged() > 0);
    (history.acknowledged(), slowest)
}
