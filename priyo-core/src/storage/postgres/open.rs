//! Getting hold of the database: is there one, is it fit for us, and is the schema ours.

use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Error as SqlError, Executor, Row};
use tokio::time::{Instant, sleep, timeout_at};

use super::connection::{Connection, Connector, quote};
use super::failure::{Failure, OpenError};
use super::migrations;
use super::values::statements;

/// How long a program that is started may wait for its database.
const WITHIN: Duration = Duration::from_secs(8);
/// How often a server that is about to start is asked.
const PAUSE: Duration = Duration::from_millis(200);
/// What the statements need, as `server_version_num` writes it.
const OLDEST: u32 = 13_00_00;

statements! {
    SERVER = "SELECT current_setting('server_version'), current_setting('server_encoding')";
    RIGHTS = "
        SELECT has_schema_privilege(oid, 'USAGE'), has_schema_privilege(oid, 'CREATE') FROM pg_namespace
        WHERE nspname = $1";
}

/// Connects, looks around, and makes the schema if there is none.
pub(super) async fn first_connection(
    connector: &Connector,
    to: &PgConnectOptions,
    schema: &str,
) -> Result<Connection, OpenError> {
    let address = address(to);
    let opening = async {
        let mut db = connect(connector, &address).await?;
        let looking = async {
            // Outside a transaction a PgBouncer could send each half of a query to another connection.
            db.begin().await.map_err(other)?;
            check_server(&mut db, &address).await?;
            prepare_schema(&mut db, schema, to.get_username()).await?;
            db.commit().await.map_err(other)
        };
        looking.await?;
        Ok(db)
    };
    timeout_at(Instant::now() + WITHIN, opening).await.unwrap_or_else(|_| {
        let source = format!("there was no answer within {} s", WITHIN.as_secs()).into();
        Err(OpenError::Unreachable { address: address.clone(), source })
    })
}

async fn connect(connector: &Connector, address: &str) -> Result<Connection, OpenError> {
    loop {
        let error = match connector.connect().await {
            Ok(db) => return Ok(db),
            Err(error) => error,
        };
        // cannot_connect_now: it is about to start. Any other answer will not change by itself.
        if !error.as_database_error().is_some_and(|error| has_code(error, "57P03")) {
            return Err(refusal(error, address));
        }
        sleep(PAUSE).await;
    }
}

/// Names what the server says to a stranger.
fn refusal(error: SqlError, address: &str) -> OpenError {
    let address = address.to_owned();
    match error {
        SqlError::Io(_) | SqlError::Tls(_) => OpenError::Unreachable { address, source: Box::new(error) },
        SqlError::Database(error) => {
            let is = |code| has_code(error.as_ref(), code);
            if is("08P01") && error.message().contains("unsupported startup parameter") {
                return OpenError::PgBouncer { address };
            }
            // invalid_authorization_specification, invalid_password
            let (is_refused, is_absent) = (is("28000") || is("28P01"), is("3D000"));
            let source = error.message().to_owned().into();
            if is_refused {
                OpenError::Refused { address, source }
            } else if is_absent {
                OpenError::NoDatabase { address, source }
            } else {
                OpenError::Unreachable { address, source }
            }
        }
        error => OpenError::Database(Box::new(error)),
    }
}

async fn check_server(db: &mut Connection, address: &str) -> Result<(), OpenError> {
    let server = db.query(SERVER).fetch_one(&mut db.inner).await.map_err(other)?;
    let (version, encoding): (String, String) =
        (server.try_get(0).map_err(other)?, server.try_get(1).map_err(other)?);
    if db.inner.server_version_num().is_some_and(|number| number < OLDEST) {
        return Err(OpenError::TooOld { address: address.to_owned(), found: version });
    }
    if encoding == "UTF8" { Ok(()) } else { Err(OpenError::NotUtf8(encoding)) }
}

async fn prepare_schema(db: &mut Connection, schema: &str, user: &str) -> Result<(), OpenError> {
    let not_allowed =
        |wish: &str, remedy: String| OpenError::NotAllowed { wish: format!("{wish} {schema:?}"), remedy };
    let (name, user) = (quote(schema), quote(user));
    let rights = db.query(RIGHTS).bind(schema.to_owned()).fetch_optional(&mut db.inner);
    let Some(rights) = rights.await.map_err(other)? else {
        migrations::lock(db, schema).await.map_err(other)?;
        let create = format!("CREATE SCHEMA IF NOT EXISTS {name}");
        return match db.inner.execute(sqlx::raw_sql(AssertSqlSafe(create))).await {
            Ok(_) => Ok(()),
            // insufficient_privilege
            Err(SqlError::Database(error)) if has_code(error.as_ref(), "42501") => {
                let remedy = format!("CREATE SCHEMA {name} AUTHORIZATION {user}");
                Err(not_allowed("make the schema", remedy))
            }
            Err(error) => Err(other(error)),
        };
    };
    let (may_use, may_create): (bool, bool) =
        (rights.try_get(0).map_err(other)?, rights.try_get(1).map_err(other)?);
    if !may_use {
        return Err(not_allowed("use the schema", format!("GRANT USAGE ON SCHEMA {name} TO {user}")));
    }
    if let Some(found) = migrations::foreign(db, schema).await.map_err(other)? {
        return Err(OpenError::Foreign { schema: schema.to_owned(), found });
    }
    if !may_create && !migrations::have_begun(db).await.map_err(other)? {
        let remedy = format!("GRANT CREATE ON SCHEMA {name} TO {user}");
        return Err(not_allowed("make tables in the schema", remedy));
    }
    Ok(())
}

fn has_code(error: &dyn DatabaseError, code: &str) -> bool {
    error.code().is_some_and(|found| found == code)
}

fn other(error: impl Into<Failure>) -> OpenError {
    OpenError::Database(Box::new(error.into()))
}

/// Where the server is, for a person.
fn address(to: &PgConnectOptions) -> String {
    let (host, port) = (to.get_host(), to.get_port());
    if host.starts_with('/') {
        format!("{host}/.s.PGSQL.{port}")
    } else if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Whether a schema can have this name. Those that begin with `pg_` are the server's.
pub(super) fn check_schema_name(schema: &str) -> Result<(), OpenError> {
    let fits = (1..=63).contains(&schema.len()) && !schema.contains('\0');
    let is_the_servers = schema.starts_with("pg_") || schema == "information_schema";
    if fits && !is_the_servers { Ok(()) } else { Err(OpenError::SchemaName(schema.to_owned())) }
}
