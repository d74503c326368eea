//! What there is and what is described are the same.

use std::collections::BTreeSet;

use axum::body::Bytes;
use priyo_core::transport::{describe, rest};
use priyo_tests::{TestApp, TestServer, Wire};
use serde_json::{Value, json};

use crate::fit::Description;

/// Every operation of the REST door and of the pages around it.
const OPERATIONS: [(&str, &str); 39] = [
    ("GET", "/"),
    ("GET", "/api/asyncapi.json"),
    ("GET", "/api/auth/me"),
    ("GET", "/api/conversations"),
    ("GET", "/api/conversations/{conversationId}"),
    ("DELETE", "/api/conversations/{conversationId}"),
    ("POST", "/api/conversations"),
    ("POST", "/api/conversations/{conversationId}/leave"),
    ("POST", "/api/conversations/{conversationId}/participants"),
    ("DELETE", "/api/conversations/{conversationId}/participants/{userId}"),
    ("POST", "/api/conversations/{conversationId}/reopen"),
    ("GET", "/api/health"),
    ("GET", "/api/inbox"),
    ("GET", "/api/inbox/people"),
    ("POST", "/api/inbox/{conversationId}/claim"),
    ("POST", "/api/inbox/{conversationId}/release"),
    ("GET", "/api/messages/unread/count"),
    ("GET", "/api/messages/{conversationId}"),
    ("POST", "/api/messages"),
    ("POST", "/api/messages/read"),
    ("GET", "/api/openapi.json"),
    ("GET", "/api/upload/{filename}"),
    ("POST", "/api/upload"),
    ("POST", "/api/auth/login"),
    ("POST", "/api/auth/logout"),
    ("POST", "/api/auth/refresh"),
    ("POST", "/api/auth/register"),
    ("POST", "/api/auth/password"),
    ("GET", "/api/auth/sessions"),
    ("DELETE", "/api/auth/sessions/{sessionId}"),
    ("GET", "/api/users"),
    ("PATCH", "/api/users/{userId}"),
    ("POST", "/api/widget/conversation"),
    ("POST", "/api/widget/session"),
    ("GET", "/docs"),
    ("GET", "/health"),
    ("GET", "/metrics"),
    ("GET", "/ready"),
    ("GET", "/uploads/{filename}"),
];

/// Every route in one router; `/metrics` is the server's.
fn everything(app: &TestApp) -> Wire {
    let engine = &app.engine;
    let routes =
        rest::router(engine.clone()).merge(rest::index(engine, true)).merge(describe::router(engine));
    Wire::Router(routes)
}

#[tokio::test]
async fn every_operation_is_described_and_no_other() {
    let app = TestApp::new().await;
    let described = Description::of_rest(&app.engine).await.operations();
    let expected: BTreeSet<(String, String)> =
        OPERATIONS.into_iter().map(|(method, path)| (method.to_owned(), path.to_owned())).collect();
    assert_eq!(described, expected);
}

#[tokio::test]
async fn a_path_takes_the_methods_that_are_described_and_no_other() {
    let app = TestApp::new().await;
    let (wire, description) = (everything(&app), Description::of_rest(&app.engine).await);
    let operations = description.operations();
    let paths: BTreeSet<&String> = operations.iter().map(|(_, path)| path).collect();
    for path in paths.into_iter().filter(|path| *path != "/metrics") {
        let asked = path.replace(['{', '}'], "");
        let refused = wire.send("PUT", &asked, &[], Bytes::new()).await;
        assert_eq!(refused.refusal(), (405, "method_not_allowed".to_owned()), "{path}");
        let taken: BTreeSet<&str> = refused.header("allow").split(',').filter(|one| *one != "HEAD").collect();
        let described: BTreeSet<&str> =
            operations.iter().filter(|(_, known)| known == path).map(|(method, _)| method.as_str()).collect();
        // The path of one operation may look like a variable part of another's.
        assert!(taken.is_superset(&described), "{path}: {taken:?}");
        if !path.starts_with("/api/messages/") {
            assert_eq!(taken, described, "{path}");
        }
    }
    // Control.
    assert_eq!(wire.send("GET", "/api/nothing", &[], Bytes::new()).await.status, 404);
}

#[tokio::test]
async fn what_an_engine_does_not_have_is_not_described() {
    let database = priyo_tests::Database::new();
    let accounts = priyo_core::Accounts::new(priyo_tests::ACCESS_SECRET, priyo_tests::REFRESH_SECRET);
    let engine = database.engine(accounts).await.public_path("/chat/").build().await.unwrap();
    let description = Description::of_rest(&engine).await;
    assert!(description.operations().iter().all(|(_, path)| !path.contains("upload")));
    assert_eq!(description.0["servers"][0]["url"], "/chat");
    let sockets = Description::of_sockets(&engine).await;
    assert_eq!(sockets.0["servers"]["here"]["pathname"], "/chat/socket.io/");
}

#[tokio::test]
async fn every_operation_says_what_there_is_to_know() {
    let app = TestApp::new().await;
    let description = Description::of_rest(&app.engine).await;
    let mut ids = BTreeSet::new();
    for (method, path) in description.operations() {
        let operation = description.operation(&method, &path);
        let place = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{place}");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{place}");
        let in_path: BTreeSet<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let described = parameters.iter().filter(|one| one["in"] == "path");
        assert_eq!(described.map(|one| one["name"].as_str().unwrap()).collect::<BTreeSet<_>>(), in_path);
        assert!(parameters.iter().all(|one| one["description"].is_string()), "{place}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{place}");
        assert!(
            responses.values().all(|one| one["description"].as_str().is_some_and(|text| !text.is_empty()))
        );
        let needs_token = operation["security"] == json!([{ "bearer": [] }]);
        assert!(!needs_token || responses.contains_key("401"), "{place}");
    }
}

#[tokio::test]
async fn the_limits_of_the_engine_are_described() {
    let mut settings = priyo_tests::Settings::default();
    settings.limits.message_chars = 77;
    settings.limits.page_rows = 33;
    let app = TestApp::with(settings).await;
    let description = Description::of_rest(&app.engine).await;
    let schema =
        &description.operation("POST", "/api/messages")["requestBody"]["content"]["application/json"];
    assert_eq!(schema["schema"]["properties"]["content"]["maxLength"], 77);
    let limit = &description.operation("GET", "/api/messages/{conversationId}")["parameters"][1]["schema"];
    assert_eq!(limit, &json!({ "type": "integer", "minimum": 1, "maximum": 33, "default": 33 }));
}

#[tokio::test]
async fn every_event_that_a_socket_takes_is_described_and_no_other() {
    let (app, server) = (TestApp::new().await, TestServer::start().await);
    let described = Description::of_sockets(&app.engine).await.messages("fromClient");
    let expected = [
        "auth:refresh",
        "conversation:join",
        "conversation:leave",
        "message:read",
        "message:send",
        "sync",
        "typing:start",
        "typing:stop",
    ];
    assert_eq!(described, expected.map(str::to_owned).into());
    let alice = server.customer("alice").await;
    let mut socket = server.socket(&alice).await;
    for event in &described {
        let answer: Value = socket.ask(event, json!(5)).await;
        assert_eq!(answer["error"]["code"], "validation_failed", "{event}");
    }
    // Control.
    assert_eq!(socket.ask("message:nothing", json!(5)).await["error"]["code"], "unknown_event");
}
