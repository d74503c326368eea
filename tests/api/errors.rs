//! The error table: every code with its status and text, in the one shape.

use std::collections::BTreeSet;

use priyo_core::Limits;
use priyo_tests::{Answer, Settings, TestApp, assert_keys};
use serde_json::json;

const NOTHING: &str = "0199a000-0000-7000-8000-000000000000";

/// The rows of the contract's table: status, code, text, and for those that cannot be had over REST (or not yet)
/// where they are tested. An empty text is one that depends on what it is about.
const TABLE: &[(u16, &str, &str, Option<&str>)] = &[
    (400, "validation_failed", "Validation error", None),
    (400, "malformed_json", "Invalid JSON in request body", None),
    (401, "unauthenticated", "Access token required", None),
    (401, "invalid_token", "Invalid or expired access token", None),
    (401, "invalid_credentials", "Invalid credentials", None),
    (401, "invalid_refresh_token", "Invalid refresh token", None),
    (403, "forbidden", "Insufficient permissions", None),
    (404, "route_not_found", "Route not found", None),
    (404, "not_found", "Conversation not found", None),
    (405, "method_not_allowed", "Method not allowed", None),
    (400, "unknown_event", "Unknown event", Some("realtime: bad_input")),
    (409, "conflict", "User with this email or username already exists", None),
    (409, "direct_exists", "", None),
    (409, "conversation_closed", "", None),
    (409, "client_id_reused", "", None),
    (413, "payload_too_large", "Request body too large", None),
    (413, "quota_exceeded", "Storage quota exceeded", Some("comes with the quota")),
    (415, "unsupported_media_type", "", None),
    (429, "rate_limited", "Too many requests, please try again later", Some("rates")),
    (503, "overloaded", "", None),
    (503, "unavailable", "", None),
    (500, "internal", "Internal server error", None),
];

/// Fails unless an answer is an error of the one shape that shows nothing of our insides.
#[track_caller]
fn assert_error(answer: &Answer, extras: &[&str]) {
    assert_keys(&answer.json(), &[&["error", "code", "requestId"], extras].concat());
    assert_eq!(answer.header("x-request-id"), answer.json()["requestId"]);
    assert_eq!(answer.header("content-type"), "application/json");
    let text = answer.text();
    for inside in [
        "SELECT",
        "INSERT",
        "SQL",
        "sqlite",
        "postgres",
        "no such table",
        "relation",
        "panicked",
        ".rs",
        "/tmp",
        "$argon2",
    ] {
        assert!(!text.contains(inside), "{text}");
    }
}

#[tokio::test]
async fn every_row_of_the_table_can_be_had_and_says_what_the_table_says() {
    let app = TestApp::new().await;
    let (alice, greg) = (app.customer("alice").await, app.agent("greg").await);
    let open = alice.starts_conversation_with(&greg).await;
    let register = json!({"email": "alice@example.com", "username": "alice", "password": "correct horse"});
    let closed = alice.starts_group_with(&[&greg]).await;
    greg.delete(format!("/api/conversations/{closed}")).await.expect(200);
    let send = |conversation: &str, content: &str| json!({"conversationId": conversation, "content": content, "clientMessageId": "c-1"});
    alice.post("/api/messages", send(&open, "one")).await.expect(201);
    let direct = json!({"participantIds": [greg.id], "type": "DIRECT"});

    let had: Vec<(Answer, &[&str])> = vec![
        (alice.post("/api/messages", json!({})).await, &["details"]),
        (alice.post_bytes("/api/messages", "{").await, &[]),
        (app.anonymous("GET", "/api/auth/me").await, &[]),
        (alice.with_token("x").get("/api/auth/me").await, &[]),
        (app.anonymous_post("/api/auth/login", json!({"email": "a@b.cd", "password": "wrong"})).await, &[]),
        (app.anonymous_post("/api/auth/refresh", json!({"refreshToken": "x"})).await, &[]),
        (alice.delete(format!("/api/conversations/{open}")).await, &["required", "current"]),
        (alice.get("/api/nothing").await, &[]),
        (alice.get(format!("/api/conversations/{NOTHING}")).await, &[]),
        (alice.send("PUT", "/api/messages", None, "".into()).await, &[]),
        (app.anonymous_post("/api/auth/register", register).await, &[]),
        (alice.post("/api/conversations", direct).await, &["conversationId"]),
        (alice.post("/api/messages", send(&closed, "one")).await, &[]),
        (alice.post("/api/messages", send(&open, "two")).await, &[]),
        (alice.post_bytes("/api/messages", " ".repeat(65_537)).await, &["maxSize"]),
        (alice.send("POST", "/api/messages", Some("text/plain"), "{}".into()).await, &[]),
        (overloaded().await, &[]),
        (unavailable().await, &[]),
        (internal().await, &[]),
    ];

    for (answer, extras) in &had {
        assert_error(answer, extras);
        let (status, code) = answer.refusal();
        let row =
            TABLE.iter().find(|row| row.1 == code).unwrap_or_else(|| panic!("{code} is not in the table"));
        assert_eq!(status, row.0, "{code}");
        assert!(row.2.is_empty() || answer.error() == row.2, "{code}: {}", answer.error());
        assert_eq!(status == 503, answer.headers.contains_key("retry-after"), "{code}");
    }
    let codes: BTreeSet<String> = had.iter().map(|(answer, _)| answer.code()).collect();
    let expected: BTreeSet<String> =
        TABLE.iter().filter(|row| row.3.is_none()).map(|row| row.1.to_owned()).collect();
    assert_eq!(codes, expected);
}

/// Too many passwords at once.
async fn overloaded() -> Answer {
    let mut limits = Limits::default();
    (limits.hashing_at_once, limits.hashing_queue) = (1, 0);
    let app = TestApp::with(Settings { limits, ..Settings::default() }).await;
    let login = json!({"email": "alice@example.com", "password": "wrong"});
    let all =
        futures_util::future::join_all((0..3).map(|_| app.anonymous_post("/api/auth/login", login.clone())));
    let mut refused = all.await.into_iter().filter(|answer| answer.status != 401);
    refused.next().expect("one of three is too many")
}

/// The database has gone.
async fn unavailable() -> Answer {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    alice.get("/api/auth/me").await.expect(200);
    app.engine.close().await;
    alice.get("/api/conversations").await
}

/// The database is not what it should be.
async fn internal() -> Answer {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    app.database().execute("ALTER TABLE conversations RENAME TO somewhere_else").await;
    alice.get("/api/conversations").await
}

#[tokio::test]
async fn every_answer_carries_a_request_id_and_a_good_one_is_echoed() {
    let app = TestApp::new().await;
    let paths = ["/health", "/api/auth/me", "/api/nothing"];
    for path in paths {
        let (one, other) = (app.anonymous("GET", path).await, app.anonymous("GET", path).await);
        assert!(!one.header("x-request-id").is_empty(), "{path}");
        assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
        for id in ["a", "ABC-123-xyz", &"a".repeat(64)] {
            let echo = app.wire.send("GET", path, &[("x-request-id", id)], "".into()).await;
            assert_eq!(echo.header("x-request-id"), id, "{path}");
            if echo.status != 200 {
                assert_eq!(echo.json()["requestId"], id);
            }
        }
        for id in ["", "a b", "a_b", "<script>", &"a".repeat(65), "ä"] {
            let answer = app.wire.send("GET", path, &[("x-request-id", id)], "".into()).await;
            assert_ne!(answer.header("x-request-id"), id, "{path}");
            assert!(!answer.header("x-request-id").is_empty());
        }
    }
}

#[tokio::test]
async fn a_route_answers_other_methods_with_those_it_takes() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let conversation = alice.starts_group_with(&[]).await;
    for (path, methods) in [
        ("/api/auth/register".to_owned(), "POST"),
        ("/api/auth/login".to_owned(), "POST"),
        ("/api/auth/refresh".to_owned(), "POST"),
        ("/api/auth/logout".to_owned(), "POST"),
        ("/api/auth/me".to_owned(), "GET"),
        ("/api/conversations".to_owned(), "GET,POST"),
        (format!("/api/conversations/{conversation}"), "DELETE,GET"),
        (format!("/api/conversations/{conversation}/reopen"), "POST"),
        (format!("/api/conversations/{conversation}/leave"), "POST"),
        (format!("/api/conversations/{conversation}/participants"), "POST"),
        (format!("/api/conversations/{conversation}/participants/{}", alice.id), "DELETE"),
        ("/api/messages".to_owned(), "POST"),
        ("/api/messages/unread/count".to_owned(), "GET"),
        ("/api/upload".to_owned(), "POST"),
        ("/health".to_owned(), "GET"),
        ("/api/health".to_owned(), "GET"),
        ("/ready".to_owned(), "GET"),
    ] {
        for method in ["PATCH", "PUT", "BREW"] {
            let refused = alice.send(method, &path, None, "".into()).await;
            assert_eq!(refused.refusal(), (405, "method_not_allowed".to_owned()), "{method} {path}");
            assert_eq!(refused.error(), "Method not allowed");
            let allowed: BTreeSet<&str> =
                refused.header("allow").split(',').map(str::trim).filter(|m| *m != "HEAD").collect();
            assert_eq!(allowed.into_iter().collect::<Vec<_>>().join(","), methods, "{path}");
        }
    }
}

#[tokio::test]
async fn what_is_no_route_is_not_found() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    for path in [
        "/api/nothing",
        "/api/auth",
        "/api/auth/nothing",
        "/api/conversations/x/y/z",
        "/api/messages/x/y/z",
        "/api/priyo-auth/admin/create",
        "/api//auth/me",
        "/api/auth/../auth/me",
        "/API/auth/me",
    ] {
        for refused in [alice.get(path).await, alice.post(path, json!({})).await] {
            // A router without a host around it answers what is outside of `/api` with a bare 404.
            assert_eq!(refused.status, 404, "{path}");
            if path.starts_with("/api") {
                assert_eq!(refused.refusal(), (404, "route_not_found".to_owned()), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn health_needs_no_database_and_readiness_does() {
    let app = TestApp::new().await;
    for closed in [false, true] {
        for path in ["/health", "/api/health"] {
            let health = app.anonymous("GET", path).await.expect(200).json();
            assert_keys(&health, &["status", "timestamp", "uptime"]);
            assert_eq!(
                (&health["status"], &health["timestamp"]),
                (&json!("OK"), &json!("2026-11-23T02:15:35.850Z"))
            );
            assert!(health["uptime"].as_f64().unwrap() >= 0.0);
        }
        assert_eq!(app.anonymous("GET", "/ready").await.status, if closed { 503 } else { 200 });
        app.engine.close().await;
    }
}
