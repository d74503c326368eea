//! What [`append_messages`](crate::storage::MessageStore::append_messages) promises.

use std::time::{Duration, Instant};

use super::{
    Store, accepted, account, add, append, at, at_once, group, leave, named, page, send, send_file,
    send_many, seqs, text, upload,
};
use crate::model::{
    Attachment, ConversationId, ConversationStatus, FileId, MessageKind, MessageRange, UserId,
};
use crate::storage::{Appended, NewMessageRow};

macro_rules! assert_outcome {
    ($outcome:expr, $expected:pat) => {
        let outcome = $outcome;
        assert!(matches!(&outcome, $expected), "{outcome:?}");
    };
}

/// Everything that is stored, by number and text. The numbers are 1, 2, 3 and so on.
async fn stored(store: &Store, conversation: ConversationId) -> Vec<String> {
    let page = page(store, conversation, MessageRange::After(0), u32::MAX).await;
    let last = page.items.len() as u64;
    assert_eq!(seqs(&page), (1..=last).collect::<Vec<_>>());
    assert_eq!((page.last_seq, page.has_more), (last, false));
    page.items.into_iter().map(|item| item.message.content).collect()
}

async fn close(store: &Store, conversation: ConversationId) {
    store.set_status(conversation, ConversationStatus::Closed, at(0)).await.unwrap();
}

fn with_file(row: NewMessageRow, file_id: FileId) -> NewMessageRow {
    let (stored_name, original_name) = ("x.png".to_owned(), "x.png".to_owned());
    let attachment = Attachment { file_id, stored_name, original_name, size: 1 };
    NewMessageRow { kind: MessageKind::Image, attachment: Some(attachment), ..row }
}

pub async fn the_first_message_is_number_one(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    let row = NewMessageRow { at: at(5), ..named(text(conversation, alice, "hello"), "c1") };

    let message = accepted(append(store, row.clone()).await);

    assert_eq!((message.id, message.seq, message.conversation_id), (row.id, 1, conversation));
    assert_eq!((message.sender.id, message.sender.username.as_str()), (alice, "alice"));
    assert_eq!((message.client_message_id.as_deref(), message.content.as_str()), (Some("c1"), "hello"));
    assert_eq!(
        (message.kind, message.attachment.as_ref(), message.created_at),
        (MessageKind::Text, None, at(5))
    );
    let page = page(store, conversation, MessageRange::Page(1), 10).await;
    assert_eq!(page.items[0].message, message);
    let now = store.conversation(conversation).await.unwrap().unwrap();
    assert_eq!((now.last_seq, now.updated_at), (1, at(5)));
}

pub async fn numbers_have_no_gap_under_many_writers(store: &Store) {
    let mut users = Vec::new();
    for i in 0..32 {
        users.push(account(store, &format!("user{i}")).await);
    }
    let conversation = group(store, &users).await;
    let other = group(store, &users).await;

    let sent = at_once(32, |i| {
        let (store, sender) = (store.clone(), users[usize::from(i)]);
        async move {
            let mut seqs = Vec::new();
            for n in 0..8 {
                seqs.push(send(&store, conversation, sender, &n.to_string()).await.seq);
                send_many(&store, other, sender, 2).await;
            }
            seqs
        }
    })
    .await;

    // Each writer's own come in the order they were sent.
    assert!(sent.iter().all(|seqs| seqs.is_sorted()), "{sent:?}");
    let mut all: Vec<u64> = sent.into_iter().flatten().collect();
    all.sort_unstable();
    assert_eq!(all, (1..=256).collect::<Vec<_>>());
    assert_eq!(stored(store, conversation).await.len(), 256);
    assert_eq!(stored(store, other).await.len(), 512);
}

pub async fn a_batch_keeps_its_order(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let (first, second) = (group(store, &[alice, bob]).await, group(store, &[bob, alice]).await);
    let batch = vec![
        text(first, alice, "1"),
        text(second, bob, "1"),
        text(first, bob, "2"),
        text(first, alice, "3"),
        text(second, bob, "2"),
    ];

    let outcomes = store.append_messages(batch.clone()).await.unwrap();

    let messages: Vec<_> = outcomes.into_iter().map(accepted).collect();
    for (row, message) in batch.iter().zip(&messages) {
        assert_eq!((row.id, row.content.clone()), (message.id, message.seq.to_string()));
    }
    assert_eq!(stored(store, first).await, ["1", "2", "3"]);
    assert_eq!(stored(store, second).await, ["1", "2"]);
}

pub async fn one_bad_message_fails_alone(store: &Store) {
    let (alice, mallory) = (account(store, "alice").await, account(store, "mallory").await);
    let (open, closed) = (group(store, &[alice]).await, group(store, &[alice]).await);
    close(store, closed).await;

    let outcomes = store
        .append_messages(vec![
            text(open, alice, "1"),
            text(ConversationId::new(), alice, "x"),
            text(open, mallory, "x"),
            text(open, UserId::new(), "x"),
            text(closed, alice, "x"),
            with_file(text(open, alice, "x"), FileId::new()),
            text(open, alice, "2"),
        ])
        .await
        .unwrap();

    let [first, nowhere, stranger, nobody, shut, gone, second] = outcomes.try_into().unwrap();
    assert_eq!((accepted(first).seq, accepted(second).seq), (1, 2));
    assert_outcome!(nowhere, Appended::NoConversation);
    assert_outcome!(stranger, Appended::NotParticipant);
    assert_outcome!(nobody, Appended::NotParticipant);
    assert_outcome!(shut, Appended::Closed);
    assert_outcome!(gone, Appended::FileGone);
    assert_eq!(stored(store, open).await, ["1", "2"]);
    assert_eq!(stored(store, closed).await, [""; 0]);
}

pub async fn decisions_are_made_in_order(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice, bob]).await;
    let file = upload(store, alice, "a.png").await;
    send_file(store, conversation, alice, &file).await;
    let by_alice = named(text(conversation, alice, "hello"), "c1");
    let by_bob = named(text(conversation, bob, "hello"), "c1");
    accepted(append(store, by_alice.clone()).await);
    accepted(append(store, by_bob.clone()).await);
    leave(store, conversation, bob).await;
    close(store, conversation).await;

    // Being in it comes before the repeat, the repeat before the closing, the closing before the file.
    assert_outcome!(append(store, by_bob).await, Appended::NotParticipant);
    assert_outcome!(append(store, by_alice.clone()).await, Appended::Duplicate(_));
    let other = NewMessageRow { content: "other".into(), ..by_alice.clone() };
    assert_outcome!(append(store, other).await, Appended::ClientIdReused);
    let gone = with_file(text(conversation, alice, ""), FileId::new());
    assert_outcome!(append(store, gone.clone()).await, Appended::Closed);
    assert_outcome!(append(store, text(conversation, bob, "x")).await, Appended::NotParticipant);

    store.set_status(conversation, ConversationStatus::Open, at(0)).await.unwrap();
    assert_outcome!(append(store, gone).await, Appended::FileGone);
    assert_eq!(stored(store, conversation).await, ["", "hello", "hello"]);
}

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

    let other_words = NewMessageRow { content: "Hello".into(), ..row.clone() };
    let other_kind = NewMessageRow { kind: MessageKind::File, ..row.clone() };
    let other_file = NewMessageRow { attachment: Some(file.attachment()), ..row.clone() };
    for other in [other_words, other_kind, other_file] {
        assert_outcome!(append(store, other).await, Appended::ClientIdReused);
    }

    // A later time and another id do not make it another message.
    let again = NewMessageRow { at: at(60), id: crate::model::MessageId::new(), ..row };
    assert_outcome!(append(store, again).await, Appended::Duplicate(_));
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

    let repeat = append(store, row).await;

    assert!(matches!(&repeat, Appended::Duplicate(message) if *message == first), "{repeat:?}");
}

pub async fn nothing_of_one_who_left_is_stored_after(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    for _ in 0..5 {
        let conversation = group(store, &[alice, bob]).await;
        let sending = tokio::spawn({
            let store = store.clone();
            async move {
                at_once(20, |i| {
                    let (store, sender) = (store.clone(), if i % 2 == 0 { alice } else { bob });
                    async move {
                        for n in 0..5 {
                            let row = named(text(conversation, sender, &n.to_string()), &format!("{i}-{n}"));
                            append(&store, row).await;
                        }
                    }
                })
                .await
            }
        });
        // Some are stored before, some come after.
        while page(store, conversation, MessageRange::Page(1), 1).await.last_seq < 10 {}

        let left = store.remove_participant(conversation, bob, at(0)).await.unwrap().unwrap();
        sending.await.unwrap();

        stored(store, conversation).await;
        let after = page(store, conversation, MessageRange::After(left.last_seq), u32::MAX).await;
        assert!(after.items.iter().all(|item| item.message.sender.id == alice));
    }
}

pub async fn a_send_whose_caller_went_away_is_stored(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;

    let mut sending = Box::pin(append(store, text(conversation, alice, "hello")));
    let begun = futures_util::poll!(sending.as_mut());
    drop(sending);

    let deadline = Instant::now() + Duration::from_secs(10);
    while begun.is_pending() && page(store, conversation, MessageRange::Page(1), 1).await.last_seq == 0 {
        assert!(Instant::now() < deadline, "it was not stored");
        tokio::task::yield_now().await;
    }
    assert_eq!(stored(store, conversation).await, ["hello"]);
}

pub async fn an_empty_batch_is_nothing(store: &Store) {
    assert!(store.append_messages(Vec::new()).await.unwrap().is_empty());
}
