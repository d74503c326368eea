//! `sync`: what was missed of many conversations at once.

use std::collections::BTreeMap;

use priyo_core::ChatEngine;
use priyo_core::model::{ConversationId, Known, MessageRange, NewMessage};
use priyo_tests::{
    CountedStorage, Person, Socket, TestApp, TestServer, accounts, assert_keys, sqlite, uncounted,
};
use serde_json::{Value, json};

use crate::pair;

const NOTHING: &str = "0199a000-0000-7000-8000-000000000000";

fn seqs(messages: &Value) -> Vec<u64> {
    messages.as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap()).collect()
}

fn ids(conversations: &Value) -> Vec<String> {
    conversations.as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()).collect()
}

/// The payload of `sync` that names these conversations.
fn known<'a>(named: impl IntoIterator<Item = (&'a String, u64)>) -> Value {
    let named: BTreeMap<&String, u64> = named.into_iter().collect();
    json!({ "conversations": named })
}

/// Groups of two, in the order of their ids.
async fn groups(of: &Person, with: &Person, count: usize) -> Vec<String> {
    let mut groups = Vec::new();
    for _ in 0..count {
        groups.push(of.starts_group_with(&[with]).await);
    }
    groups.sort();
    groups
}

#[tokio::test]
async fn what_was_missed_comes_as_history_has_it_and_nothing_is_joined() {
    let (server, alice, bob, conversation) = pair().await;
    let quiet = alice.starts_group_with(&[&bob]).await;
    for number in 1..=5 {
        alice.says(&conversation, &number.to_string()).await;
    }
    let mut socket = server.socket(&bob).await;

    let answer = socket.must("sync", known([(&conversation, 2), (&quiet, 0)])).await;

    assert_keys(&answer, &["ok", "conversations", "new", "hasMoreNew", "gone"]);
    let missed = &answer["conversations"][&conversation];
    assert_keys(missed, &["messages", "lastSeq", "hasMore"]);
    let history = bob.history(&conversation).await;
    assert_eq!(*missed, json!({"messages": history[2..], "lastSeq": 5, "hasMore": false}));
    assert_eq!(answer["conversations"][&quiet], json!({"messages": [], "lastSeq": 0, "hasMore": false}));
    assert_eq!(
        (&answer["new"], &answer["hasMoreNew"], &answer["gone"]),
        (&json!([]), &json!(false), &json!([]))
    );
    for after in [5, 1_000] {
        let answer = socket.must("sync", known([(&conversation, after), (&quiet, after)])).await;
        let missed = &answer["conversations"][&conversation];
        assert_eq!(*missed, json!({"messages": [], "lastSeq": 5, "hasMore": false}), "{after}");
    }
    alice.says(&conversation, "live").await;
    assert_eq!(socket.heard_of("message:new").await, Vec::<Value>::new());
    socket.must("conversation:join", conversation.clone()).await;
    socket.must("sync", known([(&conversation, 0)])).await;
    alice.says(&conversation, "still live").await;
    assert_eq!(socket.next("message:new").await["seq"], 7, "nor is anything left");
}

#[tokio::test]
async fn what_was_not_named_is_new_and_looks_as_it_does_in_the_list() {
    let (server, alice, bob, conversation) = pair().await;
    let others = groups(&alice, &bob, 3).await;
    alice.says(&others[1], "hello").await;
    let mut socket = server.socket(&bob).await;

    let answer = socket.must("sync", known([(&conversation, 0)])).await;

    let listed = bob.get("/api/conversations").await.expect(200).json()["conversations"].take();
    let mut listed: Vec<Value> = listed.as_array().unwrap().clone();
    listed.retain(|one| one["id"] != conversation);
    listed.sort_by_key(|one| one["id"].as_str().unwrap().to_owned());
    assert_eq!(answer["new"], json!(listed));
    assert_eq!((&answer["new"][1]["lastSeq"], &answer["new"][1]["unreadCount"]), (&json!(1), &json!(1)));
    let everything = socket.must("sync", json!({"conversations": {}})).await;
    assert_eq!((everything["new"].as_array().unwrap().len(), &everything["conversations"]), (4, &json!({})));
}

#[tokio::test]
async fn what_one_may_not_see_is_gone_whatever_the_reason() {
    let (server, alice, bob, conversation) = pair().await;
    let (left, foreign) = (alice.starts_group_with(&[&bob]).await, alice.starts_group_with(&[]).await);
    let removed = alice.starts_group_with(&[&bob]).await;
    for group in [&left, &foreign, &removed] {
        alice.says(group, "a secret").await;
    }
    bob.post_nothing(format!("/api/conversations/{left}/leave")).await.expect(200);
    alice.delete(format!("/api/conversations/{removed}/participants/{}", bob.id)).await.expect(200);
    let mut socket = server.socket(&bob).await;
    let odd = [NOTHING.to_owned(), "x".to_owned(), String::new(), conversation.to_uppercase()];
    let named = [&left, &foreign, &removed, &conversation].into_iter().chain(&odd);

    let answer = socket.must("sync", known(named.map(|id| (id, 0)))).await;

    let mut gone: Vec<&str> =
        answer["gone"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    gone.sort_unstable();
    let mut expected: Vec<&str> =
        [&left, &foreign, &removed].into_iter().chain(&odd).map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(gone, expected);
    assert_keys(&answer["conversations"], &[&conversation]);
    assert_eq!(answer["new"], json!([]));
    assert!(!answer.to_string().contains("a secret"));
}

#[tokio::test]
async fn an_answer_has_two_hundred_messages_and_the_shortest_backlogs_come_first() {
    let (server, alice, bob, long) = pair().await;
    let (short, longer) = (alice.starts_group_with(&[&bob]).await, alice.starts_group_with(&[&bob]).await);
    for (conversation, count) in [(&long, 230), (&short, 3), (&longer, 231)] {
        for number in 1..=count {
            alice.says(conversation, &number.to_string()).await;
        }
    }
    let mut socket = server.socket(&bob).await;
    let mut have = BTreeMap::from([(long.clone(), 0), (short.clone(), 0), (longer.clone(), 0)]);
    let mut answers = Vec::new();
    loop {
        let answer = socket.must("sync", known(have.iter().map(|(id, seq)| (id, *seq)))).await;
        let counts = [&short, &long, &longer].map(|id| {
            let missed = &answer["conversations"][id];
            (seqs(&missed["messages"]).len(), missed["hasMore"].as_bool().unwrap())
        });
        for (id, seq) in &mut have {
            *seq = seqs(&answer["conversations"][id]["messages"]).last().copied().unwrap_or(*seq);
        }
        answers.push(counts);
        if counts.iter().all(|(_, has_more)| !has_more) {
            break;
        }
    }
    let expected = [
        [(3, false), (197, true), (0, true)],
        [(0, false), (33, false), (167, true)],
        [(0, false), (0, false), (64, false)],
    ];
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn an_answer_stays_bounded_in_bytes_with_what_is_new() {
    let (server, alice, bob, conversation) = pair().await;
    let others = groups(&alice, &bob, 30).await;
    let text = "\u{1d11e}".repeat(4_900);
    for _ in 0..15 {
        alice.says(&conversation, &text).await;
    }
    for other in &others {
        alice.says(other, &text).await;
    }
    let mut socket = server.socket(&bob).await;
    let (mut have, mut new, mut answers) = (0, Vec::new(), 0);
    loop {
        let mut payload = known([(&conversation, have)]);
        payload["newAfter"] = json!(new.last());
        let answer = socket.must("sync", payload).await;
        assert!(answer.to_string().len() <= 256 * 1024, "{}", answer.to_string().len());
        let missed = &answer["conversations"][&conversation];
        assert_eq!(
            seqs(&missed["messages"]),
            (have + 1..=have + seqs(&missed["messages"]).len() as u64).collect::<Vec<_>>()
        );
        have = seqs(&missed["messages"]).last().copied().unwrap_or(have);
        new.extend(ids(&answer["new"]));
        answers += 1;
        if missed["hasMore"] == false && answer["hasMoreNew"] == false {
            break;
        }
    }
    assert_eq!((have, new), (15, others));
    assert!((4..=6).contains(&answers), "{answers}");
}

/// Asks until nothing more is new; gives each part.
async fn parts(socket: &mut Socket, next: impl Fn(&[String]) -> Value) -> Vec<Vec<String>> {
    let mut parts: Vec<Vec<String>> = Vec::new();
    loop {
        let answer = socket.must("sync", next(&parts.concat())).await;
        parts.push(ids(&answer["new"]));
        if answer["hasMoreNew"] == false {
            return parts;
        }
    }
}

#[tokio::test]
async fn many_new_conversations_come_in_parts_by_naming_them_or_by_where_the_last_part_ended() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.customer("alice").await, server.customer("bob").await);
    let all = groups(&alice, &bob, 230).await;
    let mut socket = server.socket(&bob).await;

    let by_naming = parts(&mut socket, |have| known(have.iter().map(|id| (id, 0)))).await;
    let by_place = parts(&mut socket, |have| json!({"conversations": {}, "newAfter": have.last()})).await;

    for parts in [by_naming, by_place] {
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 30]);
        assert_eq!(parts.concat(), all);
    }
}

#[tokio::test]
async fn at_most_five_hundred_conversations_are_named_at_once() {
    let (server, _, bob, conversation) = pair().await;
    let mut socket = server.socket(&bob).await;
    let mut named: BTreeMap<String, u64> =
        (0..499).map(|n| (format!("{}{n:03}", &NOTHING[..33]), 0)).collect();
    named.insert(conversation.clone(), 1 << 53);
    let answer = socket.must("sync", json!({ "conversations": named })).await;
    assert_eq!(answer["gone"].as_array().unwrap().len(), 499);
    named.insert("one more".to_owned(), 0);
    assert_eq!(socket.refused("sync", json!({ "conversations": named })).await, "validation_failed");
}

#[tokio::test]
async fn what_a_sync_brings_is_delivered_once_and_only_what_it_brings() {
    let (server, alice, bob, first) = pair().await;
    let carol = server.customer("carol").await;
    let second = alice.starts_group_with(&[&bob, &carol]).await;
    let mut at_alice = server.socket(&alice).await;
    for number in 1..=21 {
        alice.says(&first, &number.to_string()).await;
    }
    alice.says(&second, "one").await;
    carol.says(&second, "not Alice's").await;
    bob.says(&second, "Bob's own").await;
    carol.post_nothing(format!("/api/conversations/{second}/leave")).await.expect(200);
    let mut at_carol = server.socket(&carol).await;
    let mut at_bob = server.socket(&bob).await;
    assert_eq!(at_alice.heard_of("message:delivered").await, Vec::<Value>::new());

    at_bob.must("sync", known([(&first, 20), (&second, 0)])).await;

    let delivered = at_alice.heard_of("message:delivered").await;
    let mut told: Vec<(&str, u64)> = Vec::new();
    for event in &delivered {
        assert_eq!(event["deliveredTo"], json!([bob.id]));
        told.push((event["conversationId"].as_str().unwrap(), event["seq"].as_u64().unwrap()));
    }
    told.sort_unstable();
    let mut expected = [(first.as_str(), 21), (second.as_str(), 1)];
    expected.sort_unstable();
    assert_eq!(told, expected);
    at_bob.must("sync", known([(&second, 0)])).await;
    assert_eq!(at_alice.heard_of("message:delivered").await, Vec::<Value>::new(), "and once");
    assert_eq!(at_carol.heard_of("message:delivered").await, Vec::<Value>::new(), "who has left is not told");
    at_bob.must("sync", known([(&first, 0)])).await;
    let later = at_alice.heard_of("message:delivered").await;
    assert_eq!(
        (later.len(), later[0]["messageIds"].as_array().unwrap().len()),
        (1, 21),
        "what is many is one event"
    );
}

#[tokio::test]
async fn an_admin_may_name_any_which_is_noted_and_delivers_nothing() {
    let app = TestApp::new().await;
    let (alice, bob, root) =
        (app.customer("alice").await, app.customer("bob").await, app.admin("root").await);
    let (first, second) =
        (alice.starts_conversation_with(&bob).await, alice.starts_group_with(&[&bob]).await);
    let own = root.starts_group_with(&[&alice]).await;
    for conversation in [&first, &second, &own] {
        alice.says(conversation, "hello").await;
    }
    app.events();
    let noted = app.rows("audit_log").await;
    let caller = app.engine.authenticate(&root.token).await.unwrap();
    let id = |text: &str| ConversationId::from_client(text);
    let known = Known {
        conversations: [(id(&first), 0), (id(&second), 1), (ConversationId::new(), 0)].into(),
        new_after: None,
    };

    let synced = app.engine.sync(&caller, &known).await.unwrap();

    assert_eq!(synced.conversations[&id(&first)].messages.len(), 1);
    assert_eq!((synced.conversations.len(), synced.gone.len()), (2, 1));
    let new: Vec<_> = synced.new.items.iter().map(|one| one.conversation.id).collect();
    assert_eq!(new, [id(&own)], "what is new is one's own");
    assert_eq!(app.rows("audit_log").await, noted + 2);
    assert_eq!(app.event_names(), Vec::<&str>::new());
    let mut too_many = known;
    too_many.conversations.extend((0..500).map(|_| (ConversationId::new(), 0)));
    assert!(app.engine.sync(&caller, &too_many).await.is_err());
}

#[tokio::test]
async fn a_sync_of_many_conversations_asks_the_storage_no_more_often_than_one_of_few() {
    let (storage, _folder) = sqlite().await;
    let storage = CountedStorage::new(storage);
    let app = ChatEngine::builder(storage.storage(), accounts()).limits(uncounted()).build().await.unwrap();
    let people = people(&app).await;
    let mut calls = Vec::new();
    for count in [2, 150] {
        let mut known = Known::default();
        for _ in 0..count {
            let new = priyo_core::model::NewConversation {
                participant_ids: vec![people[1].user_id],
                kind: priyo_core::model::ConversationKind::Group,
                name: None,
            };
            let id = app.create_conversation(&people[0], new).await.unwrap().id;
            app.send_message(&people[0], NewMessage::text(id, "hello")).await.unwrap();
            known.conversations.insert(id, 0);
        }
        for caller in [&people[1], &people[2]] {
            storage.take();
            let synced = app.sync(caller, &known).await.unwrap();
            assert!(synced.conversations.values().all(|missed| missed.messages.len() == 1));
            calls.push(storage.take());
        }
    }
    println!("calls of the storage: {calls:?}");
    assert_eq!(calls[..2], calls[2..], "of a participant, and of an administrator from outside");
    assert!(calls.iter().all(|calls| *calls <= 5));
}

#[tokio::test]
async fn what_one_who_comes_back_has_missed_is_one_call_of_the_storage() {
    let (storage, _folder) = sqlite().await;
    let storage = CountedStorage::new(storage);
    let app = ChatEngine::builder(storage.storage(), accounts()).build().await.unwrap();
    let people = people(&app).await;
    let new = priyo_core::model::NewConversation {
        participant_ids: vec![people[1].user_id],
        kind: priyo_core::model::ConversationKind::Group,
        name: None,
    };
    let id = app.create_conversation(&people[0], new).await.unwrap().id;
    for text in ["one", "two", "three"] {
        app.send_message(&people[0], NewMessage::text(id, text)).await.unwrap();
    }

    // An administrator is noted in the audit log besides.
    for (caller, calls) in [(&people[1], 1), (&people[2], 2)] {
        for after in [Some(0), None] {
            storage.take();
            let joining = app.join(caller, id, after).await.unwrap();
            assert_eq!(joining.backlog().messages.len(), if after.is_some() { 3 } else { 0 });
            joining.finish(|entry| entry.is_ok()).await;
            assert_eq!(storage.take(), calls, "joining after {after:?}");
        }
        let page = app.messages(caller, id, MessageRange::Page(1), None).await.unwrap();
        assert_eq!((page.items.len(), storage.take()), (3, calls), "reading history");
    }
}

/// Two customers and an administrator.
async fn people(app: &ChatEngine) -> Vec<priyo_core::Caller> {
    use priyo_core::model::{Registration, Role};
    let mut people = Vec::new();
    for (name, role) in [("alice", Role::Customer), ("bob", Role::Customer), ("root", Role::Admin)] {
        let body = json!({"email": format!("{name}@example.com"), "username": name, "password": "correct horse", "role": role});
        let user = app.create_account(Registration::parse(body).unwrap()).await.unwrap();
        people.push(priyo_core::Caller::new(&user));
    }
    people
}
