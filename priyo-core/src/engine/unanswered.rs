//! Changes of which nobody knows whether they were made, because the storage has not said so.
//!
//! Whoever asked for one is told that the storage is away, and may never ask again. What rests on what was taken away
//! ends at once all the same; and what has come of it is told when the storage answers.

use std::time::Duration;

use super::ChatEngine;
use crate::model::{Conversation, ConversationId};
use crate::storage::{self, StorageError, unpanicked};

/// How long after the failure the storage is asked, and how long after another failure again: doubled each time, up to
/// what a person bears who waits for the storage to come back.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Whether a write may have been done although it failed.
pub(super) fn is_unanswered<T>(written: &storage::Result<T>) -> bool {
    matches!(written, Err(StorageError::Unavailable(_)))
}

impl ChatEngine {
    /// Tells what is to be told of a conversation once the storage says how it is now; with nothing when there is no
    /// such conversation. Keeps no engine alive that has been let go of.
    pub(super) fn tell_when_known(
        &self,
        id: ConversationId,
        tell: impl FnOnce(&Self, Option<Conversation>) + Send + 'static,
    ) {
        let engine = self.downgrade();
        tokio::spawn(async move {
            let mut pause = RETRY_FIRST;
            loop {
                tokio::time::sleep(pause).await;
                let Some(engine) = engine.upgrade() else { return };
                // Whoever changes it meanwhile tells of that themselves, and later than this.
                let Ok(_turn) = engine.inner.turns.of(id).await else { return };
                match unpanicked(engine.inner.storage.conversation(id)).await {
                    Ok(conversation) => return tell(&engine, conversation),
                    Err(error) => {
                        tracing::debug!(conversation.id = %id, %error, "what has come of a change is not known yet");
                    }
                }
                pause = RETRY_MAX.min(pause * 2);
            }
        });
    }
}
