//! What [`Storage`](crate::storage::Storage) promises of beginning and end.

use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::poll;

use super::Store;
use super::fixtures::{
    account, at, at_once, audit_entry, delivered, group, let_others, new_session, new_user, page, row, send,
    send_many, seqs, text, unread, upload,
};
use crate::model::{
    ConversationKind, ConversationStatus, MessageRange, User, UserChange, UserList, UserOrder,
};
use crate::storage::{Appended, LooseFile, MessageSpan, PasswordRow, Reader, RefreshToken, StorageError};

pub async fn migrating_again_keeps_everything(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice, bob]).await;
    let message = send(store, conversation, alice, "hello").await;

    store.migrate().await.unwrap();
    store.migrate().await.unwrap();

    assert!(store.user(alice).await.unwrap().is_some());
    assert_eq!(page(store, conversation, MessageRange::Page(1), 10).await.items[0].message, message);
    assert_eq!(unread(store, conversation, bob).await, 1);
    assert_eq!(send(store, conversation, alice, "again").await.seq, 2);
}

pub async fn migrating_by_many_at_once_works(store: &Store) {
    at_once(8, |_| {
        let store = store.clone();
        async move { store.migrate().await.unwrap() }
    })
    .await;

    account(store, "alice").await;
}

pub async fn migrating_while_others_write_loses_nothing(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;

    at_once(4, |i| {
        let store = store.clone();
        async move {
            for _ in 0..10 {
                if i == 0 {
                    store.migrate().await.unwrap();
                } else {
                    send(&store, conversation, alice, "x").await;
                }
            }
        }
    })
    .await;

    let page = page(store, conversation, MessageRange::After(0), 100).await;
    assert_eq!(seqs(&page), (1..=30).collect::<Vec<_>>());
}

pub async fn a_storage_answers_until_it_is_closed(store: &Store) {
    let alice = account(store, "alice").await;
    store.ping().await.unwrap();
    assert!(store.user(alice).await.unwrap().is_some());

    store.close().await;

    let refused = store.ping().await;
    assert!(matches!(refused, Err(StorageError::Unavailable(_))), "{refused:?}");
    store.close().await;
}

macro_rules! assert_unavailable {
    ($($call:expr),* $(,)?) => {$(
        let refused = $call.await;
        assert!(matches!(refused, Err(StorageError::Unavailable(_))), "{}: {refused:?}", stringify!($call));
    )*};
}

#[allow(clippy::too_many_lines, reason = "a line for each call there is")]
pub async fn every_call_after_the_closing_is_unavailable(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    let message = send(store, conversation, alice, "x").await;
    let file = upload(store, alice, "a.png").await;
    let host_user = User { external_id: Some("1".into()), ..new_user("ann") };
    let token = RefreshToken { hash: [1; 32], created_at: at(0), expires_at: at(100) };
    let session = new_session(alice, 100);
    let entries = [audit_entry(Some(alice))];
    let password =
        PasswordRow { user_id: alice, old_hash: None, new_hash: "x".into(), keep: None, at: at(1) };
    let list = UserList { by: UserOrder::Username, starts_with: String::new(), after: None, limit: 10 };
    let change = UserChange { role: None, disabled: Some(true) };
    let reader = Reader { user_id: alice, from_outside: false };
    let span = MessageSpan { conversation_id: conversation, first_seq: 1, last_seq: 1 };
    let loose = LooseFile { stored_name: "b.png".into(), upload_id: None, since: at(0) };

    store.close().await;

    assert_unavailable!(
        store.migrate(),
        store.ping(),
        store.create_account(&new_user("bob"), "hash"),
        store.upsert_host_user(&host_user),
        store.user(alice),
        store.host_user("1"),
        store.account("alice@example.com"),
        store.password_hash(alice),
        store.replace_password_hash(alice, "hash", "x"),
        store.change_password(&password),
        store.users(&list),
        store.update_user(alice, change, at(1)),
        store.set_last_seen(&[alice], at(1)),
        store.contacts_of(&[alice]),
        store.audit(&entries),
        store.create_session(&session, &token, None),
        store.session(session.id),
        store.ended_sessions(&[session.id]),
        store.rotate_refresh_token(&[1; 32], &token, at(1), Duration::ZERO),
        store.session_of_token(&[1; 32]),
        store.revoke_session(session.id, at(1)),
        store.revoke_sessions_of(alice, at(1)),
        store.sessions_of(alice, at(1), 10),
        store.delete_ended(at(1), 10),
        store.create_conversation(&row(ConversationKind::Group, &[alice], 0)),
        store.conversation(conversation),
        store.standing(conversation, alice),
        store.standings(&[(conversation, alice)]),
        store.conversations_except(alice, &[], None, 10),
        store.messages_in(&[span], 100),
        store.conversations(None, alice, None, 10),
        store.set_status(conversation, ConversationStatus::Closed, at(1)),
        store.add_participants(conversation, &[alice], 10, at(1)),
        store.remove_participant(conversation, alice, at(1)),
        store.append_messages(vec![text(conversation, alice, "x")]),
        store.messages(conversation, MessageRange::Page(1), 10, 10),
        store.messages_for(reader, conversation, MessageRange::Page(1), 10, 10),
        store.mark_read(alice, &[message.id], None, at(1)),
        store.unread_counts(alice),
        store.set_delivered(&[delivered(conversation, alice, 1, 1)]),
        store.create_file(&file, u64::MAX),
        store.stored_bytes(alice),
        store.loosen_unsent_files(at(1), 1, at(1)),
        store.note_loose_file(&loose),
        store.loose_files(at(1), 1),
        store.forget_loose_files(&[]),
        store.file(file.id),
        store.file_named(&file.stored_name),
        store.is_attached(file.id, None),
    );
}

pub async fn closing_finishes_what_was_begun(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    let batch = || vec![text(conversation, alice, "x")];
    let mut sending = Box::pin(join_all((0..20).map(|_| store.append_messages(batch()))));

    let begun = poll!(sending.as_mut());
    store.close().await;

    let outcomes = if let Poll::Ready(outcomes) = begun { outcomes } else { sending.await };
    for outcome in outcomes {
        assert!(matches!(outcome.as_deref(), Ok([Appended::New(_)])), "{outcome:?}");
    }
}

/// Begins a call and goes away.
async fn begin<T>(call: impl Future<Output = T>) {
    let _ = poll!(pin!(call));
}

macro_rules! assert_becomes {
    ($what:expr) => {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !$what {
            assert!(Instant::now() < deadline, "it was not done: {}", stringify!($what));
            let_others().await;
        }
    };
}

pub async fn what_was_begun_is_done_though_nobody_waits(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice, bob]).await;
    let messages = send_many(store, conversation, alice, 3).await;
    let carol = new_user("carol");
    let other = row(ConversationKind::Direct, &[alice, bob], 0);

    begin(store.create_account(&carol, "hash")).await;
    assert_becomes!(store.user(carol.id).await.unwrap().is_some());

    begin(store.create_conversation(&other)).await;
    assert_becomes!(store.conversation(other.id).await.unwrap().is_some());

    begin(store.mark_read(bob, &[messages[1].id], None, at(0))).await;
    assert_becomes!(!page(store, conversation, MessageRange::Page(1), 9).await.items[1].reads.is_empty());
    assert_eq!(unread(store, conversation, bob).await, 2);

    begin(store.add_participants(conversation, &[carol.id], 10, at(0))).await;
    assert_becomes!(store.standing(conversation, carol.id).await.unwrap().unwrap().is_participant);

    begin(store.remove_participant(conversation, bob, at(0))).await;
    assert_becomes!(!store.standing(conversation, bob).await.unwrap().unwrap().is_participant);

    begin(store.set_status(conversation, ConversationStatus::Closed, at(0))).await;
    assert_becomes!(
        store.conversation(conversation).await.unwrap().unwrap().status == ConversationStatus::Closed
    );
}
