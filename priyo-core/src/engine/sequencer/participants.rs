//! Those who listen to one conversation and take part in it.

use std::collections::HashMap;

use crate::model::UserId;

/// Each with how many of their connections listen.
#[derive(Default)]
pub(super) struct Participants(HashMap<UserId, usize>);

impl Participants {
    /// Notes that a connection of theirs listens.
    pub(super) fn add(&mut self, user: UserId) {
        *self.0.entry(user).or_default() += 1;
    }

    /// Notes that one no longer does.
    pub(super) fn remove(&mut self, user: UserId) {
        let Some(count) = self.0.get_mut(&user) else { return };
        *count -= 1;
        if *count == 0 {
            self.0.remove(&user);
        }
    }

    /// Each of them once.
    pub(super) fn all(&self) -> impl Iterator<Item = UserId> {
        self.0.keys().copied()
    }

    pub(super) fn has(&self, user: UserId) -> bool {
        self.0.contains_key(&user)
    }
}
