//! What the tests of the sequencer stand on: a real database whose reads can be made to fail, with what other nodes
//! store written right into it, and connections that are channels.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::*;
use crate::engine::delivered::DeliveredMarks;
use crate::error::Error;
use crate::events::Transport;
use crate::model::{
    ConversationKind, MessageId, MessageKind, MessagePage, MessageRange, MessageWithReads, Role, Timestamp,
    User,
};
use crate::storage::sqlite::SqliteStorage;
use crate::storage::{
    Appended, ConversationRow, ConversationStore, DeliveredMark, MessageSpan, NewMessageRow, ReadOutcome,
    Reader, Reading, Result, Storage, StorageError, UserStore,
};

/// How long a test waits for something that must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A database that can be away for those who read messages.
#[derive(Debug)]
pub(super) struct Shelf {
    storage: Arc<SqliteStorage>,
    is_away: AtomicBool,
    panics: AtomicBool,
    refused: Notify,
    /// The number of a message that somebody has deleted; 0 when nobody has.
    deleted: AtomicU64,
}

#[async_trait]
impl MessageStore for Shelf {
    async fn messages(
        &self,
        conversation: ConversationId,
        range: MessageRange,
        limit: u32,
        max_bytes: usize,
    ) -> Result<MessagePage> {
        if self.is_away.load(Ordering::Relaxed) {
            self.refused.notify_one();
            assert!(!self.panics.load(Ordering::Relaxed), "this storage panics");
            return Err(StorageError::Unavailable("it is away".into()));
        }
        let mut page = self.storage.messages(conversation, range, limit, max_bytes).await?;
        page.items.retain(|item| item.message.seq != self.deleted.load(Ordering::Relaxed));
        Ok(page)
    }

    async fn messages_for(
        &self,
        reader: Reader,
        conversation: ConversationId,
        range: MessageRange,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Option<Reading>> {
        self.storage.messages_for(reader, conversation, range, limit, max_bytes).await
    }

    async fn messages_in(&self, spans: &[MessageSpan], max_bytes: usize) -> Result<Vec<MessageWithReads>> {
        self.storage.messages_in(spans, max_bytes).await
    }

    async fn append_messages(&self, batch: Vec<NewMessageRow>) -> Result<Vec<Appended>> {
        self.storage.append_messages(batch).await
    }

    async fn mark_read(
        &self,
        user: UserId,
        messages: &[MessageId],
        within: Option<ConversationId>,
        at: Timestamp,
    ) -> Result<ReadOutcome> {
        self.storage.mark_read(user, messages, within, at).await
    }

    async fn unread_counts(&self, user: UserId) -> Result<Vec<(ConversationId, u64)>> {
        self.storage.unread_counts(user).await
    }

    async fn set_delivered(&self, marks: &[DeliveredMark]) -> Result<()> {
        self.storage.set_delivered(marks).await
    }
}

/// A transport with connections that are channels, and a record of everything that it was told.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) members: Mutex<Vec<(UserId, Entry, mpsc::UnboundedSender<u64>)>>,
    told: Mutex<Vec<Event>>,
}

#[async_trait]
impl Transport for Room {
    fn deliver(&self, _: &Audience, event: &Event) -> Vec<UserId> {
        self.told.lock().unwrap().push(event.clone());
        let Event::MessageNew(message) = event else { return Vec::new() };
        let members = self.members.lock().unwrap();
        let listening = members.iter().filter(|(_, entry, _)| message.seq > entry.seq);
        let hand = |(user, _, ears): &(UserId, _, mpsc::UnboundedSender<u64>)| {
            ears.send(message.seq).is_ok().then_some(*user)
        };
        listening.filter_map(hand).collect()
    }

    fn revoke(&self, revocation: &Revocation) {
        let Revocation::Membership { user_id, .. } = revocation else { return };
        self.members.lock().unwrap().retain(|(user, ..)| user != user_id);
    }

    async fn close(&self) {}
}

impl Room {
    /// The numbers of the messages that were told, in order.
    pub(super) fn told(&self) -> Vec<u64> {
        let told = self.told.lock().unwrap();
        told.iter().filter_map(as_message).map(|message| message.seq).collect()
    }

    /// The numbers of the messages that were told to be delivered, in order.
    pub(super) fn delivered(&self) -> Vec<u64> {
        let seq = |event: &Event| match event {
            Event::MessageDelivered { seq, .. } => Some(*seq),
            _ => None,
        };
        self.told.lock().unwrap().iter().filter_map(seq).collect()
    }
}

/// A connection that listens.
pub(super) struct Listener {
    /// What it heard when it came in.
    pub(super) missed: Vec<u64>,
    ears: mpsc::UnboundedReceiver<u64>,
}

impl Listener {
    /// The next that it hears, so many.
    pub(super) async fn hears(&mut self, count: u64) -> Vec<u64> {
        let mut heard = Vec::new();
        for _ in 0..count {
            let next = timeout(PATIENCE, self.ears.recv()).await;
            heard.push(next.unwrap_or_else(|_| panic!("nothing more came after {heard:?}")).unwrap());
        }
        heard
    }

    pub(super) fn has_heard(&mut self) -> Vec<u64> {
        std::iter::from_fn(|| self.ears.try_recv().ok()).collect()
    }
}

/// A sequencer, and a conversation of Alice and Bob, in which Alice talks.
pub(in crate::engine) struct Scene {
    pub(in crate::engine) sequencer: Arc<Sequencer>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) room: Arc<Room>,
    pub(super) conversation: ConversationId,
    alice: UserId,
    pub(super) bob: UserId,
    _dir: TempDir,
}

impl Scene {
    pub(in crate::engine) async fn set() -> Self {
        let dir = TempDir::new().unwrap();
        let storage = Arc::new(SqliteStorage::open(dir.path().join("priyo.db")).unwrap());
        storage.migrate().await.unwrap();
        let (alice, bob) = (account(&storage, "alice").await, account(&storage, "bob").await);
        let (conversation, at) = (ConversationId::new(), Timestamp::from_millis(0));
        let (kind, participants) = (ConversationKind::Group, vec![alice, bob]);
        let row = ConversationRow { id: conversation, kind, name: None, created_by: alice, participants, at };
        storage.create_conversation(&row).await.unwrap();
        let room = Arc::new(Room::default());
        let announcer = Arc::new(Announcer::new(vec![room.clone()]));
        let receipts = Receipts::new(announcer.clone(), DeliveredMarks::start(storage.clone()));
        let (is_away, panics) = (AtomicBool::new(false), AtomicBool::new(false));
        let (refused, deleted) = (Notify::new(), AtomicU64::new(0));
        let shelf = Arc::new(Shelf { storage, is_away, panics, refused, deleted });
        let limits = Limits::default();
        let sequencer = Sequencer::new(shelf.clone(), announcer, Arc::new(receipts), &limits);
        Self { sequencer, shelf, room, conversation, alice, bob, _dir: dir }
    }

    /// Stores messages, as any node may, and tells nobody.
    pub(super) async fn stores(&self, count: usize) -> Vec<Arc<Message>> {
        let row = |_| NewMessageRow {
            id: MessageId::new(),
            conversation_id: self.conversation,
            sender: self.alice,
            client_message_id: None,
            content: "hi".to_owned(),
            kind: MessageKind::Text,
            attachment: None,
            at: Timestamp::from_millis(0),
        };
        let stored = self.shelf.storage.append_messages((0..count).map(row).collect()).await.unwrap();
        let message = |appended| match appended {
            Appended::New(message) => Arc::new(message),
            other => panic!("{other:?}"),
        };
        stored.into_iter().map(message).collect()
    }

    pub(super) async fn passes<'a>(&self, messages: impl IntoIterator<Item = &'a Arc<Message>>) {
        for message in messages {
            self.sequencer.pass(message).await;
        }
    }

    pub(super) fn seat(&self) -> Seat {
        self.sequencer.take_seat(self.conversation, self.bob)
    }

    /// Lets a connection of Bob listen that was told everything up to `seq`.
    pub(super) async fn enters(&self, seat: Seat, seq: u64) -> std::result::Result<Listener, Error> {
        let (ears, heard) = mpsc::unbounded_channel();
        let (say, answer) = oneshot::channel();
        let (room, bob) = (self.room.clone(), self.bob);
        let tell = move |entry: std::result::Result<Option<Entry>, Error>| {
            let missed = entry.map(|entry| {
                let entry = entry.unwrap();
                let missed = entry.missed.iter().filter_map(as_message).map(|message| message.seq).collect();
                room.members.lock().unwrap().push((bob, entry, ears));
                missed
            });
            say.send(missed).is_ok()
        };
        let finish = Finish {
            seq: Some(seq),
            connection: None,
            participant: Some(bob),
            read_back: None,
            tell: Box::new(tell),
        };
        seat.finish(finish).await;
        Ok(Listener { missed: answer.await.unwrap()?, ears: heard })
    }

    /// Lets a connection of Bob listen to what comes after `seq`.
    pub(super) async fn listens(&self, seq: u64) -> Listener {
        let seat = self.seat();
        assert!(seat.place(seq), "it begins further on");
        self.enters(seat, seq).await.unwrap()
    }

    pub(super) fn storage_is_away(&self, is_away: bool) {
        self.shelf.is_away.store(is_away, Ordering::Relaxed);
    }

    /// Instead of saying so, it panics while it is away.
    pub(super) fn storage_panics(&self) {
        self.shelf.panics.store(true, Ordering::Relaxed);
    }

    /// Waits until so many reads were refused.
    pub(super) async fn reads_are_refused(&self, count: usize) {
        for _ in 0..count {
            timeout(PATIENCE, self.shelf.refused.notified()).await.unwrap();
        }
    }

    pub(super) fn somebody_deletes(&self, seq: u64) {
        self.shelf.deleted.store(seq, Ordering::Relaxed);
    }

    pub(super) fn lanes(&self) -> usize {
        self.sequencer.lock().len()
    }
}

async fn account(storage: &SqliteStorage, name: &str) -> UserId {
    let user = User {
        id: UserId::new(),
        external_id: None,
        email: Some(format!("{name}@example.com")),
        username: name.to_owned(),
        avatar: None,
        role: Role::Customer,
        disabled: false,
        created_at: Timestamp::from_millis(0),
        last_seen: None,
    };
    assert!(storage.create_account(&user, "hash").await.unwrap());
    user.id
}
