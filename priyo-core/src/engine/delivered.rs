//! How far messages were handed to each participant: kept in memory, written behind.
//!
//! A crash forgets at most the last second. A message is then announced as delivered once more, which is still true.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::model::{ConversationId, UserId};
use crate::storage::{DeliveredMark, Storage, unpanicked};

/// How often what has changed is written.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Marks in one write, so that messages need not wait long behind it.
const MARKS_AT_ONCE: usize = 500;

/// What was handed to a user, in order. As a rule one range: it goes on where it ended.
type Marks = HashMap<(ConversationId, UserId), Vec<RangeInclusive<u64>>>;

/// The marks that are not written yet.
#[derive(Debug)]
pub(super) struct DeliveredMarks {
    storage: Arc<dyn Storage>,
    state: Mutex<State>,
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    changed: Marks,
    /// What a write has taken; it counts until the write is done.
    in_writing: Marks,
}

impl DeliveredMarks {
    /// Starts writing behind. It ends when the marks are dropped.
    pub(super) fn start(storage: Arc<dyn Storage>) -> Arc<Self> {
        let marks =
            Arc::new(Self { storage, state: Mutex::default(), writing: tokio::sync::Mutex::default() });
        let behind = Arc::downgrade(&marks);
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(WRITE_EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let Some(marks) = behind.upgrade() else { return };
                marks.flush().await;
            }
        });
        marks
    }

    /// Notes that the messages with these numbers were handed to these users.
    pub(super) fn note(&self, conversation: ConversationId, users: &[UserId], seqs: RangeInclusive<u64>) {
        let mut state = self.lock();
        for user in users {
            let ranges = state.changed.entry((conversation, *user)).or_default();
            match ranges.last_mut() {
                Some(last) if *seqs.start() >= *last.start() && *seqs.start() <= last.end() + 1 => {
                    *last = *last.start()..=*last.end().max(seqs.end());
                }
                _ => ranges.push(seqs.clone()),
            }
        }
    }

    /// Up to where everything was handed to a user, whose written mark is `stored`.
    pub(super) fn mark(&self, conversation: ConversationId, user: UserId, stored: u64) -> u64 {
        let state = self.lock();
        let of = |marks: &Marks| marks.get(&(conversation, user)).cloned().unwrap_or_default();
        let mut ranges = of(&state.in_writing);
        ranges.extend(of(&state.changed));
        ranges.sort_unstable_by_key(|range| *range.start());
        let touching = |mark: u64, range: RangeInclusive<u64>| {
            if *range.start() <= mark + 1 { mark.max(*range.end()) } else { mark }
        };
        ranges.into_iter().fold(stored, touching)
    }

    /// Writes what has changed.
    pub(super) async fn flush(&self) {
        let _one_at_a_time = self.writing.lock().await;
        let marks: Vec<DeliveredMark> = {
            let mut state = self.lock();
            state.in_writing = std::mem::take(&mut state.changed);
            let ranges =
                state.in_writing.iter().flat_map(|(key, ranges)| ranges.iter().map(move |r| (key, r)));
            let mark = |((conversation, user), range): (&(ConversationId, UserId), &RangeInclusive<u64>)| {
                let (first_seq, last_seq) = (*range.start(), *range.end());
                DeliveredMark { conversation_id: *conversation, user_id: *user, first_seq, last_seq }
            };
            ranges.map(mark).collect()
        };
        for some in marks.chunks(MARKS_AT_ONCE) {
            if let Err(error) = unpanicked(self.storage.set_delivered(some)).await {
                tracing::warn!(%error, "delivery marks were not written; some messages will be announced as delivered again");
                break;
            }
        }
        self.lock().in_writing.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
