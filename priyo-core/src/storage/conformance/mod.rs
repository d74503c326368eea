//! The storage contract as a test suite, and what authors of storages need to know.
//!
//! # What to write
//!
//! A type, and for it [`Storage`] and the six traits it is made of. Each method is one promise, which is in its doc
//! comment; what holds for all of them is said once, at [`Storage`]. `examples/custom_storage` in the repository is
//! a whole storage, as short as the contract lets it be, with a chat that runs on it.
//!
//! Three things are easily missed. What is decided together with the write must be decided under the same lock: who
//! is in the conversation, whether a message is a repeat, which number is next. What is found out by then is an
//! outcome, such as [`Appended::Closed`](super::Appended::Closed), not an error; an error means that something is
//! broken, and is [`Unavailable`](super::StorageError::Unavailable) if the same call may work later. And a call that
//! has begun is finished although its future is dropped: work that waits for a database belongs in a task or a
//! thread of its own.
//!
//! # What is left to the engine
//!
//! Who may do what, but for being in a conversation. How long a text may be, and that there is no NUL in it. Hashing
//! passwords and tokens, making ids, and what time it is: all that comes with the call, so a storage has no clock
//! and no chance in it. Telling others what has happened. Who is online, and who types: that is not stored at all.
//!
//! # How to run it
//!
//! [`storage_conformance!`](crate::storage_conformance) makes a test of each promise. It needs the feature
//! `conformance` of this package and tokio, both for tests only, and a function that opens a storage:
//!
#![cfg_attr(feature = "sqlite", doc = "```")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! # use priyo_core::storage::{Storage, sqlite::SqliteStorage as MyStorage};
//! # struct TempDir(std::path::PathBuf);
//! # impl TempDir {
//! #     fn new() -> std::io::Result<Self> {
//! #         let path = std::env::temp_dir().join(format!("priyo-doc-{}", std::process::id()));
//! #         std::fs::create_dir(&path).map(|()| Self(path))
//! #     }
//! #     fn path(&self) -> &std::path::Path { &self.0 }
//! # }
//! # impl Drop for TempDir {
//! #     fn drop(&mut self) { let _ = std::fs::remove_dir_all(&self.0); }
//! # }
//! /// Gives an empty, migrated storage, and whatever must live as long as it does.
//! async fn open() -> (MyStorage, TempDir) {
//!     let folder = TempDir::new().unwrap();
//!     let storage = MyStorage::open(folder.path().join("chat.db")).unwrap();
//!     storage.migrate().await.unwrap();
//!     (storage, folder)
//! }
//!
//! priyo_core::storage_conformance!(open);
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! #     let (storage, _folder) = open().await;
//! #     let store: priyo_core::storage::conformance::Store = std::sync::Arc::new(storage);
//! #     priyo_core::storage::conformance::the_first_message_is_number_one(&store).await;
//! # });
//! ```
//!
//! [`CASES`] has the same promises for a program that runs them in its own way.
//!
//! # In step with another storage
//!
//! The cases are what came to mind. [`random_operations_agree`] does what comes to no mind: the same random things
//! to two storages, comparing every answer and everything that can be read. The other one may be SQLite, or the one
//! of the example, whose rules are written out word for word. [`operations_agree`] is the same for a list of numbers
//! that a tool such as proptest draws and, when it finds a difference, makes short.
//! [`random_operations_agree_over_a_restart`] opens the storage anew half way through.
//!
//! # What it cannot see
//!
//! That a commit survives a power loss; that two processes on one database keep each other's numbers; that a query
//! has an index; that a call ends in good time when the database does not answer. Those are tests of each storage
//! by itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "these are tests: they panic, and their names say what must be true"
)]

mod accounts;
mod agreement;
mod append;
mod bulk;
mod conversations;
mod dice;
mod files;
mod fixtures;
mod lifecycle;
mod listing;
mod messages;
mod participants;
mod reads;
mod repeats;
mod sessions;
mod support;
mod unread;
mod users;
mod values;

use std::fmt::{self, Debug};
use std::sync::Arc;

use futures_util::future::BoxFuture;

pub use accounts::*;
pub use agreement::{operations_agree, random_operations_agree, random_operations_agree_over_a_restart};
pub use append::*;
pub use bulk::*;
pub use conversations::*;
pub use files::*;
pub use lifecycle::*;
pub use listing::*;
pub use messages::*;
pub use participants::*;
pub use reads::*;
pub use repeats::*;
pub use sessions::*;
pub use support::*;
pub use unread::*;
pub use users::*;
pub use values::*;

use super::Storage;

/// What a case is given.
pub type Store = Arc<dyn Storage>;

/// One promise.
#[derive(Clone, Copy)]
pub struct Case {
    /// What must be true.
    pub name: &'static str,
    /// Holds a fresh, empty, migrated storage to it; panics when it is not true.
    pub run: for<'a> fn(&'a Store) -> BoxFuture<'a, ()>,
}

impl Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Every case of the suite, for those who run them in their own way.
pub const CASES: &[Case] = crate::storage_conformance! { @cases table () };

/// Makes a test of every case of the suite. Takes the path of an async function that gives a fresh, empty, migrated
/// storage and a guard, which is dropped after the case.
#[macro_export]
macro_rules! storage_conformance {
    ($open:path) => {
        $crate::storage_conformance! { @cases tests ($open) }
    };
    (@cases $what:ident $with:tt) => {
        $crate::storage_conformance! { @$what $with
            migrating_again_keeps_everything
            migrating_by_many_at_once_works
            migrating_while_others_write_loses_nothing
            a_storage_answers_until_it_is_closed
            every_call_after_the_closing_is_unavailable
            closing_finishes_what_was_begun
            what_was_begun_is_done_though_nobody_waits
            texts_come_back_as_they_were
            names_of_every_kind_come_back_as_they_were
            an_empty_text_is_not_an_absent_one
            texts_are_equal_only_byte_for_byte
            only_ascii_letters_have_no_case
            texts_may_be_as_long_as_the_engine_takes_them
            times_are_whole_milliseconds_before_1970_too
            ids_sort_by_their_bytes
            an_id_is_given_once
            a_token_and_a_session_are_given_once
            a_large_batch_is_stored
            many_messages_are_read_and_delivered_at_once
            a_large_group_is_made_and_grows
            numbers_may_be_as_large_as_they_come
            what_lasts_for_ever_does_not_end
            an_account_is_found_by_its_id_and_its_email
            a_user_who_is_not_there_is_not_found
            emails_and_usernames_are_taken_whatever_their_case
            of_fifty_registrations_at_once_one_gets_the_name
            a_host_user_is_made_once_and_then_brought_up_to_date
            a_host_user_keeps_all_but_name_picture_and_role
            a_host_user_made_by_many_at_once_is_one
            names_are_unique_only_among_those_who_log_in
            when_users_were_last_seen_is_kept
            when_users_were_last_seen_never_goes_back
            when_hundreds_of_users_were_last_seen_is_one_call
            contacts_are_all_who_share_a_conversation_now
            contacts_of_several_come_in_the_order_they_are_asked_for
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
            sessions_that_are_revoked_or_gone_are_over
            two_tabs_that_refresh_at_once_both_go_on
            a_session_shows_its_user_as_they_are_now
            what_is_over_can_still_be_looked_up
            of_many_who_trade_after_the_grace_all_are_refused
            a_session_begins_only_for_one_who_may_sign_in
            the_sessions_of_a_user_are_those_that_are_live
            what_has_long_been_over_is_deleted_and_nothing_else
            what_is_over_is_deleted_a_little_at_a_time
            many_who_delete_at_once_delete_everything_once
            a_password_hash_is_replaced_only_in_place_of_the_old_one
            another_password_ends_all_sessions_but_one
            no_session_of_the_old_password_is_left_by_a_race
            users_are_listed_in_order_and_found_by_how_their_names_begin
            the_list_of_users_is_walked_without_gap_or_repeat
            a_change_of_a_user_is_of_that_user_alone
            one_who_is_disabled_has_no_session_left
            the_last_administrator_who_can_log_in_stays
            of_administrators_who_demote_each_other_at_once_one_stays
            a_file_is_found_by_its_id_and_its_stored_name
            two_files_may_have_one_original_name
            a_stored_name_is_given_once
            a_file_is_attached_for_those_who_are_in_the_conversation_now
            a_file_in_two_conversations_stays_attached_when_one_is_left
            a_message_shows_the_file_that_it_carries
            the_files_of_a_user_are_as_many_bytes_as_they_may_be_and_no_more
            of_many_files_at_once_no_more_than_fit_are_stored
            a_file_that_was_never_sent_is_taken_away_when_it_is_old
            a_file_is_sent_or_taken_away_and_never_both
            a_loose_name_is_known_until_it_is_forgotten
            a_conversation_is_made_with_its_participants_in_their_order
            a_conversation_with_someone_unknown_or_disabled_is_not_made
            two_have_one_open_direct_conversation
            of_many_who_start_a_direct_conversation_at_once_one_does
            a_direct_conversation_is_not_reopened_beside_another
            closing_and_opening_again_changes_once
            the_standing_tells_what_decides
            several_standings_are_told_in_the_order_they_are_asked_for
            of_many_who_open_a_direct_conversation_again_at_once_one_does
            a_closed_conversation_can_be_read
            names_are_shown_as_they_are_now
            participants_who_are_there_already_stay_as_they_are
            adding_is_all_or_nothing
            a_participant_who_leaves_is_gone_and_comes_back_last
            of_many_who_are_added_at_once_no_more_than_the_most_come
            adding_looks_in_order
            those_who_come_are_in_the_order_they_were_named
            of_many_who_take_one_out_at_once_one_does
            of_many_who_add_one_at_once_one_does
            the_list_is_newest_activity_first
            the_list_shows_what_the_reader_needs
            the_list_is_walked_without_gap_or_repeat
            the_list_of_all_is_walked_without_gap_or_repeat
            a_clock_that_is_set_back_does_not_sink_a_conversation
            what_was_left_is_not_in_the_list
            what_is_not_known_is_walked_by_id_without_gap_or_repeat
            all_that_happens_brings_a_conversation_to_the_top_but_reading
            the_list_goes_on_behind_a_place_where_nothing_is_any_more
            the_first_message_is_number_one
            numbers_have_no_gap_under_many_writers
            a_batch_keeps_its_order
            one_bad_message_fails_alone
            decisions_are_made_in_order
            nothing_of_one_who_left_is_stored_after
            a_send_whose_caller_went_away_is_stored
            an_empty_batch_is_nothing
            a_batch_that_fails_stores_nothing
            calls_that_cross_do_not_block_each_other
            fifty_repeats_at_once_store_one_message
            a_repeat_inside_one_batch_leaves_no_hole
            a_client_id_for_something_else_is_refused
            a_client_id_is_the_senders_own_and_the_conversations
            a_repeat_is_known_for_ever
            what_was_refused_leaves_its_client_id_free
            a_repeat_changes_nothing
            page_one_is_the_newest
            pages_walk_back_without_gap_or_repeat
            pages_walk_forward_without_gap_or_repeat
            pages_hold_still_while_others_write
            a_page_ends_early_but_is_never_empty
            numbers_beyond_the_end_give_nothing
            an_unknown_conversation_has_no_messages
            a_page_shows_who_has_read
            a_part_comes_with_how_its_reader_stands_and_who_is_still_there
            one_who_is_not_in_it_reads_nothing_unless_from_outside
            all_that_a_reader_gets_is_of_one_moment
            spans_bring_exactly_their_messages_in_their_order
            spans_end_early_but_bring_something
            a_walk_sees_each_message_once_while_others_write
            the_bytes_of_a_text_are_counted_not_its_letters
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
            a_delivered_mark_never_goes_back
            a_delivered_mark_moves_only_over_what_touches_it
            reading_looks_in_order
            nothing_is_read_by_one_who_left
            delivered_marks_count_in_the_order_they_are_given
            a_delivered_mark_begins_anew_on_return
            unread_counts_agree_with_a_naive_count
            a_visitor_is_found_by_what_they_are_known_by_and_cannot_log_in
            an_identity_is_one_visitor_however_often_it_comes
            what_a_visitor_says_of_themselves_is_kept
            a_support_conversation_begins_with_its_greeting
            of_many_that_a_visitor_opens_at_once_there_is_one
            a_message_of_its_visitor_opens_a_closed_one_and_no_other_does
            what_is_carried_over_is_as_if_it_had_been_so_from_the_start
            what_is_carried_over_is_never_somebody_elses
            what_an_agent_has_taken_on_is_found_until_they_are_out_of_it
            a_visitor_waits_until_somebody_answers
            the_inbox_is_listed_by_state_and_walked_without_gap_or_repeat
            those_who_answer_are_found_by_a_part_of_their_names
            of_many_who_claim_at_once_one_has_it
            one_who_is_taken_out_of_a_support_conversation_has_not_taken_it_on
        }
    };
    (@tests ($open:path) $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (storage, _guard) = $open().await;
            let storage: $crate::storage::conformance::Store = ::std::sync::Arc::new(storage);
            $crate::storage::conformance::$case(&storage).await;
        }
    )*};
    (@table () $($case:ident)*) => {
        &[$($crate::storage::conformance::Case {
            name: stringify!($case),
            run: |store| ::std::boxed::Box::pin($crate::storage::conformance::$case(store)),
        }),*]
    };
}

#[cfg(test)]
mod tests {
    use super::CASES;

    #[test]
    fn every_case_is_listed() {
        let files = [
            include_str!("lifecycle.rs"),
            include_str!("values.rs"),
            include_str!("bulk.rs"),
            include_str!("users.rs"),
            include_str!("sessions.rs"),
            include_str!("accounts.rs"),
            include_str!("files.rs"),
            include_str!("conversations.rs"),
            include_str!("participants.rs"),
            include_str!("listing.rs"),
            include_str!("append.rs"),
            include_str!("repeats.rs"),
            include_str!("messages.rs"),
            include_str!("reads.rs"),
            include_str!("unread.rs"),
            include_str!("support.rs"),
        ];
        let cases = files.iter().flat_map(|file| file.split("\npub async fn ").skip(1));
        let names: Vec<&str> = cases.filter_map(|case| case.split('(').next()).collect();
        let listed: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(listed, names, "in the order of the files");
    }
}
