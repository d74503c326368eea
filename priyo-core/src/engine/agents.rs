//! Those who answer visitors and have a live connection to this node.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::auth::Caller;
use crate::model::{ConnectionId, Role, UserId};

/// The live connections of agents and administrators.
#[derive(Debug, Default)]
pub(super) struct Agents(Mutex<HashMap<ConnectionId, (UserId, Role)>>);

impl Agents {
    /// Notes a connection, if it is an agent's.
    pub(super) fn note(&self, caller: &Caller) {
        if let Some(connection) = caller.connection_id.filter(|_| caller.role != Role::Customer) {
            self.lock().insert(connection, (caller.user_id, caller.role));
        }
    }

    /// Notes the connections of one who has become an agent.
    pub(super) fn add(&self, user: UserId, role: Role, connections: Vec<ConnectionId>) {
        self.lock().extend(connections.into_iter().map(|connection| (connection, (user, role))));
    }

    /// Forgets a connection.
    pub(super) fn forget(&self, connection: ConnectionId) {
        self.lock().remove(&connection);
    }

    /// All of them, each once.
    pub(super) fn all(&self) -> Vec<UserId> {
        let mut all: Vec<UserId> = self.lock().values().map(|(user, _)| *user).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The same, each with the most that one of their connections may.
    pub(super) fn with_roles(&self) -> HashMap<UserId, Role> {
        let mut all = HashMap::new();
        for (user, role) in self.lock().values().copied() {
            let most = all.entry(user).or_insert(role);
            *most = role.max(*most);
        }
        all
    }

    /// Whether there is any.
    pub(super) fn is_any(&self) -> bool {
        !self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectionId, (UserId, Role)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
