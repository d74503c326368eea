//! A storage in memory, as small as the contract lets it be: a pattern for a storage of one's own.
//!
//! One lock around everything makes each call one step: that is most of what the contract asks for, and what a
//! database has transactions for. The rest is in the comments, where it is easy to get wrong. Nothing is looked up
//! in a clever way, so that each rule can be read as it stands; and nothing outlives the process, so this is for
//! tests and for trying things out.

mod accounts;
mod conversations;
mod files;
mod messages;
mod support;

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use priyo_core::model::{
    Conversation, ConversationId, ConversationStatus, FileId, FileRecord, Message, MessageId,
    MessageWithReads, Participant, Read, SessionId, Timestamp, User, UserId,
};
use priyo_core::storage::{
    AuditEntry, ConversationRow, LooseFile, NewMessageRow, NewSession, Result, Session, Storage,
    StorageError, TokenHash, VisitorRow,
};

/// A [`Storage`] that forgets everything when it is dropped.
#[derive(Debug)]
pub(crate) struct MemoryStorage(Mutex<Option<State>>);

/// Everything. A database has a table for each of these.
#[derive(Debug, Default)]
struct State {
    /// With the password hash of one who can log in.
    users: HashMap<UserId, (User, Option<String>)>,
    sessions: HashMap<SessionId, SessionRow>,
    tokens: HashMap<TokenHash, Token>,
    rooms: HashMap<ConversationId, Room>,
    /// Where each message is.
    places: HashMap<MessageId, (ConversationId, u64)>,
    files: HashMap<FileId, FileRecord>,
    loose: BTreeMap<String, LooseFile>,
    visitors: HashMap<UserId, VisitorRow>,
    audit_log: Vec<AuditEntry>,
}

#[derive(Debug)]
struct SessionRow {
    made: NewSession,
    last_used_at: Timestamp,
    /// Unless it is used again.
    ends_at: Timestamp,
    is_revoked: bool,
}

#[derive(Debug, Clone)]
struct Token {
    session: SessionId,
    parent: Option<TokenHash>,
    expires_at: Timestamp,
    used_at: Option<Timestamp>,
}

/// A conversation.
#[derive(Debug)]
struct Room {
    made: ConversationRow,
    status: ConversationStatus,
    /// When something other than a message last happened.
    touched_at: Timestamp,
    /// Who is in it, in the order they came, each with their delivered mark.
    members: Vec<(UserId, u64)>,
    /// Number 1 first.
    said: Vec<Said>,
    /// What one of support has besides. Its visitor is who made it.
    support: Option<Support>,
}

/// What a support conversation has besides.
#[derive(Debug)]
struct Support {
    assignee: Option<UserId>,
    /// The newest message that is not the visitor's.
    answered_seq: u64,
}

/// A message.
#[derive(Debug)]
struct Said {
    row: NewMessageRow,
    seq: u64,
    /// Who was in the conversation then: for nobody else can it be unread.
    present: Vec<UserId>,
    reads: Vec<(UserId, Timestamp)>,
}

impl MemoryStorage {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Some(State::default())))
    }

    /// Runs one call. Nothing waits within it, so a call that has begun ends, also when its future is dropped.
    fn run<T>(&self, call: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        call(state.as_mut().ok_or_else(|| StorageError::Unavailable("the storage is closed".into()))?)
    }
}

/// Adds what has an id, which is given once.
fn insert<K: Hash + Eq, V>(map: &mut HashMap<K, V>, key: K, value: V) -> Result<()> {
    match map.entry(key) {
        Entry::Vacant(place) => {
            place.insert(value);
            Ok(())
        }
        Entry::Occupied(_) => Err(taken()),
    }
}

fn taken() -> StorageError {
    StorageError::Backend("the id is taken".into())
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn migrate(&self) -> Result<()> {
        self.run(|_| Ok(()))
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn ping(&self) -> Result<()> {
        self.run(|_| Ok(()))
    }

    async fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What a reader sees is put together from what is stored, each time: who renames themselves is renamed everywhere.
impl State {
    fn session(&self, id: SessionId) -> Option<Session> {
        let row = self.sessions.get(&id)?;
        let (user, _) = self.users.get(&row.made.user_id)?;
        let (expires_at, revoked) = (row.made.expires_at, row.is_revoked);
        Some(Session { id, user: user.clone(), expires_at, revoked })
    }

    fn conversation(&self, room: &Room) -> Conversation {
        let participant = |(id, _): &(UserId, u64)| {
            let user = &self.users[id].0;
            Participant {
                user_id: *id,
                username: user.username.clone(),
                avatar: user.avatar.clone(),
                role: user.role,
                last_seen: user.last_seen,
            }
        };
        let ConversationRow { id, kind, ref name, created_by, at, .. } = room.made;
        Conversation {
            id,
            name: name.clone(),
            kind,
            status: room.status,
            created_by,
            last_seq: room.last_seq(),
            participants: room.members.iter().map(participant).collect(),
            created_at: at,
            updated_at: room.updated_at(),
        }
    }

    fn message(&self, said: &Said) -> Message {
        let row = said.row.clone();
        // What is known of the file, not what the sender said of it.
        let file = row.attachment.and_then(|file| self.files.get(&file.file_id));
        Message {
            id: row.id,
            conversation_id: row.conversation_id,
            seq: said.seq,
            sender: self.users[&row.sender].0.brief(),
            client_message_id: row.client_message_id,
            content: row.content,
            kind: row.kind,
            attachment: file.map(FileRecord::attachment),
            created_at: row.at,
        }
    }

    fn message_with_reads(&self, said: &Said) -> MessageWithReads {
        let mut reads = said.reads.clone();
        // Those of one moment by their ids.
        reads.sort_unstable_by_key(|(user, at)| (*at, *user));
        let read = |(user_id, read_at): (UserId, Timestamp)| {
            let username = self.users[&user_id].0.username.clone();
            Read { user_id, username, read_at }
        };
        MessageWithReads { message: self.message(said), reads: reads.into_iter().map(read).collect() }
    }
}

impl Room {
    fn has(&self, user: UserId) -> bool {
        self.members.iter().any(|(member, _)| *member == user)
    }

    fn last_seq(&self) -> u64 {
        self.said.last().map_or(0, |said| said.seq)
    }

    fn updated_at(&self) -> Timestamp {
        self.said.iter().fold(self.touched_at, |newest, said| newest.max(said.row.at))
    }

    /// The rule, word for word. It takes as long as the conversation is; a real storage keeps count.
    fn unread(&self, user: UserId) -> u64 {
        let is_unread =
            |said: &&Said| said.row.sender != user && said.present.contains(&user) && !said.is_read_by(user);
        if self.has(user) { self.said.iter().filter(is_unread).count() as u64 } else { 0 }
    }
}

impl Said {
    fn is_read_by(&self, user: UserId) -> bool {
        self.reads.iter().any(|(reader, _)| *reader == user)
    }
}
