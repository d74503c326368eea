//! What can go wrong with the database, and what the engine is told of it.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::storage::StorageError;
use crate::storage::migrate::MigrationError;

/// Why a database cannot be opened. The texts are for the person who starts the program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file holds something else. It was not touched.
    #[error("{} is not an SQLite database", .0.display())]
    NotADatabase(PathBuf),
    /// The database holds another program's tables. It was not touched.
    #[error("{} is a database of another program (it has the table {table:?})", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// One of the tables.
        table: String,
    },
    /// Another server has it open. Two would give out the same numbers.
    #[error("{} is in use by another server (which holds {})", path.display(), lock.display())]
    InUse {
        /// The file.
        path: PathBuf,
        /// The file that the other server has locked.
        lock: PathBuf,
    },
    /// The file is on a network file system, where SQLite's locks and shared memory do not work.
    #[error("{} is on a network file system ({kind}), which SQLite cannot work on safely", path.display())]
    NetworkFileSystem {
        /// The file.
        path: PathBuf,
        /// Which file system.
        kind: &'static str,
    },
    /// The file can be read but not written.
    #[error("{} is read-only, and a server must write it", .0.display())]
    ReadOnly(PathBuf),
    /// The file cannot be made or read, or its folder cannot be written, where the log has to be.
    #[error("cannot open {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// SQLite cannot open it.
    #[error("cannot open {} as a database: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<dyn StdError + Send + Sync>,
    },
}

/// Why one operation failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    #[error(transparent)]
    Migration(#[from] MigrationError),
    #[error("an operation panicked")]
    Panicked,
    #[error("the storage is closed")]
    Closed,
    #[error("every reader is busy")]
    Busy,
    /// The transaction that the operation was a part of is gone, whatever the operation itself did.
    #[error("the transaction was rolled back")]
    RolledBack(#[source] Arc<Failure>),
}

impl Failure {
    /// Whether the same call may work later.
    fn is_passing(&self) -> bool {
        match self {
            Self::Database(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::DiskFull
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::OutOfMemory
                        | ErrorCode::ReadOnly
                        | ErrorCode::CannotOpen
                )
            ),
            Self::Migration(_) | Self::Panicked => false,
            Self::Closed | Self::Busy | Self::RolledBack(_) => true,
        }
    }
}

impl From<Failure> for StorageError {
    fn from(failure: Failure) -> Self {
        if failure.is_passing() {
            Self::Unavailable(Box::new(failure))
        } else {
            Self::Backend(Box::new(failure))
        }
    }
}

impl From<Arc<Failure>> for StorageError {
    fn from(failure: Arc<Failure>) -> Self {
        if failure.is_passing() {
            Self::Unavailable(Box::new(failure))
        } else {
            Self::Backend(Box::new(failure))
        }
    }
}
