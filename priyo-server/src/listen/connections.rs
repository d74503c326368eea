//! Which connections are open, and how many there may be.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use priyo_core::model::ClientAddress;
use priyo_core::transport::Connection;
use tokio::sync::Notify;

use super::Seat;

/// The open connections of one [`Acceptor`](super::Acceptor). Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    per_address: Option<usize>,
    total: Option<usize>,
    open: Mutex<Open>,
    /// Told each time that the last connection has gone.
    gone: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next_id: u64,
    by_id: HashMap<u64, Connection>,
    by_address: HashMap<ClientAddress, usize>,
}

impl Connections {
    pub(super) fn new(per_address: Option<usize>, total: Option<usize>) -> Self {
        Self(Arc::new(Shared { per_address, total, open: Mutex::default(), gone: Notify::new() }))
    }

    /// How many are open, upgraded ones too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open().by_id.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that are open now.
    #[must_use]
    pub fn list(&self) -> Vec<Connection> {
        self.open().by_id.values().cloned().collect()
    }

    /// Ends every connection that is open now, upgraded ones too.
    pub fn end_all(&self) {
        // Not under the lock: ending one wakes the task that will take it out of here.
        for connection in self.list() {
            connection.end();
        }
    }

    /// Waits until none is open.
    pub async fn all_gone(&self) {
        loop {
            let gone = self.0.gone.notified();
            tokio::pin!(gone);
            // Before looking, so that one that goes in between is not missed.
            gone.as_mut().enable();
            if self.is_empty() {
                return;
            }
            gone.await;
        }
    }

    /// A place for a connection from `peer`, unless a cap says no.
    pub(super) fn admit(&self, peer: SocketAddr) -> Option<Seat> {
        let mut open = self.open();
        if self.0.total.is_some_and(|cap| open.by_id.len() >= cap) {
            return None;
        }
        let from_there = open.by_address.entry(ClientAddress::of(peer.ip())).or_default();
        if self.0.per_address.is_some_and(|cap| *from_there >= cap) {
            return None;
        }
        *from_there += 1;
        let connection = Connection::new(peer);
        let id = open.next_id;
        open.next_id += 1;
        open.by_id.insert(id, connection.clone());
        Some(Seat { connection, connections: self.clone(), id, peer })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.by_id.remove(&self.id);
        let address = ClientAddress::of(self.peer.ip());
        if let Some(count) = open.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&address);
            }
        }
        if open.by_id.is_empty() {
            self.connections.0.gone.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 1)
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one_and_free_their_place() {
        let connections = Connections::new(Some(2), None);
        let first = connections.admit(peer("2001:db8::1"));
        let second = connections.admit(peer("2001:db8::2"));
        assert!(first.is_some() && second.is_some());
        assert!(connections.admit(peer("2001:db8::3")).is_none());
        assert!(connections.admit(peer("2001:db8:0:1::3")).is_some());

        drop(first);
        assert!(connections.admit(peer("2001:db8::3")).is_some());
    }

    #[test]
    fn an_ipv4_address_is_the_same_behind_an_ipv6_socket() {
        let connections = Connections::new(Some(1), None);
        let first = connections.admit(peer("192.0.2.1"));
        assert!(connections.admit(peer("::ffff:192.0.2.1")).is_none());
        assert!(connections.admit(peer("192.0.2.2")).is_some());
        drop(first);
        assert!(connections.is_empty());
        assert!(connections.open().by_address.is_empty());
    }

    #[test]
    fn the_total_cap_holds_for_all_addresses_together() {
        let connections = Connections::new(None, Some(1));
        let first = connections.admit(peer("192.0.2.1"));
        assert!(connections.admit(peer("192.0.2.2")).is_none());
        drop(first);
        assert!(connections.admit(peer("192.0.2.2")).is_some());
    }
}
