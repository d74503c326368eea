//! The answer to `sync`: what was missed of many conversations at once.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::engine::{self, Backlog, ChatEngine};
use crate::error::{Error, Result};
use crate::model::ConversationId;
use crate::transport::wire::{ConversationView, MessageView};

/// The answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Synced {
    ok: bool,
    conversations: BTreeMap<ConversationId, Missed>,
    new: Vec<Box<RawValue>>,
    has_more_new: bool,
    gone: Vec<String>,
}

/// What was missed in one conversation.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Missed {
    messages: Vec<Box<RawValue>>,
    last_seq: u64,
    has_more: bool,
}

impl Synced {
    /// `nothing` is what was named that is the id of nothing at all.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] when it cannot be written as JSON, which none of ours is.
    pub(super) fn new(engine: &ChatEngine, synced: &engine::Synced, nothing: Vec<String>) -> Result<Self> {
        let conversations =
            synced.conversations.iter().map(|(id, missed)| Ok((*id, Missed::new(engine, missed)?)));
        let new = synced.new.items.iter().map(|one| raw(&ConversationView::listed(engine, one)));
        let gone = synced.gone.iter().map(ToString::to_string);
        Ok(Self {
            ok: true,
            conversations: conversations.collect::<Result<_>>()?,
            new: new.collect::<Result<_>>()?,
            has_more_new: synced.new.has_more,
            gone: gone.chain(nothing).collect(),
        })
    }
}

impl Missed {
    fn new(engine: &ChatEngine, missed: &Backlog) -> Result<Self> {
        let messages = missed.messages.iter().map(|item| raw(&MessageView::history(engine, item)));
        let (last_seq, has_more) = (missed.last_seq, missed.has_more);
        Ok(Self { messages: messages.collect::<Result<_>>()?, last_seq, has_more })
    }
}

fn raw(view: &impl Serialize) -> Result<Box<RawValue>> {
    to_raw_value(view).map_err(Error::internal)
}
