//! Storage in PostgreSQL, for more than one machine.
//!
//! Any number of servers may share a database: what must be decided together with a write is decided under the locks
//! of rows, in the database. Each call is run by `calls`, on a connection from `pool`: a read is one statement, which
//! sees one state of the database; a write is one transaction of a number of statements that does not depend on how
//! much it writes. The other modules are the six traits, each beginning with its SQL.
//!
//! # Locks
//!
//! Whoever locks rows does so in one order, so that no two wait for each other:
//!
//! 1. conversations, by id;
//! 2. participants, by conversation and user;
//! 3. files, by id;
//! 4. how much each user has stored, by user.
//!
//! A conversation is locked by what needs a number in it or changes who is in it or whether it is open, so that these
//! come one after the other. A participant is locked by what changes what they have read or were handed: their
//! `covered` intervals and the sum of them change under that lock alone. A file is locked by what sends it and by what
//! takes it away because nobody did, so that only one of the two happens. Apart from these are users, who are locked
//! by id, then their sessions, by id, and then the tokens of these. Whoever begins a session locks its user a little,
//! and whoever ends all of a user's locks them wholly first: what began before is seen by the end.

mod append;
mod calls;
mod connection;
mod conversations;
mod delivered;
mod failure;
mod files;
mod inbox;
mod listing;
mod messages;
mod migrations;
mod open;
mod outage;
#[cfg(test)]
mod plans;
mod pool;
mod sessions;
mod support;
mod tls;
mod unread;
mod url;
mod users;
mod values;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgConnectOptions;

use self::calls::{Calls, Do, Kind};
use self::connection::Connector;
pub use self::failure::OpenError;
use self::pool::{Bounds, Pool};
use super::{Result, Storage};

/// The longest that a setting may make anyone wait; a call is given up long before.
const LONGEST: Duration = Duration::from_secs(60);

/// How to open a database.
#[derive(Clone)]
#[must_use = "options do nothing until `open` is called"]
pub struct PostgresOptions {
    connect: PgConnectOptions,
    schema: String,
    bounds: Bounds,
    pgbouncer: bool,
}

impl PostgresOptions {
    fn new(connect: PgConnectOptions) -> Self {
        let bounds =
            Bounds { connections: 10, acquire: Duration::from_secs(3), connect: Duration::from_secs(3) };
        Self { connect, schema: "priyo".into(), bounds, pgbouncer: false }
    }

    /// Reads `postgresql://user:password@host:port/database?schema=priyo`. The host may also be the folder of a
    /// socket: `?host=/run/postgresql`.
    ///
    /// Of the parameters that Prisma and libpq know these are understood: `schema`, `connection_limit`,
    /// `pool_timeout` and `connect_timeout` (in seconds), `pgbouncer`, `sslmode`, `sslrootcert`, `sslcert`, `sslkey`,
    /// `sslaccept`, `application_name`, `options`, and `host`, `port`, `dbname`, `user` and `password`. What the URL
    /// does not say is taken from `PGPASSWORD` and its kin, where every client of PostgreSQL looks.
    ///
    /// # Errors
    ///
    /// - [`OpenError::Url`] when it is not such a URL.
    /// - [`OpenError::UnknownParameter`] and [`OpenError::Parameter`] when a parameter cannot be meant.
    pub fn from_url(url: &str) -> Result<Self, OpenError> {
        url::parse(url)
    }

    /// The schema that holds the tables; `priyo` unless said otherwise. It is made if there is none. Nothing of
    /// another program may be in it.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// Most connections at once, at least 1; 10 unless said otherwise. More than the server has cores and disks
    /// helps only while they wait for each other.
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.bounds.connections = connections.max(1);
        self
    }

    /// How long a call waits for a free connection; 3 s unless said otherwise. After 4 s a call is given up whatever
    /// it waits for.
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.acquire = timeout.min(LONGEST);
        self
    }

    /// How long making a connection may take; 3 s unless said otherwise.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.connect = timeout.min(LONGEST);
        self
    }

    /// Whether there is a PgBouncer in between that hands out connections for a transaction at a time. Each call is
    /// then a transaction that brings its settings along, and no statement stays prepared, which costs some time.
    pub fn pgbouncer(mut self, pgbouncer: bool) -> Self {
        self.pgbouncer = pgbouncer;
        self
    }

    /// Connects to a database and makes the schema if there is none. A server that is about to start is waited for;
    /// after 8 s at the latest there is an answer.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: each says what is in the way.
    pub async fn open(self) -> Result<PostgresStorage, OpenError> {
        open::check_schema_name(&self.schema)?;
        let connector = Connector::new(self.connect.clone(), &self.schema, self.pgbouncer);
        let first = open::first_connection(&connector, &self.connect, &self.schema).await?;
        let calls = Calls::new(Pool::new(connector, self.bounds, first));
        Ok(PostgresStorage { calls, schema: self.schema })
    }
}

/// Without the password.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("schema", &self.schema)
            .field("bounds", &self.bounds)
            .field("pgbouncer", &self.pgbouncer)
            .finish_non_exhaustive()
    }
}

/// A [`Storage`] in a schema of a PostgreSQL database, which other servers may use at the same time.
#[derive(Debug)]
pub struct PostgresStorage {
    calls: Calls,
    schema: String,
}

impl PostgresStorage {
    /// Opens the database that a URL names: see [`PostgresOptions::from_url`].
    ///
    /// # Errors
    ///
    /// [`OpenError`]: each says what is in the way.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        PostgresOptions::from_url(url)?.open().await
    }

    async fn read<I, T>(&self, input: I, work: Do<I, T>) -> Result<T>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.calls.run(Kind::Read, input, work).await
    }

    async fn write<I, T>(&self, input: I, work: Do<I, T>) -> Result<T>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.calls.run(Kind::Write, input, work).await
    }
}

#[async_trait]
impl Storage for PostgresStorage {
    async fn migrate(&self) -> Result<()> {
        let schema = self.schema.clone();
        self.calls.run(Kind::Migration, schema, |db, schema| Box::pin(migrations::run(db, schema))).await
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn ping(&self) -> Result<()> {
        self.read((), |db, ()| Box::pin(db.ping())).await
    }

    async fn close(&self) {
        self.calls.close().await;
    }
}
