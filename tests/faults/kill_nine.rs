//! SIGKILL in the middle of everything.

use std::sync::Arc;
use std::time::Duration;

use priyo_tests::ServerProcess;
use tokio::time::sleep;

use crate::chance::{Dice, Evidence, rounds, seed};
use crate::history::History;
use crate::workload::{Place, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_doubled_when_the_server_is_killed() {
    let seed = seed();
    let evidence = Evidence::of(seed);
    let mut dice = Dice::new(seed);
    let dir = evidence.folder("data");
    let scene = Scene::set(&dir).await;
    let history = Arc::new(History::new(&evidence.history()));
    let mut server = ServerProcess::start(&dir).await;

    for round in 0..rounds(3) {
        let load = scene.begin(&Place::of(&server), &history, &format!("round-{round}"), &mut dice).await;
        // This is the fault itself: it has no event to wait for.
        sleep(Duration::from_millis(dice.between(50, 400))).await;
        server.kill_nine().await;
        load.notice().await;

        server = ServerProcess::start(&dir).await;
        let place = Place::of(&server);
        scene.retry_unknown(&place, &history).await;
        assert!(history.unknown().is_empty(), "round {round}: {:?}", history.unknown());
        let violations = scene.check(&place, &history, &dir.join("priyo.db")).await;
        assert!(violations.is_empty(), "round {round}: {violations:#?}");
    }
    assert!(history.acknowledged() > 0);
    println!("{} acknowledged messages survived", history.acknowledged());
}
