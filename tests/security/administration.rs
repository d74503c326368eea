//! What an administrator changes, what a password changes, and what is noted: the rest of classes A, T, S and L.

use priyo_tests::{Answer, Person};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::sockets::within;
use crate::world::World;

const PASSWORD: &str = "correct horse";
const FRESH: &str = "battery staple";

async fn patch(by: &Person, of: &Person, change: &Value) -> Answer {
    let path = format!("/api/users/{}", of.id);
    by.send("PATCH", &path, Some("application/json"), change.to_string().into()).await
}

/// Asks until the answer is this, within a second.
async fn becomes(person: &Person, path: &str, status: u16) {
    let deadline = within(1);
    loop {
        let answer = person.get(path).await;
        if answer.status == status {
            return;
        }
        assert!(Instant::now() < deadline, "{path} is still {}", answer.status);
    }
}

#[tokio::test]
async fn a_disabled_user_is_out_within_a_second_through_both_doors() {
    let world = World::new().await;
    let phone = world.server.another_device(&world.c1).await;
    let watch = world.watch(&world.c1).await;
    let (mut socket, mut at_phone) = (watch.socket().await, world.server.socket(&phone).await);
    let mut other = world.server.socket(&world.c2).await;

    patch(&world.adm, &world.c1, &json!({"disabled": true})).await.expect(200);

    let deadline = within(1);
    assert!(socket.ends_by(deadline).await && at_phone.ends_by(deadline).await);
    watch.inspect_frames(&mut socket);
    for person in [&world.c1, &phone] {
        becomes(person, "/api/auth/me", 401).await;
        assert!(world.server.try_socket(person).await.is_err());
        let refused = watch.post("/api/auth/refresh", json!({"refreshToken": person.refresh_token})).await;
        assert_eq!(refused.refusal(), (401, "invalid_refresh_token".to_owned()));
    }
    other.settle().await;
    watch.ends_changed().await;
}

#[tokio::test]
async fn a_demoted_agent_closes_nothing_a_second_later_with_the_old_token() {
    let world = World::new().await;
    let room = world.ag1.starts_conversation_with(&world.c1).await;
    let mut socket = world.server.socket(&world.ag1).await;

    patch(&world.adm, &world.ag1, &json!({"role": "CUSTOMER"})).await.expect(200);

    let deadline = within(1);
    loop {
        let watch = world.watch(&world.ag1).await;
        let refused = watch.delete(&format!("/api/conversations/{room}")).await;
        if refused.status == 403 {
            assert_eq!(refused.json()["current"], "CUSTOMER");
            watch.ends().await;
            break;
        }
        assert!(Instant::now() < deadline, "{}", refused.text());
        watch.ends_changed().await;
    }
    // What it listens to may not be for it any more: its client comes back as who it is now.
    assert!(socket.ends_by(deadline).await && !socket.was_told_to_go());
    assert_eq!(world.ag1.get("/api/auth/me").await.expect(200).json()["user"]["role"], "CUSTOMER");
}

#[tokio::test]
async fn only_an_administrator_sees_and_changes_users_and_the_last_one_stays() {
    let world = World::new().await;
    for person in [&world.c2, &world.ag1] {
        let watch = world.watch(person).await;
        for change in [json!({"disabled": true}), json!({"role": "ADMIN"}), json!({"role": "CUSTOMER"})] {
            for of in [&world.c1, person, &world.adm] {
                let refused = watch.inspect(&patch(person, of, &change).await);
                assert_eq!(refused.refusal(), (403, "forbidden".to_owned()), "{change}");
            }
        }
        for path in ["/api/users", "/api/users?q=customer1", "/api/users?limit=1&cursor=x"] {
            assert_eq!(watch.get(path).await.refusal(), (403, "forbidden".to_owned()), "{path}");
        }
        watch.ends().await;
    }
    let watch = world.watch(&world.adm).await;
    for change in [
        json!({"passwordHash": "x"}),
        json!({"email": "x@example.net"}),
        json!({"id": world.c2.id}),
        json!({"role": "ROOT"}),
        json!({"role": ["ADMIN"]}),
        json!({"disabled": "true"}),
        json!([]),
    ] {
        let refused = watch.inspect(&patch(&world.adm, &world.c1, &change).await);
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{change}");
    }
    for change in [json!({"disabled": true}), json!({"role": "AGENT"})] {
        let refused = watch.inspect(&patch(&world.adm, &world.adm, &change).await);
        assert_eq!(refused.refusal(), (409, "conflict".to_owned()), "{change}");
    }
    watch.ends().await;
}

/// Logs in, as a client does.
async fn logs_in(world: &World, password: &str) -> Answer {
    let body = json!({"email": "alice@example.net", "password": password}).to_string();
    world
        .server
        .wire
        .send("POST", "/api/auth/login", &[("content-type", "application/json")], body.into())
        .await
}

/// Somebody like C3, with the tokens of a login.
fn signed_in(like: &Person, answer: &Answer) -> Person {
    let body = answer.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Person {
        id: text(&body["user"]["id"]),
        token: text(&body["tokens"]["accessToken"]),
        refresh_token: text(&body["tokens"]["refreshToken"]),
        ..like.clone()
    }
}

#[tokio::test]
async fn another_password_ends_every_other_session_and_a_wrong_one_changes_nothing() {
    let world = World::new().await;
    let body = json!({"email": "alice@example.net", "username": "alice", "password": PASSWORD}).to_string();
    let json_body = [("content-type", "application/json")];
    world.server.wire.send("POST", "/api/auth/register", &json_body, body.into()).await.expect(201);
    let here = signed_in(&world.c3, &logs_in(&world, PASSWORD).await.expect(200));
    let there = signed_in(&world.c3, &logs_in(&world, PASSWORD).await.expect(200));
    let (mut at_here, mut at_there) = (world.server.socket(&here).await, world.server.socket(&there).await);
    let change = |current: &str, new: &str| json!({"currentPassword": current, "newPassword": new});
    let watch = world.watch(&here).await;
    let refused = watch.post("/api/auth/password", change("wrong horse", FRESH)).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    for (current, new) in [(PASSWORD, "short"), (PASSWORD, ""), ("", FRESH)] {
        let refused = watch.post("/api/auth/password", change(current, new)).await;
        assert!([400, 403].contains(&refused.status), "{}", refused.text());
    }
    let without =
        watch.send_with("POST", "/api/auth/password", &json_body, change(PASSWORD, FRESH).to_string()).await;
    assert_eq!(without.refusal(), (401, "unauthenticated".to_owned()));
    at_there.settle().await;
    watch.assert_unchanged().await;

    watch.post("/api/auth/password", change(PASSWORD, FRESH)).await.expect(200);

    assert!(at_there.ends_by(within(1)).await);
    becomes(&there, "/api/auth/me", 401).await;
    let refused = watch.post("/api/auth/refresh", json!({"refreshToken": there.refresh_token})).await;
    assert_eq!(refused.refusal(), (401, "invalid_refresh_token".to_owned()));
    at_here.settle().await;
    assert_eq!(here.get("/api/auth/me").await.status, 200);
    assert_eq!(logs_in(&world, PASSWORD).await.refusal(), (401, "invalid_credentials".to_owned()));
    logs_in(&world, FRESH).await.expect(200);
    watch.ends_changed().await;
}

#[tokio::test]
async fn a_session_is_seen_and_ended_by_its_user_alone() {
    let world = World::new().await;
    let phone = world.server.another_device(&world.c1).await;
    let watch = world.watch(&world.c2).await;
    for id in [&world.c1.session, &phone.session, &world.adm.session] {
        let refused = watch.delete(&format!("/api/auth/sessions/{id}")).await;
        // The id itself is the attacker's own word here.
        assert_eq!(refused.refusal(), (404, "not_found".to_owned()));
    }
    let own = watch.get("/api/auth/sessions").await.expect(200);
    assert!(own.text().contains(&world.c2.session), "{}", own.text());
    watch.ends().await;
    assert_eq!(phone.get("/api/auth/me").await.status, 200);
    world.c1.delete(format!("/api/auth/sessions/{}", phone.session)).await.expect(200);
    becomes(&phone, "/api/auth/me", 401).await;
}

#[tokio::test]
async fn what_matters_is_noted_with_who_and_from_where_and_without_a_secret() {
    let world = World::new().await;
    let body = json!({"email": "alice@example.net", "username": "alice", "password": PASSWORD}).to_string();
    let json_body = [("content-type", "application/json"), ("x-request-id", "audited-1")];
    world.server.wire.send("POST", "/api/auth/register", &json_body, body.into()).await.expect(201);
    logs_in(&world, PASSWORD).await.expect(200);
    logs_in(&world, "wrong horse").await.expect(401);
    let refresh = async |token: &str| {
        let body = json!({ "refreshToken": token }).to_string();
        world.server.wire.send("POST", "/api/auth/refresh", &json_body, body.into()).await
    };
    let second = refresh(&world.c1.refresh_token).await.expect(200).json()["tokens"]["refreshToken"].clone();
    refresh(second.as_str().unwrap()).await.expect(200);
    refresh(&world.c1.refresh_token).await.expect(401);
    patch(&world.adm, &world.ag2, &json!({"role": "CUSTOMER"})).await.expect(200);
    patch(&world.adm, &world.c2, &json!({"disabled": true})).await.expect(200);
    world.c3.delete(format!("/api/conversations/{}", world.d12)).await.expect(403);

    // It is written behind.
    let deadline = within(5);
    let wanted = [
        "logged_in",
        "login_failed",
        "refresh_token_reused",
        "role_changed",
        "disabled",
        "authorization_denied",
    ];
    let rows = loop {
        let rows = world.server.database().query("SELECT * FROM audit_log").await;
        let text = Value::from(rows.clone()).to_string();
        if wanted.iter().all(|word| text.contains(word)) {
            break rows;
        }
        assert!(Instant::now() < deadline, "{text}");
    };
    let text = Value::from(rows.clone()).to_string();
    assert!(text.contains("127.0.0.1") && text.contains("audited-1"), "{text}");
    assert!(text.contains(&world.adm.id) && text.contains(&world.c3.id), "{text}");
    for row in &rows {
        assert!(row["at_ms"].as_i64().unwrap() > 1_700_000_000_000, "{row}");
    }
    let log = world.server.log();
    for secret in [PASSWORD, "wrong horse", &world.c1.refresh_token, &world.c1.token, "$argon2"] {
        assert!(!text.contains(secret) && !log.contains(secret), "{secret}");
    }
}
