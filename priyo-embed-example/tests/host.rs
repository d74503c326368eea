//! The chat works inside the host, with the host's users, and leaves the host's own routes alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

async fn call(
    app: &Router,
    method: &str,
    path: &str,
    token: &str,
    body: Option<Value>,
) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request =
        if token.is_empty() { request } else { request.header("authorization", format!("Bearer {token}")) };
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let response = app.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))))
}

async fn log_in(app: &Router, name: &str, pin: &str) -> (String, String) {
    let (status, login) = call(app, "POST", "/login", "", Some(json!({ "name": name, "pin": pin }))).await;
    assert_eq!(status, StatusCode::OK);
    (login["token"].as_str().unwrap().to_owned(), login["chatUserId"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn two_users_of_the_host_talk_under_its_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let (app, chat) = priyo_embed_example::app(folder.path()).await.unwrap();
    let (ada, _) = log_in(&app, "Ada", "1815").await;
    let (grace, grace_id) = log_in(&app, "Grace", "1906").await;

    let new = json!({ "participantIds": [grace_id], "type": "DIRECT" });
    let (status, made) = call(&app, "POST", "/chat/api/conversations", &ada, Some(new)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let conversation = made["conversation"]["id"].as_str().unwrap();
    let message = json!({ "conversationId": conversation, "content": "hello" });
    let (status, _) = call(&app, "POST", "/chat/api/messages", &ada, Some(message)).await;
    assert_eq!(status, StatusCode::CREATED);

    let (_, page) = call(&app, "GET", &format!("/chat/api/messages/{conversation}"), &grace, None).await;
    assert_eq!(page["messages"][0]["content"], "hello");
    assert_eq!(page["messages"][0]["sender"]["username"], "Ada");
    let (status, polled) = call(&app, "GET", "/chat/socket.io/?EIO=4&transport=polling", "", None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(polled.as_str().unwrap().starts_with("0{"), "{polled}");
    chat.close().await;
}

#[tokio::test]
async fn a_second_login_is_the_same_user() {
    let folder = tempfile::tempdir().unwrap();
    let (app, chat) = priyo_embed_example::app(folder.path()).await.unwrap();

    let (_, first) = log_in(&app, "Ada", "1815").await;
    let (_, second) = log_in(&app, "Ada", "1815").await;

    assert_eq!(first, second);
    chat.close().await;
}

#[tokio::test]
async fn the_hosts_login_is_the_only_one() {
    let folder = tempfile::tempdir().unwrap();
    let (app, chat) = priyo_embed_example::app(folder.path()).await.unwrap();

    let credentials = json!({ "email": "ada@example.com", "password": "lovelace1815" });
    let (status, _) = call(&app, "POST", "/chat/api/auth/login", "", Some(credentials)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, refused) = call(&app, "GET", "/chat/api/conversations", "made up", None).await;
    assert_eq!((status, &refused["code"]), (StatusCode::UNAUTHORIZED, &json!("invalid_token")));
    let (status, _) = call(&app, "POST", "/login", "", Some(json!({ "name": "Ada", "pin": "0000" }))).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (status, home) = call(&app, "GET", "/", "", None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(home.as_str().unwrap().contains("host application"));
    chat.close().await;
}
