//! Chance that can be repeated, and what a failed run leaves behind.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

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
}

/// The seed of this run.
pub(crate) fn seed() -> u64 {
    match std::env::var("PRIYO_SEED") {
        Ok(seed) => seed.parse().expect("PRIYO_SEED is a number"),
        Err(_) => RandomState::new().hash_one("seed"),
    }
}

/// How many rounds to go.
pub(crate) fn rounds(default: u64) -> u64 {
    std::env::var("PRIYO_ROUNDS").map_or(default, |rounds| rounds.parse().expect("PRIYO_ROUNDS is a number"))
}

/// The data and the history of a run. They go with it, unless it fails: then they stay, and it says where they are.
#[derive(Debug)]
pub(crate) struct Evidence {
    seed: u64,
    dir: Option<TempDir>,
}

impl Evidence {
    pub(crate) fn of(seed: u64) -> Self {
        Self { seed, dir: Some(TempDir::new().unwrap()) }
    }

    /// A folder for the data of a server, made if it is not there.
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
            eprintln!("PRIYO_SEED={} history={}", self.seed, kept.join("history.jsonl").display());
        }
    }
}
