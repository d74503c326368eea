//! Catching up on many conversations at once.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use tracing::instrument;

use super::{Backlog, ChatEngine, may_see};
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::model::{ConversationId, ConversationSummary, Known, MessageWithReads, Page, fitting};
use crate::rates::Action;
use crate::storage::{MessageSpan, Standing};

/// What someone has missed of all their conversations.
#[derive(Debug, Clone)]
pub struct Synced {
    /// What was missed in each conversation that was named.
    pub conversations: BTreeMap<ConversationId, Backlog>,
    /// Conversations that the caller is in and did not name.
    pub new: Page<ConversationSummary>,
    /// Those named that are not there, or that the caller may not, or no longer, see: which of these is not said.
    pub gone: Vec<ConversationId>,
}

/// A conversation that was named and may be seen.
struct Seen {
    id: ConversationId,
    /// Up to where the caller has it.
    after: u64,
    standing: Standing,
}

impl Seen {
    fn missed(&self) -> u64 {
        self.standing.last_seq.saturating_sub(self.after)
    }
}

impl ChatEngine {
    /// What the caller has missed in all the conversations that they know, and which they do not know yet.
    ///
    /// One answer has no more messages than one page, `limits.page_rows` and `limits.page_bytes`, and with them the
    /// bytes of the new conversations. Ask again while there is more of anything: with the last `seq` of each, and
    /// naming what was new. Conversations with the fewest missed messages come first, so that a long one does not
    /// hold up the others.
    ///
    /// Takes the same few calls of the storage however many conversations there are.
    ///
    /// # Errors
    ///
    /// - [`Error::Validation`] when more than `limits.sync_ids` conversations are named.
    /// - [`Error::RateLimited`] when the connection asks for this too often.
    #[instrument(skip_all, fields(user.id = %caller.user_id))]
    pub async fn sync(&self, caller: &Caller, known: &Known) -> Result<Synced> {
        let (limits, storage) = (self.limits(), &self.inner.storage);
        if known.conversations.len() > limits.sync_ids {
            let max = limits.sync_ids;
            return Err(Error::field("conversations", &format!("must contain at most {max} items")));
        }
        self.count_here(Action::Sync, caller)?;
        let (seen, gone) = self.seen(caller, known).await?;

        // Nothing here is newer than how the caller stood: what was said after they were taken out stays out.
        let mut messages = match share(&seen, limits.page_rows) {
            spans if spans.is_empty() => Vec::new(),
            spans => storage.messages_in(&spans, limits.page_bytes).await?,
        };
        let kept = fitting(messages.iter().map(MessageWithReads::wire_bytes), limits.page_bytes);
        messages.truncate(kept.max(1));

        let named: Vec<_> = known.conversations.keys().copied().collect();
        let rows = limits.default_list_rows;
        let new = storage.conversations_except(caller.user_id, &named, known.new_after, rows).await?;
        let used = messages.iter().map(MessageWithReads::wire_bytes).sum();
        let new = cut(new, limits.page_bytes.saturating_sub(used), messages.is_empty());

        let mut parts: BTreeMap<ConversationId, Vec<MessageWithReads>> = BTreeMap::new();
        for item in messages {
            parts.entry(item.message.conversation_id).or_default().push(item);
        }
        let read_back = seen.iter().filter_map(|seen| Some((seen.standing, parts.get(&seen.id)?.as_slice())));
        if let Some(read_back) = self.reading_several_back(caller, &read_back.collect::<Vec<_>>()).await? {
            self.inner.receipts.read_back(read_back);
        }

        let backlog = |seen: &Seen| {
            let messages = parts.remove(&seen.id).unwrap_or_default();
            let Standing { last_seq, is_participant, .. } = seen.standing;
            let has_more = (messages.len() as u64) < seen.missed();
            (seen.id, Backlog { messages, last_seq, has_more, is_participant })
        };
        Ok(Synced { conversations: seen.iter().map(backlog).collect(), new, gone })
    }

    /// Those of the named conversations that the caller may see, and the others.
    async fn seen(&self, caller: &Caller, known: &Known) -> Result<(Vec<Seen>, Vec<ConversationId>)> {
        let of: Vec<_> = known.conversations.keys().map(|id| (*id, caller.user_id)).collect();
        let standings = if of.is_empty() { Vec::new() } else { self.inner.storage.standings(&of).await? };
        let (mut seen, mut gone) = (Vec::new(), Vec::new());
        for ((id, after), standing) in known.conversations.iter().zip(standings) {
            match standing.filter(|standing| may_see(caller, standing)) {
                Some(standing) => seen.push(Seen { id: *id, after: *after, standing }),
                None => gone.push(*id),
            }
        }
        let outside = seen.iter().filter(|seen| !seen.standing.is_participant).map(|seen| seen.id);
        self.audit_reading(caller, &outside.collect::<Vec<_>>()).await?;
        Ok((seen, gone))
    }
}

/// Which messages to read, at most `rows` of them. Numbers have no gaps, so this is known before.
fn share(seen: &[Seen], rows: u32) -> Vec<MessageSpan> {
    let mut behind: Vec<&Seen> = seen.iter().filter(|seen| seen.missed() > 0).collect();
    behind.sort_by_key(|seen| (seen.missed(), Reverse(seen.id)));
    let mut left = u64::from(rows);
    let mut spans = Vec::new();
    for seen in behind {
        let taken = seen.missed().min(left);
        if taken == 0 {
            break;
        }
        left -= taken;
        let (first_seq, last_seq) = (seen.after + 1, seen.after + taken);
        spans.push(MessageSpan { conversation_id: seen.id, first_seq, last_seq });
    }
    spans
}

/// Ends a list early where it would be more than about `max_bytes` on the wire; one stays if it must.
fn cut(
    mut page: Page<ConversationSummary>,
    max_bytes: usize,
    must_have_one: bool,
) -> Page<ConversationSummary> {
    let kept = fitting(page.items.iter().map(ConversationSummary::wire_bytes), max_bytes);
    let kept = kept.max(usize::from(must_have_one));
    page.has_more |= kept < page.items.len();
    page.items.truncate(kept);
    page
}
