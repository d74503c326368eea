//! Who is counted, and the memory of what they did, which is bounded.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;

use crate::model::{ClientAddress, ConnectionId, ConversationId, UserId};

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    User(UserId),
    Connection(ConnectionId),
    Typist(UserId, ConversationId),
    Address(ClientAddress),
    /// An account, as a hash of its e-mail, from an address: never an account alone, which would let anyone lock its
    /// owner out.
    Account(u64, ClientAddress),
    /// All those together of whom no address is known.
    Nowhere,
}

/// For each key, from when on it has done nothing that counts. governor's own stores have no bound.
///
/// One lock: it is held for a look-up and an addition, some 50 ns.
#[derive(Debug)]
pub(super) struct Keys {
    free_at: Mutex<HashMap<Key, Nanos>>,
    max: usize,
}

impl Keys {
    pub(super) fn new(max: usize) -> Self {
        Self { free_at: Mutex::default(), max: max.max(1) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Nanos>> {
        self.free_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Keys {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut free_at = self.lock();
        let known = free_at.get(key).copied();
        let (answer, next) = measure(known)?;
        if known.is_none() && free_at.len() >= self.max {
            forget_half(&mut free_at);
        }
        free_at.insert(*key, next);
        Ok(answer)
    }
}

impl ShrinkableKeyedStateStore<Key> for Keys {
    fn retain_recent(&self, drop_below: Nanos) {
        let mut free_at = self.lock();
        free_at.retain(|_, at| *at > drop_below);
        // After a flood of keys the memory is given back, but not each time for a little.
        if free_at.capacity() / 8 > free_at.len() {
            free_at.shrink_to_fit();
        }
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

/// Forgets the half that has used least: those lose the least by it, and whoever is refused now stays known. Half at
/// once, so that a flood of new keys does not pay for it each time.
fn forget_half(free_at: &mut HashMap<Key, Nanos>) {
    let mut all: Vec<Nanos> = free_at.values().copied().collect();
    let mut left = all.len().div_ceil(2);
    if left == 0 {
        return;
    }
    let (_, middle, _) = all.select_nth_unstable(left - 1);
    let middle = *middle;
    free_at.retain(|_, at| {
        let goes = *at <= middle && left > 0;
        left -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(keys: &Keys, key: Key, at: u64) {
        let _ = keys.measure_and_replace(&key, |_| Ok::<_, ()>(((), Nanos::new(at))));
    }

    fn known(keys: &Keys, key: Key) -> Option<u64> {
        keys.lock().get(&key).map(|at| at.as_u64())
    }

    fn account(number: u64) -> Key {
        Key::Account(number, ClientAddress::of([192, 0, 2, 1].into()))
    }

    #[test]
    fn a_flood_of_keys_takes_no_more_room_and_forgets_nobody_who_was_refused() {
        let keys = Keys::new(1_000);
        for refused in 0..400 {
            put(&keys, account(refused), 1_000_000 + refused);
        }
        for stranger in 1_000..101_000 {
            put(&keys, account(stranger), stranger / 1_000);
            assert!(keys.len() <= 1_000);
        }
        assert!((0..400).all(|refused| known(&keys, account(refused)).is_some()));
        assert_eq!(known(&keys, account(1_000)), None, "room comes from somewhere");
    }

    #[test]
    fn of_those_who_have_used_the_same_half_stay() {
        let keys = Keys::new(10);
        (0..11).for_each(|number| put(&keys, account(number), 7));
        assert_eq!(keys.len(), 6);
        // Control: who is known already needs no room.
        let full = Keys::new(2);
        (0..100).for_each(|number| put(&full, account(number % 2), number));
        assert_eq!(full.len(), 2);
        let one = Keys::new(0);
        (0..3).for_each(|number| put(&one, account(number), number));
        assert_eq!(one.len(), 1);
    }

    #[test]
    fn who_is_free_again_is_forgotten_and_the_room_is_given_back() {
        let keys = Keys::new(100_000);
        (0..10_000).for_each(|number| put(&keys, account(number), number));
        keys.retain_recent(Nanos::new(9_989));
        assert_eq!(keys.len(), 10);
        assert!(keys.lock().capacity() < 1_000);
    }

    #[test]
    fn a_refusal_changes_nothing() {
        let keys = Keys::new(10);
        put(&keys, account(1), 5);
        assert_eq!(keys.measure_and_replace(&account(1), Err::<((), Nanos), _>), Err(Some(Nanos::new(5))));
        assert_eq!(known(&keys, account(1)), Some(5));
    }
}
