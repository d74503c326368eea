//! What the cases are made of: people, conversations, messages, and short ways to ask.

use std::time::Duration;

use super::Store;
use crate::model::{
    Attachment, ConversationId, ConversationKind, ConversationStatus, ConversationSummary, Dimensions,
    FileId, FileRecord, Message, MessageId, MessageKind, MessagePage, MessageRange, Role, SessionId,
    Timestamp, User, UserId,
};
use crate::storage::{
    Addition, Appended, AuditEntry, ConversationRow, Created, DeliveredMark, NewMessageRow, NewSession,
    ReadOutcome, Reader, Reading,
};

/// A moment, in seconds after some beginning.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_750_000_000_000 + seconds * 1000)
}

/// Runs `count` tasks at once and gives what they gave, in order.
pub(super) async fn at_once<T, F>(count: u8, task: impl Fn(u8) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|i| tokio::spawn(task(i))).collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        let outcome = tokio::time::timeout(Duration::from_secs(60), task).await;
        outcomes.push(outcome.expect("it takes too long").unwrap());
    }
    outcomes
}

/// Lets other tasks go on: a storage may answer without ever waiting.
pub(super) async fn let_others() {
    tokio::task::yield_now().await;
}

pub(super) fn new_user(name: &str) -> User {
    User {
        id: UserId::new(),
        external_id: None,
        email: Some(format!("{}@example.com", name.to_ascii_lowercase())),
        username: name.to_owned(),
        avatar: None,
        role: Role::Customer,
        disabled: false,
        created_at: at(0),
        last_seen: None,
    }
}

pub(super) async fn account(store: &Store, name: &str) -> UserId {
    let user = new_user(name);
    assert!(store.create_account(&user, "hash").await.unwrap());
    user.id
}

/// A session that begins at 0 and ends at `seconds`.
pub(super) fn new_session(user_id: UserId, seconds: i64) -> NewSession {
    let (id, created_at, expires_at) = (SessionId::new(), at(0), at(seconds));
    NewSession { id, user_id, created_at, expires_at, user_agent: None }
}

pub(super) fn audit_entry(actor: Option<UserId>) -> AuditEntry {
    let (subject, detail, address, request_id) = (None, None, None, None);
    AuditEntry { at: at(0), actor, action: "something_done", subject, detail, address, request_id }
}

/// A group that is made at 0.
pub(super) async fn group(store: &Store, participants: &[UserId]) -> ConversationId {
    conversation_at(store, ConversationKind::Group, participants, 0).await
}

pub(super) async fn conversation_at(
    store: &Store,
    kind: ConversationKind,
    participants: &[UserId],
    seconds: i64,
) -> ConversationId {
    let created = store.create_conversation(&row(kind, participants, seconds)).await.unwrap();
    let Created::Created(conversation) = created else { panic!("{created:?}") };
    conversation.id
}

pub(super) fn row(kind: ConversationKind, participants: &[UserId], seconds: i64) -> ConversationRow {
    ConversationRow {
        id: ConversationId::new(),
        kind,
        name: None,
        created_by: participants[0],
        participants: participants.to_vec(),
        at: at(seconds),
    }
}

pub(super) async fn add(store: &Store, conversation: ConversationId, user: UserId) {
    let added = store.add_participants(conversation, &[user], 100, at(0)).await.unwrap();
    assert!(matches!(&added, Addition::Added { added, .. } if *added == [user]), "{added:?}");
}

pub(super) async fn leave(store: &Store, conversation: ConversationId, user: UserId) {
    assert!(store.remove_participant(conversation, user, at(0)).await.unwrap().is_some());
}

pub(super) fn text(conversation_id: ConversationId, sender: UserId, content: &str) -> NewMessageRow {
    NewMessageRow {
        id: MessageId::new(),
        conversation_id,
        sender,
        client_message_id: None,
        content: content.to_owned(),
        kind: MessageKind::Text,
        attachment: None,
        at: at(0),
    }
}

pub(super) fn named(row: NewMessageRow, client_message_id: &str) -> NewMessageRow {
    NewMessageRow { client_message_id: Some(client_message_id.to_owned()), ..row }
}

/// The same message once more, as the engine sends it again: by another id.
pub(super) fn again(row: &NewMessageRow) -> NewMessageRow {
    NewMessageRow { id: MessageId::new(), ..row.clone() }
}

pub(super) async fn append(store: &Store, row: NewMessageRow) -> Appended {
    let [outcome] = store.append_messages(vec![row]).await.unwrap().try_into().unwrap();
    outcome
}

pub(super) fn accepted(outcome: Appended) -> Message {
    match outcome {
        Appended::New(message) | Appended::InSupport { message, .. } => message,
        outcome => panic!("{outcome:?}"),
    }
}

pub(super) async fn send(
    store: &Store,
    conversation: ConversationId,
    sender: UserId,
    content: &str,
) -> Message {
    accepted(append(store, text(conversation, sender, content)).await)
}

pub(super) async fn send_many(
    store: &Store,
    conversation: ConversationId,
    sender: UserId,
    count: usize,
) -> Vec<Message> {
    let batch = (1..=count).map(|i| text(conversation, sender, &i.to_string())).collect();
    store.append_messages(batch).await.unwrap().into_iter().map(accepted).collect()
}

pub(super) async fn upload(store: &Store, uploader: UserId, name: &str) -> FileRecord {
    let id = FileId::new();
    let file = FileRecord {
        id,
        uploader,
        stored_name: format!("{id}.png"),
        original_name: name.to_owned(),
        content_type: "image/png".into(),
        size: 12_345,
        dimensions: Some(Dimensions { width: 640, height: 480 }),
        created_at: at(0),
    };
    assert!(store.create_file(&file, u64::MAX).await.unwrap());
    file
}

pub(super) async fn send_file(
    store: &Store,
    conversation: ConversationId,
    sender: UserId,
    file: &FileRecord,
) -> Message {
    let row = text(conversation, sender, "");
    let row = NewMessageRow { kind: MessageKind::Image, attachment: Some(file.attachment()), ..row };
    accepted(append(store, row).await)
}

pub(super) async fn page(
    store: &Store,
    conversation: ConversationId,
    range: MessageRange,
    limit: u32,
) -> MessagePage {
    store.messages(conversation, range, limit, usize::MAX).await.unwrap()
}

/// A part of a conversation as it comes to one who may be in it.
pub(super) async fn reading(
    store: &Store,
    conversation: ConversationId,
    user_id: UserId,
    range: MessageRange,
    limit: u32,
) -> Option<Reading> {
    let reader = Reader { user_id, from_outside: false };
    store.messages_for(reader, conversation, range, limit, usize::MAX).await.unwrap()
}

pub(super) fn seqs(page: &MessagePage) -> Vec<u64> {
    page.items.iter().map(|item| item.message.seq).collect()
}

pub(super) async fn read(store: &Store, user: UserId, messages: &[MessageId]) -> Vec<u64> {
    let outcome = store.mark_read(user, messages, None, at(0)).await.unwrap();
    let ReadOutcome::Marked(marks) = outcome else { panic!("{outcome:?}") };
    marks.into_iter().map(|mark| mark.seq).collect()
}

/// How much is unread, by the counts and by the list, which must agree.
pub(super) async fn unread(store: &Store, conversation: ConversationId, user: UserId) -> u64 {
    let counts = store.unread_counts(user).await.unwrap();
    let count = counts.iter().find(|(id, _)| *id == conversation).map_or(0, |(_, count)| *count);
    let list = store.conversations(None, user, None, 200).await.unwrap();
    let summary = list.items.iter().find(|item| item.conversation.id == conversation).unwrap();
    assert_eq!(summary.unread, count);
    count
}

/// That `user` was handed the messages from `first_seq` to `last_seq`.
pub(super) fn delivered(
    conversation_id: ConversationId,
    user_id: UserId,
    first_seq: u64,
    last_seq: u64,
) -> DeliveredMark {
    DeliveredMark { conversation_id, user_id, first_seq, last_seq }
}

/// Everything that is stored, by number and text. The numbers are 1, 2, 3 and so on.
pub(super) async fn stored(store: &Store, conversation: ConversationId) -> Vec<String> {
    let page = page(store, conversation, MessageRange::After(0), u32::MAX).await;
    let last = page.items.len() as u64;
    assert_eq!(seqs(&page), (1..=last).collect::<Vec<_>>());
    assert_eq!((page.last_seq, page.has_more), (last, false));
    page.items.into_iter().map(|item| item.message.content).collect()
}

/// The same message with a file of that id.
pub(super) fn with_file(row: NewMessageRow, file_id: FileId) -> NewMessageRow {
    let (stored_name, original_name) = ("x.png".to_owned(), "x.png".to_owned());
    let attachment = Attachment { file_id, stored_name, original_name, size: 1, dimensions: None };
    NewMessageRow { kind: MessageKind::Image, attachment: Some(attachment), ..row }
}

pub(super) async fn close(store: &Store, conversation: ConversationId) {
    store.set_status(conversation, ConversationStatus::Closed, at(0)).await.unwrap();
}

/// The whole list.
pub(super) async fn list(store: &Store, of: Option<UserId>, reader: UserId) -> Vec<ConversationSummary> {
    let page = store.conversations(of, reader, None, 200).await.unwrap();
    assert!(!page.has_more);
    page.items
}

pub(super) fn ids(messages: &[Message]) -> Vec<MessageId> {
    messages.iter().map(|message| message.id).collect()
}

macro_rules! assert_outcome {
    ($outcome:expr, $expected:pat $(if $guard:expr)?) => {
        let outcome = $outcome;
        assert!(matches!(&outcome, $expected $(if $guard)?), "{outcome:?}");
    };
}
pub(super) use assert_outcome;
