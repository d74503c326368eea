//! Receipts: what was handed to whom is noted, and its senders are told.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::ChatEngine;
use super::announcer::Announcer;
use super::delivered::DeliveredMarks;
use crate::auth::Caller;
use crate::error::Result;
use crate::events::{Audience, Event};
use crate::model::{ConversationId, Message, MessageId, MessageWithReads, UserId};
use crate::storage::{Reading, Standing};

/// More receipts at once than this are announced as one event.
const RECEIPTS_APART: usize = 20;

/// Notes deliveries and tells of them.
#[derive(Debug)]
pub(super) struct Receipts {
    announcer: Arc<Announcer>,
    marks: Arc<DeliveredMarks>,
}

/// Messages that are about to come to a participant by being read back.
#[derive(Debug)]
pub(super) struct ReadBack {
    to: UserId,
    delivered: Vec<(ConversationId, RangeInclusive<u64>)>,
    /// Those that had not come before, by their senders who are still there.
    news: BTreeMap<(ConversationId, UserId), Vec<(u64, MessageId)>>,
}

impl Receipts {
    pub(super) fn new(announcer: Arc<Announcer>, marks: Arc<DeliveredMarks>) -> Self {
        Self { announcer, marks }
    }

    /// A message was handed to live connections of these users, some perhaps more than once.
    pub(super) fn handed(&self, message: &Message, mut to: Vec<UserId>) {
        // The sender has it, of course.
        to.push(message.sender.id);
        to.sort_unstable();
        to.dedup();
        self.marks.note(message.conversation_id, &to, message.seq..=message.seq);
        to.retain(|user| *user != message.sender.id);
        if !to.is_empty() {
            let event = Event::MessageDelivered {
                conversation_id: message.conversation_id,
                message_id: message.id,
                seq: message.seq,
                message_ids: Vec::new(),
                delivered_to: to,
            };
            self.announcer.announce(&Audience::Users(vec![message.sender.id]), &event);
        }
    }

    /// Messages were read back.
    pub(super) fn read_back(&self, read: ReadBack) {
        let ReadBack { to, delivered, news } = read;
        for (conversation, seqs) in delivered {
            self.marks.note(conversation, &[to], seqs);
        }
        for ((conversation_id, sender), receipts) in news {
            in_events(&receipts, |seq, message_id, message_ids| {
                let delivered_to = vec![to];
                let event =
                    Event::MessageDelivered { conversation_id, message_id, seq, message_ids, delivered_to };
                self.announcer.announce(&Audience::Users(vec![sender]), &event);
            });
        }
    }
}

impl ReadBack {
    /// Leaves out the senders of whom this is not so.
    fn keep_senders(&mut self, is_there: impl Fn(ConversationId, UserId) -> bool) {
        self.news.retain(|(conversation, sender), _| is_there(*conversation, *sender));
    }
}

impl ChatEngine {
    /// What is to be noted once a reading has come to a participant: messages that had not before are delivered then,
    /// and those of their senders who are still there are told. `None` when nothing is to be noted.
    pub(super) fn reading_back(&self, to: &Caller, reading: &Reading) -> Option<ReadBack> {
        let mut read_back = self.new_of(to, &[(reading.standing, &reading.page.items)])?;
        read_back.keep_senders(|_, sender| reading.present.contains(&sender));
        Some(read_back)
    }

    /// The same for several conversations. Each list is of one of them, oldest first, with how the participant stands
    /// to it.
    pub(super) async fn reading_several_back(
        &self,
        to: &Caller,
        read: &[(Standing, &[MessageWithReads])],
    ) -> Result<Option<ReadBack>> {
        let Some(mut read_back) = self.new_of(to, read) else { return Ok(None) };
        let senders: Vec<_> = read_back.news.keys().copied().collect();
        if !senders.is_empty() {
            let standings = self.inner.storage.standings(&senders).await?;
            let is_there =
                |standing: Option<Standing>| standing.is_some_and(|standing| standing.is_participant);
            let there: HashMap<_, _> = senders.into_iter().zip(standings.into_iter().map(is_there)).collect();
            read_back.keep_senders(|conversation, sender| there.get(&(conversation, sender)) == Some(&true));
        }
        Ok(Some(read_back))
    }

    /// What had not come to a participant before.
    fn new_of(&self, to: &Caller, read: &[(Standing, &[MessageWithReads])]) -> Option<ReadBack> {
        let mut delivered = Vec::new();
        let mut news: BTreeMap<_, Vec<(u64, MessageId)>> = BTreeMap::new();
        for (standing, items) in read.iter().filter(|(standing, _)| standing.is_participant) {
            let (Some(first), Some(last)) = (items.first(), items.last()) else { continue };
            let id = first.message.conversation_id;
            let mark = self.inner.delivered.mark(id, to.user_id, standing.delivered_seq);
            if last.message.seq > mark {
                delivered.push((id, first.message.seq..=last.message.seq));
            }
            let new = items.iter().map(|item| &item.message).filter(|message| message.seq > mark);
            for message in new.filter(|message| message.sender.id != to.user_id) {
                news.entry((id, message.sender.id)).or_default().push((message.seq, message.id));
            }
        }
        (!delivered.is_empty()).then_some(ReadBack { to: to.user_id, delivered, news })
    }
}

/// Announces receipts, oldest first: each by itself, or all at once when they are many.
pub(super) fn in_events(
    receipts: &[(u64, MessageId)],
    mut announce: impl FnMut(u64, MessageId, Vec<MessageId>),
) {
    match receipts.last() {
        Some((seq, newest)) if receipts.len() > RECEIPTS_APART => {
            announce(*seq, *newest, receipts.iter().map(|(_, id)| *id).collect());
        }
        _ => receipts.iter().for_each(|(seq, id)| announce(*seq, *id, Vec::new())),
    }
}
