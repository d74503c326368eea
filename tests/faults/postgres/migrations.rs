//! Servers that start on a database that has no tables yet, or somebody else's.

use std::time::Duration;

use priyo_tests::{Cluster, Database, PATIENCE, Starting};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use tokio::time::{Instant, sleep};

use super::{is_long, rounds};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_that_start_at_once_one_makes_the_tables_and_both_serve() {
    let Some(cluster) = Cluster::start().await else { return };
    for _ in 0..rounds(3, 20) {
        let database = Database::on(&cluster);
        let starting = [Starting::launch(&database, &[]), Starting::launch(&database, &[])];
        let [one, other] = starting.map(Starting::answers);
        let (one, other) = tokio::join!(one, other);

        let (alice, bob) = (one.customer("alice").await, other.customer("bob").await);
        let conversation = alice.starts_conversation_with(&bob).await;
        alice.says(&conversation, "hello").await;
        assert_eq!(bob.history(&conversation).await.len(), 1);
        assert_eq!(steps_taken(&database), database.rows("priyo_migrations").await);
    }
}

/// How many steps of the migration the servers say that they have taken, all together.
fn steps_taken(database: &Database) -> u64 {
    let files = std::fs::read_dir(database.folder()).unwrap().map(|file| file.unwrap().path());
    let logs = files.filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with("log-"));
    let steps =
        |log| std::fs::read_to_string(log).unwrap().matches("the database is at schema version").count();
    logs.map(steps).sum::<usize>() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_while_it_makes_the_tables_leaves_none_of_them() {
    let Some(cluster) = Cluster::start().await else { return };
    let mut gate = Gate::build(&cluster).await;
    let whole = Database::on(&cluster);
    drop(Starting::launch(&whole, &[]).answers().await);
    let steps = gate.passed().await;
    assert!(steps > 10, "{steps} steps: they are not counted");

    let every = if is_long() { 1 } else { steps.div_ceil(5) };
    for step in (1..=steps).step_by(usize::try_from(every).unwrap()) {
        let database = Database::on(&cluster);
        gate.shut_at(step).await;
        let starting = Starting::launch(&database, &[]);
        gate.is_waited_for().await;
        starting.kill_nine().await;
        gate.open().await;

        assert_eq!(tables(&database).await, Vec::<Value>::new(), "killed at step {step}");
        let server = Starting::launch(&database, &[]).answers().await;
        assert_eq!(tables(&database).await, tables(&whole).await, "after it was killed at step {step}");
        server.customer("alice").await.starts_group_with(&[]).await;
    }
    println!("killed at every {every}. of {steps} steps");
}

/// The names of the tables and indexes that are there.
async fn tables(database: &Database) -> Vec<Value> {
    database
        .query(
            "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
             WHERE nspname = current_schema() ORDER BY relname",
        )
        .await
}

/// Lets statements that make something pass one by one, and stops one of them.
struct Gate {
    connection: PgConnection,
}

impl Gate {
    async fn build(cluster: &Cluster) -> Self {
        let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
        const GATE: &str = "
            CREATE SEQUENCE public.passed;
            CREATE TABLE public.gate (step bigint);
            INSERT INTO public.gate VALUES (0);
            CREATE FUNCTION public.gate() RETURNS event_trigger LANGUAGE plpgsql AS $$
                BEGIN
                    IF nextval('public.passed') = (SELECT step FROM public.gate) THEN
                        PERFORM pg_advisory_xact_lock(1);
                    END IF;
                END
            $$;
            CREATE EVENT TRIGGER gate ON ddl_command_end EXECUTE FUNCTION public.gate();
            SELECT setval('public.passed', 1, false)";
        connection.execute(sqlx::raw_sql(GATE)).await.unwrap();
        Self { connection }
    }

    /// How many have passed.
    async fn passed(&mut self) -> u64 {
        let passed: i64 = sqlx::query_scalar("SELECT last_value FROM public.passed")
            .fetch_one(&mut self.connection)
            .await
            .unwrap();
        passed.unsigned_abs()
    }

    /// Stops the one with this number, counted from now.
    async fn shut_at(&mut self, step: u64) {
        let shut = format!(
            "SELECT pg_advisory_lock(1); UPDATE public.gate SET step = {step}; SELECT setval('public.passed', 1, false)"
        );
        self.connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(shut))).await.unwrap();
    }

    /// Waits until somebody stands before it.
    async fn is_waited_for(&mut self) {
        self.waiting(1).await;
    }

    /// Lets whoever stands before it pass, and waits until they are gone.
    async fn open(&mut self) {
        let open = "UPDATE public.gate SET step = 0; SELECT pg_advisory_unlock(1)";
        self.connection.execute(sqlx::raw_sql(open)).await.unwrap();
        const GONE: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'priyo'";
        self.until(GONE, 0).await;
    }

    async fn waiting(&mut self, many: i64) {
        const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        self.until(WAITING, many).await;
    }

    /// Waits until a query gives this number.
    async fn until(&mut self, query: &'static str, number: i64) {
        let deadline = Instant::now() + PATIENCE;
        while sqlx::query_scalar::<_, i64>(query).fetch_one(&mut self.connection).await.unwrap() != number {
            assert!(Instant::now() < deadline, "{query}");
            // Nothing tells of it: it can only be looked at.
            sleep(Duration::from_millis(2)).await;
        }
    }
}

/// What the program that this one replaces has in its database.
const PRISMA: &str = r#"
    CREATE TYPE "UserRole" AS ENUM ('CUSTOMER', 'AGENT', 'ADMIN');
    CREATE TABLE "_prisma_migrations" (id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL,
        migration_name varchar(255) NOT NULL, started_at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE users (id text PRIMARY KEY, email text NOT NULL UNIQUE, role "UserRole" NOT NULL DEFAULT 'CUSTOMER');
    CREATE TABLE conversations (id text PRIMARY KEY, name text);
    CREATE TABLE messages (id text PRIMARY KEY, content text NOT NULL,
        "senderId" text NOT NULL REFERENCES users (id), "conversationId" text NOT NULL REFERENCES conversations (id));
    INSERT INTO "_prisma_migrations" (id, checksum, migration_name) VALUES ('1', 'abc', '20250101000000_init');
    INSERT INTO users (id, email) VALUES ('u1', 'alice@example.com');
    INSERT INTO conversations VALUES ('c1', 'old');
    INSERT INTO messages VALUES ('m1', 'from before', 'u1', 'c1')"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_with_another_programs_tables_is_refused_and_left_as_it_is() {
    let Some(cluster) = Cluster::start().await else { return };
    let database = Database::on(&cluster);
    let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
    connection.execute(sqlx::raw_sql(PRISMA)).await.unwrap();
    let before = everything_in_public(&mut connection).await;

    let url = format!("{}&schema=public", cluster.url());
    let refused = Starting::launch(&database, &[("DATABASE_URL", &url)]).ends_by(PATIENCE).await;
    let refused = refused.expect("it ends");
    assert!(!refused.status.success());
    for word in ["\"public\"", "another program", "\"_prisma_migrations\"", "?schema=priyo"] {
        assert!(refused.said.contains(word), "{}", refused.said);
    }
    assert_eq!(refused.said.lines().count(), 1, "{}", refused.said);
    assert_eq!(everything_in_public(&mut connection).await, before);

    // The control: with a schema of its own it lives beside the other, and does not touch that either.
    let server = Starting::launch(&database, &[("DATABASE_URL", cluster.url())]).answers().await;
    assert_eq!(everything_in_public(&mut connection).await, before);
    assert!(server.terminate(PATIENCE).await.expect("the server stops in time").success());
}

/// What is there and who wrote it when, as text.
async fn everything_in_public(connection: &mut PgConnection) -> String {
    const EVERYTHING: &str = "
        SELECT string_agg(it, E'\n' ORDER BY it) FROM (
            SELECT to_jsonb(c)::text FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind <> 'S'
            UNION ALL SELECT to_jsonb(t)::text FROM pg_type t WHERE typnamespace = 'public'::regnamespace
            UNION ALL SELECT to_jsonb(a)::text FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
                WHERE relnamespace = 'public'::regnamespace
            UNION ALL SELECT xmin || to_jsonb(u)::text FROM users u
            UNION ALL SELECT xmin || to_jsonb(m)::text FROM messages m
            UNION ALL SELECT xmin || to_jsonb(p)::text FROM _prisma_migrations p
        ) all_of_it (it)";
    sqlx::query_scalar(EVERYTHING).fetch_one(connection).await.unwrap()
}
