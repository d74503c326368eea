//! Who has a live connection: counted in memory, and stored now and then.
//!
//! That a user was there is stored when their last connection ends, and while they have one at least every
//! `limits.presence_renewal`: a crash then forgets no more than that. One task does both, and tells those who
//! should know, so that what is told of one user comes in order.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ChatEngine;
use super::announcer::Announcer;
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::events::{Audience, Event};
use crate::limits::Limits;
use crate::model::{ClientAddress, Clock, ConnectionId, Timestamp, UserId};
use crate::storage::{Storage, unpanicked};
use crate::telemetry;

impl ChatEngine {
    /// Notes a live connection of the caller, and where it comes from if that is known; the caller that comes back
    /// speaks through it. Let its token be watched over by [`watch_token`](Self::watch_token), and tell of its end
    /// with [`disconnected`](Self::disconnected).
    ///
    /// # Errors
    ///
    /// [`Error::TooManyConnections`] when the caller has `limits.sockets_per_user` of them, or `from` has
    /// `limits.sockets_per_address`.
    pub fn connected(&self, caller: Caller, from: Option<ClientAddress>) -> Result<Caller> {
        let connection = ConnectionId::new();
        self.inner.presence.add(caller.user_id, connection, from)?;
        let caller = caller.on(connection);
        self.inner.live_sessions.note(&caller);
        self.inner.inbox_news.agents.note(&caller);
        Ok(caller)
    }

    /// Notes that a live connection has ended. Telling of it twice is fine.
    pub fn disconnected(&self, caller: &Caller) {
        if let Some(connection) = caller.connection_id {
            self.inner.typing.stop_connection(caller.user_id, connection);
            self.inner.presence.remove(caller.user_id, connection);
            self.inner.expiry.forget(connection);
            self.inner.live_sessions.forget(connection);
            self.inner.inbox_news.agents.forget(connection);
        }
    }

    /// Whether a user has a live connection.
    #[must_use]
    pub fn is_online(&self, user: UserId) -> bool {
        self.inner.presence.0.is_online(user)
    }
}

/// How often to look for users of whom it is time to store that they are there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Users in one write, so that messages need not wait long behind it.
const WRITTEN_AT_ONCE: usize = 500;

/// Users of whom is told at once, by one read of those who know them.
const TOLD_AT_ONCE: usize = 64;

/// How long after a telling the next one waits for others to come and go: a restart brings everybody back within
/// seconds. Nobody sees it.
const TURN: Duration = Duration::from_millis(50);

/// The live connections of every user.
#[derive(Debug)]
pub(super) struct Presence(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    storage: Arc<dyn Storage>,
    announcer: Arc<Announcer>,
    clock: Clock,
    per_user: usize,
    per_address: usize,
    renewal: Duration,
    state: Mutex<State>,
    /// Rung when somebody came or went.
    changed: Notify,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct State {
    users: HashMap<UserId, Entry>,
    by_address: HashMap<ClientAddress, usize>,
    /// Who came or went and is to be told of, each once.
    untold: VecDeque<UserId>,
}

#[derive(Debug, Default)]
struct Entry {
    connections: HashMap<ConnectionId, Option<ClientAddress>>,
    /// What was told last.
    told_online: bool,
    /// Whether they are among those to be told of.
    is_untold: bool,
    /// When it was last stored that they were there.
    stored: Option<Instant>,
}

impl Presence {
    /// Starts telling and storing. That ends when the value is dropped.
    pub(super) fn start(
        storage: Arc<dyn Storage>,
        announcer: Arc<Announcer>,
        clock: Clock,
        limits: &Limits,
    ) -> Self {
        let shared = Arc::new(Shared {
            storage,
            announcer,
            clock,
            per_user: limits.sockets_per_user,
            per_address: limits.sockets_per_address,
            renewal: limits.presence_renewal,
            state: Mutex::default(),
            changed: Notify::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        shared.tasks.spawn(tell_and_store(shared.clone()));
        shared.tasks.close();
        Self(shared)
    }

    fn add(&self, user: UserId, connection: ConnectionId, from: Option<ClientAddress>) -> Result<()> {
        let mut state = self.0.lock();
        let State { users, by_address, untold } = &mut *state;
        let has = users.get(&user).map_or(0, |entry| entry.connections.len());
        let from_there = from.and_then(|from| by_address.get(&from)).copied().unwrap_or(0);
        if has >= self.0.per_user || from_there >= self.0.per_address {
            return Err(Error::TooManyConnections);
        }
        if let Some(from) = from {
            by_address.insert(from, from_there + 1);
        }
        let entry = users.entry(user).or_default();
        entry.connections.insert(connection, from);
        entry.changed(user, untold);
        self.0.changed.notify_one();
        Ok(())
    }

    fn remove(&self, user: UserId, connection: ConnectionId) {
        let mut state = self.0.lock();
        let State { users, by_address, untold } = &mut *state;
        let Some(entry) = users.get_mut(&user) else { return };
        let Some(from) = entry.connections.remove(&connection) else { return };
        entry.changed(user, untold);
        self.0.changed.notify_one();
        if let Some(from) = from
            && let Some(count) = by_address.get_mut(&from)
        {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&from);
            }
        }
    }

    /// Whether this connection is one of the user's.
    pub(super) fn has(&self, user: UserId, connection: ConnectionId) -> bool {
        self.0.lock().users.get(&user).is_some_and(|entry| entry.connections.contains_key(&connection))
    }

    /// The connections of a user.
    pub(super) fn connections_of(&self, user: UserId) -> Vec<ConnectionId> {
        let state = self.0.lock();
        state.users.get(&user).map(|entry| entry.connections.keys().copied().collect()).unwrap_or_default()
    }

    /// Stores of everyone who is online, and of everyone who went and is not told of yet, that they were there until
    /// now.
    pub(super) async fn close(&self) {
        self.0.stop.cancel();
        self.0.tasks.wait().await;
        let users: Vec<UserId> = std::mem::take(&mut *self.0.lock()).users.into_keys().collect();
        self.0.store(&users, self.0.clock.now()).await;
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.stop.cancel();
    }
}

impl Entry {
    /// Puts the user among those to be told of, if there may be something to tell.
    fn changed(&mut self, user: UserId, untold: &mut VecDeque<UserId>) {
        if !self.is_untold && self.told_online == self.connections.is_empty() {
            self.is_untold = true;
            untold.push_back(user);
        }
    }
}

async fn tell_and_store(presence: Arc<Shared>) {
    let mut look = tokio::time::interval(presence.renewal.clamp(Duration::from_millis(1), LOOK_EVERY));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = presence.stop.cancelled() => return,
            _ = look.tick() => presence.renew().await,
            () = presence.changed.notified() => presence.tell_changes().await,
        }
    }
}

impl Shared {
    fn is_online(&self, user: UserId) -> bool {
        self.lock().users.get(&user).is_some_and(|entry| !entry.connections.is_empty())
    }

    /// Tells until there is nothing new to tell, or no time for it any more.
    async fn tell_changes(&self) {
        while !self.stop.is_cancelled() {
            let (changes, gone) = self.next_to_tell();
            if changes.is_empty() && gone.is_empty() {
                return;
            }
            let now = self.clock.now();
            // First, so that who is told and then looks finds the same.
            self.store(&gone, now).await;
            self.tell(&changes, now).await;
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(TURN) => {}
            }
        }
    }

    /// The next users who came or went since they were last told of, with whether they are there now; and those
    /// who are not, some of whom may have come and gone untold.
    fn next_to_tell(&self) -> (Vec<(UserId, bool)>, Vec<UserId>) {
        let (mut changes, mut gone) = (Vec::new(), Vec::new());
        let mut state = self.lock();
        let State { users, untold, .. } = &mut *state;
        while changes.len().max(gone.len()) < TOLD_AT_ONCE
            && let Some(user) = untold.pop_front()
        {
            let Some(entry) = users.get_mut(&user) else { continue };
            entry.is_untold = false;
            let is_online = !entry.connections.is_empty();
            if entry.told_online != is_online {
                entry.told_online = is_online;
                changes.push((user, is_online));
            }
            if !is_online {
                users.remove(&user);
                gone.push(user);
            }
        }
        telemetry::users_online(users.len());
        (changes, gone)
    }

    async fn tell(&self, changes: &[(UserId, bool)], now: Timestamp) {
        if changes.is_empty() {
            return;
        }
        let users: Vec<UserId> = changes.iter().map(|(user, _)| *user).collect();
        match unpanicked(self.storage.contacts_of(&users)).await {
            Ok(contacts) => {
                for ((user, is_online), contacts) in changes.iter().zip(contacts) {
                    let last_seen = (!is_online).then_some(now);
                    let event = Event::UserStatus { user_id: *user, is_online: *is_online, last_seen };
                    self.announcer.announce(&Audience::Users(contacts), &event);
                }
            }
            Err(error) => tracing::warn!(users = users.len(), %error, "nobody was told who is online"),
        }
    }

    /// Stores of everyone of whom it is time to, that they are there.
    async fn renew(&self) {
        let now = Instant::now();
        let is_due = |entry: &Entry| {
            !entry.connections.is_empty()
                && entry.stored.is_none_or(|at| now.duration_since(at) >= self.renewal)
        };
        let due: Vec<UserId> =
            self.lock().users.iter().filter(|(_, entry)| is_due(entry)).map(|(user, _)| *user).collect();
        if self.store(&due, self.clock.now()).await {
            let mut state = self.lock();
            for user in due {
                if let Some(entry) = state.users.get_mut(&user) {
                    entry.stored = Some(now);
                }
            }
        }
    }

    /// Stores that users were there; says whether it could.
    async fn store(&self, users: &[UserId], at: Timestamp) -> bool {
        for some in users.chunks(WRITTEN_AT_ONCE) {
            if let Err(error) = unpanicked(self.storage.set_last_seen(some, at)).await {
                tracing::warn!(users = users.len(), %error, "when users were last seen was not written");
                return false;
            }
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
