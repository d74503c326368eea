//! Messages, and who has read them. How they are added is in [`append`](super::append).

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};

use super::failure::Failure;
use super::values::{Db, get, get_opt, statements};
use super::{SqliteStorage, append, conversations, files, unread};
use crate::model::{
    Attachment, ConversationId, Message, MessageId, MessagePage, MessageRange, MessageWithReads, Read,
    Timestamp, UserBrief, UserId,
};
use crate::storage::{
    Appended, DeliveredMark, MessageSpan, MessageStore, NewMessageRow, ReadMark, ReadOutcome, Reader,
    Reading, Result,
};

statements! {
    LAST_SEQ = "SELECT last_seq FROM conversations WHERE id = ?1";
    BACKWARDS = "
        SELECT m.id, m.conversation_id, m.seq, m.sender_id, u.username, u.avatar, m.client_message_id, m.content,
            m.kind, m.created_at_ms, f.id, f.stored_name, f.original_name, f.size, f.width, f.height
        FROM messages m CROSS JOIN users u ON u.id = m.sender_id LEFT JOIN files f ON f.id = m.file_id
        WHERE m.conversation_id = ?1 AND m.seq <= ?2 ORDER BY m.seq DESC LIMIT ?3";
    FORWARDS = "
        SELECT m.id, m.conversation_id, m.seq, m.sender_id, u.username, u.avatar, m.client_message_id, m.content,
            m.kind, m.created_at_ms, f.id, f.stored_name, f.original_name, f.size, f.width, f.height
        FROM messages m CROSS JOIN users u ON u.id = m.sender_id LEFT JOIN files f ON f.id = m.file_id
        WHERE m.conversation_id = ?1 AND m.seq >= ?2 ORDER BY m.seq LIMIT ?3";
    SPAN = "
        SELECT m.id, m.conversation_id, m.seq, m.sender_id, u.username, u.avatar, m.client_message_id, m.content,
            m.kind, m.created_at_ms, f.id, f.stored_name, f.original_name, f.size, f.width, f.height
        FROM messages m CROSS JOIN users u ON u.id = m.sender_id LEFT JOIN files f ON f.id = m.file_id
        WHERE m.conversation_id = ?1 AND m.seq BETWEEN ?2 AND ?3 ORDER BY m.seq";
    READS = "
        SELECT r.seq, u.id, u.username, r.read_at_ms FROM message_reads r CROSS JOIN users u ON u.id = r.user_id
        WHERE r.conversation_id = ?1 AND r.seq BETWEEN ?2 AND ?3";
    PLACE = "SELECT conversation_id, seq, sender_id FROM messages WHERE id = ?1";
    IS_PARTICIPANT = "
        SELECT EXISTS (SELECT 1 FROM participants WHERE conversation_id = ?1 AND user_id = ?2 AND left_at_ms IS NULL)";
    MARK = "
        INSERT INTO message_reads (conversation_id, seq, user_id, read_at_ms) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT DO NOTHING";
    DELIVERED = "
        UPDATE participants SET delivered_seq = ?4
        WHERE conversation_id = ?1 AND user_id = ?2 AND left_at_ms IS NULL AND delivered_seq BETWEEN ?3 - 1 AND ?4 - 1";
}

#[async_trait]
impl MessageStore for SqliteStorage {
    async fn append_messages(&self, batch: Vec<NewMessageRow>) -> Result<Vec<Appended>> {
        self.write(move |db| append::append(db, batch)).await
    }

    async fn messages(
        &self,
        conversation: ConversationId,
        range: MessageRange,
        limit: u32,
        max_bytes: usize,
    ) -> Result<MessagePage> {
        self.read(move |db| page(db, conversation, range, limit, max_bytes)).await
    }

    async fn messages_for(
        &self,
        reader: Reader,
        conversation: ConversationId,
        range: MessageRange,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Option<Reading>> {
        self.read(move |db| reading(db, reader, conversation, range, limit, max_bytes)).await
    }

    async fn messages_in(&self, spans: &[MessageSpan], max_bytes: usize) -> Result<Vec<MessageWithReads>> {
        let spans = spans.to_vec();
        self.read(move |db| messages_in(db, &spans, max_bytes)).await
    }

    async fn mark_read(
        &self,
        user: UserId,
        messages: &[MessageId],
        within: Option<ConversationId>,
        at: Timestamp,
    ) -> Result<ReadOutcome> {
        let messages: BTreeSet<MessageId> = messages.iter().copied().collect();
        self.write(move |db| mark_read(db, user, &messages, within, at)).await
    }

    async fn unread_counts(&self, user: UserId) -> Result<Vec<(ConversationId, u64)>> {
        self.read(move |db| unread::counts(db, user)).await
    }

    async fn set_delivered(&self, marks: &[DeliveredMark]) -> Result<()> {
        let marks = marks.to_vec();
        self.write(move |db| {
            let mut delivered = db.prepare_cached(DELIVERED)?;
            for mark in marks {
                let range = (Db(mark.first_seq), Db(mark.last_seq));
                delivered.execute((Db(mark.conversation_id), Db(mark.user_id), range.0, range.1))?;
            }
            Ok(())
        })
        .await
    }
}

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    let file_id = get_opt(row, 10)?;
    let attachment = match file_id {
        None => None,
        Some(file_id) => Some(Attachment {
            file_id,
            stored_name: row.get(11)?,
            original_name: row.get(12)?,
            size: get(row, 13)?,
            dimensions: files::dimensions(row, 14)?,
        }),
    };
    Ok(Message {
        id: get(row, 0)?,
        conversation_id: get(row, 1)?,
        seq: get(row, 2)?,
        sender: UserBrief { id: get(row, 3)?, username: row.get(4)?, avatar: row.get(5)? },
        client_message_id: row.get(6)?,
        content: row.get(7)?,
        kind: get(row, 8)?,
        created_at: get(row, 9)?,
        attachment,
    })
}

/// The message with this number.
pub(super) fn message_at(
    db: &Connection,
    conversation: ConversationId,
    seq: u64,
) -> Result<Option<Message>, Failure> {
    let mut statement = db.prepare_cached(BACKWARDS)?;
    let found = statement.query_row((Db(conversation), Db(seq), 1), message).optional()?;
    Ok(found.filter(|message| message.seq == seq))
}

/// The numbers have no gaps, so where a page begins and whether there is more is plain arithmetic, at any depth.
fn page(
    db: &Connection,
    conversation: ConversationId,
    range: MessageRange,
    limit: u32,
    max_bytes: usize,
) -> Result<MessagePage, Failure> {
    let last_seq =
        db.prepare_cached(LAST_SEQ)?.query_row([Db(conversation)], |row| get(row, 0)).optional()?;
    let last_seq: u64 = last_seq.unwrap_or(0);
    let (sql, from) = match range {
        MessageRange::Page(page) => {
            let newer = page.saturating_sub(1).saturating_mul(u64::from(limit));
            (BACKWARDS, last_seq.saturating_sub(newer))
        }
        MessageRange::Before(seq) => (BACKWARDS, seq.saturating_sub(1).min(last_seq)),
        MessageRange::After(seq) => (FORWARDS, seq.saturating_add(1)),
    };
    let mut messages = Vec::new();
    let mut budget = Budget::new(max_bytes);
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query((Db(conversation), Db(from), limit))?;
    while let Some(row) = rows.next()? {
        let message = message(row)?;
        if !budget.takes(&message) {
            break;
        }
        messages.push(message);
    }
    let is_forwards = matches!(range, MessageRange::After(_));
    if !is_forwards {
        messages.reverse();
    }
    let (Some(first), Some(last)) = (messages.first(), messages.last()) else {
        return Ok(MessagePage { items: Vec::new(), has_more: false, last_seq });
    };
    let has_more = if is_forwards { last.seq < last_seq } else { first.seq > 1 };
    Ok(MessagePage { items: with_reads(db, messages)?, has_more, last_seq })
}

fn reading(
    db: &Connection,
    reader: Reader,
    conversation: ConversationId,
    range: MessageRange,
    limit: u32,
    max_bytes: usize,
) -> Result<Option<Reading>, Failure> {
    let Some(standing) = conversations::standing(db, conversation, reader.user_id)? else { return Ok(None) };
    let page = if standing.is_participant || reader.from_outside {
        page(db, conversation, range, limit, max_bytes)?
    } else {
        MessagePage { items: Vec::new(), has_more: false, last_seq: standing.last_seq }
    };
    let senders: BTreeSet<UserId> = page.items.iter().map(|item| item.message.sender.id).collect();
    let mut present = Vec::new();
    for sender in senders {
        if is_participant(db, conversation, sender)? {
            present.push(sender);
        }
    }
    Ok(Some(Reading { standing, page, present }))
}

fn messages_in(
    db: &Connection,
    spans: &[MessageSpan],
    max_bytes: usize,
) -> Result<Vec<MessageWithReads>, Failure> {
    let mut found = Vec::new();
    let mut budget = Budget::new(max_bytes);
    // A short look-up for each: there is no network between.
    let mut statement = db.prepare_cached(SPAN)?;
    for span in spans {
        let mut messages = Vec::new();
        let mut is_cut = false;
        let mut rows = statement.query((Db(span.conversation_id), Db(span.first_seq), Db(span.last_seq)))?;
        while let Some(row) = rows.next()? {
            let message = message(row)?;
            is_cut = !budget.takes(&message);
            if is_cut {
                break;
            }
            messages.push(message);
        }
        found.append(&mut with_reads(db, messages)?);
        if is_cut {
            break;
        }
    }
    Ok(found)
}

/// How much text one answer takes. The first message always fits.
struct Budget {
    max_bytes: usize,
    bytes: usize,
    is_untouched: bool,
}

impl Budget {
    const fn new(max_bytes: usize) -> Self {
        Self { max_bytes, bytes: 0, is_untouched: true }
    }

    fn takes(&mut self, message: &Message) -> bool {
        self.bytes = self.bytes.saturating_add(message.content.len());
        let takes = self.bytes <= self.max_bytes || self.is_untouched;
        self.is_untouched = false;
        takes
    }
}

/// Adds who has read them to messages of one conversation, oldest first and without a gap.
fn with_reads(db: &Connection, messages: Vec<Message>) -> Result<Vec<MessageWithReads>, Failure> {
    let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return Ok(Vec::new()) };
    let mut reads = reads(db, first.conversation_id, first.seq, last.seq)?;
    let add = |message: Message| MessageWithReads {
        reads: reads.remove(&message.seq).unwrap_or_default(),
        message,
    };
    Ok(messages.into_iter().map(add).collect())
}

/// Who has read the messages from `first` to `last`, by number.
fn reads(
    db: &Connection,
    conversation: ConversationId,
    first: u64,
    last: u64,
) -> Result<BTreeMap<u64, Vec<Read>>, Failure> {
    let mut reads: BTreeMap<u64, Vec<Read>> = BTreeMap::new();
    let mut statement = db.prepare_cached(READS)?;
    let mut rows = statement.query((Db(conversation), Db(first), Db(last)))?;
    while let Some(row) = rows.next()? {
        let read = Read { user_id: get(row, 1)?, username: row.get(2)?, read_at: get(row, 3)? };
        reads.entry(get(row, 0)?).or_default().push(read);
    }
    for of_one in reads.values_mut() {
        // They come by user id.
        of_one.sort_by_key(|read| read.read_at);
    }
    Ok(reads)
}

/// Whether `user` is in the conversation now.
fn is_participant(db: &Connection, conversation: ConversationId, user: UserId) -> Result<bool, Failure> {
    Ok(db.prepare_cached(IS_PARTICIPANT)?.query_row((Db(conversation), Db(user)), |row| row.get(0))?)
}

fn mark_read(
    db: &Connection,
    user: UserId,
    messages: &BTreeSet<MessageId>,
    within: Option<ConversationId>,
    at: Timestamp,
) -> Result<ReadOutcome, Failure> {
    // By conversation and number; with an absent id for an own message, which only counts for the checks.
    let mut wanted: BTreeMap<ConversationId, BTreeMap<u64, Option<MessageId>>> = BTreeMap::new();
    for id in messages {
        let place = db
            .prepare_cached(PLACE)?
            .query_row([Db(*id)], |row| Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?)))
            .optional()?;
        let Some((conversation, seq, sender)): Option<(ConversationId, u64, UserId)> = place else {
            return Ok(ReadOutcome::Unknown);
        };
        if within.is_some_and(|within| within != conversation) {
            return Ok(ReadOutcome::Unknown);
        }
        wanted.entry(conversation).or_default().insert(seq, (sender != user).then_some(*id));
    }
    for conversation in wanted.keys() {
        if !is_participant(db, *conversation, user)? {
            return Ok(ReadOutcome::NotParticipant);
        }
    }
    let mut marked = Vec::new();
    for (conversation, messages) in wanted {
        let begin = marked.len();
        for (seq, id) in messages {
            let Some(message_id) = id else { continue };
            let values = (Db(conversation), Db(seq), Db(user), Db(at));
            if db.prepare_cached(MARK)?.execute(values)? == 1 {
                marked.push(ReadMark { conversation_id: conversation, message_id, seq });
            }
        }
        let numbers = marked[begin..].iter().map(|mark| mark.seq);
        unread::cover(db, conversation, user, &unread::runs(numbers))?;
    }
    Ok(ReadOutcome::Marked(marked))
}
