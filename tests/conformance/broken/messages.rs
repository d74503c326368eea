use std::collections::BTreeSet;

use async_trait::async_trait;
use priyo_core::model::{
    Attachment, ConversationId, Message, MessageId, MessagePage, MessageRange, MessageWithReads, Timestamp,
    UserId,
};
use priyo_core::storage::{
    Addition, Appended, ConversationStore, DeliveredMark, FileRecordStore, MessageSpan, MessageStore,
    NewMessageRow, ReadOutcome, Reader, Reading, Result,
};

use super::{Broken, Fault, pause};

#[async_trait]
impl MessageStore for Broken {
    async fn append_messages(&self, mut batch: Vec<NewMessageRow>) -> Result<Vec<Appended>> {
        self.begin().await;
        match self.fault {
            Fault::KeepsHalfOfABatch | Fault::ABatchIsSeenInParts => {
                let mut outcomes = Vec::new();
                for row in batch {
                    outcomes.extend(self.append(vec![row]).await?);
                    pause().await;
                }
                Ok(outcomes)
            }
            Fault::StopsAtTheFirstBad => {
                let mut outcomes = Vec::new();
                for row in batch {
                    match outcomes.last() {
                        None | Some(Appended::New(_) | Appended::Duplicate(_)) => {
                            outcomes.extend(self.append(vec![row]).await?);
                        }
                        Some(bad) => outcomes.push(Appended::clone(bad)),
                    }
                }
                Ok(outcomes)
            }
            Fault::ABatchIsTurnedRound => {
                batch.reverse();
                let mut outcomes = self.append(batch).await?;
                outcomes.reverse();
                Ok(outcomes)
            }
            Fault::ManyAreCutToAThousand => {
                let rest = batch.len().saturating_sub(1_000);
                batch.truncate(1_000);
                let mut outcomes = self.append(batch).await?;
                outcomes.extend((0..rest).map(|_| Appended::FileGone));
                Ok(outcomes)
            }
            Fault::LooksForMembersFirst => self.append_to_members(batch).await,
            Fault::FilesAreLookedAtFirst => self.append_with_files_seen(batch).await,
            _ => self.append(batch).await,
        }
    }

    async fn messages(
        &self,
        conversation: ConversationId,
        range: MessageRange,
        limit: u32,
        max_bytes: usize,
    ) -> Result<MessagePage> {
        let memory = self.memory();
        let as_signed = |number: u64| if i64::try_from(number).is_ok() { number } else { 0 };
        let (mut range, mut limit, mut max_bytes) = (range, limit, max_bytes);
        match self.fault {
            Fault::NumbersAreSigned => {
                range = match range {
                    MessageRange::Page(page) => MessageRange::Page(as_signed(page)),
                    MessageRange::Before(seq) => MessageRange::Before(as_signed(seq)),
                    MessageRange::After(seq) => MessageRange::After(as_signed(seq)),
                };
            }
            Fault::AsksForOneMore => limit = limit.wrapping_add(1).max(1) - 1,
            Fault::ALongTextIsNoPage if max_bytes < 60 => limit = 0,
            Fault::PageOneIsTheOldest => {
                if let MessageRange::Page(page) = range {
                    range = MessageRange::After((page - 1).saturating_mul(limit.into()));
                }
            }
            Fault::LettersAreCounted => max_bytes = max_bytes.saturating_mul(3),
            _ => {}
        }
        let is_closed = memory
            .conversation(conversation)
            .await?
            .is_some_and(|conversation| conversation.status == priyo_core::model::ConversationStatus::Closed);
        if self.has(Fault::ClosingForgets) && is_closed {
            return Ok(MessagePage { items: Vec::new(), has_more: false, last_seq: 0 });
        }
        let whole = memory.messages(conversation, range, limit, usize::MAX).await?;
        let mut page = memory.messages(conversation, range, limit, max_bytes).await?;
        let kept = page.items.len();
        match self.fault {
            Fault::APageIsCutAtItsOtherEnd => {
                let cut = whole.items.len() - kept;
                page.items = match range {
                    MessageRange::After(_) => whole.items.into_iter().skip(cut).collect(),
                    _ => whole.items.into_iter().take(kept).collect(),
                };
            }
            Fault::ACutPageHasNoMore => page.has_more = whole.has_more,
            Fault::AFullPageHasMore => page.has_more |= kept == limit as usize,
            Fault::TheNewestIsThatOfThePage => {
                page.last_seq = page.items.last().map_or(page.last_seq, |item| item.message.seq);
            }
            Fault::APageIsReadInTwoSteps => {
                pause().await;
                page.last_seq = memory.messages(conversation, range, 1, 1).await?.last_seq;
            }
            _ => {}
        }
        for item in &mut page.items {
            item.message = self.shown(item.message.clone());
            self.show_reads(item);
        }
        page.last_seq += self.note(|notes| notes.holes.get(&conversation).copied()).unwrap_or(0);
        Ok(page)
    }

    async fn messages_for(
        &self,
        mut reader: Reader,
        conversation: ConversationId,
        range: MessageRange,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Option<Reading>> {
        let memory = self.memory();
        match self.fault {
            Fault::AnyoneMayRead => reader.from_outside = true,
            Fault::NobodyReadsFromOutside => reader.from_outside = false,
            _ => {}
        }
        let before = memory.standing(conversation, reader.user_id).await?;
        if self.has(Fault::AReaderStandsAsBefore) {
            pause().await;
        }
        let Some(mut reading) = memory.messages_for(reader, conversation, range, limit, max_bytes).await?
        else {
            return Ok(None);
        };
        match (self.fault, before) {
            (Fault::AReaderStandsAsBefore, Some(before)) => reading.standing = before,
            (Fault::WhoLeftIsStillThere, _) => {
                let senders = reading.page.items.iter().map(|item| item.message.sender.id);
                let senders: BTreeSet<UserId> = senders.collect();
                reading.present = senders.into_iter().collect();
            }
            _ => {}
        }
        Ok(Some(reading))
    }

    async fn messages_in(&self, spans: &[MessageSpan], max_bytes: usize) -> Result<Vec<MessageWithReads>> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        for span in spans {
            let range = MessageRange::After(span.first_seq.saturating_sub(1));
            let mut found = self.messages(span.conversation_id, range, u32::MAX, usize::MAX).await?.items;
            if !self.has(Fault::SpansHaveNoEnd) {
                found.retain(|item| item.message.seq <= span.last_seq);
            }
            for item in found {
                bytes += item.message.content.len();
                if bytes > max_bytes && !items.is_empty() && !self.has(Fault::SpansAreNeverCut) {
                    return Ok(items);
                }
                items.push(item);
            }
        }
        Ok(items)
    }

    async fn mark_read(
        &self,
        user: UserId,
        messages: &[MessageId],
        within: Option<ConversationId>,
        at: Timestamp,
    ) -> Result<ReadOutcome> {
        self.begin().await;
        self.read(user, messages, within, at).await
    }

    async fn unread_counts(&self, user: UserId) -> Result<Vec<(ConversationId, u64)>> {
        let mut counts = Vec::new();
        for (id, count) in self.memory().unread_counts(user).await? {
            counts.push((id, self.unread(id, user, user, count).await?));
        }
        if self.has(Fault::WhoLeftHasUnread) {
            for item in self.all_conversations(None, user).await? {
                if !item.conversation.has(user) {
                    counts.push((item.conversation.id, item.conversation.last_seq));
                }
            }
        }
        Ok(counts)
    }

    async fn set_delivered(&self, marks: &[DeliveredMark]) -> Result<()> {
        self.deliver(marks).await
    }
}

impl Broken {
    /// Appends with the faults that change a message on its way in or out.
    async fn append(&self, batch: Vec<NewMessageRow>) -> Result<Vec<Appended>> {
        let rows = self.as_taken(&batch).await?;
        if self.has(Fault::LooksForRepeatsFirst) {
            pause().await;
        }
        let outcomes = self.memory().append_messages(rows).await?;
        let mut told = Vec::new();
        for (row, outcome) in batch.into_iter().zip(outcomes) {
            let outcome = self.mistaken(&row, outcome).await?;
            told.push(self.as_told(row, outcome));
        }
        Ok(told)
    }

    /// What a fault takes the outcome for.
    async fn mistaken(&self, row: &NewMessageRow, outcome: Appended) -> Result<Appended> {
        Ok(match (outcome, self.fault) {
            (Appended::NotParticipant, Fault::WhoLeftMayRepeat) => {
                self.known(row).await?.map_or(Appended::NotParticipant, Appended::Duplicate)
            }
            (
                Appended::New(message),
                Fault::AClientIdIsForAllConversations | Fault::AClientIdIsForAllSenders,
            ) => match self.known(row).await? {
                Some(_) => Appended::ClientIdReused,
                None => Appended::New(message),
            },
            (Appended::New(message), Fault::WhatIsRefusedTakesItsName) => {
                let name = (row.sender, row.client_message_id.clone());
                let is_taken = row.client_message_id.is_some() && self.note(|n| n.refused.contains(&name));
                if is_taken { Appended::ClientIdReused } else { Appended::New(message) }
            }
            (
                refused @ (Appended::Closed | Appended::FileGone | Appended::NotParticipant),
                Fault::WhatIsRefusedTakesItsName,
            ) => {
                let name = (row.sender, row.client_message_id.clone());
                self.note(|notes| notes.refused.insert(name));
                refused
            }
            (other, _) => other,
        })
    }

    fn as_told(&self, row: NewMessageRow, outcome: Appended) -> Appended {
        let id = row.conversation_id;
        let is_new = matches!(outcome, Appended::New(_));
        match (&outcome, self.fault) {
            (Appended::New(message), fault) => self.note(|notes| {
                notes.appended += 1;
                if let Some(name) = row.client_message_id {
                    notes.client_ids.push((message.id, name));
                }
                if let Some(file) = &message.attachment {
                    notes.files.entry(file.file_id).or_insert(id);
                }
                let holes = notes.holes.get(&id).copied().unwrap_or(0);
                let shift =
                    if fault == Fault::NumbersAreOfAll { notes.appended - message.seq } else { holes };
                notes.shifts.insert(message.id, shift);
                if fault == Fault::ReadingTouches {
                    notes.touched.remove(&id);
                }
            }),
            (Appended::Duplicate(_), Fault::ARepeatTakesANumber) => {
                self.note(|notes| *notes.holes.entry(id).or_default() += 1);
            }
            (Appended::NotParticipant, Fault::WhatIsRefusedTakesANumber) => {
                self.note(|notes| *notes.holes.entry(id).or_default() += 1);
            }
            _ => {}
        }
        if is_new && self.has(Fault::AClockSetBackSinks) {
            self.note(|notes| notes.touched.insert(id, row.at));
        }
        match outcome {
            Appended::New(message) => Appended::New(self.sent(message, row.attachment)),
            Appended::Duplicate(message) => Appended::Duplicate(self.sent(message, row.attachment)),
            other => other,
        }
    }

    fn sent(&self, message: Message, given: Option<Attachment>) -> Message {
        let attachment = if self.has(Fault::BelievesTheSender) { given } else { message.attachment.clone() };
        self.shown(Message { attachment, ..message })
    }

    /// Looks whether the files are there, and takes it for granted from then on.
    async fn append_with_files_seen(&self, batch: Vec<NewMessageRow>) -> Result<Vec<Appended>> {
        let mut seen = Vec::new();
        for file in batch.iter().filter_map(|row| row.attachment.as_ref()) {
            seen.extend(self.memory().file(file.file_id).await?);
        }
        pause().await;
        let outcomes = self.append(batch.clone()).await?;
        if !outcomes.iter().any(|outcome| matches!(outcome, Appended::FileGone)) {
            return Ok(outcomes);
        }
        for file in seen {
            self.memory().create_file(&file, u64::MAX).await?;
        }
        self.append(batch).await
    }

    /// Decides who may, and stores later.
    async fn append_to_members(&self, batch: Vec<NewMessageRow>) -> Result<Vec<Appended>> {
        let memory = self.memory();
        let mut outcomes = Vec::new();
        for row in batch {
            let (id, sender) = (row.conversation_id, row.sender);
            let may = memory.standing(id, sender).await?.is_some_and(|standing| standing.is_participant);
            pause().await;
            let came = match memory.add_participants(id, &[sender], usize::MAX, row.at).await? {
                Addition::Added { added, .. } if may => !added.is_empty(),
                Addition::Added { added, .. } => {
                    for user in added {
                        memory.remove_participant(id, user, row.at).await?;
                    }
                    false
                }
                _ => false,
            };
            let at = row.at;
            outcomes.extend(memory.append_messages(vec![row]).await?);
            if came {
                memory.remove_participant(id, sender, at).await?;
            }
        }
        Ok(outcomes)
    }
}
