//! Who is writing where: in memory, ended by time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::ChatEngine;
use super::sequencer::Sequencer;
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::events::{Event, Typist};
use crate::model::{ConnectionId, ConversationId, ConversationStatus, UserId};
use crate::telemetry;

impl ChatEngine {
    /// Notes that the caller is writing. It ends by itself after `limits.typing_ttl` unless renewed.
    ///
    /// # Errors
    ///
    /// - [`Error::RateLimited`] when this is noted too often: once in two seconds is enough for any client.
    /// - [`Error::NotFound`] when there is no such conversation, or none that the caller may know of.
    /// - [`Error::Forbidden`] for an administrator who is not in it.
    /// - [`Error::ConversationClosed`] when it takes no more messages.
    pub async fn start_typing(&self, caller: &Caller, id: ConversationId) -> Result<()> {
        self.count_typing(caller, id)?;
        self.may_type(caller, id).await?;
        self.inner.typing.start_one(caller, id);
        Ok(())
    }

    /// Notes that the caller is no longer writing. It is fine when they were not.
    ///
    /// # Errors
    ///
    /// As [`start_typing`](Self::start_typing), but that it is not counted.
    pub async fn stop_typing(&self, caller: &Caller, id: ConversationId) -> Result<()> {
        self.may_type(caller, id).await?;
        self.inner.typing.stop(caller.user_id, id);
        Ok(())
    }

    async fn may_type(&self, caller: &Caller, id: ConversationId) -> Result<()> {
        match self.joined(caller, id).await?.status {
            ConversationStatus::Open => Ok(()),
            ConversationStatus::Closed => Err(Error::ConversationClosed),
        }
    }
}

/// A notice that is renewed sooner than this is not announced again.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(2);

type Key = (ConversationId, UserId);

/// Everyone who is writing.
#[derive(Debug)]
pub(super) struct Typing {
    sequencer: Arc<Sequencer>,
    ttl: Duration,
    state: Mutex<State>,
    /// Rung when there is something to expire after there was nothing, and at the end.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    notices: HashMap<Key, Notice>,
    /// Where each of them is writing.
    by_user: HashMap<UserId, HashSet<ConversationId>>,
    /// When to look at which notice, the next one first.
    deadlines: BinaryHeap<Reverse<(Instant, Key)>>,
    /// Whose notices will be looked at, one deadline each: else who starts and stops all the time piles them up.
    watched: HashSet<Key>,
    /// What is still to be told, the first first.
    untold: VecDeque<Untold>,
    /// Whether somebody is telling it.
    is_told: bool,
}

#[derive(Debug)]
struct Untold {
    event: Event,
    conversation: ConversationId,
    except: Option<ConnectionId>,
}

#[derive(Debug)]
struct Notice {
    typist: Typist,
    connection: Option<ConnectionId>,
    ends: Instant,
    announced: Instant,
}

impl Typing {
    /// Starts ending notices. That ends when the value is dropped.
    pub(super) fn start(sequencer: Arc<Sequencer>, ttl: Duration) -> Arc<Self> {
        let typing = Arc::new(Self { sequencer, ttl, state: Mutex::default(), changed: Arc::default() });
        tokio::spawn(expire(Arc::downgrade(&typing), typing.changed.clone()));
        typing
    }

    fn start_one(&self, caller: &Caller, id: ConversationId) {
        let now = Instant::now();
        let key = (id, caller.user_id);
        let typist =
            Typist { conversation_id: id, user_id: caller.user_id, username: caller.username.to_string() };
        let mut state = self.lock();
        let announced = state.notices.get(&key).map(|notice| notice.announced);
        let announce = announced.is_none_or(|at| now.duration_since(at) >= ANNOUNCE_EVERY);
        let notice = Notice {
            typist: typist.clone(),
            connection: caller.connection_id,
            ends: now + self.ttl,
            announced: announced.filter(|_| !announce).unwrap_or(now),
        };
        state.add(key, notice);
        if state.watched.insert(key) {
            state.deadlines.push(Reverse((now + self.ttl, key)));
            self.changed.notify_one();
        }
        if announce {
            state.tell(Event::TypingStarted, typist, caller.connection_id);
        }
        self.tell_all(state);
    }

    /// Ends the notice of a user in a conversation.
    pub(super) fn stop(&self, user: UserId, id: ConversationId) {
        let mut state = self.lock();
        state.stop((id, user));
        self.tell_all(state);
    }

    /// Ends the notices that came from a connection.
    pub(super) fn stop_connection(&self, user: UserId, connection: ConnectionId) {
        let mut state = self.lock();
        let State { notices, by_user, .. } = &*state;
        let of_user = by_user.get(&user).into_iter().flatten().map(|id| (*id, user));
        let is_from_there =
            |key: &Key| notices.get(key).is_some_and(|one| one.connection == Some(connection));
        let ended: Vec<Key> = of_user.filter(is_from_there).collect();
        ended.into_iter().for_each(|key| state.stop(key));
        self.tell_all(state);
    }

    /// Ends what is over; gives when the next one may be.
    fn expire_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        let next = state.expire_due(now);
        self.tell_all(state);
        next
    }

    /// Tells what is to be told, with nothing locked: who is told may well tell of a disconnection. One after the other,
    /// so that a start and a stop cannot overtake each other: while somebody is at it, others leave theirs to them.
    fn tell_all<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        if state.is_told {
            return;
        }
        state.is_told = true;
        while let Some(Untold { event, conversation, except }) = state.untold.pop_front() {
            drop(state);
            self.sequencer.announce(conversation, except, event);
            state = self.lock();
        }
        state.is_told = false;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, key: Key, notice: Notice) {
        let (id, user) = key;
        self.by_user.entry(user).or_default().insert(id);
        self.notices.insert(key, notice);
        telemetry::typing_notices(self.notices.len());
    }

    /// Ends a notice, if there is one.
    fn stop(&mut self, key: Key) {
        let Some(Notice { typist, connection, .. }) = self.notices.remove(&key) else { return };
        let (id, user) = key;
        if let Some(conversations) = self.by_user.get_mut(&user) {
            conversations.remove(&id);
            if conversations.is_empty() {
                self.by_user.remove(&user);
            }
        }
        telemetry::typing_notices(self.notices.len());
        self.tell(Event::TypingStopped, typist, connection);
    }

    fn expire_due(&mut self, now: Instant) -> Option<Instant> {
        while let Some(Reverse((at, key))) = self.deadlines.peek().copied() {
            if at > now {
                return Some(at);
            }
            self.deadlines.pop();
            match self.notices.get(&key).map(|notice| notice.ends) {
                Some(ends) if ends > now => self.deadlines.push(Reverse((ends, key))),
                _ => {
                    self.stop(key);
                    self.watched.remove(&key);
                }
            }
        }
        None
    }

    fn tell(&mut self, event: impl FnOnce(Typist) -> Event, typist: Typist, except: Option<ConnectionId>) {
        self.untold.push_back(Untold { conversation: typist.conversation_id, event: event(typist), except });
    }
}

impl Drop for Typing {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

async fn expire(typing: Weak<Typing>, changed: Arc<Notify>) {
    loop {
        // Not held while waiting, which would keep a dropped engine's parts.
        let Some(next) = typing.upgrade().map(|typing| typing.expire_due()) else { return };
        match next {
            Some(next) => drop(tokio::time::timeout_at(next, changed.notified()).await),
            None => changed.notified().await,
        }
    }
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use super::*;
    use crate::engine::sequencer::scene::Scene;
    use crate::model::{Role, Timestamp, User};

    #[tokio::test]
    async fn who_starts_and_stops_all_the_time_piles_nothing_up() {
        let scene = Scene::set().await;
        let typing = Typing::start(scene.sequencer.clone(), Duration::from_millis(20));
        let caller = Caller::new(&User {
            id: UserId::new(),
            external_id: None,
            email: None,
            username: "alice".to_owned(),
            avatar: None,
            role: Role::Customer,
            disabled: false,
            created_at: Timestamp::from_millis(0),
            last_seen: None,
        });
        let id = ConversationId::new();
        for _ in 0..1_000 {
            typing.start_one(&caller, id);
            typing.stop(caller.user_id, id);
        }
        typing.start_one(&caller, id);
        assert_eq!(typing.lock().deadlines.len(), 1);

        // And it ends by itself, with nothing of it left.
        while let Some(next) = typing.expire_due() {
            tokio::time::sleep_until(next).await;
        }
        let state = typing.lock();
        assert!(state.notices.is_empty() && state.by_user.is_empty());
        assert!(state.deadlines.is_empty() && state.watched.is_empty());
    }
}
