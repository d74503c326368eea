//! An engine with data in it, for benches that need no server.

use std::sync::Arc;

use priyo_core::events::Transport;
use priyo_core::model::{
    Clock, ConversationId, ConversationKind, MessageId, MessageKind, Role, Timestamp, User, UserId,
};
use priyo_core::storage::sqlite::SqliteStorage;
use priyo_core::storage::{
    ConversationRow, ConversationStore, MessageStore, NewMessageRow, Storage, UserStore,
};
use priyo_core::{Accounts, Caller, ChatEngine};
use tempfile::TempDir;

use crate::Result;

/// An engine on a database of its own, which goes when this is dropped.
#[derive(Debug)]
pub struct World {
    /// The engine.
    pub engine: ChatEngine,
    /// All of them are in every conversation; the first has sent everything.
    pub users: Vec<Caller>,
    /// The conversations.
    pub conversations: Vec<ConversationId>,
    _folder: TempDir,
}

/// What a [`World`] begins with.
#[derive(Debug, Clone, Default)]
pub struct Size {
    /// How many users.
    pub users: usize,
    /// How many conversations.
    pub conversations: usize,
    /// How many messages in each.
    pub messages: usize,
}

/// Messages in one call of the storage.
const BATCH: usize = 5_000;

/// What every message says: 60 bytes.
pub const TEXT: &str = "the quick brown fox jumps over the lazy dog, and again......";

impl World {
    /// Makes the data by the storage, many rows at once, and starts an engine on it.
    ///
    /// # Errors
    ///
    /// When the disk is full, say.
    pub async fn new(size: Size, transport: Option<Arc<dyn Transport>>) -> Result<Self> {
        let folder = TempDir::new()?;
        let storage = SqliteStorage::open(folder.path().join("priyo.db"))?;
        storage.migrate().await?;
        let at = Clock::system().now();
        let mut users = Vec::new();
        for number in 0..size.users {
            let user = user(number, at);
            storage.create_account(&user, "nobody logs in").await?;
            users.push(Caller::new(&user));
        }
        let participants: Vec<UserId> = users.iter().map(|user| user.user_id).collect();
        let created_by = *participants.first().ok_or("a world needs a user")?;
        let mut conversations = Vec::new();
        for _ in 0..size.conversations {
            let (id, kind) = (ConversationId::new(), ConversationKind::Group);
            let row =
                ConversationRow { id, kind, name: None, created_by, participants: participants.clone(), at };
            storage.create_conversation(&row).await?;
            conversations.push(id);
        }
        for conversation_id in &conversations {
            for start in (0..size.messages).step_by(BATCH) {
                let batch = start..size.messages.min(start + BATCH);
                let rows = batch.map(|number| message(*conversation_id, created_by, number, at));
                storage.append_messages(rows.collect()).await?;
            }
        }
        // For benches only: nobody else ever sees a token of it.
        let accounts = Accounts::new([1; 32], [2; 32]);
        let builder = ChatEngine::builder(storage, accounts);
        let builder = transport.into_iter().fold(builder, |builder, one| builder.transport(one));
        Ok(Self { engine: builder.build().await?, users, conversations, _folder: folder })
    }
}

fn user(number: usize, created_at: Timestamp) -> User {
    User {
        id: UserId::new(),
        external_id: None,
        email: Some(format!("{number}@bench.example")),
        username: format!("user{number}"),
        avatar: None,
        role: Role::Customer,
        disabled: false,
        created_at,
        last_seen: None,
    }
}

fn message(conversation_id: ConversationId, sender: UserId, number: usize, at: Timestamp) -> NewMessageRow {
    NewMessageRow {
        id: MessageId::new(),
        conversation_id,
        sender,
        client_message_id: Some(number.to_string()),
        content: TEXT.to_owned(),
        kind: MessageKind::Text,
        attachment: None,
        at,
    }
}
