//! Sockets that have not said who they are: how many there may be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::Limits;
use crate::model::ClientAddress;
use crate::telemetry;

/// The places for strangers. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub(super) struct Strangers(Arc<Shared>);

struct Shared {
    total: usize,
    per_address: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: usize,
    by_address: HashMap<ClientAddress, usize>,
}

/// A place among the sockets that have not said who they are. socketioxide keeps the extensions of the request that
/// opened a session as long as the session, so a place is free again when its session is over, or earlier when it is
/// left.
#[derive(Clone)]
pub(super) struct Place(Arc<Mutex<Option<Taken>>>);

struct Taken {
    strangers: Strangers,
    from: Option<ClientAddress>,
}

impl Strangers {
    pub(super) fn new(limits: &Limits) -> Self {
        let (total, per_address) = (limits.unknown_sockets, limits.unknown_sockets_per_address);
        Self(Arc::new(Shared { total, per_address, state: Mutex::default() }))
    }

    /// A place for one more who comes from there, if there is one.
    pub(super) fn admit(&self, from: Option<ClientAddress>) -> Option<Place> {
        let mut state = self.lock();
        let from_there = from.and_then(|from| state.by_address.get(&from)).copied().unwrap_or(0);
        if state.taken >= self.0.total || from_there >= self.0.per_address {
            return None;
        }
        state.taken += 1;
        telemetry::sockets_unknown(state.taken);
        if let Some(from) = from {
            state.by_address.insert(from, from_there + 1);
        }
        Some(Place(Arc::new(Mutex::new(Some(Taken { strangers: self.clone(), from })))))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Frees the place: whoever had it is no stranger any more.
    pub(super) fn leave(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut state = self.strangers.lock();
        state.taken -= 1;
        telemetry::sockets_unknown(state.taken);
        if let Some(from) = self.from
            && let Some(count) = state.by_address.get_mut(&from)
        {
            *count -= 1;
            if *count == 0 {
                state.by_address.remove(&from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strangers(total: usize, per_address: usize) -> Strangers {
        let limits =
            Limits { unknown_sockets: total, unknown_sockets_per_address: per_address, ..Limits::default() };
        Strangers::new(&limits)
    }

    fn address(text: &str) -> Option<ClientAddress> {
        Some(ClientAddress::of(text.parse().unwrap()))
    }

    #[test]
    fn one_address_has_so_many_places_and_all_together_so_many() {
        let strangers = strangers(3, 2);
        let (here, there) = (address("192.0.2.1"), address("192.0.2.2"));
        let first = strangers.admit(here).unwrap();
        let second = strangers.admit(here).unwrap();
        assert!(strangers.admit(here).is_none());
        let third = strangers.admit(there).unwrap();
        assert!(strangers.admit(there).is_none(), "there are three in all");

        first.leave();
        first.leave();
        let fourth = strangers.admit(here).unwrap();
        assert!(strangers.admit(here).is_none(), "a place is free once, however often it is left");
        drop((first, second, third, fourth));
        let state = strangers.lock();
        assert!(state.taken == 0 && state.by_address.is_empty());
    }

    #[test]
    fn those_of_whom_no_address_is_known_share_the_total() {
        let strangers = strangers(3, 1);
        let places: Vec<_> = (0..4).map(|_| strangers.admit(None)).collect();
        assert_eq!(places.iter().filter(|place| place.is_some()).count(), 3);
    }
}
