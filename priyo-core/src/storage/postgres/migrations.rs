//! Bringing the schema up to date, by one server at a time.

use sqlx::{Executor, Row};

use super::connection::Connection;
use super::failure::Failure;
use super::values::{Db, statements};
use crate::storage::migrate::{self, Migration};

/// The way to the schema of today. Append only.
const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "init", sql: include_str!("../../../migrations/postgres/0001_init.sql") },
    Migration { number: 2, name: "files", sql: include_str!("../../../migrations/postgres/0002_files.sql") },
    Migration {
        number: 3,
        name: "accounts",
        sql: include_str!("../../../migrations/postgres/0003_accounts.sql"),
    },
    Migration {
        number: 4,
        name: "visitors",
        sql: include_str!("../../../migrations/postgres/0004_visitors.sql"),
    },
];

/// A table that has grown large takes its time; another server that is at it is waited for.
const TAKE_TIME: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'";
const HISTORY: &str =
    "CREATE TABLE priyo_migrations (number bigint NOT NULL PRIMARY KEY, name text NOT NULL)";

statements! {
    LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('priyo_migrations of ' || $1, 0))";
    HAVE_BEGUN = "SELECT to_regclass('priyo_migrations') IS NOT NULL";
    /// What belongs to an extension is nobody's.
    FOREIGN = "
        SELECT c.relname FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid
        WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
            AND NOT EXISTS (SELECT 1 FROM pg_class h WHERE h.relnamespace = n.oid AND h.relname = 'priyo_migrations')
            AND NOT EXISTS (SELECT 1 FROM pg_depend d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
        ORDER BY c.relkind = 'S', c.relname LIMIT 1";
    APPLIED = "SELECT number, name FROM priyo_migrations ORDER BY number";
    NOTE = "INSERT INTO priyo_migrations (number, name) VALUES ($1, $2)";
}

/// Waits until no other server changes this schema. It lasts until the end of the transaction.
pub(super) async fn lock(db: &mut Connection, schema: &str) -> Result<(), Failure> {
    db.query(LOCK).bind(schema.to_owned()).execute(&mut db.inner).await?;
    Ok(())
}

/// Whether the schema is ours already.
pub(super) async fn have_begun(db: &mut Connection) -> Result<bool, Failure> {
    Ok(db.query(HAVE_BEGUN).fetch_one(&mut db.inner).await?.try_get(0)?)
}

/// A table, or something like one, of a schema that has some but not ours.
pub(super) async fn foreign(db: &mut Connection, schema: &str) -> Result<Option<String>, Failure> {
    let found = db.query(FOREIGN).bind(schema.to_owned()).fetch_optional(&mut db.inner).await?;
    Ok(found.map(|row| row.try_get(0)).transpose()?)
}

/// Takes the steps that are missing: all or none, with the transaction that this runs in.
pub(super) async fn run(db: &mut Connection, schema: &str) -> Result<(), Failure> {
    db.inner.execute(sqlx::raw_sql(TAKE_TIME)).await?;
    lock(db, schema).await?;
    if let Some(found) = foreign(db, schema).await? {
        return Err(Failure::Foreign { schema: schema.to_owned(), found });
    }
    // Not `IF NOT EXISTS`, for which one needs the right to make tables even where there is one.
    if !have_begun(db).await? {
        db.inner.execute(sqlx::raw_sql(HISTORY)).await?;
    }
    let applied = db.query(APPLIED).try_map(|row| {
        let number: i64 = row.try_get(0)?;
        Ok((u32::try_from(number).unwrap_or(u32::MAX), row.try_get(1)?))
    });
    let applied = applied.fetch_all(&mut db.inner).await?;
    for step in migrate::pending(MIGRATIONS, &applied)? {
        db.inner.execute(sqlx::raw_sql(step.sql)).await?;
        let note = db.query(NOTE).bind(Db(u64::from(step.number))).bind(step.name);
        note.execute(&mut db.inner).await?;
        tracing::info!(migration = step.name, "the database is at schema version {}", step.number);
    }
    Ok(())
}
