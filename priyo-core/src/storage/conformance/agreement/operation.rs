//! What is done in one step, and what is said to it.

use std::fmt::Debug;
use std::time::Duration;

use super::super::Store;
use crate::model::{
    ConversationCursor, ConversationId, ConversationStatus, FileRecord, MessageId, MessageRange, SessionId,
    Timestamp, User, UserChange, UserId,
};
use crate::storage::{
    ConversationRow, DeliveredMark, NewMessageRow, NewSession, PasswordRow, RefreshToken, Result,
    StorageError, TokenHash, UserUpdate,
};

#[derive(Debug)]
pub(super) enum Operation {
    CreateAccount(User),
    UpsertHostUser(User),
    SetLastSeen(UserId, Timestamp),
    ReplacePasswordHash(UserId, &'static str, &'static str),
    ChangePassword(PasswordRow),
    UpdateUser(UserId, UserChange, Timestamp),
    CreateSession(NewSession, RefreshToken),
    RotateRefreshToken { presented: TokenHash, next: RefreshToken, now: Timestamp, grace: Duration },
    RevokeSession(SessionId, Timestamp),
    RevokeSessionsOf(UserId, Timestamp),
    DeleteEnded(Timestamp, u32),
    CreateConversation(ConversationRow),
    SetStatus(ConversationId, ConversationStatus, Timestamp),
    AddParticipants { id: ConversationId, users: Vec<UserId>, max: usize, at: Timestamp },
    RemoveParticipant(ConversationId, UserId, Timestamp),
    AppendMessages(Vec<NewMessageRow>),
    MarkRead { user: UserId, messages: Vec<MessageId>, within: Option<ConversationId>, at: Timestamp },
    SetDelivered(Vec<DeliveredMark>),
    CreateFile(FileRecord, u64),
    LoosenUnsentFiles { before: Timestamp, limit: u32, at: Timestamp },
    Messages { conversation: ConversationId, range: MessageRange, limit: u32, max_bytes: usize },
    Conversations { of: Option<UserId>, reader: UserId, after: Option<ConversationCursor>, limit: u32 },
    Migrate,
}

impl Operation {
    /// Does it; gives the answer, in words that can be compared.
    pub(super) async fn run(&self, store: &Store) -> String {
        match self {
            Self::CreateAccount(user) => answer(store.create_account(user, "hash").await),
            Self::UpsertHostUser(user) => answer(store.upsert_host_user(user).await),
            Self::SetLastSeen(user, at) => answer(store.set_last_seen(&[*user], *at).await),
            Self::CreateSession(session, token) => answer(store.create_session(session, token, None).await),
            Self::ReplacePasswordHash(user, old, new) => {
                answer(store.replace_password_hash(*user, old, new).await)
            }
            Self::ChangePassword(new) => {
                let ended = store.change_password(new).await;
                answer(ended.map(|ended| ended.map(in_order)))
            }
            Self::UpdateUser(user, change, at) => {
                let updated = store.update_user(*user, *change, *at).await;
                answer(updated.map(|updated| match updated {
                    UserUpdate::Updated { before, user, ended } => {
                        UserUpdate::Updated { before, user, ended: in_order(ended) }
                    }
                    other => other,
                }))
            }
            Self::DeleteEnded(before, limit) => answer(store.delete_ended(*before, *limit).await),
            Self::RotateRefreshToken { presented, next, now, grace } => {
                answer(store.rotate_refresh_token(presented, next, *now, *grace).await)
            }
            Self::RevokeSession(session, at) => answer(store.revoke_session(*session, *at).await),
            Self::RevokeSessionsOf(user, at) => answer(sorted(store.revoke_sessions_of(*user, *at).await)),
            Self::CreateConversation(new) => answer(store.create_conversation(new).await),
            Self::SetStatus(id, status, at) => answer(store.set_status(*id, *status, *at).await),
            Self::AddParticipants { id, users, max, at } => {
                answer(store.add_participants(*id, users, *max, *at).await)
            }
            Self::RemoveParticipant(id, user, at) => answer(store.remove_participant(*id, *user, *at).await),
            Self::AppendMessages(batch) => answer(store.append_messages(batch.clone()).await),
            Self::MarkRead { user, messages, within, at } => {
                answer(store.mark_read(*user, messages, *within, *at).await)
            }
            Self::SetDelivered(marks) => answer(store.set_delivered(marks).await),
            Self::CreateFile(file, max_bytes) => answer(store.create_file(file, *max_bytes).await),
            Self::LoosenUnsentFiles { before, limit, at } => {
                answer(store.loosen_unsent_files(*before, *limit, *at).await)
            }
            Self::Messages { conversation, range, limit, max_bytes } => {
                answer(store.messages(*conversation, *range, *limit, *max_bytes).await)
            }
            Self::Conversations { of, reader, after, limit } => {
                answer(store.conversations(*of, *reader, *after, *limit).await)
            }
            Self::Migrate => answer(store.migrate().await),
        }
    }
}

/// The causes of errors are each storage's own.
pub(super) fn answer<T: Debug>(result: Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(StorageError::Unavailable(_)) => "unavailable".to_owned(),
        Err(StorageError::Backend(_)) => "failed".to_owned(),
    }
}

/// For lists that come as the storage likes.
pub(super) fn sorted<T: Ord>(list: Result<Vec<T>>) -> Result<Vec<T>> {
    list.map(in_order)
}

fn in_order<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}
