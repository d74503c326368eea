//! Commits that are done and of which nobody is told.

use std::pin::pin;
use std::time::Duration;

use priyo_tests::{Cluster, Database, PATIENCE, Person, ServerProcess, Socket};
use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::time::{Instant, timeout};

use super::crowd::ask;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_commit_was_not_answered_is_stored_once_and_told() {
    let Some(cluster) = Cluster::start().await else { return };
    let database = Database::on(&cluster);
    let server = ServerProcess::start(&database).await;
    let alice = server.customer("alice").await;
    let conversation = alice.starts_group_with(&[]).await;
    let named = json!({"conversationId": conversation, "content": "named", "clientMessageId": "a-1"});
    let nameless = json!({"conversationId": conversation, "content": "nameless"});
    let mut socket = Socket::connect(server.addr, &alice.token).await.unwrap();
    socket.must("conversation:join", conversation.as_str()).await;

    for (message, status_of_a_repeat) in [(&named, 200), (&nameless, 201)] {
        cluster.waits_for_standby(true).await;
        assert_eq!(left_unanswered(&cluster, send(&alice, message)).await, 503, "{message}");
        cluster.waits_for_standby(false).await;
        let count =
            format!("SELECT 1 AS one FROM messages WHERE content = {}", message["content"]).replace('"', "'");
        assert_eq!(database.query(&count).await.len(), 1, "{message}");
        // Nobody says anything after it.
        assert_eq!(socket.next("message:new").await["content"], message["content"]);

        // The control: a server that tried again by itself would do the same as this client, who has to know what
        // may come of it.
        assert_eq!(send(&alice, message).await, status_of_a_repeat);
        let expected = if status_of_a_repeat == 201 { 2 } else { 1 };
        assert_eq!(database.query(&count).await.len(), expected, "{message}");
        assert_eq!(socket.heard_of("message:new").await.len(), expected - 1, "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_taken_out_by_a_commit_that_was_not_answered_hears_nothing_more() {
    let Some(cluster) = Cluster::start().await else { return };
    let database = Database::on(&cluster);
    let server = ServerProcess::start(&database).await;
    let (alice, bob, carol) =
        (server.customer("alice").await, server.customer("bob").await, server.customer("carol").await);
    let conversation = alice.starts_group_with(&[&bob, &carol]).await;
    let mut sockets = Vec::new();
    for person in [&alice, &bob, &carol] {
        let mut socket = Socket::connect(server.addr, &person.token).await.unwrap();
        socket.must("conversation:join", conversation.as_str()).await;
        sockets.push(socket);
    }
    // The control: they hear what is said.
    alice.says(&conversation, "before").await;
    for socket in &mut sockets {
        assert_eq!(socket.next("message:new").await["content"], "before");
    }
    let [of_alice, of_bob, of_carol] = sockets.as_mut_slice() else { panic!() };

    cluster.waits_for_standby(true).await;
    let path = format!("/api/conversations/{conversation}/participants/{}", bob.id);
    let taking_out = async { ask(&alice, "DELETE", &path, None).await.unwrap().status };
    assert_eq!(left_unanswered(&cluster, taking_out).await, 503);
    let logging_out = async { ask(&carol, "POST", "/api/auth/logout", None).await.unwrap().status };
    assert_eq!(left_unanswered(&cluster, logging_out).await, 503);
    cluster.waits_for_standby(false).await;
    alice.says(&conversation, "secret").await;

    assert_eq!(of_alice.next("message:new").await["content"], "secret");
    assert_eq!(of_bob.next("conversation:updated").await["gone"], true);
    assert_eq!(of_bob.heard_of("message:new").await, Vec::<Value>::new());
    assert!(of_carol.ends_by(Instant::now() + PATIENCE).await && of_carol.was_told_to_go());
    assert!(of_carol.taken().iter().all(|(name, _)| name != "message:new"));
    // And those who stay are told of it.
    let updated = of_alice.next("conversation:updated").await;
    assert_eq!(updated["conversation"]["participants"].as_array().unwrap().len(), 2, "{updated}");
}

async fn send(person: &Person, message: &serde_json::Value) -> u16 {
    ask(person, "POST", "/api/messages", Some(message)).await.unwrap().status
}

/// Breaks off the connections whose commits wait for a standby until there is an answer to the request that one of
/// them is of: they are not answered.
async fn left_unanswered<T>(cluster: &Cluster, request: impl Future<Output = T>) -> T {
    const BREAK_OFF: &str = "
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE wait_event = 'SyncRep' AND application_name = 'priyo'";
    let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
    let (mut request, mut broken_off) = (pin!(request), 0);
    loop {
        if let Ok(answer) = timeout(Duration::from_millis(2), &mut request).await {
            assert_ne!(broken_off, 0, "nothing was broken off");
            return answer;
        }
        broken_off += sqlx::query_scalar::<_, i64>(BREAK_OFF).fetch_one(&mut connection).await.unwrap();
    }
}
