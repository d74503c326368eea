//! A transport of a host's own, whose connections listen by the engine's interface alone.

use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use priyo_core::engine::{Entry, WeakEngine};
use priyo_core::events::Revocation;
use priyo_core::model::{ConversationId, ConversationKind, HostUser, NewConversation, NewMessage, UserId};
use priyo_core::storage::sqlite::SqliteStorage;
use priyo_core::{Accounts, Audience, Caller, ChatEngine, EngineBuilder, Error, Event, Transport};
use priyo_tests::{ACCESS_SECRET, PATIENCE, REFRESH_SECRET, uncounted};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Channels, each of somebody who listens to the one conversation of the test.
#[derive(Debug, Default)]
struct Channels(Mutex<Vec<Channel>>);

#[derive(Debug)]
struct Channel {
    user: UserId,
    entry: Entry,
    events: UnboundedSender<String>,
}

#[async_trait]
impl Transport for Channels {
    fn deliver(&self, audience: &Audience, event: &Event) -> Vec<UserId> {
        let Audience::Conversation { .. } = audience else { return Vec::new() };
        let channels = self.0.lock().unwrap();
        let listening = channels.iter().filter(|channel| match event {
            Event::MessageNew(message) => message.seq > channel.entry.seq,
            _ => true,
        });
        let hand = |channel: &Channel| channel.events.send(words(event)).is_ok().then_some(channel.user);
        listening.filter_map(hand).collect()
    }

    fn revoke(&self, revocation: &Revocation) {
        let Revocation::Membership { user_id, .. } = revocation else { return };
        self.0.lock().unwrap().retain(|channel| channel.user != *user_id);
    }

    async fn close(&self) {
        self.0.lock().unwrap().clear();
    }
}

fn words(event: &Event) -> String {
    match event {
        Event::MessageNew(message) => message.content.clone(),
        other => other.name().to_owned(),
    }
}

struct Host {
    engine: ChatEngine,
    channels: Arc<Channels>,
    alice: Caller,
    bob: Caller,
    conversation: ConversationId,
    _dir: TempDir,
}

impl Host {
    async fn start() -> Self {
        Self::start_with(None).await
    }

    async fn start_with(other: Option<Arc<dyn Transport>>) -> Self {
        let dir = TempDir::new().unwrap();
        let storage = SqliteStorage::open(dir.path().join("priyo.db")).unwrap();
        let channels = Arc::new(Channels::default());
        let engine = ChatEngine::builder(storage, Accounts::new(ACCESS_SECRET, REFRESH_SECRET))
            .limits(uncounted())
            .transport(channels.clone());
        let engine = other.into_iter().fold(engine, EngineBuilder::transport).build().await.unwrap();
        let alice = Caller::new(&engine.users().upsert(HostUser::new("1", "alice")).await.unwrap());
        let bob = Caller::new(&engine.users().upsert(HostUser::new("2", "bob")).await.unwrap());
        let (participant_ids, kind) = (vec![bob.user_id], ConversationKind::Group);
        let new = NewConversation { participant_ids, kind, name: None };
        let conversation = engine.create_conversation(&alice, new).await.unwrap().id;
        Self { engine, channels, alice, bob, conversation, _dir: dir }
    }

    async fn alice_says(&self, text: &str) {
        self.engine.send_message(&self.alice, NewMessage::text(self.conversation, text)).await.unwrap();
    }

    /// Lets a channel of Bob's listen; `meanwhile` happens after its backlog was read.
    async fn bob_listens(
        &self,
        after: u64,
        meanwhile: impl AsyncFnOnce(),
    ) -> Result<UnboundedReceiver<String>, Error> {
        let (events, heard) = unbounded_channel();
        let (say, said) = std::sync::mpsc::channel();
        let joining = self.engine.join(&self.bob, self.conversation, Some(after)).await?;
        let backlog: Vec<String> =
            joining.backlog().messages.iter().map(|item| item.message.content.clone()).collect();
        meanwhile().await;
        let (channels, user) = (self.channels.clone(), self.bob.user_id);
        joining
            .finish(move |entry| {
                let entered = entry.map(|entry| {
                    let entry = entry.expect("there is no more of the backlog");
                    for text in backlog.into_iter().chain(entry.missed.iter().map(words)) {
                        events.send(text).unwrap();
                    }
                    channels.0.lock().unwrap().push(Channel { user, entry, events });
                });
                let is_in = entered.is_ok();
                say.send(entered).unwrap();
                is_in
            })
            .await;
        said.recv().unwrap().map(|()| heard)
    }
}

fn all(heard: &mut UnboundedReceiver<String>) -> Vec<String> {
    std::iter::from_fn(|| heard.try_recv().ok()).collect()
}

#[tokio::test]
async fn its_connections_hear_the_backlog_then_what_came_meanwhile_then_what_is_live() {
    let host = Host::start().await;
    for text in ["1", "2"] {
        host.alice_says(text).await;
    }

    let mut heard = host
        .bob_listens(1, async || {
            host.alice_says("3").await;
            host.engine.start_typing(&host.alice, host.conversation).await.unwrap();
        })
        .await
        .unwrap();
    host.alice_says("4").await;

    assert_eq!(all(&mut heard), ["2", "3", "typing:start", "4"]);
}

#[tokio::test]
async fn who_is_taken_out_while_they_are_told_what_they_missed_does_not_listen() {
    let host = Host::start().await;
    host.alice_says("1").await;

    let refused = host
        .bob_listens(0, async || {
            host.engine.leave_conversation(&host.bob, host.conversation).await.unwrap();
        })
        .await;

    assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
    assert!(host.channels.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_closed_engine_lets_nobody_listen() {
    let host = Host::start().await;
    let refused = host.bob_listens(0, async || host.engine.close().await).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}

/// Ends the connection of whoever begins to write, as one may that cannot be reached.
#[derive(Debug, Default)]
struct HangsUp {
    engine: OnceLock<WeakEngine>,
    caller: OnceLock<Caller>,
    heard: Mutex<Vec<&'static str>>,
}

#[async_trait]
impl Transport for HangsUp {
    fn deliver(&self, _: &Audience, event: &Event) -> Vec<UserId> {
        self.heard.lock().unwrap().push(event.name());
        if let (Event::TypingStarted(_), Some(engine), Some(caller)) =
            (event, self.engine.get().and_then(WeakEngine::upgrade), self.caller.get())
        {
            engine.disconnected(caller);
        }
        Vec::new()
    }

    fn revoke(&self, _: &Revocation) {}

    async fn close(&self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn it_may_tell_of_a_disconnection_while_it_is_told_who_writes() {
    let hangs_up = Arc::new(HangsUp::default());
    let host = Host::start_with(Some(hangs_up.clone())).await;
    let alice = host.engine.connected(host.alice.clone(), None).unwrap();
    hangs_up.engine.set(host.engine.downgrade()).unwrap();
    hangs_up.caller.set(alice.clone()).unwrap();
    let (engine, conversation) = (host.engine.clone(), host.conversation);

    let typing = tokio::spawn(async move { engine.start_typing(&alice, conversation).await });

    let typing = tokio::time::timeout(PATIENCE, typing).await;
    typing.expect("it waits for itself").unwrap().unwrap();
    let mut heard = std::mem::take(&mut *hangs_up.heard.lock().unwrap());
    heard.retain(|name| name.starts_with("typing"));
    assert_eq!(heard, ["typing:start", "typing:stop"]);
}
