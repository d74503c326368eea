//! Adding messages: the path that every send takes.
//!
//! Whatever the size of a batch, it takes the same few statements. First the conversations are locked; every look
//! after that sees what the locks have waited for. Then each message is decided on, in order, with all that was
//! found; and then everything is written at once. Deciding in the statement that locks would not do: after its wait it
//! would still see the time before it, and store a message of one who has left. Nor would leaving repeats to the
//! unique index: each would leave a hole in the numbers.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::Row;

use super::connection::Connection;
use super::failure::Failure;
use super::messages::message_at;
use super::values::{Db, array, get, statements};
use super::{files, unread};
use crate::model::{
    Attachment, ConversationId, ConversationStatus, FileId, Message, Timestamp, UserBrief, UserId,
};
use crate::storage::{Appended, NewMessageRow, Result};

statements! {
    LOCK_CONVERSATIONS = "
        SELECT id, status, last_seq, updated_at_ms FROM conversations WHERE id = ANY ($1)
        ORDER BY id FOR NO KEY UPDATE";
    /// Those that nobody else has locked.
    LOCK_FREE_CONVERSATIONS = "
        SELECT id, status, last_seq, updated_at_ms FROM conversations WHERE id = ANY ($1)
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED";
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
    FIRSTS = "
        SELECT m.id, m.conversation_id, m.seq, m.sender_id, u.username, u.avatar, m.client_message_id, m.content,
            m.kind, m.created_at_ms, f.id, f.stored_name, f.original_name, f.size
        FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS n (conversation_id, sender_id, client_message_id)
        JOIN messages m ON m.conversation_id = n.conversation_id AND m.sender_id = n.sender_id
            AND m.client_message_id = n.client_message_id
        JOIN users u ON u.id = m.sender_id LEFT JOIN files f ON f.id = m.file_id";
    INSERT_MESSAGES = "
        WITH advanced AS (
            UPDATE conversations c SET last_seq = a.last_seq, updated_at_ms = a.updated_at_ms
            FROM unnest($10::uuid[], $11::bigint[], $12::bigint[]) AS a (id, last_seq, updated_at_ms)
            WHERE c.id = a.id
        )
        INSERT INTO messages
            (conversation_id, seq, id, sender_id, client_message_id, content, kind, file_id, created_at_ms)
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[],
            $8::uuid[], $9::bigint[])";
}

/// Appends messages in order.
pub(super) async fn append(db: &mut Connection, batch: &[NewMessageRow]) -> Result<Vec<Appended>, Failure> {
    let (conversations, busy) = lock_conversations(db, batch).await?;
    let mut appender = Appender {
        conversations,
        busy,
        senders: lock_senders(db, batch).await?,
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
    /// Conversations that somebody else holds.
    busy: HashSet<ConversationId>,
    senders: HashMap<Sender, UserBrief>,
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
    has_changed: bool,
}

impl Appender {
    fn decide(&mut self, row: &NewMessageRow) -> Appended {
        let sender = (row.conversation_id, row.sender);
        let Some(state) = self.conversations.get_mut(&row.conversation_id) else {
            let is_busy = self.busy.contains(&row.conversation_id);
            return if is_busy { Appended::Busy } else { Appended::NoConversation };
        };
        let Some(brief) = self.senders.get(&sender) else { return Appended::NotParticipant };
        let name = row.client_message_id.as_ref().map(|name| (sender, name.clone()));
        if let Some(first) = name.as_ref().and_then(|name| self.firsts.get(name)) {
            return if says_the_same(first, row) {
                Appended::Duplicate(first.clone())
            } else {
                Appended::ClientIdReused
            };
        }
        if state.status == ConversationStatus::Closed {
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
        Appended::New(message)
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
            .bind(array(changed.iter().map(|(_, state)| state.updated_at)));
        insert.execute(&mut db.inner).await?;
        let own = new
            .iter()
            .map(|message| ((message.conversation_id, message.sender.id), message.seq..=message.seq));
        unread::cover(db, own).await
    }
}

/// The conversations that are locked now, and those that are not because somebody else holds them. Whoever does so for
/// long, as a server that is frozen, must not be in the way of all others.
async fn lock_conversations(
    db: &mut Connection,
    batch: &[NewMessageRow],
) -> Result<(HashMap<ConversationId, State>, HashSet<ConversationId>), Failure> {
    let ids: BTreeSet<ConversationId> = batch.iter().map(|row| row.conversation_id).collect();
    match locked(db, LOCK_CONVERSATIONS, &ids).await {
        Err(failure) if failure.is_lock_timeout() => {
            db.rollback().await?;
            db.begin().await?;
        }
        locked => return Ok((locked?, HashSet::new())),
    }
    let free = locked(db, LOCK_FREE_CONVERSATIONS, &ids).await?;
    let others = array(ids.into_iter().filter(|id| !free.contains_key(id)));
    let busy = db.query(EXISTING).bind(others).try_map(|row| get(&row, 0)).fetch_all(&mut db.inner).await?;
    Ok((free, busy.into_iter().collect()))
}

async fn locked(
    db: &mut Connection,
    statement: &'static str,
    ids: &BTreeSet<ConversationId>,
) -> Result<HashMap<ConversationId, State>, Failure> {
    let lock = db.query(statement).bind(array(ids.iter().copied())).try_map(|row| {
        let (status, last_seq, updated_at) = (get(&row, 1)?, get(&row, 2)?, get(&row, 3)?);
        Ok((get(&row, 0)?, State { status, last_seq, updated_at, has_changed: false }))
    });
    Ok(lock.fetch_all(&mut db.inner).await?.into_iter().collect())
}

/// Those of the senders who are in the conversation.
async fn lock_senders(
    db: &mut Connection,
    batch: &[NewMessageRow],
) -> Result<HashMap<Sender, UserBrief>, Failure> {
    let senders: BTreeSet<Sender> = batch.iter().map(|row| (row.conversation_id, row.sender)).collect();
    let lock = db
        .query(LOCK_SENDERS)
        .bind(array(senders.iter().map(|(conversation, _)| *conversation)))
        .bind(array(senders.iter().map(|(_, user)| *user)))
        .try_map(|row| {
            let brief = UserBrief { id: get(&row, 1)?, username: row.try_get(2)?, avatar: row.try_get(3)? };
            Ok(((get(&row, 0)?, brief.id), brief))
        });
    Ok(lock.fetch_all(&mut db.inner).await?.into_iter().collect())
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
