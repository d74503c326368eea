//! Several servers on one PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use priyo_core::model::{
    ConversationId, ConversationKind, ConversationStatus, MessageId, MessageKind, MessageRange, Role,
    Timestamp, User, UserId,
};
use priyo_core::storage::postgres::PostgresStorage;
use priyo_core::storage::{
    Appended, ConversationRow, ConversationStore, Created, DeliveredMark, MessageStore, NewMessageRow,
    Storage, UserStore,
};
use priyo_tests::Cluster;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

const AT: Timestamp = Timestamp::from_millis(1_750_000_000_000);

async fn server(cluster: &Cluster) -> Arc<PostgresStorage> {
    let storage = PostgresStorage::open(cluster.url()).await.unwrap();
    storage.migrate().await.unwrap();
    Arc::new(storage)
}

async fn account(storage: &PostgresStorage, name: &str) -> UserId {
    let user = User {
        id: UserId::new(),
        external_id: None,
        email: Some(format!("{name}@example.com")),
        username: name.to_owned(),
        avatar: None,
        role: Role::Customer,
        disabled: false,
        created_at: AT,
        last_seen: None,
    };
    assert!(storage.create_account(&user, "hash").await.unwrap());
    user.id
}

async fn group(storage: &PostgresStorage, participants: &[UserId]) -> ConversationId {
    let row = ConversationRow {
        id: ConversationId::new(),
        kind: ConversationKind::Group,
        name: None,
        created_by: participants[0],
        participants: participants.to_vec(),
        at: AT,
    };
    assert!(matches!(storage.create_conversation(&row).await.unwrap(), Created::Created(_)));
    row.id
}

fn message(conversation_id: ConversationId, sender: UserId, name: Option<String>) -> NewMessageRow {
    NewMessageRow {
        id: MessageId::new(),
        conversation_id,
        sender,
        client_message_id: name,
        content: "x".into(),
        kind: MessageKind::Text,
        attachment: None,
        at: AT,
    }
}

async fn ask(cluster: &Cluster, sql: &'static str) -> i64 {
    let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

/// Everything that must be so whatever was done.
async fn assert_sound(cluster: &Cluster) {
    for (fault, sql) in [
        (
            "a number is missing or given twice",
            "
            SELECT count(*) FROM priyo.conversations c WHERE (c.last_seq, c.last_seq) <> (
                SELECT COALESCE(max(seq), 0), count(*) FROM priyo.messages m WHERE m.conversation_id = c.id)",
        ),
        (
            "intervals overlap or touch",
            "
            SELECT count(*) FROM priyo.covered a JOIN priyo.covered b USING (conversation_id, user_id)
            WHERE a.first_seq < b.first_seq AND b.first_seq <= a.last_seq + 1",
        ),
        (
            "intervals are not as long as their sum says",
            "
            SELECT count(*) FROM priyo.participants p WHERE p.covered_len <> (
                SELECT COALESCE(sum(last_seq - first_seq + 1), 0) FROM priyo.covered c
                WHERE (c.conversation_id, c.user_id) = (p.conversation_id, p.user_id))",
        ),
        (
            "a message is unread for its sender, or for one who has read it",
            "
            SELECT count(*) FROM (
                SELECT conversation_id, seq, sender_id AS user_id FROM priyo.messages
                UNION ALL SELECT conversation_id, seq, user_id FROM priyo.message_reads) m
            WHERE NOT EXISTS (SELECT 1 FROM priyo.covered c
                WHERE (c.conversation_id, c.user_id) = (m.conversation_id, m.user_id)
                    AND m.seq BETWEEN c.first_seq AND c.last_seq)",
        ),
    ] {
        assert_eq!(ask(cluster, sql).await, 0, "{fault}");
    }
}

/// What the server has written of transactions that waited for each other.
fn circles(cluster: &Cluster) -> usize {
    let log = std::fs::read_to_string(cluster.data().with_file_name("log")).unwrap();
    log.matches("deadlock detected").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn several_servers_give_out_one_row_of_numbers() {
    let Some(cluster) = Cluster::start().await else { return };
    let servers = [server(&cluster).await, server(&cluster).await, server(&cluster).await];
    let alice = account(&servers[0], "alice").await;
    let conversation = group(&servers[0], &[alice]).await;

    // Every message is sent through each of the servers, at once.
    let senders = (0..30).map(|i| {
        let server = Arc::clone(&servers[i % 3]);
        tokio::spawn(async move {
            let mut new = 0;
            for name in 0..20 {
                let name = format!("{}-{name}", i / 3);
                let sent =
                    server.append_messages(vec![message(conversation, alice, Some(name))]).await.unwrap();
                match &sent[0] {
                    Appended::New(_) => new += 1,
                    other => assert!(matches!(other, Appended::Duplicate(_)), "{other:?}"),
                }
            }
            new
        })
    });
    let mut new = 0;
    for sender in senders.collect::<Vec<_>>() {
        new += sender.await.unwrap();
    }

    assert_eq!(new, 200);
    for server in &servers {
        let page = server.messages(conversation, MessageRange::After(0), 1_000, usize::MAX).await.unwrap();
        let seqs: Vec<u64> = page.items.iter().map(|item| item.message.seq).collect();
        assert_eq!(seqs, (1..=200).collect::<Vec<_>>());
    }
    assert_sound(&cluster).await;
}

/// Numbers that look like chance, the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Does whatever locks rows, in any order, for a while.
async fn stir(server: Arc<PostgresStorage>, users: Vec<UserId>, groups: Vec<ConversationId>, seed: u64) {
    let mut chance = Chance(seed);
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        let (user, conversation) = (chance.pick(&users), chance.pick(&groups));
        match chance.below(8) {
            0..3 => {
                let rows = (0..=chance.below(12)).map(|_| {
                    let name = chance.below(50).to_string();
                    message(chance.pick(&groups), chance.pick(&users), Some(name))
                });
                server.append_messages(rows.collect()).await.unwrap();
            }
            3 | 4 => {
                let mut ids = Vec::new();
                for _ in 0..3 {
                    let some = MessageRange::Before(chance.below(300) as u64 + 1);
                    let page = server.messages(chance.pick(&groups), some, 5, usize::MAX).await.unwrap();
                    ids.extend(page.items.iter().map(|item| item.message.id));
                }
                server.mark_read(user, &ids, None, AT).await.unwrap();
            }
            5 => {
                let marks = (0..8).map(|_| {
                    let first_seq = chance.below(100) as u64 + 1;
                    let (conversation_id, user_id) = (chance.pick(&groups), chance.pick(&users));
                    DeliveredMark { conversation_id, user_id, first_seq, last_seq: first_seq + 20 }
                });
                server.set_delivered(&marks.collect::<Vec<_>>()).await.unwrap();
            }
            6 => {
                server.remove_participant(conversation, user, AT).await.unwrap();
                let back = [chance.pick(&users), user, chance.pick(&users)];
                server.add_participants(conversation, &back, 100, AT).await.unwrap();
            }
            _ => {
                server.set_status(conversation, ConversationStatus::Closed, AT).await.unwrap();
                server.set_status(conversation, ConversationStatus::Open, AT).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_calls_wait_for_each_other() {
    let Some(cluster) = Cluster::start().await else { return };
    let servers = [server(&cluster).await, server(&cluster).await];
    let mut users = Vec::new();
    for name in ["ann", "bea", "cid", "dan", "eve"] {
        users.push(account(&servers[0], name).await);
    }
    let mut groups = Vec::new();
    for _ in 0..5 {
        groups.push(group(&servers[0], &users).await);
    }

    let stirring = (0..16).map(|seed| {
        tokio::spawn(stir(Arc::clone(&servers[seed % 2]), users.clone(), groups.clone(), seed as u64))
    });
    for task in stirring.collect::<Vec<_>>() {
        task.await.unwrap();
    }

    assert_eq!(circles(&cluster), 0);
    assert!(ask(&cluster, "SELECT count(*) FROM priyo.messages").await > 100);
    assert_sound(&cluster).await;
}

/// The control.
#[tokio::test]
async fn calls_that_wait_for_each_other_would_be_noticed() {
    let Some(cluster) = Cluster::start().await else { return };
    let storage = server(&cluster).await;
    account(&storage, "ann").await;
    account(&storage, "bea").await;
    let mut pair = Vec::new();
    for first in ["ann", "bea"] {
        let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
        connection.execute("SET deadlock_timeout = '10ms'; BEGIN").await.unwrap();
        let lock = "SELECT 1 FROM priyo.users WHERE username = $1 FOR UPDATE";
        connection.execute(sqlx::query(lock).bind(first)).await.unwrap();
        pair.push((connection, lock));
    }
    let [(mut one, lock), (mut other, _)] = <[_; 2]>::try_from(pair).ok().unwrap();

    let waiting = tokio::join!(
        one.execute(sqlx::query(lock).bind("bea")),
        other.execute(sqlx::query(lock).bind("ann"))
    );

    assert!(waiting.0.is_err() || waiting.1.is_err());
    assert_eq!(circles(&cluster), 1);
}
