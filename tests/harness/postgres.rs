//! A schema in a PostgreSQL database.

use std::hash::{BuildHasher, RandomState};

use priyo_core::storage::Storage;
use priyo_core::storage::postgres::PostgresStorage;
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};

/// The variable that says where the tests may make schemas: a URL without one.
const SERVER: &str = "PRIYO_TEST_POSTGRES";

/// How many connections one server has. Many tests run at once, and the database server takes only so many.
const CONNECTIONS: u32 = 5;

/// A schema with a name of its own. It stays: what the tests run on is thrown away when they have ended.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    server: String,
    name: String,
    /// What stands between it and the servers of the tests: the URL of that.
    through: Option<String>,
}

impl Schema {
    /// In the database that all tests share.
    pub(crate) fn shared() -> Self {
        let server = std::env::var(SERVER).unwrap_or_else(|_| {
            panic!("{SERVER} is not set: `tests/run` sets it, and so can what `tests/postgres start` prints")
        });
        Self::on(&server)
    }

    pub(crate) fn on(server: &str) -> Self {
        let name = format!("test_{:016x}", RandomState::new().hash_one("schema"));
        Self { server: server.to_owned(), name, through: None }
    }

    pub(crate) fn behind(self, pgbouncer: &str) -> Self {
        Self { through: Some(format!("{pgbouncer}&pgbouncer=true")), ..self }
    }

    pub(crate) fn url(&self) -> String {
        self.url_with(CONNECTIONS)
    }

    fn url_with(&self, connections: u32) -> String {
        let Self { server, name, through } = self;
        let server = through.as_ref().unwrap_or(server);
        let joint = if server.contains('?') { '&' } else { '?' };
        format!("{server}{joint}schema={name}&connection_limit={connections}")
    }

    /// For a server.
    pub(crate) async fn storage(&self) -> PostgresStorage {
        PostgresStorage::open(&self.url()).await.unwrap()
    }

    /// For somebody who uses it while a server does.
    pub(crate) async fn beside_server(&self) -> PostgresStorage {
        PostgresStorage::open(&self.url_with(1)).await.unwrap()
    }

    pub(crate) async fn query(&self, sql: &str) -> Vec<Value> {
        query_on(&mut self.connect().await, sql).await
    }

    /// The rows of every table.
    pub(crate) async fn everything(&self) -> Vec<(String, Vec<Value>)> {
        let tables = "SELECT relname FROM pg_class
            WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'";
        let mut connection = self.connect().await;
        let mut all = Vec::new();
        for table in query_on(&mut connection, tables).await {
            let name = table["relname"].as_str().unwrap().to_owned();
            let rows = query_on(&mut connection, &format!("SELECT * FROM {name}")).await;
            all.push((name, rows));
        }
        all
    }

    pub(crate) async fn dump(&self) -> String {
        let rows: Vec<Value> = self.everything().await.into_iter().flat_map(|(_, rows)| rows).collect();
        assert!(!rows.is_empty(), "nothing is there at all");
        Value::from(rows).to_string()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&mut self.connect().await).await.unwrap();
    }

    /// Looks at every page, and for every row in each index.
    pub(crate) async fn assert_sound(&self) {
        const CHECK: &str = "
            BEGIN;
            SELECT pg_advisory_xact_lock(hashtext('amcheck'));
            CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA public;
            COMMIT;
            SELECT public.bt_index_check(indexrelid, true)
                FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
                WHERE relnamespace = current_schema()::regnamespace AND relkind = 'i'";
        const FAULTS: &str = "
            SELECT relname, blkno, offnum, msg FROM pg_class, public.verify_heapam(pg_class.oid)
                WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'";
        self.execute(CHECK).await;
        assert_eq!(self.query(FAULTS).await, Vec::<Value>::new());
    }

    async fn connect(&self) -> PgConnection {
        let options: PgConnectOptions = self.server.parse().unwrap();
        PgConnection::connect_with(&options.options([("search_path", &self.name)])).await.unwrap()
    }
}

async fn query_on(connection: &mut PgConnection, sql: &str) -> Vec<Value> {
    let sql = format!("SELECT to_jsonb(it)::text FROM ({sql}) it");
    let rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(connection).await;
    let rows: Vec<String> = rows.unwrap();
    rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

/// A fresh, migrated storage, and nothing that would have to outlive it.
pub async fn postgres() -> (PostgresStorage, ()) {
    let storage = Schema::shared().storage().await;
    storage.migrate().await.unwrap();
    (storage, ())
}

/// The same, which goes about as it must behind a PgBouncer, whether there is one or not.
pub async fn postgres_behind_pgbouncer() -> (PostgresStorage, ()) {
    let url = format!("{}&pgbouncer=true", Schema::shared().url());
    let storage = PostgresStorage::open(&url).await.unwrap();
    storage.migrate().await.unwrap();
    (storage, ())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::Cluster;

    /// A table with an index, which are not ours.
    async fn letters(cluster: &Cluster) -> Schema {
        let schema = Schema::on(cluster.url());
        let letters = "CREATE TABLE letters (letter text PRIMARY KEY, place uuid);
            INSERT INTO letters SELECT chr(97 + n), gen_random_uuid() FROM generate_series(0, 25) n";
        schema.execute(&format!("CREATE SCHEMA {}; {letters}", schema.name)).await;
        schema
    }

    #[tokio::test]
    async fn what_is_stored_can_be_seen_and_is_sound() {
        let Some(cluster) = Cluster::start().await else { return };
        let schema = letters(&cluster).await;

        let found =
            schema.query("SELECT letter, length(place::text) FROM letters ORDER BY letter LIMIT 2").await;

        let expected = [
            serde_json::json!({"letter": "a", "length": 36}),
            serde_json::json!({"letter": "b", "length": 36}),
        ];
        assert_eq!(found, expected);
        assert!(schema.dump().await.contains(r#""letter":"z""#));
        schema.assert_sound().await;
    }

    /// The control.
    #[tokio::test]
    async fn an_index_that_has_lost_a_row_is_not_sound() {
        let Some(cluster) = Cluster::start().await else { return };
        let schema = letters(&cluster).await;
        let place = &schema.query("SELECT pg_relation_filepath('letters_pkey') AS file").await[0]["file"];
        let file = cluster.data().join(place.as_str().unwrap());
        cluster.stop().await;
        // Of the only page with rows, how far its list of them goes: one less.
        let file = File::options().read(true).write(true).open(file).unwrap();
        let mut lower = [0; 2];
        file.read_exact_at(&mut lower, 8192 + 12).unwrap();
        file.write_all_at(&(u16::from_le_bytes(lower) - 4).to_le_bytes(), 8192 + 12).unwrap();
        cluster.start_again().await;

        let looked = tokio::spawn(async move { schema.assert_sound().await }).await;

        let why = looked.unwrap_err().into_panic().downcast::<String>().unwrap();
        assert!(why.contains("lacks matching index tuple"), "{why}");
    }
}
