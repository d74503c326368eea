//! A connection's place among those who listen: first being told what it missed, then listening.

use std::sync::{Arc, Weak};

use super::Sequencer;
use super::lane::Work;
use crate::engine::receipts::ReadBack;
use crate::error::Result;
use crate::events::Event;
use crate::model::{ConnectionId, ConversationId, UserId};

/// How a connection begins to listen: what it has to be, and what it hears first.
#[derive(Debug)]
pub struct Entry {
    /// Up to here it has every message, with the backlog: hand it no message with this number or a lower one.
    pub seq: u64,
    /// What was told to others while its backlog was read: to be handed to it first.
    pub missed: Vec<Event>,
    /// To be kept as long as it listens.
    pub listening: Listening,
}

/// Says that a connection listens to a conversation, until it is dropped.
///
/// As long as there is one, the engine passes on the conversation's messages without a gap, whichever node stored them.
#[derive(Debug)]
#[must_use = "the connection listens as long as this is kept"]
pub struct Listening {
    sequencer: Weak<Sequencer>,
    conversation: ConversationId,
    participant: Option<UserId>,
}

impl Listening {
    pub(super) fn new(
        sequencer: &Arc<Sequencer>,
        conversation: ConversationId,
        participant: Option<UserId>,
    ) -> Self {
        Self { sequencer: Arc::downgrade(sequencer), conversation, participant }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(sequencer) = self.sequencer.upgrade() {
            sequencer.leave(self.conversation, self.participant);
        }
    }
}

/// How a transport lets its connection listen, or tells it why not. Says whether the connection took it.
pub(in crate::engine) type Tell = Box<dyn FnOnce(Result<Option<Entry>>) -> bool + Send>;

/// The end of a join.
pub(in crate::engine) struct Finish {
    /// Up to where the connection is told everything; `None` when there is more, and it does not listen yet.
    pub(in crate::engine) seq: Option<u64>,
    pub(in crate::engine) connection: Option<ConnectionId>,
    /// Whose it is, unless they listen from outside.
    pub(in crate::engine) participant: Option<UserId>,
    /// What has come to them when they took it.
    pub(in crate::engine) read_back: Option<ReadBack>,
    pub(in crate::engine) tell: Tell,
}

/// A connection that is being told what it missed. What is told to others meanwhile is remembered for it.
#[derive(Debug)]
pub(in crate::engine) struct Seat {
    sequencer: Arc<Sequencer>,
    conversation: ConversationId,
    ticket: u64,
}

impl Seat {
    pub(super) fn new(sequencer: Arc<Sequencer>, conversation: ConversationId, ticket: u64) -> Self {
        Self { sequencer, conversation, ticket }
    }

    pub(super) fn ticket(&self) -> u64 {
        self.ticket
    }

    /// Notes up to where the connection will have been told everything, as read after the seat was taken. `false`
    /// when that is not enough and must be read again: others begin to listen further on.
    pub(in crate::engine) fn place(&self, seq: u64) -> bool {
        self.sequencer.place(self.conversation, seq)
    }

    /// Lets the connection listen, in its turn: between two events, so that there is neither a hole nor a repeat
    /// between what it was told and what it hears.
    pub(in crate::engine) async fn finish(self, finish: Finish) {
        let (sequencer, conversation) = (self.sequencer.clone(), self.conversation);
        sequencer.in_turn(conversation, Work::Enter(self, finish)).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.sequencer.end_join(self.conversation, self.ticket);
    }
}
