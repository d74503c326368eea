//! `POST /api/auth/refresh` and `POST /api/auth/logout`.

use std::time::Duration;

use priyo_tests::{Answer, Forged, Person, TestApp, assert_keys};
use serde_json::{Value, json};

use crate::shapes::assert_tokens;

async fn refresh(app: &TestApp, token: &str) -> Answer {
    app.anonymous_post("/api/auth/refresh", json!({ "refreshToken": token })).await
}

fn refresh_token(answer: &Value) -> &str {
    answer["tokens"]["refreshToken"].as_str().unwrap()
}

async fn is_signed_in(person: &Person) -> bool {
    person.get("/api/auth/me").await.status == 200
}

#[tokio::test]
async fn refreshing_gives_new_tokens_of_the_same_session() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;

    let answer = refresh(&app, &alice.refresh_token).await.expect(200).json();

    assert_keys(&answer, &["message", "tokens"]);
    assert_eq!(answer["message"], "Tokens refreshed successfully");
    assert_tokens(&answer["tokens"]);
    assert_ne!(refresh_token(&answer), alice.refresh_token);
    let renewed = alice.with_token(answer["tokens"]["accessToken"].as_str().unwrap());
    assert!(is_signed_in(&renewed).await && is_signed_in(&alice).await);
    refresh(&app, refresh_token(&answer)).await.expect(200);
}

#[tokio::test]
async fn two_tabs_may_refresh_at_once() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;

    let one = refresh(&app, &alice.refresh_token).await.expect(200).json();
    app.passes(Duration::from_secs(9));
    let other = refresh(&app, &alice.refresh_token).await.expect(200).json();

    assert_ne!(refresh_token(&one), refresh_token(&other));
    refresh(&app, refresh_token(&one)).await.expect(200);
    assert!(is_signed_in(&alice).await);
}

#[tokio::test]
async fn a_used_token_presented_later_ends_the_whole_session() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let phone = app.another_device(&alice).await;
    let renewed = refresh(&app, &alice.refresh_token).await.expect(200).json();
    app.passes(Duration::from_secs(11));

    let refused = refresh(&app, &alice.refresh_token).await;

    assert_eq!(refused.refusal(), (401, "invalid_refresh_token".to_owned()));
    assert_eq!(refused.error(), "Invalid refresh token");
    assert_eq!(refresh(&app, refresh_token(&renewed)).await.status, 401);
    assert!(!is_signed_in(&alice).await);
    assert_eq!(app.recorder().take_ended_sessions().len(), 1);
    assert!(is_signed_in(&phone).await, "another device has its own session");
}

#[tokio::test]
async fn a_grandparent_is_no_parent_even_within_the_ten_seconds() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let child = refresh(&app, &alice.refresh_token).await.expect(200).json();
    let grandchild = refresh(&app, refresh_token(&child)).await.expect(200).json();

    let refused = refresh(&app, &alice.refresh_token).await;

    assert_eq!(refused.refusal(), (401, "invalid_refresh_token".to_owned()));
    assert_eq!(refresh(&app, refresh_token(&grandchild)).await.status, 401);
    assert!(!is_signed_in(&alice).await);
}

#[tokio::test]
async fn what_is_not_a_refresh_token_is_refused_and_changes_nothing() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let now = app.now();
    let claims = || alice.claims(now).into_refresh();
    let never_issued: Forged = claims();
    for token in [
        String::new(),
        "junk".to_owned(),
        "' OR 1=1--".to_owned(),
        alice.token.clone(),
        never_issued.sign(),
        claims().secret("another-secret-0123456789abcdefghijklmno").sign(),
        claims().claim("typ", "access").sign(),
        claims().claim("exp", now.as_secs() - 6).sign(),
        alice.refresh_token[..alice.refresh_token.len() - 2].to_owned(),
        "a".repeat(60_000),
    ] {
        let refused = refresh(&app, &token).await;
        let expected = [(401, "invalid_refresh_token".to_owned()), (400, "validation_failed".to_owned())];
        assert!(expected.contains(&refused.refusal()), "{refused:?} for {token:.60}");
    }
    for body in [json!({}), json!({"refreshToken": null}), json!({"refreshToken": 1}), json!([])] {
        let refused = app.anonymous_post("/api/auth/refresh", body.clone()).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{body}");
    }
    assert!(is_signed_in(&alice).await);
    refresh(&app, &alice.refresh_token).await.expect(200);
}

#[tokio::test]
async fn an_unused_refresh_token_dies_after_a_week_and_a_session_after_thirty_days() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let bob = app.customer("bob").await;
    app.passes(Duration::from_hours(7 * 24));
    assert_eq!(refresh(&app, &alice.refresh_token).await.refusal().1, "invalid_refresh_token");

    // Bob was made with a token of a week too: he comes back just in time, again and again.
    let carol = app.customer("carol").await;
    let mut token = carol.refresh_token.clone();
    for _ in 0..4 {
        app.passes(Duration::from_hours(7 * 24 - 1));
        token = refresh_token(&refresh(&app, &token).await.expect(200).json()).to_owned();
    }
    app.passes(Duration::from_hours(2 * 24 + 4));
    assert_eq!(refresh(&app, &token).await.refusal(), (401, "invalid_refresh_token".to_owned()));
    assert!(!is_signed_in(&bob).await);
}

#[tokio::test]
async fn twenty_refreshes_of_one_token_at_once_leave_the_user_signed_in() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;

    let all = futures_util::future::join_all((0..20).map(|_| refresh(&app, &alice.refresh_token))).await;

    assert!(all.iter().all(|answer| answer.status == 200), "{all:?}");
    assert!(is_signed_in(&alice).await);
}

#[tokio::test]
async fn logging_out_ends_this_session_and_no_other() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let phone = app.another_device(&alice).await;

    let answer = alice.post_nothing("/api/auth/logout").await.expect(200).json();

    assert_eq!(answer, json!({"message": "Logout successful"}));
    let refused = alice.get("/api/auth/me").await;
    assert_eq!(refused.refusal(), (401, "invalid_token".to_owned()));
    assert_eq!(alice.post_nothing("/api/auth/logout").await.status, 401);
    assert_eq!(refresh(&app, &alice.refresh_token).await.refusal().1, "invalid_refresh_token");
    assert!(is_signed_in(&phone).await);
    refresh(&app, &phone.refresh_token).await.expect(200);
    assert_eq!(app.recorder().take_ended_sessions().len(), 1);
}

#[tokio::test]
async fn logging_out_everywhere_ends_all_sessions_of_this_user() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let phone = app.another_device(&alice).await;
    let bob = app.customer("bob").await;

    alice.post("/api/auth/logout", json!({"all": true})).await.expect(200);

    assert!(!is_signed_in(&alice).await && !is_signed_in(&phone).await);
    assert_eq!(refresh(&app, &phone.refresh_token).await.status, 401);
    assert!(is_signed_in(&bob).await);
    assert_eq!(app.recorder().take_ended_sessions().len(), 2);
}

#[tokio::test]
async fn the_body_of_a_logout_may_be_missing_or_name_the_refresh_token() {
    let app = TestApp::new().await;
    for (number, body) in
        [json!({}), json!({"refreshToken": "whatever"}), json!({"all": false})].into_iter().enumerate()
    {
        let person = app.customer(&format!("person{number}")).await;
        person.post("/api/auth/logout", body).await.expect(200);
        assert!(!is_signed_in(&person).await);
    }
    let alice = app.customer("alice").await;
    for body in [json!({"all": "yes"}), json!({"everything": true}), json!([]), json!(null)] {
        let refused = alice.post("/api/auth/logout", body.clone()).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{body}");
    }
    assert!(is_signed_in(&alice).await, "what was refused ended nothing");
    assert_eq!(app.anonymous("POST", "/api/auth/logout").await.refusal().1, "unauthenticated");
}
