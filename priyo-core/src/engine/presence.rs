//! Who has a live connection: counted, in memory.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::task::TaskTracker;

use super::ChatEngine;
use super::announcer::Announcer;
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::events::{Audience, Event};
use crate::model::{Clock, ConnectionId, UserId};
use crate::storage::Storage;

impl ChatEngine {
    /// Notes a live connection of the caller; the caller that comes back speaks through it. Tell of its end with
    /// [`disconnected`](Self::disconnected).
    ///
    /// # Errors
    ///
    /// [`Error::TooManyConnections`] when the caller has `limits.sockets_per_user` of them.
    pub fn connected(&self, caller: Caller) -> Result<Caller> {
        let connection = ConnectionId::new();
        self.inner.presence.add(caller.user_id, connection)?;
        Ok(caller.on(connection))
    }

    /// Notes that a live connection has ended. Telling of it twice is fine.
    pub fn disconnected(&self, caller: &Caller) {
        if let Some(connection) = caller.connection_id {
            self.inner.typing.stop_connection(caller.user_id, connection);
            self.inner.presence.remove(caller.user_id, connection);
        }
    }

    /// Whether a user has a live connection.
    #[must_use]
    pub fn is_online(&self, user: UserId) -> bool {
        self.inner.presence.is_online(user)
    }
}

/// The live connections of every user, and who was told of them.
#[derive(Debug)]
pub(super) struct Presence {
    storage: Arc<dyn Storage>,
    announcer: Arc<Announcer>,
    clock: Clock,
    per_user: usize,
    users: Mutex<HashMap<UserId, Entry>>,
    /// What is being told.
    telling: TaskTracker,
}

#[derive(Debug, Default)]
struct Entry {
    connections: HashSet<ConnectionId>,
    /// What was told last.
    told_online: bool,
    /// Whether a task is telling. One at a time for each user, so that what is told comes in order.
    telling: bool,
}

impl Presence {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        announcer: Arc<Announcer>,
        clock: Clock,
        per_user: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            storage,
            announcer,
            clock,
            per_user,
            users: Mutex::default(),
            telling: TaskTracker::new(),
        })
    }

    fn add(self: &Arc<Self>, user: UserId, connection: ConnectionId) -> Result<()> {
        let mut users = self.lock();
        let entry = users.entry(user).or_default();
        if entry.connections.len() >= self.per_user {
            return Err(Error::TooManyConnections);
        }
        entry.connections.insert(connection);
        self.tell(user, entry);
        Ok(())
    }

    fn remove(self: &Arc<Self>, user: UserId, connection: ConnectionId) {
        let mut users = self.lock();
        if let Some(entry) = users.get_mut(&user) {
            entry.connections.remove(&connection);
            self.tell(user, entry);
        }
    }

    fn is_online(&self, user: UserId) -> bool {
        self.lock().get(&user).is_some_and(|entry| !entry.connections.is_empty())
    }

    /// Writes for everyone who is online when they were last seen: now.
    pub(super) async fn close(&self) {
        self.telling.close();
        self.telling.wait().await;
        let online: Vec<UserId> = self.lock().drain().map(|(user, _)| user).collect();
        let now = self.clock.now();
        let writes =
            online.into_iter().map(|user| async move { self.storage.set_last_seen(user, now).await });
        for result in futures_util::future::join_all(writes).await {
            if let Err(error) = result {
                tracing::warn!(%error, "when a user was last seen was not written");
            }
        }
    }

    fn tell(self: &Arc<Self>, user: UserId, entry: &mut Entry) {
        if !entry.telling && entry.told_online == entry.connections.is_empty() {
            entry.telling = true;
            self.telling.spawn(self.clone().tell_changes(user));
        }
    }

    /// Tells until there is nothing new to tell.
    async fn tell_changes(self: Arc<Self>, user: UserId) {
        while let Some(is_online) = self.next_to_tell(user) {
            let now = self.clock.now();
            if !is_online && let Err(error) = self.storage.set_last_seen(user, now).await {
                tracing::warn!(user.id = %user, %error, "when a user was last seen was not written");
            }
            match self.storage.contacts_of(user).await {
                Ok(contacts) => {
                    let last_seen = (!is_online).then_some(now);
                    let event = Event::UserStatus { user_id: user, is_online, last_seen };
                    self.announcer.announce(&Audience::Users(contacts), &event);
                }
                Err(error) => tracing::warn!(user.id = %user, %error, "nobody was told who is online"),
            }
        }
    }

    fn next_to_tell(&self, user: UserId) -> Option<bool> {
        let mut users = self.lock();
        let entry = users.get_mut(&user)?;
        let is_online = !entry.connections.is_empty();
        if entry.told_online != is_online {
            entry.told_online = is_online;
            return Some(is_online);
        }
        entry.telling = false;
        if !is_online {
            users.remove(&user);
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Entry>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
