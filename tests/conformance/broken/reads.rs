use std::collections::HashSet;

use priyo_core::model::{ConversationId, MessageId, MessageWithReads, Timestamp, UserId};
use priyo_core::storage::{
    Addition, ConversationStore, DeliveredMark, MessageStore, ReadMark, ReadOutcome, Result,
};

use super::{Broken, Fault, pause};

impl Broken {
    /// How much is unread for `reader` in a list of `of`, where by the storage in memory it is `given`.
    pub(super) async fn unread(
        &self,
        id: ConversationId,
        of: UserId,
        reader: UserId,
        given: u64,
    ) -> Result<u64> {
        let is_in = self.memory().standing(id, reader).await?.is_some_and(|standing| standing.is_participant);
        let reader = if self.has(Fault::ListsCountForTheirOwner) { of } else { reader };
        if !is_in && !self.has(Fault::ListsCountForTheirOwner) {
            return Ok(given);
        }
        let messages = self.all_messages(id).await?;
        let is_read = |item: &&MessageWithReads| item.reads.iter().any(|read| read.user_id == reader);
        let of_others = messages.iter().filter(|item| item.message.sender.id != reader);
        Ok(match self.fault {
            Fault::OwnMessagesAreUnread => messages.iter().filter(|item| !is_read(item)).count() as u64,
            Fault::AbsenceIsUnread => of_others.filter(|item| !is_read(item)).count() as u64,
            Fault::ReturningBeginsAnew => {
                let since = self.note(|notes| notes.came_again.get(&(id, reader)).copied()).unwrap_or(0);
                let since = of_others.filter(|item| item.message.seq > since);
                since.filter(|item| !is_read(item)).count() as u64
            }
            Fault::ReadingReadsAllBefore => {
                let newest =
                    of_others.clone().filter(is_read).map(|item| item.message.seq).max().unwrap_or(0);
                given.min(of_others.filter(|item| item.message.seq > newest).count() as u64)
            }
            Fault::ListsCountForTheirOwner => {
                let counts = self.memory().unread_counts(reader).await?;
                counts.into_iter().find(|(other, _)| *other == id).map_or(0, |(_, count)| count)
            }
            _ => given,
        })
    }

    /// How the reads of a message look to this storage.
    pub(super) fn show_reads(&self, item: &mut MessageWithReads) {
        let id = item.message.id;
        match self.fault {
            Fault::ReadsAreSortedByName => {
                item.reads.sort_by(|one, other| one.username.cmp(&other.username));
            }
            Fault::ReadsOfOneMomentComeAsTheyMay => {
                item.reads.sort_by_key(|read| (read.read_at, std::cmp::Reverse(read.user_id)));
            }
            Fault::TheLastReadStands => {
                for read in &mut item.reads {
                    let again = self.note(|notes| notes.read_again.get(&(id, read.user_id)).copied());
                    read.read_at = again.unwrap_or(read.read_at);
                }
            }
            _ => {}
        }
    }

    pub(super) async fn read(
        &self,
        user: UserId,
        messages: &[MessageId],
        within: Option<ConversationId>,
        at: Timestamp,
    ) -> Result<ReadOutcome> {
        let memory = self.memory();
        match self.fault {
            Fault::WithinIsIgnored => return memory.mark_read(user, messages, None, at).await,
            Fault::ReadsOneByOne => {
                let mut all = Vec::new();
                for id in messages {
                    match memory.mark_read(user, &[*id], within, at).await? {
                        ReadOutcome::Marked(marks) => all.extend(marks),
                        refused => return Ok(refused),
                    }
                }
                all.sort_by_key(|mark| (mark.conversation_id, mark.seq));
                return Ok(ReadOutcome::Marked(all));
            }
            Fault::LooksForReadersFirst => return self.read_in_two_steps(user, messages, within, at).await,
            _ => {}
        }
        let outcome = memory.mark_read(user, messages, within, at).await?;
        let named = self.named(messages).await?;
        match (&outcome, self.fault) {
            (ReadOutcome::Marked(_), Fault::ReadingTouches) => self.note(|notes| {
                notes.touched.extend(named.iter().map(|mark| (mark.conversation_id, at)));
            }),
            (ReadOutcome::Marked(_), Fault::TheLastReadStands) => self.note(|notes| {
                notes.read_again.extend(named.iter().map(|mark| ((mark.message_id, user), at)));
            }),
            (ReadOutcome::Marked(_), Fault::ReadingAgainIsNew) => return Ok(ReadOutcome::Marked(named)),
            (ReadOutcome::NotParticipant, Fault::AnyoneReads) => return Ok(ReadOutcome::Marked(named)),
            (ReadOutcome::Unknown, Fault::LooksForReadersBeforeMessages) => {
                let mut is_in = true;
                for mark in &named {
                    let standing = memory.standing(mark.conversation_id, user).await?;
                    is_in &= standing.is_some_and(|standing| standing.is_participant);
                }
                return Ok(if is_in { ReadOutcome::Unknown } else { ReadOutcome::NotParticipant });
            }
            (ReadOutcome::Marked(marks), Fault::MarksComeAsNamed) => {
                let place = |mark: &ReadMark| messages.iter().position(|id| *id == mark.message_id);
                let mut marks = marks.clone();
                marks.sort_by_key(place);
                return Ok(ReadOutcome::Marked(marks));
            }
            (ReadOutcome::Marked(_), Fault::OwnMessagesAreRead) => {
                let mut all = named;
                all.sort_by_key(|mark| (mark.conversation_id, mark.seq));
                return Ok(ReadOutcome::Marked(all));
            }
            _ => {}
        }
        Ok(outcome)
    }

    /// Where the messages are, without repeats.
    async fn named(&self, messages: &[MessageId]) -> Result<Vec<ReadMark>> {
        let wanted: HashSet<_> = messages.iter().collect();
        let mut marks = Vec::new();
        let concerned = [
            Fault::ReadingTouches,
            Fault::TheLastReadStands,
            Fault::ReadingAgainIsNew,
            Fault::AnyoneReads,
            Fault::LooksForReadersBeforeMessages,
            Fault::OwnMessagesAreRead,
        ];
        if !concerned.contains(&self.fault) {
            return Ok(marks);
        }
        for item in self.all_conversations(None, UserId::new()).await? {
            let conversation_id = item.conversation.id;
            for item in self.all_messages(conversation_id).await? {
                let (message_id, seq) = (item.message.id, item.message.seq);
                if wanted.contains(&message_id) {
                    marks.push(ReadMark { conversation_id, message_id, seq });
                }
            }
        }
        Ok(marks)
    }

    /// Decides who may, and marks later.
    async fn read_in_two_steps(
        &self,
        user: UserId,
        messages: &[MessageId],
        within: Option<ConversationId>,
        at: Timestamp,
    ) -> Result<ReadOutcome> {
        let memory = self.memory();
        let before: HashSet<_> =
            self.all_conversations(Some(user), user).await?.iter().map(|i| i.conversation.id).collect();
        pause().await;
        let outcome = memory.mark_read(user, messages, within, at).await?;
        if !matches!(outcome, ReadOutcome::NotParticipant) {
            return Ok(outcome);
        }
        let mut came = Vec::new();
        for id in before {
            if let Addition::Added { added, .. } =
                memory.add_participants(id, &[user], usize::MAX, at).await?
                && !added.is_empty()
            {
                came.push(id);
            }
        }
        let outcome = memory.mark_read(user, messages, within, at).await?;
        for id in came {
            memory.remove_participant(id, user, at).await?;
        }
        Ok(outcome)
    }

    pub(super) async fn deliver(&self, marks: &[DeliveredMark]) -> Result<()> {
        let memory = self.memory();
        match self.fault {
            Fault::DeliveryGoesBack | Fault::DeliveryJumps => {
                for mark in marks {
                    let key = (mark.conversation_id, mark.user_id);
                    let standing = memory.standing(mark.conversation_id, mark.user_id).await?;
                    let Some(standing) = standing.filter(|standing| standing.is_participant) else {
                        continue;
                    };
                    let known = self.note(|notes| notes.delivered.get(&key).copied());
                    let known = known.unwrap_or(standing.delivered_seq);
                    let next = match self.fault {
                        Fault::DeliveryJumps => mark.last_seq.max(known),
                        _ if mark.first_seq <= known + 1 => mark.last_seq,
                        _ => known,
                    };
                    self.note(|notes| notes.delivered.insert(key, next));
                }
                Ok(())
            }
            Fault::DeliveredToThoseWhoLeft => {
                memory.set_delivered(marks).await?;
                for mark in marks {
                    let standing = memory.standing(mark.conversation_id, mark.user_id).await?;
                    if standing.is_some_and(|standing| !standing.is_participant) {
                        let key = (mark.conversation_id, mark.user_id);
                        self.note(|notes| notes.delivered.insert(key, mark.last_seq));
                    }
                }
                Ok(())
            }
            // As one statement that joins them all to the row as it was would.
            Fault::OneDeliveredMarkCounts => {
                let mut seen = HashSet::new();
                let first = |mark: &&DeliveredMark| seen.insert((mark.conversation_id, mark.user_id));
                let marks: Vec<_> = marks.iter().filter(first).copied().collect();
                memory.set_delivered(&marks).await
            }
            Fault::DeliveredMarksAreSorted => {
                let mut marks = marks.to_vec();
                marks.sort_by_key(|mark| mark.first_seq);
                memory.set_delivered(&marks).await
            }
            _ => memory.set_delivered(marks).await,
        }
    }
}
