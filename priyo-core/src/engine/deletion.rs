//! What is over is deleted now and then: sessions and their refresh tokens.
//!
//! A little at a time, so that nobody waits long behind it. Several engines on one storage may all do it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::auth::Accounts;
use crate::model::Clock;
use crate::storage::{Storage, unpanicked};

/// Rows in one call of the storage.
const DELETED_AT_ONCE: u32 = 200;

/// How long others get their turn before the next call.
const PAUSE: Duration = Duration::from_millis(50);

/// How much longer than its access tokens a session is kept: the clocks of two nodes may differ.
const KEPT: Duration = Duration::from_mins(1);

/// Deletes until it is dropped or stopped.
#[derive(Debug)]
pub(super) struct Deletion(CancellationToken);

impl Deletion {
    /// Starts deleting.
    pub(super) fn start(storage: Arc<dyn Storage>, accounts: &Accounts, clock: Clock) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let interval = accounts.deletion_interval.max(Duration::from_millis(1));
        // Whoever still shows an access token of a session that has ended is told so, and not that it never was.
        let age = accounts.access_ttl.saturating_add(KEPT);
        tokio::spawn(stopped.run_until_cancelled_owned(async move {
            let mut tick = interval_at(Instant::now() + interval, interval);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                delete(&storage, &clock, age).await;
            }
        }));
        Self(stop)
    }

    /// Begins nothing more.
    pub(super) fn stop(&self) {
        self.0.cancel();
    }
}

impl Drop for Deletion {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Deletes all that has been over for so long.
async fn delete(storage: &Arc<dyn Storage>, clock: &Clock, age: Duration) {
    loop {
        let before = clock.now().before(age);
        match unpanicked(storage.delete_ended(before, DELETED_AT_ONCE)).await {
            Ok(0) => return,
            Ok(_) => tokio::time::sleep(PAUSE).await,
            Err(error) => {
                tracing::warn!(%error, "sessions that are over were not deleted; it will be tried again");
                return;
            }
        }
    }
}
