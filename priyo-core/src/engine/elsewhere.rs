//! What has ended at other nodes: they share the storage and tell this one nothing, so it has to look.
//!
//! Whoever does something is looked at each time. Here are those who only listen: they must not go on hearing what they
//! may not hear any more.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{ChatEngine, WeakEngine};
use crate::auth::Caller;
use crate::model::{ConnectionId, ConversationId, SessionId, UserId};
use crate::storage::{self, unpanicked};

/// How long after a look the next one is taken. With the time that a look takes, nobody hears more than 5 s too long.
const LOOK_EVERY: Duration = Duration::from_millis(1_500);

/// Asked for at once, so that others need not wait long behind it.
const READ_AT_ONCE: usize = 500;

/// The sessions behind live connections.
#[derive(Debug, Default)]
pub(super) struct LiveSessions(Mutex<HashMap<ConnectionId, SessionId>>);

impl LiveSessions {
    /// Notes on which session a connection rests, if it is one of ours.
    pub(super) fn note(&self, caller: &Caller) {
        if let (Some(connection), Some(session)) = (caller.connection_id, caller.session_id) {
            self.lock().insert(connection, session);
        }
    }

    /// Forgets a connection.
    pub(super) fn forget(&self, connection: ConnectionId) {
        self.lock().remove(&connection);
    }

    /// All of them, each once.
    fn all(&self) -> Vec<SessionId> {
        let mut all: Vec<SessionId> = self.lock().values().copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectionId, SessionId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks again and again. Ends with the engine, and keeps none alive.
pub(super) async fn watch(engine: WeakEngine) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(engine) = engine.upgrade() else { return };
        if let Err(error) = engine.end_what_others_ended().await {
            tracing::warn!(%error, "whether others have taken somebody out or logged them out is not known");
        }
    }
}

impl ChatEngine {
    async fn end_what_others_ended(&self) -> storage::Result<()> {
        let storage = &self.inner.storage;
        for some in self.inner.sequencer.participants().chunks(READ_AT_ONCE) {
            let standings = unpanicked(storage.standings(some)).await?;
            for ((id, user), standing) in some.iter().zip(standings) {
                if !standing.is_some_and(|standing| standing.is_participant) {
                    self.turn_out_if_still_in(*id, *user).await;
                }
            }
        }
        // Those of a host's own login are the host's to end.
        if !self.has_accounts() {
            return Ok(());
        }
        for some in self.inner.live_sessions.all().chunks(READ_AT_ONCE) {
            let ended = unpanicked(storage.ended_sessions(some)).await?;
            // The engine keeps accounts, so there is nothing that could fail.
            let _ = self.end_sessions(&ended);
        }
        // They are few, and the only ones who may listen to what they are not in.
        for (user, role) in self.inner.inbox_news.agents.with_roles() {
            if unpanicked(storage.user(user)).await?.is_none_or(|now| now.role < role) {
                let _ = self.send_back(user);
            }
        }
        Ok(())
    }

    /// Who was taken out at this node while it was looking is turned out already, and told so.
    async fn turn_out_if_still_in(&self, id: ConversationId, user: UserId) {
        // Whoever waits in vain looks again soon.
        let Ok(_turn) = self.inner.turns.of(id).await else { return };
        if self.inner.sequencer.has_participant(id, user) {
            self.turn_out_unsure(id, user).await;
        }
    }
}
