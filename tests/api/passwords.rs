//! `POST /api/auth/password`, and the passwords of those who come from elsewhere.

use priyo_core::ErrorCode;
use priyo_core::model::{ImportedUser, Role};
use priyo_tests::{Answer, Person, TestApp};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse";
const ANOTHER: &str = "battery staple";

/// Someone who has registered, and so has a password.
async fn registered(app: &TestApp, name: &str) -> Person {
    let body = json!({"email": format!("{name}@example.com"), "username": name, "password": PASSWORD});
    signed_in(app, name, &app.anonymous_post("/api/auth/register", body).await.expect(201).json()).await
}

async fn login(app: &TestApp, name: &str, password: &str) -> Answer {
    let body = json!({"email": format!("{name}@example.com"), "password": password});
    app.anonymous_post("/api/auth/login", body).await
}

async fn signed_in(app: &TestApp, name: &str, answer: &Value) -> Person {
    let tokens = &answer["tokens"];
    let nobody = app.customer(&format!("{name}{}", app.rows("users").await)).await;
    Person {
        id: answer["user"]["id"].as_str().unwrap().to_owned(),
        name: name.to_owned(),
        token: tokens["accessToken"].as_str().unwrap().to_owned(),
        refresh_token: tokens["refreshToken"].as_str().unwrap().to_owned(),
        ..nobody
    }
}

async fn refresh(app: &TestApp, person: &Person) -> u16 {
    let body = json!({ "refreshToken": person.refresh_token });
    app.anonymous_post("/api/auth/refresh", body).await.status
}

fn change(current: &str, new: &str) -> Value {
    json!({ "currentPassword": current, "newPassword": new })
}

#[tokio::test]
async fn another_password_signs_everyone_out_but_the_one_who_set_it() {
    let app = TestApp::new().await;
    let alice = registered(&app, "alice").await;
    let phone = signed_in(&app, "alice", &login(&app, "alice", PASSWORD).await.expect(200).json()).await;
    let bob = registered(&app, "bob").await;

    let answer = alice.post("/api/auth/password", change(PASSWORD, ANOTHER)).await.expect(200).json();

    assert_eq!(answer, json!({"message": "Password changed successfully"}));
    assert_eq!(phone.get("/api/auth/me").await.refusal(), (401, "invalid_token".to_owned()));
    assert_eq!(refresh(&app, &phone).await, 401);
    assert_eq!(app.recorder().take_ended_sessions().len(), 1);
    assert_eq!((alice.get("/api/auth/me").await.status, refresh(&app, &alice).await), (200, 200));
    assert_eq!(bob.get("/api/auth/me").await.status, 200);
    assert_eq!(login(&app, "alice", PASSWORD).await.status, 401);
    login(&app, "alice", ANOTHER).await.expect(200);
}

#[tokio::test]
async fn a_wrong_current_password_changes_nothing() {
    let app = TestApp::new().await;
    let alice = registered(&app, "alice").await;
    let phone = signed_in(&app, "alice", &login(&app, "alice", PASSWORD).await.expect(200).json()).await;

    for wrong in ["correct horsf", "", ANOTHER] {
        let refused = alice.post("/api/auth/password", change(wrong, ANOTHER)).await;
        assert_eq!(refused.refusal(), (403, "forbidden".to_owned()), "{wrong}");
        assert_eq!(refused.error(), "Current password is incorrect");
    }

    assert_eq!((phone.get("/api/auth/me").await.status, refresh(&app, &phone).await), (200, 200));
    assert_eq!(app.recorder().take_revoked(), []);
    assert_eq!(login(&app, "alice", ANOTHER).await.status, 401);
    login(&app, "alice", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn a_password_that_is_none_is_a_validation_error() {
    let app = TestApp::new().await;
    let alice = registered(&app, "alice").await;
    let long = "x".repeat(1_025);
    for (body, field) in [
        (change(PASSWORD, "short"), "newPassword"),
        (change(PASSWORD, &long), "newPassword"),
        (change(&long, ANOTHER), "currentPassword"),
        (json!({"currentPassword": PASSWORD}), "newPassword"),
        (json!({"newPassword": ANOTHER}), "currentPassword"),
        (json!({"currentPassword": 1, "newPassword": ANOTHER}), "currentPassword"),
        (json!({"currentPassword": PASSWORD, "newPassword": ANOTHER, "role": "ADMIN"}), "role"),
    ] {
        let refused = alice.post("/api/auth/password", body.clone()).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{body}");
        assert_eq!(refused.fields_at_fault(), [field], "{body}");
    }
    assert_eq!(app.anonymous_post("/api/auth/password", json!({})).await.code(), "unauthenticated");
    login(&app, "alice", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn an_operator_can_give_anyone_another_password() {
    let app = TestApp::new().await;
    let alice = registered(&app, "alice").await;

    app.engine.reset_password("ALICE@example.com", ANOTHER.to_owned()).await.unwrap();

    assert_eq!((alice.get("/api/auth/me").await.status, refresh(&app, &alice).await), (401, 401));
    assert_eq!(login(&app, "alice", PASSWORD).await.status, 401);
    login(&app, "alice", ANOTHER).await.expect(200);
    for (email, password, code) in [
        ("nobody@example.com", ANOTHER, ErrorCode::NotFound),
        ("alice\0@example.com", ANOTHER, ErrorCode::NotFound),
        ("alice@example.com", "short", ErrorCode::ValidationFailed),
    ] {
        let refused = app.engine.reset_password(email, password.to_owned()).await.unwrap_err();
        assert_eq!(refused.code(), code, "{email:?}");
    }
}

/// bcrypt, with a cost of 5.
const STORED: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
const STORED_OF: &str = "U*U";

async fn stored_hash(app: &TestApp, name: &str) -> String {
    let found =
        app.database().query(&format!("SELECT password_hash FROM users WHERE username = '{name}'")).await;
    found[0]["password_hash"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_imported_user_logs_in_with_their_password_and_gets_a_better_hash() {
    let app = TestApp::new().await;
    let old = ImportedUser::new("Ada@example.com", "ada", STORED.replace("$2a$", "$2b$")).role(Role::Agent);
    let ada = app.engine.users().import(old).await.unwrap();
    assert_eq!((ada.email.as_deref(), ada.role), (Some("ada@example.com"), Role::Agent));

    assert_eq!(login(&app, "ada", "U*V").await.refusal(), (401, "invalid_credentials".to_owned()));
    assert!(stored_hash(&app, "ada").await.starts_with("$2b$"), "who fails changes nothing");
    login(&app, "ada", STORED_OF).await.expect(200);

    let better = stored_hash(&app, "ada").await;
    assert!(better.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{better}");
    login(&app, "ada", STORED_OF).await.expect(200);
    assert_eq!(login(&app, "ada", "U*V").await.status, 401);
    assert_eq!(stored_hash(&app, "ada").await, better, "it is made once");
}

#[tokio::test]
async fn only_what_can_log_in_is_imported() {
    let app = TestApp::new().await;
    app.customer("taken").await;
    let import = |email: &str, name: &str, hash: &str| {
        let user = ImportedUser::new(email, name, hash);
        async { app.engine.users().import(user).await.map_err(|error| error.code()) }
    };
    for (email, name, hash, code) in [
        ("a@example.com", "ann", "plain text", ErrorCode::ValidationFailed),
        (
            "a@example.com",
            "ann",
            "$2b$20$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            ErrorCode::ValidationFailed,
        ),
        ("a@", "ann", STORED, ErrorCode::ValidationFailed),
        ("a@example.com", "a b", STORED, ErrorCode::ValidationFailed),
        ("TAKEN@example.com", "ann", STORED, ErrorCode::Conflict),
        ("a@example.com", "Taken", STORED, ErrorCode::Conflict),
    ] {
        assert_eq!(import(email, name, hash).await.unwrap_err(), code, "{email} {name} {hash}");
    }
    assert_eq!(app.rows("users").await, 1);
}
