//! Reading conversations, alone and in lists: each in one statement, whatever the number of those who are in them.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::connection::Connection;
use super::failure::Failure;
use super::messages::message_at;
use super::values::{Db, Statement, array, get, get_all, get_opt, statements};
use crate::model::{
    Conversation, ConversationCursor, ConversationId, ConversationSummary, MessageId, Page, Participant,
    Role, Timestamp, UserId,
};
use crate::storage::Result;

statements! {
    CONVERSATION = "
        SELECT c.id, c.name, c.kind, c.status, c.created_by, c.last_seq, c.created_at_ms, c.updated_at_ms,
            p.places, p.ids, p.usernames, p.avatars, p.roles, p.last_seen
        FROM conversations c
        CROSS JOIN LATERAL (
            SELECT array_agg(p.place) AS places, array_agg(u.id) AS ids, array_agg(u.username) AS usernames,
                array_agg(u.avatar) AS avatars, array_agg(u.role) AS roles, array_agg(u.last_seen_ms) AS last_seen
            FROM participants p JOIN users u ON u.id = p.user_id
            WHERE p.conversation_id = c.id AND p.left_seq IS NULL
        ) p
        WHERE c.id = $1";
    /// Goes over all of a user's conversations; they are sorted on the way. `OFFSET 0` changes nothing but that they are
    /// looked up one by one: the planner would rather go over everybody's, in order, until enough are the user's.
    LIST_OWN = "
        SELECT c.id, c.name, c.kind, c.status, c.created_by, c.last_seq, c.created_at_ms, c.updated_at_ms,
            p.places, p.ids, p.usernames, p.avatars, p.roles, p.last_seen,
            m.id, m.conversation_id, m.seq, m.sender_id, u.username, u.avatar, m.client_message_id, m.content,
            m.kind, m.created_at_ms, f.id, f.stored_name, f.original_name, f.size, f.width, f.height,
            c.last_seq - (SELECT r.covered_len FROM participants r
                WHERE r.conversation_id = c.id AND r.user_id = $1 AND r.left_seq IS NULL)
        FROM (
            SELECT c.* FROM participants p
            CROSS JOIN LATERAL (
                SELECT * FROM conversations c
                WHERE c.id = p.conversation_id AND (c.updated_at_ms, c.id) < ($2, $3) OFFSET 0
            ) c
            WHERE p.user_id = $5 AND p.left_at_ms IS NULL ORDER BY c.updated_at_ms DESC, c.id DESC LIMIT $4
        ) c
        CROSS JOIN LATERAL (
            SELECT array_agg(p.place) AS places, array_agg(u.id) AS ids, array_agg(u.username) AS usernames,
                array_agg(u.avatar) AS avatars, array_agg(u.role) AS roles, array_agg(u.last_seen_ms) AS last_seen
            FROM participants p JOIN users u ON u.id = p.user_id
            WHERE p.conversation_id = c.id AND p.left_seq IS NULL
        ) p
        LEFT JOIN messages m ON m.conversation_id = c.id AND m.seq = c.last_seq
        LEFT JOIN users u ON u.id = m.sender_id
        LEFT JOIN files f ON f.id = m.file_id
        ORDER BY c.updated_at_ms DESC, c.id DESC";
    /// The nil id is before all others. The user's own are found first: by the limit alone the planner might rather go
    /// over everybody's in the order of their ids.
    LIST_OWN_BY_ID = "
        WITH own AS MATERIALIZED (
            SELECT conversation_id, covered_len FROM participants WHERE user_id = $1 AND left_at_ms IS NULL
        )
        SELECT c.id, c.name, c.kind, c.status, c.created_by, c.last_seq, c.created_at_ms, c.updated_at_ms,
            p.places, p.ids, p.usernames, p.avatars, p.roles, p.last_seen,
            m.id, m.conversation_id, m.seq, m.sender_id, u.username, u.avatar, m.client_message_id, m.content,
            m.kind, m.created_at_ms, f.id, f.stored_name, f.original_name, f.size, f.width, f.height, c.last_seq - c.covered_len
        FROM (
            SELECT c.*, own.covered_len
            FROM (SELECT * FROM own
                WHERE conversation_id > $2 AND conversation_id NOT IN (SELECT unnest($3::uuid[]))
                ORDER BY conversation_id LIMIT $4) own
            JOIN conversations c ON c.id = own.conversation_id
        ) c
        CROSS JOIN LATERAL (
            SELECT array_agg(p.place) AS places, array_agg(u.id) AS ids, array_agg(u.username) AS usernames,
                array_agg(u.avatar) AS avatars, array_agg(u.role) AS roles, array_agg(u.last_seen_ms) AS last_seen
            FROM participants p JOIN users u ON u.id = p.user_id
            WHERE p.conversation_id = c.id AND p.left_seq IS NULL
        ) p
        LEFT JOIN messages m ON m.conversation_id = c.id AND m.seq = c.last_seq
        LEFT JOIN users u ON u.id = m.sender_id
        LEFT JOIN files f ON f.id = m.file_id
        ORDER BY c.id";
    LIST_ALL = "
        SELECT c.id, c.name, c.kind, c.status, c.created_by, c.last_seq, c.created_at_ms, c.updated_at_ms,
            p.places, p.ids, p.usernames, p.avatars, p.roles, p.last_seen,
            m.id, m.conversation_id, m.seq, m.sender_id, u.username, u.avatar, m.client_message_id, m.content,
            m.kind, m.created_at_ms, f.id, f.stored_name, f.original_name, f.size, f.width, f.height,
            c.last_seq - (SELECT r.covered_len FROM participants r
                WHERE r.conversation_id = c.id AND r.user_id = $1 AND r.left_seq IS NULL)
        FROM (
            SELECT * FROM conversations WHERE (updated_at_ms, id) < ($2, $3)
            ORDER BY updated_at_ms DESC, id DESC LIMIT $4
        ) c
        CROSS JOIN LATERAL (
            SELECT array_agg(p.place) AS places, array_agg(u.id) AS ids, array_agg(u.username) AS usernames,
                array_agg(u.avatar) AS avatars, array_agg(u.role) AS roles, array_agg(u.last_seen_ms) AS last_seen
            FROM participants p JOIN users u ON u.id = p.user_id
            WHERE p.conversation_id = c.id AND p.left_seq IS NULL
        ) p
        LEFT JOIN messages m ON m.conversation_id = c.id AND m.seq = c.last_seq
        LEFT JOIN users u ON u.id = m.sender_id
        LEFT JOIN files f ON f.id = m.file_id
        ORDER BY c.updated_at_ms DESC, c.id DESC";
}

/// The conversation with those who are in it now.
pub(super) async fn conversation(
    db: &mut Connection,
    id: ConversationId,
) -> Result<Option<Conversation>, Failure> {
    let found = db.query(CONVERSATION).bind(Db(id)).try_map(|row| conversation_at(&row));
    Ok(found.fetch_optional(&mut db.inner).await?)
}

/// The one that the same call has just seen or made.
pub(super) async fn existing(db: &mut Connection, id: ConversationId) -> Result<Conversation, Failure> {
    conversation(db, id).await?.ok_or(Failure::Database(sqlx::Error::RowNotFound))
}

/// Where a list begins. What is before the first is later than any time.
pub(super) fn place(after: Option<ConversationCursor>) -> (Timestamp, ConversationId) {
    let first = || (Timestamp::from_millis(i64::MAX), ConversationId::from_uuid(uuid::Uuid::max()));
    after.map_or_else(first, |cursor| (cursor.updated_at, cursor.id))
}

/// A part of the list of the conversations that `of` is in, or of all.
pub(super) async fn list(
    db: &mut Connection,
    of: Option<UserId>,
    reader: UserId,
    after: Option<ConversationCursor>,
    limit: u32,
) -> Result<Page<ConversationSummary>, Failure> {
    // One more than asked for shows whether there is more.
    let wanted = i64::from(limit) + 1;
    let (before, id) = place(after);
    let list = db.query(if of.is_some() { LIST_OWN } else { LIST_ALL });
    let list = list.bind(Db(reader)).bind(Db(before)).bind(Db(id)).bind(wanted);
    let list = match of {
        Some(user) => list.bind(Db(user)),
        None => list,
    };
    summaries(db, list, limit).await
}

/// A part of the conversations that `user` is in and that are not among `known`, by id.
pub(super) async fn list_except(
    db: &mut Connection,
    user: UserId,
    known: &[ConversationId],
    after: Option<ConversationId>,
    limit: u32,
) -> Result<Page<ConversationSummary>, Failure> {
    let after = after.unwrap_or_else(|| ConversationId::from_uuid(uuid::Uuid::nil()));
    let list = db.query(LIST_OWN_BY_ID).bind(Db(user)).bind(Db(after)).bind(array(known.iter().copied()));
    let list = list.bind(i64::from(limit) + 1);
    summaries(db, list, limit).await
}

/// The first `limit` of a list, of which there is one more if there are more.
async fn summaries(
    db: &mut Connection,
    list: Statement,
    limit: u32,
) -> Result<Page<ConversationSummary>, Failure> {
    let mut items = list.try_map(|row| summary_at(&row)).fetch_all(&mut db.inner).await?;
    let has_more = items.len() > limit as usize;
    items.truncate(limit as usize);
    Ok(Page { items, has_more })
}

/// Reads a conversation from the fourteen columns that every query above begins with.
fn conversation_at(row: &PgRow) -> sqlx::Result<Conversation> {
    Ok(Conversation {
        id: get(row, 0)?,
        name: row.try_get(1)?,
        kind: get(row, 2)?,
        status: get(row, 3)?,
        created_by: get(row, 4)?,
        last_seq: get(row, 5)?,
        created_at: get(row, 6)?,
        updated_at: get(row, 7)?,
        participants: participants_at(row, 8)?,
    })
}

/// Sorted here: the database would sort each of the columns.
fn participants_at(row: &PgRow, first: usize) -> sqlx::Result<Vec<Participant>> {
    let places = get_all::<i64>(row, first)?;
    let (ids, names) = (get_all::<Db<UserId>>(row, first + 1)?, get_all(row, first + 2)?);
    let (avatars, roles) = (get_all(row, first + 3)?, get_all::<Db<Role>>(row, first + 4)?);
    let last_seen = get_all::<Option<Db<Timestamp>>>(row, first + 5)?;
    let people = ids.zip(names).zip(avatars.zip(roles)).zip(last_seen);
    let people = people.map(|(((Db(user_id), username), (avatar, Db(role))), last_seen)| Participant {
        user_id,
        username,
        avatar,
        role,
        last_seen: last_seen.map(|Db(at)| at),
    });
    let mut placed: Vec<(i64, Participant)> = places.zip(people).collect();
    placed.sort_unstable_by_key(|(place, _)| *place);
    Ok(placed.into_iter().map(|(_, participant)| participant).collect())
}

/// Reads a conversation of a list from the thirty-one columns that every query for one begins with.
pub(super) fn summary_at(row: &PgRow) -> sqlx::Result<ConversationSummary> {
    let has_message = get_opt::<MessageId>(row, 14)?.is_some();
    Ok(ConversationSummary {
        conversation: conversation_at(row)?,
        last_message: if has_message { Some(message_at(row, 14)?) } else { None },
        unread: get_opt(row, 30)?.unwrap_or(0),
    })
}
