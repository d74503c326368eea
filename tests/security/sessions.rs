//! Class S: refresh tokens, logging out, revocation.

use priyo_tests::{Answer, Forged, ServerProcess};
use serde_json::{Value, json};

use crate::sockets::within;
use crate::world::World;

async fn refresh(server: &ServerProcess, token: &str) -> Answer {
    let body = json!({ "refreshToken": token }).to_string();
    server.wire.send("POST", "/api/auth/refresh", &[("content-type", "application/json")], body.into()).await
}

fn refresh_token(answer: &Answer) -> String {
    answer.json()["tokens"]["refreshToken"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_refresh_token_that_was_used_takes_its_whole_session_down_and_no_other() {
    let world = World::new().await;
    let phone = world.server.another_device(&world.c1).await;
    let mut socket = world.server.socket(&world.c1).await;
    let mut at_phone = world.server.socket(&phone).await;
    let second = refresh_token(&refresh(&world.server, &world.c1.refresh_token).await.expect(200));
    let third = refresh_token(&refresh(&world.server, &second).await.expect(200));
    let watch = world.watch_stranger().await;

    let stolen = watch.inspect(&refresh(&world.server, &world.c1.refresh_token).await);

    assert_eq!(stolen.refusal(), (401, "invalid_refresh_token".to_owned()));
    assert!(socket.ends_by(within(1)).await);
    for token in [&third, &second, &world.c1.refresh_token] {
        assert_eq!(refresh(&world.server, token).await.refusal(), (401, "invalid_refresh_token".to_owned()));
    }
    assert_eq!(world.c1.get("/api/auth/me").await.refusal(), (401, "invalid_token".to_owned()));
    at_phone.settle().await;
    refresh(&world.server, &phone.refresh_token).await.expect(200);
    watch.ends_changed().await;
}

/// Every text of a row, whatever is in it.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        _ => {}
    }
}

#[tokio::test]
async fn who_has_read_the_database_has_no_token() {
    let world = World::new().await;
    refresh(&world.server, &world.c1.refresh_token).await.expect(200);
    let stored = world.server.database().dump().await;
    for person in [&world.c1, &world.c2, &world.adm] {
        for token in [&person.token, &person.refresh_token] {
            assert!(!stored.contains(token.as_str()), "a token as it is");
            assert!(!stored.contains(token.rsplit('.').next().unwrap()), "its signature");
        }
    }
    let mut found = Vec::new();
    for table in ["sessions", "refresh_tokens", "users"] {
        for row in world.server.database().query(&format!("SELECT * FROM {table}")).await {
            texts(&row, &mut found);
        }
    }
    assert!(found.len() > 40, "there was something to try: {}", found.len());
    let watch = world.watch_stranger().await;
    for text in found {
        let refused = watch.post("/api/auth/refresh", json!({ "refreshToken": text })).await;
        assert!([400, 401].contains(&refused.status), "{text}: {}", refused.status);
        if text.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
            let bearer = format!("Bearer {text}");
            let refused = watch.send_with("GET", "/api/auth/me", &[("authorization", &bearer)], "").await;
            assert_eq!(refused.status, 401, "{text}");
        }
    }
    watch.ends().await;
}

#[tokio::test]
async fn what_is_no_refresh_token_is_refused_in_one_text() {
    let world = World::new().await;
    let watch = world.watch(&world.c2).await;
    let now = priyo_core::model::Clock::system().now();
    let never_given = |person| -> Forged { priyo_tests::Person::claims(person, now).into_refresh() };
    let cut = &world.c1.refresh_token[..world.c1.refresh_token.len() - 3];
    let mut said = std::collections::BTreeSet::new();
    for token in [
        "x".to_owned(),
        "' OR '1'='1".to_owned(),
        "a.b.c".to_owned(),
        cut.to_owned(),
        never_given(&world.c1).sign(),
        never_given(&world.c1).secret(priyo_tests::ACCESS_SECRET).sign(),
        world.c1.token.clone(),
        world.c1.session.clone(),
        "\u{0}".to_owned(),
    ] {
        let refused = watch.post("/api/auth/refresh", json!({ "refreshToken": token })).await;
        assert!([400, 401].contains(&refused.status), "{token:.80}");
        if refused.status == 401 {
            said.insert(refused.error());
        }
    }
    assert_eq!(said.len(), 1, "{said:?}");
    for body in [json!({"refreshToken": ""}), json!({"refreshToken": null}), json!({})] {
        assert!([400, 401].contains(&watch.post("/api/auth/refresh", body).await.status));
    }
    let large = watch
        .post_far_too_much(
            "/api/auth/refresh",
            "application/json",
            json!({"refreshToken": "a".repeat(1 << 20)}).to_string(),
        )
        .await;
    assert_eq!(large.refusal(), (413, "payload_too_large".to_owned()));
    watch.ends().await;
    refresh(&world.server, &world.c1.refresh_token).await.expect(200);
}
