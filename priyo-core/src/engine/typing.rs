//! Who is writing where: in memory, ended by time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
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
    /// - [`Error::NotFound`] when there is no such conversation, or none that the caller may know of.
    /// - [`Error::Forbidden`] for an administrator who is not in it.
    /// - [`Error::ConversationClosed`] when it takes no more messages.
    pub async fn start_typing(&self, caller: &Caller, id: ConversationId) -> Result<()> {
        self.may_type(caller, id).await?;
        self.inner.typing.start_one(caller, id);
        Ok(())
    }

    /// Notes that the caller is no longer writing. It is fine when they were not.
    ///
    /// # Errors
    ///
    /// As [`start_typing`](Self::start_typing).
    pub async fn stop_typing(&self, caller: &Caller, id: ConversationId) -> Result<()> {
        self.may_type(caller, id).await?;
        self.inner.typing.stop_all(caller.user_id, Some(id));
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
    /// When to look at which notice, the next one first.
    deadlines: BinaryHeap<Reverse<(Instant, Key)>>,
    /// Whose notices will be looked at, one deadline each: else who starts and stops all the time piles them up.
    watched: HashSet<Key>,
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
        state.notices.insert(key, notice);
        telemetry::typing_notices(state.notices.len());
        if state.watched.insert(key) {
            state.deadlines.push(Reverse((now + self.ttl, key)));
            self.changed.notify_one();
        }
        // Told with the lock held, so that a start and a stop cannot overtake each other.
        if announce {
            self.tell(Event::TypingStarted, typist, caller.connection_id);
        }
    }

    /// Ends the notices of a user, in one conversation or all.
    pub(super) fn stop_all(&self, user: UserId, only: Option<ConversationId>) {
        self.stop_where(|(conversation, typist), _| {
            *typist == user && only.is_none_or(|id| id == *conversation)
        });
    }

    /// Ends the notices that came from a connection.
    pub(super) fn stop_connection(&self, user: UserId, connection: ConnectionId) {
        self.stop_where(|(_, typist), notice| *typist == user && notice.connection == Some(connection));
    }

    fn stop_where(&self, ended: impl Fn(&Key, &Notice) -> bool) {
        let mut state = self.lock();
        let notices = state.notices.extract_if(|key, notice| ended(key, notice));
        for (_, notice) in notices.collect::<Vec<_>>() {
            self.tell(Event::TypingStopped, notice.typist, notice.connection);
        }
        telemetry::typing_notices(state.notices.len());
    }

    /// Ends what is over; gives when the next one may be.
    fn expire_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        while let Some(Reverse((at, key))) = state.deadlines.peek().copied() {
            if at > now {
                return Some(at);
            }
            state.deadlines.pop();
            match state.notices.get(&key).map(|notice| notice.ends) {
                Some(ends) if ends > now => state.deadlines.push(Reverse((ends, key))),
                Some(_) => {
                    if let Some(notice) = state.notices.remove(&key) {
                        self.tell(Event::TypingStopped, notice.typist, notice.connection);
                    }
                    telemetry::typing_notices(state.notices.len());
                }
                None => {}
            }
            if !state.notices.contains_key(&key) {
                state.watched.remove(&key);
            }
        }
        None
    }

    fn tell(&self, event: impl FnOnce(Typist) -> Event, typist: Typist, except: Option<ConnectionId>) {
        self.sequencer.announce(typist.conversation_id, except, event(typist));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
            typing.stop_all(caller.user_id, Some(id));
        }
        typing.start_one(&caller, id);
        assert_eq!(typing.lock().deadlines.len(), 1);

        // And it ends by itself, with nothing of it left.
        while let Some(next) = typing.expire_due() {
            tokio::time::sleep_until(next).await;
        }
        let state = typing.lock();
        assert!(state.notices.is_empty() && state.deadlines.is_empty() && state.watched.is_empty());
    }
}
