//! `POST /api/auth/register`.

use priyo_core::Accounts;
use priyo_tests::{ACCESS_SECRET, REFRESH_SECRET, Settings, TestApp, assert_keys};
use serde_json::{Value, json};

use crate::shapes::{assert_tokens, assert_u6};

fn alice() -> Value {
    json!({"email": "Alice@Example.com", "username": "Alice", "password": "correct horse"})
}

/// `body` with one field set, or taken out by `null`.
fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

fn without(mut body: Value, field: &str) -> Value {
    body.as_object_mut().unwrap().remove(field);
    body
}

#[tokio::test]
async fn registering_answers_with_the_user_and_tokens_that_work() {
    let app = TestApp::new().await;

    let answer = app.anonymous_post("/api/auth/register", alice()).await.expect(201).json();

    assert_keys(&answer, &["message", "user", "tokens"]);
    assert_eq!(answer["message"], "User registered successfully");
    let user = &answer["user"];
    assert_u6(user);
    assert_tokens(&answer["tokens"]);
    assert_eq!((&user["email"], &user["username"]), (&json!("alice@example.com"), &json!("Alice")));
    assert_eq!((&user["role"], &user["avatar"]), (&json!("CUSTOMER"), &json!(null)));
    assert_eq!(user["createdAt"], "2026-11-23T02:15:35.850Z");
    assert_eq!(answer["tokens"]["expiresIn"], 900);
    let bearer = format!("Bearer {}", answer["tokens"]["accessToken"].as_str().unwrap());
    let (status, _, me) = app.with_authorization("/api/auth/me", &bearer).await;
    assert_eq!((status, &me.json()["user"]["id"]), (200, &user["id"]));
}

#[tokio::test]
async fn email_and_username_are_taken_without_regard_to_case() {
    let app = TestApp::new().await;
    app.anonymous_post("/api/auth/register", alice()).await.expect(201);

    for other in [
        alice(),
        with(alice(), "username", json!("someone")),
        with(with(alice(), "email", json!("aLICE@eXAMPLE.COM")), "username", json!("someone")),
        with(alice(), "email", json!("someone@example.com")),
        with(with(alice(), "email", json!("someone@example.com")), "username", json!("aLICE")),
    ] {
        let refused = app.anonymous_post("/api/auth/register", other.clone()).await;
        assert_eq!(refused.refusal(), (409, "conflict".to_owned()), "{other}");
        assert_eq!(refused.error(), "User with this email or username already exists");
    }
    assert_eq!(app.rows("users").await, 1);
}

#[tokio::test]
async fn every_field_at_fault_is_named_and_nothing_is_made() {
    let app = TestApp::new().await;
    let long_local = format!("{}@example.com", "a".repeat(250));
    let cases = [
        ("email", json!("not-an-email")),
        ("email", json!(" alice@example.com")),
        ("email", json!("alice@example.com ")),
        ("email", json!("ａlice@example.com")),
        ("email", json!(long_local)),
        ("email", json!("")),
        ("email", json!("a\u{0}b@example.com")),
        ("email", json!(1)),
        ("email", json!(null)),
        ("email", json!(["alice@example.com"])),
        ("email", json!({"$gt": ""})),
        ("username", json!("ab")),
        ("username", json!("a".repeat(31))),
        ("username", json!("with space")),
        ("username", json!("adm\u{200b}in")),
        ("username", json!("аdmin")),
        ("username", json!("\u{202e}nimda")),
        ("username", json!("nul\u{0}nul")),
        ("username", json!(true)),
        ("password", json!("1234567")),
        ("password", json!("a".repeat(1025))),
        ("password", json!("é".repeat(513))),
        ("password", json!(12_345_678)),
        ("role", json!("admin")),
        ("role", json!(" ADMIN")),
        ("role", json!("ADMIN\u{0}")),
        ("role", json!(["ADMIN"])),
        ("role", json!({"$ne": ""})),
        ("role", json!(1)),
        ("role", json!(true)),
        ("isAdmin", json!(true)),
        ("__proto__", json!({"role": "ADMIN"})),
    ];
    for (field, value) in cases {
        let refused = app.anonymous_post("/api/auth/register", with(alice(), field, value.clone())).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{field} {value}");
        assert_eq!(refused.error(), "Validation error");
        assert_eq!(refused.fields_at_fault(), [field], "{value}");
        assert_keys(&refused.json(), &["error", "code", "requestId", "details"]);
    }
    for field in ["email", "username", "password"] {
        let refused = app.anonymous_post("/api/auth/register", without(alice(), field)).await;
        assert_eq!(refused.fields_at_fault(), [field]);
    }
    let all = app.anonymous_post("/api/auth/register", json!({"role": 7, "age": 3})).await;
    let mut named = all.fields_at_fault();
    named.sort();
    assert_eq!(named, ["age", "email", "password", "role", "username"]);
    assert_eq!(app.rows("users").await, 0);
}

#[tokio::test]
async fn names_and_passwords_at_the_edge_of_what_is_allowed_are_taken() {
    let app = TestApp::new().await;
    let cases = [
        ("abc", "12345678".to_owned()),
        ("a_b.c-9012345678901234567890ab", "a".repeat(1024)),
        ("Dot.Dash-1", "é".repeat(512)),
    ];
    for (number, (username, password)) in cases.into_iter().enumerate() {
        let email = format!("user{number}@example.com");
        let body = json!({"email": email, "username": username, "password": password});
        app.anonymous_post("/api/auth/register", body).await.expect(201);
        let login = json!({"email": email.to_uppercase(), "password": password});
        app.anonymous_post("/api/auth/login", login).await.expect(200);
    }
}

#[tokio::test]
async fn anyone_may_name_a_role_while_self_service_roles_are_on() {
    let app = TestApp::new().await;
    for (name, role) in [("custo", "CUSTOMER"), ("agent", "AGENT"), ("admin", "ADMIN")] {
        let body = json!({"email": format!("{name}@example.com"), "username": name,
                          "password": "correct horse", "role": role});
        let made = app.anonymous_post("/api/auth/register", body).await.expect(201).json();
        assert_eq!(made["user"]["role"], role);
    }
}

#[tokio::test]
async fn only_an_admin_makes_agents_and_admins_while_self_service_roles_are_off() {
    let accounts = Accounts::new(ACCESS_SECRET, REFRESH_SECRET);
    let app = TestApp::with(Settings { accounts, ..Settings::default() }).await;
    let (carol, greg, root) = (app.customer("carol").await, app.agent("greg").await, app.admin("root").await);
    let body = with(alice(), "role", json!("AGENT"));

    let anonymous = app.anonymous_post("/api/auth/register", body.clone()).await;
    assert_eq!(anonymous.refusal(), (403, "forbidden".to_owned()));
    assert_eq!(anonymous.error(), "Insufficient permissions");
    assert_eq!(anonymous.json()["required"], json!(["ADMIN"]));
    for (person, role) in [(&carol, "CUSTOMER"), (&greg, "AGENT")] {
        let refused = person.post("/api/auth/register", body.clone()).await;
        assert_eq!(refused.refusal(), (403, "forbidden".to_owned()), "{role}");
        assert_keys(&refused.json(), &["error", "code", "requestId", "required", "current"]);
        assert_eq!(refused.json()["current"], role);
    }
    assert_eq!(app.rows("users").await, 3);

    let made = root.post("/api/auth/register", body).await.expect(201).json();
    assert_eq!(made["user"]["role"], "AGENT");
    let customer = json!({"email": "bob@example.com", "username": "bob", "password": "correct horse"});
    let made = app.anonymous_post("/api/auth/register", customer).await.expect(201).json();
    assert_eq!(made["user"]["role"], "CUSTOMER");
}

#[tokio::test]
async fn a_role_comes_through_the_body_only() {
    let app = TestApp::new().await;
    let headers = [("content-type", "application/json"), ("x-role", "ADMIN")];
    let path = "/api/auth/register?role=ADMIN";

    let made = app.wire.send("POST", path, &headers, alice().to_string().into()).await.expect(201).json();

    assert_eq!(made["user"]["role"], "CUSTOMER");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let refused = app.wire.send("POST", "/api/auth/register", &form, "role=ADMIN".into()).await;
    assert_eq!(refused.refusal(), (415, "unsupported_media_type".to_owned()));
}

#[tokio::test]
async fn two_who_want_the_same_name_at_once_do_not_both_get_it() {
    let app = TestApp::new().await;
    let one = app.anonymous_post("/api/auth/register", alice());
    let other = app.anonymous_post("/api/auth/register", alice());

    let (one, other) = tokio::join!(one, other);

    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!(app.rows("users").await, 1);
}
