//! A table is changed under a server that runs: a newer one has been started beside it.

use axum::body::Bytes;
use priyo_tests::{Cluster, Database, Person, ServerProcess};
use serde_json::json;
use sqlx::{Executor, Row};
use tokio::task::JoinSet;

use super::connect;
use super::crowd::{Crowd, ask};

/// More than there are connections.
const AT_ONCE: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_were_prepared_before_a_table_was_changed_are_prepared_anew() {
    let Some(cluster) = Cluster::start().await else { return };
    let database = Database::on(&cluster);
    let server = ServerProcess::start(&database).await;
    let crowd = Crowd::gather(&[&server], AT_ONCE, 1).await;
    everybody_reads_and_writes(&crowd).await;
    let mut plain = connect(&database).await;
    let avatars = "SELECT avatar FROM users";
    plain.fetch_all(sqlx::query(avatars)).await.unwrap();

    database.execute("ALTER TABLE users ALTER COLUMN avatar TYPE varchar(500)").await;
    everybody_reads_and_writes(&crowd).await;

    // The control: a program that just keeps its statements is told that they are of no use any more.
    let error = plain.fetch_all(sqlx::query(avatars)).await.map(|rows| rows.len()).unwrap_err();
    assert!(error.to_string().contains("cached plan must not change result type"), "{error}");
    let all = "SELECT count(*) FROM users";
    assert_eq!(plain.fetch_one(sqlx::query(all)).await.unwrap().get::<i64, _>(0), AT_ONCE as i64);
}

/// All at once, so that every connection has something to do.
async fn everybody_reads_and_writes(crowd: &Crowd) {
    let mut asking = JoinSet::new();
    for (person, _) in &crowd.people {
        asking.spawn(read_and_write(person.clone(), crowd.conversations[0].clone()));
    }
    asking.join_all().await;
}

async fn read_and_write(person: Person, conversation: String) {
    for path in
        ["/api/conversations".to_owned(), format!("/api/messages/{conversation}"), "/api/auth/me".to_owned()]
    {
        person.send("GET", &path, None, Bytes::new()).await.expect(200);
    }
    let message = json!({"conversationId": conversation, "content": "hello"});
    let answer = ask(&person, "POST", "/api/messages", Some(&message)).await.unwrap();
    answer.expect(201);
}
