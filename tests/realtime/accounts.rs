//! What is done to an account reaches its live connections.

use priyo_core::model::UserId;
use priyo_tests::{Database, PATIENCE, Person, ServerProcess, Site, Socket, TestServer};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{pair, within};

const PASSWORD: &str = "correct horse";

/// Someone who has registered, and so has a password.
async fn registered(server: &Site, name: &str) -> Person {
    let body = json!({"email": format!("{name}@example.com"), "username": name, "password": PASSWORD});
    let nobody = server.customer(&format!("not-{name}")).await;
    let made = nobody.post("/api/auth/register", body).await.expect(201).json();
    let id = made["user"]["id"].as_str().unwrap().to_owned();
    Person { id, ..nobody.with_token(made["tokens"]["accessToken"].as_str().unwrap()) }
}

/// Says something that only a socket which lives can say.
async fn lives(socket: &mut Socket) {
    let answer: Value = socket.ask("sync", json!({"conversations": {}})).await;
    assert_eq!(answer["ok"], true, "{answer}");
}

#[tokio::test]
async fn disabling_a_user_closes_their_sockets_within_a_second() {
    let (server, alice, bob, conversation) = pair().await;
    let root = server.admin("root").await;
    let phone = server.another_device(&alice).await;
    let (mut one, mut other) = (server.socket(&alice).await, server.socket(&phone).await);
    let mut of_bob = server.socket(&bob).await;
    of_bob.must("conversation:join", conversation.clone()).await;

    root.patch(format!("/api/users/{}", alice.id), json!({"disabled": true})).await.expect(200);
    let deadline = within(1);

    assert!(one.ends_by(deadline).await && other.ends_by(deadline).await);
    let refused = server.try_socket(&alice).await.unwrap_err();
    assert_eq!(refused.0, "Invalid authentication token");
    lives(&mut of_bob).await;
}

#[tokio::test]
async fn a_socket_may_at_once_what_its_users_new_role_may() {
    let (server, alice, _, conversation) = pair().await;
    let (root, carol) = (server.admin("root").await, server.customer("carol").await);
    let mut socket = server.socket(&carol).await;
    let refused = socket.ask("conversation:join", json!(conversation)).await;
    assert_eq!(refused["error"]["code"], "not_found");

    root.patch(format!("/api/users/{}", carol.id), json!({"role": "ADMIN"})).await.expect(200);

    socket.must("conversation:join", conversation.clone()).await;
    alice.says(&conversation, "overheard").await;
    assert_eq!(socket.next("message:new").await["content"], "overheard");
}

#[tokio::test]
async fn one_who_is_no_administrator_any_more_overhears_nothing_more() {
    let (server, alice, bob, conversation) = pair().await;
    let (root, carol) = (server.admin("root").await, server.admin("carol").await);
    let mut outside = server.socket(&carol).await;
    outside.must("conversation:join", conversation.clone()).await;
    let mut inside = server.socket(&bob).await;
    inside.must("conversation:join", conversation.clone()).await;

    root.patch(format!("/api/users/{}", carol.id), json!({"role": "AGENT"})).await.expect(200);
    let deadline = within(1);
    alice.says(&conversation, "between us").await;

    assert!(outside.ends_by(deadline).await);
    assert!(!outside.was_told_to_go(), "its client comes back by itself");
    assert_eq!(outside.kept("message:new"), 0);
    assert_eq!(inside.next("message:new").await["content"], "between us");
    let mut back = server.socket(&carol).await;
    let refused = back.ask("conversation:join", json!(conversation)).await;
    assert_eq!(refused["error"]["code"], "not_found");
}

#[tokio::test]
async fn another_password_closes_the_sockets_of_all_other_sessions() {
    let server = TestServer::start().await;
    let ada = registered(&server, "ada").await;
    let phone = server.another_device(&ada).await;
    let (mut here, mut there) = (server.socket(&ada).await, server.socket(&phone).await);

    let wrong = json!({"currentPassword": "wrong", "newPassword": "battery staple"});
    ada.post("/api/auth/password", wrong).await.expect(403);
    lives(&mut there).await;
    let right = json!({"currentPassword": PASSWORD, "newPassword": "battery staple"});
    ada.post("/api/auth/password", right).await.expect(200);
    let deadline = within(1);

    assert!(there.ends_by(deadline).await);
    lives(&mut here).await;
}

#[tokio::test]
async fn ending_a_session_closes_its_sockets_and_no_others() {
    let server = TestServer::start().await;
    let alice = server.customer("alice").await;
    let phone = server.another_device(&alice).await;
    let (mut here, mut there) = (server.socket(&alice).await, server.socket(&phone).await);

    alice.delete(format!("/api/auth/sessions/{}", phone.session)).await.expect(200);
    let deadline = within(1);

    assert!(there.ends_by(deadline).await);
    lives(&mut here).await;
}

#[tokio::test]
async fn the_audit_log_says_where_a_client_was_and_the_log_of_the_program_has_it_too() {
    let database = Database::new();
    let server = ServerProcess::start(&database).await;
    let root = server.admin("root").await;
    let (alice, bob) = (server.customer("alice").await, server.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    let mut socket = server.socket(&root).await;
    let said = json!({"conversationId": conversation, "content": "from outside"});
    assert_eq!(socket.ask("message:send", said).await["error"]["code"], "forbidden");

    let deadline = Instant::now() + PATIENCE;
    let entries = loop {
        let entries = database.query("SELECT * FROM audit_log WHERE action = 'authorization_denied'").await;
        if !entries.is_empty() {
            break entries;
        }
        assert!(Instant::now() < deadline, "nothing is written");
        sleep(std::time::Duration::from_millis(10)).await;
    };
    assert_eq!((entries.len(), &entries[0]["address"]), (1, &json!("127.0.0.1")));
    assert_eq!(UserId::from_client(entries[0]["actor_id"].as_str().unwrap()).to_string(), root.id);
    assert!(entries[0]["request_id"].as_str().is_some_and(|id| !id.is_empty()));
    let log = std::fs::read_to_string(database.folder().join("log")).unwrap();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("authorization_denied")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("priyo::audit") && lines[0].contains(&root.id), "{}", lines[0]);
}
