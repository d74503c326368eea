//! `/api/conversations`: make, list, get, close, reopen.

use std::time::Duration;

use priyo_core::{Audience, Event};
use priyo_tests::{Person, TestApp, assert_keys};
use serde_json::{Value, json};

use crate::shapes::{assert_conversation, assert_listed};

/// An id of the right form that names nothing.
const NOTHING: &str = "0199a000-0000-7000-8000-000000000000";

async fn listed(person: &Person, query: &str) -> Vec<Value> {
    let answer = person.get(format!("/api/conversations{query}")).await.expect(200).json();
    assert_keys(&answer, &["conversations", "nextCursor"]);
    answer["conversations"].as_array().unwrap().clone()
}

fn ids(conversations: &[Value]) -> Vec<&str> {
    conversations.iter().map(|one| one["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn making_a_direct_conversation_adds_the_caller_and_tells_both() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let body = json!({"participantIds": [bob.id, bob.id, alice.id], "type": "DIRECT", "name": "ignored"});

    let answer = alice.post("/api/conversations", body).await.expect(201).json();

    assert_keys(&answer, &["message", "conversation"]);
    assert_eq!(answer["message"], "Conversation created successfully");
    let made = &answer["conversation"];
    assert_conversation(made);
    assert_eq!(
        (&made["type"], &made["status"], &made["name"]),
        (&json!("DIRECT"), &json!("OPEN"), &Value::Null)
    );
    let inside: Vec<&Value> = made["participants"].as_array().unwrap().iter().map(|p| &p["id"]).collect();
    assert_eq!(inside, [&json!(alice.id), &json!(bob.id)]);
    let events = app.events();
    let [(Audience::Users(told), Event::ConversationNew(new))] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(told.iter().map(ToString::to_string).collect::<Vec<_>>(), [alice.id.clone(), bob.id.clone()]);
    assert_eq!(new.id.to_string(), made["id"].as_str().unwrap());
    assert_eq!(bob.get(format!("/api/conversations/{}", new.id)).await.json()["conversation"], *made);
}

#[tokio::test]
async fn a_group_has_a_name_of_up_to_a_hundred_characters() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let group = |name: Value| json!({"participantIds": [bob.id], "type": "GROUP", "name": name});

    let hundred = "é".repeat(100);
    let made = alice.post("/api/conversations", group(json!(hundred))).await.expect(201).json();
    assert_eq!(made["conversation"]["name"], hundred);
    for name in [json!("é".repeat(101)), json!(5), json!(["x"]), json!("nul\u{0}")] {
        let refused = alice.post("/api/conversations", group(name.clone())).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{name}");
        assert_eq!(refused.fields_at_fault(), ["name"]);
    }
    let alone = json!({"participantIds": [alice.id], "type": "GROUP"});
    let made = alice.post("/api/conversations", alone).await.expect(201).json();
    assert_eq!(
        (&made["conversation"]["name"], made["conversation"]["participants"].as_array().unwrap().len()),
        (&Value::Null, 1)
    );
}

#[tokio::test]
async fn a_direct_conversation_is_between_exactly_two_who_exist() {
    let app = TestApp::new().await;
    let [alice, bob, carol] =
        [app.customer("alice").await, app.customer("bob").await, app.customer("carol").await];
    let two = "Direct conversations must have exactly 2 participants";
    let unknown = "One or more participants not found";
    for (participants, kind, text) in [
        (json!([alice.id]), "DIRECT", two),
        (json!([bob.id, carol.id]), "DIRECT", two),
        (json!([NOTHING]), "DIRECT", unknown),
        (json!(["not-an-id"]), "DIRECT", unknown),
        (json!([bob.id.to_uppercase()]), "DIRECT", unknown),
        (json!([bob.id, NOTHING]), "GROUP", unknown),
        (json!([""]), "GROUP", unknown),
        (json!(["' OR 1=1--"]), "GROUP", unknown),
    ] {
        let body = json!({"participantIds": participants, "type": kind});
        let refused = alice.post("/api/conversations", body.clone()).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{body}");
        assert_eq!(refused.error(), text, "{body}");
    }
    assert_eq!(app.events(), []);
    assert_eq!(app.rows("conversations").await, 0);
}

#[tokio::test]
async fn what_is_not_a_conversation_is_refused_field_by_field() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let many: Vec<String> = (0..10_00).map(|n| format!("id{n}")).collect();
    for (field, value) in [
        ("participantIds", json!([])),
        ("participantIds", json!(null)),
        ("participantIds", json!(bob.id)),
        ("participantIds", json!([1])),
        ("participantIds", json!([null])),
        ("participantIds", json!([[bob.id]])),
        ("participantIds", json!({"0": bob.id})),
        ("participantIds", json!(many)),
        ("type", json!("direct")),
        ("type", json!("SUPPORT")),
        ("type", json!(null)),
        ("type", json!(1)),
        ("status", json!("CLOSED")),
        ("id", json!(NOTHING)),
    ] {
        let mut body = json!({"participantIds": [bob.id], "type": "DIRECT"});
        body[field] = value.clone();
        let refused = alice.post("/api/conversations", body).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{field} {value:.80}");
        assert_eq!(refused.fields_at_fault(), [field]);
    }
    assert_eq!(
        alice.post("/api/conversations", json!({})).await.fields_at_fault(),
        ["participantIds", "type"]
    );
    assert_eq!(app.events(), []);
    assert_eq!(app.rows("conversations").await, 0);
}

#[tokio::test]
async fn a_pair_has_one_open_direct_conversation_also_under_a_race() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let from = |one: &Person, other: &Person| {
        let body = json!({"participantIds": [other.id], "type": "DIRECT"});
        let one = one.clone();
        async move { one.post("/api/conversations", body).await }
    };
    let asked = (0..20).map(|n| if n % 2 == 0 { from(&alice, &bob) } else { from(&bob, &alice) });

    let answers = futures_util::future::join_all(asked.collect::<Vec<_>>()).await;

    let made: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(made.len(), 1);
    let id = made[0].json()["conversation"]["id"].clone();
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(refused.refusal(), (409, "direct_exists".to_owned()));
        assert_keys(&refused.json(), &["error", "code", "requestId", "conversationId"]);
        assert_eq!(refused.json()["conversationId"], id);
    }
    assert_eq!(app.rows("conversations").await, 1);
    assert_eq!(app.event_names(), ["conversation:new"]);
}

#[tokio::test]
async fn the_list_has_the_newest_activity_first_with_its_last_message() {
    let app = TestApp::new().await;
    let [alice, bob, carol] =
        [app.customer("alice").await, app.customer("bob").await, app.customer("carol").await];
    let with_bob = alice.starts_conversation_with(&bob).await;
    app.passes(Duration::from_millis(1));
    let with_carol = alice.starts_conversation_with(&carol).await;
    app.passes(Duration::from_millis(1));
    assert_eq!(ids(&listed(&alice, "").await), [&*with_carol, &*with_bob]);
    let said = bob.says(&with_bob, "hello").await;

    let list = listed(&alice, "").await;

    list.iter().for_each(assert_listed);
    assert_eq!(ids(&list), [&*with_bob, &*with_carol]);
    let last = &list[0]["lastMessage"];
    assert_eq!((&last["id"], &last["content"]), (&said["id"], &json!("hello")));
    assert_eq!((&last["senderId"], &last["sender"]["username"]), (&json!(bob.id), &json!("bob")));
    assert_eq!((&list[0]["unreadCount"], &list[0]["lastSeq"]), (&json!(1), &json!(1)));
    assert_eq!((&list[1]["lastMessage"], &list[1]["lastSeq"]), (&Value::Null, &json!(0)));
    assert_eq!(listed(&bob, "").await[0]["unreadCount"], 0);
    assert_eq!(ids(&listed(&carol, "").await), [&*with_carol]);
}

#[tokio::test]
async fn the_list_is_paged_without_repeat_or_hole() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let mut made = Vec::new();
    for number in 0..7 {
        made.push(alice.starts_group_with(&[&alice]).await);
        // Two share each moment, so that the cursor has to tell them apart.
        app.passes(Duration::from_millis(number % 2));
    }

    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = alice.get(format!("/api/conversations?limit=2{cursor}")).await.expect(200).json();
        seen.extend(
            page["conversations"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }

    assert_eq!((pages, seen.len()), (4, 7));
    let (mut sorted, mut expected) = (seen, made);
    sorted.sort();
    expected.sort();
    assert_eq!(sorted, expected);
}

#[tokio::test]
async fn the_query_of_the_list_is_checked() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    for query in ["limit=1", "limit=200"] {
        assert_eq!(alice.get(format!("/api/conversations?{query}")).await.status, 200, "{query}");
    }
    for query in [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=1.5",
        "limit=ten",
        "limit=",
        "limit=99999999999999999999",
        "limit=1&limit=2",
        "cursor=junk",
        "cursor=",
        "cursor=-1_x",
    ] {
        let refused = alice.get(format!("/api/conversations?{query}")).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{query}");
    }
}

#[tokio::test]
async fn customers_and_agents_see_their_own_and_an_admin_sees_all() {
    let app = TestApp::new().await;
    let [alice, bob] = [app.customer("alice").await, app.customer("bob").await];
    let (greg, root) = (app.agent("greg").await, app.admin("root").await);
    let theirs = alice.starts_conversation_with(&bob).await;
    app.passes(Duration::from_millis(1));
    let roots = root.starts_conversation_with(&bob).await;
    alice.says(&theirs, "hello").await;
    app.events();

    for outsider in [&greg, &app.customer("carol").await] {
        for query in ["", "?scope=all", "?userId=x&all=true"] {
            let answer = outsider.get(format!("/api/conversations{query}")).await;
            assert!(answer.status == 400 || answer.json()["conversations"] == json!([]), "{query}");
        }
    }
    let mut all = listed(&root, "").await;
    all.sort_by_key(|one| one["id"].to_string());
    assert_eq!(all.len(), 2);
    let foreign = all.iter().find(|one| one["id"] == *theirs).unwrap();
    assert_eq!(foreign["unreadCount"], 0, "what an admin only looks at is not unread");
    assert_eq!(foreign["participants"].as_array().unwrap().len(), 2);
    assert_eq!(ids(&listed(&root, "?scope=own").await), [&*roots]);
    assert_eq!(app.events(), []);
}

#[tokio::test]
async fn a_foreign_conversation_and_none_at_all_get_the_same_answer() {
    let app = TestApp::new().await;
    let [alice, bob] = [app.customer("alice").await, app.customer("bob").await];
    let (greg, root) = (app.agent("greg").await, app.admin("root").await);
    let theirs = alice.starts_conversation_with(&bob).await;
    app.events();

    for outsider in [&app.customer("carol").await, &greg] {
        let mut bodies = Vec::new();
        for id in [&*theirs, NOTHING, "not-an-id", &theirs.to_uppercase(), "%2e%2e%2f"] {
            let refused = outsider.get(format!("/api/conversations/{id}")).await;
            assert_eq!(refused.refusal(), (404, "not_found".to_owned()), "{id}");
            assert_eq!(refused.error(), "Conversation not found");
            let mut body = refused.json();
            body["requestId"].take();
            bodies.push(body);
        }
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
    }
    let seen = root.get(format!("/api/conversations/{theirs}")).await.expect(200).json();
    assert_keys(&seen, &["conversation"]);
    assert_conversation(&seen["conversation"]);
    assert_eq!(seen["conversation"]["participants"].as_array().unwrap().len(), 2);
    assert_eq!(app.rows("audit_log").await, 1, "an admin who looks in is noted");
    assert_eq!(app.events(), []);
}

#[tokio::test]
async fn a_customer_cannot_close_a_conversation() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    app.events();

    let refused = alice.delete(format!("/api/conversations/{conversation}")).await;

    assert_eq!(refused.refusal(), (403, "forbidden".to_owned()));
    assert_eq!(refused.error(), "Insufficient permissions");
    assert_keys(&refused.json(), &["error", "code", "requestId", "required", "current"]);
    assert_eq!(
        (&refused.json()["required"], &refused.json()["current"]),
        (&json!(["ADMIN", "AGENT"]), &json!("CUSTOMER"))
    );
    let reopen = alice.post_nothing(format!("/api/conversations/{conversation}/reopen")).await;
    assert_eq!(reopen.refusal(), (403, "forbidden".to_owned()));
    assert_eq!(app.events(), []);
    let seen = bob.get(format!("/api/conversations/{conversation}")).await.json();
    assert_eq!(seen["conversation"]["status"], "OPEN");
}

#[tokio::test]
async fn closing_keeps_the_history_and_stops_sending() {
    let app = TestApp::new().await;
    let (alice, greg) = (app.customer("alice").await, app.agent("greg").await);
    let conversation = alice.starts_conversation_with(&greg).await;
    alice.says(&conversation, "hello").await;
    app.events();
    let path = format!("/api/conversations/{conversation}");

    let answer = greg.delete(&path).await.expect(200).json();

    assert_eq!(answer, json!({"message": "Conversation closed successfully"}));
    let events = app.events();
    let [(Audience::Users(told), Event::ConversationClosed(closed))] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((told.len(), closed.id.to_string()), (2, conversation.clone()));
    assert_eq!(alice.get(&path).await.json()["conversation"]["status"], "CLOSED");
    assert_eq!(alice.history(&conversation).await.len(), 1);
    let refused = alice.post("/api/messages", json!({"conversationId": conversation, "content": "x"})).await;
    assert_eq!(refused.refusal(), (409, "conversation_closed".to_owned()));
    greg.delete(&path).await.expect(200);
    assert_eq!(app.events(), [], "closing twice is closing once");

    let reopened = greg.post_nothing(format!("{path}/reopen")).await.expect(200).json();
    assert_keys(&reopened, &["conversation"]);
    assert_conversation(&reopened["conversation"]);
    assert_eq!(reopened["conversation"]["status"], "OPEN");
    assert_eq!(app.event_names(), ["conversation:updated"]);
    greg.post_nothing(format!("{path}/reopen")).await.expect(200);
    assert_eq!(app.event_names(), [""; 0]);
    alice.says(&conversation, "again").await;
}

#[tokio::test]
async fn who_may_close_is_decided_by_role_and_then_by_being_in_it() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let (outside, root) = (app.agent("outside").await, app.admin("root").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    app.events();
    for path in [format!("/api/conversations/{conversation}"), format!("/api/conversations/{NOTHING}")] {
        assert_eq!(outside.delete(&path).await.refusal(), (404, "not_found".to_owned()));
        assert_eq!(outside.post_nothing(format!("{path}/reopen")).await.refusal().0, 404);
        assert_eq!(app.anonymous("DELETE", &path).await.refusal(), (401, "unauthenticated".to_owned()));
    }
    assert_eq!(app.events(), []);

    root.delete(format!("/api/conversations/{conversation}")).await.expect(200);
    assert_eq!(app.event_names(), ["conversation:closed"]);
    root.post_nothing(format!("/api/conversations/{conversation}/reopen")).await.expect(200);
    assert_eq!(root.delete(format!("/api/conversations/{NOTHING}")).await.status, 404);
}

#[tokio::test]
async fn a_direct_one_cannot_be_reopened_beside_another_open_one() {
    let app = TestApp::new().await;
    let (alice, greg) = (app.customer("alice").await, app.agent("greg").await);
    let old = alice.starts_conversation_with(&greg).await;
    greg.delete(format!("/api/conversations/{old}")).await.expect(200);
    let new = alice.starts_conversation_with(&greg).await;
    app.events();

    let refused = greg.post_nothing(format!("/api/conversations/{old}/reopen")).await;

    assert_eq!(refused.refusal(), (409, "direct_exists".to_owned()));
    assert_eq!(refused.json()["conversationId"], *new);
    assert_eq!(app.events(), []);
    let seen = greg.get(format!("/api/conversations/{old}")).await.json();
    assert_eq!(seen["conversation"]["status"], "CLOSED");
}
