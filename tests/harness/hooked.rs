//! A storage that lets a test look at each call before it is made: the one place that lists the calls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use priyo_core::model::{
    Contact, Conversation, ConversationCursor, ConversationId, ConversationStatus, ConversationSummary,
    FileId, FileRecord, InboxItem, InboxState, MessageId, MessagePage, MessageRange, MessageWithReads,
    OwnSession, Page, SessionId, Timestamp, User, UserChange, UserId, UserList, Visitor,
};
use priyo_core::storage::{
    Addition, Appended, AuditEntry, Claim, ConversationRow, ConversationStore, Created, DeliveredMark,
    FileRecordStore, LooseFile, MessageSpan, MessageStore, NewMessageRow, NewSession, Opened, PasswordRow,
    ReadOutcome, Reader, Reading, RefreshToken, Result, Rotation, Session, SessionStore, Standing,
    StatusChange, Storage, SupportRow, SupportStore, TokenHash, UserStore, UserUpdate, VisitorKey,
    VisitorRow,
};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::PATIENCE;

/// Where calls wait until they are let through, one after the other.
#[derive(Debug, Default)]
pub struct Gate {
    reached: Notify,
    open: Notify,
}

impl Gate {
    /// Waits until a call waits here, one that nobody has waited for yet.
    pub async fn reached(&self) {
        timeout(PATIENCE, self.reached.notified()).await.expect("nothing comes to the gate");
    }

    /// Lets one call through: the one that waits here, or else the next.
    pub fn let_one_go(&self) {
        self.open.notify_one();
    }

    async fn pass(&self) {
        self.reached.notify_one();
        self.open.notified().await;
    }
}

/// A storage that tells of each call, by the name of the method, before it is made. What is told of it may count
/// calls, fail them, or panic as a storage of somebody else's may. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Hooked {
    storage: Arc<dyn Storage>,
    hook: Arc<dyn Fn(&'static str) -> Result<()> + Send + Sync>,
    /// A call that waits, and where.
    held: Option<(&'static str, Arc<Gate>)>,
    /// Whether it says that others use it too, and so leaves closing it to the last of them.
    is_shared: bool,
}

impl Hooked {
    /// Around another storage.
    pub fn new(
        storage: Arc<dyn Storage>,
        hook: impl Fn(&'static str) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { storage, hook: Arc::new(hook), held: None, is_shared: false }
    }

    /// Has the calls of one method wait at a gate.
    pub fn holding(self, call: &'static str, at: Arc<Gate>) -> Self {
        Self { held: Some((call, at)), ..self }
    }

    async fn call(&self, name: &'static str) -> Result<()> {
        if let Some((_, gate)) = self.held.as_ref().filter(|(held, _)| *held == name) {
            gate.pass().await;
        }
        (self.hook)(name)
    }

    /// Says that others use it too, and so does not close what another clone may still need: the last one does when
    /// it is dropped.
    pub(crate) fn shared(self) -> Self {
        Self { is_shared: true, ..self }
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hooked").field(&self.storage).finish()
    }
}

macro_rules! passed_on {
    ($($store:ident { $($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)* })*) => {$(
        #[async_trait]
        impl $store for Hooked {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$result> {
                self.call(stringify!($name)).await?;
                self.storage.$name($($argument),*).await
            })*
        }
    )*};
}

passed_on! {
    UserStore {
        create_account(user: &User, password_hash: &str) -> bool;
        upsert_host_user(user: &User) -> User;
        user(id: UserId) -> Option<User>;
        host_user(external_id: &str) -> Option<User>;
        account(email: &str) -> Option<(User, String)>;
        password_hash(id: UserId) -> Option<String>;
        replace_password_hash(id: UserId, old: &str, new: &str) -> bool;
        change_password(new: &PasswordRow) -> Option<Vec<SessionId>>;
        users(list: &UserList) -> Page<User>;
        update_user(id: UserId, change: UserChange, at: Timestamp) -> UserUpdate;
        set_last_seen(users: &[UserId], at: Timestamp) -> ();
        contacts_of(users: &[UserId]) -> Vec<Vec<UserId>>;
        audit(entries: &[AuditEntry]) -> ();
    }
    SessionStore {
        create_session(session: &NewSession, token: &RefreshToken, password_hash: Option<&str>) -> bool;
        session(id: SessionId) -> Option<Session>;
        ended_sessions(of: &[SessionId]) -> Vec<SessionId>;
        rotate_refresh_token(
            presented: &TokenHash, next: &RefreshToken, now: Timestamp, grace: Duration
        ) -> Rotation;
        session_of_token(token: &TokenHash) -> Option<SessionId>;
        revoke_session(id: SessionId, at: Timestamp) -> ();
        revoke_sessions_of(user: UserId, at: Timestamp) -> Vec<SessionId>;
        sessions_of(user: UserId, now: Timestamp, limit: u32) -> Vec<OwnSession>;
        delete_ended(before: Timestamp, limit: u32) -> u64;
    }
    ConversationStore {
        create_conversation(new: &ConversationRow) -> Created;
        conversation(id: ConversationId) -> Option<Conversation>;
        standing(id: ConversationId, user: UserId) -> Option<Standing>;
        standings(of: &[(ConversationId, UserId)]) -> Vec<Option<Standing>>;
        conversations(
            of: Option<UserId>, reader: UserId, after: Option<ConversationCursor>, limit: u32
        ) -> Page<ConversationSummary>;
        conversations_except(
            user: UserId, known: &[ConversationId], after: Option<ConversationId>, limit: u32
        ) -> Page<ConversationSummary>;
        set_status(id: ConversationId, status: ConversationStatus, at: Timestamp) -> StatusChange;
        add_participants(id: ConversationId, users: &[UserId], max: usize, at: Timestamp) -> Addition;
        remove_participant(id: ConversationId, user: UserId, at: Timestamp) -> Option<Conversation>;
    }
    MessageStore {
        append_messages(batch: Vec<NewMessageRow>) -> Vec<Appended>;
        messages(
            conversation: ConversationId, range: MessageRange, limit: u32, max_bytes: usize
        ) -> MessagePage;
        messages_for(
            reader: Reader, conversation: ConversationId, range: MessageRange, limit: u32, max_bytes: usize
        ) -> Option<Reading>;
        messages_in(spans: &[MessageSpan], max_bytes: usize) -> Vec<MessageWithReads>;
        mark_read(
            user: UserId, messages: &[MessageId], within: Option<ConversationId>, at: Timestamp
        ) -> ReadOutcome;
        unread_counts(user: UserId) -> Vec<(ConversationId, u64)>;
        set_delivered(marks: &[DeliveredMark]) -> ();
    }
    FileRecordStore {
        create_file(file: &FileRecord, max_bytes: u64) -> bool;
        file(id: FileId) -> Option<FileRecord>;
        file_named(stored_name: &str) -> Option<FileRecord>;
        is_attached(file: FileId, user: Option<UserId>) -> bool;
        stored_bytes(user: UserId) -> u64;
        loosen_unsent_files(before: Timestamp, limit: u32, at: Timestamp) -> u32;
        note_loose_file(file: &LooseFile) -> ();
        loose_files(until: Timestamp, limit: u32) -> Vec<LooseFile>;
        forget_loose_files(stored_names: &[String]) -> ();
    }
    SupportStore {
        create_visitor(new: &VisitorRow) -> Visitor;
        visitor(key: &VisitorKey) -> Option<Visitor>;
        set_contact(visitor: UserId, contact: &Contact) -> ();
        open_support(new: &SupportRow) -> Opened;
        support_of(visitor: UserId) -> Option<Conversation>;
        carry_support(from: UserId, to: UserId, at: Timestamp) -> Option<Conversation>;
        inbox_item(id: ConversationId, reader: Option<UserId>) -> Option<InboxItem>;
        inbox(
            state: InboxState, reader: UserId, after: Option<ConversationCursor>, limit: u32
        ) -> Page<InboxItem>;
        agents(part: &str, limit: u32) -> Vec<User>;
        supports_of(agent: UserId) -> Vec<ConversationId>;
        claim_support(id: ConversationId, agent: UserId, at: Timestamp) -> Claim;
    }
}

#[async_trait]
impl Storage for Hooked {
    async fn migrate(&self) -> Result<()> {
        self.storage.migrate().await
    }

    fn is_shared(&self) -> bool {
        self.is_shared || self.storage.is_shared()
    }

    async fn ping(&self) -> Result<()> {
        self.storage.ping().await
    }

    async fn close(&self) {
        if !self.is_shared {
            self.storage.close().await;
        }
    }
}
