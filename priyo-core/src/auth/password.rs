//! Password hashes: argon2id, off the async threads, bounded.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::telemetry;

/// Hashes and checks passwords, a few at a time.
#[derive(Debug)]
pub(crate) struct Hasher {
    running: Arc<Semaphore>,
    /// Those running and waiting.
    admitted: Arc<AtomicUsize>,
    admit_at_most: usize,
    memory: Memory,
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
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let at_once = if limits.hashing_at_once == 0 { 2 * cores } else { limits.hashing_at_once };
        let admit_at_most = at_once + limits.hashing_queue;
        let (running, admitted) = (Arc::new(Semaphore::new(at_once)), Arc::default());
        Self { running, admitted, admit_at_most, memory: Memory::default() }
    }

    /// The hash to store for a password.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] when too many wait already.
    pub(crate) async fn hash(&self, password: String) -> Result<String> {
        self.run(move |memory| hash(&password, memory)).await
    }

    /// Whether `password` is the one that `stored` was made of. Without `stored` it is not, after the same work.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] when too many wait already.
    pub(crate) async fn verify(&self, password: String, stored: Option<String>) -> Result<bool> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| DECOY.to_owned());
        let matches = self.run(move |memory| verify(&password, &stored, memory)).await?;
        Ok(matches && known)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let admitted = self.admit()?;
        let permit = self.running.clone().acquire_owned().await.map_err(Error::internal)?;
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
        hashing.await.map_err(Error::internal)?
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

/// Argon2id with 19 MiB, two passes, one lane: OWASP's Password Storage Cheat Sheet, second choice of five equals.
fn params() -> Result<Params> {
    Params::new(19_456, 2, 1, None).map_err(failed)
}

fn hash(password: &str, memory: &mut Vec<Block>) -> Result<String> {
    let params = params()?;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(failed)?;
    let output = compute(Algorithm::Argon2id, Version::V0x13, &params, password, &salt, memory)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(failed)?,
        salt: Some(Salt::new(&salt).map_err(failed)?),
        hash: Some(output),
    };
    Ok(hash.to_string())
}

/// Computes by the parameters that are in the hash: they may be those of another time.
fn verify(password: &str, stored: &str, memory: &mut Vec<Block>) -> Result<bool> {
    let stored = PasswordHash::new(stored).map_err(failed)?;
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).map_err(failed)?;
    let version = stored.version.map_or(Ok(Version::V0x13), Version::try_from).map_err(failed)?;
    let params = Params::try_from(&stored).map_err(failed)?;
    let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else {
        return Err(failed("a stored password hash has no salt or no hash"));
    };
    // This comparison takes the same time wherever they differ.
    Ok(compute(algorithm, version, &params, password, &salt, memory)? == expected)
}

fn compute(
    algorithm: Algorithm,
    version: Version,
    params: &Params,
    password: &str,
    salt: &[u8],
    memory: &mut Vec<Block>,
) -> Result<Output> {
    memory.resize(params.block_count(), Block::default());
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    let argon2 = Argon2::new(algorithm, version, params.clone());
    argon2
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut output, memory.as_mut_slice())
        .map_err(failed)?;
    Output::new(&output).map_err(failed)
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
        let ours = hash("some password", &mut Vec::new()).unwrap();
        let params = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(params(DECOY), params(&ours));
        assert!(verify("no account has this password", DECOY, &mut Vec::new()).unwrap());
    }

    #[tokio::test]
    async fn nobody_logs_in_without_a_hash() {
        let hasher = Hasher::new(&Limits::default());
        assert!(!hasher.verify("no account has this password".to_owned(), None).await.unwrap());
        let stored = hasher.hash("a password".to_owned()).await.unwrap();
        assert!(hasher.verify("a password".to_owned(), Some(stored.clone())).await.unwrap());
        assert!(!hasher.verify("another one".to_owned(), Some(stored)).await.unwrap());
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
