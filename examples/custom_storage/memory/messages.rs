//! Messages, and who has read them.

use std::collections::BTreeSet;

use async_trait::async_trait;
use priyo_core::model::{
    ConversationId, ConversationStatus, MessageId, MessagePage, MessageRange, MessageWithReads, Timestamp,
    UserId,
};
use priyo_core::storage::{
    Appended, DeliveredMark, Effect, MessageSpan, MessageStore, NewMessageRow, ReadMark, ReadOutcome, Reader,
    Reading, Result,
};

use super::{MemoryStorage, Room, Said, State, insert};

#[async_trait]
impl MessageStore for MemoryStorage {
    async fn append_messages(&self, batch: Vec<NewMessageRow>) -> Result<Vec<Appended>> {
        self.run(|state| {
            let mut outcomes = Vec::with_capacity(batch.len());
            for row in batch {
                match state.append(row) {
                    Ok(outcome) => outcomes.push(outcome),
                    Err(error) => {
                        // All or none: what a database does by rolling back.
                        state.take_back(&outcomes);
                        return Err(error);
                    }
                }
            }
            Ok(outcomes)
        })
    }

    async fn messages(
        &self,
        conversation: ConversationId,
        range: MessageRange,
        limit: u32,
        max_bytes: usize,
    ) -> Result<MessagePage> {
        self.run(|state| Ok(state.page(conversation, range, limit, max_bytes)))
    }

    async fn messages_for(
        &self,
        reader: Reader,
        conversation: ConversationId,
        range: MessageRange,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Option<Reading>> {
        self.run(|state| {
            let Some(standing) = state.standing(conversation, reader.user_id) else { return Ok(None) };
            let mut page = state.page(conversation, range, limit, max_bytes);
            if !standing.is_participant && !reader.from_outside {
                (page.items, page.has_more) = (Vec::new(), false);
            }
            let room = &state.rooms[&conversation];
            let senders: BTreeSet<UserId> = page.items.iter().map(|item| item.message.sender.id).collect();
            let present = senders.into_iter().filter(|sender| room.has(*sender)).collect();
            Ok(Some(Reading { standing, page, present }))
        })
    }

    async fn messages_in(&self, spans: &[MessageSpan], max_bytes: usize) -> Result<Vec<MessageWithReads>> {
        self.run(|state| {
            let (mut items, mut bytes) = (Vec::new(), 0);
            for span in spans {
                let Some(room) = state.rooms.get(&span.conversation_id) else { continue };
                let is_wanted = |said: &&Said| (span.first_seq..=span.last_seq).contains(&said.seq);
                for said in room.said.iter().filter(is_wanted) {
                    bytes += said.row.content.len();
                    if bytes > max_bytes && !items.is_empty() {
                        return Ok(items);
                    }
                    items.push(state.message_with_reads(said));
                }
            }
            Ok(items)
        })
    }

    async fn mark_read(
        &self,
        user: UserId,
        messages: &[MessageId],
        within: Option<ConversationId>,
        at: Timestamp,
    ) -> Result<ReadOutcome> {
        self.run(|state| {
            let mut places = BTreeSet::new();
            for id in messages {
                match state.places.get(id) {
                    Some(place) if within.is_none_or(|within| place.0 == within) => places.insert(*place),
                    _ => return Ok(ReadOutcome::Unknown),
                };
            }
            if !places.iter().all(|(conversation, _)| state.rooms[conversation].has(user)) {
                return Ok(ReadOutcome::NotParticipant);
            }
            let mut marks = Vec::new();
            for (conversation_id, seq) in places {
                let said = state.rooms.get_mut(&conversation_id).and_then(|room| room.said_mut(seq));
                // The first time stands.
                if let Some(said) = said.filter(|said| said.row.sender != user && !said.is_read_by(user)) {
                    said.reads.push((user, at));
                    marks.push(ReadMark { conversation_id, message_id: said.row.id, seq });
                }
            }
            Ok(ReadOutcome::Marked(marks))
        })
    }

    async fn unread_counts(&self, user: UserId) -> Result<Vec<(ConversationId, u64)>> {
        self.run(|state| {
            let own = state.rooms.values().filter(|room| room.has(user));
            Ok(own.map(|room| (room.made.id, room.unread(user))).collect())
        })
    }

    async fn set_delivered(&self, marks: &[DeliveredMark]) -> Result<()> {
        self.run(|state| {
            for mark in marks {
                let room = state.rooms.get_mut(&mark.conversation_id);
                let member =
                    room.and_then(|room| room.members.iter_mut().find(|(user, _)| *user == mark.user_id));
                if let Some((_, delivered)) = member
                    && mark.first_seq <= *delivered + 1
                {
                    *delivered = mark.last_seq.max(*delivered);
                }
            }
            Ok(())
        })
    }
}

impl State {
    fn page(
        &self,
        conversation: ConversationId,
        range: MessageRange,
        limit: u32,
        max_bytes: usize,
    ) -> MessagePage {
        let Some(room) = self.rooms.get(&conversation) else {
            return MessagePage { items: Vec::new(), has_more: false, last_seq: 0 };
        };
        let last_seq = room.last_seq();
        // The numbers have no gaps: where a page begins, and whether there is more, is plain arithmetic. It must not
        // overflow, whatever a client asks for.
        let seqs: Box<dyn Iterator<Item = u64>> = match range {
            MessageRange::Page(page) => {
                let newer = page.saturating_sub(1).saturating_mul(limit.into());
                Box::new((1..=last_seq.saturating_sub(newer)).rev())
            }
            MessageRange::Before(seq) => Box::new((1..=last_seq.min(seq.saturating_sub(1))).rev()),
            MessageRange::After(seq) => Box::new(seq.saturating_add(1)..=last_seq),
        };
        let (mut items, mut bytes) = (Vec::new(), 0);
        for said in seqs.take(limit as usize).filter_map(|seq| room.said.get(seq as usize - 1)) {
            let item = self.message_with_reads(said);
            bytes += item.message.content.len();
            if bytes > max_bytes && !items.is_empty() {
                break;
            }
            items.push(item);
        }
        let has_more = match range {
            MessageRange::After(_) => items.last().is_some_and(|item| item.message.seq < last_seq),
            MessageRange::Page(_) | MessageRange::Before(_) => {
                items.reverse();
                items.first().is_some_and(|item| item.message.seq > 1)
            }
        };
        MessagePage { items, has_more, last_seq }
    }

    /// Decides on one message, and stores it if it is good.
    fn append(&mut self, row: NewMessageRow) -> Result<Appended> {
        let Some(room) = self.rooms.get(&row.conversation_id) else { return Ok(Appended::NoConversation) };
        if !room.has(row.sender) {
            return Ok(Appended::NotParticipant);
        }
        if let Some(first) = room.first_of(&row) {
            let file = |row: &NewMessageRow| row.attachment.as_ref().map(|file| file.file_id);
            let says = |row: &NewMessageRow| (row.content.clone(), row.kind, file(row));
            let is_repeat = says(&first.row) == says(&row);
            return Ok(if is_repeat {
                Appended::Duplicate(self.message(first))
            } else {
                Appended::ClientIdReused
            });
        }
        let is_of_visitor = room.visitor() == Some(row.sender);
        let reopens = room.status == ConversationStatus::Closed;
        if reopens && !(is_of_visitor && self.open_support_of(row.sender).is_none()) {
            return Ok(Appended::Closed);
        }
        if row.attachment.as_ref().is_some_and(|file| !self.files.contains_key(&file.file_id)) {
            return Ok(Appended::FileGone);
        }
        let (conversation, seq) = (row.conversation_id, room.last_seq() + 1);
        let present = room.members.iter().map(|(user, _)| *user).collect();
        insert(&mut self.places, row.id, (conversation, seq))?;
        let said = Said { row, seq, present, reads: Vec::new() };
        let message = self.message(&said);
        let Some(room) = self.rooms.get_mut(&conversation) else { return Ok(Appended::NoConversation) };
        room.said.push(said);
        let Some(support) = &mut room.support else { return Ok(Appended::New(message)) };
        let effect = Effect::of(reopens, is_of_visitor, seq, support.answered_seq);
        room.status = ConversationStatus::Open;
        if !is_of_visitor {
            support.answered_seq = seq;
        }
        Ok(Appended::InSupport { message, effect })
    }

    /// Undoes what a batch has stored so far.
    fn take_back(&mut self, outcomes: &[Appended]) {
        for outcome in outcomes {
            if let Appended::New(message) | Appended::InSupport { message, .. } = outcome {
                self.places.remove(&message.id);
                if let Some(room) = self.rooms.get_mut(&message.conversation_id) {
                    room.said.retain(|said| said.row.id != message.id);
                }
            }
        }
    }
}

impl Room {
    fn said_mut(&mut self, seq: u64) -> Option<&mut Said> {
        self.said.iter_mut().find(|said| said.seq == seq)
    }

    /// What the sender has sent under the same name before: ever, not lately.
    fn first_of(&self, row: &NewMessageRow) -> Option<&Said> {
        let name = row.client_message_id.as_ref()?;
        let is_same = |other: &NewMessageRow| {
            other.sender == row.sender && other.client_message_id.as_ref() == Some(name)
        };
        self.said.iter().find(|said| is_same(&said.row))
    }
}
