//! Adding messages: the path that every send takes, so what can be done once for a batch is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension, params};

use super::conversations::open_direct;
use super::failure::Failure;
use super::messages::message_at;
use super::values::{Db, get, get_opt, statements};
use super::{files, unread};
use crate::model::{ConversationId, ConversationStatus, Message, Timestamp, UserBrief, UserId};
use crate::storage::{Appended, Effect, NewMessageRow, Result};

statements! {
    CONVERSATION = "
        SELECT status, last_seq, updated_at_ms, visitor_id, answered_seq FROM conversations WHERE id = ?1";
    SENDER = "
        SELECT u.username, u.avatar FROM participants p CROSS JOIN users u ON u.id = p.user_id
        WHERE p.conversation_id = ?1 AND p.user_id = ?2 AND p.left_at_ms IS NULL";
    FIRST_OF = "
        SELECT seq FROM messages WHERE conversation_id = ?1 AND sender_id = ?2 AND client_message_id = ?3";
    INSERT_MESSAGE = "
        INSERT INTO messages
            (conversation_id, seq, id, sender_id, client_message_id, content, kind, file_id, created_at_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    REOPEN = "UPDATE conversations SET status = 'OPEN' WHERE id = ?1";
    ADVANCE = "
        UPDATE conversations SET last_seq = ?2, updated_at_ms = ?3, answered_seq = ?4 WHERE id = ?1";
}

/// Appends messages in order.
pub(super) fn append(db: &Connection, batch: Vec<NewMessageRow>) -> Result<Vec<Appended>, Failure> {
    let mut appender = Appender { db, conversations: HashMap::new(), senders: HashMap::new() };
    let outcomes = batch.into_iter().map(|row| appender.append(row)).collect::<Result<_, _>>()?;
    appender.finish()?;
    Ok(outcomes)
}

/// What is known of the conversations and senders of a batch, and not yet written of them.
struct Appender<'a> {
    db: &'a Connection,
    conversations: HashMap<ConversationId, Option<State>>,
    senders: HashMap<(ConversationId, UserId), Option<Sender>>,
}

struct State {
    status: ConversationStatus,
    last_seq: u64,
    updated_at: Timestamp,
    /// Whose it is, if it is one of support.
    visitor: Option<UserId>,
    answered_seq: u64,
}

impl State {
    /// Notes what a message does to a support conversation.
    fn said_in_support(&mut self, reopens: bool, is_of_visitor: bool, seq: u64) -> Effect {
        let effect = Effect::of(reopens, is_of_visitor, seq, self.answered_seq);
        self.status = ConversationStatus::Open;
        if !is_of_visitor {
            self.answered_seq = seq;
        }
        effect
    }
}

struct Sender {
    brief: UserBrief,
    /// The numbers of what they sent in this batch.
    own: Vec<u64>,
}

impl Appender<'_> {
    fn append(&mut self, row: NewMessageRow) -> Result<Appended, Failure> {
        let db = self.db;
        let conversation = row.conversation_id;
        let state = match self.conversations.entry(conversation) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(state(db, conversation)?),
        };
        let Some(state) = state else { return Ok(Appended::NoConversation) };
        let sender = match self.senders.entry((conversation, row.sender)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(sender(db, conversation, row.sender)?),
        };
        let Some(sender) = sender else { return Ok(Appended::NotParticipant) };
        if let Some(first) = first_of(db, &row)? {
            return Ok(if says_the_same(&first, &row) {
                Appended::Duplicate(first)
            } else {
                Appended::ClientIdReused
            });
        }
        let is_of_visitor = state.visitor == Some(row.sender);
        let reopens = state.status == ConversationStatus::Closed;
        if reopens && !(is_of_visitor && open_direct(db, row.sender.as_uuid().as_bytes())?.is_none()) {
            return Ok(Appended::Closed);
        }
        let attachment = match row.attachment {
            None => None,
            Some(attachment) => match files::attachment(db, attachment.file_id)? {
                None => return Ok(Appended::FileGone),
                stored => stored,
            },
        };
        let message = Message {
            id: row.id,
            conversation_id: conversation,
            seq: state.last_seq + 1,
            sender: sender.brief.clone(),
            client_message_id: row.client_message_id,
            content: row.content,
            kind: row.kind,
            attachment,
            created_at: row.at,
        };
        insert(db, &message)?;
        if let Some(attachment) = &message.attachment {
            files::sent(db, attachment.file_id)?;
        }
        state.last_seq = message.seq;
        // A clock that is set back must not sink the conversation in the list.
        state.updated_at = state.updated_at.max(row.at);
        sender.own.push(message.seq);
        if state.visitor.is_none() {
            return Ok(Appended::New(message));
        }
        if reopens {
            // At once, so that another one of the same visitor in this batch finds it open.
            db.prepare_cached(REOPEN)?.execute([Db(conversation)])?;
        }
        let effect = state.said_in_support(reopens, is_of_visitor, message.seq);
        Ok(Appended::InSupport { message, effect })
    }

    /// Writes what the messages change beside them, once for each conversation and each sender.
    fn finish(self) -> Result<(), Failure> {
        let sent = self.senders.into_iter().filter_map(|(key, sender)| Some((key, sender?.own)));
        for ((conversation, user), own) in sent {
            unread::cover(self.db, conversation, user, &unread::runs(own))?;
        }
        for (id, state) in self.conversations {
            if let Some(state) = state {
                let mut advance = self.db.prepare_cached(ADVANCE)?;
                let State { last_seq, updated_at, answered_seq, .. } = state;
                advance.execute((Db(id), Db(last_seq), Db(updated_at), Db(answered_seq)))?;
            }
        }
        Ok(())
    }
}

fn state(db: &Connection, id: ConversationId) -> Result<Option<State>, Failure> {
    let mut conversation = db.prepare_cached(CONVERSATION)?;
    let found = conversation.query_row([Db(id)], |row| {
        Ok(State {
            status: get(row, 0)?,
            last_seq: get(row, 1)?,
            updated_at: get(row, 2)?,
            visitor: get_opt(row, 3)?,
            answered_seq: get(row, 4)?,
        })
    });
    Ok(found.optional()?)
}

fn sender(db: &Connection, conversation: ConversationId, id: UserId) -> Result<Option<Sender>, Failure> {
    let mut sender = db.prepare_cached(SENDER)?;
    let found = sender.query_row((Db(conversation), Db(id)), |row| {
        Ok(Sender { brief: UserBrief { id, username: row.get(0)?, avatar: row.get(1)? }, own: Vec::new() })
    });
    Ok(found.optional()?)
}

/// The message that the sender has sent under the same name before.
fn first_of(db: &Connection, row: &NewMessageRow) -> Result<Option<Message>, Failure> {
    let Some(name) = &row.client_message_id else { return Ok(None) };
    let key = (Db(row.conversation_id), Db(row.sender), name);
    let seq = db.prepare_cached(FIRST_OF)?.query_row(key, |row| get(row, 0)).optional()?;
    seq.map_or(Ok(None), |seq| message_at(db, row.conversation_id, seq))
}

fn says_the_same(first: &Message, row: &NewMessageRow) -> bool {
    let file = |attachment: &Option<_>| attachment.as_ref().map(|a: &crate::model::Attachment| a.file_id);
    first.content == row.content && first.kind == row.kind && file(&first.attachment) == file(&row.attachment)
}

fn insert(db: &Connection, message: &Message) -> Result<(), Failure> {
    db.prepare_cached(INSERT_MESSAGE)?.execute(params![
        Db(message.conversation_id),
        Db(message.seq),
        Db(message.id),
        Db(message.sender.id),
        message.client_message_id,
        message.content,
        Db(message.kind),
        message.attachment.as_ref().map(|attachment| Db(attachment.file_id)),
        Db(message.created_at),
    ])?;
    Ok(())
}
