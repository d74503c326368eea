//! One storage for several engines of this process, as a database server is one for several nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use priyo_core::storage::{Storage, StorageError};

use crate::{Gate, Hooked};

/// A storage that says that others use it too, which is true of its clones. Messages can be made unreadable in it.
#[derive(Debug, Clone)]
pub struct SharedStorage {
    storage: Hooked,
    unreadable: Arc<AtomicBool>,
}

impl SharedStorage {
    /// Shares a storage.
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        let unreadable = Arc::new(AtomicBool::new(false));
        let is_unreadable = unreadable.clone();
        let storage = Hooked::new(storage, move |call| {
            if ["messages", "messages_for", "messages_in"].contains(&call)
                && is_unreadable.load(Ordering::Relaxed)
            {
                return Err(StorageError::Unavailable("a test has made it so".into()));
            }
            Ok(())
        });
        Self { storage: storage.shared(), unreadable }
    }

    /// Has the calls of one method wait at a gate.
    pub fn holding(self, call: &'static str, at: Arc<Gate>) -> Self {
        Self { storage: self.storage.holding(call, at), ..self }
    }

    /// The storage, for one of the engines.
    pub fn storage(&self) -> Hooked {
        self.storage.clone()
    }

    /// Whether reading messages fails from now on, as when the database is away.
    pub fn set_unreadable(&self, unreadable: bool) {
        self.unreadable.store(unreadable, Ordering::Relaxed);
    }
}
