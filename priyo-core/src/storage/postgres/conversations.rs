//! Conversations and who is in them. How they are read is in [`listing`](super::listing).

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStorage;
use super::connection::Connection;
use super::failure::Failure;
use super::listing::{self, conversation, existing};
use super::unread;
use super::values::{Db, array, get, get_opt, statements};
use crate::model::{
    Conversation, ConversationCursor, ConversationId, ConversationKind, ConversationStatus,
    ConversationSummary, Page, Timestamp, UserId,
};
use crate::storage::{Addition, ConversationRow, ConversationStore, Created, Result, Standing, StatusChange};

statements! {
    /// Nothing when the two have an open one already.
    INSERT_CONVERSATION = "
        INSERT INTO conversations
            (id, kind, status, name, direct_key, created_by, created_at_ms, updated_at_ms, visitor_id)
        VALUES ($1, $2, 'OPEN', $3, $4, $5, $6, $6, $7)
        ON CONFLICT (direct_key) WHERE direct_key IS NOT NULL AND status = 'OPEN' DO NOTHING";
    STANDING = "
        SELECT p.user_id IS NOT NULL, c.created_by, c.kind, c.status, c.last_seq, COALESCE(p.delivered_seq, 0)
        FROM conversations c
        LEFT JOIN participants p ON p.conversation_id = $1 AND p.user_id = $2 AND p.left_seq IS NULL
        WHERE c.id = $1";
    STANDINGS = "
        SELECT p.user_id IS NOT NULL, c.created_by, c.kind, c.status, c.last_seq, COALESCE(p.delivered_seq, 0), n.place
        FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS n (conversation_id, user_id, place)
        JOIN conversations c ON c.id = n.conversation_id
        LEFT JOIN participants p
            ON p.conversation_id = n.conversation_id AND p.user_id = n.user_id AND p.left_seq IS NULL";
    LOCK = "SELECT direct_key FROM conversations WHERE id = $1 FOR NO KEY UPDATE";
    OPEN_DIRECT = "
        SELECT id FROM conversations WHERE direct_key = $1 AND direct_key IS NOT NULL AND status = 'OPEN'";
    SET_STATUS = "
        UPDATE conversations SET status = $2, updated_at_ms = GREATEST(updated_at_ms, $3) WHERE id = $1";
    TOUCH = "UPDATE conversations SET updated_at_ms = GREATEST(updated_at_ms, $2) WHERE id = $1";
    ACTIVE_USERS = "SELECT id FROM users WHERE id = ANY ($1) AND NOT disabled";
    /// New participants, or such as come back, behind all others and in their order. Locked in the order of users.
    COME = "
        INSERT INTO participants (conversation_id, user_id, place, delivered_seq)
        SELECT c.id, n.user_id, n.place
            + (SELECT COALESCE(MAX(p.place), 0) FROM participants p WHERE p.conversation_id = $1), c.last_seq
        FROM conversations c CROSS JOIN unnest($2::uuid[]) WITH ORDINALITY AS n (user_id, place)
        WHERE c.id = $1 ORDER BY n.user_id
        ON CONFLICT (conversation_id, user_id) DO UPDATE
        SET place = excluded.place, delivered_seq = excluded.delivered_seq, left_at_ms = NULL, left_seq = NULL";
    LEFT_SEQS = "SELECT user_id, left_seq FROM participants WHERE conversation_id = $1 AND user_id = ANY ($2)";
    GO = "
        UPDATE participants SET left_at_ms = $3,
            left_seq = (SELECT last_seq FROM conversations WHERE id = $1)
        WHERE conversation_id = $1 AND user_id = $2 AND left_seq IS NULL";
    UNASSIGN = "UPDATE conversations SET assignee_id = NULLIF(assignee_id, $2) WHERE id = $1";
}

#[async_trait]
impl ConversationStore for PostgresStorage {
    async fn create_conversation(&self, new: &ConversationRow) -> Result<Created> {
        self.write(new.clone(), |db, new| Box::pin(create(db, new))).await
    }

    async fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>> {
        read(self, id).await
    }

    async fn standing(&self, id: ConversationId, user: UserId) -> Result<Option<Standing>> {
        self.read((id, user), |db, (id, user)| {
            let standing =
                db.query(STANDING).bind(Db(*id)).bind(Db(*user)).try_map(|row| standing_at(&row, 0));
            Box::pin(async { Ok(standing.fetch_optional(&mut db.inner).await?) })
        })
        .await
    }

    async fn standings(&self, of: &[(ConversationId, UserId)]) -> Result<Vec<Option<Standing>>> {
        self.read(of.to_vec(), |db, of| Box::pin(standings(db, of))).await
    }

    async fn conversations(
        &self,
        of: Option<UserId>,
        reader: UserId,
        after: Option<ConversationCursor>,
        limit: u32,
    ) -> Result<Page<ConversationSummary>> {
        self.read((of, reader, after, limit), |db, (of, reader, after, limit)| {
            Box::pin(listing::list(db, *of, *reader, *after, *limit))
        })
        .await
    }

    async fn conversations_except(
        &self,
        user: UserId,
        known: &[ConversationId],
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Page<ConversationSummary>> {
        self.read((user, known.to_vec(), after, limit), |db, (user, known, after, limit)| {
            Box::pin(listing::list_except(db, *user, known, *after, *limit))
        })
        .await
    }

    async fn set_status(
        &self,
        id: ConversationId,
        status: ConversationStatus,
        at: Timestamp,
    ) -> Result<StatusChange> {
        self.write((id, status, at), |db, (id, status, at)| Box::pin(set_status(db, *id, *status, *at))).await
    }

    async fn add_participants(
        &self,
        id: ConversationId,
        users: &[UserId],
        max: usize,
        at: Timestamp,
    ) -> Result<Addition> {
        self.write((id, users.to_vec(), max, at), |db, (id, users, max, at)| {
            Box::pin(add_participants(db, *id, users, *max, *at))
        })
        .await
    }

    async fn remove_participant(
        &self,
        id: ConversationId,
        user: UserId,
        at: Timestamp,
    ) -> Result<Option<Conversation>> {
        self.write((id, user, at), |db, (id, user, at)| Box::pin(remove_participant(db, *id, *user, *at)))
            .await
    }
}

/// The conversation with those who are in it now, by a call of its own.
pub(super) async fn read(storage: &PostgresStorage, id: ConversationId) -> Result<Option<Conversation>> {
    storage.read(id, |db, id| Box::pin(conversation(db, *id))).await
}

/// Reads a standing from six columns, `first` being the number of the first.
pub(super) fn standing_at(row: &PgRow, first: usize) -> sqlx::Result<Standing> {
    Ok(Standing {
        is_participant: row.try_get(first)?,
        created_by: get(row, first + 1)?,
        kind: get(row, first + 2)?,
        status: get(row, first + 3)?,
        last_seq: get(row, first + 4)?,
        delivered_seq: get(row, first + 5)?,
    })
}

async fn standings(
    db: &mut Connection,
    of: &[(ConversationId, UserId)],
) -> Result<Vec<Option<Standing>>, Failure> {
    let found = db
        .query(STANDINGS)
        .bind(array(of.iter().map(|(conversation, _)| *conversation)))
        .bind(array(of.iter().map(|(_, user)| *user)))
        .try_map(|row| Ok((get(&row, 6)?, standing_at(&row, 0)?)));
    // Places count from 1.
    let mut found: HashMap<u64, Standing> = found.fetch_all(&mut db.inner).await?.into_iter().collect();
    Ok((1..).zip(of).map(|(place, _)| found.remove(&place)).collect())
}

/// Of which only one may be open: the same for two in either order, and for one who visits a website.
fn direct_key(new: &ConversationRow) -> Option<Vec<u8>> {
    let mut ids: Vec<_> = new.participants.iter().map(|user| user.as_uuid().into_bytes()).collect();
    ids.sort_unstable();
    (new.kind != ConversationKind::Group).then(|| ids.concat())
}

/// The open conversation with this key.
pub(super) async fn open_direct(db: &mut Connection, key: &[u8]) -> Result<Option<ConversationId>, Failure> {
    let open = db.query(OPEN_DIRECT).bind(key.to_vec()).try_map(|row| get(&row, 0));
    Ok(open.fetch_optional(&mut db.inner).await?)
}

async fn are_active(db: &mut Connection, users: &[UserId]) -> Result<bool, Failure> {
    let active = db.query(ACTIVE_USERS).bind(array(users.iter().copied())).try_map(|row| get(&row, 0));
    let active: HashSet<UserId> = active.fetch_all(&mut db.inner).await?.into_iter().collect();
    Ok(users.iter().all(|user| active.contains(user)))
}

/// Locks a conversation against all who need a number in it or change it. Its key, or `None` when there is none.
pub(super) async fn lock(
    db: &mut Connection,
    id: ConversationId,
) -> Result<Option<Option<Vec<u8>>>, Failure> {
    let lock = db.query(LOCK).bind(Db(id)).try_map(|row| row.try_get(0));
    Ok(lock.fetch_optional(&mut db.inner).await?)
}

async fn come(db: &mut Connection, id: ConversationId, users: &[UserId]) -> Result<(), Failure> {
    db.query(COME).bind(Db(id)).bind(array(users.iter().copied())).execute(&mut db.inner).await?;
    Ok(())
}

async fn touch(db: &mut Connection, id: ConversationId, at: Timestamp) -> Result<(), Failure> {
    db.query(TOUCH).bind(Db(id)).bind(Db(at)).execute(&mut db.inner).await?;
    Ok(())
}

async fn create(db: &mut Connection, new: &ConversationRow) -> Result<Created, Failure> {
    if !are_active(db, &new.participants).await? {
        return Ok(Created::UnknownParticipant);
    }
    if !insert(db, new).await? {
        // The one that was in the way may have been closed since.
        let other = open_direct(db, &direct_key(new).unwrap_or_default()).await?;
        return other.map(Created::DirectExists).ok_or(Failure::Overtaken);
    }
    Ok(Created::Created(existing(db, new.id).await?))
}

/// Adds a conversation, unless there is an open one with its key.
pub(super) async fn insert(db: &mut Connection, new: &ConversationRow) -> Result<bool, Failure> {
    let insert = db
        .query(INSERT_CONVERSATION)
        .bind(Db(new.id))
        .bind(Db(new.kind))
        .bind(new.name.clone())
        .bind(direct_key(new))
        .bind(Db(new.created_by))
        .bind(Db(new.at))
        .bind((new.kind == ConversationKind::Support).then_some(Db(new.created_by)));
    if insert.execute(&mut db.inner).await?.rows_affected() == 0 {
        return Ok(false);
    }
    come(db, new.id, &new.participants).await?;
    Ok(true)
}

/// What was done, unless another one with the same key was opened meanwhile: the next look finds it.
pub(super) fn unless_overtaken<T>(done: sqlx::Result<T>) -> Result<T, Failure> {
    match done {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(Failure::Overtaken),
        done => Ok(done?),
    }
}

async fn set_status(
    db: &mut Connection,
    id: ConversationId,
    status: ConversationStatus,
    at: Timestamp,
) -> Result<StatusChange, Failure> {
    let Some(key) = lock(db, id).await? else { return Ok(StatusChange::NotFound) };
    let now = existing(db, id).await?;
    if now.status == status {
        return Ok(StatusChange::Unchanged(now));
    }
    if status == ConversationStatus::Open
        && let Some(key) = key
        && let Some(other) = open_direct(db, &key).await?
    {
        return Ok(StatusChange::DirectExists(other));
    }
    let set = db.query(SET_STATUS).bind(Db(id)).bind(Db(status)).bind(Db(at)).execute(&mut db.inner).await;
    unless_overtaken(set)?;
    Ok(StatusChange::Changed(existing(db, id).await?))
}

pub(super) async fn add_participants(
    db: &mut Connection,
    id: ConversationId,
    users: &[UserId],
    max: usize,
    at: Timestamp,
) -> Result<Addition, Failure> {
    if lock(db, id).await?.is_none() {
        return Ok(Addition::NotFound);
    }
    if !are_active(db, users).await? {
        return Ok(Addition::UnknownUser);
    }
    let before = existing(db, id).await?;
    let mut added: Vec<UserId> = Vec::new();
    for user in users {
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
    let left = db.query(LEFT_SEQS).bind(Db(id)).bind(array(added.iter().copied()));
    let left = left.try_map(|row| Ok((get(&row, 0)?, get_opt(&row, 1)?)));
    let left: HashMap<UserId, Option<u64>> = left.fetch_all(&mut db.inner).await?.into_iter().collect();
    come(db, id, &added).await?;
    // What was said before they came, or while they were away, is no news to them.
    let seen = |user: &UserId| left.get(user).copied().flatten().unwrap_or(0);
    unread::cover(db, added.iter().map(|user| ((id, *user), seen(user) + 1..=before.last_seq))).await?;
    touch(db, id, at).await?;
    Ok(Addition::Added { conversation: existing(db, id).await?, added })
}

async fn remove_participant(
    db: &mut Connection,
    id: ConversationId,
    user: UserId,
    at: Timestamp,
) -> Result<Option<Conversation>, Failure> {
    lock(db, id).await?;
    let go = db.query(GO).bind(Db(id)).bind(Db(user)).bind(Db(at)).execute(&mut db.inner).await?;
    if go.rows_affected() == 0 {
        return Ok(None);
    }
    db.query(UNASSIGN).bind(Db(id)).bind(Db(user)).execute(&mut db.inner).await?;
    touch(db, id, at).await?;
    conversation(db, id).await
}
