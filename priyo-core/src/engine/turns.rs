//! Changes of one conversation, one after the other from the commit to the last word of it.
//!
//! Without that, who was taken out and brought in again could hear of it the other way round, and be turned out of a
//! room that they have just come into. Messages need no turn: they have their own queue.

use std::hash::{BuildHasher, RandomState};

use tokio::sync::{Mutex, MutexGuard};

use crate::error::{Error, Result};
use crate::model::ConversationId;
use crate::patience;

/// Enough that two conversations rarely wait for each other.
const LANES: usize = 64;

/// Whose turn it is, for each of a fixed number of groups of conversations.
#[derive(Debug)]
pub(super) struct Turns {
    lanes: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for Turns {
    fn default() -> Self {
        Self { lanes: (0..LANES).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }
}

impl Turns {
    /// Waits for the turn to change a conversation, which lasts until the answer is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when it takes too long.
    pub(super) async fn of(&self, id: ConversationId) -> Result<MutexGuard<'_, ()>> {
        let hash = usize::try_from(self.hasher.hash_one(id) % LANES as u64).unwrap_or_default();
        let turn = patience::wait(self.lanes[hash].lock()).await;
        turn.ok_or_else(|| Error::Unavailable("another change takes too long".into()))
    }
}
