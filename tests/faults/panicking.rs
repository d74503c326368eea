//! A transport of the host's own that panics.

use std::sync::Arc;

use async_trait::async_trait;
use priyo_core::events::Revocation;
use priyo_core::model::{ConversationKind, HostUser, NewConversation, NewMessage, UserId};
use priyo_core::storage::sqlite::SqliteStorage;
use priyo_core::{Accounts, Audience, Caller, ChatEngine, Event, Transport};
use priyo_tests::{ACCESS_SECRET, REFRESH_SECRET, Recorder};
use tempfile::TempDir;

#[derive(Debug)]
struct Panics;

#[async_trait]
impl Transport for Panics {
    fn deliver(&self, _: &Audience, _: &Event) -> Vec<UserId> {
        panic!("this transport always does")
    }

    fn revoke(&self, _: &Revocation) {}

    async fn close(&self) {}
}

#[tokio::test]
async fn a_transport_that_panics_keeps_no_message_from_anybody_else() {
    let dir = TempDir::new().unwrap();
    let storage = SqliteStorage::open(dir.path().join("priyo.db")).unwrap();
    let recorder = Arc::new(Recorder::default());
    let engine = ChatEngine::builder(storage, Accounts::new(ACCESS_SECRET, REFRESH_SECRET))
        .transport(Arc::new(Panics))
        .transport(recorder.clone())
        .build()
        .await
        .unwrap();
    let alice = engine.users().upsert(HostUser::new("1", "alice")).await.unwrap();
    let caller = Caller::new(&alice);
    let new = NewConversation { participant_ids: vec![alice.id], kind: ConversationKind::Group, name: None };
    let conversation = engine.create_conversation(&caller, new).await.unwrap();

    for seq in 1..=3 {
        let sent = engine.send_message(&caller, NewMessage::text(conversation.id, "hi")).await.unwrap();
        assert_eq!(sent.message.seq, seq);
    }
    let names: Vec<&str> = recorder.take().iter().map(|(_, event)| event.name()).collect();
    assert_eq!(names, ["conversation:new", "message:new", "message:new", "message:new"]);
}
