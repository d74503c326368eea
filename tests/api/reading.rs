//! `GET /api/messages/:id`, `POST /api/messages/read`, `GET /api/messages/unread/count`.

use priyo_core::{Audience, Event};
use priyo_tests::{Person, TestApp, assert_keys};
use serde_json::{Value, json};

use crate::shapes::assert_message;

const NOTHING: &str = "0199a000-0000-7000-8000-000000000000";

/// Alice and Bob with a conversation in which Alice has said this many things; their ids.
async fn pair_with(app: &TestApp, messages: usize) -> (Person, Person, String, Vec<Value>) {
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    let mut ids = Vec::new();
    for number in 1..=messages {
        ids.push(alice.says(&conversation, &number.to_string()).await["id"].clone());
    }
    app.events();
    (alice, bob, conversation, ids)
}

fn seqs(page: &Value) -> Vec<u64> {
    page["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap()).collect()
}

async fn unread(person: &Person) -> Value {
    let list = person.get("/api/conversations").await.json();
    let counts = person.get("/api/messages/unread/count").await.expect(200).json();
    assert_keys(&counts, &["unreadCount", "conversations"]);
    let listed: u64 =
        list["conversations"].as_array().unwrap().iter().map(|c| c["unreadCount"].as_u64().unwrap()).sum();
    assert_eq!(counts["unreadCount"], listed, "the list and the count agree");
    counts
}

#[tokio::test]
async fn pages_are_oldest_first_and_page_one_is_the_newest() {
    let app = TestApp::new().await;
    let (_, bob, conversation, _) = pair_with(&app, 7).await;
    for (query, expected, more) in [
        ("", vec![1, 2, 3, 4, 5, 6, 7], false),
        ("?limit=3", vec![5, 6, 7], true),
        ("?limit=3&page=1", vec![5, 6, 7], true),
        ("?limit=3&page=2", vec![2, 3, 4], true),
        ("?limit=3&page=3", vec![1], false),
        ("?limit=3&page=4", vec![], false),
        ("?limit=3&before=5", vec![2, 3, 4], true),
        ("?before=3", vec![1, 2], false),
        ("?before=1", vec![], false),
        ("?before=1000", vec![1, 2, 3, 4, 5, 6, 7], false),
        ("?limit=3&after=0", vec![1, 2, 3], true),
        ("?limit=3&after=4", vec![5, 6, 7], false),
        ("?after=7", vec![], false),
        ("?after=1000", vec![], false),
        ("?limit=200", vec![1, 2, 3, 4, 5, 6, 7], false),
    ] {
        let page = bob.get(format!("/api/messages/{conversation}{query}")).await.expect(200).json();
        assert_keys(&page, &["messages", "hasMore"]);
        page["messages"].as_array().unwrap().iter().for_each(assert_message);
        assert_eq!((seqs(&page), &page["hasMore"]), (expected, &json!(more)), "{query}");
    }
}

#[tokio::test]
async fn a_page_that_is_not_one_is_refused() {
    let app = TestApp::new().await;
    let (alice, _, conversation, _) = pair_with(&app, 1).await;
    for query in [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=abc",
        "limit=1e2",
        "limit=",
        "limit=4294967297",
        "page=0",
        "page=-1",
        "page=x",
        "page=1.0",
        "before=x",
        "before=-1",
        "after=-1",
        "after=0x10",
        "after=99999999999999999999",
        "before=3&after=1",
        "page=1&after=1",
        "after=1&after=2",
    ] {
        let refused = alice.get(format!("/api/messages/{conversation}?{query}")).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{query}");
    }
    let far = format!("/api/messages/{conversation}?page=9007199254740991&limit=200");
    let answer = alice.get(far).await;
    assert!([200, 400].contains(&answer.status), "{answer:?}");
}

#[tokio::test]
async fn an_outsider_reads_nothing_and_an_admin_reads_all_and_is_noted() {
    let app = TestApp::new().await;
    let (_, _, conversation, _) = pair_with(&app, 2).await;
    let (carol, greg, root) = (app.customer("carol").await, app.agent("greg").await, app.admin("root").await);
    for outsider in [&carol, &greg] {
        for id in [&*conversation, NOTHING, "x"] {
            let refused = outsider.get(format!("/api/messages/{id}")).await;
            assert_eq!(
                (refused.refusal(), refused.error()),
                ((404, "not_found".to_owned()), "Conversation not found".to_owned())
            );
        }
    }
    let noted = app.rows("audit_log").await;
    let page = root.get(format!("/api/messages/{conversation}")).await.expect(200).json();
    assert_eq!(seqs(&page), [1, 2]);
    assert_eq!(app.rows("audit_log").await, noted + 1);
    assert_eq!(app.events(), [], "unannounced: no delivery to an admin who only looks");
}

#[tokio::test]
async fn fetching_history_delivers_it_and_the_sender_is_told_once() {
    let app = TestApp::new().await;
    let (alice, bob, conversation, ids) = pair_with(&app, 3).await;
    alice.get(format!("/api/messages/{conversation}")).await.expect(200);
    assert_eq!(app.events(), [], "one's own messages are not delivered to oneself");

    bob.get(format!("/api/messages/{conversation}")).await.expect(200);

    let events = app.events();
    assert_eq!(events.len(), 3);
    for ((audience, event), id) in events.iter().zip(&ids) {
        let Event::MessageDelivered { message_id, delivered_to, .. } = event else { panic!("{event:?}") };
        assert!(matches!(audience, Audience::Users(told) if told[0].to_string() == alice.id));
        assert_eq!((json!(message_id), delivered_to[0].to_string()), (id.clone(), bob.id.clone()));
    }
    bob.get(format!("/api/messages/{conversation}")).await.expect(200);
    assert_eq!(app.events(), []);
}

#[tokio::test]
async fn many_deliveries_at_once_are_one_event() {
    let app = TestApp::new().await;
    let (_, bob, conversation, ids) = pair_with(&app, 21).await;

    bob.get(format!("/api/messages/{conversation}")).await.expect(200);

    let events = app.events();
    let [(_, Event::MessageDelivered { message_id, message_ids, seq, .. })] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((json!(message_id), *seq), (ids[20].clone(), 21));
    assert_eq!(json!(message_ids), json!(ids));
}

#[tokio::test]
async fn marking_one_message_does_not_mark_another() {
    let app = TestApp::new().await;
    let (alice, bob, conversation, ids) = pair_with(&app, 5).await;
    assert_eq!(unread(&bob).await, json!({"unreadCount": 5, "conversations": {conversation.clone(): 5}}));
    assert_eq!(unread(&alice).await["unreadCount"], 0, "one's own messages never count");

    let mark = json!({"messageIds": [ids[3], ids[1], ids[3]]});
    let answer = bob.post("/api/messages/read", mark.clone()).await.expect(200).json();

    assert_eq!(answer, json!({"message": "Messages marked as read"}));
    let events = app.events();
    let [
        (Audience::Conversation { except: None, .. }, Event::MessageRead { seq: 2, reader, message_ids, .. }),
        (_, Event::MessageRead { seq: 4, .. }),
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!((reader.to_string(), message_ids.len()), (bob.id.clone(), 0));
    assert_eq!(unread(&bob).await["unreadCount"], 3);
    let history = alice.history(&conversation).await;
    let read: Vec<bool> = history.iter().map(|m| !m["reads"].as_array().unwrap().is_empty()).collect();
    assert_eq!(read, [false, true, false, true, false]);
    assert_eq!(history[1]["reads"][0]["user"], json!({"id": bob.id, "username": "bob"}));
    app.events();
    bob.post("/api/messages/read", mark).await.expect(200);
    assert_eq!(app.events(), [], "again is fine, and no news");
}

#[tokio::test]
async fn more_than_twenty_reads_are_one_event_that_lists_them() {
    let app = TestApp::new().await;
    let (_, bob, _, ids) = pair_with(&app, 21).await;

    bob.post("/api/messages/read", json!({ "messageIds": ids })).await.expect(200);

    let events = app.events();
    let [(_, Event::MessageRead { message_id, message_ids, seq: 21, .. })] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((json!(message_id), json!(message_ids)), (ids[20].clone(), json!(ids)));
    assert_eq!(unread(&bob).await, json!({"unreadCount": 0, "conversations": {}}));
}

#[tokio::test]
async fn marking_is_all_or_nothing() {
    let app = TestApp::new().await;
    let (alice, bob, _, ids) = pair_with(&app, 2).await;
    let carol = app.customer("carol").await;
    let theirs = alice.starts_conversation_with(&carol).await;
    let foreign = alice.says(&theirs, "not for bob").await["id"].clone();
    app.events();
    for other in [foreign.clone(), json!(NOTHING), json!("x"), json!("")] {
        let refused = bob.post("/api/messages/read", json!({"messageIds": [ids[0], other]})).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{other}");
        assert_eq!(refused.error(), "Some messages not found or access denied");
    }
    assert_eq!(app.events(), []);
    assert_eq!(unread(&bob).await["unreadCount"], 2);
    assert_eq!(unread(&carol).await["unreadCount"], 1);
}

#[tokio::test]
async fn what_is_not_a_list_of_messages_is_refused() {
    let app = TestApp::new().await;
    let (_, bob, conversation, ids) = pair_with(&app, 1).await;
    let too_many: Vec<String> = (0..501).map(|n| n.to_string()).collect();
    for value in [
        json!([]),
        json!(null),
        json!(ids[0]),
        json!([1]),
        json!([null]),
        json!([ids[0], {}]),
        json!({"0": ids[0]}),
        json!(too_many),
    ] {
        let refused = bob.post("/api/messages/read", json!({ "messageIds": value })).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{value:.60}");
        assert_eq!(refused.fields_at_fault(), ["messageIds"]);
    }
    let extra = json!({"messageIds": ids, "conversationId": conversation});
    assert_eq!(bob.post("/api/messages/read", extra).await.fields_at_fault(), ["conversationId"]);
    assert_eq!(app.events(), []);
    let same: Vec<&Value> = (0..500).map(|_| &ids[0]).collect();
    bob.post("/api/messages/read", json!({ "messageIds": same })).await.expect(200);
}

#[tokio::test]
async fn an_admin_outside_marks_nothing_as_read() {
    let app = TestApp::new().await;
    let (_, bob, _, ids) = pair_with(&app, 1).await;
    let root = app.admin("root").await;

    let refused = root.post("/api/messages/read", json!({ "messageIds": ids })).await;

    assert_eq!(refused.refusal(), (403, "forbidden".to_owned()));
    assert_eq!(app.events(), []);
    assert_eq!(unread(&bob).await["unreadCount"], 1);
    assert_eq!(
        root.get("/api/messages/unread/count").await.json(),
        json!({"unreadCount": 0, "conversations": {}})
    );
}

#[tokio::test]
async fn unread_is_what_a_naive_count_says_after_any_story() {
    let app = TestApp::new().await;
    let people = [app.customer("alice").await, app.customer("bob").await, app.customer("carol").await];
    let group = people[0].starts_group_with(&[&people[1], &people[2]]).await;
    // A fixed story that looks random: who speaks, and which of the last messages who marks.
    let mut dice: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut roll = |sides: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % sides
    };
    for _ in 0..60 {
        let who = &people[usize::try_from(roll(3)).unwrap()];
        if roll(2) == 0 {
            who.says(&group, "x").await;
        } else {
            let history = who.history(&group).await;
            let some: Vec<&Value> = history.iter().filter(|_| roll(3) == 0).map(|m| &m["id"]).collect();
            if !some.is_empty() {
                who.post("/api/messages/read", json!({ "messageIds": some })).await.expect(200);
            }
        }
    }
    for person in &people {
        let is_unread = |message: &&Value| {
            let reads = message["reads"].as_array().unwrap();
            message["sender"]["id"] != *person.id
                && !reads.iter().any(|read| read["user"]["id"] == *person.id)
        };
        let naive = person.history(&group).await.iter().filter(is_unread).count();
        assert_eq!(unread(person).await["unreadCount"], naive, "{}", person.name);
    }
}

#[tokio::test]
async fn who_turns_pages_by_number_sees_every_message() {
    let app = TestApp::new().await;
    let (alice, _, conversation, _) = pair_with(&app, 0).await;
    // Three bytes a character: fifty of these are more than one answer holds.
    let long = "\u{99a}".repeat(5_000);
    for _ in 0..60 {
        alice.says(&conversation, &long).await;
    }
    let mut seen = Vec::new();
    for page in 1.. {
        let answer = alice.get(format!("/api/messages/{conversation}?page={page}")).await.expect(200).json();
        let numbers = seqs(&answer);
        if numbers.is_empty() {
            break;
        }
        seen.extend(numbers);
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=60).collect::<Vec<u64>>());
}
