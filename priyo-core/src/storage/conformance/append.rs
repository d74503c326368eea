//! What [`append_messages`](crate::storage::MessageStore::append_messages) promises.

use std::time::{Duration, Instant};

use super::Store;
use super::fixtures::{
    accepted, account, again, append, assert_outcome, at, at_once, close, delivered, group, ids, leave,
    let_others, named, page, send, send_file, send_many, stored, text, unread, upload, with_file,
};
use crate::model::{ConversationId, ConversationStatus, FileId, MessageKind, MessageRange, UserId};
use crate::storage::{Appended, NewMessageRow, StorageError};

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
    assert_outcome!(append(store, again(&by_bob)).await, Appended::NotParticipant);
    assert_outcome!(append(store, again(&by_alice)).await, Appended::Duplicate(_));
    let other = NewMessageRow { content: "other".into(), ..again(&by_alice) };
    assert_outcome!(append(store, other).await, Appended::ClientIdReused);
    let gone = with_file(text(conversation, alice, ""), FileId::new());
    assert_outcome!(append(store, gone.clone()).await, Appended::Closed);
    assert_outcome!(append(store, text(conversation, bob, "x")).await, Appended::NotParticipant);

    store.set_status(conversation, ConversationStatus::Open, at(0)).await.unwrap();
    assert_outcome!(append(store, gone).await, Appended::FileGone);
    assert_eq!(stored(store, conversation).await, ["", "hello", "hello"]);
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
        while page(store, conversation, MessageRange::Page(1), 1).await.last_seq < 10 {
            let_others().await;
        }

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
        let_others().await;
    }
    assert_eq!(stored(store, conversation).await, ["hello"]);
}

pub async fn an_empty_batch_is_nothing(store: &Store) {
    assert!(store.append_messages(Vec::new()).await.unwrap().is_empty());
}

pub async fn a_batch_that_fails_stores_nothing(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let (first, second) = (group(store, &[alice, bob]).await, group(store, &[alice, bob]).await);
    let before = send(store, first, alice, "1").await;
    // An id that is taken is what any database refuses in the middle of the work.
    let taken = NewMessageRow { id: before.id, ..text(second, alice, "x") };
    let batch = vec![
        named(NewMessageRow { at: at(99), ..text(first, alice, "x") }, "c1"),
        text(second, bob, "x"),
        taken,
        text(first, bob, "x"),
    ];

    let failed = store.append_messages(batch.clone()).await;

    assert!(matches!(failed, Err(StorageError::Backend(_))), "{failed:?}");
    assert_eq!(stored(store, first).await, ["1"]);
    assert_eq!(stored(store, second).await, [""; 0]);
    assert_eq!(store.conversation(first).await.unwrap().unwrap().updated_at, at(0));
    assert_eq!((unread(store, first, bob).await, unread(store, second, alice).await), (1, 0));
    // Nor is anything in the way of the same ones later.
    let outcomes = store.append_messages(batch.into_iter().filter(|row| row.id != before.id).collect()).await;
    let messages: Vec<_> = outcomes.unwrap().into_iter().map(accepted).collect();
    assert_eq!(messages.iter().map(|message| message.seq).collect::<Vec<_>>(), [2, 1, 3]);
}

pub async fn calls_that_cross_do_not_block_each_other(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let mut conversations = Vec::new();
    for _ in 0..4 {
        conversations.push(group(store, &[alice, bob]).await);
    }
    let mut first = Vec::new();
    for conversation in &conversations {
        first.push(send(store, *conversation, alice, "x").await.id);
    }

    // Each goes through the conversations from another end, and all want all of them.
    at_once(12, |i| {
        let (store, mut conversations, mut first) = (store.clone(), conversations.clone(), first.clone());
        conversations.rotate_left(usize::from(i) % 4);
        first.rotate_left(usize::from(i) % 4);
        if i % 2 == 0 {
            conversations.reverse();
            first.reverse();
        }
        async move {
            for n in 0..5 {
                let sender = if i % 3 == 0 { alice } else { bob };
                let rows = conversations.iter().map(|conversation| text(*conversation, sender, "x"));
                let outcomes = store.append_messages(rows.collect()).await.unwrap();
                let sent: Vec<_> = outcomes.into_iter().map(accepted).collect();
                store
                    .mark_read(if sender == alice { bob } else { alice }, &ids(&sent), None, at(0))
                    .await
                    .unwrap();
                store.mark_read(bob, &first, None, at(0)).await.unwrap();
                let marks = sent.iter().map(|m| delivered(m.conversation_id, bob, 1, m.seq));
                store.set_delivered(&marks.collect::<Vec<_>>()).await.unwrap();
                if i == n {
                    let carol = account(&store, &format!("carol{i}")).await;
                    for conversation in &conversations {
                        store.add_participants(*conversation, &[carol], 100, at(0)).await.unwrap();
                        store.remove_participant(*conversation, carol, at(0)).await.unwrap();
                    }
                }
            }
        }
    })
    .await;

    for conversation in conversations {
        assert_eq!(stored(store, conversation).await.len(), 61);
        let left = [unread(store, conversation, alice).await, unread(store, conversation, bob).await];
        assert_eq!(left, [0, 0]);
    }
}
