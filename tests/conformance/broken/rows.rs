//! What a message becomes on its way in, and for which it is taken.

use priyo_core::model::{ConversationStatus, Message, MessageId, Timestamp, UserId};
use priyo_core::storage::{ConversationStore, NewMessageRow, Result};

use super::{Broken, Fault};

impl Broken {
    /// The rows as the storage in memory gets to see them.
    pub(super) async fn as_taken(&self, batch: &[NewMessageRow]) -> Result<Vec<NewMessageRow>> {
        let mut rows: Vec<NewMessageRow> = Vec::new();
        for row in batch {
            let is_repeat = rows.iter().any(|other| is_named_alike(other, row));
            rows.push(self.row_as_taken(row, is_repeat).await?);
        }
        Ok(rows)
    }

    async fn row_as_taken(&self, row: &NewMessageRow, is_repeat: bool) -> Result<NewMessageRow> {
        let mut row = self.with_values_changed(row.clone());
        match self.fault {
            Fault::ForgetsClientIds => forget(&mut row),
            Fault::KnowsNoRepeatInABatch if is_repeat => forget(&mut row),
            Fault::RemembersTheLastHundred => {
                let newest = self.memory().standing(row.conversation_id, row.sender).await?;
                let newest = newest.map_or(0, |standing| standing.last_seq);
                if self.known(&row).await?.is_some_and(|known| known.seq + 100 <= newest) {
                    forget(&mut row);
                }
            }
            Fault::LooksForRepeatsFirst => match self.known(&row).await? {
                Some(known) => row.client_message_id = known.client_message_id,
                None => forget(&mut row),
            },
            Fault::WhateverComesAgainIsARepeat => {
                if let Some(known) = self.known(&row).await? {
                    row.content = known.content;
                    row.kind = known.kind;
                    row.attachment = known.attachment;
                }
            }
            Fault::AClosedOneKnowsNoRepeat => {
                let conversation = self.memory().conversation(row.conversation_id).await?;
                if conversation.is_some_and(|now| now.status == ConversationStatus::Closed) {
                    forget(&mut row);
                }
            }
            _ => {}
        }
        Ok(row)
    }

    fn with_values_changed(&self, mut row: NewMessageRow) -> NewMessageRow {
        let ms = row.at.as_millis();
        let name = row.client_message_id.clone();
        match self.fault {
            Fault::TrimsTexts => row.content = row.content.trim().to_owned(),
            Fault::TimesAreUnsigned => row.at = Timestamp::from_millis(ms.max(0)),
            Fault::TimesAreWholeSeconds => row.at = Timestamp::from_millis(ms - ms.rem_euclid(1_000)),
            Fault::AnEmptyTextIsNone => row.client_message_id = name.filter(|name| !name.is_empty()),
            Fault::ClientIdsHaveNoCase => row.client_message_id = name.map(|name| name.to_lowercase()),
            Fault::ClientIdsAreCut => {
                row.client_message_id = name.map(|name| name.chars().take(64).collect())
            }
            _ => {}
        }
        row
    }

    /// The message that was sent under the name of this one before, as the storage in memory has it.
    pub(super) async fn known(&self, row: &NewMessageRow) -> Result<Option<Message>> {
        if row.client_message_id.is_none() {
            return Ok(None);
        }
        let mut places = vec![row.conversation_id];
        if self.has(Fault::AClientIdIsForAllConversations) {
            let all = self.all_conversations(None, UserId::new()).await?;
            places.extend(all.iter().map(|item| item.conversation.id));
        }
        for place in places {
            for item in self.all_messages(place).await? {
                let message = item.message;
                let is_theirs = message.sender.id == row.sender || self.has(Fault::AClientIdIsForAllSenders);
                let is_named = self.shown(message.clone()).client_message_id == row.client_message_id;
                if is_theirs && is_named && message.id != row.id {
                    return Ok(Some(message));
                }
            }
        }
        Ok(None)
    }
}

/// Gives a message another name than any other has, so that nothing is known of it.
fn forget(row: &mut NewMessageRow) {
    row.client_message_id = row.client_message_id.take().map(|_| MessageId::new().to_string());
}

fn is_named_alike(one: &NewMessageRow, other: &NewMessageRow) -> bool {
    one.client_message_id == other.client_message_id
        && one.sender == other.sender
        && one.conversation_id == other.conversation_id
}
