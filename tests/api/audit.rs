//! What the audit log has of what is done over REST.

use axum::body::Bytes;
use priyo_core::model::{ImportedUser, Registration, Role};
use priyo_tests::{Answer, Person, TestApp};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse";

/// What is in the log by now. The engine is closed: rows are written behind.
async fn entries(app: &TestApp) -> Vec<Value> {
    app.engine.close().await;
    app.database().query("SELECT * FROM audit_log ORDER BY id").await
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

/// A POST that names itself.
async fn post(app: &TestApp, path: &str, request_id: &str, body: Value) -> Answer {
    let headers = [("content-type", "application/json"), ("x-request-id", request_id)];
    app.wire.send("POST", path, &headers, body.to_string().into()).await
}

async fn registered(app: &TestApp, name: &str) -> Person {
    let body = json!({"email": format!("{name}@example.com"), "username": name, "password": PASSWORD});
    let made = app.anonymous_post("/api/auth/register", body).await.expect(201).json();
    let nobody = app.customer(&format!("not-{name}")).await;
    let token = made["tokens"]["accessToken"].as_str().unwrap();
    Person {
        id: made["user"]["id"].as_str().unwrap().to_owned(),
        refresh_token: made["tokens"]["refreshToken"].as_str().unwrap().to_owned(),
        ..nobody.with_token(token)
    }
}

#[tokio::test]
async fn who_came_in_and_who_did_not_is_noted() {
    let app = TestApp::new().await;
    let ada = registered(&app, "ada").await;
    let login = |email: &str, password: &str| json!({"email": email, "password": password});

    post(&app, "/api/auth/login", "one", login("ada@example.com", PASSWORD)).await.expect(200);
    post(&app, "/api/auth/login", "two", login("ada@example.com", "wrong")).await.expect(401);
    post(&app, "/api/auth/login", "three", login("nobody@example.com", PASSWORD)).await.expect(401);

    let entries = entries(&app).await;
    assert_eq!(actions(&entries), ["logged_in", "logged_in", "login_failed", "login_failed"]);
    let of =
        |entry: &Value| (entry["actor_id"].clone(), entry["subject"].clone(), entry["request_id"].clone());
    assert_eq!(entries[1]["actor_id"], ada.id.as_str());
    assert_eq!(
        (&entries[1]["request_id"], &entries[1]["at_ms"]),
        (&json!("one"), &json!(app.now().as_millis()))
    );
    assert_eq!(of(&entries[2]), (Value::Null, json!(ada.id), json!("two")), "whom they would have been");
    assert_eq!(of(&entries[3]), (Value::Null, Value::Null, json!("three")));
    let text = json!(entries).to_string();
    assert!(!text.contains('@') && !text.contains(PASSWORD) && !text.contains("wrong"), "{text}");
}

#[tokio::test]
async fn what_was_done_to_sessions_and_passwords_is_noted() {
    let app = TestApp::new().await;
    let ada = registered(&app, "ada").await;
    let change = |current: &str| json!({"currentPassword": current, "newPassword": "battery staple"});
    ada.post("/api/auth/password", change("wrong")).await.expect(403);
    ada.post("/api/auth/password", change(PASSWORD)).await.expect(200);
    let bob = app.customer("bob").await;
    let phone = app.another_device(&bob).await;
    bob.delete(format!("/api/auth/sessions/{}", phone.session)).await.expect(200);
    bob.post_nothing("/api/auth/logout").await.expect(200);
    let renew = || app.anonymous_post("/api/auth/refresh", json!({ "refreshToken": ada.refresh_token }));
    renew().await.expect(200);
    app.passes(std::time::Duration::from_secs(11));
    renew().await.expect(401);
    app.engine.reset_password("ada@example.com", PASSWORD.to_owned()).await.unwrap();

    let entries = entries(&app).await;
    let expected = [
        "logged_in",
        "password_change_failed",
        "password_changed",
        "session_revoked",
        "session_revoked",
        "refresh_token_reused",
        "password_reset",
    ];
    assert_eq!(actions(&entries), expected);
    let subjects: Vec<_> = entries.iter().map(|entry| entry["subject"].as_str()).collect();
    assert_eq!(
        subjects[2..5],
        [Some(ada.id.as_str()), Some(phone.session.as_str()), Some(bob.session.as_str())]
    );
    assert_eq!((&entries[1]["actor_id"], &entries[3]["actor_id"]), (&json!(ada.id), &json!(bob.id)));
    assert_eq!((&entries[5]["actor_id"], &entries[6]["actor_id"]), (&json!(ada.id), &Value::Null));
}

#[tokio::test]
async fn what_administrators_do_to_users_is_noted() {
    let app = TestApp::new().await;
    let admin = Registration {
        email: "root@example.com".into(),
        username: "root".into(),
        password: PASSWORD.into(),
        role: Role::Admin,
    };
    let root = app.engine.create_account(admin).await.unwrap();
    let hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    app.engine.users().import(ImportedUser::new("ada@example.com", "ada", hash)).await.unwrap();
    let (second, alice) = (app.admin("second").await, app.customer("alice").await);
    for body in [
        json!({"role": "AGENT"}),
        json!({"role": "AGENT"}),
        json!({"disabled": true}),
        json!({"disabled": false}),
    ] {
        second.patch(format!("/api/users/{}", alice.id), body).await.expect(200);
    }
    let agent = json!({"email": "b@example.com", "username": "bob", "password": PASSWORD, "role": "AGENT"});
    second.post("/api/auth/register", agent).await.expect(201);

    let entries = entries(&app).await;
    let expected = [
        "admin_created",
        "user_imported",
        "role_changed",
        "user_disabled",
        "user_enabled",
        "agent_created",
        "logged_in",
    ];
    assert_eq!(actions(&entries), expected, "what changed nothing is not there");
    assert_eq!(entries[0]["subject"], root.id.to_string());
    let role = &entries[2];
    assert_eq!((&role["actor_id"], &role["subject"]), (&json!(second.id), &json!(alice.id)));
    assert_eq!(role["detail"], "CUSTOMER to AGENT");
    assert_eq!(entries[5]["actor_id"], second.id.as_str());
}

#[tokio::test]
async fn whoever_was_refused_something_is_noted_but_only_so_often() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    for _ in 0..30 {
        alice.delete(format!("/api/conversations/{conversation}")).await.expect(403);
    }
    bob.get("/api/users").await.expect(403);
    let root = app.admin("root").await;
    let said = json!({"conversationId": conversation, "content": "from outside"});
    root.post("/api/messages", said).await.expect(403);

    let entries = entries(&app).await;
    let of = |who: &Person, what: &str| {
        let is_of = |entry: &&Value| entry["actor_id"] == who.id.as_str() && entry["detail"] == what;
        entries.iter().filter(|entry| entry["action"] == "authorization_denied").filter(is_of).count()
    };
    assert_eq!(of(&alice, "close_conversation"), 10);
    assert_eq!((of(&bob, "list_users"), of(&root, "take_part_from_outside")), (1, 1));
}

#[tokio::test]
async fn a_thousand_strangers_who_guess_do_not_fill_the_log() {
    let app = TestApp::new().await;
    let users = futures_util::future::join_all(
        (0..30).map(async |number| app.customer(&format!("user-{number}")).await),
    )
    .await;
    for user in &users {
        for _ in 0..5 {
            user.get("/api/users").await.expect(403);
        }
    }
    assert_eq!(entries(&app).await.len(), 100);
    assert_eq!(app.wire.send("GET", "/health", &[], Bytes::new()).await.status, 200);
}
