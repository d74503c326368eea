//! What is measured: there for operators, and without a word of anyone's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a surprise must fail the test")]

use axum::body::Bytes;
use priyo_tests::{Answer, TestServer};
use serde_json::json;

/// 32 bytes, as random as a test needs.
const TOKEN: &str = "q8Zr2vXw5yNbT7mKc3Jd9pLs4hGf6aVe";

async fn metrics(server: &TestServer, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers: &[(&str, &str)] = if token.is_empty() { &[] } else { &[("authorization", &bearer)] };
    server.wire.send("GET", "/metrics", headers, Bytes::new()).await
}

/// The value of a series, named with its labels; 0 when there is none.
fn value(text: &str, series: &str) -> f64 {
    let of = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(of).unwrap_or(0.0)
}

#[tokio::test]
async fn what_happens_is_counted_and_nobody_is_named() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.customer("canary-alice").await, server.customer("canary-bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    let mut socket = server.socket(&bob).await;
    socket.must("conversation:join", conversation.clone()).await;
    let body =
        json!({"conversationId": conversation, "content": "canary-text", "clientMessageId": "canary-id"});
    for _ in 0..2 {
        alice.post("/api/messages", body.clone()).await;
    }
    alice.get("/api/conversations/canary-unknown?canary-query=1").await.expect(404);

    let answer = metrics(&server, "").await;

    let text = answer.text();
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "text/plain; version=0.0.4; charset=utf-8")
    );
    for (series, expected) in [
        (r#"priyo_messages_total{outcome="new"}"#, 1.0),
        (r#"priyo_messages_total{outcome="duplicate"}"#, 1.0),
        (r#"priyo_refusals_total{code="not_found"}"#, 1.0),
        (r#"priyo_events_handed_total{event="message:new"}"#, 1.0),
        ("priyo_sockets", 1.0),
        ("priyo_append_batch_messages_count", 2.0),
        (
            r#"priyo_http_requests_total{method="GET",route="/api/conversations/{conversationId}",status="4xx"}"#,
            1.0,
        ),
    ] {
        assert!((value(&text, series) - expected).abs() < 0.5, "{series}\n{text}");
    }
    for there in ["priyo_http_request_seconds_bucket", "# HELP priyo_sockets "] {
        assert!(text.contains(there), "{there}\n{text}");
    }
    for private in ["canary", &alice.id, &bob.id, &conversation] {
        assert!(!text.contains(private), "{private}");
    }
}

#[tokio::test]
async fn the_commits_of_an_sqlite_file_are_timed() {
    let folder = tempfile::TempDir::new().unwrap();
    let database = format!("sqlite:{}", folder.path().join("priyo.db").display());
    let server = TestServer::start_with(&[("DATABASE_URL", &database)]).await;

    let text = metrics(&server, "").await.text();

    assert!(value(&text, "priyo_sqlite_commit_seconds_count") > 0.5, "{text}");
}

#[tokio::test]
async fn in_production_only_an_administrator_and_the_metrics_token_read_them() {
    let production = [("NODE_ENV", "production"), ("RATE_LIMITS", ""), ("METRICS_TOKEN", TOKEN)];
    let server = TestServer::start_with(&production).await;
    let (agent, admin) = (server.agent("agent").await, server.admin("admin").await);

    assert_eq!(metrics(&server, "").await.refusal(), (401, "unauthenticated".to_owned()));
    assert_eq!(metrics(&server, &TOKEN[1..]).await.refusal(), (401, "invalid_token".to_owned()));
    let refused = metrics(&server, &agent.token).await;
    assert_eq!(refused.refusal(), (403, "forbidden".to_owned()));
    assert_eq!(
        (&refused.json()["required"], &refused.json()["current"]),
        (&json!(["ADMIN"]), &json!("AGENT"))
    );
    assert_eq!(metrics(&server, &admin.token).await.status, 200);
    assert_eq!(metrics(&server, TOKEN).await.status, 200);
}

#[test]
fn the_dashboard_asks_for_series_that_there_are() {
    let dashboard = include_str!("../priyo-server/grafana-dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    let telemetry = concat!(
        include_str!("../priyo-core/src/telemetry.rs"),
        include_str!("../priyo-server/src/operators.rs")
    );
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            for word in query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                if let Some(name) = word.strip_prefix("priyo_") {
                    let name = ["_bucket", "_sum", "_count"]
                        .iter()
                        .find_map(|s| name.strip_suffix(s))
                        .unwrap_or(name);
                    assert!(telemetry.contains(&format!("\"priyo_{name}\"")), "{word}");
                    asked += 1;
                }
            }
        }
    }
    assert!(asked >= 12, "{asked}");
}
