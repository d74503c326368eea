//! PostgreSQL in trouble, each time with a server of the test's own.
//!
//! What must hold: a client is answered within [`ANSWERED_WITHIN`], by what was done or by 503 and nothing else; no
//! socket is dropped; nothing that was acknowledged is lost and nothing is stored twice; and soon after the database is
//! back everything goes on, without a restart.

mod absent;
mod answers;
mod claims;
mod crowd;
mod exhausted;
mod killed;
mod migrations;
mod paused;
mod pgbouncer;
mod statements;
mod together;
mod unanswered;

use std::time::Duration;

use priyo_tests::Database;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

/// The longest that anybody may wait for an answer, whatever the database does.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// How soon things go on when the database is back.
const BACK_WITHIN: Duration = Duration::from_secs(2);

/// How many rounds to go, in the short form and in the long one.
fn rounds(short: u64, long: u64) -> u64 {
    if is_long() { long } else { short }
}

fn is_long() -> bool {
    std::env::var_os("PRIYO_LONG").is_some_and(|value| !value.is_empty())
}

/// A connection that looks at the tables of a database.
async fn connect(database: &Database) -> PgConnection {
    let url = database.url();
    let schema = url.split("schema=").nth(1).and_then(|rest| rest.split('&').next()).expect("a schema");
    let options: PgConnectOptions = url.parse().unwrap();
    PgConnection::connect_with(&options.options([("search_path", schema)])).await.unwrap()
}

/// How often the database server had to break off somebody because two waited for each other.
async fn deadlocks(database: &Database) -> u64 {
    let found = database.query("SELECT sum(deadlocks) AS deadlocks FROM pg_stat_database").await;
    found[0]["deadlocks"].as_u64().unwrap()
}
