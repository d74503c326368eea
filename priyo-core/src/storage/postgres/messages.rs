//! Messages, and who has read them. How they are added is in [`append`](super::append).

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::connection::Connection;
use super::conversations::standing_at;
use super::failure::Failure;
use super::values::{Db, Statement, array, get, get_all, get_opt, statements};
use super::{PostgresStorage, append, delivered, files, unread};
use crate::model::{
    Attachment, ConversationId, Message, MessageId, MessagePage, MessageRange, MessageWithReads, Read,
    Timestamp, UserBrief, UserId,
};
use crate::storage::{
    Appended, DeliveredMark, MessageSpan, MessageStore, NewMessageRow, ReadMark, ReadOutcome, Reader,
    Reading, Result,
};

statements! {
    /// A page that ends with a number, or with one counted from the newest; in it as many of the last messages as
    /// have no more than so many bytes together, and at least one. All marks of its messages come with the first of
    /// them. There is a row without a message when the page is empty, as it is for one who may not read, and none when
    /// there is no such conversation.
    BACKWARDS = "
        SELECT c.last_seq,
            m.id, m.conversation_id, m.seq, m.sender_id, u.username, u.avatar, m.client_message_id, m.content,
            m.kind, m.created_at_ms, f.id, f.stored_name, f.original_name, f.size, f.width, f.height,
            CASE WHEN m.seq = c.edge THEN r.seqs END, CASE WHEN m.seq = c.edge THEN r.user_ids END,
            CASE WHEN m.seq = c.edge THEN r.usernames END, CASE WHEN m.seq = c.edge THEN r.times END,
            c.is_participant, c.created_by, c.kind, c.status, c.last_seq, c.delivered_seq, s.user_id IS NOT NULL
        FROM (
            SELECT c.*, GREATEST(LEAST($4::bigint, c.last_seq - $7::bigint), 0) AS edge,
                p.user_id IS NOT NULL AS is_participant, p.user_id IS NOT NULL OR $3 AS may_read,
                COALESCE(p.delivered_seq, 0) AS delivered_seq
            FROM conversations c
            LEFT JOIN participants p ON p.conversation_id = $1 AND p.user_id = $2 AND p.left_seq IS NULL
            WHERE c.id = $1
        ) c
        CROSS JOIN LATERAL (
            SELECT array_agg(r.seq) AS seqs, array_agg(r.user_id) AS user_ids, array_agg(u.username) AS usernames,
                array_agg(r.read_at_ms) AS times
            FROM message_reads r JOIN users u ON u.id = r.user_id
            WHERE c.may_read AND r.conversation_id = c.id AND r.seq > c.edge - $5 AND r.seq <= c.edge
        ) r
        LEFT JOIN LATERAL (
            SELECT m.*, sum(octet_length(m.content)) OVER (ORDER BY m.seq DESC ROWS UNBOUNDED PRECEDING) AS bytes
            FROM (SELECT * FROM messages m
                WHERE c.may_read AND m.conversation_id = c.id AND m.seq <= c.edge ORDER BY m.seq DESC LIMIT $5) m
        ) m ON m.bytes <= $6 OR m.seq = c.edge
        LEFT JOIN users u ON u.id = m.sender_id
        LEFT JOIN files f ON f.id = m.file_id
        LEFT JOIN participants s
            ON s.conversation_id = m.conversation_id AND s.user_id = m.sender_id AND s.left_seq IS NULL";
    /// The same from a number on.
    FORWARDS = "
        SELECT c.last_seq,
            m.id, m.conversation_id, m.seq, m.sender_id, u.username, u.avatar, m.client_message_id, m.content,
            m.kind, m.created_at_ms, f.id, f.stored_name, f.original_name, f.size, f.width, f.height,
            CASE WHEN m.seq = c.edge THEN r.seqs END, CASE WHEN m.seq = c.edge THEN r.user_ids END,
            CASE WHEN m.seq = c.edge THEN r.usernames END, CASE WHEN m.seq = c.edge THEN r.times END,
            c.is_participant, c.created_by, c.kind, c.status, c.last_seq, c.delivered_seq, s.user_id IS NOT NULL
        FROM (
            SELECT c.*, LEAST($4, c.last_seq + 1) AS edge,
                p.user_id IS NOT NULL AS is_participant, p.user_id IS NOT NULL OR $3 AS may_read,
                COALESCE(p.delivered_seq, 0) AS delivered_seq
            FROM conversations c
            LEFT JOIN participants p ON p.conversation_id = $1 AND p.user_id = $2 AND p.left_seq IS NULL
            WHERE c.id = $1
        ) c
        CROSS JOIN LATERAL (
            SELECT array_agg(r.seq) AS seqs, array_agg(r.user_id) AS user_ids, array_agg(u.username) AS usernames,
                array_agg(r.read_at_ms) AS times
            FROM message_reads r JOIN users u ON u.id = r.user_id
            WHERE c.may_read AND r.conversation_id = c.id AND r.seq >= c.edge AND r.seq < c.edge + $5
        ) r
        LEFT JOIN LATERAL (
            SELECT m.*, sum(octet_length(m.content)) OVER (ORDER BY m.seq ROWS UNBOUNDED PRECEDING) AS bytes
            FROM (SELECT * FROM messages m
                WHERE c.may_read AND m.conversation_id = c.id AND m.seq >= c.edge ORDER BY m.seq LIMIT $5) m
        ) m ON m.bytes <= $6 OR m.seq = c.edge
        LEFT JOIN users u ON u.id = m.sender_id
        LEFT JOIN files f ON f.id = m.file_id
        LEFT JOIN participants s
            ON s.conversation_id = m.conversation_id AND s.user_id = m.sender_id AND s.left_seq IS NULL";
    /// Several spans, one after the other; of all of them together as many messages as have no more than so many
    /// bytes, and at least one.
    SPANS = "
        SELECT m.id, m.conversation_id, m.seq, m.sender_id, u.username, u.avatar, m.client_message_id, m.content,
            m.kind, m.created_at_ms, f.id, f.stored_name, f.original_name, f.size, f.width, f.height,
            r.seqs, r.user_ids, r.usernames, r.times
        FROM (
            SELECT m.*, row_number() OVER onwards AS place, sum(octet_length(m.content)) OVER onwards AS bytes
            FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) WITH ORDINALITY
                AS s (conversation_id, first_seq, last_seq, place)
            JOIN messages m ON m.conversation_id = s.conversation_id AND m.seq BETWEEN s.first_seq AND s.last_seq
            WINDOW onwards AS (ORDER BY s.place, m.seq ROWS UNBOUNDED PRECEDING)
        ) m
        JOIN users u ON u.id = m.sender_id
        LEFT JOIN files f ON f.id = m.file_id
        LEFT JOIN LATERAL (
            SELECT array_agg(r.seq) AS seqs, array_agg(r.user_id) AS user_ids, array_agg(u.username) AS usernames,
                array_agg(r.read_at_ms) AS times
            FROM message_reads r JOIN users u ON u.id = r.user_id
            WHERE r.conversation_id = m.conversation_id AND r.seq = m.seq
        ) r ON true
        WHERE m.place = 1 OR m.bytes <= $4
        ORDER BY m.place";
    PLACES = "SELECT id, conversation_id, seq, sender_id FROM messages WHERE id = ANY ($1)";
    /// One after the other, in order.
    LOCK_READER = "
        SELECT p.conversation_id FROM (SELECT * FROM unnest($1::uuid[]) AS r (conversation_id) ORDER BY 1) r
        CROSS JOIN LATERAL (
            SELECT p.conversation_id FROM participants p
            WHERE p.conversation_id = r.conversation_id AND p.user_id = $2 AND p.left_seq IS NULL FOR NO KEY UPDATE
        ) p";
    MARK = "
        INSERT INTO message_reads (conversation_id, seq, user_id, read_at_ms)
        SELECT m.conversation_id, m.seq, $3, $4 FROM unnest($1::uuid[], $2::bigint[]) AS m (conversation_id, seq)
        ON CONFLICT DO NOTHING RETURNING conversation_id, seq";
}

#[async_trait]
impl MessageStore for PostgresStorage {
    async fn append_messages(&self, batch: Vec<NewMessageRow>) -> Result<Vec<Appended>> {
        self.write(batch, |db, batch| Box::pin(append::append(db, batch))).await
    }

    async fn messages(
        &self,
        conversation: ConversationId,
        range: MessageRange,
        limit: u32,
        max_bytes: usize,
    ) -> Result<MessagePage> {
        let part = Part { conversation, reader: None, range, limit, max_bytes };
        self.read(part, |db, part| Box::pin(async { Ok(part.read(db).await?.0) })).await
    }

    async fn messages_for(
        &self,
        reader: Reader,
        conversation: ConversationId,
        range: MessageRange,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Option<Reading>> {
        let part = Part { conversation, reader: Some(reader), range, limit, max_bytes };
        self.read(part, |db, part| Box::pin(reading(db, part))).await
    }

    async fn messages_in(&self, spans: &[MessageSpan], max_bytes: usize) -> Result<Vec<MessageWithReads>> {
        self.read((spans.to_vec(), max_bytes), |db, (spans, max_bytes)| {
            Box::pin(messages_in(db, spans, *max_bytes))
        })
        .await
    }

    async fn mark_read(
        &self,
        user: UserId,
        messages: &[MessageId],
        within: Option<ConversationId>,
        at: Timestamp,
    ) -> Result<ReadOutcome> {
        let messages: BTreeSet<MessageId> = messages.iter().copied().collect();
        self.write((user, messages, within, at), |db, (user, messages, within, at)| {
            Box::pin(mark_read(db, *user, messages, *within, *at))
        })
        .await
    }

    async fn unread_counts(&self, user: UserId) -> Result<Vec<(ConversationId, u64)>> {
        self.read(user, |db, user| Box::pin(unread::counts(db, *user))).await
    }

    async fn set_delivered(&self, marks: &[DeliveredMark]) -> Result<()> {
        self.write(marks.to_vec(), |db, marks| Box::pin(delivered::set(db, marks))).await
    }
}

/// Reads a message from sixteen columns, `first` being the number of the first.
pub(super) fn message_at(row: &PgRow, first: usize) -> sqlx::Result<Message> {
    let attachment = match get_opt(row, first + 10)? {
        None => None,
        Some(file_id) => Some(Attachment {
            file_id,
            stored_name: row.try_get(first + 11)?,
            original_name: row.try_get(first + 12)?,
            size: get(row, first + 13)?,
            dimensions: files::dimensions(row, first + 14)?,
        }),
    };
    Ok(Message {
        id: get(row, first)?,
        conversation_id: get(row, first + 1)?,
        seq: get(row, first + 2)?,
        sender: UserBrief {
            id: get(row, first + 3)?,
            username: row.try_get(first + 4)?,
            avatar: row.try_get(first + 5)?,
        },
        client_message_id: row.try_get(first + 6)?,
        content: row.try_get(first + 7)?,
        kind: get(row, first + 8)?,
        created_at: get(row, first + 9)?,
        attachment,
    })
}

/// Where a part of a conversation is, and who reads it.
struct Part {
    conversation: ConversationId,
    /// Nobody, when it is read for the engine itself.
    reader: Option<Reader>,
    range: MessageRange,
    limit: u32,
    max_bytes: usize,
}

impl Part {
    /// Reads it, and what comes with the first row.
    async fn read(&self, db: &mut Connection) -> Result<(MessagePage, Vec<PgRow>), Failure> {
        let rows = self.statement(db).fetch_all(&mut db.inner).await?;
        let page = page(&rows, matches!(self.range, MessageRange::After(_)))?;
        Ok((page, rows))
    }

    /// The numbers have no gaps, so where a page begins is plain arithmetic, at any depth.
    fn statement(&self, db: &mut Connection) -> Statement {
        let (sql, edge, newer) = match self.range {
            MessageRange::Page(page) => {
                let newer = page.saturating_sub(1).saturating_mul(u64::from(self.limit));
                (BACKWARDS, u64::MAX, Some(newer))
            }
            MessageRange::Before(seq) => (BACKWARDS, seq.saturating_sub(1), Some(0)),
            MessageRange::After(seq) => (FORWARDS, seq.saturating_add(1), None),
        };
        let statement = db
            .query(sql)
            .bind(Db(self.conversation))
            .bind(self.reader.map(|reader| Db(reader.user_id)))
            .bind(self.reader.is_none_or(|reader| reader.from_outside))
            .bind(Db(edge))
            .bind(i64::from(self.limit))
            .bind(Db(u64::try_from(self.max_bytes).unwrap_or(u64::MAX)));
        match newer {
            Some(newer) => statement.bind(Db(newer)),
            None => statement,
        }
    }
}

fn page(rows: &[PgRow], is_forwards: bool) -> sqlx::Result<MessagePage> {
    let last_seq = rows.first().map_or(Ok(0), |row| get(row, 0))?;
    let mut reads = BTreeMap::new();
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows {
        if get_opt::<MessageId>(row, 1)?.is_some() {
            messages.push(message_at(row, 1)?);
            add_reads_at(row, 17, &mut reads)?;
        }
    }
    messages.sort_unstable_by_key(|message| message.seq);
    let items: Vec<_> = messages
        .into_iter()
        .map(|message| MessageWithReads { reads: in_order(reads.remove(&message.seq)), message })
        .collect();
    let has_more = match (items.first(), items.last()) {
        (Some(_), Some(last)) if is_forwards => last.message.seq < last_seq,
        (Some(first), Some(_)) => first.message.seq > 1,
        _ => false,
    };
    Ok(MessagePage { items, has_more, last_seq })
}

async fn reading(db: &mut Connection, part: &Part) -> Result<Option<Reading>, Failure> {
    let (page, rows) = part.read(db).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let mut present = BTreeSet::new();
    for row in &rows {
        if row.try_get(27)? {
            present.insert(get(row, 4)?);
        }
    }
    Ok(Some(Reading { standing: standing_at(first, 21)?, page, present: present.into_iter().collect() }))
}

async fn messages_in(
    db: &mut Connection,
    spans: &[MessageSpan],
    max_bytes: usize,
) -> Result<Vec<MessageWithReads>, Failure> {
    let found = db
        .query(SPANS)
        .bind(array(spans.iter().map(|span| span.conversation_id)))
        .bind(array(spans.iter().map(|span| span.first_seq)))
        .bind(array(spans.iter().map(|span| span.last_seq)))
        .bind(Db(u64::try_from(max_bytes).unwrap_or(u64::MAX)))
        .try_map(|row| {
            let (message, mut reads) = (message_at(&row, 0)?, BTreeMap::new());
            add_reads_at(&row, 16, &mut reads)?;
            Ok(MessageWithReads { reads: in_order(reads.remove(&message.seq)), message })
        });
    Ok(found.fetch_all(&mut db.inner).await?)
}

/// Reads from four columns who has read messages, by number.
fn add_reads_at(row: &PgRow, first: usize, reads: &mut BTreeMap<u64, Vec<Read>>) -> sqlx::Result<()> {
    let (seqs, ids) = (get_all(row, first)?, get_all(row, first + 1)?);
    let (names, times) = (get_all(row, first + 2)?, get_all(row, first + 3)?);
    for (((Db(seq), Db(user_id)), username), Db(read_at)) in seqs.zip(ids).zip(names).zip(times) {
        reads.entry(seq).or_default().push(Read { user_id, username, read_at });
    }
    Ok(())
}

fn in_order(reads: Option<Vec<Read>>) -> Vec<Read> {
    let mut reads = reads.unwrap_or_default();
    reads.sort_unstable_by_key(|read| (read.read_at, read.user_id));
    reads
}

struct Place {
    id: MessageId,
    conversation: ConversationId,
    seq: u64,
    sender: UserId,
}

async fn mark_read(
    db: &mut Connection,
    user: UserId,
    messages: &BTreeSet<MessageId>,
    within: Option<ConversationId>,
    at: Timestamp,
) -> Result<ReadOutcome, Failure> {
    if messages.is_empty() {
        return Ok(ReadOutcome::Marked(Vec::new()));
    }
    // Messages never change: neither does what is found here.
    let places = db.query(PLACES).bind(array(messages.iter().copied())).try_map(|row| {
        let (id, conversation) = (get(&row, 0)?, get(&row, 1)?);
        Ok(Place { id, conversation, seq: get(&row, 2)?, sender: get(&row, 3)? })
    });
    let places = places.fetch_all(&mut db.inner).await?;
    let is_elsewhere = |place: &Place| within.is_some_and(|within| within != place.conversation);
    if places.len() < messages.len() || places.iter().any(is_elsewhere) {
        return Ok(ReadOutcome::Unknown);
    }
    let conversations: BTreeSet<ConversationId> = places.iter().map(|place| place.conversation).collect();
    let lock = db.query(LOCK_READER).bind(array(conversations.iter().copied())).bind(Db(user));
    if lock.fetch_all(&mut db.inner).await?.len() < conversations.len() {
        return Ok(ReadOutcome::NotParticipant);
    }
    let of_others: BTreeMap<(ConversationId, u64), MessageId> = places
        .into_iter()
        .filter(|place| place.sender != user)
        .map(|place| ((place.conversation, place.seq), place.id))
        .collect();
    let mark = db
        .query(MARK)
        .bind(array(of_others.keys().map(|(conversation, _)| *conversation)))
        .bind(array(of_others.keys().map(|(_, seq)| *seq)))
        .bind(Db(user))
        .bind(Db(at))
        .try_map(|row| Ok((get(&row, 0)?, get(&row, 1)?)));
    let new: BTreeSet<(ConversationId, u64)> = mark.fetch_all(&mut db.inner).await?.into_iter().collect();
    unread::cover(db, new.iter().map(|(conversation, seq)| ((*conversation, user), *seq..=*seq))).await?;
    let new = of_others.into_iter().filter(|(place, _)| new.contains(place));
    let marks = new.map(|((conversation_id, seq), message_id)| ReadMark { conversation_id, message_id, seq });
    Ok(ReadOutcome::Marked(marks.collect()))
}
