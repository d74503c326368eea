//! Which storage the tests run on, and a database of one's own on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use priyo_core::auth::Identity;
use priyo_core::storage::Storage;
use priyo_core::{ChatEngine, EngineBuilder};
use serde_json::Value;
use tempfile::TempDir;

use crate::postgres::Schema;
use crate::sqlite::File;
use crate::{Cluster, Fingerprint, PgBouncer};

/// The variable that chooses the storage.
const STORAGE: &str = "PRIYO_TEST_STORAGE";

/// A database of one's own, and a folder for what a server keeps beside it. Whoever is started on it again finds
/// everything that was left.
#[derive(Debug, Clone)]
pub struct Database {
    place: Place,
    folder: PathBuf,
    /// The folder goes with the last of those who know it.
    _temporary: Option<Arc<TempDir>>,
}

#[derive(Debug, Clone)]
enum Place {
    Sqlite(File),
    Postgres(Schema),
}

impl Database {
    /// A new one, on the storage that the tests run on.
    #[allow(clippy::new_without_default, reason = "a default that makes a folder would surprise")]
    pub fn new() -> Self {
        let folder = Arc::new(TempDir::new().unwrap());
        Self { _temporary: Some(Arc::clone(&folder)), ..Self::in_folder(folder.path()) }
    }

    /// A new one, for a test that looks after the folder.
    pub fn in_folder(folder: &Path) -> Self {
        let place = match std::env::var(STORAGE).as_deref() {
            Err(_) | Ok("" | "sqlite") => Place::Sqlite(File::in_folder(folder)),
            Ok("postgres") => Place::Postgres(Schema::shared()),
            Ok(other) => panic!("{STORAGE} is {other}: say sqlite or postgres"),
        };
        Self { place, folder: folder.to_owned(), _temporary: None }
    }

    /// The file in a folder, for a test of what only files can suffer.
    pub fn file_in(folder: &Path) -> Self {
        let place = Place::Sqlite(File::in_folder(folder));
        Self { place, folder: folder.to_owned(), _temporary: None }
    }

    /// A new one, on a server of the test's own.
    pub fn on(cluster: &Cluster) -> Self {
        let folder = Arc::new(TempDir::new().unwrap());
        let place = Place::Postgres(Schema::on(cluster.url()));
        Self { place, folder: folder.path().to_owned(), _temporary: Some(folder) }
    }

    /// The same, for servers that reach it through a PgBouncer.
    pub fn behind(pgbouncer: &PgBouncer, cluster: &Cluster) -> Self {
        let mut database = Self::on(cluster);
        database.place = Place::Postgres(Schema::on(cluster.url()).behind(&pgbouncer.url()));
        database
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The setting that brings a server here.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Sqlite(file) => file.url(),
            Place::Postgres(schema) => schema.url(),
        }
    }

    /// An engine on it, to be put together.
    pub async fn engine(&self, identity: impl Into<Identity>) -> EngineBuilder {
        match &self.place {
            Place::Sqlite(file) => ChatEngine::builder(file.storage(), identity),
            Place::Postgres(schema) => ChatEngine::builder(schema.storage().await, identity),
        }
    }

    /// A storage for a server.
    pub async fn storage(&self) -> Arc<dyn Storage> {
        match &self.place {
            Place::Sqlite(file) => Arc::new(file.storage()),
            Place::Postgres(schema) => Arc::new(schema.storage().await),
        }
    }

    /// A storage for somebody who uses it while a server does.
    pub async fn beside_server(&self) -> Arc<dyn Storage> {
        match &self.place {
            Place::Sqlite(file) => Arc::new(file.beside_server()),
            Place::Postgres(schema) => Arc::new(schema.beside_server().await),
        }
    }

    /// How many rows a table has.
    pub async fn rows(&self, table: &str) -> u64 {
        let counted = self.query(&format!("SELECT count(*) AS rows FROM {table}")).await;
        counted[0]["rows"].as_u64().unwrap()
    }

    /// What a `SELECT` finds, also while a server is at work: each row as an object, its ids as text.
    pub async fn query(&self, sql: &str) -> Vec<Value> {
        match &self.place {
            Place::Sqlite(file) => file.query(sql),
            Place::Postgres(schema) => schema.query(sql).await,
        }
    }

    /// All that is stored, to be compared with what is stored at another time.
    pub async fn fingerprint(&self) -> Fingerprint {
        let mut found = Fingerprint::default();
        let tables = match &self.place {
            Place::Sqlite(file) => file.everything(),
            Place::Postgres(schema) => schema.everything().await,
        };
        for (table, rows) in tables {
            found.add(&table, rows);
        }
        found
    }

    /// Everything that is stored, as text.
    pub async fn dump(&self) -> String {
        match &self.place {
            Place::Sqlite(file) => file.dump(),
            Place::Postgres(schema) => schema.dump().await,
        }
    }

    /// Does to it what no program of ours would.
    pub async fn execute(&self, sql: &str) {
        match &self.place {
            Place::Sqlite(file) => file.execute(sql),
            Place::Postgres(schema) => schema.execute(sql).await,
        }
    }

    /// Fails unless all that is stored is in order.
    pub async fn assert_sound(&self) {
        match &self.place {
            Place::Sqlite(file) => file.assert_sound(),
            Place::Postgres(schema) => schema.assert_sound().await,
        }
    }
}
