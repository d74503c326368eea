//! What the engine asks of a database.
//!
//! A storage is dumb: the rules are the engine's, except those that must be decided in the same step as the write.
//! What is decided there comes back as an outcome, not as an error; an error means that something is broken.

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod migrate;
#[cfg(feature = "postgres")]
pub mod postgres;
mod records;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod support;

use std::error::Error as StdError;
use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;

use crate::model::{
    Conversation, ConversationCursor, ConversationId, ConversationStatus, ConversationSummary, FileId,
    FileRecord, MessageId, MessagePage, MessageRange, MessageWithReads, OwnSession, Page, SessionId,
    Timestamp, User, UserChange, UserId, UserList,
};

use crate::telemetry;
pub use records::{
    Addition, Appended, AuditEntry, ConversationRow, Created, DeliveredMark, Effect, LooseFile, MessageSpan,
    NewMessageRow, NewSession, PasswordRow, ReadMark, ReadOutcome, Reader, Reading, RefreshToken, Rotation,
    Session, Standing, StatusChange, TokenHash, UserUpdate,
};
pub use support::{Claim, Greeting, Opened, SupportRow, SupportStore, VisitorKey, VisitorRow};

/// What a storage call gives.
pub type Result<T, E = StorageError> = std::result::Result<T, E>;

/// Why a storage could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The database is away, full, locked or too slow. The call had no effect, except that for a write whose commit
    /// was not answered it is unknown. Trying again later may help.
    #[error("the database is unavailable")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// The database answered with something that should not happen.
    #[error("the database failed")]
    Backend(#[source] Box<dyn StdError + Send + Sync>),
}

impl From<StorageError> for crate::Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable(cause) => {
                telemetry::storage_failed("unavailable");
                Self::Unavailable(cause)
            }
            StorageError::Backend(cause) => {
                telemetry::storage_failed("backend");
                Self::Internal(cause)
            }
        }
    }
}

/// A call for a task that must go on, whatever a storage of somebody else's does: a panic fails the call.
pub(crate) async fn unpanicked<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    let caught = AssertUnwindSafe(call).catch_unwind().await;
    caught.unwrap_or_else(|_| Err(StorageError::Backend("the storage panicked".into())))
}

/// A database the engine can run on.
///
/// Every method is atomic, and durable once it returns: it happens whole or not at all, and survives a crash and a
/// power loss. A backend may commit several calls together, as long as none returns before the commit. A call that
/// is started runs to its end even if its future is dropped. Methods have no default bodies, so that a backend
/// cannot forget one.
///
/// # Values
///
/// So that every storage gives the same answers:
///
/// - *Texts* come back as they were, and are equal only if they are so byte for byte, but for the names of
///   [`create_account`](UserStore::create_account). An empty one is not an absent one. No text holds a NUL, which
///   not every database can store: the engine lets none through, so a storage need not care.
/// - *Ids* sort by their bytes. Each is given out once: storing a second thing under an id, the hash of a token or
///   the stored name of a file that is taken is a [`StorageError::Backend`], and changes nothing.
/// - *Times* are whole milliseconds, before 1970 too.
/// - *Numbers* that are stored stay below 2^63. Those that are asked with may be anything that their type can hold,
///   except that a `limit` is at least 1. Lists that are given may be longer than what a database takes at once.
/// - *Names* and pictures of users are shown as they are now, not as they were when something happened.
/// - *Lists* that have an order say so, also for what is of one moment. The others come as the storage likes.
///
/// The promises are a test suite, too: the module `conformance`, with the feature of that name.
#[async_trait]
pub trait Storage:
    UserStore
    + SessionStore
    + ConversationStore
    + MessageStore
    + FileRecordStore
    + SupportStore
    + Debug
    + Send
    + Sync
    + 'static
{
    /// Brings the schema up to date. Safe to call again, and from several processes at once.
    async fn migrate(&self) -> Result<()>;

    /// Whether other processes may change the same data: what is remembered of it must then be asked for again.
    fn is_shared(&self) -> bool;

    /// Answers if the database does. Cheap.
    async fn ping(&self) -> Result<()>;

    /// Finishes what was started and lets go of the database. Calls after this are `Unavailable`; closing again is
    /// fine.
    async fn close(&self);
}

/// Users, who they know, and the audit log.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Adds a user who can log in, with e-mail and password hash and without `external_id`. E-mail and username are
    /// unique among such users, both without regard to ASCII case, and to no other. `false`, and nothing stored, when
    /// either is taken.
    async fn create_account(&self, user: &User, password_hash: &str) -> Result<bool>;

    /// Adds a user of the host program, or brings the one with the same `external_id` up to date in name, avatar and
    /// role. Gives the user as stored, who keeps the first id and everything else.
    async fn upsert_host_user(&self, user: &User) -> Result<User>;

    /// The user with this id.
    async fn user(&self, id: UserId) -> Result<Option<User>>;

    /// The user with this `external_id`.
    async fn host_user(&self, external_id: &str) -> Result<Option<User>>;

    /// The user who logs in with this e-mail (lower case), and the password hash.
    async fn account(&self, email: &str) -> Result<Option<(User, String)>>;

    /// The password hash of this user, if they can log in.
    async fn password_hash(&self, id: UserId) -> Result<Option<String>>;

    /// Puts another hash of the same password in the place of `old`; says whether that was the user's hash still.
    async fn replace_password_hash(&self, id: UserId, old: &str, new: &str) -> Result<bool>;

    /// Gives a user who can log in another password and ends their sessions for good, all but the one that is kept.
    /// Gives those that were live; `None`, and nothing has changed, when there is no such user, they cannot log in, or
    /// their hash is not the old one any more.
    async fn change_password(&self, new: &PasswordRow) -> Result<Option<Vec<SessionId>>>;

    /// A part of the list of users.
    async fn users(&self, list: &UserList) -> Result<Page<User>>;

    /// Changes what a user may do. One who is disabled, or was already, has no session left after it.
    ///
    /// An administrator who can log in and is not disabled always remains: of two who demote each other at once, one
    /// fails. That is looked at for each change which takes such a one away, and for no other.
    async fn update_user(&self, id: UserId, change: UserChange, at: Timestamp) -> Result<UserUpdate>;

    /// Notes that these users were connected at this moment, all in one step. The mark of a user never goes back, and
    /// one who does not exist is passed over.
    async fn set_last_seen(&self, users: &[UserId], at: Timestamp) -> Result<()>;

    /// For each of these users, in the same order: everyone who is in a conversation with them now, open or closed;
    /// each once, without the user.
    async fn contacts_of(&self, users: &[UserId]) -> Result<Vec<Vec<UserId>>>;

    /// Writes to the audit log, in this order.
    async fn audit(&self, entries: &[AuditEntry]) -> Result<()>;
}

/// Sessions and their refresh tokens.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Begins a session with its first refresh token, which has no parent. It was last used when it began.
    ///
    /// `false`, and nothing stored, when there is no such user, they are disabled, or `password_hash`, which they have
    /// proved to know the password of, is not theirs any more. With [`change_password`](UserStore::change_password)
    /// and [`update_user`](UserStore::update_user) one comes after the other: a session that began before either is
    /// among those that it ends.
    async fn create_session(
        &self,
        session: &NewSession,
        token: &RefreshToken,
        password_hash: Option<&str>,
    ) -> Result<bool>;

    /// The session and its user, also when it was revoked or has expired.
    async fn session(&self, id: SessionId) -> Result<Option<Session>>;

    /// Those of these sessions, which are distinct, that are over before their time: revoked, of a disabled user, or
    /// gone. In no order.
    async fn ended_sessions(&self, of: &[SessionId]) -> Result<Vec<SessionId>>;

    /// Trades a refresh token for its child `next`, in one step.
    ///
    /// A token is used by this, and so is its session, which now ends when `next` does if it is not used again; but
    /// never after its own end. A used token may be traded again, for another child, within `grace` of its first use
    /// and as long as none of its children was used. Later than that it revokes its session.
    async fn rotate_refresh_token(
        &self,
        presented: &TokenHash,
        next: &RefreshToken,
        now: Timestamp,
        grace: Duration,
    ) -> Result<Rotation>;

    /// The session that this refresh token belongs to, whatever its state.
    async fn session_of_token(&self, token: &TokenHash) -> Result<Option<SessionId>>;

    /// Ends a session for good. Idempotent.
    async fn revoke_session(&self, id: SessionId, at: Timestamp) -> Result<()>;

    /// Ends every session of a user for good; gives those that were live.
    async fn revoke_sessions_of(&self, user: UserId, at: Timestamp) -> Result<Vec<SessionId>>;

    /// The sessions of a user that are live, or could be by a renewal: not revoked, and not at their end. At most
    /// `limit`, the last used first; of those used at one moment the larger id first.
    async fn sessions_of(&self, user: UserId, now: Timestamp, limit: u32) -> Result<Vec<OwnSession>>;

    /// Deletes what has long been over: refresh tokens that had expired by `before`, and sessions that had ended by
    /// then, with their tokens. At most `limit` rows, so that others need not wait; gives how many, which is 0 only
    /// when there is nothing left to delete, or while another process deletes.
    async fn delete_ended(&self, before: Timestamp, limit: u32) -> Result<u64>;
}

/// Conversations and who is in them.
#[async_trait]
pub trait ConversationStore: Send + Sync {
    /// Makes a conversation. `participants` are distinct and include the creator.
    async fn create_conversation(&self, new: &ConversationRow) -> Result<Created>;

    /// The conversation with those who are in it now.
    async fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>>;

    /// What decides whether `user` may do something in a conversation. `None` when there is no such conversation.
    async fn standing(&self, id: ConversationId, user: UserId) -> Result<Option<Standing>>;

    /// As [`standing`](Self::standing), for several conversations and users, all as of one moment: an answer for each,
    /// in the same order.
    async fn standings(&self, of: &[(ConversationId, UserId)]) -> Result<Vec<Option<Standing>>>;

    /// A part of the list of the conversations that `of` is in now, or of all, newest activity first, and of one
    /// moment the largest id first; it begins behind the place `after`, whether or not one is still there. Unread
    /// counts are those of `reader`.
    async fn conversations(
        &self,
        of: Option<UserId>,
        reader: UserId,
        after: Option<ConversationCursor>,
        limit: u32,
    ) -> Result<Page<ConversationSummary>>;

    /// A part of the conversations that `user` is in now and that are not among `known`: at most `limit` of those
    /// whose id is after `after`, ordered by id, which never changes. Unread counts are those of `user`.
    async fn conversations_except(
        &self,
        user: UserId,
        known: &[ConversationId],
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Page<ConversationSummary>>;

    /// Opens or closes a conversation, whose messages stay as they are. A direct one cannot be opened while its two
    /// have another open one, nor one of support while its visitor has.
    async fn set_status(
        &self,
        id: ConversationId,
        status: ConversationStatus,
        at: Timestamp,
    ) -> Result<StatusChange>;

    /// Adds users, in this order, so that there are at most `max` in all. Those who are in it already stay as they
    /// are, even if they are more. For one who comes, or comes back, what was sent in their absence is not unread.
    ///
    /// Looked at in this order: is there such a conversation, are there such users, are there too many.
    async fn add_participants(
        &self,
        id: ConversationId,
        users: &[UserId],
        max: usize,
        at: Timestamp,
    ) -> Result<Addition>;

    /// Takes a user out. Gives the conversation as it is then, or `None` when they were not in it. One of support that
    /// they had taken on is nobody's then.
    async fn remove_participant(
        &self,
        id: ConversationId,
        user: UserId,
        at: Timestamp,
    ) -> Result<Option<Conversation>>;
}

/// Messages, and who has read them.
#[async_trait]
pub trait MessageStore: Send + Sync {
    /// Appends messages in order, each deciding for itself; one outcome for each, in the same order.
    ///
    /// An accepted message gets the next `seq` of its conversation and moves it to the top of every list. All is one
    /// step: a participant who leaves meanwhile cannot slip a message in, and of two with the same
    /// `client_message_id`, even in one batch, one is the first and the other its [`Appended::Duplicate`].
    ///
    /// Looked at in this order: is there such a conversation, is the sender in it, is it a repeat, is it open, is the
    /// file still there. What was refused leaves no trace: its `client_message_id` is still free.
    ///
    /// One of support that is closed is opened by an accepted message of its visitor, unless the visitor has another
    /// open one: then it is closed. A message of anybody else in it answers what the visitor wrote.
    ///
    /// # Errors
    ///
    /// As everywhere; then none of the batch was stored.
    async fn append_messages(&self, batch: Vec<NewMessageRow>) -> Result<Vec<Appended>>;

    /// A part of a conversation's messages, as of one moment: at most `limit` of them, and no more than `max_bytes`
    /// of UTF-8 in their texts, but at least one if there is one. Who has read a message is in the order they did,
    /// those of one moment by id.
    async fn messages(
        &self,
        conversation: ConversationId,
        range: MessageRange,
        limit: u32,
        max_bytes: usize,
    ) -> Result<MessagePage>;

    /// As [`messages`](Self::messages), for somebody: also how they stand to the conversation, and who of the senders
    /// is still in it, all as of one moment. Of a conversation that they are not in they get an empty part, unless
    /// they read from outside. `None` when there is no such conversation.
    async fn messages_for(
        &self,
        reader: Reader,
        conversation: ConversationId,
        range: MessageRange,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Option<Reading>>;

    /// The messages of several spans, one span after the other and oldest first in each. Numbers that there are not
    /// are passed over. Ends early, wherever that is, after about `max_bytes` of text, but has at least one message if
    /// there is one.
    async fn messages_in(&self, spans: &[MessageSpan], max_bytes: usize) -> Result<Vec<MessageWithReads>>;

    /// Marks messages as read by `user`: all of them or none. Own messages are passed over.
    ///
    /// With `within`, all must be in that conversation. Looked at in this order: are there such messages, and there;
    /// is the user in every conversation of theirs. The first time that a message was read stands.
    async fn mark_read(
        &self,
        user: UserId,
        messages: &[MessageId],
        within: Option<ConversationId>,
        at: Timestamp,
    ) -> Result<ReadOutcome>;

    /// For each conversation that `user` is in now: how many messages of others, sent while `user` was in it, have
    /// no read mark of `user`. Conversations with none may be left out.
    async fn unread_counts(&self, user: UserId) -> Result<Vec<(ConversationId, u64)>>;

    /// Notes what was handed to users, in this order. Each has one mark: up to there everything was. It begins at the
    /// newest message when they come or come back, moves over what touches it, and never goes back; what does not
    /// touch it, and what is for somebody who is not in the conversation, is passed over.
    async fn set_delivered(&self, marks: &[DeliveredMark]) -> Result<()>;
}

/// What is known of uploaded files; the bytes are elsewhere.
#[async_trait]
pub trait FileRecordStore: Send + Sync {
    /// Notes an uploaded file, which no message carries yet, and that its name is no longer
    /// [loose](Self::note_loose_file). `false`, and nothing stored, when the files of its uploader would be more than
    /// `max_bytes` together, or than `i64::MAX`: also when many are uploaded at once.
    async fn create_file(&self, file: &FileRecord, max_bytes: u64) -> Result<bool>;

    /// The file with this id.
    async fn file(&self, id: FileId) -> Result<Option<FileRecord>>;

    /// The file stored under this name.
    async fn file_named(&self, stored_name: &str) -> Result<Option<FileRecord>>;

    /// Whether a message of a conversation that `user` is in now carries the file; with `None`, of any at all.
    async fn is_attached(&self, file: FileId, user: Option<UserId>) -> Result<bool>;

    /// How many bytes the files of a user have together.
    async fn stored_bytes(&self, user: UserId) -> Result<u64>;

    /// Takes away the oldest files that were made before this moment and that no message carries, at most `limit` of
    /// them, those of one moment by id; their names are loose since `at`. Gives how many.
    ///
    /// Decided in the same step as what [`append_messages`](MessageStore::append_messages) says of a file: a message
    /// carries it, or it is gone, and never both.
    async fn loosen_unsent_files(&self, before: Timestamp, limit: u32, at: Timestamp) -> Result<u32>;

    /// Notes that there may be bytes under a name that no file stands for. Of a name that is noted already this is
    /// the last word.
    async fn note_loose_file(&self, file: &LooseFile) -> Result<()>;

    /// Names that were loose already at this moment, at most `limit`, those first that have been so for the longest,
    /// and of one moment by name.
    async fn loose_files(&self, until: Timestamp, limit: u32) -> Result<Vec<LooseFile>>;

    /// Notes that there are no bytes under these names any more. Those that are not loose are passed over.
    async fn forget_loose_files(&self, stored_names: &[String]) -> Result<()>;
}
