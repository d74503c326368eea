//! More is asked for than five connections can do, while somebody outside holds what is needed.

use std::sync::Arc;
use std::time::Duration;

use priyo_tests::{Cluster, Database, PATIENCE, ServerProcess, Told, signal};
use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::answers::How;
use super::crowd::{Crowd, Notes, ask};
use super::{ANSWERED_WITHIN, connect, deadlocks};
use crate::chance::Evidence;
use crate::checker::Violation;
use crate::history::{Door, Record, Send};

const PEOPLE: usize = 50;
const CONVERSATIONS: usize = 10;
const SENDS: usize = 500;
/// How many connections one server of the tests has at most, and pages that are asked for to keep them all busy.
const POOL: i64 = 5;
const READS: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_conversation_is_in_the_way_of_nobody_else() {
    let Some(cluster) = Cluster::start().await else { return };
    let flood = Flood::gather(&cluster).await;
    let lock = format!("SELECT FROM conversations WHERE id = '{}' FOR UPDATE", flood.crowd.conversations[0]);
    let holder = Holder::of(&flood.database, &lock).await;

    flood.send_all().join_all().await;
    let refused = flood.tell("a locked conversation");
    assert_eq!(refused, SENDS / CONVERSATIONS, "all of that one and no other");

    holder.let_go().await;
    flood.assert_all_is_well_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_sender_is_in_the_way_of_nobody_else() {
    let Some(cluster) = Cluster::start().await else { return };
    let flood = Flood::gather(&cluster).await;
    let (conversation, sender) = (&flood.crowd.conversations[0], &flood.crowd.people[0].0.id);
    let lock = format!(
        "SELECT FROM participants WHERE conversation_id = '{conversation}' AND user_id = '{sender}' FOR UPDATE"
    );
    let holder = Holder::of(&flood.database, &lock).await;

    flood.send_all().join_all().await;
    let refused = flood.tell("a locked sender");
    assert_eq!(refused, SENDS / PEOPLE, "all of that one and no other");

    holder.let_go().await;
    flood.assert_all_is_well_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_no_room_for_another_connection_is_served_by_those_that_there_are() {
    let Some(cluster) = Cluster::start().await else { return };
    let database = Database::on(&cluster);
    let server = ServerProcess::start(&database).await;
    let alice = server.customer("alice").await;
    let mut others = Vec::new();
    while let Ok(other) = PgConnection::connect(cluster.url()).await {
        others.push(other);
    }

    // More at once than there are connections.
    let mut asking = JoinSet::new();
    for _ in 0..READS {
        let alice = alice.clone();
        asking.spawn(async move { ask(&alice, "GET", "/api/conversations", None).await.unwrap().status });
    }
    let answers = asking.join_all().await;
    assert_eq!(answers, vec![200; READS]);

    // The control: there is no room.
    let refused =
        PgConnection::connect(cluster.url()).await.map(drop).expect_err("there is room for another");
    let code = refused.as_database_error().and_then(sqlx::error::DatabaseError::code);
    assert_eq!(code.as_deref(), Some("53300"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lets_nobody_in_serves_those_who_are_in() {
    let Some(cluster) = Cluster::start().await else { return };
    let server = ServerProcess::start(&Database::on(&cluster)).await;
    let alice = server.customer("alice").await;
    signal("STOP", cluster.doorkeeper()).await;
    // More at once than there are connections: the others go on with those, when they have waited for one of their own.
    for _ in 0..3 {
        let mut asking = JoinSet::new();
        for _ in 0..READS {
            let alice = alice.clone();
            asking.spawn(async move { ask(&alice, "GET", "/api/conversations", None).await.unwrap().status });
        }
        assert_eq!(asking.join_all().await, vec![200; READS]);
    }
    assert!(!server.log().contains("the database answers nobody"), "{}", server.log());
    // The control: there is no other way in.
    let connecting = timeout(Duration::from_millis(100), PgConnection::connect(cluster.url()));
    connecting.await.expect_err("somebody is let in");
    signal("CONT", cluster.doorkeeper()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_find_every_connection_busy_are_refused_in_time() {
    let Some(cluster) = Cluster::start().await else { return };
    let flood = Flood::gather(&cluster).await;
    // Reading a page looks at the marks; sending does not.
    let mut holder = Holder::of(&flood.database, "LOCK TABLE message_reads IN ACCESS EXCLUSIVE MODE").await;

    let reading = flood.read_pages();
    holder.is_waited_for(POOL).await;
    let sending = flood.send_all();
    sending.join_all().await;
    reading.join_all().await;
    flood.tell("busy connections");

    holder.let_go().await;
    flood.assert_all_is_well_again().await;
}

/// Many messages at once.
struct Flood {
    database: Database,
    server: ServerProcess,
    crowd: Crowd,
    notes: Notes,
    _evidence: Evidence,
}

impl Flood {
    async fn gather(cluster: &Cluster) -> Self {
        let evidence = Evidence::of(1);
        let database = Database::on(cluster);
        let server = ServerProcess::start(&database).await;
        let crowd = Crowd::gather(&[&server], PEOPLE, CONVERSATIONS).await;
        let notes = Notes::new(&evidence);
        Self { database, server, crowd, notes, _evidence: evidence }
    }

    fn sends(&self) -> impl Iterator<Item = (usize, Arc<Send>)> {
        (0..SENDS).map(|number| {
            let send = Send {
                sender: self.crowd.people[number % PEOPLE].0.id.clone(),
                conversation: self.crowd.conversations[number % CONVERSATIONS].clone(),
                client_message_id: format!("flood-{number}"),
                content: format!("message {number}"),
            };
            (number % PEOPLE, Arc::new(send))
        })
    }

    /// Sends everything at the same time, each message once.
    fn send_all(&self) -> JoinSet<()> {
        let mut sending = JoinSet::new();
        for (person, send) in self.sends() {
            let (person, notes) = (self.crowd.people[person].0.clone(), self.notes.clone());
            sending.spawn(async move {
                let body = json!({"conversationId": send.conversation, "content": send.content,
                                              "clientMessageId": send.client_message_id});
                notes.history.add(Record::Invoke(send.clone(), Door::Rest));
                let begun = Instant::now();
                let answer = ask(&person, "POST", "/api/messages", Some(&body)).await;
                let how = How::of_answer(&answer);
                notes.answers.note("send", begun, how.clone());
                notes.history.add(match how {
                    How::Done => Record::Ok(send, Told::of(&answer.unwrap().json()["data"])),
                    _ => Record::Unknown(send, Door::Rest),
                });
            });
        }
        sending
    }

    /// Reads pages at the same time.
    fn read_pages(&self) -> JoinSet<()> {
        let mut reading = JoinSet::new();
        for number in 0..READS {
            let person = self.crowd.people[number % PEOPLE].0.clone();
            let conversation = &self.crowd.conversations[number % CONVERSATIONS];
            let (path, answers) = (format!("/api/messages/{conversation}"), self.notes.answers.clone());
            reading.spawn(async move {
                let begun = Instant::now();
                let how = How::of_answer(&ask(&person, "GET", &path, None).await);
                assert_eq!(how, How::Unavailable, "the lock is none");
                answers.note("page", begun, how);
            });
        }
        reading
    }

    /// Says how many were refused.
    fn tell(&self, trouble: &str) -> usize {
        let answers = &self.notes.answers;
        let (done, refused) = (answers.all().len() - answers.unavailable(), answers.unavailable());
        assert!(refused > 0, "nobody was in the way");
        println!("{trouble}: {done} done, {refused} refused, answered within {:?}", answers.slowest());
        refused
    }

    /// The control: with nobody in the way all of it can be done at once, and none of it is done twice.
    async fn assert_all_is_well_again(self) {
        let whole_test = Instant::now() - Duration::from_secs(60)..Instant::now();
        self.notes.answers.assert_honest(ANSWERED_WITHIN, &[whole_test]);
        let before = self.notes.answers.unavailable();
        self.send_all().join_all().await;
        assert_eq!(self.notes.answers.unavailable(), before, "somebody is still in the way");
        assert_eq!(self.database.rows("messages").await, SENDS as u64);
        let mut violations = self.crowd.check(&self.notes, &self.database).await;
        // Nobody waited for one answer before they sent the next.
        violations.retain(|one| !matches!(one, Violation::Reordered { .. }));
        assert!(violations.is_empty(), "{violations:#?}");
        // Whoever has ended has told of all that they came across.
        assert!(self.server.terminate(PATIENCE).await.expect("the server stops in time").success());
        assert_eq!(deadlocks(&self.database).await, 0);
    }
}

/// Somebody who has locked something, and keeps it.
struct Holder {
    connection: PgConnection,
}

impl Holder {
    async fn of(database: &Database, lock: &str) -> Self {
        let mut connection = connect(database).await;
        let sql = AssertSqlSafe(format!("BEGIN; {lock}"));
        connection.execute(sqlx::raw_sql(sql)).await.unwrap();
        Self { connection }
    }

    /// Waits until so many wait for it.
    async fn is_waited_for(&mut self, by: i64) {
        const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        let deadline = Instant::now() + PATIENCE;
        while sqlx::query_scalar::<_, i64>(WAITING).fetch_one(&mut self.connection).await.unwrap() < by {
            assert!(Instant::now() < deadline, "nobody waits");
            // Nothing tells of it: it can only be looked at.
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn let_go(mut self) {
        self.connection.execute("COMMIT").await.unwrap();
    }
}
