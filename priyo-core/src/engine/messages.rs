//! Messages: say, read back, mark as read, count.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::instrument;

use super::appender::{Appending, Outcome};
use super::receipts::in_events;
use super::{ChatEngine, NO_CONVERSATION, may_see};
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::model::{
    ConversationId, MarkRead, Message, MessageId, MessageKind, MessagePage, MessageRange, NewMessage, Role,
};
use crate::rates::Action;
use crate::storage::{NewMessageRow, ReadMark, ReadOutcome, Reader, Reading};

/// A message that was accepted.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The message as stored; for a repeat, the first one.
    pub message: Arc<Message>,
    /// Whether the sender had sent it before.
    pub duplicate: bool,
}

/// A message that has its place in line.
#[derive(Debug)]
#[must_use = "whether the message was accepted is known when `sent` is"]
pub struct Submitted {
    appending: Appending,
    /// Who may see the conversation without being in it, and is then told so: others are told that there is none.
    onlooker: Option<(ChatEngine, Caller, ConversationId)>,
}

impl Submitted {
    /// Waits until the message is stored and announced. It is so too when nobody waits.
    ///
    /// # Errors
    ///
    /// Those of [`ChatEngine::send_message`] that are known when the message is stored.
    pub async fn sent(self) -> Result<Sent> {
        match self.appending.outcome().await? {
            Outcome::Sent(sent) => Ok(sent),
            Outcome::ClientIdReused => Err(Error::ClientIdReused),
            Outcome::Closed => Err(Error::ConversationClosed),
            Outcome::FileGone => Err(Error::NotFound("File not found")),
            Outcome::NoConversation => Err(Error::NotFound(NO_CONVERSATION)),
            Outcome::NotParticipant => Err(match self.onlooker {
                Some((engine, caller, id)) => match engine.visible(&caller, id).await {
                    Ok(_) => engine.denied_outside(&caller),
                    Err(error) => error,
                },
                None => Error::NotFound(NO_CONVERSATION),
            }),
        }
    }
}

impl ChatEngine {
    /// Says something: stores it, then tells everyone who listens.
    ///
    /// When this has returned `Ok`, the message survives a crash and a power loss. A repeat with the same
    /// `client_message_id` gives the first message back and changes nothing.
    ///
    /// # Errors
    ///
    /// - [`Error::Validation`] when the text is blank or too long, or the caller's id for the message is not 1 to 128
    ///   characters, or either has a NUL.
    /// - [`Error::NotFound`] when there is no such conversation or file, or none that the caller may know of.
    /// - [`Error::Forbidden`] for one who may see the conversation and is not in it.
    /// - [`Error::ConversationClosed`] when it takes no more messages.
    /// - [`Error::ClientIdReused`] when the caller's id for the message stands for another one.
    /// - [`Error::RateLimited`] when the caller sends too many.
    /// - [`Error::Overloaded`] when too many messages wait.
    /// - [`Error::Unavailable`] when the storage is away; the message may have been stored, so send it again with
    ///   the same id.
    pub async fn send_message(&self, caller: &Caller, new: NewMessage) -> Result<Sent> {
        self.submit_message(caller, new).await?.sent().await
    }

    /// The first half of [`send_message`](Self::send_message): checks the message and gives it its place in line.
    ///
    /// Messages that are submitted one after the other get rising numbers, so that a connection can submit the next
    /// one while the last is being stored.
    ///
    /// # Errors
    ///
    /// Those of [`send_message`](Self::send_message) that are known before the message is stored.
    #[instrument(skip_all, fields(user.id = %caller.user_id, conversation.id = %new.conversation_id))]
    pub async fn submit_message(&self, caller: &Caller, new: NewMessage) -> Result<Submitted> {
        let id = new.conversation_id;
        self.check_content(&new)?;
        self.count(Action::Send, caller)?;
        let attachment = match &new.file {
            // Whether the conversation may be known of is decided before whether the file may.
            Some(file) => {
                self.joined(caller, new.conversation_id).await?;
                Some(self.attachable(caller, file).await?)
            }
            None => None,
        };
        let appending = self.inner.appender.append(NewMessageRow {
            id: MessageId::new(),
            conversation_id: new.conversation_id,
            sender: caller.user_id,
            client_message_id: new.client_message_id,
            content: new.content,
            kind: new.kind,
            attachment,
            at: self.now(),
        })?;
        let is_onlooker = caller.role != Role::Customer;
        let onlooker = is_onlooker.then(|| (self.clone(), caller.clone(), id));
        Ok(Submitted { appending, onlooker })
    }

    /// A part of a conversation's messages, oldest first.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] when there is none, or none that the caller may see.
    /// - [`Error::Validation`] when `limit` is 0 or more than `limits.page_rows`.
    pub async fn messages(
        &self,
        caller: &Caller,
        id: ConversationId,
        range: MessageRange,
        limit: Option<u32>,
    ) -> Result<MessagePage> {
        let limits = self.limits();
        let limit = limits.rows(limit, limits.default_page_rows)?;
        let max_bytes = match range {
            // The next page begins where this one would end if it were whole: what was cut off would be on none.
            MessageRange::Page(_) => usize::MAX,
            MessageRange::Before(_) | MessageRange::After(_) => limits.page_bytes,
        };
        let reading = self.reading(caller, id, range, limit, max_bytes).await?;
        if !reading.standing.is_participant {
            self.audit_reading(caller, &[id]).await?;
        }
        if let Some(read_back) = self.reading_back(caller, &reading) {
            self.inner.receipts.read_back(read_back);
        }
        Ok(reading.page)
    }

    /// A part of a conversation that the caller may see. What an administrator sees from outside is to be noted in the
    /// audit log before it is handed out.
    pub(super) async fn reading(
        &self,
        caller: &Caller,
        id: ConversationId,
        range: MessageRange,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Reading> {
        // Which an agent may read is seen below.
        let reader = Reader { user_id: caller.user_id, from_outside: caller.role != Role::Customer };
        let reading = self.inner.storage.messages_for(reader, id, range, limit, max_bytes).await?;
        let seen = reading.filter(|reading| may_see(caller, &reading.standing));
        let Reading { standing, page, present } = seen.ok_or(Error::NotFound(NO_CONVERSATION))?;
        Ok(Reading { standing, page: page.cut_to(range, max_bytes), present })
    }

    /// Marks messages as read by the caller: all of them, or none. Marking them again is fine.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] when the caller names a conversation that they may not know of.
    /// - [`Error::Forbidden`] for an administrator who is not in the conversation.
    /// - [`Error::Refused`] when one of the messages does not exist or may not be known of.
    /// - [`Error::RateLimited`] when this is asked for too often.
    pub async fn mark_read(&self, caller: &Caller, read: MarkRead) -> Result<()> {
        self.count_here(Action::Read, caller)?;
        if let Some(conversation) = read.conversation_id {
            self.joined(caller, conversation).await?;
        }
        let caller = caller.clone();
        self.to_the_end(async move |engine: Self| {
            let at = engine.now();
            let MarkRead { message_ids, conversation_id } = read;
            match engine.inner.storage.mark_read(caller.user_id, &message_ids, conversation_id, at).await? {
                ReadOutcome::Marked(marks) => {
                    engine.announce_read(&caller, marks, at);
                    Ok(())
                }
                ReadOutcome::NotParticipant if caller.is_admin() => Err(engine.denied_outside(&caller)),
                ReadOutcome::Unknown | ReadOutcome::NotParticipant => {
                    Err(Error::Refused("Some messages not found or access denied"))
                }
            }
        })
        .await
    }

    /// For each conversation with any: how many messages the caller has not read.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the storage is away.
    pub async fn unread_counts(&self, caller: &Caller) -> Result<Vec<(ConversationId, u64)>> {
        Ok(self.inner.storage.unread_counts(caller.user_id).await?)
    }

    fn check_content(&self, new: &NewMessage) -> Result<()> {
        let limits = self.limits();
        let content = &new.content;
        if new.kind == MessageKind::Text && content.trim().is_empty() {
            return Err(Error::field("content", "is not allowed to be empty"));
        }
        if content.len() > limits.message_bytes || content.chars().count() > limits.message_chars {
            let (chars, bytes) = (limits.message_chars, limits.message_bytes);
            return Err(Error::field(
                "content",
                &format!("must be at most {chars} characters and {bytes} bytes long"),
            ));
        }
        // A parser has looked at these already, but a host program may come without one.
        new.check_texts()
    }

    fn announce_read(&self, reader: &Caller, marks: Vec<ReadMark>, read_at: crate::model::Timestamp) {
        let mut by_conversation: BTreeMap<ConversationId, Vec<(u64, MessageId)>> = BTreeMap::new();
        for mark in marks {
            by_conversation.entry(mark.conversation_id).or_default().push((mark.seq, mark.message_id));
        }
        for (conversation_id, receipts) in by_conversation {
            in_events(&receipts, |seq, message_id, message_ids| {
                let (reader, except) = (reader.user_id, reader.connection_id);
                let event =
                    Event::MessageRead { conversation_id, message_id, seq, message_ids, reader, read_at };
                self.inner.sequencer.announce(conversation_id, except, event);
            });
        }
    }
}
