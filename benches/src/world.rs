//! An engine with data in it, for benches that need no server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use priyo_core::events::Transport;
use priyo_core::model::{
    Clock, ConversationId, ConversationKind, MessageId, MessageKind, NewMessage, Role, Timestamp, User,
    UserId,
};
use priyo_core::storage::postgres::PostgresStorage;
use priyo_core::storage::sqlite::SqliteStorage;
use priyo_core::storage::{ConversationRow, NewMessageRow, Storage};
use priyo_core::{Accounts, Caller, ChatEngine, Limits, Rates};
use tempfile::TempDir;

use crate::Result;

/// Where the data of a [`World`] is.
#[derive(Debug, Clone)]
pub enum Database {
    /// In a file, which goes with the world.
    Sqlite,
    /// On this PostgreSQL server, in a schema of its own, which stays.
    Postgres(String),
}

impl Database {
    /// All that can be measured here: PostgreSQL if `PRIYO_TEST_POSTGRES` names a server. Says so if not.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Sqlite];
        match std::env::var(SERVER) {
            Ok(url) => all.push(Self::Postgres(url)),
            Err(_) => eprintln!("PostgreSQL is not measured: {SERVER} is not set (see benches/README.md)"),
        }
        all
    }

    /// Its name in the results.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

/// The variable that names a PostgreSQL server to measure on, as a URL without a schema.
const SERVER: &str = "PRIYO_TEST_POSTGRES";

/// An engine on a database of its own.
#[derive(Debug)]
pub struct World {
    /// The engine.
    pub engine: ChatEngine,
    /// All of them are in every conversation; the first has sent everything.
    pub users: Vec<Caller>,
    /// The conversations.
    pub conversations: Vec<ConversationId>,
    _folder: Option<TempDir>,
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
    pub async fn new(database: &Database, size: Size, transport: Option<Arc<dyn Transport>>) -> Result<Self> {
        Self::with_rates(database, size, transport, Rates::off()).await
    }

    /// The same, where the users are counted.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub async fn with_rates(
        database: &Database,
        size: Size,
        transport: Option<Arc<dyn Transport>>,
        rates: Rates,
    ) -> Result<Self> {
        match database {
            Database::Sqlite => {
                let folder = TempDir::new()?;
                let storage = SqliteStorage::open(folder.path().join("priyo.db"))?;
                Self::on(storage, Some(folder), size, transport, rates).await
            }
            Database::Postgres(server) => {
                let joint = if server.contains('?') { '&' } else { '?' };
                // The id of no conversation: only a name that nobody has yet.
                let url = format!("{server}{joint}schema=bench_{}", ConversationId::new());
                Self::on(PostgresStorage::open(&url).await?, None, size, transport, rates).await
            }
        }
    }

    /// Sends a message of one of the users.
    ///
    /// # Panics
    ///
    /// When it is not accepted: the numbers would say nothing.
    pub async fn say(&self, who: usize) {
        let conversation = self.conversations[who % self.conversations.len()];
        let sent = self.engine.send_message(&self.users[who], NewMessage::text(conversation, TEXT)).await;
        assert!(sent.is_ok(), "{sent:?}");
    }

    /// How long so many messages take, when each user waits for their own before they send the next.
    ///
    /// # Panics
    ///
    /// As [`say`](Self::say).
    pub async fn say_together(self: &Arc<Self>, times: u64) -> Duration {
        let taken = Arc::new(AtomicU64::new(0));
        let began = Instant::now();
        let tasks: Vec<_> = (0..self.users.len())
            .map(|who| {
                let (world, taken) = (self.clone(), taken.clone());
                tokio::spawn(async move {
                    while taken.fetch_add(1, Ordering::Relaxed) < times {
                        world.say(who).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            assert!(task.await.is_ok());
        }
        began.elapsed()
    }

    async fn on(
        storage: impl Storage,
        folder: Option<TempDir>,
        size: Size,
        transport: Option<Arc<dyn Transport>>,
        rates: Rates,
    ) -> Result<Self> {
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
        let mut limits = Limits::default();
        limits.rates = rates;
        let builder = ChatEngine::builder(storage, accounts).limits(limits);
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
