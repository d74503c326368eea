//! Conversations and who is in them.

use std::collections::HashSet;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStorage;
use super::failure::Failure;
use super::messages::message_at;
use super::unread;
use super::values::{Db, get, get_opt, statements};
use crate::model::{
    Conversation, ConversationCursor, ConversationId, ConversationKind, ConversationStatus,
    ConversationSummary, Page, Participant, Timestamp, UserId,
};
use crate::storage::{Addition, ConversationRow, ConversationStore, Created, Result, Standing, StatusChange};

statements! {
    INSERT_CONVERSATION = "
        INSERT INTO conversations
            (id, kind, status, name, direct_key, created_by, created_at_ms, updated_at_ms, visitor_id)
        VALUES (?1, ?2, 'OPEN', ?3, ?4, ?5, ?6, ?6, ?7)";
    CONVERSATION = "
        SELECT id, name, kind, status, created_by, last_seq, created_at_ms, updated_at_ms
        FROM conversations WHERE id = ?1";
    /// Sorted by place afterwards: a sorter for each conversation of a list would cost more.
    PARTICIPANTS = "
        SELECT u.id, u.username, u.avatar, u.role, u.last_seen_ms, p.place
        FROM participants p CROSS JOIN users u ON u.id = p.user_id
        WHERE p.conversation_id = ?1 AND p.left_at_ms IS NULL";
    STANDING = "
        SELECT p.user_id IS NOT NULL, c.created_by, c.kind, c.status, c.last_seq, COALESCE(p.delivered_seq, 0)
        FROM conversations c
        LEFT JOIN participants p ON p.conversation_id = c.id AND p.user_id = ?2 AND p.left_at_ms IS NULL
        WHERE c.id = ?1";
    /// Goes over all of a user's conversations; they are sorted on the way.
    LIST_OWN = "
        SELECT c.id, c.name, c.kind, c.status, c.created_by, c.last_seq, c.created_at_ms, c.updated_at_ms
        FROM participants p CROSS JOIN conversations c ON c.id = p.conversation_id
        WHERE p.user_id = ?1 AND p.left_at_ms IS NULL AND (c.updated_at_ms, c.id) < (?2, ?3)
        ORDER BY c.updated_at_ms DESC, c.id DESC LIMIT ?4";
    /// The nil id is before all others.
    LIST_OWN_BY_ID = "
        SELECT c.id, c.name, c.kind, c.status, c.created_by, c.last_seq, c.created_at_ms, c.updated_at_ms
        FROM participants p CROSS JOIN conversations c ON c.id = p.conversation_id
        WHERE p.user_id = ?1 AND p.left_at_ms IS NULL AND p.conversation_id > ?2
        ORDER BY p.conversation_id";
    LIST_ALL = "
        SELECT id, name, kind, status, created_by, last_seq, created_at_ms, updated_at_ms
        FROM conversations WHERE (updated_at_ms, id) < (?1, ?2)
        ORDER BY updated_at_ms DESC, id DESC LIMIT ?3";
    COVERED_LEN = "
        SELECT covered_len FROM participants WHERE conversation_id = ?1 AND user_id = ?2 AND left_at_ms IS NULL";
    OPEN_DIRECT = "
        SELECT id FROM conversations WHERE direct_key = ?1 AND direct_key IS NOT NULL AND status = 'OPEN'";
    DIRECT_KEY = "SELECT direct_key FROM conversations WHERE id = ?1";
    SET_STATUS = "UPDATE conversations SET status = ?2, updated_at_ms = MAX(updated_at_ms, ?3) WHERE id = ?1";
    TOUCH = "UPDATE conversations SET updated_at_ms = MAX(updated_at_ms, ?2) WHERE id = ?1";
    IS_ACTIVE_USER = "SELECT EXISTS (SELECT 1 FROM users WHERE id = ?1 AND disabled = 0)";
    NEXT_PLACE = "SELECT COALESCE(MAX(place), 0) + 1 FROM participants WHERE conversation_id = ?1";
    /// A new participant, or one who comes back.
    COME = "
        INSERT INTO participants (conversation_id, user_id, place, delivered_seq)
        VALUES (?1, ?2, ?3, (SELECT last_seq FROM conversations WHERE id = ?1))
        ON CONFLICT (conversation_id, user_id) DO UPDATE
        SET place = excluded.place, delivered_seq = excluded.delivered_seq, left_at_ms = NULL, left_seq = NULL";
    LEFT_SEQ = "SELECT left_seq FROM participants WHERE conversation_id = ?1 AND user_id = ?2";
    GO = "
        UPDATE participants SET left_at_ms = ?3,
            left_seq = (SELECT last_seq FROM conversations WHERE id = ?1)
        WHERE conversation_id = ?1 AND user_id = ?2 AND left_at_ms IS NULL";
    UNASSIGN = "UPDATE conversations SET assignee_id = NULL WHERE id = ?1 AND assignee_id = ?2";
}

#[async_trait]
impl ConversationStore for SqliteStorage {
    async fn create_conversation(&self, new: &ConversationRow) -> Result<Created> {
        let new = new.clone();
        self.write(move |db| create(db, &new)).await
    }

    async fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>> {
        self.read(move |db| conversation(db, id)).await
    }

    async fn standing(&self, id: ConversationId, user: UserId) -> Result<Option<Standing>> {
        self.read(move |db| standing(db, id, user)).await
    }

    async fn standings(&self, of: &[(ConversationId, UserId)]) -> Result<Vec<Option<Standing>>> {
        let of = of.to_vec();
        self.read(move |db| of.into_iter().map(|(id, user)| standing(db, id, user)).collect()).await
    }

    async fn conversations(
        &self,
        of: Option<UserId>,
        reader: UserId,
        after: Option<ConversationCursor>,
        limit: u32,
    ) -> Result<Page<ConversationSummary>> {
        self.read(move |db| list(db, of, reader, after, limit)).await
    }

    async fn conversations_except(
        &self,
        user: UserId,
        known: &[ConversationId],
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Page<ConversationSummary>> {
        let known = known.iter().copied().collect();
        self.read(move |db| list_except(db, user, &known, after, limit)).await
    }

    async fn set_status(
        &self,
        id: ConversationId,
        status: ConversationStatus,
        at: Timestamp,
    ) -> Result<StatusChange> {
        self.write(move |db| set_status(db, id, status, at)).await
    }

    async fn add_participants(
        &self,
        id: ConversationId,
        users: &[UserId],
        max: usize,
        at: Timestamp,
    ) -> Result<Addition> {
        let users = users.to_vec();
        self.write(move |db| add_participants(db, id, &users, max, at)).await
    }

    async fn remove_participant(
        &self,
        id: ConversationId,
        user: UserId,
        at: Timestamp,
    ) -> Result<Option<Conversation>> {
        self.write(move |db| {
            if db.prepare_cached(GO)?.execute((Db(id), Db(user), Db(at)))? == 0 {
                return Ok(None);
            }
            db.prepare_cached(UNASSIGN)?.execute((Db(id), Db(user)))?;
            db.prepare_cached(TOUCH)?.execute((Db(id), Db(at)))?;
            conversation(db, id)
        })
        .await
    }
}

/// How a user stands to a conversation.
pub(super) fn standing(
    db: &Connection,
    id: ConversationId,
    user: UserId,
) -> Result<Option<Standing>, Failure> {
    let mut standing = db.prepare_cached(STANDING)?;
    let found = standing.query_row((Db(id), Db(user)), |row| {
        Ok(Standing {
            is_participant: row.get(0)?,
            created_by: get(row, 1)?,
            kind: get(row, 2)?,
            status: get(row, 3)?,
            last_seq: get(row, 4)?,
            delivered_seq: get(row, 5)?,
        })
    });
    Ok(found.optional()?)
}

/// A conversation without its participants.
pub(super) fn bare(row: &Row<'_>) -> rusqlite::Result<Conversation> {
    Ok(Conversation {
        id: get(row, 0)?,
        name: row.get(1)?,
        kind: get(row, 2)?,
        status: get(row, 3)?,
        created_by: get(row, 4)?,
        last_seq: get(row, 5)?,
        created_at: get(row, 6)?,
        updated_at: get(row, 7)?,
        participants: Vec::new(),
    })
}

fn participants(db: &Connection, id: ConversationId) -> Result<Vec<Participant>, Failure> {
    let mut participants = db.prepare_cached(PARTICIPANTS)?;
    let rows = participants.query_map([Db(id)], |row| {
        let participant = Participant {
            user_id: get(row, 0)?,
            username: row.get(1)?,
            avatar: row.get(2)?,
            role: get(row, 3)?,
            last_seen: get_opt(row, 4)?,
        };
        Ok((row.get(5)?, participant))
    })?;
    let mut placed: Vec<(i64, Participant)> = rows.collect::<rusqlite::Result<_>>()?;
    placed.sort_unstable_by_key(|(place, _)| *place);
    Ok(placed.into_iter().map(|(_, participant)| participant).collect())
}

fn conversation(db: &Connection, id: ConversationId) -> Result<Option<Conversation>, Failure> {
    let found = db.prepare_cached(CONVERSATION)?.query_row([Db(id)], bare).optional()?;
    found.map(|found| Ok(Conversation { participants: participants(db, id)?, ..found })).transpose()
}

/// The one that the same call has just seen or made.
pub(super) fn existing(db: &Connection, id: ConversationId) -> Result<Conversation, Failure> {
    conversation(db, id)?.ok_or(Failure::Database(rusqlite::Error::QueryReturnedNoRows))
}

fn is_active_user(db: &Connection, id: UserId) -> Result<bool, Failure> {
    Ok(db.prepare_cached(IS_ACTIVE_USER)?.query_row([Db(id)], |row| row.get(0))?)
}

/// Of which only one may be open: the same for two in either order, and for one who visits a website.
fn direct_key(new: &ConversationRow) -> Option<Vec<u8>> {
    let mut ids: Vec<_> = new.participants.iter().map(|user| user.as_uuid().into_bytes()).collect();
    ids.sort_unstable();
    (new.kind != ConversationKind::Group).then(|| ids.concat())
}

/// The open conversation with this key.
pub(super) fn open_direct(db: &Connection, key: &[u8]) -> Result<Option<ConversationId>, Failure> {
    Ok(db.prepare_cached(OPEN_DIRECT)?.query_row([key], |row| get(row, 0)).optional()?)
}

fn create(db: &Connection, new: &ConversationRow) -> Result<Created, Failure> {
    for user in &new.participants {
        if !is_active_user(db, *user)? {
            return Ok(Created::UnknownParticipant);
        }
    }
    let key = direct_key(new);
    if let Some(key) = &key
        && let Some(other) = open_direct(db, key)?
    {
        return Ok(Created::DirectExists(other));
    }
    insert(db, new)?;
    Ok(Created::Created(existing(db, new.id)?))
}

/// Adds a conversation that nothing is in the way of.
pub(super) fn insert(db: &Connection, new: &ConversationRow) -> Result<(), Failure> {
    let visitor = (new.kind == ConversationKind::Support).then_some(Db(new.created_by));
    db.prepare_cached(INSERT_CONVERSATION)?.execute(params![
        Db(new.id),
        Db(new.kind),
        new.name,
        direct_key(new),
        Db(new.created_by),
        Db(new.at),
        visitor,
    ])?;
    for (user, place) in new.participants.iter().zip(1_i64..) {
        db.prepare_cached(COME)?.execute((Db(new.id), Db(*user), place))?;
    }
    Ok(())
}

/// Where a list begins. What is before the first is later than any time.
pub(super) fn place(after: Option<ConversationCursor>) -> (i64, ConversationId) {
    let before = after.map_or(i64::MAX, |cursor| cursor.updated_at.as_millis());
    (before, after.map_or_else(|| ConversationId::from_uuid(uuid::Uuid::max()), |cursor| cursor.id))
}

fn list(
    db: &Connection,
    of: Option<UserId>,
    reader: UserId,
    after: Option<ConversationCursor>,
    limit: u32,
) -> Result<Page<ConversationSummary>, Failure> {
    // One more than asked for shows whether there is more.
    let wanted = i64::from(limit) + 1;
    let (before, id) = place(after);
    let found: Vec<Conversation> = match of {
        Some(user) => db
            .prepare_cached(LIST_OWN)?
            .query_map((Db(user), before, Db(id), wanted), bare)?
            .collect::<rusqlite::Result<_>>()?,
        None => db
            .prepare_cached(LIST_ALL)?
            .query_map((before, Db(id), wanted), bare)?
            .collect::<rusqlite::Result<_>>()?,
    };
    summaries(db, found, reader, limit)
}

fn list_except(
    db: &Connection,
    user: UserId,
    known: &HashSet<ConversationId>,
    after: Option<ConversationId>,
    limit: u32,
) -> Result<Page<ConversationSummary>, Failure> {
    let after = after.unwrap_or_else(|| ConversationId::from_uuid(uuid::Uuid::nil()));
    let mut found: Vec<Conversation> = Vec::new();
    let mut list = db.prepare_cached(LIST_OWN_BY_ID)?;
    let mut rows = list.query((Db(user), Db(after)))?;
    while found.len() <= limit as usize
        && let Some(row) = rows.next()?
    {
        if !known.contains(&get(row, 0)?) {
            found.push(bare(row)?);
        }
    }
    summaries(db, found, user, limit)
}

/// What a list shows of the first `limit` of these, of which there is one more if there are more.
fn summaries(
    db: &Connection,
    mut found: Vec<Conversation>,
    reader: UserId,
    limit: u32,
) -> Result<Page<ConversationSummary>, Failure> {
    let has_more = found.len() > limit as usize;
    found.truncate(limit as usize);
    // Three short look-ups for each are quicker here than one long join: there is no network between.
    let items = found.into_iter().map(|found| summary(db, found, Some(reader))).collect::<Result<_, _>>()?;
    Ok(Page { items, has_more })
}

pub(super) fn summary(
    db: &Connection,
    mut conversation: Conversation,
    reader: Option<UserId>,
) -> Result<ConversationSummary, Failure> {
    let id = conversation.id;
    conversation.participants = participants(db, id)?;
    let last_seq = conversation.last_seq;
    let last_message = if last_seq > 0 { message_at(db, id, last_seq)? } else { None };
    let covered: Option<u64> =
        db.prepare_cached(COVERED_LEN)?.query_row((Db(id), reader.map(Db)), |row| get(row, 0)).optional()?;
    let unread = covered.map_or(0, |covered| last_seq.saturating_sub(covered));
    Ok(ConversationSummary { conversation, last_message, unread })
}

fn set_status(
    db: &Connection,
    id: ConversationId,
    status: ConversationStatus,
    at: Timestamp,
) -> Result<StatusChange, Failure> {
    let Some(now) = conversation(db, id)? else { return Ok(StatusChange::NotFound) };
    if now.status == status {
        return Ok(StatusChange::Unchanged(now));
    }
    if status == ConversationStatus::Open {
        let key: Option<Vec<u8>> = db.prepare_cached(DIRECT_KEY)?.query_row([Db(id)], |row| row.get(0))?;
        if let Some(key) = key
            && let Some(other) = open_direct(db, &key)?
        {
            return Ok(StatusChange::DirectExists(other));
        }
    }
    db.prepare_cached(SET_STATUS)?.execute((Db(id), Db(status), Db(at)))?;
    Ok(StatusChange::Changed(existing(db, id)?))
}

pub(super) fn add_participants(
    db: &Connection,
    id: ConversationId,
    users: &[UserId],
    max: usize,
    at: Timestamp,
) -> Result<Addition, Failure> {
    let Some(before) = conversation(db, id)? else { return Ok(Addition::NotFound) };
    let mut added = Vec::new();
    for user in users {
        if !is_active_user(db, *user)? {
            return Ok(Addition::UnknownUser);
        }
        if !before.has(*user) && !added.contains(user) {
            added.push(*user);
        }
    }
    if added.is_empty() {
        return Ok(Addition::Added { conversation: before, added });
    }
    if before.participants.len() + added.len() > max {
        return Ok(Addition::TooMany);
    }
    let first: i64 = db.prepare_cached(NEXT_PLACE)?.query_row([Db(id)], |row| row.get(0))?;
    for (user, place) in added.iter().zip(first..) {
        let left_seq =
            db.prepare_cached(LEFT_SEQ)?.query_row((Db(id), Db(*user)), |row| get_opt(row, 0)).optional()?;
        db.prepare_cached(COME)?.execute((Db(id), Db(*user), place))?;
        // What was said before they came, or while they were away, is no news to them.
        let seen = left_seq.flatten().unwrap_or(0_u64);
        unread::cover(db, id, *user, &[seen + 1..=before.last_seq])?;
    }
    db.prepare_cached(TOUCH)?.execute((Db(id), Db(at)))?;
    Ok(Addition::Added { conversation: existing(db, id)?, added })
}
