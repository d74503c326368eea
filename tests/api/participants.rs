//! Leaving, bringing in and taking out.

use priyo_core::events::Revocation;
use priyo_core::{Audience, Event};
use priyo_tests::{Person, TestApp, assert_keys};
use serde_json::{Value, json};

use crate::shapes::assert_conversation;

const NOTHING: &str = "0199a000-0000-7000-8000-000000000000";

fn names(conversation: &Value) -> Vec<&str> {
    conversation["participants"].as_array().unwrap().iter().map(|p| p["username"].as_str().unwrap()).collect()
}

/// Asserts that a person can do nothing with a conversation and learns nothing of it.
async fn assert_outside(person: &Person, conversation: &str) {
    let message = json!({"conversationId": conversation, "content": "x"});
    for refused in [
        person.get(format!("/api/conversations/{conversation}")).await,
        person.get(format!("/api/messages/{conversation}")).await,
        person.post("/api/messages", message).await,
        person.post_nothing(format!("/api/conversations/{conversation}/leave")).await,
        person
            .post(format!("/api/conversations/{conversation}/participants"), json!({"userIds": [person.id]}))
            .await,
        person.delete(format!("/api/conversations/{conversation}/participants/{}", person.id)).await,
    ] {
        assert_eq!(refused.refusal(), (404, "not_found".to_owned()), "{refused:?}");
    }
    let list = person.get("/api/conversations").await.json();
    assert!(!list.to_string().contains(conversation));
    assert_eq!(
        person.get("/api/messages/unread/count").await.json()["conversations"].get(conversation),
        None
    );
}

#[tokio::test]
async fn who_leaves_a_group_is_outside_at_once() {
    let app = TestApp::new().await;
    let [alice, bob, carol] =
        [app.customer("alice").await, app.customer("bob").await, app.customer("carol").await];
    let group = alice.starts_group_with(&[&bob, &carol]).await;
    alice.says(&group, "hello").await;
    app.events();

    let answer = bob.post_nothing(format!("/api/conversations/{group}/leave")).await.expect(200).json();

    assert_eq!(answer, json!({"message": "Left conversation successfully"}));
    assert!(matches!(app.recorder().take_revoked()[..], [Revocation::Membership { .. }]));
    let events = app.events();
    let [
        (Audience::Users(rest), Event::ConversationUpdated(_)),
        (Audience::Users(gone), Event::ConversationGone(_)),
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!((rest.len(), gone[0].to_string()), (2, bob.id.clone()));
    assert_outside(&bob, &group).await;
    let seen = alice.get(format!("/api/conversations/{group}")).await.json();
    assert_eq!(names(&seen["conversation"]), ["alice", "carol"]);
    assert_eq!(app.events(), [], "and the attempts were heard by nobody");
}

#[tokio::test]
async fn a_direct_conversation_cannot_be_left_or_changed() {
    let app = TestApp::new().await;
    let [alice, bob, carol] =
        [app.customer("alice").await, app.customer("bob").await, app.customer("carol").await];
    let direct = alice.starts_conversation_with(&bob).await;
    app.events();
    let path = format!("/api/conversations/{direct}");
    for refused in [
        alice.post_nothing(format!("{path}/leave")).await,
        alice.post(format!("{path}/participants"), json!({"userIds": [carol.id]})).await,
        alice.delete(format!("{path}/participants/{}", bob.id)).await,
    ] {
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{refused:?}");
    }
    assert_outside(&carol, &direct).await;
    assert_eq!(app.events(), []);
    let seen = bob.get(&path).await.json();
    assert_eq!(names(&seen["conversation"]), ["alice", "bob"]);
}

#[tokio::test]
async fn the_creator_an_agent_inside_and_an_admin_may_change_who_is_in_a_group() {
    let app = TestApp::new().await;
    let [alice, bob, carol] =
        [app.customer("alice").await, app.customer("bob").await, app.customer("carol").await];
    let (greg, outside, root) =
        (app.agent("greg").await, app.agent("outside").await, app.admin("root").await);
    let group = alice.starts_group_with(&[&bob, &greg]).await;
    app.events();
    let path = format!("/api/conversations/{group}/participants");
    let bring = json!({"userIds": [carol.id]});

    let refused = bob.post(&path, bring.clone()).await;
    assert_eq!(refused.refusal(), (403, "forbidden".to_owned()));
    assert_eq!(bob.delete(format!("{path}/{}", greg.id)).await.refusal(), (403, "forbidden".to_owned()));
    assert_eq!(outside.post(&path, bring.clone()).await.refusal(), (404, "not_found".to_owned()));
    assert_eq!(app.events(), []);

    for may in [&alice, &greg, &root] {
        let answer = may.post(&path, bring.clone()).await.expect(200).json();
        assert_keys(&answer, &["conversation"]);
        assert_conversation(&answer["conversation"]);
        assert_eq!(names(&answer["conversation"]), ["alice", "bob", "greg", "carol"]);
        let events = app.events();
        let [
            (Audience::Users(old), Event::ConversationUpdated(_)),
            (Audience::Users(new), Event::ConversationNew(_)),
        ] = events.as_slice()
        else {
            panic!("{events:?}")
        };
        assert_eq!((old.len(), new[0].to_string()), (3, carol.id.clone()));
        let answer = may.delete(format!("{path}/{}", carol.id)).await.expect(200).json();
        assert_keys(&answer, &["conversation"]);
        assert_eq!(names(&answer["conversation"]), ["alice", "bob", "greg"]);
        assert_eq!(app.event_names(), ["conversation:updated", "conversation:updated"]);
        assert_outside(&carol, &group).await;
    }
}

#[tokio::test]
async fn bringing_in_who_is_in_already_changes_nothing() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let group = alice.starts_group_with(&[&bob]).await;
    app.events();
    let path = format!("/api/conversations/{group}/participants");

    let answer = alice.post(&path, json!({"userIds": [bob.id, bob.id, alice.id]})).await.expect(200).json();

    assert_eq!(names(&answer["conversation"]), ["alice", "bob"]);
    assert_eq!(app.events(), []);
}

#[tokio::test]
async fn whoever_is_not_there_can_neither_be_brought_in_nor_taken_out() {
    let app = TestApp::new().await;
    let [alice, bob, carol] =
        [app.customer("alice").await, app.customer("bob").await, app.customer("carol").await];
    let group = alice.starts_group_with(&[&bob]).await;
    app.events();
    let path = format!("/api/conversations/{group}/participants");
    for ids in [json!([NOTHING]), json!([carol.id, NOTHING]), json!(["x"])] {
        let refused = alice.post(&path, json!({ "userIds": ids })).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{ids}");
        assert_eq!(refused.error(), "One or more participants not found");
    }
    for body in
        [json!({}), json!({"userIds": []}), json!({"userIds": "x"}), json!({"userIds": [1]}), json!([])]
    {
        let refused = alice.post(&path, body.clone()).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{body}");
    }
    for id in [&*carol.id, NOTHING, "x"] {
        let refused = alice.delete(format!("{path}/{id}")).await;
        assert_eq!(refused.refusal(), (404, "not_found".to_owned()), "{id}");
    }
    for id in [NOTHING, "x"] {
        let nowhere = format!("/api/conversations/{id}/participants");
        let refused = alice.post(&nowhere, json!({"userIds": [carol.id]})).await;
        assert_eq!(refused.refusal(), (404, "not_found".to_owned()));
    }
    let seen = alice.get(format!("/api/conversations/{group}")).await.json();
    assert_eq!(names(&seen["conversation"]), ["alice", "bob"]);
    assert_eq!(app.events(), []);
}

#[tokio::test]
async fn who_comes_back_reads_everything_and_has_missed_nothing_unread() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let group = alice.starts_group_with(&[&bob]).await;
    let path = format!("/api/conversations/{group}/participants");
    alice.says(&group, "one, unread").await;
    bob.post_nothing(format!("/api/conversations/{group}/leave")).await.expect(200);
    alice.says(&group, "two, in absence").await;
    alice.post(&path, json!({"userIds": [bob.id]})).await.expect(200);
    alice.says(&group, "three").await;

    assert_eq!(bob.history(&group).await.len(), 3);
    let unread = bob.get("/api/messages/unread/count").await.json();
    assert_eq!(unread, json!({"unreadCount": 2, "conversations": {group.clone(): 2}}));
    assert_eq!(bob.get("/api/conversations").await.json()["conversations"][0]["unreadCount"], 2);

    let carol = app.customer("carol").await;
    alice.post(&path, json!({"userIds": [carol.id]})).await.expect(200);
    assert_eq!(carol.history(&group).await.len(), 3, "a member reads the whole history");
    assert_eq!(carol.get("/api/messages/unread/count").await.json()["unreadCount"], 0);
}

#[tokio::test]
async fn a_creator_who_has_left_may_arrange_no_more() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let group = alice.starts_group_with(&[&bob]).await;
    alice.post_nothing(format!("/api/conversations/{group}/leave")).await.expect(200);
    assert_outside(&alice, &group).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_that_one_hears_of_a_membership_is_how_it_is() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.agent("alice").await, app.customer("bob").await);
    let conversation = alice.starts_group_with(&[&bob]).await;
    let participants = format!("/api/conversations/{conversation}/participants");
    let bobs = format!("{participants}/{}", bob.id);
    for round in 0..30 {
        let changes = (0..6).map(|turn| {
            let (alice, participants, bobs, body) =
                (alice.clone(), participants.clone(), bobs.clone(), json!({"userIds": [bob.id]}));
            tokio::spawn(async move {
                if turn % 2 == 0 {
                    alice.delete(bobs).await;
                } else {
                    alice.post(participants, body).await;
                }
            })
        });
        for change in changes.collect::<Vec<_>>() {
            change.await.unwrap();
        }
        let heard = app.events().into_iter().filter_map(|(audience, event)| match (audience, event) {
            (Audience::Users(users), Event::ConversationNew(_)) if users[0].to_string() == bob.id => {
                Some(true)
            }
            (_, Event::ConversationGone(_)) => Some(false),
            _ => None,
        });
        let is_in = bob.get(format!("/api/conversations/{conversation}")).await.status == 200;
        if let Some(last) = heard.last() {
            assert_eq!(last, is_in, "in round {round}");
        }
    }
}
