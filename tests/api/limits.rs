//! Every number that bounds a client, over REST.

use priyo_core::Limits;
use priyo_tests::{Settings, TestApp};
use serde_json::{Value, json};

async fn app_with(change: impl FnOnce(&mut Limits)) -> TestApp {
    let mut limits = Limits::default();
    change(&mut limits);
    TestApp::with(Settings { limits, ..Settings::default() }).await
}

#[test]
fn the_limits_are_those_of_the_contract() {
    let limits = Limits::default();
    assert_eq!((limits.message_chars, limits.message_bytes, limits.body_bytes), (5_000, 20_000, 65_536));
    assert_eq!((limits.page_rows, limits.default_page_rows, limits.default_list_rows), (200, 50, 100));
    assert_eq!((limits.page_bytes, limits.read_ids, limits.participants), (262_144, 500, 100));
    assert_eq!((limits.upload_bytes, limits.typing_ttl.as_secs()), (5_242_880, 6));
    assert_eq!((limits.rooms_per_socket, limits.sockets_per_user), (200, 20));
    assert_eq!((limits.socket_inbox, limits.socket_outbox), (64, 4_096));
    assert_eq!(limits.connect_timeout.as_secs(), 10);
}

#[tokio::test]
async fn a_message_is_bounded_in_characters_and_in_bytes() {
    let app = app_with(|limits| (limits.message_chars, limits.message_bytes) = (10, 20)).await;
    let alice = app.customer("alice").await;
    let group = alice.starts_group_with(&[]).await;
    app.events();
    for (text, taken) in [
        ("a".repeat(10), true),
        ("a".repeat(11), false),
        ("é".repeat(10), true),
        ("€".repeat(6), true),
        ("€".repeat(7), false),
    ] {
        let answer = alice.post("/api/messages", json!({"conversationId": group, "content": text})).await;
        assert_eq!(answer.status, if taken { 201 } else { 400 }, "{text}");
        if !taken {
            assert_eq!(answer.fields_at_fault(), ["content"]);
        }
    }
    assert_eq!(app.event_names().len(), 3);
}

#[tokio::test]
async fn a_page_has_as_many_rows_as_asked_for_and_fifty_unless_asked() {
    let app = app_with(|limits| (limits.page_rows, limits.default_page_rows) = (4, 3)).await;
    let alice = app.customer("alice").await;
    let group = alice.starts_group_with(&[]).await;
    for _ in 0..6 {
        alice.says(&group, "x").await;
    }
    let rows = async |query: &str| {
        let page = alice.get(format!("/api/messages/{group}{query}")).await.expect(200).json();
        page["messages"].as_array().unwrap().len()
    };
    assert_eq!((rows("").await, rows("?limit=4").await, rows("?limit=1").await), (3, 4, 1));
    assert_eq!(alice.get(format!("/api/messages/{group}?limit=5")).await.fields_at_fault(), ["limit"]);
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes_and_the_rest_comes_next() {
    let app = app_with(|limits| limits.page_bytes = 10_000).await;
    let alice = app.customer("alice").await;
    let group = alice.starts_group_with(&[]).await;
    for _ in 0..7 {
        alice.says(&group, &"a".repeat(4_000)).await;
    }
    let (mut seen, mut pages): (Vec<u64>, usize) = (Vec::new(), 0);
    loop {
        let after = seen.last().copied().unwrap_or(0);
        let answer = alice.get(format!("/api/messages/{group}?after={after}&limit=200")).await.expect(200);
        assert!(answer.body.len() < 20_000, "{}", answer.body.len());
        let page = answer.json();
        seen.extend(page["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap()));
        pages += 1;
        if page["hasMore"] == false {
            break;
        }
    }
    assert_eq!(seen, (1..=7).collect::<Vec<u64>>());
    assert!(pages > 2, "{pages}");

    let newest = alice.get(format!("/api/messages/{group}?before=8&limit=200")).await.expect(200).json();
    let messages = newest["messages"].as_array().unwrap();
    assert_eq!((&messages.last().unwrap()["seq"], &newest["hasMore"]), (&json!(7), &json!(true)));
}

#[tokio::test]
async fn the_marks_of_many_readers_count_too() {
    let app = app_with(|limits| limits.page_bytes = 20_000).await;
    let alice = app.customer("alice").await;
    let mut readers = Vec::new();
    for name in ["r-one", "r-two", "r-three", "r-four", "r-five", "r-six", "r-seven", "r-eight"] {
        readers.push(app.customer(name).await);
    }
    let group = alice.starts_group_with(&readers.iter().collect::<Vec<_>>()).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(alice.says(&group, "short").await["id"].clone());
    }
    for reader in &readers {
        reader.post("/api/messages/read", json!({"messageIds": ids})).await.expect(200);
    }

    let answer = alice.get(format!("/api/messages/{group}?after=0&limit=200")).await.expect(200);

    assert!(answer.body.len() <= 20_000, "{}", answer.body.len());
    let page = answer.json();
    assert_eq!(page["hasMore"], true);
    assert!(page["messages"].as_array().unwrap().len() > 5);
}

#[tokio::test]
async fn a_page_with_one_message_larger_than_a_page_still_has_it() {
    let app = app_with(|limits| limits.page_bytes = 100).await;
    let alice = app.customer("alice").await;
    let group = alice.starts_group_with(&[]).await;
    alice.says(&group, &"a".repeat(4_000)).await;
    alice.says(&group, "b").await;
    assert_eq!(alice.history(&group).await.len(), 2);
}

#[tokio::test]
async fn the_default_page_of_the_list_and_its_largest() {
    let app = app_with(|limits| (limits.page_rows, limits.default_list_rows) = (3, 2)).await;
    let alice = app.customer("alice").await;
    for _ in 0..4 {
        alice.starts_group_with(&[]).await;
    }
    let rows = async |query: &str| {
        let page = alice.get(format!("/api/conversations{query}")).await.expect(200).json();
        page["conversations"].as_array().unwrap().len()
    };
    assert_eq!((rows("").await, rows("?limit=3").await), (2, 3));
    assert_eq!(alice.get("/api/conversations?limit=4").await.status, 400);
}

#[tokio::test]
async fn a_conversation_has_no_more_participants_than_allowed() {
    let app = app_with(|limits| limits.participants = 3).await;
    let mut people = Vec::new();
    for name in ["alice", "bob", "carol", "dave"] {
        people.push(app.customer(name).await);
    }
    let ids = |range: std::ops::Range<usize>| -> Vec<&str> { people[range].iter().map(|p| &*p.id).collect() };
    let too_many = json!({"participantIds": ids(1..4), "type": "GROUP"});
    assert_eq!(people[0].post("/api/conversations", too_many).await.fields_at_fault(), ["participantIds"]);
    assert_eq!(app.events(), []);
    let group = people[0].starts_group_with(&[&people[1], &people[2]]).await;
    app.events();
    let path = format!("/api/conversations/{group}/participants");
    assert_eq!(people[0].post(&path, json!({"userIds": ids(3..4)})).await.fields_at_fault(), ["userIds"]);
    assert_eq!(app.events(), []);
    people[1].post_nothing(format!("/api/conversations/{group}/leave")).await.expect(200);
    people[0].post(&path, json!({"userIds": ids(3..4)})).await.expect(200);
}

#[tokio::test]
async fn no_more_ids_are_marked_at_once_than_allowed() {
    let app = app_with(|limits| limits.read_ids = 2).await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    let mut ids: Vec<Value> = Vec::new();
    for _ in 0..3 {
        ids.push(alice.says(&conversation, "x").await["id"].clone());
    }
    assert_eq!(
        bob.post("/api/messages/read", json!({ "messageIds": ids })).await.fields_at_fault(),
        ["messageIds"]
    );
    bob.post("/api/messages/read", json!({"messageIds": ids[..2]})).await.expect(200);
}

#[tokio::test]
async fn a_body_is_bounded() {
    let app = app_with(|limits| limits.body_bytes = 1_000).await;
    let alice = app.customer("alice").await;
    let refused = alice.post("/api/messages", json!({"content": "a".repeat(1_000)})).await;
    assert_eq!(
        (refused.refusal(), &refused.json()["maxSize"]),
        ((413, "payload_too_large".to_owned()), &json!(1_000))
    );
}

#[tokio::test]
async fn a_storm_of_logins_is_refused_before_it_is_hashed() {
    let app = app_with(|limits| (limits.hashing_at_once, limits.hashing_queue) = (1, 2)).await;
    let login = json!({"email": "alice@example.com", "password": "wrong"});

    let all =
        futures_util::future::join_all((0..20).map(|_| app.anonymous_post("/api/auth/login", login.clone())))
            .await;

    let refused: Vec<_> = all.iter().filter(|answer| answer.status == 503).collect();
    assert!(refused.len() >= 10 && refused.len() < 20, "{}", refused.len());
    for answer in refused {
        assert_eq!(answer.code(), "overloaded");
        assert_eq!(answer.header("retry-after"), "1");
    }
}
