//! One conversation that is listened to: what was passed on, what is early, and whose turn it is.
//!
//! Nothing here waits or reaches a transport, so all of it can be done with the lock held.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::participants::Participants;
use super::seat::{Finish, Seat};
use crate::error::{Error, Result};
use crate::events::Event;
use crate::model::{ConnectionId, Message, UserId};

/// Messages that are kept because they are early. Those beyond are read again later: so many come only while the
/// storage is away, or when two nodes store hundreds in one conversation at the same moment.
const HELD_MAX: usize = 512;

/// Events that are remembered for those who are being told what they missed. Who is behind more than that asks again.
const LOG_MAX: usize = 1_024;

/// Steps that may wait before an event that is nothing but a hint is left out.
const TURNS_MAX: usize = 1_024;

/// The state of one conversation.
#[derive(Default)]
pub(super) struct Lane {
    /// Connections that listen.
    listeners: usize,
    /// Those of them who take part.
    pub(super) participants: Participants,
    /// Connections that are being told what they missed, in the order they came.
    joins: BTreeMap<u64, Join>,
    /// Where the order begins: the first that listens has everything up to here from the storage. Until that is known
    /// nobody listens, and messages are passed on as they come.
    start: Option<u64>,
    /// From the start on, everything up to here has had its turn, or has its place in line.
    passed: u64,
    /// The newest number that there is, as far as anybody has said.
    known: u64,
    /// Messages that came before one that they follow.
    held: BTreeMap<u64, Arc<Message>>,
    /// What waits for its turn. Empty unless `busy`.
    turns: VecDeque<Step>,
    /// Whether a step is being done, or somebody is about to do the next.
    busy: bool,
    /// What was told since the first of `joins` came.
    log: VecDeque<Told>,
    /// How many events were before those in `log`.
    log_begin: u64,
    /// Reads what is missing. Ends with the lane.
    reader: Option<AbortOnDropHandle<()>>,
}

/// A connection that is being told what it missed.
struct Join {
    user: UserId,
    /// Where in the log it came.
    begin: u64,
    /// Whether its user was taken out of the conversation meanwhile.
    turned_out: bool,
}

/// Something to be done in its turn.
pub(super) struct Step {
    pub(super) work: Work,
    /// Told when it was done.
    pub(super) over: Option<oneshot::Sender<()>>,
}

/// What is done in turn.
pub(super) enum Work {
    /// An event is told to those who listen.
    Tell(Told),
    /// A connection begins to listen.
    Enter(Seat, Finish),
    /// A user no longer listens.
    TurnOut(UserId),
}

/// An event, and who is not told of it.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) event: Event,
    pub(super) except: Option<ConnectionId>,
}

/// What is to become of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is next.
    Due,
    /// Others come first; it is held.
    Early,
    /// It had its turn.
    Repeat,
}

impl Lane {
    /// Decides on a message. One that is due must be given its turn at once.
    pub(super) fn admit(&mut self, message: &Arc<Message>) -> Admission {
        let seq = message.seq;
        self.known = self.known.max(seq);
        if self.start.is_none_or(|start| seq <= start) {
            // Everybody who listens has it from the storage; it is news to the transports all the same.
            self.passed = self.passed.max(seq);
            Admission::Due
        } else if seq <= self.passed {
            Admission::Repeat
        } else if seq == self.passed + 1 {
            self.held.remove(&seq);
            self.passed = seq;
            Admission::Due
        } else {
            if self.held.len() < HELD_MAX {
                self.held.insert(seq, message.clone());
            }
            Admission::Early
        }
    }

    /// Notes that there are messages up to `seq`.
    pub(super) fn hear_of(&mut self, seq: u64) {
        self.known = self.known.max(seq);
    }

    /// Notes that there may be one message more than is known.
    pub(super) fn doubt(&mut self) {
        self.known = self.known.max(self.passed) + 1;
    }

    /// Notes that in the storage the message `next` follows `after`; says whether that is a hole. Then there is nothing
    /// to wait for.
    pub(super) fn skip(&mut self, after: u64, next: u64) -> bool {
        let is_hole = self.passed == after && next > after + 1;
        if is_hole {
            self.passed = next - 1;
        }
        is_hole
    }

    /// Notes that the storage has nothing of what was missing when `up_to` was the newest known number: it was not true.
    pub(super) fn nothing_found(&mut self, up_to: u64) {
        if self.known == up_to {
            self.known = self.held.last_key_value().map_or(self.passed, |(seq, _)| *seq);
        }
    }

    /// Whether the order has begun.
    pub(super) fn is_in_order(&self) -> bool {
        self.start.is_some()
    }

    /// The number after which messages are missing, and how many may be.
    pub(super) fn missing(&self) -> Option<(u64, u64)> {
        let count = self.known.saturating_sub(self.passed);
        (self.start.is_some() && count > 0).then_some((self.passed, count))
    }

    /// Puts a step in line; gives it back when it is to be done at once, and then [`next`](Self::next) to be asked.
    /// Otherwise the channel tells when it was done.
    pub(super) fn line_up(&mut self, work: Work) -> Result<Work, oneshot::Receiver<()>> {
        if self.busy {
            let (over, when_over) = oneshot::channel();
            self.turns.push_back(Step { work, over: Some(over) });
            self.line_up_held();
            return Err(when_over);
        }
        self.busy = true;
        self.line_up_held();
        self.begin(&work);
        Ok(work)
    }

    /// Gives what was held its place in line, as far as nothing is missing before it.
    fn line_up_held(&mut self) {
        while let Some(message) = self.held.remove(&(self.passed + 1)) {
            self.passed = message.seq;
            self.turns.push_back(Step { work: Work::message(&message), over: None });
        }
    }

    /// The next step to be done. `None` when there is none; then nobody is at it any more.
    pub(super) fn next(&mut self) -> Option<Step> {
        let step = self.turns.pop_front();
        match &step {
            Some(step) => self.begin(&step.work),
            None => self.busy = false,
        }
        step
    }

    /// Whether a step is left to whoever has done the last.
    pub(super) fn has_next(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Whether so many wait that a hint may be left out.
    pub(super) fn is_crowded(&self) -> bool {
        self.turns.len() >= TURNS_MAX
    }

    fn begin(&mut self, work: &Work) {
        let Work::Tell(told) = work else { return };
        if self.joins.is_empty() {
            return;
        }
        if self.log.len() == LOG_MAX {
            self.log.pop_front();
            self.log_begin += 1;
        }
        self.log.push_back(told.clone());
    }

    /// Notes a connection that is about to be told what it missed.
    pub(super) fn begin_join(&mut self, ticket: u64, user: UserId) {
        let begin = self.log_begin + self.log.len() as u64;
        self.joins.insert(ticket, Join { user, begin, turned_out: false });
    }

    /// Notes up to where a joining connection was told everything. `false` when that is before the order begins: it
    /// must be told more.
    pub(super) fn place(&mut self, seq: u64) -> bool {
        let start = *self.start.get_or_insert(self.passed.max(seq));
        self.passed = self.passed.max(start);
        self.hear_of(seq);
        start <= seq
    }

    /// Lets a connection listen that was told everything up to `seq`; gives what was told to others meanwhile. With
    /// no `seq` it does not listen yet.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] when its user was taken out of the conversation.
    /// - [`Error::Overloaded`] when more was told than is remembered.
    /// - [`Error::Unavailable`] when everything was forgotten.
    pub(super) fn enter(
        &mut self,
        ticket: u64,
        connection: Option<ConnectionId>,
        seq: Option<u64>,
    ) -> Result<Option<(u64, Vec<Event>)>> {
        let join = self.joins.get(&ticket).ok_or_else(closed)?;
        if join.turned_out {
            return Err(Error::NotFound(super::NO_CONVERSATION));
        }
        let Some(seq) = seq else { return Ok(None) };
        let begin = join.begin.checked_sub(self.log_begin).ok_or(Error::Overloaded)?;
        let is_news = |told: &&Told| match &told.event {
            Event::MessageNew(message) => message.seq > seq,
            _ => told.except.is_none() || told.except != connection,
        };
        let since = self.log.iter().skip(usize::try_from(begin).unwrap_or(usize::MAX));
        let missed = since.filter(is_news).map(|told| told.event.clone()).collect();
        self.end_join(ticket);
        self.listeners += 1;
        Ok(Some((seq, missed)))
    }

    /// Forgets a joining connection.
    pub(super) fn end_join(&mut self, ticket: u64) {
        self.joins.remove(&ticket);
        // Later ones came at a later place in the log.
        let end = self.log_begin + self.log.len() as u64;
        let needed_from = self.joins.first_key_value().map_or(end, |(_, join)| join.begin);
        while self.log_begin < needed_from {
            self.log.pop_front();
            self.log_begin += 1;
        }
    }

    /// Lets no joining connection of this user in.
    pub(super) fn turn_out(&mut self, user: UserId) {
        for join in self.joins.values_mut().filter(|join| join.user == user) {
            join.turned_out = true;
        }
    }

    /// Forgets a connection that listened.
    pub(super) fn leave(&mut self) {
        self.listeners = self.listeners.saturating_sub(1);
    }

    /// Whether anybody listens, or is about to.
    pub(super) fn is_wanted(&self) -> bool {
        self.listeners > 0 || !self.joins.is_empty()
    }

    /// Whether there is nothing left to remember.
    pub(super) fn is_over(&self) -> bool {
        !self.is_wanted() && !self.busy && self.held.is_empty()
    }

    /// Nobody listens any more: what was held for the sake of the order has its turn now. Then, unless somebody is at
    /// it, it is for the caller to do what is in line.
    pub(super) fn give_up_order(&mut self) -> bool {
        self.start = None;
        for (seq, message) in std::mem::take(&mut self.held) {
            self.passed = seq;
            self.turns.push_back(Step { work: Work::message(&message), over: None });
        }
        let is_mine = !self.busy && !self.turns.is_empty();
        self.busy |= is_mine;
        is_mine
    }

    /// Those who wait for their turn to listen.
    pub(super) fn into_waiting(self) -> impl Iterator<Item = (Seat, Finish)> {
        self.turns.into_iter().filter_map(|step| match step.work {
            Work::Enter(seat, finish) => Some((seat, finish)),
            Work::Tell(_) | Work::TurnOut(_) => None,
        })
    }

    /// Whether somebody reads what is missing.
    pub(super) fn has_reader(&self) -> bool {
        self.reader.is_some()
    }

    /// Notes who reads what is missing, or that nobody does.
    pub(super) fn set_reader(&mut self, reader: Option<AbortOnDropHandle<()>>) {
        self.reader = reader;
    }
}

/// Why a connection cannot listen that is not known any more.
pub(super) fn closed() -> Error {
    Error::Unavailable("the engine is closed".into())
}

impl Work {
    /// Telling of a message.
    pub(super) fn message(message: &Arc<Message>) -> Self {
        Self::Tell(Told { event: Event::MessageNew(message.clone()), except: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ConversationId, MessageId, MessageKind, Timestamp, UserBrief};

    fn message(seq: u64) -> Arc<Message> {
        Arc::new(Message {
            id: MessageId::new(),
            conversation_id: ConversationId::new(),
            seq,
            sender: UserBrief { id: UserId::new(), username: "alice".to_owned(), avatar: None },
            client_message_id: None,
            content: "hi".to_owned(),
            kind: MessageKind::Text,
            attachment: None,
            created_at: Timestamp::from_millis(0),
        })
    }

    #[test]
    fn no_more_is_held_than_the_bound_and_the_rest_is_known_to_be_missing() {
        let mut lane = Lane::default();
        assert!(lane.place(0));
        let last = HELD_MAX as u64 + 100;
        for seq in 2..=last {
            assert_eq!(lane.admit(&message(seq)), Admission::Early);
        }
        assert_eq!((lane.held.len(), lane.missing()), (HELD_MAX, Some((0, last))));

        assert_eq!(lane.admit(&message(1)), Admission::Due);
        assert!(lane.line_up(Work::message(&message(1))).is_ok());
        assert_eq!((lane.held.len(), lane.turns.len()), (0, HELD_MAX));
        assert_eq!(lane.missing(), Some((HELD_MAX as u64 + 1, 99)));
    }

    #[test]
    fn no_more_is_remembered_for_those_who_join_than_the_bound_and_nothing_when_nobody_does() {
        let mut lane = Lane::default();
        lane.begin_join(1, UserId::new());
        lane.begin_join(2, UserId::new());
        for seq in 1..=LOG_MAX as u64 + 1 {
            lane.admit(&message(seq));
            assert!(lane.line_up(Work::message(&message(seq))).is_ok() && lane.next().is_none());
        }
        lane.begin_join(3, UserId::new());
        assert_eq!(lane.log.len(), LOG_MAX);

        assert!(matches!(lane.enter(1, None, Some(0)), Err(Error::Overloaded)));
        lane.end_join(1);
        assert_eq!(lane.log.len(), LOG_MAX, "another one came as early");
        lane.end_join(2);
        assert!(lane.log.is_empty());
        assert!(
            lane.enter(3, None, Some(0))
                .is_ok_and(|entry| entry.is_some_and(|(_, missed)| missed.is_empty()))
        );
    }
}
