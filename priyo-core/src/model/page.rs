//! Parts of long lists.

use super::{Conversation, ConversationId, MessageWithReads, Timestamp};

/// A part of a list, and whether there is more of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The part.
    pub items: Vec<T>,
    /// Whether there is more in the direction of travel.
    pub has_more: bool,
}

/// Which part of a conversation's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageRange {
    /// Page 1 is the newest. Pages shift while people write: prefer [`Before`](Self::Before).
    Page(u64),
    /// Those just before this `seq`.
    Before(u64),
    /// Those just after this `seq`.
    After(u64),
}

/// A part of a conversation's messages, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessagePage {
    /// The messages.
    pub items: Vec<MessageWithReads>,
    /// Whether there is more: older ones, or newer ones for [`MessageRange::After`].
    pub has_more: bool,
    /// The conversation's newest `seq` as of the same moment.
    pub last_seq: u64,
}

impl MessagePage {
    /// Ends the page early, in the direction of travel, where it would be more than about `max_bytes` on the wire;
    /// at least one message stays.
    #[must_use]
    pub(crate) fn cut_to(mut self, range: MessageRange, max_bytes: usize) -> Self {
        let forwards = matches!(range, MessageRange::After(_));
        let sizes = self.items.iter().map(MessageWithReads::wire_bytes);
        let kept = if forwards { fitting(sizes, max_bytes) } else { fitting(sizes.rev(), max_bytes) };
        let kept = kept.max(1).min(self.items.len());
        self.has_more |= kept < self.items.len();
        if forwards {
            self.items.truncate(kept);
        } else {
            self.items.drain(..self.items.len() - kept);
        }
        self
    }
}

/// How many things of these sizes, one after the other, fit into so many bytes.
pub(crate) fn fitting(sizes: impl IntoIterator<Item = usize>, max_bytes: usize) -> usize {
    let mut left = max_bytes;
    let fits = |size: &usize| match left.checked_sub(*size) {
        Some(less) => {
            left = less;
            true
        }
        None => false,
    };
    sizes.into_iter().take_while(fits).count()
}

/// A place in a list of conversations that is ordered by activity, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversationCursor {
    /// The activity of the last conversation seen.
    pub updated_at: Timestamp,
    /// Which one it was, since several can share a moment.
    pub id: ConversationId,
}

impl ConversationCursor {
    /// The place of a conversation.
    #[must_use]
    pub fn of(conversation: &Conversation) -> Self {
        Self { updated_at: conversation.updated_at, id: conversation.id }
    }

    /// Reads a cursor that [`Display`](std::fmt::Display) wrote.
    #[must_use]
    pub fn from_client(text: &str) -> Option<Self> {
        let (ms, id) = text.split_once('_')?;
        let ms: i64 = ms.parse().ok().filter(|ms| *ms >= 0)?;
        let id = ConversationId::from_client(id);
        (!id.is_nil()).then_some(Self { updated_at: Timestamp::from_millis(ms), id })
    }
}

impl std::fmt::Display for ConversationCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}", self.updated_at.as_millis(), self.id)
    }
}
