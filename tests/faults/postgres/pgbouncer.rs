//! A PgBouncer stands in front of the database and is well, and the database behind it is not.

use std::time::Duration;

use priyo_tests::{Cluster, Database, PATIENCE, PgBouncer, ServerProcess};
use tokio::time::{Instant, sleep, timeout};

use super::crowd::{Crowd, Notes};
use super::{ANSWERED_WITHIN, BACK_WITHIN};
use crate::chance::{Dice, Evidence, seed};

/// Longer than any call waits, so that whoever comes later must be refused without waiting.
const AWAY: Duration = Duration::from_secs(6);

/// How long a PgBouncer waits before it tries again to reach a database that was down, as the tests set it.
const LOGIN_RETRY: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_answered_in_time_while_the_database_behind_a_pgbouncer_is_away() {
    let Some(cluster) = Cluster::start().await else { return };
    let Some(pgbouncer) = PgBouncer::before(&cluster).await else { return };
    let evidence = Evidence::of(seed());
    let mut dice = Dice::new(seed());
    let database = Database::behind(&pgbouncer, &cluster);
    let server = ServerProcess::start(&database).await;
    let crowd = Crowd::gather(&[&server], 16, 4).await;
    let notes = Notes::new(&evidence);
    let talk = crowd.talk(&notes, "talk", &mut dice).await;
    notes.answers.done_after(Instant::now()).await;

    let silent = Instant::now();
    cluster.pause().await;
    sleep(AWAY).await;
    // The control: who only connects is let in, and learns nothing of the database.
    let let_in = timeout(PATIENCE, pgbouncer.connect()).await.expect("the PgBouncer is away, too").unwrap();
    timeout(Duration::from_millis(200), pgbouncer.asked()).await.expect_err("the database answers");
    drop(let_in);
    let resumed = Instant::now();
    cluster.resume().await;
    let back = notes.answers.done_after(resumed).await;

    let stopped = Instant::now();
    cluster.stop().await;
    sleep(AWAY).await;
    cluster.start_again().await;
    let started = Instant::now();
    let back_again = notes.answers.done_after(started).await;
    talk.stop().await;

    let gaps = [silent..resumed + BACK_WITHIN, stopped..started + LOGIN_RETRY + BACK_WITHIN];
    notes.answers.assert_honest(ANSWERED_WITHIN, &gaps);
    assert!(back <= BACK_WITHIN, "the first was stored {back:?} after the database spoke again");
    assert!(back_again <= LOGIN_RETRY + BACK_WITHIN, "the first was stored {back_again:?} after the start");
    let violations = crowd.check(&notes, &database).await;
    assert!(violations.is_empty(), "{violations:#?}");
    println!(
        "twice {AWAY:?} without a database behind a PgBouncer: {} acknowledged, {} refused, answered within {:?}, \
         back within {back:?} and {back_again:?}",
        notes.history.acknowledged(),
        notes.answers.unavailable(),
        notes.answers.slowest(),
    );
}
