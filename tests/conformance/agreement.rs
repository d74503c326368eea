//! Both databases in step with the storage in memory, which is simple enough to be seen to be right.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::sync::Arc;

use priyo_core::storage::Storage;
use priyo_core::storage::conformance::{
    Store, operations_agree, random_operations_agree, random_operations_agree_over_a_restart,
};
use priyo_core::storage::sqlite::{Durability, SqliteOptions};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;

use super::memory::MemoryStorage;

fn in_memory() -> Store {
    Arc::new(MemoryStorage::new())
}

/// Nothing is lost here that would have to survive a power loss.
async fn sqlite(folder: &TempDir) -> Store {
    let options = SqliteOptions::default().durability(Durability::Normal);
    let storage = options.open(folder.path().join("priyo.db")).unwrap();
    storage.migrate().await.unwrap();
    Arc::new(storage)
}

/// How often, in the short form and in the long one.
pub(crate) fn cases(short: u32, long: u32) -> u32 {
    if std::env::var_os("PRIYO_LONG").is_some() { long } else { short }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_agrees_with_the_storage_in_memory_over_a_restart() {
    for seed in 0..u64::from(cases(4, 100)) {
        let folder = TempDir::new().unwrap();
        let store = sqlite(&folder).await;
        random_operations_agree_over_a_restart(store, &in_memory(), seed, async || sqlite(&folder).await)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_storages_in_memory_agree() {
    for seed in 0..u64::from(cases(100, 10_000)) {
        random_operations_agree(&in_memory(), &in_memory(), seed).await;
    }
}

/// Chance is new each time here; what fails is made as short as can be.
#[test]
fn sqlite_agrees_with_the_storage_in_memory_whatever_is_done() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = Config { cases: cases(20, 1_000), failure_persistence: None, ..Config::default() };
    let steps = prop::collection::vec(any::<u64>().no_shrink(), 1..80);

    let outcome = TestRunner::new(config).run(&steps, |steps| {
        runtime.block_on(async {
            let folder = TempDir::new().unwrap();
            operations_agree(&sqlite(&folder).await, &in_memory(), &steps).await;
        });
        Ok(())
    });

    outcome.unwrap();
}
