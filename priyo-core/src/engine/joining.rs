//! Beginning to listen to a conversation.

use super::ChatEngine;
use super::receipts::ReadBack;
use super::sequencer::{Entry, Finish, Seat};
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::model::{ConnectionId, ConversationId, MessagePage, MessageRange, MessageWithReads, UserId};
use crate::rates::Action;
use crate::storage::Reading;

/// What someone who begins to listen has missed.
#[derive(Debug, Clone)]
pub struct Backlog {
    /// What comes after the `seq` that the client named, oldest first; empty when it named none.
    pub messages: Vec<MessageWithReads>,
    /// The newest `seq` there was when this was read.
    pub last_seq: u64,
    /// Whether more was missed: ask again, with the last `seq` of this.
    pub has_more: bool,
    /// Whether the caller takes part. An administrator who does not listens unannounced: nothing counts as delivered
    /// to them.
    pub is_participant: bool,
}

/// A connection that is about to listen, and what it missed. It does not listen before [`finish`](Self::finish).
#[derive(Debug)]
#[must_use = "the connection does not listen before `finish`"]
pub struct Joining {
    seat: Seat,
    user: UserId,
    connection: Option<ConnectionId>,
    backlog: Backlog,
    read_back: Option<ReadBack>,
}

/// How often a backlog is read that others overtake. Twice is enough: from the first time on there is an order, and
/// what comes after it is remembered.
const READS: usize = 2;

impl ChatEngine {
    /// Begins to let a connection of the caller listen to a conversation: reads what it has missed since `after`.
    ///
    /// Hand the connection nothing of the conversation until [`Joining::finish`] says that it listens.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] when there is none, or none that the caller may see.
    /// - [`Error::RateLimited`] when the connection asks for this too often.
    /// - [`Error::Unavailable`] when the storage is away.
    pub async fn join(&self, caller: &Caller, id: ConversationId, after: Option<u64>) -> Result<Joining> {
        self.count_here(Action::Join, caller)?;
        // First: what is told while the backlog is read must not be missed, nor the end of a membership.
        let seat = self.inner.sequencer.take_seat(id, caller.user_id);
        let mut is_audited = false;
        for _ in 0..READS {
            let reading = self.missed(caller, id, after).await?;
            let is_participant = reading.standing.is_participant;
            if !is_participant && !is_audited {
                self.audit_reading(caller, &[id]).await?;
                is_audited = true;
            }
            let read_back = self.reading_back(caller, &reading);
            let MessagePage { items: messages, last_seq, has_more } = reading.page;
            if has_more || seat.place(last_seq) {
                let backlog = Backlog { messages, last_seq, has_more, is_participant };
                let (user, connection) = (caller.user_id, caller.connection_id);
                return Ok(Joining { seat, user, connection, backlog, read_back });
            }
        }
        Err(Error::Overloaded)
    }

    /// What comes after the `seq` that the caller named: one call of the storage, for a restart brings everybody back
    /// at once.
    async fn missed(&self, caller: &Caller, id: ConversationId, after: Option<u64>) -> Result<Reading> {
        if let Some(after) = after {
            let Limits { page_rows, page_bytes, .. } = *self.limits();
            return self.reading(caller, id, MessageRange::After(after), page_rows, page_bytes).await;
        }
        let standing = self.visible(caller, id).await?;
        let page = MessagePage { items: Vec::new(), has_more: false, last_seq: standing.last_seq };
        Ok(Reading { standing, page, present: Vec::new() })
    }
}

impl Joining {
    /// What the connection has missed: to be told to it first.
    #[must_use]
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// Lets the connection listen, between two events of the conversation: `tell` hands it the backlog, then what is
    /// in the [`Entry`], and from then on what the transport is told to deliver; nothing is delivered meanwhile. It
    /// says whether the connection took that: only then it counts as delivered.
    ///
    /// There is no entry when there is more of the backlog to ask for: `tell` hands over the backlog, and the
    /// connection does not listen.
    ///
    /// `tell` is always called, once. It must not wait. It is given
    ///
    /// - [`Error::NotFound`] when the caller was taken out of the conversation meanwhile;
    /// - [`Error::Overloaded`] when too much was said meanwhile: ask again;
    /// - [`Error::Unavailable`] when the engine was closed.
    pub async fn finish(self, tell: impl FnOnce(Result<Option<Entry>>) -> bool + Send + 'static) {
        let Self { seat, user, connection, backlog, read_back } = self;
        let finish = Finish {
            seq: (!backlog.has_more).then_some(backlog.last_seq),
            connection,
            participant: backlog.is_participant.then_some(user),
            read_back,
            tell: Box::new(tell),
        };
        seat.finish(finish).await;
    }
}
