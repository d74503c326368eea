//! Between the commit and the transports: puts the messages of each conversation that is listened to in order.
//!
//! Messages come from the commits of this node, in their order; other nodes' may be told of in any order, late, twice
//! or never, and a commit whose answer was lost is told of by nobody. Whoever listens hears each message once, in the
//! order of `seq`, without a hole: one that is early is held, and what is missing is read from the storage.
//!
//! - `lane`: the state of one conversation.
//! - `seat`: how a connection begins to listen, and that it does.
//! - `missing`: reading what is missing.
//! - `participants`: who listens and takes part.
//!
//! What reaches the transports of one conversation is a line of steps, done one after the other: telling of an event,
//! letting a connection in, turning a user out. Whoever brings a step does it at once when nobody is at one; otherwise
//! it waits in line, and a task of its own does what is there. No lock is held meanwhile, neither over an await nor
//! while a transport is told, and nobody does another's step while holding locks of their own.
//!
//! A conversation that nobody listens to has no state here: its messages are passed on as they are committed.

mod lane;
mod missing;
mod participants;
#[cfg(test)]
#[cfg(feature = "sqlite")]
pub(super) mod scene;
mod seat;
#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use self::lane::{Admission, Lane, Told, Work};
pub use self::seat::{Entry, Listening};
pub(super) use self::seat::{Finish, Seat};
use super::NO_CONVERSATION;
use super::announcer::Announcer;
use super::receipts::Receipts;
use crate::events::{Audience, Event, Revocation};
use crate::limits::Limits;
use crate::model::{ConnectionId, ConversationId, Message, UserId};
use crate::storage::MessageStore;

/// Puts what is told of conversations in order.
pub(super) struct Sequencer {
    storage: Arc<dyn MessageStore>,
    announcer: Arc<Announcer>,
    receipts: Arc<Receipts>,
    page_rows: u32,
    page_bytes: usize,
    /// Where tasks are started, also from a place that is in no runtime.
    runtime: Handle,
    lanes: Mutex<Lanes>,
    tickets: AtomicU64,
}

/// The conversations that are listened to.
type Lanes = HashMap<ConversationId, Lane>;

/// The turn of a step.
#[derive(Debug)]
#[must_use = "the step may still wait in line"]
enum Turn {
    Over,
    InLine(oneshot::Receiver<()>),
}

impl Turn {
    /// Waits until the step was done.
    async fn over(self) {
        if let Self::InLine(over) = self {
            // An engine that is closed forgets what is in line.
            let _ = over.await;
        }
    }
}

impl Sequencer {
    /// Tasks are started in the runtime that this is called in.
    pub(super) fn new(
        storage: Arc<dyn MessageStore>,
        announcer: Arc<Announcer>,
        receipts: Arc<Receipts>,
        limits: &Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            storage,
            announcer,
            receipts,
            page_rows: limits.page_rows,
            page_bytes: limits.page_bytes,
            runtime: Handle::current(),
            lanes: Mutex::default(),
            tickets: AtomicU64::new(0),
        })
    }

    /// Passes on a message that was committed here. When this returns, the transports were told of it, unless it
    /// follows one that is still missing.
    pub(super) async fn pass(self: &Arc<Self>, message: &Arc<Message>) {
        if let Some(turn) = self.admit(message) {
            turn.over().await;
        }
    }

    /// Gives a message its turn, if it has one now.
    fn admit(self: &Arc<Self>, message: &Arc<Message>) -> Option<Turn> {
        let id = message.conversation_id;
        let mut lanes = self.lock();
        if let Some(lane) = lanes.get_mut(&id) {
            match lane.admit(message) {
                Admission::Due => {}
                Admission::Early => {
                    self.see_to_missing(lane, id);
                    return None;
                }
                Admission::Repeat => return None,
            }
        }
        Some(self.take_turn(lanes, id, Work::message(message)))
    }

    /// There are messages of a conversation up to `seq`: those who listen will have them.
    pub(super) fn hint(self: &Arc<Self>, id: ConversationId, seq: u64) {
        if let Some(lane) = self.lock().get_mut(&id) {
            lane.hear_of(seq);
            self.see_to_missing(lane, id);
        }
    }

    /// A message of a conversation may be stored or not: those who listen will have it if it is.
    pub(super) fn doubt(self: &Arc<Self>, id: ConversationId) {
        if let Some(lane) = self.lock().get_mut(&id) {
            lane.doubt();
            self.see_to_missing(lane, id);
        }
    }

    /// Those who listen and take part, each once in a conversation.
    pub(super) fn participants(&self) -> Vec<(ConversationId, UserId)> {
        let lanes = self.lock();
        lanes.iter().flat_map(|(id, lane)| lane.participants.all().map(|user| (*id, user))).collect()
    }

    /// Whether a user listens to a conversation and takes part.
    pub(super) fn has_participant(&self, id: ConversationId, user: UserId) -> bool {
        self.lock().get(&id).is_some_and(|lane| lane.participants.has(user))
    }

    /// Tells those who listen to a conversation of something else than a message.
    pub(super) fn announce(self: &Arc<Self>, id: ConversationId, except: Option<ConnectionId>, event: Event) {
        let mut lanes = self.lock();
        if let Some(lane) = lanes.get_mut(&id) {
            if lane.is_crowded() {
                tracing::warn!(event = event.name(), "an event was left out: a transport does not keep up");
                return;
            }
            if let Event::MessageRead { seq, .. } = &event {
                lane.hear_of(*seq);
                self.see_to_missing(lane, id);
            }
        }
        // In its turn: nobody need wait for it.
        let _turn = self.take_turn(lanes, id, Work::Tell(Told { event, except }));
    }

    /// Takes a user out of those who listen to a conversation. When this returns, nothing more is handed to them.
    pub(super) async fn turn_out(self: &Arc<Self>, id: ConversationId, user: UserId) {
        self.in_turn(id, Work::TurnOut(user)).await;
    }

    /// A seat for a connection of this user that is about to listen. From now on what is told is remembered for it.
    pub(super) fn take_seat(self: &Arc<Self>, id: ConversationId, user: UserId) -> Seat {
        let mut lanes = self.lock();
        // Drawn with the lock held: a later ticket is a later place in the log.
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        lanes.entry(id).or_default().begin_join(ticket, user);
        Seat::new(self.clone(), id, ticket)
    }

    /// Forgets everything.
    pub(super) fn close(&self) {
        let lanes = std::mem::take(&mut *self.lock());
        for (seat, finish) in lanes.into_values().flat_map(Lane::into_waiting) {
            (finish.tell)(Err(lane::closed()));
            drop(seat);
        }
    }

    fn place(self: &Arc<Self>, id: ConversationId, seq: u64) -> bool {
        let mut lanes = self.lock();
        let Some(lane) = lanes.get_mut(&id) else { return true };
        let is_enough = lane.place(seq);
        self.see_to_missing(lane, id);
        is_enough
    }

    fn end_join(&self, id: ConversationId, ticket: u64) {
        let mut lanes = self.lock();
        if let Some(lane) = lanes.get_mut(&id) {
            lane.end_join(ticket);
            Self::end_if_over(&mut lanes, id);
        }
    }

    fn leave(&self, id: ConversationId, participant: Option<UserId>) {
        let mut lanes = self.lock();
        if let Some(lane) = lanes.get_mut(&id) {
            lane.leave();
            if let Some(user) = participant {
                lane.participants.remove(user);
            }
            Self::end_if_over(&mut lanes, id);
        }
    }

    fn end_if_over(lanes: &mut Lanes, id: ConversationId) {
        if lanes.get(&id).is_some_and(Lane::is_over) {
            lanes.remove(&id);
        }
    }

    /// Has somebody read what is missing, if anything is.
    fn see_to_missing(self: &Arc<Self>, lane: &mut Lane, id: ConversationId) {
        if lane.missing().is_some() && !lane.has_reader() {
            let reading = Self::read_missing(Arc::downgrade(self), id);
            lane.set_reader(Some(AbortOnDropHandle::new(self.runtime.spawn(reading))));
        }
    }

    async fn in_turn(self: &Arc<Self>, id: ConversationId, work: Work) {
        let turn = self.take_turn(self.lock(), id, work);
        turn.over().await;
    }

    /// Does a step at once when nobody is at one; otherwise it waits in line.
    fn take_turn(self: &Arc<Self>, mut lanes: MutexGuard<'_, Lanes>, id: ConversationId, work: Work) -> Turn {
        let Some(lane) = lanes.get_mut(&id) else {
            // Nobody listens, or is about to: there is no order to keep.
            drop(lanes);
            self.work(id, work);
            return Turn::Over;
        };
        let work = match lane.line_up(work) {
            Ok(work) => work,
            Err(over) => return Turn::InLine(over),
        };
        drop(lanes);
        self.work(id, work);
        let mut lanes = self.lock();
        if let Some(lane) = lanes.get_mut(&id) {
            if lane.has_next() {
                self.go_on(id);
            } else {
                lane.next();
                Self::end_if_over(&mut lanes, id);
            }
        }
        Turn::Over
    }

    /// Has what is in line done.
    fn go_on(self: &Arc<Self>, id: ConversationId) {
        let sequencer = self.clone();
        self.runtime.spawn(async move {
            while let Some(step) = sequencer.next(id) {
                sequencer.work(id, step.work);
                if let Some(over) = step.over {
                    let _ = over.send(());
                }
                // A step takes as long as it takes to tell all who listen.
                tokio::task::yield_now().await;
            }
        });
    }

    fn next(&self, id: ConversationId) -> Option<lane::Step> {
        let mut lanes = self.lock();
        let step = lanes.get_mut(&id)?.next();
        if step.is_none() {
            Self::end_if_over(&mut lanes, id);
        }
        step
    }

    /// Does a step. A transport may be a host's own: if it panics, the next step has its turn all the same.
    fn work(self: &Arc<Self>, id: ConversationId, work: Work) {
        let ended = catch_unwind(AssertUnwindSafe(|| match work {
            Work::Tell(Told { event, except }) => self.tell(id, &event, except),
            Work::Enter(seat, finish) => self.enter(id, &seat, finish),
            Work::TurnOut(user) => {
                if let Some(lane) = self.lock().get_mut(&id) {
                    lane.turn_out(user);
                }
                self.announcer.revoke(&Revocation::Membership { user_id: user, conversation_id: id });
            }
        }));
        if ended.is_err() {
            tracing::error!("a transport panicked");
        }
    }

    fn tell(&self, id: ConversationId, event: &Event, except: Option<ConnectionId>) {
        let handed_to = self.announcer.announce(&Audience::Conversation { id, except }, event);
        if let Event::MessageNew(message) = event {
            self.receipts.handed(message, handed_to);
        }
    }

    fn enter(self: &Arc<Self>, id: ConversationId, seat: &Seat, finish: Finish) {
        let Finish { seq, connection, participant, read_back, tell } = finish;
        let missed = match self.lock().get_mut(&id) {
            Some(lane) => {
                let entered = lane.enter(seat.ticket(), connection, seq);
                if let (Ok(Some(_)), Some(user)) = (&entered, participant) {
                    lane.participants.add(user);
                }
                entered
            }
            None => Err(lane::closed()),
        };
        let missed = match missed {
            Ok(missed) => missed,
            Err(error) => {
                tell(Err(error));
                return;
            }
        };
        let messages: Vec<Arc<Message>> =
            missed.iter().flat_map(|(_, missed)| missed).filter_map(as_message).cloned().collect();
        let entry = missed.map(|(seq, missed)| Entry {
            seq,
            missed,
            listening: Listening::new(self, id, participant),
        });
        if !tell(Ok(entry)) {
            return;
        }
        if let Some(read_back) = read_back {
            self.receipts.read_back(read_back);
        }
        if let Some(participant) = participant {
            messages.iter().for_each(|message| self.receipts.handed(message, vec![participant]));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn as_message(event: &Event) -> Option<&Arc<Message>> {
    if let Event::MessageNew(message) = event { Some(message) } else { None }
}

impl fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sequencer")
    }
}
