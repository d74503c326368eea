//! Chance that can be repeated, and what a failed run leaves behind.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use priyo_tests::Database;
use tempfile::TempDir;

/// Pseudo-random numbers (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from `from` up to but not `to`.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from)
    }

    /// One of so many places.
    pub(crate) fn place(&mut self, places: usize) -> usize {
        usize::try_from(self.between(0, places as u64)).unwrap()
    }

    /// Yes or no.
    pub(crate) fn coin(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }
}

/// The seed of this run.
pub(crate) fn seed() -> u64 {
    match std::env::var("PRIYO_SEED") {
        Ok(seed) => seed.parse().expect("PRIYO_SEED is a number"),
        Err(_) => RandomState::new().hash_one("seed"),
    }
}

/// Whether the long forms of the tests are asked for.
pub(crate) fn is_long() -> bool {
    std::env::var_os("PRIYO_LONG").is_some_and(|value| !value.is_empty())
}

/// How many rounds to go in the short form and in the long one, if nobody says otherwise.
pub(crate) fn rounds(short: u64, long: u64) -> u64 {
    match std::env::var("PRIYO_ROUNDS") {
        Ok(rounds) => rounds.parse().expect("PRIYO_ROUNDS is a number"),
        Err(_) if is_long() => long,
        Err(_) => short,
    }
}

/// The data and the history of a run, and the seed that repeats it. They go with it, unless it fails: then they stay,
/// and it says where they are.
#[derive(Debug)]
pub(crate) struct Evidence {
    seed: u64,
    dir: Option<TempDir>,
}

impl Evidence {
    /// Of a run by the seed that is asked for, or one that nobody has tried.
    pub(crate) fn new() -> Self {
        Self::of(seed())
    }

    /// Of a run by this seed.
    pub(crate) fn of(seed: u64) -> Self {
        let evidence = Self { seed, dir: Some(TempDir::new().unwrap()) };
        // One that is killed for taking too long has no time to say it.
        println!("PRIYO_SEED={seed} history={}", evidence.history().display());
        evidence
    }

    /// The chance of the run.
    pub(crate) fn dice(&self) -> Dice {
        Dice::new(self.seed)
    }

    /// A database for a server, and a folder for what it keeps beside it.
    pub(crate) fn database(&self) -> Database {
        Database::in_folder(&self.folder("data"))
    }

    /// A folder, made if it is not there.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.root().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder.canonicalize().unwrap()
    }

    /// Where the history goes.
    pub(crate) fn history(&self) -> PathBuf {
        self.root().join("history.jsonl")
    }

    fn root(&self) -> &Path {
        self.dir.as_ref().expect("it is taken only at the end").path()
    }
}

impl Drop for Evidence {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(dir) = self.dir.take()
        {
            let kept = dir.keep();
            eprintln!("kept: PRIYO_SEED={} history={}", self.seed, kept.join("history.jsonl").display());
        }
    }
}
