//! The database server says nothing for a while: it is there, takes connections, and does not answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use priyo_tests::{Cluster, Database, PATIENCE, Person, ServerProcess};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::answers::{Answers, How};
use super::crowd::{Crowd, Notes, ask};
use super::{ANSWERED_WITHIN, BACK_WITHIN, is_long};
use crate::chance::{Dice, Evidence, seed};

/// How soon operators must see that something is wrong.
const NOTICED_WITHIN: Duration = Duration::from_secs(3);

/// How many connections one server of the tests has at most, and when it is back to them.
const POOL: u64 = 5;
const POOL_BACK_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_answered_in_time_while_the_database_server_says_nothing() {
    let Some(cluster) = Cluster::start().await else { return };
    let evidence = Evidence::of(seed());
    let mut dice = Dice::new(seed());
    let database = Database::on(&cluster);
    let server = ServerProcess::start(&database).await;
    let crowd = Crowd::gather(&[&server], 16, 4).await;
    let bystanders = Bystanders::gather(&server, &crowd).await;
    let notes = Notes::new(&evidence);
    let pause = Duration::from_secs(if is_long() { 10 } else { 6 });

    let talk = crowd.talk(&notes, "talk", &mut dice).await;
    notes.answers.done_after(Instant::now()).await;
    let begin = Instant::now();
    cluster.pause().await;
    let paused = Instant::now();
    let watching = tokio::spawn(watch_health(server.wire.clone(), paused + pause - NOTICED_WITHIN));
    let asking = bystanders.ask_for_everything(&notes.answers);
    let plain = tokio::spawn(ask_plainly(cluster.url().to_owned()));
    // The pause is the fault itself: it has no event to wait for.
    sleep(pause).await;
    assert_eq!(done_between(&notes.answers, paused + Duration::from_millis(200), Instant::now()), 0);
    assert!(!plain.is_finished(), "the pause is none");
    let resumed = Instant::now();
    cluster.resume().await;

    let back = notes.answers.done_after(resumed).await;
    plain.await.unwrap();
    asking.join_all().await;
    watching.await.unwrap();
    let connections = connections_at_most(&database, POOL, resumed + POOL_BACK_WITHIN).await;
    talk.stop().await;
    notes.answers.assert_honest(ANSWERED_WITHIN, &[begin..resumed + BACK_WITHIN]);
    assert!(back <= BACK_WITHIN, "the first was stored {back:?} after the database was back");
    let violations = crowd.check(&notes, &database).await;
    assert!(violations.is_empty(), "{violations:#?}");
    println!(
        "a pause of {pause:?}: {} acknowledged, {} refused, answered within {:?}, back within {back:?}, \
         {connections} connections then",
        notes.history.acknowledged(),
        notes.answers.unavailable(),
        notes.answers.slowest(),
    );
    // It can be told to stop then, too.
    cluster.pause().await;
    let stopped = server.terminate(PATIENCE).await;
    cluster.resume().await;
    assert!(stopped.expect("the server stops in time").success());
}

/// The control: a program that just asks the database is answered when the pause is over, and not before.
async fn ask_plainly(url: String) {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    connection.execute("SELECT 1").await.unwrap();
}

/// How much was done in this time.
fn done_between(answers: &Answers, from: Instant, to: Instant) -> usize {
    answers.all().iter().filter(|one| one.how == How::Done && one.was_answered_between(from, to)).count()
}

/// What does not need the database goes on; what tells of it does so.
async fn watch_health(wire: priyo_tests::Wire, until: Instant) {
    while Instant::now() < until {
        let begun = Instant::now();
        let health = wire.send("GET", "/health", &[], Bytes::new()).await;
        assert_eq!(health.status, 200, "{}", health.text());
        assert!(begun.elapsed() < Duration::from_secs(1), "/health after {:?}", begun.elapsed());
        let begun = Instant::now();
        let ready = wire.send("GET", "/ready", &[], Bytes::new()).await;
        assert_eq!(
            (ready.status, ready.json()["database"].as_str()),
            (503, Some("down")),
            "{}",
            ready.text()
        );
        assert!(begun.elapsed() <= NOTICED_WITHIN, "/ready after {:?}", begun.elapsed());
        // As often as a load balancer may ask.
        sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until our server has no more connections than it may have; how many it has.
async fn connections_at_most(database: &Database, most: u64, deadline: Instant) -> u64 {
    // The one who makes people has one, too.
    let most = most + 1;
    loop {
        let found = database
            .query("SELECT count(*) AS connections FROM pg_stat_activity WHERE application_name = 'priyo'")
            .await;
        let connections = found[0]["connections"].as_u64().unwrap();
        if connections <= most {
            return connections;
        }
        assert!(Instant::now() < deadline, "{connections} connections are left");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Somebody who asks for each thing that there is.
struct Bystanders {
    customer: Person,
    agent: Person,
    group: String,
    message: String,
    other: Person,
}

impl Bystanders {
    async fn gather(server: &ServerProcess, crowd: &Crowd) -> Self {
        let (customer, agent, other) =
            (server.customer("customer").await, server.agent("agent").await, crowd.people[0].0.clone());
        let group = customer.starts_group_with(&[&agent, &other]).await;
        let message = customer.says(&group, "hello").await["id"].as_str().unwrap().to_owned();
        Self { customer, agent, group, message, other }
    }

    fn requests(&self) -> Vec<(&Person, &'static str, String, Option<Value>)> {
        let (group, other) = (&self.group, &self.other.id);
        vec![
            (&self.customer, "GET", "/api/auth/me".into(), None),
            (&self.customer, "GET", "/api/conversations".into(), None),
            (&self.customer, "GET", format!("/api/conversations/{group}"), None),
            (&self.customer, "GET", format!("/api/messages/{group}?limit=10"), None),
            (&self.customer, "GET", "/api/messages/unread/count".into(), None),
            (&self.agent, "POST", "/api/messages/read".into(), Some(json!({"messageIds": [self.message]}))),
            (
                &self.customer,
                "POST",
                "/api/messages".into(),
                Some(json!({"conversationId": group, "content": "hello"})),
            ),
            (
                &self.customer,
                "POST",
                "/api/conversations".into(),
                Some(json!({"participantIds": [other], "type": "GROUP"})),
            ),
            (
                &self.customer,
                "POST",
                format!("/api/conversations/{group}/participants"),
                Some(json!({"userIds": [other]})),
            ),
            (&self.customer, "DELETE", format!("/api/conversations/{group}/participants/{other}"), None),
            (&self.agent, "DELETE", format!("/api/conversations/{group}"), None),
            (&self.agent, "POST", format!("/api/conversations/{group}/reopen"), None),
            (&self.customer, "POST", format!("/api/conversations/{group}/leave"), None),
            (
                &self.customer,
                "POST",
                "/api/auth/refresh".into(),
                Some(json!({"refreshToken": self.customer.refresh_token})),
            ),
            (
                &self.customer,
                "POST",
                "/api/auth/login".into(),
                Some(json!({"email": "customer@example.com", "password": "anything at all"})),
            ),
            (
                &self.customer,
                "POST",
                "/api/auth/register".into(),
                Some(json!({"email": "new@example.com", "username": "new", "password": "anything at all"})),
            ),
        ]
    }

    /// Everything at once, three times over, in a moment when nothing is answered.
    fn ask_for_everything(&self, answers: &Arc<Answers>) -> JoinSet<()> {
        let mut asking = JoinSet::new();
        for (person, method, path, body) in self.requests() {
            for _ in 0..3 {
                let (person, path, body, answers) =
                    (person.clone(), path.clone(), body.clone(), Arc::clone(answers));
                asking.spawn(async move {
                    let begun = Instant::now();
                    let answer = ask(&person, method, &path, body.as_ref()).await;
                    let how = How::of_answer(&answer);
                    assert_eq!(how, How::Unavailable, "{method} {path}: {answer:?}");
                    answers.note(&format!("{method} {path}"), begun, how);
                });
            }
        }
        asking
    }
}
