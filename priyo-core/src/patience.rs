//! How long somebody who asks is kept waiting, whatever the database does.
//!
//! What is done for one request may be several calls of the storage, with a place in a line before some of them. Each of
//! these waits may be long while the database is slow or away, and one after the other they would be longer than any
//! client waits. So all that is done for a request shares one patience. What a client takes to send its request costs
//! nothing of it.
//!
//! What is done for nobody who waits, as what is written behind, or what a host program calls, has no such bound.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// For one request: with all else, an answer then comes within 5 s.
#[cfg(feature = "__http")]
const PATIENCE: Duration = Duration::from_secs(4);

tokio::task_local! {
    /// What is left of it for the request that this task serves.
    static LEFT: Cell<Duration>;
}

/// Serves somebody who has waited for so long already.
#[cfg(feature = "__http")]
pub(crate) async fn serve<F: Future>(waited: Duration, work: F) -> F::Output {
    LEFT.scope(Cell::new(PATIENCE.saturating_sub(waited)), work).await
}

/// What is left for the one who is served here; `None` when nobody waits.
pub(crate) fn left() -> Option<Duration> {
    LEFT.try_with(Cell::get).ok()
}

/// Takes from it.
pub(crate) fn spend(time: Duration) {
    let _ = LEFT.try_with(|left| left.set(left.get().saturating_sub(time)));
}

/// Waits for something as long as there is patience; `None` when it has run out.
pub(crate) async fn wait<F: Future>(work: F) -> Option<F::Output> {
    let Some(left) = left() else { return Some(work.await) };
    let begun = Instant::now();
    let done = timeout(left, work).await.ok();
    spend(begun.elapsed());
    done
}

/// Takes the patience along into a task of its own.
pub(crate) fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let left = left();
    async move {
        match left {
            Some(left) => LEFT.scope(Cell::new(left), work).await,
            None => work.await,
        }
    }
}

#[cfg(all(test, feature = "__http"))]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn all_that_is_done_for_one_shares_one_patience() {
        serve(PATIENCE - MOMENT * 2, async {
            assert_eq!(wait(ready(1)).await, Some(1));
            assert!(left().is_some_and(|left| left > MOMENT));

            let elsewhere = tokio::spawn(carried(async {
                assert_eq!(wait(pending::<()>()).await, None);
                left()
            }));
            assert_eq!(elsewhere.await.unwrap(), Some(Duration::ZERO));

            spend(PATIENCE);
            assert_eq!(left(), Some(Duration::ZERO));
            assert_eq!(wait(pending::<()>()).await, None);
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_done_for_nobody_takes_as_long_as_it_takes() {
        spend(PATIENCE);
        assert_eq!((left(), wait(tokio::time::sleep(MOMENT)).await), (None, Some(())));
        assert_eq!(tokio::spawn(carried(async { left() })).await.unwrap(), None);
    }
}
