//! `/api/users`: finding and changing users, for administrators.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Bytes;
use priyo_core::model::{ConversationId, NewMessage, Role, SessionId, Timestamp, User, UserId};
use priyo_core::transport::rest;
use priyo_core::{Authenticator, Caller, Error};
use priyo_tests::{Database, Person, TestApp, Wire, assert_keys};
use serde_json::{Value, json};

const MANAGED: [&str; 9] =
    ["id", "email", "username", "avatar", "role", "createdAt", "isOnline", "lastSeen", "disabled"];

fn names(answer: &Value) -> Vec<&str> {
    answer["users"].as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap()).collect()
}

async fn change(by: &Person, whom: &Person, body: Value) -> priyo_tests::Answer {
    by.patch(format!("/api/users/{}", whom.id), body).await
}

#[tokio::test]
async fn an_administrator_finds_users_by_how_their_names_begin() {
    let app = TestApp::new().await;
    let root = app.admin("root").await;
    for name in ["bob", "Anna", "ann", "zoe"] {
        app.customer(name).await;
    }

    let all = root.get("/api/users").await.expect(200).json();

    assert_keys(&all, &["users", "nextCursor"]);
    assert_eq!((names(&all), &all["nextCursor"]), (vec!["ann", "Anna", "bob", "root", "zoe"], &Value::Null));
    assert_keys(&all["users"][0], &MANAGED);
    let bob = &all["users"][2];
    assert_eq!((&bob["email"], &bob["disabled"]), (&json!("bob@example.com"), &json!(false)));
    for (query, found) in [
        ("q=AN", vec!["ann", "Anna"]),
        ("q=anna", vec!["Anna"]),
        ("q=ann%40", vec!["ann"]),
        ("q=example", vec![]),
        ("q=%25", vec![]),
        ("q=", vec!["ann", "Anna", "bob", "root", "zoe"]),
    ] {
        assert_eq!(
            names(&root.get(format!("/api/users?{query}")).await.expect(200).json()),
            found,
            "{query}"
        );
    }
}

#[tokio::test]
async fn the_list_of_users_is_walked_by_its_cursor() {
    let app = TestApp::new().await;
    let root = app.admin("root").await;
    for number in 0..7 {
        app.customer(&format!("user-{number}")).await;
    }
    for (query, expected) in [("", 8), ("&q=user", 7), ("&q=user-%40", 0), ("&q=user-3%40", 1)] {
        let (mut walked, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/users?limit=3{query}{cursor}");
            let page = root.get(path).await.expect(200).json();
            walked.extend(names(&page).into_iter().map(str::to_owned));
            let Some(next) = page["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let mut sorted = walked.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((walked.len(), &walked), (expected, &sorted), "{query}");
    }
    for bad in ["limit=0", "limit=201", "limit=x", "cursor=x", "cursor=_", "q=a&q=b", "q=%00"] {
        let refused = root.get(format!("/api/users?{bad}")).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{bad}");
    }
    let long = root.get(format!("/api/users?q={}", "x".repeat(255))).await;
    assert_eq!(long.fields_at_fault(), ["q"]);
}

#[tokio::test]
async fn nobody_but_an_administrator_sees_or_changes_users() {
    let app = TestApp::new().await;
    let (alice, agent) = (app.customer("alice").await, app.agent("agent").await);
    app.admin("root").await;
    for who in [&alice, &agent] {
        let body = json!({"role": "ADMIN"});
        for refused in [
            who.get("/api/users?limit=0").await,
            change(who, who, body.clone()).await,
            change(who, &alice, json!({})).await,
        ] {
            assert_eq!(refused.refusal(), (403, "forbidden".to_owned()));
            let body = refused.json();
            assert_eq!((&body["required"], &body["current"]), (&json!(["ADMIN"]), &json!(who.role.as_str())));
        }
        let unknown = who.patch("/api/users/x", body).await;
        assert_eq!(unknown.status, 403, "whether there is one is not for them to know");
    }
    assert_eq!(app.anonymous("GET", "/api/users").await.code(), "unauthenticated");
    assert_eq!(app.wire.send("PATCH", "/api/users/x", &[], Bytes::new()).await.code(), "unauthenticated");
    assert_eq!(alice.get("/api/auth/me").await.json()["user"]["role"], "CUSTOMER");
}

#[tokio::test]
async fn another_role_is_in_force_at_once() {
    let app = TestApp::new().await;
    let (root, alice, bob) =
        (app.admin("root").await, app.customer("alice").await, app.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    let close = || alice.delete(format!("/api/conversations/{conversation}"));
    assert_eq!(close().await.status, 403);

    let changed = change(&root, &alice, json!({"role": "AGENT"})).await.expect(200).json();

    assert_keys(&changed, &["user"]);
    assert_keys(&changed["user"], &MANAGED);
    assert_eq!((&changed["user"]["role"], &changed["user"]["id"]), (&json!("AGENT"), &json!(alice.id)));
    close().await.expect(200);
    change(&root, &alice, json!({"role": "CUSTOMER", "disabled": false})).await.expect(200);
    let refused = close().await;
    assert_eq!((refused.status, &refused.json()["current"]), (403, &json!("CUSTOMER")));
    assert_eq!(app.recorder().take_revoked(), [], "nobody was signed out for it");

    // A new token says so, too; and the other was changed by nothing.
    let token = json!({ "refreshToken": alice.refresh_token });
    app.anonymous_post("/api/auth/refresh", token).await.expect(200);
    assert_eq!(bob.get("/api/auth/me").await.json()["user"]["role"], "CUSTOMER");
}

#[tokio::test]
async fn one_who_is_disabled_is_out_at_once_and_may_come_back_later() {
    let app = TestApp::new().await;
    let root = app.admin("root").await;
    let account = json!({"email": "ada@example.com", "username": "ada", "password": "correct horse"});
    let made = app.anonymous_post("/api/auth/register", account).await.expect(201).json();
    let nobody = app.customer("nobody").await;
    let ada = Person { id: made["user"]["id"].as_str().unwrap().to_owned(), ..nobody.clone() };
    let ada = ada.with_token(made["tokens"]["accessToken"].as_str().unwrap());
    let login = json!({"email": "ada@example.com", "password": "correct horse"});
    let group = nobody.starts_group_with(&[&ada]).await;

    let changed = change(&root, &ada, json!({"disabled": true})).await.expect(200).json();

    assert_eq!(changed["user"]["disabled"], true);
    assert_eq!(ada.get("/api/auth/me").await.refusal(), (401, "invalid_token".to_owned()));
    assert_eq!(app.recorder().take_revoked().len(), 2, "the session, and whoever is about to come in");
    let token = json!({ "refreshToken": made["tokens"]["refreshToken"] });
    assert_eq!(app.anonymous_post("/api/auth/refresh", token.clone()).await.code(), "invalid_refresh_token");
    let refused = app.anonymous_post("/api/auth/login", login.clone()).await;
    assert_eq!(
        (refused.refusal(), refused.error()),
        ((401, "invalid_credentials".to_owned()), "Invalid credentials".to_owned())
    );
    let found = root.get("/api/users?q=ada").await.json();
    assert_eq!(found["users"][0]["disabled"], true);
    // Doing it again is fine.
    change(&root, &ada, json!({"disabled": true})).await.expect(200);

    change(&root, &ada, json!({"disabled": false})).await.expect(200);
    assert_eq!(ada.get("/api/auth/me").await.status, 401, "the old session stays ended");
    assert_eq!(app.anonymous_post("/api/auth/refresh", token).await.status, 401);
    let again = app.anonymous_post("/api/auth/login", login).await.expect(200).json();
    let ada = ada.with_token(again["tokens"]["accessToken"].as_str().unwrap());
    ada.says(&group, "I am back").await;
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let app = TestApp::new().await;
    let root = app.admin("root").await;
    for body in
        [json!({"role": "AGENT"}), json!({"disabled": true}), json!({"role": "CUSTOMER", "disabled": true})]
    {
        let refused = change(&root, &root, body.clone()).await;
        assert_eq!(refused.refusal(), (409, "conflict".to_owned()), "{body}");
    }
    assert_eq!(root.get("/api/users").await.status, 200);
    // With another one they may go, by their own hand too.
    let second = app.admin("second").await;
    change(&root, &root, json!({"role": "AGENT"})).await.expect(200);
    assert_eq!(root.get("/api/users").await.status, 403);
    assert_eq!(change(&second, &second, json!({"disabled": true})).await.status, 409);
}

#[tokio::test]
async fn a_change_that_is_none_is_refused() {
    let app = TestApp::new().await;
    let (root, alice) = (app.admin("root").await, app.customer("alice").await);
    for body in [
        json!({}),
        json!([]),
        json!({"role": "admin"}),
        json!({"role": null}),
        json!({"role": ["ADMIN"]}),
        json!({"disabled": "yes"}),
        json!({"disabled": null}),
        json!({"role": "AGENT", "email": "x@example.com"}),
    ] {
        let refused = change(&root, &alice, body.clone()).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{body}");
    }
    for unknown in ["x", "0199a000-0000-7000-8000-000000000000"] {
        let refused = root.patch(format!("/api/users/{unknown}"), json!({"role": "AGENT"})).await;
        assert_eq!(
            (refused.refusal(), refused.error()),
            ((404, "not_found".to_owned()), "User not found".to_owned())
        );
    }
    assert_eq!(alice.get("/api/auth/me").await.json()["user"]["role"], "CUSTOMER");
}

#[derive(Debug)]
struct Host(Caller);

#[async_trait]
impl Authenticator for Host {
    async fn authenticate(&self, _: &str) -> priyo_core::Result<Caller> {
        Ok(self.0.clone())
    }
}

#[tokio::test]
async fn a_host_with_its_own_login_has_none_of_this() {
    let admin = User {
        id: UserId::new(),
        external_id: Some("1".into()),
        email: None,
        username: "ann".into(),
        avatar: None,
        role: Role::Admin,
        disabled: false,
        created_at: Timestamp::from_millis(0),
        last_seen: None,
    };
    let host = Arc::new(Host(Caller::new(&admin)));
    let database = Database::new();
    let engine = database.engine(host).await.build().await.unwrap();
    let wire = Wire::Router(rest::router(engine.clone()));
    let headers = [("authorization", "Bearer x"), ("content-type", "application/json")];
    for (method, path) in [
        ("GET", "/api/users"),
        ("PATCH", "/api/users/x"),
        ("POST", "/api/auth/password"),
        ("GET", "/api/auth/sessions"),
        ("DELETE", "/api/auth/sessions/x"),
    ] {
        let answer = wire.send(method, path, &headers, "{}".into()).await;
        assert_eq!(answer.refusal(), (404, "route_not_found".to_owned()), "{method} {path}");
    }
    let caller = Caller::new(&admin);
    for outcome in [
        engine.list_users(&caller, "", None, None).await.map(drop),
        engine.sessions(&caller).await.map(drop),
        engine.end_session(&caller, SessionId::new()).await,
    ] {
        assert!(matches!(outcome, Err(Error::RouteNotFound)), "{outcome:?}");
    }
    // Control: the rest is there.
    let nowhere = NewMessage::text(ConversationId::new(), "hello");
    assert!(matches!(engine.send_message(&caller, nowhere).await, Err(Error::NotFound(_))));
}
