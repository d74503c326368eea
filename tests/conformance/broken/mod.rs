//! The storage in memory, broken in one way each time: what the suite must notice.
//!
//! It stands on the traits alone, as any storage does: it forwards every call, and where its fault lies it changes
//! what goes in, what comes out, or what happens between.

mod conversations;
pub(crate) mod fault;
mod files;
mod messages;
mod reads;
mod rows;
mod sessions;
mod support;
mod users;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use priyo_core::model::{
    Conversation, ConversationId, ConversationStatus, ConversationSummary, FileId, Message, MessageId,
    MessageRange, MessageWithReads, SessionId, Timestamp, User, UserBrief, UserId,
};
use priyo_core::storage::{ConversationStore, MessageStore, Result, Storage, TokenHash};

use crate::memory::MemoryStorage;
use fault::Fault;

#[derive(Debug)]
pub(crate) struct Broken {
    fault: Fault,
    memory: Mutex<Arc<MemoryStorage>>,
    notes: Mutex<Notes>,
}

/// What a fault must remember to be one.
#[derive(Debug, Default)]
struct Notes {
    migrations: usize,
    is_closed: bool,
    accounts: Vec<User>,
    host_users: Vec<User>,
    contacts: HashMap<UserId, HashSet<UserId>>,
    sessions: Vec<(SessionId, UserId)>,
    session_users: HashMap<SessionId, User>,
    uses: HashMap<TokenHash, Timestamp>,
    tokens_left: HashMap<TokenHash, SessionId>,
    pairs: Vec<(ConversationId, Vec<UserId>)>,
    opened_by_force: HashSet<ConversationId>,
    first_come: HashMap<ConversationId, Vec<UserId>>,
    touched: HashMap<ConversationId, Timestamp>,
    client_ids: Vec<(MessageId, String)>,
    holes: HashMap<ConversationId, u64>,
    shifts: HashMap<MessageId, u64>,
    briefs: HashMap<MessageId, UserBrief>,
    came_again: HashMap<(ConversationId, UserId), u64>,
    read_again: HashMap<(MessageId, UserId), Timestamp>,
    delivered: HashMap<(ConversationId, UserId), u64>,
    files: HashMap<FileId, ConversationId>,
    refused: HashSet<(UserId, Option<String>)>,
    appended: u64,
}

/// Gives others the time to come between.
async fn pause() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

impl Broken {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, memory: Mutex::new(Arc::new(MemoryStorage::new())), notes: Mutex::default() }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn memory(&self) -> Arc<MemoryStorage> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note<T>(&self, write: impl FnOnce(&mut Notes) -> T) -> T {
        write(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets others come between before a write, if the fault is that a call is only as long as its caller waits.
    async fn begin(&self) {
        if self.has(Fault::EndsWithItsCaller) {
            pause().await;
        }
    }

    async fn all_messages(&self, id: ConversationId) -> Result<Vec<MessageWithReads>> {
        Ok(self.memory().messages(id, MessageRange::After(0), u32::MAX, usize::MAX).await?.items)
    }

    async fn all_conversations(
        &self,
        of: Option<UserId>,
        reader: UserId,
    ) -> Result<Vec<ConversationSummary>> {
        Ok(self.memory().conversations(of, reader, None, u32::MAX).await?.items)
    }

    /// How a conversation looks to this storage.
    fn seen(&self, mut conversation: Conversation) -> Conversation {
        let id = conversation.id;
        match self.fault {
            Fault::ParticipantsAreSortedByName => {
                conversation.participants.sort_by(|one, other| one.username.cmp(&other.username));
            }
            Fault::WhoComesBackHasTheirOldPlace => self.note(|notes| {
                let order = notes.first_come.entry(id).or_default();
                for user in conversation.participant_ids() {
                    if !order.contains(&user) {
                        order.push(user);
                    }
                }
                let place = |user: UserId| order.iter().position(|other| *other == user);
                conversation.participants.sort_by_key(|participant| place(participant.user_id));
            }),
            Fault::OpensBesideAnother | Fault::LooksForAnOpenOneFirst
                if self.note(|notes| notes.opened_by_force.contains(&id)) =>
            {
                conversation.status = ConversationStatus::Open;
            }
            Fault::AClockSetBackSinks | Fault::SendingDoesNotTouch | Fault::ReadingTouches => {
                if let Some(at) = self.note(|notes| notes.touched.get(&id).copied()) {
                    conversation.updated_at = at;
                }
            }
            _ => {}
        }
        conversation
    }

    /// How a message looks to this storage.
    fn shown(&self, mut message: Message) -> Message {
        match self.fault {
            Fault::NamesAreThoseOfThen => {
                let then =
                    self.note(|n| n.briefs.entry(message.id).or_insert(message.sender.clone()).clone());
                message.sender = then;
            }
            Fault::ARepeatTakesANumber | Fault::WhatIsRefusedTakesANumber | Fault::NumbersAreOfAll => {
                let shift = self.note(|notes| notes.shifts.get(&message.id).copied());
                message.seq = message.seq.saturating_add(shift.unwrap_or(0));
            }
            _ => {}
        }
        // What was sent under another name than its own is shown under its own.
        let name = self
            .note(|n| n.client_ids.iter().find(|(id, _)| *id == message.id).map(|(_, name)| name.clone()));
        message.client_message_id = name.or(message.client_message_id);
        message
    }
}

#[async_trait]
impl Storage for Broken {
    async fn migrate(&self) -> Result<()> {
        let is_first = self.note(|notes| {
            notes.migrations += 1;
            notes.migrations == 1
        });
        if self.has(Fault::MigratingEmptiesIt) && !is_first {
            *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(MemoryStorage::new());
        }
        self.memory().migrate().await
    }

    fn is_shared(&self) -> bool {
        self.memory().is_shared()
    }

    async fn ping(&self) -> Result<()> {
        self.memory().ping().await
    }

    async fn close(&self) {
        self.note(|notes| notes.is_closed = true);
        if !self.has(Fault::ClosingDoesNothing) {
            self.memory().close().await;
        }
    }
}
