//! `/api/auth/sessions`, and how what is over goes away.

use std::time::Duration;

use axum::body::Bytes;
use priyo_tests::{PATIENCE, Person, Settings, TestApp, assert_keys};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

async fn sessions(of: &Person) -> Vec<Value> {
    let answer = of.get("/api/auth/sessions").await.expect(200).json();
    assert_keys(&answer, &["sessions"]);
    answer["sessions"].as_array().unwrap().clone()
}

#[tokio::test]
async fn one_sees_ones_own_sessions_the_last_used_first() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    app.customer("bob").await;
    app.passes(Duration::from_secs(60));
    let phone = app.another_device(&alice).await;
    app.passes(Duration::from_secs(60));

    let found = sessions(&alice).await;

    assert_keys(&found[0], &["id", "createdAt", "lastUsedAt", "expiresAt", "userAgent", "current"]);
    let ids: Vec<_> = found.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&phone.session, &alice.session]);
    assert_eq!((&found[0]["current"], &found[1]["current"]), (&json!(false), &json!(true)));
    assert_eq!(found[1]["createdAt"], "2026-11-23T02:15:35.850Z");
    assert_eq!(found[1]["lastUsedAt"], found[1]["createdAt"]);
    assert_eq!(found[1]["expiresAt"], "2026-11-30T02:15:35.850Z", "in a week, unless it is used");

    // Its use brings it to the top, and makes it last longer.
    let token = json!({ "refreshToken": alice.refresh_token });
    app.anonymous_post("/api/auth/refresh", token).await.expect(200);
    let found = sessions(&phone).await;
    assert_eq!((&found[0]["id"], &found[0]["current"]), (&json!(alice.session), &json!(false)));
    assert_eq!(found[0]["lastUsedAt"], "2026-11-23T02:17:35.850Z");
    assert_eq!(found[0]["expiresAt"], "2026-11-30T02:17:35.850Z");
}

#[tokio::test]
async fn a_session_says_what_began_it() {
    let app = TestApp::new().await;
    let body =
        json!({"email": "ada@example.com", "username": "ada", "password": "correct horse"}).to_string();
    let agent = format!("Mozilla/5.0 {}", "x".repeat(1_000));
    let headers = [("content-type", "application/json"), ("user-agent", agent.as_str())];
    let answer = app.wire.send("POST", "/api/auth/register", &headers, body.into()).await.expect(201).json();
    let ada = app.customer("nobody").await.with_token(answer["tokens"]["accessToken"].as_str().unwrap());

    let found = sessions(&ada).await;

    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["userAgent"], agent[..256], "as much of it as is kept");
}

#[tokio::test]
async fn ending_a_session_is_a_logout_on_that_device() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let phone = app.another_device(&alice).await;
    let bob = app.customer("bob").await;

    let ended = alice.delete(format!("/api/auth/sessions/{}", phone.session)).await.expect(200).json();

    assert_eq!(ended, json!({"message": "Session ended successfully"}));
    assert_eq!(phone.get("/api/auth/me").await.refusal(), (401, "invalid_token".to_owned()));
    let token = json!({ "refreshToken": phone.refresh_token });
    assert_eq!(app.anonymous_post("/api/auth/refresh", token).await.status, 401);
    assert_eq!(app.recorder().take_ended_sessions().len(), 1);
    assert_eq!(sessions(&alice).await.len(), 1);

    // What has ended, what is somebody else's, and what is not there cannot be told apart.
    for other in [phone.session.as_str(), &bob.session, "0199a000-0000-7000-8000-000000000000", "x"] {
        let refused = alice.delete(format!("/api/auth/sessions/{other}")).await;
        assert_eq!(refused.refusal(), (404, "not_found".to_owned()), "{other}");
        assert_eq!(refused.error(), "Session not found");
    }
    assert_eq!(bob.get("/api/auth/me").await.status, 200);
    assert_eq!(app.recorder().take_revoked(), []);

    alice.delete(format!("/api/auth/sessions/{}", alice.session)).await.expect(200);
    assert_eq!(alice.get("/api/auth/me").await.status, 401);
}

#[tokio::test]
async fn a_session_that_is_over_is_not_listed() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    app.another_device(&alice).await;
    app.passes(Duration::from_hours(7 * 24));
    let fresh = app.another_device(&alice).await;

    assert_eq!(sessions(&fresh).await.len(), 1);
    for (method, path) in [("GET", "/api/auth/sessions"), ("DELETE", "/api/auth/sessions/x")] {
        assert_eq!(app.wire.send(method, path, &[], Bytes::new()).await.code(), "unauthenticated");
    }
}

#[tokio::test]
async fn what_has_long_been_over_is_deleted_from_the_database() {
    let mut settings = Settings::default();
    settings.accounts.deletion_interval = Duration::from_millis(20);
    let app = TestApp::with(settings).await;
    for number in 0..300 {
        app.customer(&format!("user-{number}")).await;
    }
    let here = app.customer("here").await;
    app.passes(Duration::from_hours(7 * 24 - 1));
    let token = json!({ "refreshToken": here.refresh_token });
    app.anonymous_post("/api/auth/refresh", token).await.expect(200);
    assert_eq!((app.rows("sessions").await, app.rows("refresh_tokens").await), (301, 302));

    app.passes(Duration::from_hours(2));

    let deadline = Instant::now() + PATIENCE;
    while (app.rows("sessions").await, app.rows("refresh_tokens").await) != (1, 1) {
        assert!(Instant::now() < deadline, "{} sessions are left", app.rows("sessions").await);
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(sessions(&app.another_device(&here).await).await.len(), 2);
}
