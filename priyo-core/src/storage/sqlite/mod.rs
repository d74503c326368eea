//! Storage in one SQLite file: nothing to install, nothing to run beside the program.
//!
//! One thread writes, grouping what waits into one transaction (`writer`); a few threads read (`readers`). In
//! WAL mode neither waits for the other. The other modules are the six traits, each beginning with its SQL.

mod append;
mod conversations;
mod failure;
mod files;
mod log;
mod messages;
mod open;
#[cfg(test)]
mod plans;
mod readers;
mod sessions;
mod support;
mod unread;
mod users;
mod values;
mod writer;

use std::path::Path;

use async_trait::async_trait;
use rusqlite::Connection;

use self::failure::Failure;
pub use self::failure::OpenError;
use self::open::ServerLock;
use self::readers::Readers;
use self::writer::Writer;
use super::migrate::{self, Migration};
use super::{Result, Storage};
use crate::telemetry;

/// The way to the schema of today. Append only.
const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "init", sql: include_str!("../../../migrations/sqlite/0001_init.sql") },
    Migration { number: 2, name: "files", sql: include_str!("../../../migrations/sqlite/0002_files.sql") },
    Migration {
        number: 3,
        name: "accounts",
        sql: include_str!("../../../migrations/sqlite/0003_accounts.sql"),
    },
    Migration {
        number: 4,
        name: "visitors",
        sql: include_str!("../../../migrations/sqlite/0004_visitors.sql"),
    },
];

/// How much of what was accepted survives a power loss. A crash of the program alone loses nothing either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// All of it: each commit waits for the disk.
    #[default]
    Full,
    /// All but the last moments: many times the writes on a slow disk. The database stays whole.
    Normal,
}

impl Durability {
    /// The name in settings, which is SQLite's own.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }

    /// The choice with this name, in either case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Full, Self::Normal].into_iter().find(|choice| choice.as_str().eq_ignore_ascii_case(name))
    }
}

/// How to open a database.
#[derive(Debug, Clone)]
#[must_use = "options do nothing until `open` is called"]
pub struct SqliteOptions {
    durability: Durability,
    readers: usize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { durability: Durability::default(), readers: 4 }
    }
}

impl SqliteOptions {
    /// How much a power loss may cost; nothing unless said otherwise.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How many reads may go on at once, at least 1; 4 unless said otherwise. More than there are cores helps only
    /// while the disk is waited for.
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// Opens the database of a server, or makes an empty one that only the owner may read. Blocks on the disk.
    ///
    /// The file stays locked (by `<path>.lock`) until the storage is closed or dropped: a second server would give
    /// out the same numbers.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: each says what is in the way.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<SqliteStorage, OpenError> {
        let path = open::prepare_file(path.as_ref())?;
        let lock = ServerLock::take(&path)?;
        self.start(&path, Some(lock))
    }

    /// Opens a database whether a server has it open or not, for a command that sends no messages.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: each says what is in the way.
    pub fn open_beside_server(&self, path: impl AsRef<Path>) -> Result<SqliteStorage, OpenError> {
        let path = open::prepare_file(path.as_ref())?;
        self.start(&path, None)
    }

    fn start(&self, path: &Path, lock: Option<ServerLock>) -> Result<SqliteStorage, OpenError> {
        // Before the readers: a connection that cannot write could not make the files of the log.
        let db = open::writer(path, self.durability)?;
        let readers = (0..self.readers).map(|_| open::reader(path)).collect::<Result<Vec<_>, _>>()?;
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        Ok(SqliteStorage {
            readers: Readers::start(readers).map_err(io)?,
            writer: Writer::start(db, lock).map_err(io)?,
        })
    }
}

/// A [`Storage`] in one SQLite file.
///
/// Dropping it waits, for moments, until the file is closed; [`Storage::close`] does so without blocking.
#[derive(Debug)]
pub struct SqliteStorage {
    readers: Readers,
    writer: Writer,
}

impl SqliteStorage {
    /// Opens the database of a server with the default [`SqliteOptions`].
    ///
    /// # Errors
    ///
    /// [`OpenError`]: each says what is in the way.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        SqliteOptions::default().open(path)
    }

    /// Opens a database whether a server has it open or not, for a command that sends no messages.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: each says what is in the way.
    pub fn open_beside_server(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        SqliteOptions::default().readers(1).open_beside_server(path)
    }

    async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        telemetry::storage_called("read");
        self.readers.run(work).await
    }

    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        telemetry::storage_called("write");
        self.writer.run(work).await
    }
}

#[async_trait]
impl Storage for SqliteStorage {
    async fn migrate(&self) -> Result<()> {
        self.write(|db| run_migrations(db, MIGRATIONS)).await
    }

    /// A command beside the server adds accounts, and changes nothing that a server remembers.
    fn is_shared(&self) -> bool {
        false
    }

    async fn ping(&self) -> Result<()> {
        self.read(|db| Ok(db.prepare_cached("SELECT 1")?.query_row([], |_| Ok(()))?)).await
    }

    async fn close(&self) {
        // First the readers: an open one keeps the log from being emptied.
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Runs within the writer's transaction, which also keeps other processes out: all steps are taken, or none.
fn run_migrations(db: &Connection, all: &[Migration]) -> Result<(), Failure> {
    db.execute_batch(
        "CREATE TABLE IF NOT EXISTS priyo_migrations (number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL) STRICT",
    )?;
    let applied = db
        .prepare("SELECT number, name FROM priyo_migrations ORDER BY number")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(u32, String)>>>()?;
    for step in migrate::pending(all, &applied)? {
        db.execute_batch(step.sql)?;
        db.execute("INSERT INTO priyo_migrations (number, name) VALUES (?1, ?2)", (step.number, step.name))?;
        tracing::info!(migration = step.name, "the database is at schema version {}", step.number);
    }
    Ok(())
}
