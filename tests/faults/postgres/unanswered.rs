//! A commit that is done and of which nobody is told.

use std::time::Duration;

use priyo_tests::{Cluster, Database, PATIENCE, Person, ServerProcess};
use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::time::{Instant, sleep};

use super::crowd::ask;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_commit_was_not_answered_is_stored_once() {
    let Some(cluster) = Cluster::start().await else { return };
    let database = Database::on(&cluster);
    let server = ServerProcess::start(&database).await;
    let alice = server.customer("alice").await;
    let conversation = alice.starts_group_with(&[]).await;
    let named = json!({"conversationId": conversation, "content": "named", "clientMessageId": "a-1"});
    let nameless = json!({"conversationId": conversation, "content": "nameless"});

    let mut standby = Standby::missing_from(&cluster).await;
    for (message, status_of_a_repeat) in [(&named, 200), (&nameless, 201)] {
        standby.is_waited_for().await;
        let (status, ()) = tokio::join!(send(&alice, message), standby.break_off());
        assert_eq!(status, 503, "{message}");
        standby.is_not_waited_for().await;
        let count =
            format!("SELECT 1 AS one FROM messages WHERE content = {}", message["content"]).replace('"', "'");
        assert_eq!(database.query(&count).await.len(), 1, "{message}");

        // The control: a server that tried again by itself would do the same as this client, who has to know what
        // may come of it.
        assert_eq!(send(&alice, message).await, status_of_a_repeat);
        let expected = if status_of_a_repeat == 201 { 2 } else { 1 };
        assert_eq!(database.query(&count).await.len(), expected, "{message}");
    }
}

async fn send(person: &Person, message: &serde_json::Value) -> u16 {
    ask(person, "POST", "/api/messages", Some(message)).await.unwrap().status
}

/// A second server, which is said to be there, and is not. Commits are done, and wait for it to say that it has them.
struct Standby {
    connection: PgConnection,
}

impl Standby {
    async fn missing_from(cluster: &Cluster) -> Self {
        Self { connection: PgConnection::connect(cluster.url()).await.unwrap() }
    }

    async fn is_waited_for(&mut self) {
        self.set("nobody").await;
    }

    async fn is_not_waited_for(&mut self) {
        self.set("").await;
    }

    async fn set(&mut self, names: &str) {
        let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'");
        self.connection.execute(AssertSqlSafe(set)).await.unwrap();
        self.connection.execute("SELECT pg_reload_conf()").await.unwrap();
        let shown =
            "SELECT count(*) FROM pg_settings WHERE name = 'synchronous_standby_names' AND setting = $1";
        let deadline = Instant::now() + PATIENCE;
        while sqlx::query_scalar::<_, i64>(shown).bind(names).fetch_one(&mut self.connection).await.unwrap()
            == 0
        {
            assert!(Instant::now() < deadline, "the setting is not taken");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Breaks off the connections whose commits wait, once that of a message does: they are not answered.
    async fn break_off(&mut self) {
        const BREAK_OFF: &str = "
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE wait_event = 'SyncRep' AND application_name = 'priyo'";
        let deadline = Instant::now() + PATIENCE;
        while sqlx::query_scalar::<_, i64>(BREAK_OFF).fetch_one(&mut self.connection).await.unwrap() == 0 {
            assert!(Instant::now() < deadline, "no commit waits");
            sleep(Duration::from_millis(2)).await;
        }
    }
}
