//! Whether the oracle finds what it is to find: a watch that lets something through proves nothing.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use serde_json::json;

use crate::oracle::{Oracle, Secret};
use crate::world::World;

/// What a case says that must fail.
async fn complaint(case: impl Future<Output = ()>) -> String {
    let panic = AssertUnwindSafe(case).catch_unwind().await.expect_err("nothing was found");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => (*other.downcast::<&str>().unwrap()).to_owned(),
    }
}

#[test]
fn each_kind_of_leak_is_found_in_a_header_or_a_body() {
    let secret = Secret::canary("x", &[]);
    let oracle = Oracle::new([&secret], None);
    for leak in [
        secret.text(),
        "error returned from database: SQLSTATE 42P01",
        "sqlx::Error",
        "thread 'main' panicked at",
        "priyo-core/src/engine/mod.rs",
        "engine.rs:12",
        "$argon2id$v=19$m=19456",
        "no such table: users",
        "SELECT id FROM users",
        "/data/priyo.db",
    ] {
        assert!(!oracle.finds(format!("HTTP/1.1 200 OK\r\nx: {leak}\r\n").as_bytes()).is_empty(), "{leak}");
        assert!(!oracle.finds(json!({ "error": leak }).to_string().as_bytes()).is_empty(), "{leak}");
    }
    assert_eq!(
        oracle.finds(b"{\"error\":\"Conversation not found\",\"code\":\"not_found\"}"),
        Vec::<&str>::new()
    );
}

/// Each watch here is of somebody who may see what they ask for, as if they were somebody who may not.
#[tokio::test]
async fn what_reaches_the_wrong_person_is_found_in_answers_and_on_sockets() {
    let world = World::new().await;
    let (messages, list) = (format!("/api/messages/{}", world.d12), "/api/conversations");
    let file = world.file_path();
    for path in [&*messages, list, &*file, "/api/auth/me"] {
        let said = complaint(async {
            let watch = world.watch_as(&world.c2, &world.c3).await;
            watch.get(path).await;
            watch.ends_changed().await;
        });
        let said = said.await;
        assert!(said.contains("leaked"), "{path}: {said}");
    }
    let said = complaint(async {
        let watch = world.watch_as(&world.c2, &world.c3).await;
        let mut socket = watch.socket().await;
        socket.must("conversation:join", json!({"conversationId": world.d12, "after": 0})).await;
        watch.inspect_socket(&mut socket).await;
        watch.ends_changed().await;
    });
    assert!(said.await.contains("leaked"));
}

#[tokio::test]
async fn a_change_by_a_refused_request_a_failure_and_a_forgotten_end_are_found() {
    let world = World::new().await;
    let changed = complaint(async {
        let watch = world.watch(&world.c1).await;
        world.c1.says(&world.d12, "a message more").await;
        watch.ends().await;
    });
    assert!(changed.await.contains("messages"));
    let only_a_column = complaint(async {
        let watch = world.watch(&world.c3).await;
        world.server.database().execute("UPDATE users SET role = 'ADMIN' WHERE username = 'customer3'").await;
        watch.ends().await;
    });
    assert!(only_a_column.await.contains("users"));
    let forgotten = complaint(async { drop(world.watch(&world.c3).await) });
    assert!(forgotten.await.contains("must be ended"));
    world.server.database().execute("ALTER TABLE message_reads RENAME TO somewhere_else").await;
    let failed = complaint(async {
        let watch = world.watch(&world.c2).await;
        watch.get(&format!("/api/messages/{}", world.d12)).await;
        watch.ends_changed().await;
    });
    assert!(failed.await.starts_with("500"));
}

#[tokio::test]
async fn a_server_that_is_gone_is_not_well() {
    let world = World::new().await;
    let watch = world.watch(&world.c3).await;
    let pid = world.server.pid().to_string();
    let killed = tokio::process::Command::new("kill").args(["-9", &pid]).status().await.unwrap();
    assert!(killed.success());
    assert!(complaint(watch.ends_changed()).await.contains("/health"));
}
