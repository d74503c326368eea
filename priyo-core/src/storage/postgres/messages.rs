//! Messages, and who has read them. How they are added is in [`append`](super::append).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::connection::Connection;
use super::conversations::standing_at;
use super::failure::Failure;
use super::values::{Db, Statement, array, get, get_all, get_opt, statements};
use super::{PostgresStorage, append, delivered, files, unread};

use crate::model::{
    Attachment, ConversationId, Message, MessageId, MessagePage, MessageRange, MessageWithReads, Read,
    Timestamp, UserBrief, UserId, fitting,
};
use crate::storage::{
    Appended, DeliveredMark, MessageSpan, MessageStore, NewMessageRow, ReadMark, ReadOutcome, Reader,
    Reading, Result,
};

/// A page of a conversation, as far as its reader may read it: the messages next to an edge.
///
/// With the message at the edge comes what there is once: how the reader stands to the conversation, the senders, and
/// all marks. A join would look a sender up for each message, and there are few of them. There is a row without a
/// message when the page is empty, as it is for one who may not read, and none when there is no such conversation.
///
/// Adding up here how many bytes the messages have would cost a sixth of all: whoever reads them does that.
macro_rules! page {
    ($edge:literal, $beyond:literal, $order:literal, $reads:literal) => {
        concat!(
            "
        WITH c AS MATERIALIZED (
            SELECT c.created_by, c.kind, c.status, c.last_seq, ",
            $edge,
            " AS edge,
                p.user_id IS NOT NULL AS is_participant, p.user_id IS NOT NULL OR $3 AS may_read,
                COALESCE(p.delivered_seq, 0) AS delivered_seq
            FROM conversations c
            LEFT JOIN participants p ON p.conversation_id = $1 AND p.user_id = $2 AND p.left_seq IS NULL
            WHERE c.id = $1
        ), page AS MATERIALIZED (
            SELECT m.id, m.seq, m.sender_id, m.client_message_id, m.content, m.kind, m.created_at_ms, m.file_id
            FROM messages m
            WHERE (SELECT may_read FROM c) AND m.conversation_id = $1 AND m.",
            $beyond,
            " (SELECT edge FROM c)
            ORDER BY m.seq ",
            $order,
            " LIMIT $5
        ), once AS MATERIALIZED (
            SELECT c.*, s.*, r.* FROM c
            CROSS JOIN (
                SELECT array_agg(u.id) AS sender_ids, array_agg(u.username) AS sender_names,
                    array_agg(u.avatar) AS sender_avatars, array_agg(p.user_id) AS present_ids
                FROM (SELECT DISTINCT sender_id FROM page) s
                JOIN users u ON u.id = s.sender_id
                LEFT JOIN participants p ON p.conversation_id = $1 AND p.user_id = u.id AND p.left_seq IS NULL
            ) s
            CROSS JOIN (
                SELECT array_agg(r.seq) AS seqs, array_agg(r.user_id) AS user_ids,
                    array_agg(u.username) AS usernames, array_agg(r.read_at_ms) AS times
                FROM message_reads r JOIN users u ON u.id = r.user_id
                WHERE (SELECT may_read FROM c) AND r.conversation_id = $1 AND ",
            $reads,
            "
            ) r
        )
        SELECT m.id, m.seq, m.sender_id, m.client_message_id, m.content, m.kind, m.created_at_ms,
            f.id, f.stored_name, f.original_name, f.size, f.width, f.height,
            o.is_participant, o.created_by, o.kind, o.status, o.last_seq, o.delivered_seq,
            o.sender_ids, o.sender_names, o.sender_avatars, o.present_ids,
            o.seqs, o.user_ids, o.usernames, o.times
        FROM c
        LEFT JOIN page m ON true
        LEFT JOIN files f ON f.id = m.file_id
        LEFT JOIN once o ON (m.seq = c.edge) IS NOT FALSE"
        )
    };
}

statements! {
    /// A page that ends with a number, or with one counted from the newest.
    BACKWARDS = page!(
        "GREATEST(LEAST($4::bigint, c.last_seq - $6::bigint), 0)",
        "seq <=",
        "DESC",
        "r.seq > (SELECT edge FROM c) - $5 AND r.seq <= (SELECT edge FROM c)"
    );
    /// The same from a number on.
    FORWARDS = page!(
        "LEAST($4, c.last_seq + 1)",
        "seq >=",
        "ASC",
        "r.seq >= (SELECT edge FROM c) AND r.seq < (SELECT edge FROM c) + $5"
    );
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
        let reading = self.read(part, |db, part| Box::pin(part.read(db))).await?;
        Ok(reading.map(|reading| reading.page).unwrap_or_default())
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
        self.read(part, |db, part| Box::pin(part.read(db))).await
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
    let sender = UserBrief {
        id: get(row, first + 3)?,
        username: row.try_get(first + 4)?,
        avatar: row.try_get(first + 5)?,
    };
    let place = (get(row, first)?, get(row, first + 1)?, get(row, first + 2)?);
    message_of(row, first + 6, place, sender)
}

/// Reads the rest of a message from ten columns, `first` being the number of the first.
fn message_of(
    row: &PgRow,
    first: usize,
    (id, conversation_id, seq): (MessageId, ConversationId, u64),
    sender: UserBrief,
) -> sqlx::Result<Message> {
    let attachment = match get_opt(row, first + 4)? {
        None => None,
        Some(file_id) => Some(Attachment {
            file_id,
            stored_name: row.try_get(first + 5)?,
            original_name: row.try_get(first + 6)?,
            size: get(row, first + 7)?,
            dimensions: files::dimensions(row, first + 8)?,
        }),
    };
    let (client_message_id, content) = (row.try_get(first)?, row.try_get(first + 1)?);
    let (kind, created_at) = (get(row, first + 2)?, get(row, first + 3)?);
    Ok(Message { id, conversation_id, seq, sender, client_message_id, content, kind, created_at, attachment })
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
    /// Reads it; gives nothing when there is no such conversation.
    async fn read(&self, db: &mut Connection) -> Result<Option<Reading>, Failure> {
        let rows = self.statement(db).fetch_all(&mut db.inner).await?;
        Ok(self.reading(&rows)?)
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
            .bind(i64::from(self.limit));
        match newer {
            Some(newer) => statement.bind(Db(newer)),
            None => statement,
        }
    }

    fn reading(&self, rows: &[PgRow]) -> sqlx::Result<Option<Reading>> {
        let mut once = None;
        for row in rows {
            if row.try_get::<Option<bool>, _>(13)?.is_some() {
                once = Some(row);
            }
        }
        let Some(once) = once else { return Ok(None) };
        let standing = standing_at(once, 13)?;
        let (mut senders, mut present) = (HashMap::new(), Vec::new());
        let (ids, names) = (get_all(once, 19)?, get_all(once, 20)?);
        let (avatars, are_present) = (get_all(once, 21)?, get_all::<Option<Uuid>>(once, 22)?);
        for (((Db(id), username), avatar), is_present) in ids.zip(names).zip(avatars).zip(are_present) {
            if is_present.is_some() {
                present.push(id);
            }
            senders.insert(id, UserBrief { id, username, avatar });
        }
        let mut reads = BTreeMap::new();
        add_reads_at(once, 23, &mut reads)?;
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(id) = get_opt(row, 0)? else { continue };
            let (seq, sender) = (get(row, 1)?, get(row, 2)?);
            let sender: Option<&UserBrief> = senders.get(&sender);
            let sender = sender.ok_or_else(|| sqlx::Error::Decode("a message without its sender".into()))?;
            let message = message_of(row, 3, (id, self.conversation, seq), sender.clone())?;
            items.push(MessageWithReads { reads: in_order(reads.remove(&seq)), message });
        }
        // From the edge on.
        let is_forwards = matches!(self.range, MessageRange::After(_));
        items.sort_unstable_by_key(
            |item| if is_forwards { item.message.seq } else { u64::MAX - item.message.seq },
        );
        let sizes = items.iter().map(|item| item.message.content.len());
        items.truncate(fitting(sizes, self.max_bytes).max(1));
        if !is_forwards {
            items.reverse();
        }
        let has_more = match (items.first(), items.last()) {
            (Some(_), Some(last)) if is_forwards => last.message.seq < standing.last_seq,
            (Some(first), Some(_)) => first.message.seq > 1,
            _ => false,
        };
        let page = MessagePage { items, has_more, last_seq: standing.last_seq };
        Ok(Some(Reading { standing, page, present }))
    }
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
