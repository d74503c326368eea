//! What [`MessageStore`](crate::storage::MessageStore) promises of read marks, unread counts and delivered marks.

use super::Store;
use super::fixtures::{
    account, add, at, at_once, delivered, group, ids, leave, let_others, page, read, send, send_many, unread,
};
use crate::model::{ConversationId, Message, MessageId, MessageRange, UserId};
use crate::storage::{DeliveredMark, ReadMark, ReadOutcome};

/// The numbers of the messages that `user` has read.
async fn read_by(store: &Store, conversation: ConversationId, user: UserId) -> Vec<u64> {
    let page = page(store, conversation, MessageRange::After(0), 1_000).await;
    let read = page.items.iter().filter(|item| item.reads.iter().any(|read| read.user_id == user));
    read.map(|item| item.message.seq).collect()
}

pub async fn reading_is_for_the_messages_named_only(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let (first, second) = (group(store, &[alice, bob]).await, group(store, &[alice, bob]).await);
    let in_first = send_many(store, first, alice, 5).await;
    let in_second = send_many(store, second, alice, 2).await;
    let named = [in_second[1].id, in_first[4].id, in_first[2].id, in_first[4].id];

    let outcome = store.mark_read(bob, &named, None, at(1)).await.unwrap();

    let ReadOutcome::Marked(marks) = outcome else { panic!("{outcome:?}") };
    let mark = |message: &Message| ReadMark {
        conversation_id: message.conversation_id,
        message_id: message.id,
        seq: message.seq,
    };
    let mut expected = vec![mark(&in_first[2]), mark(&in_first[4]), mark(&in_second[1])];
    expected.sort_by_key(|mark| (mark.conversation_id, mark.seq));
    assert_eq!(marks, expected);
    assert_eq!(read_by(store, first, bob).await, [3, 5]);
    assert_eq!((unread(store, first, bob).await, unread(store, second, bob).await), (3, 1));
    // In whatever order they are read, the count is exact.
    for (seq, left) in [(1, 2), (4, 1), (2, 0)] {
        assert_eq!(read(store, bob, &[in_first[seq - 1].id]).await, [seq as u64]);
        assert_eq!(unread(store, first, bob).await, left);
    }
    assert_eq!(unread(store, second, bob).await, 1);
}

pub async fn reading_again_is_not_new(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice, bob]).await;
    let messages = send_many(store, conversation, alice, 3).await;
    assert_eq!(read(store, bob, &[messages[1].id]).await, [2]);

    store.mark_read(bob, &ids(&messages[..2]), None, at(60)).await.unwrap();

    let page = page(store, conversation, MessageRange::Page(1), 10).await;
    assert_eq!(page.items[1].reads[0].read_at, at(0), "the first time stands");
    assert_eq!(read(store, bob, &ids(&messages)).await, [3]);
    assert_eq!(read(store, bob, &ids(&messages)).await, [0; 0]);
    assert_eq!(read(store, bob, &[]).await, [0; 0]);
    assert_eq!(unread(store, conversation, bob).await, 0);
}

pub async fn reading_is_all_or_nothing(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let (conversation, other) = (group(store, &[alice, bob]).await, group(store, &[alice, bob]).await);
    let message = send(store, conversation, alice, "x").await;
    let elsewhere = send(store, other, alice, "x").await;

    let unknown = store.mark_read(bob, &[message.id, MessageId::new()], None, at(0)).await.unwrap();
    assert!(matches!(unknown, ReadOutcome::Unknown), "{unknown:?}");
    let both = [message.id, elsewhere.id];
    let outside = store.mark_read(bob, &both, Some(conversation), at(0)).await.unwrap();
    assert!(matches!(outside, ReadOutcome::Unknown), "{outside:?}");

    assert_eq!(read_by(store, conversation, bob).await, [0; 0]);
    assert_eq!(unread(store, conversation, bob).await, 1);
    let within = store.mark_read(bob, &[message.id], Some(conversation), at(0)).await.unwrap();
    assert!(matches!(&within, ReadOutcome::Marked(marks) if marks.len() == 1), "{within:?}");
}

pub async fn reading_is_for_participants(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let carol = account(store, "carol").await;
    let (conversation, of_two) =
        (group(store, &[alice, bob, carol]).await, group(store, &[alice, bob]).await);
    let message = send(store, conversation, alice, "x").await;
    let hidden = send(store, of_two, alice, "x").await;

    let refused = store.mark_read(carol, &[message.id, hidden.id], None, at(0)).await.unwrap();
    assert!(matches!(refused, ReadOutcome::NotParticipant), "{refused:?}");
    assert_eq!(read_by(store, conversation, carol).await, [0; 0]);

    leave(store, conversation, carol).await;
    let refused = store.mark_read(carol, &[message.id], None, at(0)).await.unwrap();
    assert!(matches!(refused, ReadOutcome::NotParticipant), "{refused:?}");
    // Not even the sender, once gone.
    leave(store, conversation, alice).await;
    let refused = store.mark_read(alice, &[message.id], None, at(0)).await.unwrap();
    assert!(matches!(refused, ReadOutcome::NotParticipant), "{refused:?}");
}

pub async fn own_messages_are_passed_over_when_read(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice, bob]).await;
    let own = send(store, conversation, alice, "x").await;
    let of_bob = send(store, conversation, bob, "x").await;

    assert_eq!(read(store, alice, &[own.id, of_bob.id]).await, [2]);

    assert_eq!(read_by(store, conversation, alice).await, [2]);
}

pub async fn what_is_read_at_once_by_many_counts_once(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice, bob]).await;
    let messages = send_many(store, conversation, alice, 40).await;

    // Each names three, which overlap with those of the next.
    let new = at_once(38, |i| {
        let first = usize::from(i);
        let (store, ids) = (store.clone(), ids(&messages[first..first + 3]));
        async move { read(&store, bob, &ids).await.len() }
    })
    .await;

    assert_eq!(new.iter().sum::<usize>(), 40);
    assert_eq!(unread(store, conversation, bob).await, 0);
}

pub async fn own_messages_are_never_unread(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice, bob]).await;

    for round in 1..=3 {
        send(store, conversation, alice, "x").await;
        send_many(store, conversation, bob, 2).await;

        assert_eq!(unread(store, conversation, alice).await, round * 2);
        assert_eq!(unread(store, conversation, bob).await, round);
    }
}

pub async fn what_was_said_before_one_came_is_not_unread(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice]).await;
    let before = send_many(store, conversation, alice, 5).await;

    add(store, conversation, bob).await;

    assert_eq!(unread(store, conversation, bob).await, 0);
    let after = send(store, conversation, alice, "x").await;
    assert_eq!(unread(store, conversation, bob).await, 1);
    // It can be read all the same, which is news to its sender and does not count twice.
    assert_eq!(read(store, bob, &ids(&before)).await, [1, 2, 3, 4, 5]);
    assert_eq!(unread(store, conversation, bob).await, 1);
    assert_eq!(read(store, bob, &[after.id]).await, [6]);
    assert_eq!(unread(store, conversation, bob).await, 0);
}

pub async fn what_was_said_in_absence_is_not_unread(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice, bob]).await;
    for round in 1..=3 {
        send(store, conversation, alice, "there").await;
        leave(store, conversation, bob).await;
        send_many(store, conversation, alice, 4).await;
        add(store, conversation, bob).await;

        assert_eq!(unread(store, conversation, bob).await, round);
    }
    // Nor is an absence in which nothing was said anything.
    leave(store, conversation, bob).await;
    add(store, conversation, bob).await;
    assert_eq!(unread(store, conversation, bob).await, 3);
}

pub async fn what_was_unread_at_leaving_is_unread_on_return(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice, bob]).await;
    let messages = send_many(store, conversation, alice, 3).await;
    read(store, bob, &[messages[1].id]).await;
    leave(store, conversation, bob).await;
    send(store, conversation, alice, "missed").await;

    add(store, conversation, bob).await;

    assert_eq!(unread(store, conversation, bob).await, 2);
    assert_eq!(read(store, bob, &ids(&messages)).await, [1, 3]);
    assert_eq!(unread(store, conversation, bob).await, 0);
}

pub async fn one_who_left_has_nothing_unread(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice, bob]).await;
    send_many(store, conversation, alice, 3).await;

    leave(store, conversation, bob).await;

    assert_eq!(unread(store, conversation, bob).await, 0);
    assert_eq!(store.unread_counts(bob).await.unwrap(), []);
}

pub async fn a_delivered_mark_never_goes_back(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let carol = account(store, "carol").await;
    let (first, second) = (group(store, &[alice, bob]).await, group(store, &[alice, bob]).await);
    send_many(store, first, alice, 5).await;
    send_many(store, second, alice, 5).await;
    let mark = |conversation_id, user_id, last_seq| DeliveredMark {
        conversation_id,
        user_id,
        first_seq: 1,
        last_seq,
    };

    store.set_delivered(&[]).await.unwrap();
    store
        .set_delivered(&[
            mark(first, bob, 3),
            mark(first, bob, 2),
            mark(first, carol, 4),
            mark(ConversationId::new(), bob, 4),
            mark(second, bob, 5),
        ])
        .await
        .unwrap();
    store.set_delivered(&[mark(second, bob, 1)]).await.unwrap();

    for (conversation, user, expected) in
        [(first, bob, 3), (second, bob, 5), (first, carol, 0), (first, alice, 0)]
    {
        assert_eq!(store.standing(conversation, user).await.unwrap().unwrap().delivered_seq, expected);
    }
}

pub async fn a_delivered_mark_moves_only_over_what_touches_it(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let carol = account(store, "carol").await;
    let conversation = group(store, &[alice, bob]).await;
    send_many(store, conversation, alice, 9).await;
    let handed = async |user_id, first_seq, last_seq| {
        let mark = DeliveredMark { conversation_id: conversation, user_id, first_seq, last_seq };
        store.set_delivered(&[mark]).await.unwrap();
        store.standing(conversation, user_id).await.unwrap().unwrap().delivered_seq
    };

    assert_eq!(handed(bob, 3, 5).await, 0, "1 and 2 are missing");
    assert_eq!(handed(bob, 1, 2).await, 2);
    assert_eq!(handed(bob, 2, 4).await, 4);
    assert_eq!(handed(bob, 6, 9).await, 4, "5 is missing");
    assert_eq!(handed(bob, 5, 9).await, 9);

    add(store, conversation, carol).await;
    let standing = store.standing(conversation, carol).await.unwrap().unwrap();
    assert_eq!(standing.delivered_seq, 9, "what was before a newcomer is not waited for");
}

pub async fn reading_looks_in_order(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let (own, foreign) = (group(store, &[alice, bob]).await, group(store, &[alice]).await);
    let (message, hidden) = (send(store, own, alice, "x").await, send(store, foreign, alice, "x").await);

    // Whether there is such a message, and there, comes before whether one may read it.
    for messages in [[hidden.id, MessageId::new()], [MessageId::new(), hidden.id]] {
        let outcome = store.mark_read(bob, &messages, None, at(0)).await.unwrap();
        assert!(matches!(outcome, ReadOutcome::Unknown), "{outcome:?}");
    }
    let outcome = store.mark_read(bob, &[message.id, hidden.id], Some(own), at(0)).await.unwrap();
    assert!(matches!(outcome, ReadOutcome::Unknown), "{outcome:?}");
    let outcome = store.mark_read(bob, &[message.id, hidden.id], None, at(0)).await.unwrap();
    assert!(matches!(outcome, ReadOutcome::NotParticipant), "{outcome:?}");
    let nothing = store.mark_read(bob, &[], Some(foreign), at(0)).await.unwrap();
    assert!(matches!(&nothing, ReadOutcome::Marked(marks) if marks.is_empty()), "{nothing:?}");
    assert_eq!(unread(store, own, bob).await, 1);
}

pub async fn nothing_is_read_by_one_who_left(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    for _ in 0..5 {
        let conversation = group(store, &[alice, bob]).await;
        let messages = ids(&send_many(store, conversation, alice, 60).await);
        let reading = tokio::spawn({
            let store = store.clone();
            async move {
                at_once(20, |i| {
                    let (store, first) = (store.clone(), usize::from(i) * 3);
                    let three = messages[first..first + 3].to_vec();
                    async move {
                        for message in three {
                            store.mark_read(bob, &[message], None, at(0)).await.unwrap();
                        }
                    }
                })
                .await
            }
        });
        // Some are read before, some would be read after.
        while read_by(store, conversation, bob).await.len() < 5 {
            let_others().await;
        }

        leave(store, conversation, bob).await;
        let at_leaving = read_by(store, conversation, bob).await;
        reading.await.unwrap();

        assert_eq!(read_by(store, conversation, bob).await, at_leaving);
    }
}

pub async fn delivered_marks_count_in_the_order_they_are_given(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice, bob]).await;
    send_many(store, conversation, alice, 9).await;
    let mark = |user, first, last| delivered(conversation, user, first, last);

    let marks = [
        mark(bob, 1, 2),
        mark(alice, 2, 5),
        mark(bob, 3, 4),
        mark(bob, 7, 9),
        mark(alice, 1, 1),
        mark(bob, 5, 6),
        mark(bob, 4, 5),
    ];
    store.set_delivered(&marks).await.unwrap();

    // What touches nothing when its turn comes is passed over.
    for (user, expected) in [(bob, 6), (alice, 1)] {
        assert_eq!(store.standing(conversation, user).await.unwrap().unwrap().delivered_seq, expected);
    }
}

pub async fn a_delivered_mark_begins_anew_on_return(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice, bob]).await;
    send_many(store, conversation, alice, 4).await;
    let mark = async || store.standing(conversation, bob).await.unwrap().unwrap().delivered_seq;
    store.set_delivered(&[delivered(conversation, bob, 1, 2)]).await.unwrap();

    leave(store, conversation, bob).await;
    store.set_delivered(&[delivered(conversation, bob, 3, 4)]).await.unwrap();
    assert_eq!(mark().await, 0, "one who is not there has none");
    send_many(store, conversation, alice, 3).await;
    add(store, conversation, bob).await;

    assert_eq!(mark().await, 7);
    send(store, conversation, alice, "x").await;
    assert_eq!(mark().await, 7);
    store.set_delivered(&[delivered(conversation, bob, 8, 8)]).await.unwrap();
    assert_eq!(mark().await, 8);
}
