//! Adding messages: the path that every send takes.
//!
//! Whatever the size of a batch, it takes the same few statements. First the conversations are locked; every look
//! after that sees what the locks have waited for. Then each message is decided on, in order, with all that was
//! found; and then everything is written at once. Deciding in the statement that locks would not do: after its wait it
//! would still see the time before it, and store a message of one who has left. Nor would leaving repeats to the
//! unique index: each would leave a hole in the numbers.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use sqlx::Row;
use tokio::time::sleep;

use super::connection::Connection;
use super::failure::Failure;
use super::messages::message_at;
use super::values::{Db, Statement, array, get, get_opt, statements};
use super::{files, unread};
use crate::model::{
    Attachment, ConversationId, ConversationStatus, FileId, Message, Timestamp, UserBrief, UserId,
};
use crate::storage::{Appended, Effect, NewMessageRow, Result};

statements! {
    LOCK_CONVERSATIONS = "
        SELECT id, status, last_seq, updated_at_ms, visitor_id, answered_seq FROM conversations WHERE id = ANY ($1)
        ORDER BY id FOR NO KEY UPDATE";
    /// Those that nobody else has locked.
    LOCK_UNLOCKED_CONVERSATIONS = "
        SELECT id, status, last_seq, updated_at_ms, visitor_id, answered_seq FROM conversations WHERE id = ANY ($1)
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED";
    OPEN_OF_VISITORS = "
        SELECT visitor_id FROM conversations
        WHERE direct_key = ANY ($1) AND direct_key IS NOT NULL AND status = 'OPEN'";
    EXISTING = "
        SELECT c.id FROM unnest($1::uuid[]) AS wanted (id)
        CROSS JOIN LATERAL (SELECT id FROM conversations WHERE id = wanted.id) c";
    /// One after the other, in order.
    LOCK_SENDERS = "
        SELECT p.conversation_id, u.id, u.username, u.avatar
        FROM (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS s (conversation_id, user_id) ORDER BY 1, 2) s
        CROSS JOIN LATERAL (
            SELECT p.conversation_id, p.user_id FROM participants p
            WHERE p.conversation_id = s.conversation_id AND p.user_id = s.user_id AND p.left_seq IS NULL
            FOR NO KEY UPDATE
        ) p
        JOIN users u ON u.id = p.user_id";
    /// Those that nobody else has locked.
    LOCK_UNLOCKED_SENDERS = "
        SELECT p.conversation_id, u.id, u.username, u.avatar
        FROM (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS s (conversation_id, user_id) ORDER BY 1, 2) s
        CROSS JOIN LATERAL (
            SELECT p.conversation_id, p.user_id FROM participants p
            WHERE p.conversation_id = s.conversation_id AND p.user_id = s.user_id AND p.left_seq IS NULL
            FOR NO KEY UPDATE SKIP LOCKED
        ) p
        JOIN users u ON u.id = p.user_id";
    PRESENT_SENDERS = "
        SELECT p.conversation_id, p.user_id
        FROM unnest($1::uuid[], $2::uuid[]) AS s (conversation_id, user_id)
        CROSS JOIN LATERAL (
            SELECT p.conversation_id, p.user_id FROM participants p
            WHERE p.conversation_id = s.conversation_id AND p.user_id = s.user_id AND p.left_seq IS NULL
        ) p";
    FIRSTS = "
        SELECT m.id, m.conversation_id, m.seq, m.sender_id, u.username, u.avatar, m.client_message_id, m.content,
            m.kind, m.created_at_ms, f.id, f.stored_name, f.original_name, f.size, f.width, f.height
        FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS n (conversation_id, sender_id, client_message_id)
        JOIN messages m ON m.conversation_id = n.conversation_id AND m.sender_id = n.sender_id
            AND m.client_message_id = n.client_message_id
        JOIN users u ON u.id = m.sender_id LEFT JOIN files f ON f.id = m.file_id";
    INSERT_MESSAGES = "
        WITH advanced AS (
            UPDATE conversations c SET last_seq = a.last_seq, updated_at_ms = a.updated_at_ms, status = a.status,
                answered_seq = a.answered_seq
            FROM unnest($10::uuid[], $11::bigint[], $12::bigint[], $13::text[], $14::bigint[])
                AS a (id, last_seq, updated_at_ms, status, answered_seq)
            WHERE c.id = a.id
        )
        INSERT INTO messages
            (conversation_id, seq, id, sender_id, client_message_id, content, kind, file_id, created_at_ms)
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[],
            $8::uuid[], $9::bigint[])";
}

/// Appends messages in order.
pub(super) async fn append(db: &mut Connection, batch: &[NewMessageRow]) -> Result<Vec<Appended>, Failure> {
    let Locked { conversations, senders, busy, busy_senders } = lock(db, batch).await?;
    let mut appender = Appender {
        open_visitors: open_visitors(db, batch, &conversations).await?,
        conversations,
        busy,
        senders,
        busy_senders,
        firsts: firsts(db, batch).await?,
        files: files::attachments(db, batch.iter().filter_map(file_id)).await?,
        new: Vec::new(),
    };
    let outcomes = batch.iter().map(|row| appender.decide(row)).collect();
    appender.write(db).await?;
    Ok(outcomes)
}

/// What is known of the conversations and senders of a batch, and what is to be written.
struct Appender {
    conversations: HashMap<ConversationId, State>,
    /// Those visitors who write in a closed conversation and have an open one.
    open_visitors: HashSet<UserId>,
    /// Conversations that somebody else holds.
    busy: HashSet<ConversationId>,
    senders: HashMap<Sender, UserBrief>,
    /// Senders whose place somebody else holds.
    busy_senders: HashSet<Sender>,
    /// The messages that were sent under a name of their sender's, of this batch, too.
    firsts: HashMap<(Sender, String), Message>,
    files: HashMap<FileId, Attachment>,
    new: Vec<Message>,
}

type Sender = (ConversationId, UserId);

struct State {
    status: ConversationStatus,
    last_seq: u64,
    updated_at: Timestamp,
    /// Whose it is, if it is one of support.
    visitor: Option<UserId>,
    answered_seq: u64,
    has_changed: bool,
}

impl Appender {
    fn decide(&mut self, row: &NewMessageRow) -> Appended {
        let sender = (row.conversation_id, row.sender);
        let Some(state) = self.conversations.get_mut(&row.conversation_id) else {
            let is_busy = self.busy.contains(&row.conversation_id);
            return if is_busy { Appended::Busy } else { Appended::NoConversation };
        };
        let Some(brief) = self.senders.get(&sender) else {
            let is_busy = self.busy_senders.contains(&sender);
            return if is_busy { Appended::Busy } else { Appended::NotParticipant };
        };
        let name = row.client_message_id.as_ref().map(|name| (sender, name.clone()));
        if let Some(first) = name.as_ref().and_then(|name| self.firsts.get(name)) {
            return if says_the_same(first, row) {
                Appended::Duplicate(first.clone())
            } else {
                Appended::ClientIdReused
            };
        }
        let is_of_visitor = state.visitor == Some(row.sender);
        let reopens = state.status == ConversationStatus::Closed;
        if reopens && (!is_of_visitor || self.open_visitors.contains(&row.sender)) {
            return Appended::Closed;
        }
        let attachment = match file_id(row).map(|id| self.files.get(&id)) {
            None => None,
            Some(None) => return Appended::FileGone,
            Some(Some(stored)) => Some(stored.clone()),
        };
        state.last_seq += 1;
        // A clock that is set back must not sink the conversation in the list.
        state.updated_at = state.updated_at.max(row.at);
        state.has_changed = true;
        let message = Message {
            id: row.id,
            conversation_id: row.conversation_id,
            seq: state.last_seq,
            sender: brief.clone(),
            client_message_id: row.client_message_id.clone(),
            content: row.content.clone(),
            kind: row.kind,
            attachment,
            created_at: row.at,
        };
        if let Some(name) = name {
            self.firsts.insert(name, message.clone());
        }
        self.new.push(message.clone());
        if state.visitor.is_none() {
            return Appended::New(message);
        }
        if reopens {
            state.status = ConversationStatus::Open;
            self.open_visitors.insert(row.sender);
        }
        let effect = Effect::of(reopens, is_of_visitor, message.seq, state.answered_seq);
        if !is_of_visitor {
            state.answered_seq = message.seq;
        }
        Appended::InSupport { message, effect }
    }

    async fn write(self, db: &mut Connection) -> Result<(), Failure> {
        if self.new.is_empty() {
            return Ok(());
        }
        let Self { conversations, new, .. } = self;
        let changed: Vec<_> = conversations.iter().filter(|(_, state)| state.has_changed).collect();
        let insert = db
            .query(INSERT_MESSAGES)
            .bind(array(new.iter().map(|message| message.conversation_id)))
            .bind(array(new.iter().map(|message| message.seq)))
            .bind(array(new.iter().map(|message| message.id)))
            .bind(array(new.iter().map(|message| message.sender.id)))
            .bind(new.iter().map(|message| message.client_message_id.clone()).collect::<Vec<_>>())
            .bind(new.iter().map(|message| message.content.clone()).collect::<Vec<_>>())
            .bind(array(new.iter().map(|message| message.kind)))
            .bind(
                new.iter()
                    .map(|message| message.attachment.as_ref().map(|a| Db(a.file_id)))
                    .collect::<Vec<_>>(),
            )
            .bind(array(new.iter().map(|message| message.created_at)))
            .bind(array(changed.iter().map(|(id, _)| **id)))
            .bind(array(changed.iter().map(|(_, state)| state.last_seq)))
            .bind(array(changed.iter().map(|(_, state)| state.updated_at)))
            .bind(array(changed.iter().map(|(_, state)| state.status)))
            .bind(array(changed.iter().map(|(_, state)| state.answered_seq)));
        match insert.execute(&mut db.inner).await {
            // A visitor has opened another conversation meanwhile; the next look finds it.
            Err(sqlx::Error::Database(error)) if error.constraint() == Some("conversations_open_direct") => {
                return Err(Failure::Overtaken);
            }
            inserted => inserted?,
        };
        let carried = new.iter().filter_map(|message| Some(message.attachment.as_ref()?.file_id));
        files::sent(db, carried).await?;
        let own = new
            .iter()
            .map(|message| ((message.conversation_id, message.sender.id), message.seq..=message.seq));
        unread::cover(db, own).await
    }
}

/// What of a batch is locked now, and what is not because somebody else holds it.
#[derive(Default)]
struct Locked {
    conversations: HashMap<ConversationId, State>,
    senders: HashMap<Sender, UserBrief>,
    busy: HashSet<ConversationId>,
    busy_senders: HashSet<Sender>,
}

/// How often what others hold is looked at again, and how long after the last time. What is held for longer than a
/// write of somebody else's takes is held for long.
const LOOKS: usize = 10;
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Locks conversations, then senders. Whoever holds one of them for long, as a server that is frozen, must not be in
/// the way of all others: then everything but that is locked.
async fn lock(db: &mut Connection, batch: &[NewMessageRow]) -> Result<Locked, Failure> {
    let ids: BTreeSet<ConversationId> = batch.iter().map(|row| row.conversation_id).collect();
    let senders: BTreeSet<Sender> = batch.iter().map(|row| (row.conversation_id, row.sender)).collect();
    match lock_all(db, &ids, &senders).await {
        Err(failure) if failure.is_lock_timeout() => {
            db.rollback().await?;
            db.begin().await?;
            lock_unlocked(db, ids, senders).await
        }
        locked => locked,
    }
}

async fn lock_all(
    db: &mut Connection,
    ids: &BTreeSet<ConversationId>,
    senders: &BTreeSet<Sender>,
) -> Result<Locked, Failure> {
    Ok(Locked {
        conversations: locked(db, LOCK_CONVERSATIONS, ids).await?,
        senders: locked_senders(db, LOCK_SENDERS, senders).await?,
        ..Locked::default()
    })
}

/// Waits for nobody, so in which order it locks does not matter.
async fn lock_unlocked(
    db: &mut Connection,
    mut ids: BTreeSet<ConversationId>,
    mut senders: BTreeSet<Sender>,
) -> Result<Locked, Failure> {
    let conversations = locked(db, LOCK_UNLOCKED_CONVERSATIONS, &ids).await?;
    ids.retain(|id| !conversations.contains_key(id));
    let busy =
        db.query(EXISTING).bind(array(ids)).try_map(|row| get(&row, 0)).fetch_all(&mut db.inner).await?;
    let mut lock = Locked { conversations, busy: busy.into_iter().collect(), ..Locked::default() };
    senders.retain(|(conversation, _)| lock.conversations.contains_key(conversation));
    for look in 0..LOOKS {
        // What is written behind locks them, too, for a moment.
        if look > 0 {
            sleep(LOOK_AGAIN).await;
        }
        lock.senders.extend(locked_senders(db, LOCK_UNLOCKED_SENDERS, &senders).await?);
        senders.retain(|sender| !lock.senders.contains_key(sender));
        lock.busy_senders = present(db, &senders).await?;
        if lock.busy_senders.is_empty() {
            break;
        }
    }
    Ok(lock)
}

async fn locked(
    db: &mut Connection,
    statement: &'static str,
    ids: &BTreeSet<ConversationId>,
) -> Result<HashMap<ConversationId, State>, Failure> {
    let lock = db.query(statement).bind(array(ids.iter().copied())).try_map(|row| {
        let state = State {
            status: get(&row, 1)?,
            last_seq: get(&row, 2)?,
            updated_at: get(&row, 3)?,
            visitor: get_opt(&row, 4)?,
            answered_seq: get(&row, 5)?,
            has_changed: false,
        };
        Ok((get(&row, 0)?, state))
    });
    Ok(lock.fetch_all(&mut db.inner).await?.into_iter().collect())
}

/// Those of the senders who are in the conversation.
async fn locked_senders(
    db: &mut Connection,
    statement: &'static str,
    senders: &BTreeSet<Sender>,
) -> Result<HashMap<Sender, UserBrief>, Failure> {
    let lock = of_senders(db, statement, senders).try_map(|row| {
        let brief = UserBrief { id: get(&row, 1)?, username: row.try_get(2)?, avatar: row.try_get(3)? };
        Ok(((get(&row, 0)?, brief.id), brief))
    });
    Ok(lock.fetch_all(&mut db.inner).await?.into_iter().collect())
}

/// The same, whoever holds their places.
async fn present(db: &mut Connection, senders: &BTreeSet<Sender>) -> Result<HashSet<Sender>, Failure> {
    if senders.is_empty() {
        return Ok(HashSet::new());
    }
    let present = of_senders(db, PRESENT_SENDERS, senders).try_map(|row| Ok((get(&row, 0)?, get(&row, 1)?)));
    Ok(present.fetch_all(&mut db.inner).await?.into_iter().collect())
}

fn of_senders(db: &Connection, statement: &'static str, senders: &BTreeSet<Sender>) -> Statement {
    db.query(statement)
        .bind(array(senders.iter().map(|(conversation, _)| *conversation)))
        .bind(array(senders.iter().map(|(_, user)| *user)))
}

/// Those visitors who would open a conversation again and have an open one: as a rule nobody would.
async fn open_visitors(
    db: &mut Connection,
    batch: &[NewMessageRow],
    conversations: &HashMap<ConversationId, State>,
) -> Result<HashSet<UserId>, Failure> {
    let would_open = |row: &&NewMessageRow| {
        let state = conversations.get(&row.conversation_id);
        state.is_some_and(|state| {
            state.status == ConversationStatus::Closed && state.visitor == Some(row.sender)
        })
    };
    let keys: BTreeSet<_> = batch.iter().filter(would_open).map(|row| row.sender.as_uuid()).collect();
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let keys = keys.into_iter().map(|id| id.into_bytes().to_vec()).collect::<Vec<_>>();
    let open = db.query(OPEN_OF_VISITORS).bind(keys).try_map(|row| get(&row, 0));
    Ok(open.fetch_all(&mut db.inner).await?.into_iter().collect())
}

/// The messages that senders have sent under the same names before.
async fn firsts(
    db: &mut Connection,
    batch: &[NewMessageRow],
) -> Result<HashMap<(Sender, String), Message>, Failure> {
    let named = |row: &NewMessageRow| Some((row.conversation_id, row.sender, row.client_message_id.clone()?));
    let named: BTreeSet<_> = batch.iter().filter_map(named).collect();
    if named.is_empty() {
        return Ok(HashMap::new());
    }
    let firsts = db
        .query(FIRSTS)
        .bind(array(named.iter().map(|(conversation, _, _)| *conversation)))
        .bind(array(named.iter().map(|(_, user, _)| *user)))
        .bind(named.into_iter().map(|(_, _, name)| name).collect::<Vec<_>>())
        .try_map(|row| message_at(&row, 0));
    let mut known = HashMap::new();
    for first in firsts.fetch_all(&mut db.inner).await? {
        if let Some(name) = &first.client_message_id {
            known.insert(((first.conversation_id, first.sender.id), name.clone()), first);
        }
    }
    Ok(known)
}

fn says_the_same(first: &Message, row: &NewMessageRow) -> bool {
    let file = first.attachment.as_ref().map(|attachment| attachment.file_id);
    first.content == row.content && first.kind == row.kind && file == file_id(row)
}

fn file_id(row: &NewMessageRow) -> Option<FileId> {
    row.attachment.as_ref().map(|attachment| attachment.file_id)
}
