//! What a client has, to be told what it lacks.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ConversationId;
use super::fields::{Fields, Unknown};
use crate::error::Result;

/// What a client has of its conversations.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The conversations it knows, and up to which `seq` it has the messages of each; 0 for none.
    pub conversations: BTreeMap<ConversationId, u64>,
    /// Where its last look at those that it does not know ended.
    pub new_after: Option<ConversationId>,
}

impl Known {
    /// Reads the payload of a socket event: `conversations` with at most `max` of them, and perhaps `newAfter`. What
    /// it names that is the id of nothing at all comes back as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`](crate::Error::Validation) with one entry for each field at fault.
    pub fn parse_event(payload: Value, max: usize) -> Result<(Self, Vec<String>)> {
        let mut fields = Fields::new(payload, Unknown::Ignore)?;
        let named = fields.counts("conversations", max);
        let new_after = fields.optional_string("newAfter").map(|id| ConversationId::from_client(&id));
        fields.check("newAfter", new_after.as_ref(), |id| !id.is_nil(), "must be the id of a conversation");
        fields.finish()?;
        let mut known = Self { conversations: BTreeMap::new(), new_after };
        let mut nothing = Vec::new();
        for (text, seq) in named.unwrap_or_default() {
            let id = ConversationId::from_client(&text);
            if id.is_nil() {
                nothing.push(text);
            } else {
                known.conversations.insert(id, seq);
            }
        }
        Ok((known, nothing))
    }
}
