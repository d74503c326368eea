//! What only PostgreSQL can get wrong: how it is started on, and what becomes of calls when the server goes away.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

#[path = "postgres_storage/broken_off.rs"]
mod broken_off;
#[path = "postgres_storage/carrying.rs"]
mod carrying;

use std::sync::Arc;
use std::time::{Duration, Instant};

use priyo_core::model::{
    ConversationId, ConversationKind, MessageId, MessageKind, MessageRange, Role, Timestamp, User, UserId,
};
use priyo_core::storage::postgres::{PostgresOptions, PostgresStorage};
use priyo_core::storage::{
    Appended, ConversationRow, ConversationStore, Created, MessageStore, NewMessageRow, Storage,
    StorageError, UserStore,
};
use priyo_tests::Cluster;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

const AT: Timestamp = Timestamp::from_millis(1_750_000_000_000);
/// When the client of a chat has stopped waiting.
const ANSWERED: Duration = Duration::from_secs(5);
/// Much less than the time of a call that waits.
const AT_ONCE: Duration = Duration::from_millis(500);
/// How soon a server that answers again is noticed.
const BACK_WITHIN: Duration = Duration::from_secs(2);

/// What an administrator does.
async fn administrate(cluster: &Cluster, sql: &str) {
    let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
}

async fn ask(cluster: &Cluster, sql: &'static str) -> i64 {
    let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

async fn server(cluster: &Cluster) -> Arc<PostgresStorage> {
    let storage = PostgresStorage::open(cluster.url()).await.unwrap();
    storage.migrate().await.unwrap();
    Arc::new(storage)
}

/// The URL with other parts.
fn url(cluster: &Cluster, user: &str, database: &str, more: &str) -> String {
    let (_, socket) = cluster.url().split_once("?host=").unwrap();
    format!("postgresql://{user}@localhost/{database}?host={socket}{more}")
}

fn user(name: &str) -> User {
    User {
        id: UserId::new(),
        external_id: None,
        email: Some(format!("{name}@example.com")),
        username: name.to_owned(),
        avatar: None,
        role: Role::Customer,
        disabled: false,
        created_at: AT,
        last_seen: None,
    }
}

/// A conversation of one.
async fn conversation(storage: &PostgresStorage) -> (UserId, ConversationId) {
    let alice = user("alice");
    assert!(storage.create_account(&alice, "hash").await.unwrap());
    let row = ConversationRow {
        id: ConversationId::new(),
        kind: ConversationKind::Group,
        name: None,
        created_by: alice.id,
        participants: vec![alice.id],
        at: AT,
    };
    assert!(matches!(storage.create_conversation(&row).await.unwrap(), Created::Created(_)));
    (alice.id, row.id)
}

fn message(sender: UserId, conversation_id: ConversationId, name: &str) -> NewMessageRow {
    NewMessageRow {
        id: MessageId::new(),
        conversation_id,
        sender,
        client_message_id: Some(name.to_owned()),
        content: name.to_owned(),
        kind: MessageKind::Text,
        attachment: None,
        at: AT,
    }
}

fn is_away<T: std::fmt::Debug>(outcome: &Result<T, StorageError>) -> bool {
    matches!(outcome, Err(StorageError::Unavailable(_)))
}

/// Why a database cannot be opened, in the words that its administrator reads.
async fn refused(url: &str) -> String {
    let began = Instant::now();
    let error = PostgresStorage::open(url).await.expect_err("it must be refused");
    assert!(began.elapsed() < Duration::from_secs(10), "{error}");
    let (text, all) = (error.to_string(), format!("{error:?}"));
    assert!(!text.contains("hunter2") && !all.contains("hunter2"), "{text} {all}");
    text
}

#[tokio::test]
async fn what_is_in_the_way_of_a_start_is_said() {
    let Some(cluster) = Cluster::start().await else { return };
    let roles =
        "CREATE ROLE guest LOGIN; CREATE ROLE chat LOGIN; CREATE SCHEMA closed; CREATE SCHEMA readable;
        GRANT USAGE ON SCHEMA readable TO guest;";
    administrate(&cluster, roles).await;
    administrate(&cluster, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0").await;

    for (url, hint) in [
        (
            "postgresql://chat:hunter2@127.0.0.1:1/chat".to_owned(),
            "no PostgreSQL server answers at 127.0.0.1:1",
        ),
        ("postgresql://chat@localhost/chat?host=/nowhere".to_owned(), "answers at /nowhere/.s.PGSQL.5432"),
        (url(&cluster, "nobody:hunter2", "postgres", ""), "role \"nobody\" does not exist"),
        (url(&cluster, "postgres:hunter2", "chat", ""), "database \"chat\" does not exist; make it"),
        (url(&cluster, "postgres", "latin", ""), "stores texts as LATIN1"),
        (url(&cluster, "guest", "postgres", ""), "CREATE SCHEMA \"priyo\" AUTHORIZATION \"guest\""),
        (
            url(&cluster, "guest", "postgres", "&schema=closed"),
            "GRANT USAGE ON SCHEMA \"closed\" TO \"guest\"",
        ),
        (
            url(&cluster, "guest", "postgres", "&schema=readable"),
            "GRANT CREATE ON SCHEMA \"readable\" TO \"guest\"",
        ),
        (
            url(&cluster, "postgres", "postgres", "&schema=pg_mine"),
            "\"pg_mine\" cannot be the name of a schema",
        ),
        (url(&cluster, "postgres", "postgres", "&schema="), "cannot be the name of a schema"),
    ] {
        let text = refused(&url).await;
        assert!(text.contains(hint), "{url}: {text}");
    }

    let passwords = std::fs::write(
        cluster.data().join("pg_hba.conf"),
        "local all chat scram-sha-256\nlocal all all trust\n",
    );
    passwords.unwrap();
    administrate(&cluster, "SELECT pg_reload_conf(); ALTER ROLE chat PASSWORD 'right:one'").await;
    let text = refused(&url(&cluster, "chat:hunter2", "postgres", "")).await;
    assert!(text.contains("password authentication failed for user \"chat\""), "{text}");
    administrate(&cluster, "CREATE SCHEMA priyo AUTHORIZATION chat").await;
    let storage = PostgresStorage::open(&url(&cluster, "chat:right%3Aone", "postgres", "")).await.unwrap();
    storage.migrate().await.unwrap();
    assert!(!format!("{storage:?}").contains("right:one"));

    cluster.pause().await;
    let text = refused(cluster.url()).await;
    assert!(text.contains("there was no answer"), "{text}");
}

#[tokio::test]
async fn a_schema_of_another_program_is_left_alone() {
    let Some(cluster) = Cluster::start().await else { return };
    administrate(&cluster, "CREATE EXTENSION pg_stat_statements; CREATE TABLE conversation (id int)").await;
    let public = format!("{}&schema=public", cluster.url());

    let text = refused(&public).await;

    assert!(text.contains("\"public\" belongs to another program (it has \"conversation\")"), "{text}");
    assert!(text.contains("?schema=priyo"), "{text}");
    const TABLES: &str =
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'";
    assert_eq!(ask(&cluster, TABLES).await, 1);
    // What belongs to an extension is nobody's, and one of ours is ours whatever its name and whoever is beside it.
    administrate(&cluster, "DROP TABLE conversation").await;
    for schema in ["public", "priyo", "Web chat", "\u{fc}\"ber; DROP"] {
        let storage = PostgresOptions::from_url(cluster.url()).unwrap().schema(schema).open().await.unwrap();
        storage.migrate().await.unwrap();
        assert_eq!(storage.user(UserId::new()).await.unwrap(), None);
        storage.close().await;
    }
    administrate(&cluster, "CREATE TABLE conversation (id int)").await;
    let again = PostgresStorage::open(&public).await.unwrap();
    again.migrate().await.unwrap();

    administrate(&cluster, "INSERT INTO priyo_migrations VALUES (1000, 'later')").await;
    let newer = again.migrate().await.unwrap_err();
    let text = format!("{newer:?}");
    assert!(matches!(newer, StorageError::Backend(_)) && text.contains("TooNew"), "{text}");
}

#[tokio::test]
async fn servers_that_start_at_once_migrate_once() {
    let Some(cluster) = Cluster::start().await else { return };

    let starting = (0..8).map(|_| {
        let url = cluster.url().to_owned();
        tokio::spawn(async move { PostgresStorage::open(&url).await.unwrap().migrate().await.unwrap() })
    });
    for server in starting.collect::<Vec<_>>() {
        server.await.unwrap();
    }

    // Each step is noted once, and taken by the one who noted it.
    assert_eq!(ask(&cluster, "SELECT max(number) - count(*) FROM priyo.priyo_migrations").await, 0);
}

#[tokio::test]
async fn a_restart_in_between_is_not_noticed() {
    let Some(cluster) = Cluster::start().await else { return };
    let storage = server(&cluster).await;
    let (alice, conversation) = conversation(&storage).await;
    let fill_the_pool = || async {
        let many = (0..10).map(|_| storage.contacts_of(std::slice::from_ref(&alice)));
        for outcome in futures_util::future::join_all(many).await {
            outcome.unwrap();
        }
    };
    let mut ordinary = PgConnection::connect(cluster.url()).await.unwrap();

    for kill in [false, true] {
        fill_the_pool().await;
        if kill {
            cluster.kill_nine().await;
            cluster.start_again().await;
        } else {
            cluster.restart().await;
        }
        assert!(storage.user(alice).await.unwrap().is_some());
        fill_the_pool().await;

        cluster.restart().await;
        let sent =
            storage.append_messages(vec![message(alice, conversation, &format!("{kill}"))]).await.unwrap();
        assert!(matches!(sent[0], Appended::New(_)), "{sent:?}");
    }
    // The control: a connection does not survive it.
    assert!(ordinary.execute("SELECT 1").await.is_err());
}

#[tokio::test]
async fn a_server_that_comes_back_soon_is_waited_for() {
    let Some(cluster) = Cluster::start().await else { return };
    let storage = server(&cluster).await;
    let alice = conversation(&storage).await.0;
    cluster.stop().await;
    let asking = tokio::spawn(async move { storage.user(alice).await });

    cluster.start_again().await;

    assert!(asking.await.unwrap().unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_does_not_answer_holds_nobody_up() {
    let Some(cluster) = Cluster::start().await else { return };
    let storage = server(&cluster).await;
    let (alice, conversation) = conversation(&storage).await;
    cluster.pause().await;

    let began = Instant::now();
    let sends = (0..15).map(|i| storage.append_messages(vec![message(alice, conversation, &i.to_string())]));
    let reads = (0..15).map(|_| storage.user(alice));
    let (sent, read, ping) = tokio::join!(
        futures_util::future::join_all(sends),
        futures_util::future::join_all(reads),
        storage.ping()
    );

    assert!(began.elapsed() < ANSWERED, "{:?}", began.elapsed());
    assert!(
        sent.iter().all(is_away) && read.iter().all(is_away) && is_away(&ping),
        "{sent:?} {read:?} {ping:?}"
    );
    // From then on nobody waits any more.
    let began = Instant::now();
    assert!(is_away(&storage.ping().await) && began.elapsed() < AT_ONCE, "{:?}", began.elapsed());

    cluster.resume().await;
    // It notices by itself. Until then all are refused, and from then on nobody is.
    let began = Instant::now();
    while let Err(error) = storage.ping().await {
        assert!(began.elapsed() < BACK_WITHIN, "{error:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Nothing of it is left in the way, and whatever was stored is stored once.
    let all: Vec<_> = (0..15).map(|i| message(alice, conversation, &i.to_string())).collect();
    let again = storage.append_messages(all).await.unwrap();
    assert!(again.iter().all(|one| matches!(one, Appended::New(_) | Appended::Duplicate(_))), "{again:?}");
    let page = storage.messages(conversation, MessageRange::After(0), 100, usize::MAX).await.unwrap();
    let seqs: Vec<u64> = page.items.iter().map(|item| item.message.seq).collect();
    assert_eq!(seqs, (1..=15).collect::<Vec<_>>());

    cluster.stop().await;
    let began = Instant::now();
    assert!(is_away(&storage.user(alice).await) && began.elapsed() < ANSWERED);
}

#[tokio::test]
async fn whoever_holds_a_lock_for_long_is_in_nobody_elses_way() {
    let Some(cluster) = Cluster::start().await else { return };
    let storage = server(&cluster).await;
    let (alice, conversation) = conversation(&storage).await;
    let mut other = PgConnection::connect(cluster.url()).await.unwrap();
    other.execute("BEGIN; LOCK TABLE priyo.participants IN EXCLUSIVE MODE").await.unwrap();

    let began = Instant::now();
    let refused = storage.append_messages(vec![message(alice, conversation, "1")]).await;
    assert!(is_away(&refused) && began.elapsed() < ANSWERED, "{refused:?}");
    assert!(storage.standing(conversation, alice).await.unwrap().is_some());

    other.execute("ROLLBACK").await.unwrap();
    storage.append_messages(vec![message(alice, conversation, "1")]).await.unwrap();
}

#[tokio::test]
async fn a_standby_is_left_for_the_server_that_writes() {
    let Some(cluster) = Cluster::start().await else { return };
    let storage = server(&cluster).await;
    let alice = conversation(&storage).await.0;
    storage.close().await;
    // Which is what a standby says to every write.
    administrate(&cluster, "ALTER DATABASE postgres SET default_transaction_read_only = on").await;
    let storage = PostgresStorage::open(cluster.url()).await.unwrap();

    assert!(is_away(&storage.set_last_seen(&[alice], AT).await));
    assert!(storage.user(alice).await.unwrap().is_some());

    administrate(&cluster, "BEGIN READ WRITE; ALTER DATABASE postgres RESET ALL; COMMIT").await;
    storage.set_last_seen(&[alice], AT).await.unwrap();
}

#[tokio::test]
async fn what_waits_at_the_close_is_done() {
    let Some(cluster) = Cluster::start().await else { return };
    let storage = server(&cluster).await;
    let (alice, conversation) = conversation(&storage).await;
    let mut sends = Vec::new();
    for i in 0..50 {
        let mut sending = storage.append_messages(vec![message(alice, conversation, &i.to_string())]);
        assert!(futures_util::poll!(sending.as_mut()).is_pending());
        sends.push(sending);
    }

    storage.close().await;

    for sent in futures_util::future::join_all(sends).await {
        sent.unwrap();
    }
    assert!(is_away(&storage.ping().await));
    // The server takes a moment to see that nobody is there any more.
    const OTHERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'priyo'";
    let deadline = Instant::now() + ANSWERED;
    while ask(&cluster, OTHERS).await > 0 {
        assert!(Instant::now() < deadline, "connections are left");
    }
}
