//! `POST /api/auth/login` and `GET /api/auth/me`.

use priyo_tests::{TestApp, assert_keys};
use serde_json::{Value, json};

use crate::shapes::{assert_tokens, assert_u8};

const PASSWORD: &str = "correct horse";

async fn registered(app: &TestApp, name: &str) {
    let body = json!({"email": format!("{name}@example.com"), "username": name, "password": PASSWORD});
    app.anonymous_post("/api/auth/register", body).await.expect(201);
}

#[tokio::test]
async fn logging_in_answers_with_the_user_and_tokens() {
    let app = TestApp::new().await;
    registered(&app, "alice").await;

    let login = json!({"email": "ALICE@example.com", "password": PASSWORD});
    let answer = app.anonymous_post("/api/auth/login", login).await.expect(200).json();

    assert_keys(&answer, &["user", "tokens"]);
    assert_u8(&answer["user"]);
    assert_tokens(&answer["tokens"]);
    // Having logged in is not being online: that takes a socket.
    assert_eq!((&answer["user"]["isOnline"], &answer["user"]["lastSeen"]), (&json!(false), &Value::Null));
}

#[tokio::test]
async fn an_unknown_email_and_a_wrong_password_get_the_same_answer() {
    let app = TestApp::new().await;
    registered(&app, "alice").await;

    let mut bodies = Vec::new();
    for (email, password) in [
        ("nobody@example.com", PASSWORD),
        ("alice@example.com", "wrong horse"),
        ("' OR 1=1--", PASSWORD),
        ("alice@example.com\u{200b}", PASSWORD),
    ] {
        let login = json!({"email": email, "password": password});
        let refused = app.anonymous_post("/api/auth/login", login).await;
        assert_eq!(refused.refusal(), (401, "invalid_credentials".to_owned()), "{email}");
        assert_eq!(refused.error(), "Invalid credentials");
        let mut body = refused.json();
        body["requestId"].take();
        bodies.push(body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
}

#[tokio::test]
async fn a_login_that_is_not_one_is_a_validation_error() {
    let app = TestApp::new().await;
    let good = json!({"email": "alice@example.com", "password": PASSWORD});
    for (field, value) in [
        ("email", json!({"$gt": ""})),
        ("email", json!(["alice@example.com"])),
        ("email", json!("")),
        ("email", json!(null)),
        ("email", json!(0)),
        ("password", json!("")),
        ("password", json!("a".repeat(1025))),
        ("password", json!(false)),
        ("password", json!(null)),
        ("remember", json!(true)),
    ] {
        let mut body = good.clone();
        body[field] = value.clone();
        let refused = app.anonymous_post("/api/auth/login", body).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{field} {value}");
        assert_eq!(refused.fields_at_fault(), [field], "{value}");
    }
}

#[tokio::test]
async fn two_logins_in_the_same_moment_are_two_sessions() {
    let app = TestApp::new().await;
    registered(&app, "alice").await;
    let login = json!({"email": "alice@example.com", "password": PASSWORD});

    let (one, other) = tokio::join!(
        app.anonymous_post("/api/auth/login", login.clone()),
        app.anonymous_post("/api/auth/login", login.clone()),
    );

    let (one, other) = (one.expect(200).json(), other.expect(200).json());
    assert_ne!(one["tokens"]["accessToken"], other["tokens"]["accessToken"]);
    assert_ne!(one["tokens"]["refreshToken"], other["tokens"]["refreshToken"]);
}

#[tokio::test]
async fn one_is_told_who_one_is() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;

    let answer = alice.get("/api/auth/me").await.expect(200).json();

    assert_keys(&answer, &["user"]);
    assert_u8(&answer["user"]);
    let user = &answer["user"];
    assert_eq!((&user["id"], &user["username"]), (&json!(alice.id), &json!("alice")));
    assert_eq!((&user["email"], &user["role"]), (&json!("alice@example.com"), &json!("CUSTOMER")));
    assert_eq!(user["createdAt"], "2026-11-23T02:15:35.850Z");
}

#[tokio::test]
async fn passwords_are_kept_as_argon2id_with_salts_of_their_own() {
    let app = TestApp::new().await;
    registered(&app, "alice").await;
    registered(&app, "bob").await;

    let all = app.database().dump().await;

    assert!(!all.contains(PASSWORD));
    let salts: std::collections::BTreeSet<&str> = all
        .match_indices("$argon2id$v=19$m=19456,t=2,p=1$")
        .filter_map(|(at, head)| all.get(at + head.len()..at + head.len() + 22))
        .collect();
    assert_eq!(salts.len(), 2, "two accounts, two salts");
}
