//! The storage contract as a test suite.
//!
//! Each case is a plain function that takes a fresh, empty, migrated storage, and panics when a promise is broken.
//! [`storage_conformance!`](crate::storage_conformance) makes a test of each. The author of a storage needs three
//! lines, and tokio with `macros` and `rt-multi-thread`:
//!
//! ```ignore
//! // Gives a storage, and whatever must live as long as it does.
//! async fn open() -> (MyStorage, TempDir) { .. }
//!
//! priyo_core::storage_conformance!(open);
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "these are tests: they panic, and their names say what must be true"
)]

mod append;
mod conversations;
mod files;
mod listing;
mod messages;
mod reads;
mod sessions;
mod users;

use std::sync::Arc;
use std::time::Duration;

pub use append::*;
pub use conversations::*;
pub use files::*;
pub use listing::*;
pub use messages::*;
pub use reads::*;
pub use sessions::*;
pub use users::*;

use super::{
    Addition, Appended, ConversationRow, Created, NewMessageRow, ReadOutcome, Storage, StorageError,
};
use crate::model::{
    ConversationId, ConversationKind, FileId, FileRecord, Message, MessageId, MessageKind, MessagePage,
    MessageRange, Role, Timestamp, User, UserId,
};

/// What a case is given.
pub type Store = Arc<dyn Storage>;

/// Makes a test of every case of the suite. Takes the path of an async function that gives a fresh, empty, migrated
/// storage and a guard, which is dropped after the case.
#[macro_export]
macro_rules! storage_conformance {
    ($open:path) => {
        $crate::storage_conformance! { @each $open;
            migrating_again_keeps_everything
            migrating_by_many_at_once_works
            a_storage_answers_until_it_is_closed
            an_account_is_found_by_its_id_and_its_email
            a_user_who_is_not_there_is_not_found
            emails_and_usernames_are_taken_whatever_their_case
            of_fifty_registrations_at_once_one_gets_the_name
            a_host_user_is_made_once_and_then_brought_up_to_date
            a_host_user_made_by_many_at_once_is_one
            names_are_unique_only_among_those_who_log_in
            when_a_user_was_last_seen_is_kept
            contacts_are_all_who_share_a_conversation_now
            the_audit_log_takes_the_same_entry_twice
            a_session_is_found_with_its_user
            a_refresh_token_is_traded_for_its_child
            an_unknown_refresh_token_is_invalid
            a_parent_may_come_again_within_its_grace
            the_grace_begins_with_the_first_use
            the_use_of_a_child_ends_the_grace
            a_grandparent_has_no_grace
            an_expired_refresh_token_is_invalid_and_changes_nothing
            an_expired_session_trades_nothing
            a_revoked_session_trades_nothing
            revoking_all_sessions_of_a_user_gives_the_live_ones
            two_tabs_that_refresh_at_once_both_go_on
            a_file_is_found_by_its_id_and_its_stored_name
            two_files_may_have_one_original_name
            a_stored_name_is_given_once
            a_file_is_attached_for_those_who_are_in_the_conversation_now
            a_file_in_two_conversations_stays_attached_when_one_is_left
            a_message_shows_the_file_that_it_carries
            a_conversation_is_made_with_its_participants_in_their_order
            a_conversation_with_someone_unknown_or_disabled_is_not_made
            two_have_one_open_direct_conversation
            of_many_who_start_a_direct_conversation_at_once_one_does
            a_direct_conversation_is_not_reopened_beside_another
            closing_and_opening_again_changes_once
            the_standing_tells_what_decides
            participants_who_are_there_already_stay_as_they_are
            adding_is_all_or_nothing
            a_participant_who_leaves_is_gone_and_comes_back_last
            of_many_who_are_added_at_once_no_more_than_the_most_come
            the_list_is_newest_activity_first
            the_list_shows_what_the_reader_needs
            the_list_is_walked_without_gap_or_repeat
            the_list_of_all_is_walked_without_gap_or_repeat
            a_clock_that_is_set_back_does_not_sink_a_conversation
            what_was_left_is_not_in_the_list
            the_first_message_is_number_one
            numbers_have_no_gap_under_many_writers
            a_batch_keeps_its_order
            one_bad_message_fails_alone
            decisions_are_made_in_order
            fifty_repeats_at_once_store_one_message
            a_repeat_inside_one_batch_leaves_no_hole
            a_client_id_for_something_else_is_refused
            a_client_id_is_the_senders_own_and_the_conversations
            a_repeat_is_known_for_ever
            nothing_of_one_who_left_is_stored_after
            a_send_whose_caller_went_away_is_stored
            an_empty_batch_is_nothing
            texts_come_back_as_they_were
            page_one_is_the_newest
            pages_walk_back_without_gap_or_repeat
            pages_walk_forward_without_gap_or_repeat
            pages_hold_still_while_others_write
            a_page_ends_early_but_is_never_empty
            numbers_beyond_the_end_give_nothing
            an_unknown_conversation_has_no_messages
            a_page_shows_who_has_read
            reading_is_for_the_messages_named_only
            reading_again_is_not_new
            reading_is_all_or_nothing
            reading_is_for_participants
            own_messages_are_passed_over_when_read
            what_is_read_at_once_by_many_counts_once
            own_messages_are_never_unread
            what_was_said_before_one_came_is_not_unread
            what_was_said_in_absence_is_not_unread
            what_was_unread_at_leaving_is_unread_on_return
            one_who_left_has_nothing_unread
            a_delivered_mark_moves_only_over_what_touches_it
            a_delivered_mark_never_goes_back
        }
    };
    (@each $open:path; $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (storage, _guard) = $open().await;
            let storage: $crate::storage::conformance::Store = ::std::sync::Arc::new(storage);
            $crate::storage::conformance::$case(&storage).await;
        }
    )*};
}

pub async fn migrating_again_keeps_everything(store: &Store) {
    let alice = account(store, "alice").await;

    store.migrate().await.unwrap();
    store.migrate().await.unwrap();

    assert!(store.user(alice).await.unwrap().is_some());
}

pub async fn migrating_by_many_at_once_works(store: &Store) {
    at_once(8, |_| {
        let store = store.clone();
        async move { store.migrate().await.unwrap() }
    })
    .await;

    account(store, "alice").await;
}

pub async fn a_storage_answers_until_it_is_closed(store: &Store) {
    let alice = account(store, "alice").await;
    store.ping().await.unwrap();

    store.close().await;

    let refused = store.ping().await;
    assert!(matches!(refused, Err(StorageError::Unavailable(_))), "{refused:?}");
    let refused = store.user(alice).await;
    assert!(matches!(refused, Err(StorageError::Unavailable(_))), "{refused:?}");
    let refused = store.set_last_seen(alice, at(1)).await;
    assert!(matches!(refused, Err(StorageError::Unavailable(_))), "{refused:?}");
    store.close().await;
}

/// A moment, in seconds after some beginning.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_750_000_000_000 + seconds * 1000)
}

/// Runs `count` tasks at once and gives what they gave, in order.
async fn at_once<T, F>(count: u8, task: impl Fn(u8) -> F) -> Vec<T>
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

fn new_user(name: &str) -> User {
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

async fn account(store: &Store, name: &str) -> UserId {
    let user = new_user(name);
    assert!(store.create_account(&user, "hash").await.unwrap());
    user.id
}

/// A group that is made at 0.
async fn group(store: &Store, participants: &[UserId]) -> ConversationId {
    conversation_at(store, ConversationKind::Group, participants, 0).await
}

async fn conversation_at(
    store: &Store,
    kind: ConversationKind,
    participants: &[UserId],
    seconds: i64,
) -> ConversationId {
    let created = store.create_conversation(&row(kind, participants, seconds)).await.unwrap();
    let Created::Created(conversation) = created else { panic!("{created:?}") };
    conversation.id
}

fn row(kind: ConversationKind, participants: &[UserId], seconds: i64) -> ConversationRow {
    ConversationRow {
        id: ConversationId::new(),
        kind,
        name: None,
        created_by: participants[0],
        participants: participants.to_vec(),
        at: at(seconds),
    }
}

async fn add(store: &Store, conversation: ConversationId, user: UserId) {
    let added = store.add_participants(conversation, &[user], 100, at(0)).await.unwrap();
    assert!(matches!(&added, Addition::Added { added, .. } if *added == [user]), "{added:?}");
}

async fn leave(store: &Store, conversation: ConversationId, user: UserId) {
    assert!(store.remove_participant(conversation, user, at(0)).await.unwrap().is_some());
}

fn text(conversation_id: ConversationId, sender: UserId, content: &str) -> NewMessageRow {
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

fn named(row: NewMessageRow, client_message_id: &str) -> NewMessageRow {
    NewMessageRow { client_message_id: Some(client_message_id.to_owned()), ..row }
}

async fn append(store: &Store, row: NewMessageRow) -> Appended {
    let [outcome] = store.append_messages(vec![row]).await.unwrap().try_into().unwrap();
    outcome
}

fn accepted(outcome: Appended) -> Message {
    let Appended::New(message) = outcome else { panic!("{outcome:?}") };
    message
}

async fn send(store: &Store, conversation: ConversationId, sender: UserId, content: &str) -> Message {
    accepted(append(store, text(conversation, sender, content)).await)
}

async fn send_many(
    store: &Store,
    conversation: ConversationId,
    sender: UserId,
    count: usize,
) -> Vec<Message> {
    let batch = (1..=count).map(|i| text(conversation, sender, &i.to_string())).collect();
    store.append_messages(batch).await.unwrap().into_iter().map(accepted).collect()
}

async fn upload(store: &Store, uploader: UserId, name: &str) -> FileRecord {
    let id = FileId::new();
    let file = FileRecord {
        id,
        uploader,
        stored_name: format!("{id}.png"),
        original_name: name.to_owned(),
        content_type: "image/png".into(),
        size: 12_345,
        created_at: at(0),
    };
    store.create_file(&file).await.unwrap();
    file
}

async fn send_file(
    store: &Store,
    conversation: ConversationId,
    sender: UserId,
    file: &FileRecord,
) -> Message {
    let row = text(conversation, sender, "");
    let row = NewMessageRow { kind: MessageKind::Image, attachment: Some(file.attachment()), ..row };
    accepted(append(store, row).await)
}

async fn page(store: &Store, conversation: ConversationId, range: MessageRange, limit: u32) -> MessagePage {
    store.messages(conversation, range, limit, usize::MAX).await.unwrap()
}

fn seqs(page: &MessagePage) -> Vec<u64> {
    page.items.iter().map(|item| item.message.seq).collect()
}

async fn read(store: &Store, user: UserId, messages: &[MessageId]) -> Vec<u64> {
    let outcome = store.mark_read(user, messages, None, at(0)).await.unwrap();
    let ReadOutcome::Marked(marks) = outcome else { panic!("{outcome:?}") };
    marks.into_iter().map(|mark| mark.seq).collect()
}

/// How much is unread, by the counts and by the list, which must agree.
async fn unread(store: &Store, conversation: ConversationId, user: UserId) -> u64 {
    let counts = store.unread_counts(user).await.unwrap();
    let count = counts.iter().find(|(id, _)| *id == conversation).map_or(0, |(_, count)| *count);
    let list = store.conversations(None, user, None, 200).await.unwrap();
    let summary = list.items.iter().find(|item| item.conversation.id == conversation).unwrap();
    assert_eq!(summary.unread, count);
    count
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_listed() {
        let list = include_str!("mod.rs").split("(@each $open:path;").next().unwrap();
        let files = [
            include_str!("mod.rs"),
            include_str!("append.rs"),
            include_str!("conversations.rs"),
            include_str!("files.rs"),
            include_str!("listing.rs"),
            include_str!("messages.rs"),
            include_str!("reads.rs"),
            include_str!("sessions.rs"),
            include_str!("users.rs"),
        ];
        let cases = files.iter().flat_map(|file| file.split("\npub async fn ").skip(1));
        let names: Vec<&str> = cases.filter_map(|case| case.split('(').next()).collect();
        assert!(names.len() > 80, "{names:?}");
        for name in names {
            assert!(list.lines().any(|line| line.trim() == name), "{name} is not listed");
        }
    }
}
