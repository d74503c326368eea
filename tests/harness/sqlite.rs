//! A database of its own for each test.
#![allow(clippy::expect_used, reason = "a test that has no database cannot go on")]

use priyo_core::storage::Storage;
use priyo_core::storage::sqlite::SqliteStorage;
use tempfile::TempDir;

/// A fresh, migrated database, and the folder that it is in, which goes when it is dropped.
///
/// # Panics
///
/// When it cannot be made.
pub async fn sqlite() -> (SqliteStorage, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let storage = SqliteStorage::open(folder.path().join("priyo.db")).expect("a database");
    storage.migrate().await.expect("a schema");
    (storage, folder)
}
