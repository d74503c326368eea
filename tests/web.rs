//! The server's own part of the contract: headers, CORS, `/`, and what production does differently.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a surprise must fail the test")]

use axum::body::Bytes;
use priyo_tests::{Answer, TestServer, assert_keys};

/// Every setting that a production server in a test needs to differ in.
const PRODUCTION: &[(&str, &str)] = &[("NODE_ENV", "production"), ("RATE_LIMITS", "")];

async fn get(server: &TestServer, path: &str, headers: &[(&str, &str)]) -> Answer {
    server.wire.send("GET", path, headers, Bytes::new()).await
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let server = TestServer::start().await;
    for path in ["/health", "/", "/api/auth/me", "/api/nothing", "/nothing", "/uploads/x"] {
        let answer = get(&server, path, &[]).await;
        for (name, value) in [
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("origin-agent-cluster", "?1"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("x-dns-prefetch-control", "off"),
            ("x-download-options", "noopen"),
            ("x-frame-options", "SAMEORIGIN"),
            ("x-permitted-cross-domain-policies", "none"),
            ("x-xss-protection", "0"),
        ] {
            assert_eq!(answer.header(name), value, "{path} {name}");
        }
        assert!(answer.header("content-security-policy").contains("default-src 'self'"), "{path}");
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
        assert!(!answer.headers.contains_key("strict-transport-security"), "not in development");
        assert!(!answer.headers.contains_key("server") && !answer.headers.contains_key("x-powered-by"));
    }
    let production = TestServer::start_with(PRODUCTION).await;
    let answer = get(&production, "/health", &[]).await;
    assert!(answer.header("strict-transport-security").contains("max-age="));
}

#[tokio::test]
async fn an_allowed_origin_is_reflected_with_credentials_and_another_gets_no_cors_header() {
    let server = TestServer::start().await;
    for (origin, allowed) in [
        ("http://localhost:5173", true),
        ("http://127.0.0.1:8080", true),
        ("http://evil.example", false),
        ("http://localhost.evil.example:80", false),
        ("http://localhost:80@evil.example", false),
        ("null", false),
    ] {
        let preflight = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,content-type"),
        ];
        let options = server.wire.send("OPTIONS", "/api/messages", &preflight, Bytes::new()).await;
        for answer in [get(&server, "/api/auth/me", &[("origin", origin)]).await, options] {
            if allowed {
                assert_eq!(answer.header("access-control-allow-origin"), origin);
                assert_eq!(answer.header("access-control-allow-credentials"), "true");
                let mut vary = answer.headers.get_all("vary").iter();
                assert!(
                    vary.any(|value| value.as_bytes().eq_ignore_ascii_case(b"origin")),
                    "{:?}",
                    answer.headers
                );
            } else {
                let cors = |name: &&axum::http::HeaderName| name.as_str().starts_with("access-control-");
                assert_eq!(answer.headers.keys().find(cors), None, "{origin}");
            }
        }
    }
}

#[tokio::test]
async fn production_has_its_own_list_of_origins_and_hides_its_version() {
    let settings = [PRODUCTION, &[("CORS_ORIGIN", "https://chat.example,https://app.example")]].concat();
    let server = TestServer::start_with(&settings).await;
    for (origin, allowed) in
        [("https://chat.example", true), ("https://app.example", true), ("http://localhost:5173", false)]
    {
        let answer = get(&server, "/health", &[("origin", origin)]).await;
        assert_eq!(answer.headers.contains_key("access-control-allow-origin"), allowed, "{origin}");
    }
    let shown = get(&server, "/", &[]).await.expect(200).json();
    assert!(shown.get("version").is_none(), "{shown}");
}

#[tokio::test]
async fn the_front_page_names_the_server_and_its_routes() {
    let server = TestServer::start().await;
    let shown = get(&server, "/", &[]).await.expect(200).json();
    assert!(shown["name"].is_string() && shown["version"].is_string(), "{shown}");
    let text = shown.to_string();
    for route in ["/api/auth", "/api/conversations", "/api/messages", "/api/upload", "/health"] {
        assert!(text.contains(route), "{route} is not in {shown}");
    }
}

#[tokio::test]
async fn what_is_no_route_is_answered_in_the_one_shape() {
    let server = TestServer::start().await;
    for path in ["/nothing", "/api/nothing", "/api", "/index.php", "/.env", "/socket.io/../api/nothing"] {
        let refused = get(&server, path, &[]).await;
        assert_eq!(refused.refusal(), (404, "route_not_found".to_owned()), "{path}");
        assert_keys(&refused.json(), &["error", "code", "requestId"]);
    }
}

#[tokio::test]
async fn in_production_nobody_registers_as_more_than_a_customer() {
    let server = TestServer::start_with(PRODUCTION).await;
    let body = |role: &str| {
        let name = role.to_lowercase();
        format!(
            r#"{{"email":"{name}@example.com","username":"{name}","password":"correct horse","role":"{role}"}}"#
        )
    };
    for (role, status) in [("ADMIN", 403), ("AGENT", 403), ("CUSTOMER", 201)] {
        let headers = [("content-type", "application/json")];
        let answer = server.wire.send("POST", "/api/auth/register", &headers, body(role).into()).await;
        assert_eq!(answer.status, status, "{role}");
    }
    let refused = server.admin("root").await.get("/api/auth/me").await;
    assert_eq!(refused.status, 200);
}

#[tokio::test]
async fn a_stopped_server_lets_go_of_its_port_and_its_database() {
    let server = TestServer::start().await;
    let alice = server.customer("alice").await;
    let mut socket = server.socket(&alice).await;
    let addr = server.addr;
    server.stop().await;
    assert!(socket.ends_by(tokio::time::Instant::now() + std::time::Duration::from_secs(1)).await);
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}
