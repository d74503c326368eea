//! Password hashes: made and checked off the async threads, a few at a time.

mod hash;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use argon2::Block;
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::{patience, telemetry};

/// Hashes and checks passwords, a few at a time.
#[derive(Debug)]
pub(crate) struct Hasher {
    running: Arc<Semaphore>,
    /// Those running and waiting.
    admitted: Arc<AtomicUsize>,
    admit_at_most: usize,
    memory: Memory,
}

/// What came of looking at a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is another one.
    Wrong,
    /// It is the one.
    Right {
        /// A hash to store in place of the one there is, which is of another program or another time.
        better: Option<String>,
    },
}

impl Verdict {
    /// Whether it is the one.
    pub(crate) fn is_right(&self) -> bool {
        *self != Self::Wrong
    }
}

/// What hashing works on, 19 MiB for each that runs, kept for the next one; when nothing is left to do, for one.
/// Asked for anew each time it would come from another arena of glibc, which keeps what it has had: gigabytes after a
/// few hundred logins.
type Memory = Arc<Mutex<Vec<Vec<Block>>>>;

/// Checked when there is no such account, so that the answer takes as long. Made as all others are.
const DECOY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$cHJpeW8gZGVjb3kgc2FsdA$f+PBerTVSk1pYsUKwwfVDi8CtJgT2eAp65Z5Sbh6XKE";

impl Hasher {
    pub(crate) fn new(limits: &Limits) -> Self {
        let at_once = match limits.hashing_at_once {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            at_once => at_once,
        };
        let admit_at_most = at_once + limits.hashing_queue;
        let (running, admitted) = (Arc::new(Semaphore::new(at_once)), Arc::default());
        Self { running, admitted, admit_at_most, memory: Memory::default() }
    }

    /// The hash to store for a password.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] when too many wait already, or the wait is too long.
    pub(crate) async fn hash(&self, password: String) -> Result<String> {
        self.run(move |memory| hash::make(&password, memory)).await
    }

    /// Whether `password` is the one that `stored` was made of. Without `stored` it is not, after the same work.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] when too many wait already, or the wait is too long.
    pub(crate) async fn verify(&self, password: String, stored: Option<String>) -> Result<Verdict> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| DECOY.to_owned());
        self.run(move |memory| {
            if !hash::is_of(&stored, &password, memory)? || !known {
                return Ok(Verdict::Wrong);
            }
            // In the same place of the queue: who got in is not sent away for this.
            let better = hash::is_outdated(&stored)?.then(|| hash::make(&password, memory)).transpose()?;
            Ok(Verdict::Right { better })
        })
        .await
    }

    /// Whether this is a hash that passwords can be verified against.
    pub(crate) fn can_verify(text: &str) -> bool {
        hash::is_one(text)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let admitted = self.admit()?;
        let permit = patience::wait(self.running.clone().acquire_owned()).await.ok_or(Error::Overloaded)?;
        let (permit, begun) = (permit.map_err(Error::internal)?, Instant::now());
        let memory = self.memory.clone();
        let hashing = tokio::task::spawn_blocking(move || {
            // The work goes on when its request is gone, so it is the work that holds the place.
            let place = (admitted, permit);
            let kept = || memory.lock().unwrap_or_else(PoisonError::into_inner);
            let mut blocks = kept().pop().unwrap_or_default();
            let result = work(&mut blocks);
            let mut kept = kept();
            kept.push(blocks);
            if place.0.is_last() {
                kept.truncate(1);
            }
            result
        });
        let result = hashing.await.map_err(Error::internal)?;
        patience::spend(begun.elapsed());
        result
    }

    fn admit(&self) -> Result<Admitted> {
        let before = self.admitted.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted(self.admitted.clone());
        if before >= self.admit_at_most {
            return Err(Error::Overloaded);
        }
        telemetry::hashings(before + 1);
        Ok(admitted)
    }
}

struct Admitted(Arc<AtomicUsize>);

impl Admitted {
    /// Whether nothing else runs or waits.
    fn is_last(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 1
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let before = self.0.fetch_sub(1, Ordering::Relaxed);
        telemetry::hashings(before - 1);
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::internal(error.to_string())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_decoy_takes_the_work_of_any_other_hash() {
        let ours = hash::make("some password", &mut Vec::new()).unwrap();
        let params = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(params(DECOY), params(&ours));
        assert!(hash::is_of(DECOY, "no account has this password", &mut Vec::new()).unwrap());
    }

    #[tokio::test]
    async fn nobody_logs_in_without_a_hash() {
        let hasher = Hasher::new(&Limits::default());
        let verify = |password: &str, stored: Option<&str>| {
            hasher.verify(password.to_owned(), stored.map(str::to_owned)).map(Result::unwrap)
        };
        assert_eq!(verify("no account has this password", None).await, Verdict::Wrong);
        let stored = hasher.hash("a password".to_owned()).await.unwrap();
        assert_eq!(verify("a password", Some(&stored)).await, Verdict::Right { better: None });
        assert_eq!(verify("another one", Some(&stored)).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_hash_of_another_program_is_made_better() {
        let hasher = Hasher::new(&Limits::default());
        let theirs = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".to_owned();
        let verdict = hasher.verify("U*U".to_owned(), Some(theirs)).await.unwrap();
        let Verdict::Right { better: Some(better) } = verdict else { panic!("{verdict:?}") };
        let verdict = hasher.verify("U*U".to_owned(), Some(better)).await.unwrap();
        assert_eq!(verdict, Verdict::Right { better: None });
    }

    #[tokio::test]
    async fn too_many_at_once_are_refused_and_a_place_is_free_again() {
        let mut limits = Limits::default();
        (limits.hashing_at_once, limits.hashing_queue) = (1, 1);
        let hasher = Hasher::new(&limits);
        let attempt = || hasher.verify("a password".to_owned(), None);
        let all = futures_util::future::join_all([attempt(), attempt(), attempt(), attempt()]).await;
        let refused = all.iter().filter(|result| matches!(result, Err(Error::Overloaded))).count();
        assert_eq!(refused, 2);
        assert!(attempt().await.is_ok());
    }

    #[cfg(feature = "__http")]
    #[tokio::test]
    async fn who_waits_in_line_and_is_served_spends_their_patience() {
        use std::time::Duration;

        let mut limits = Limits::default();
        (limits.hashing_at_once, limits.hashing_queue) = (1, 1);
        let hasher = Hasher::new(&limits);
        let busy = hasher.running.clone().acquire_owned().await.unwrap();
        let waited = Duration::from_millis(3_950);
        let refused = patience::serve(waited, hasher.verify("a password".to_owned(), None)).await;
        assert!(matches!(refused, Err(Error::Overloaded)), "{refused:?}");

        drop(busy);
        let served = patience::serve(Duration::ZERO, async {
            let before = patience::left();
            assert!(hasher.verify("a password".to_owned(), None).await.is_ok());
            assert!(patience::left() < before);
        });
        served.await;
    }

    #[tokio::test]
    async fn work_whose_request_has_gone_keeps_its_place_until_it_is_done() {
        let mut limits = Limits::default();
        (limits.hashing_at_once, limits.hashing_queue) = (1, 0);
        let hasher = Hasher::new(&limits);
        for _ in 0..2 {
            // Polled once it is under way; then its client hangs up.
            let begun = hasher.verify("a password".to_owned(), None).now_or_never();
            assert!(begun.is_none(), "it takes a while");
            let refused = hasher.verify("a password".to_owned(), None).await;
            assert!(matches!(refused, Err(Error::Overloaded)), "{refused:?}");
            drop(hasher.running.acquire().await.unwrap());
        }
        assert!(hasher.verify("a password".to_owned(), None).await.is_ok());
    }
}
