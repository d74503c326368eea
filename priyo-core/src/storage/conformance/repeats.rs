//! What [`append_messages`](crate::storage::MessageStore::append_messages) promises of messages that come again.

use super::Store;
use super::fixtures::{
    accepted, account, add, again, append, assert_outcome, at, at_once, close, group, leave, list, named,
    send, send_many, stored, text, upload, with_file,
};
use crate::model::{ConversationStatus, FileId, MessageKind};
use crate::storage::{Appended, NewMessageRow, ReadOutcome};

pub async fn fifty_repeats_at_once_store_one_message(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;

    let outcomes = at_once(50, |_| {
        let (store, row) = (store.clone(), named(text(conversation, alice, "once"), "c1"));
        async move { append(&store, row).await }
    })
    .await;

    let new: Vec<_> = outcomes.iter().filter(|outcome| matches!(outcome, Appended::New(_))).collect();
    assert_eq!(new.len(), 1);
    let first = accepted(new[0].clone());
    for outcome in &outcomes {
        let same = matches!(outcome, Appended::New(m) | Appended::Duplicate(m) if *m == first);
        assert!(same, "{outcome:?}");
    }
    assert_eq!(stored(store, conversation).await, ["once"]);
}

pub async fn a_repeat_inside_one_batch_leaves_no_hole(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;

    let outcomes = store
        .append_messages(vec![
            named(text(conversation, alice, "1"), "c1"),
            named(text(conversation, alice, "1"), "c1"),
            named(text(conversation, alice, "other"), "c1"),
            named(text(conversation, alice, "2"), "c2"),
        ])
        .await
        .unwrap();

    let [first, repeat, reused, second] = outcomes.try_into().unwrap();
    let first = accepted(first);
    assert!(matches!(&repeat, Appended::Duplicate(message) if *message == first), "{repeat:?}");
    assert_outcome!(reused, Appended::ClientIdReused);
    assert_eq!(accepted(second).seq, 2);
    assert_eq!(stored(store, conversation).await, ["1", "2"]);
}

pub async fn a_client_id_for_something_else_is_refused(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    let file = upload(store, alice, "a.png").await;
    let row = named(text(conversation, alice, "hello"), "c1");
    accepted(append(store, row.clone()).await);

    let other_words = NewMessageRow { content: "Hello".into(), ..again(&row) };
    let other_kind = NewMessageRow { kind: MessageKind::File, ..again(&row) };
    let other_file = NewMessageRow { attachment: Some(file.attachment()), ..again(&row) };
    for other in [other_words, other_kind, other_file] {
        assert_outcome!(append(store, other).await, Appended::ClientIdReused);
    }

    // A later time does not make it another message.
    let later = NewMessageRow { at: at(60), ..again(&row) };
    assert_outcome!(append(store, later).await, Appended::Duplicate(_));
    assert_eq!(stored(store, conversation).await, ["hello"]);
}

pub async fn a_client_id_is_the_senders_own_and_the_conversations(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let (first, second) = (group(store, &[alice, bob]).await, group(store, &[alice, bob]).await);
    accepted(append(store, named(text(first, alice, "1"), "c1")).await);

    accepted(append(store, named(text(first, bob, "2"), "c1")).await);
    accepted(append(store, named(text(second, alice, "1"), "c1")).await);
    accepted(append(store, named(text(first, alice, "3"), "C1")).await);
    // Without one, the same words are another message.
    accepted(append(store, text(first, alice, "1")).await);
    accepted(append(store, text(first, alice, "1")).await);

    assert_eq!(stored(store, first).await, ["1", "2", "3", "1", "1"]);
    assert_eq!(stored(store, second).await, ["1"]);
}

pub async fn a_repeat_is_known_for_ever(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    let file = upload(store, alice, "a.png").await;
    let row = named(text(conversation, alice, ""), "c1");
    let row = NewMessageRow { kind: MessageKind::Image, attachment: Some(file.attachment()), ..row };
    let first = accepted(append(store, row.clone()).await);
    send_many(store, conversation, alice, 300).await;
    leave(store, conversation, alice).await;
    add(store, conversation, alice).await;

    let repeat = append(store, again(&row)).await;

    assert!(matches!(&repeat, Appended::Duplicate(message) if *message == first), "{repeat:?}");
    // Also if it comes by the same id.
    let repeat = append(store, row).await;
    assert!(matches!(&repeat, Appended::Duplicate(message) if *message == first), "{repeat:?}");
}

pub async fn what_was_refused_leaves_its_client_id_free(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice]).await;
    close(store, conversation).await;
    let good = |sender| named(text(conversation, sender, "good"), "c1");
    assert_outcome!(append(store, good(alice)).await, Appended::Closed);
    assert_outcome!(append(store, good(bob)).await, Appended::NotParticipant);
    store.set_status(conversation, ConversationStatus::Open, at(0)).await.unwrap();
    add(store, conversation, bob).await;

    // In one batch as well.
    let outcomes = store
        .append_messages(vec![with_file(good(alice), FileId::new()), good(alice), good(alice), good(bob)])
        .await
        .unwrap();

    let [gone, first, repeat, of_bob] = outcomes.try_into().unwrap();
    assert_outcome!(gone, Appended::FileGone);
    assert_eq!(accepted(first).seq, 1);
    assert_outcome!(repeat, Appended::Duplicate(_));
    assert_eq!(accepted(of_bob).seq, 2);
    assert_eq!(stored(store, conversation).await, ["good", "good"]);
}

pub async fn a_repeat_changes_nothing(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice, bob]).await;
    let row = named(text(conversation, alice, "hello"), "c1");
    let first = accepted(append(store, row.clone()).await);
    send(store, conversation, bob, "x").await;
    let before = list(store, None, bob).await;

    let later = NewMessageRow { at: at(99), ..again(&row) };
    let repeat = append(store, later.clone()).await;

    assert!(matches!(&repeat, Appended::Duplicate(message) if *message == first), "{repeat:?}");
    assert_eq!(list(store, None, bob).await, before);
    let unknown = store.mark_read(bob, &[later.id], None, at(0)).await.unwrap();
    assert!(matches!(unknown, ReadOutcome::Unknown), "{unknown:?}");
    assert_eq!(stored(store, conversation).await, ["hello", "x"]);
}
