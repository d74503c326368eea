//! A storage that counts how often it is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use priyo_core::storage::Storage;

use crate::Hooked;

/// A storage, and how often it was asked. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct CountedStorage {
    storage: Hooked,
    calls: Arc<AtomicUsize>,
}

impl CountedStorage {
    /// Counts the calls of a storage.
    pub fn new(storage: impl Storage) -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        let storage = Hooked::new(Arc::new(storage), move |call| {
            if !BEHIND.contains(&call) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        Self { storage, calls }
    }

    /// The storage, for an engine.
    pub fn storage(&self) -> Hooked {
        self.storage.clone()
    }

    /// How many calls came since this was last asked. What the engine writes behind, when a message was handed to
    /// whom and who is there, is not among them.
    pub fn take(&self) -> usize {
        self.calls.swap(0, Ordering::Relaxed)
    }
}

/// What the engine writes when it has the time.
const BEHIND: [&str; 3] = ["set_delivered", "set_last_seen", "delete_ended"];
