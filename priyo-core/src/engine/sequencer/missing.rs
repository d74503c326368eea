//! Reading what is missing: messages that nobody told of, and those whose notice is late or lost.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::lane::{Admission, Work};
use super::{Sequencer, Turn};
use crate::error::Error;
use crate::model::{ConversationId, Message, MessagePage, MessageRange};
use crate::storage::{MessageStore, StorageError, unpanicked};
use crate::telemetry;

/// How long a message that is early waits for those before it, before they are read. As a rule they are on their way,
/// from another node or a commit that was answered late; and nobody sees a wait as short as this.
const GRACE: Duration = Duration::from_millis(30);

/// How long after a failed read the next one is tried: doubled each time, up to what a person bears who waits for the
/// storage to come back.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Messages that are missing.
pub(super) struct Missing {
    storage: Arc<dyn MessageStore>,
    conversation: ConversationId,
    /// They come after this one.
    after: u64,
    /// The newest that is known of.
    up_to: u64,
    rows: u32,
    bytes: usize,
}

impl Missing {
    async fn read(&self) -> Result<MessagePage, StorageError> {
        let range = MessageRange::After(self.after);
        self.storage.messages(self.conversation, range, self.rows, self.bytes).await
    }
}

impl Sequencer {
    /// Reads what is missing in a conversation and passes it on, until nothing is. Keeps no engine alive that has been
    /// let go of.
    pub(super) async fn read_missing(this: Weak<Self>, conversation: ConversationId) {
        let missing = || this.upgrade().and_then(|sequencer| sequencer.missing(conversation));
        let (mut pause, mut retry) = (GRACE, RETRY_FIRST);
        while missing().is_some() {
            tokio::time::sleep(pause).await;
            let Some(missing) = missing() else { return };
            match unpanicked(missing.read()).await {
                Ok(page) => {
                    let Some(sequencer) = this.upgrade() else { return };
                    if let Some(last) = page.items.last() {
                        // What is missing since then may be on its way; the rest of what was is there.
                        let is_all = last.message.seq >= missing.up_to;
                        (pause, retry) = (if is_all { GRACE } else { Duration::ZERO }, RETRY_FIRST);
                        sequencer.found(&missing, page).await;
                        continue;
                    }
                    sequencer.nothing_found(&missing);
                }
                Err(error) => {
                    let error = Error::from(error);
                    tracing::warn!(conversation.id = %conversation, %error, "missing messages could not be read yet");
                }
            }
            pause = retry;
            retry = RETRY_MAX.min(retry * 2);
        }
    }

    /// What is to be read now. When nothing is, nobody reads any more.
    fn missing(self: &Arc<Self>, conversation: ConversationId) -> Option<Missing> {
        let mut lanes = self.lock();
        let lane = lanes.get_mut(&conversation)?;
        if !lane.is_wanted() && lane.give_up_order() {
            self.go_on(conversation);
        }
        let Some((after, count)) = lane.missing() else {
            lane.set_reader(None);
            Self::end_if_over(&mut lanes, conversation);
            return None;
        };
        let rows = u32::try_from(count).map_or(self.page_rows, |count| count.min(self.page_rows));
        let (storage, up_to, bytes) = (self.storage.clone(), after + count, self.page_bytes);
        Some(Missing { storage, conversation, after, up_to, rows, bytes })
    }

    /// Passes on what was missing.
    async fn found(self: &Arc<Self>, missing: &Missing, page: MessagePage) {
        let mut count = 0;
        for item in page.items {
            if let Some(turn) = self.admit_found(missing.after, &Arc::new(item.message)) {
                turn.over().await;
                count += 1;
            }
        }
        telemetry::messages_recovered(count);
    }

    /// Gives a message that was read its turn, unless it had it. `after` is the one before the first read.
    fn admit_found(self: &Arc<Self>, after: u64, message: &Arc<Message>) -> Option<Turn> {
        let id = message.conversation_id;
        let mut lanes = self.lock();
        let lane = lanes.get_mut(&id).filter(|lane| lane.is_in_order())?;
        if lane.skip(after, message.seq) {
            tracing::error!(conversation.id = %id, after, "messages are gone from the storage");
        }
        let is_due = lane.admit(message) == Admission::Due;
        is_due.then(|| self.take_turn(lanes, id, Work::message(message)))
    }

    fn nothing_found(&self, missing: &Missing) {
        if let Some(lane) = self.lock().get_mut(&missing.conversation) {
            lane.nothing_found(missing.up_to);
        }
    }
}
