//! What can go wrong with the database, and what the engine is told of it.

use std::error::Error as StdError;

use sqlx::Error as SqlError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::storage::StorageError;
use crate::storage::migrate::MigrationError;

/// Why a database cannot be opened. The texts are for the person who starts the program; none shows the password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL cannot be read.
    #[error("the URL {0}; say for example postgresql://user:password@host:5432/database?schema=priyo")]
    Url(&'static str),
    /// The URL has a parameter that has no meaning here.
    #[error("the URL has a parameter {name:?} that is not known here; known are {}", known.join(", "))]
    UnknownParameter {
        /// The parameter.
        name: String,
        /// Those that are known.
        known: &'static [&'static str],
    },
    /// A parameter of the URL has a value that it cannot have.
    #[error("the parameter {name} of the URL {problem}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// What is wrong with its value.
        problem: &'static str,
    },
    /// No schema can have this name.
    #[error("{0:?} cannot be the name of a schema: it has 1 to 63 bytes and does not begin with pg_")]
    SchemaName(String),
    /// There is no server, or it does not answer.
    #[error("no PostgreSQL server answers at {address}: {source}")]
    Unreachable {
        /// Host and port, or the socket.
        address: String,
        /// Why not.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The server does not let the user in.
    #[error("the server at {address} refuses the user: {source}")]
    Refused {
        /// Host and port, or the socket.
        address: String,
        /// What the server says.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The server has no such database.
    #[error("the server at {address} has no such database: {source}; make it with CREATE DATABASE")]
    NoDatabase {
        /// Host and port, or the socket.
        address: String,
        /// What the server says.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// There is a PgBouncer in between that the URL does not tell of.
    #[error("a PgBouncer answers at {address}: say so in the URL with pgbouncer=true")]
    PgBouncer {
        /// Host and port, or the socket.
        address: String,
    },
    /// The server is older than what this program can work with.
    #[error("the server at {address} is too old ({found}): PostgreSQL 13 is the oldest that will do")]
    TooOld {
        /// Host and port, or the socket.
        address: String,
        /// Its version.
        found: String,
    },
    /// The database cannot hold every text.
    #[error("the database stores texts as {0}, which cannot hold all of them: make one with ENCODING 'UTF8'")]
    NotUtf8(String),
    /// The schema is another program's. It was not touched.
    #[error(
        "the schema {schema:?} belongs to another program (it has {found:?}): put another one into the URL, \
         for example ?schema=priyo"
    )]
    Foreign {
        /// The schema.
        schema: String,
        /// Something that is in it.
        found: String,
    },
    /// The user may not make the schema, or nothing in it.
    #[error("the user may not {wish}: let an administrator run {remedy}")]
    NotAllowed {
        /// What was to be done.
        wish: String,
        /// The statement that would help.
        remedy: String,
    },
    /// Something else is in the way.
    #[error("cannot work with the database: {0}")]
    Database(#[source] Box<dyn StdError + Send + Sync>),
}

/// Why one operation failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Database(#[from] SqlError),
    #[error("there is no way to the database")]
    Connect(#[source] SqlError),
    #[error(transparent)]
    Migration(#[from] MigrationError),
    #[error("the schema {schema:?} belongs to another program (it has {found:?})")]
    Foreign { schema: String, found: String },
    #[error("the id is taken")]
    IdTaken,
    #[error("an operation panicked")]
    Panicked,
    #[error("the storage is closed")]
    Closed,
    #[error("every connection is busy")]
    Busy,
    #[error("the database did not answer in time")]
    TimedOut,
    /// Nobody was answered lately, so this call was not begun.
    #[error("the database answers nobody")]
    Away,
    /// What was read a moment before is not so any more. The operation begins anew.
    #[error("another operation came in between too often")]
    Overtaken,
}

impl Failure {
    /// Whether the same call may work later.
    fn is_passing(&self) -> bool {
        match self {
            Self::Database(error) => is_io(error) || code(error).is_some_and(is_passing_code),
            Self::Connect(_) | Self::Closed | Self::Busy | Self::TimedOut | Self::Away | Self::Overtaken => {
                true
            }
            Self::Migration(_) | Self::Foreign { .. } | Self::IdTaken | Self::Panicked => false,
        }
    }

    /// Whether nothing has happened because of what others did at the same time, so that another try is due.
    pub(super) fn is_race(&self) -> bool {
        match self {
            Self::Database(SqlError::Database(error)) => {
                let error: &PgDatabaseError = error.downcast_ref();
                // serialization_failure, deadlock_detected
                matches!(error.code(), "40001" | "40P01") || is_outdated(error)
            }
            Self::Overtaken => true,
            _ => false,
        }
    }

    /// Whether others have kept a lock for too long.
    pub(super) fn is_lock_timeout(&self) -> bool {
        // lock_not_available
        matches!(self, Self::Database(error) if code(error) == Some("55P03"))
    }

    /// Whether all the time there was has gone by without an answer. A server that has no room for another connection
    /// has answered; one that says that nobody can connect now has not.
    pub(super) fn was_wait_in_vain(&self) -> bool {
        match self {
            // cannot_connect_now
            Self::Connect(error) => code(error).is_none_or(|code| code == "57P03"),
            Self::Busy | Self::TimedOut => true,
            _ => false,
        }
    }

    /// Whether the connection is of no use any more.
    pub(super) fn has_lost_connection(&self) -> bool {
        match self {
            Self::Database(SqlError::Database(error)) => {
                let error: &PgDatabaseError = error.downcast_ref();
                matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)
                    || self.is_of_standby()
                    || is_outdated(error)
            }
            // A value that is not as expected leaves the connection as it was.
            Self::Database(SqlError::ColumnDecode { .. } | SqlError::Encode(_) | SqlError::RowNotFound) => {
                false
            }
            Self::Database(_) | Self::Connect(_) | Self::TimedOut => true,
            _ => false,
        }
    }

    /// Whether the server only reads, and has done nothing. The name that led to it may lead to another by now.
    pub(super) fn is_of_standby(&self) -> bool {
        // read_only_sql_transaction
        matches!(self, Self::Database(error) if code(error) == Some("25006"))
    }
}

/// Whether a statement was prepared before the tables were changed, by the migration of a newer program, or is no
/// longer known.
fn is_outdated(error: &PgDatabaseError) -> bool {
    // feature_not_supported is what it says, and the text is in the language of the server.
    let is_of_other_form = error.code() == "0A000" && error.routine() == Some("RevalidateCachedQuery");
    // invalid_sql_statement_name
    is_of_other_form || error.code() == "26000"
}

fn is_io(error: &SqlError) -> bool {
    matches!(error, SqlError::Io(_) | SqlError::Tls(_))
}

fn code(error: &SqlError) -> Option<&str> {
    match error {
        SqlError::Database(error) => Some(error.downcast_ref::<PgDatabaseError>().code()),
        _ => None,
    }
}

/// Whether a server says this only for a while. The first two characters are a class.
fn is_passing_code(code: &str) -> bool {
    match code.get(..2) {
        // Connection lost, transaction undone by others, no resources, server ends or begins.
        Some("08" | "40" | "53") => true,
        Some("57") => code != "57P04", // database_dropped
        _ => matches!(
            code,
            "25006"   // read_only_sql_transaction
            | "25P03" // idle_in_transaction_session_timeout
            | "55P03" // lock_not_available
            | "58030" // io_error
        ),
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
