//! Visitors do not wait for somebody who does not answer any more.

use priyo_core::model::{ConversationId, MessageId, MessageKind, UserId};
use priyo_core::storage::NewMessageRow;
use priyo_tests::{Person, TestServer};
use serde_json::{Value, json};

use crate::inbox::{conversation, until, visitor};

/// A visitor who has written, and the conversation, which somebody has claimed.
async fn claimed(server: &TestServer, by: &Person) -> (Person, String) {
    let visitor = visitor(server).await;
    let own = conversation(&visitor).await;
    visitor.says(&own, "help").await;
    by.post_nothing(format!("/api/inbox/{own}/claim")).await.expect(200);
    (visitor, own)
}

async fn ids(of: &Person, state: &str) -> Vec<Value> {
    let inbox = of.get(format!("/api/inbox?state={state}")).await.expect(200).json();
    inbox["conversations"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect()
}

async fn waits_for_others_after(change: Value, former_may_look: Option<u16>) {
    let server = TestServer::start().await;
    let (former, other) = (server.agent("former").await, server.agent("other").await);
    let admin = server.admin("admin").await;
    let ((_, open), (vera, closed)) = (claimed(&server, &former).await, claimed(&server, &former).await);
    former.delete(format!("/api/conversations/{closed}")).await.expect(200);
    let mut at_other = server.socket(&other).await;
    assert!(ids(&other, "unassigned").await.is_empty());

    admin.patch(format!("/api/users/{}", former.id), change.clone()).await.expect(200);
    until(&mut at_other, |item| item["id"] == *open && item["assignee"].is_null()).await;
    assert_eq!(ids(&other, "unassigned").await, [json!(open)]);
    vera.says(&closed, "one more thing").await;
    assert_eq!(ids(&other, "unassigned").await, [json!(closed), json!(open)]);
    if let Some(status) = former_may_look {
        for id in [&open, &closed] {
            assert_eq!(former.get(format!("/api/messages/{id}")).await.status, status, "{change}");
        }
    }
    other.post_nothing(format!("/api/inbox/{open}/claim")).await.expect(200);
    // Asking for the same again is fine.
    admin.patch(format!("/api/users/{}", former.id), change).await.expect(200);
}

#[tokio::test]
async fn what_an_agent_had_taken_on_waits_for_others_when_they_become_a_customer() {
    waits_for_others_after(json!({"role": "CUSTOMER"}), Some(404)).await;
}

#[tokio::test]
async fn what_an_agent_had_taken_on_waits_for_others_when_they_are_disabled() {
    waits_for_others_after(json!({"disabled": true}), None).await;
}

#[tokio::test]
async fn an_agent_closes_and_opens_only_what_they_are_in() {
    let server = TestServer::start().await;
    let (agent, other) = (server.agent("agent").await, server.agent("other").await);
    let (_, own) = claimed(&server, &agent).await;
    let (close, reopen) = (format!("/api/conversations/{own}"), format!("/api/conversations/{own}/reopen"));
    let forbidden = (403, "forbidden".to_owned());
    assert_eq!(other.delete(&close).await.refusal(), forbidden);
    agent.delete(&close).await.expect(200);
    assert_eq!(other.post_nothing(&reopen).await.refusal(), forbidden);
    agent.post_nothing(&reopen).await.expect(200);
    server.admin("admin").await.delete(&close).await.expect(200);
}

/// A commit whose answer was lost is found by sending again: then those who answer are told, too.
#[tokio::test]
async fn what_was_stored_without_a_word_is_told_when_it_is_sent_again() {
    let server = TestServer::start().await;
    let (agent, vera) = (server.agent("agent").await, visitor(&server).await);
    let own = conversation(&vera).await;
    let mut at_agent = server.socket(&agent).await;
    let row = NewMessageRow {
        id: MessageId::new(),
        conversation_id: ConversationId::from_uuid(own.parse().unwrap()),
        sender: UserId::from_uuid(vera.id.parse().unwrap()),
        client_message_id: Some("first".into()),
        content: "help".into(),
        kind: MessageKind::Text,
        attachment: None,
        at: priyo_core::model::Clock::system().now(),
    };
    server.database().beside_server().await.append_messages(vec![row]).await.unwrap();

    let again = json!({"conversationId": own, "content": "help", "clientMessageId": "first"});
    assert_eq!(vera.post("/api/messages", again).await.expect(200).json()["duplicate"], true);
    until(&mut at_agent, |item| item["lastMessage"]["content"] == "help").await;
}
