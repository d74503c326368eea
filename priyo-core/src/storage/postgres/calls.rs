//! Running a call: a connection, a transaction, a time by which it is answered, and another try where that is safe.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::failure::Failure;
use super::pool::Pool;
use crate::patience;
use crate::storage::Result;
use crate::telemetry;

/// How long a call may take from end to end, also when nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often a call is begun anew because others came in between.
const RACES: usize = 8;

/// What a call does on its connection.
pub(super) type Work<'c, T> = BoxFuture<'c, Result<T, Failure>>;

/// The same on every try: all that it is about comes with the input.
pub(super) type Do<I, T> = for<'c> fn(&'c mut Connection, &'c I) -> Work<'c, T>;

/// The calls that were started.
#[derive(Debug)]
pub(super) struct Calls {
    pool: Arc<Pool>,
    running: TaskTracker,
    is_closed: AtomicBool,
}

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One statement, which sees one state of the database. It may be run twice.
    Read,
    /// A transaction.
    Write,
    /// A transaction that takes as long as it takes.
    Migration,
}

impl Calls {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool: Arc::new(pool), running: TaskTracker::new(), is_closed: AtomicBool::new(false) }
    }

    /// Runs `work`, again if that is safe and may help.
    ///
    /// It is a task of its own and runs to its end, whether anyone still waits for it or not: a write that was begun
    /// is not torn apart, and a connection is not lost with every client that hangs up.
    pub(super) async fn run<I, T>(&self, kind: Kind, input: I, work: Do<I, T>) -> Result<T>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        let patience = patience::left().map_or(PATIENCE, |left| left.min(PATIENCE));
        if patience.is_zero() {
            return Err(Failure::TimedOut.into());
        }
        // Before the flag is looked at: whoever closes sets the flag first, and then waits for all tokens.
        let token = self.running.token();
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(Failure::Closed.into());
        }
        telemetry::storage_called(if kind == Kind::Read { "read" } else { "write" });
        let (pool, begun) = (Arc::clone(&self.pool), Instant::now());
        let call = tokio::spawn(async move {
            let _token = token;
            let is_asking = AtomicBool::new(false);
            let tries = tries(&pool, kind, &input, work, &is_asking);
            if kind == Kind::Migration {
                return tries.await;
            }
            let outcome = timeout(patience, tries).await.unwrap_or_else(|_| {
                // One that only stood in line knows nothing of the connections.
                if is_asking.load(Ordering::Relaxed) {
                    pool.forget_idle();
                }
                Err(Failure::TimedOut)
            });
            if outcome.as_ref().is_err_and(Failure::was_wait_in_vain) {
                pool.waited_in_vain();
            }
            outcome
        });
        let outcome = call
            .await
            .unwrap_or_else(|error| Err(if error.is_panic() { Failure::Panicked } else { Failure::Closed }));
        patience::spend(begun.elapsed());
        Ok(outcome?)
    }

    /// Finishes what was started, then ends the connections.
    pub(super) async fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.running.close();
        self.running.wait().await;
        self.pool.close().await;
    }
}

/// `is_asking` says whether it has a connection just now.
async fn tries<I, T>(
    pool: &Pool,
    kind: Kind,
    input: &I,
    work: Do<I, T>,
    is_asking: &AtomicBool,
) -> Result<T, Failure> {
    let (mut races, mut may_reconnect) = (0, true);
    loop {
        let mut lease = pool.lease().await?;
        is_asking.store(true, Ordering::Relaxed);
        let Attempt { was_safe, is_usable, outcome } = attempt(&mut lease.db, kind, input, work).await;
        is_asking.store(false, Ordering::Relaxed);
        let was_idle = !lease.is_fresh;
        if is_usable {
            pool.put_back(lease);
        } else {
            drop(lease);
            pool.forget_idle();
        }
        match outcome {
            Err(failure) if failure.is_race() && races < RACES => races += 1,
            // It has died since it was used last, perhaps with all the others.
            Err(failure)
                if may_reconnect && was_idle && !is_usable && (was_safe || failure.is_of_standby()) =>
            {
                may_reconnect = false;
            }
            outcome => return outcome,
        }
    }
}

struct Attempt<T> {
    /// Whether another try cannot do anything twice.
    was_safe: bool,
    /// Whether the connection is as it was.
    is_usable: bool,
    outcome: Result<T, Failure>,
}

async fn attempt<I, T>(db: &mut Connection, kind: Kind, input: &I, work: Do<I, T>) -> Attempt<T> {
    let in_transaction = kind != Kind::Read || db.is_pooled_outside();
    let mut was_safe = true;
    let outcome = async {
        if !in_transaction {
            return work(db, input).await;
        }
        // A migration, too, must not wait for a server that does not answer.
        timeout(PATIENCE, db.begin()).await.unwrap_or(Err(Failure::TimedOut))?;
        let value = work(db, input).await?;
        // If there is no answer to this, nobody knows whether it was done.
        was_safe = kind == Kind::Read;
        db.commit().await?;
        Ok(value)
    };
    let outcome = outcome.await;
    let is_usable = match &outcome {
        Ok(_) => true,
        Err(failure) => !failure.has_lost_connection() && (!in_transaction || db.rollback().await.is_ok()),
    };
    Attempt { was_safe, is_usable, outcome }
}
