//! A connection that is set up, and the transaction on it.

use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor};

use super::failure::Failure;
use super::values::Statement;

/// What every transaction begins with. A statement that comes after a lock must see what the lock has waited for:
/// with any stricter level it would see the time before.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// What holds on every connection, beside the schema.
///
/// Times are in milliseconds. They are for the server: it ends by itself what its client has given up, before the locks
/// of a client that is gone or frozen are in the way of others for long.
///
/// Every statement has an index for what it looks for, so the plan is known from the beginning: made once, without
/// looking at values, and never a walk over a whole table, also while nothing is known yet of a table that was empty
/// a moment ago. Compiling a plan would take longer than running it.
const SETTINGS: &[(&str, &str)] = &[
    ("client_min_messages", "warning"),
    ("default_transaction_isolation", "'read committed'"),
    ("statement_timeout", "5000"),
    ("lock_timeout", "1000"),
    ("idle_in_transaction_session_timeout", "5000"),
    // In seconds. Firewalls forget a connection that is silent for longer, and neither side is told.
    ("tcp_keepalives_idle", "60"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// How connections are made.
#[derive(Clone)]
pub(super) struct Connector {
    options: PgConnectOptions,
    /// Run on a new connection; nothing behind a PgBouncer, which hands the next transaction to another one.
    setup: Option<Arc<str>>,
    /// Begins a transaction; behind a PgBouncer it is set up in the same breath.
    begin: Arc<str>,
}

impl Connector {
    /// The way to `schema`.
    pub(super) fn new(options: PgConnectOptions, schema: &str, pgbouncer: bool) -> Self {
        let set = if pgbouncer { "SET LOCAL" } else { "SET" };
        let search_path = quote(schema);
        let search_path = ("search_path", search_path.as_str());
        let all = std::iter::once(&search_path).chain(SETTINGS);
        let setup: Vec<String> = all.map(|(name, value)| format!("{set} {name} = {value}")).collect();
        let setup = setup.join("; ");
        if pgbouncer {
            // It refuses a connection that asks for what it does not know.
            let options = options.extra_float_digits(None).statement_cache_capacity(0);
            Self { options, setup: None, begin: format!("{BEGIN}; {setup}").into() }
        } else {
            Self { options, setup: Some(setup.into()), begin: BEGIN.into() }
        }
    }

    /// Makes a connection.
    pub(super) async fn connect(&self) -> sqlx::Result<Connection> {
        let mut inner = PgConnection::connect_with(&self.options).await?;
        if let Some(setup) = &self.setup {
            inner.execute(sqlx::raw_sql(AssertSqlSafe(Arc::clone(setup)))).await?;
        }
        Ok(Connection { inner, begin: Arc::clone(&self.begin), is_pooled_outside: self.setup.is_none() })
    }
}

/// A name as it stands in a statement.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A connection.
pub(super) struct Connection {
    pub(super) inner: PgConnection,
    begin: Arc<str>,
    is_pooled_outside: bool,
}

impl Connection {
    /// A statement to bind values to. It is prepared once on each connection.
    pub(super) fn query(&self, sql: &'static str) -> Statement {
        sqlx::query(sql).persistent(!self.is_pooled_outside)
    }

    /// Whether a statement by itself could land anywhere, so that even a read needs a transaction.
    pub(super) fn is_pooled_outside(&self) -> bool {
        self.is_pooled_outside
    }

    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        self.inner.execute(sqlx::raw_sql(AssertSqlSafe(Arc::clone(&self.begin)))).await?;
        Ok(())
    }

    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        self.inner.execute(sqlx::raw_sql("COMMIT")).await?;
        Ok(())
    }

    pub(super) async fn rollback(&mut self) -> Result<(), Failure> {
        self.inner.execute(sqlx::raw_sql("ROLLBACK")).await?;
        Ok(())
    }

    /// Waits for the server to answer to nothing in particular.
    pub(super) async fn ping(&mut self) -> Result<(), Failure> {
        Ok(self.inner.ping().await?)
    }

    /// Waits for the database to answer, and not for a PgBouncer in front of it: that one knows of transactions only.
    pub(super) async fn ask_database(&mut self) -> Result<(), Failure> {
        self.begin().await?;
        self.rollback().await
    }

    /// Says goodbye to the server.
    pub(super) async fn close(self) {
        // It ends either way.
        let _ = self.inner.close().await;
    }
}
