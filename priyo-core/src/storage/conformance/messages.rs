//! What [`messages`](crate::storage::MessageStore::messages) and its kin promise.

use super::Store;
use super::fixtures::{
    account, add, at, delivered, group, leave, let_others, page, reading, send, send_many, seqs,
};
use crate::model::{ConversationId, MessageRange, UserId};
use crate::storage::{MessageSpan, ReadOutcome, Reader};

pub async fn page_one_is_the_newest(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    send_many(store, conversation, alice, 7).await;

    for (number, expected, has_more) in
        [(1, vec![5, 6, 7], true), (2, vec![2, 3, 4], true), (3, vec![1], false), (4, vec![], false)]
    {
        let page = page(store, conversation, MessageRange::Page(number), 3).await;
        assert_eq!((seqs(&page), page.has_more, page.last_seq), (expected, has_more, 7), "page {number}");
    }
    let all = page(store, conversation, MessageRange::Page(1), 7).await;
    assert_eq!((seqs(&all).len(), all.has_more), (7, false));
}

pub async fn pages_walk_back_without_gap_or_repeat(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    send_many(store, conversation, alice, 100).await;

    let mut before = u64::MAX;
    let mut seen = Vec::new();
    loop {
        let page = page(store, conversation, MessageRange::Before(before), 7).await;
        assert!(seqs(&page).is_sorted(), "a page is oldest first");
        seen.extend(seqs(&page).into_iter().rev());
        before = page.items[0].message.seq;
        if !page.has_more {
            break;
        }
    }

    assert_eq!(seen, (1..=100).rev().collect::<Vec<_>>());
    let nothing = page(store, conversation, MessageRange::Before(1), 7).await;
    assert_eq!((seqs(&nothing), nothing.has_more), (vec![], false));
}

pub async fn pages_walk_forward_without_gap_or_repeat(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    send_many(store, conversation, alice, 100).await;

    let mut seen = Vec::new();
    loop {
        let after = seen.last().copied().unwrap_or(0);
        let page = page(store, conversation, MessageRange::After(after), 9).await;
        seen.extend(seqs(&page));
        if !page.has_more {
            break;
        }
    }

    assert_eq!(seen, (1..=100).collect::<Vec<_>>());
}

pub async fn pages_hold_still_while_others_write(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for _ in 0..50 {
                let_others().await;
                send_many(&store, conversation, alice, 4).await;
            }
        }
    });

    while !writing.is_finished() {
        let_others().await;
        let page = page(store, conversation, MessageRange::Page(1), 10).await;
        // All of a page is of one moment: it ends with the newest there was.
        let expected: Vec<u64> = (page.last_seq.saturating_sub(9).max(1)..=page.last_seq).collect();
        assert_eq!(seqs(&page), expected);
        assert_eq!(page.last_seq % 4, 0, "a batch is seen whole");
        let list = store.conversations(None, alice, None, 1).await.unwrap();
        let last = list.items[0].last_message.as_ref().map_or(0, |message| message.seq);
        assert_eq!(list.items[0].conversation.last_seq, last);
    }
    writing.await.unwrap();
    assert_eq!(page(store, conversation, MessageRange::Page(1), 1).await.last_seq, 200);
}

pub async fn a_page_ends_early_but_is_never_empty(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    for text in ["a".repeat(100), "b".repeat(100), "c".repeat(100)] {
        send(store, conversation, alice, &text).await;
    }

    for (range, max_bytes, expected, has_more) in [
        (MessageRange::Page(1), 250, vec![2, 3], true),
        (MessageRange::Page(1), 300, vec![1, 2, 3], false),
        (MessageRange::Before(3), 50, vec![2], true),
        (MessageRange::Before(2), 0, vec![1], false),
        (MessageRange::After(0), 250, vec![1, 2], true),
        (MessageRange::After(1), 1, vec![2], true),
        (MessageRange::After(2), 1, vec![3], false),
    ] {
        let page = store.messages(conversation, range, 10, max_bytes).await.unwrap();
        assert_eq!((seqs(&page), page.has_more), (expected, has_more), "{range:?} {max_bytes}");
    }
}

pub async fn numbers_beyond_the_end_give_nothing(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    send_many(store, conversation, alice, 3).await;
    let huge = [u64::MAX, u64::MAX - 1, i64::MAX as u64, i64::MAX as u64 + 1, 1 << 53];

    for number in huge.into_iter().chain([3, 4]) {
        let page = page(store, conversation, MessageRange::After(number), 200).await;
        assert_eq!((seqs(&page), page.has_more, page.last_seq), (vec![], false, 3), "after {number}");
    }
    for number in huge {
        let page = page(store, conversation, MessageRange::Page(number), 200).await;
        assert_eq!((seqs(&page), page.has_more), (vec![], false), "page {number}");
    }
    for number in huge.into_iter().chain([4]) {
        let page = page(store, conversation, MessageRange::Before(number), 200).await;
        assert_eq!((seqs(&page), page.has_more), (vec![1, 2, 3], false), "before {number}");
    }
    let page = page(store, conversation, MessageRange::Before(0), 200).await;
    assert_eq!((seqs(&page), page.has_more), (vec![], false));
}

pub async fn an_unknown_conversation_has_no_messages(store: &Store) {
    let alice = account(store, "alice").await;
    let empty = group(store, &[alice]).await;
    for conversation in [ConversationId::new(), empty] {
        for range in [MessageRange::Page(1), MessageRange::Before(9), MessageRange::After(0)] {
            let page = page(store, conversation, range, 10).await;
            assert_eq!((seqs(&page), page.has_more, page.last_seq), (vec![], false, 0));
        }
    }
}

pub async fn a_page_shows_who_has_read(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let carol = account(store, "carol").await;
    let conversation = group(store, &[alice, bob, carol]).await;
    let messages = send_many(store, conversation, alice, 3).await;
    // In the order they read it, whatever the order of their names or ids.
    for (reader, seconds) in [(carol, 1), (bob, 2)] {
        let outcome = store.mark_read(reader, &[messages[1].id], None, at(seconds)).await.unwrap();
        assert!(matches!(outcome, ReadOutcome::Marked(_)), "{outcome:?}");
    }
    store.mark_read(bob, &[messages[0].id], None, at(3)).await.unwrap();
    store.mark_read(carol, &[messages[0].id], None, at(4)).await.unwrap();

    let page = page(store, conversation, MessageRange::Page(1), 10).await;

    let reads: Vec<Vec<_>> = page
        .items
        .iter()
        .map(|item| item.reads.iter().map(|r| (r.user_id, r.username.as_str(), r.read_at)).collect())
        .collect();
    assert_eq!(reads[0], [(bob, "bob", at(3)), (carol, "carol", at(4))]);
    assert_eq!(reads[1], [(carol, "carol", at(1)), (bob, "bob", at(2))]);
    assert_eq!(reads[2], []);
}

fn span(conversation_id: ConversationId, first_seq: u64, last_seq: u64) -> MessageSpan {
    MessageSpan { conversation_id, first_seq, last_seq }
}

/// The messages of some spans, each by its conversation and number.
async fn places(store: &Store, spans: &[MessageSpan], max_bytes: usize) -> Vec<(ConversationId, u64)> {
    let messages = store.messages_in(spans, max_bytes).await.unwrap();
    messages.iter().map(|item| (item.message.conversation_id, item.message.seq)).collect()
}

pub async fn a_part_comes_with_how_its_reader_stands_and_who_is_still_there(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let (carol, dave) = (account(store, "carol").await, account(store, "dave").await);
    let conversation = group(store, &[alice, bob, carol, dave]).await;
    for (sender, text) in [(carol, "1"), (bob, "2"), (carol, "3"), (alice, "4"), (dave, "5")] {
        send(store, conversation, sender, text).await;
    }
    leave(store, conversation, carol).await;
    store.set_delivered(&[delivered(conversation, alice, 1, 3)]).await.unwrap();

    for (range, limit, senders) in [
        (MessageRange::After(1), 2, vec![bob]),
        (MessageRange::After(0), 10, vec![alice, bob, dave]),
        (MessageRange::Before(4), 2, vec![bob]),
        (MessageRange::Page(1), 2, vec![alice, dave]),
        (MessageRange::Page(3), 2, vec![]),
        (MessageRange::After(5), 10, vec![]),
    ] {
        let mut reading = reading(store, conversation, alice, range, limit).await.unwrap();
        assert_eq!(reading.page, page(store, conversation, range, limit).await, "{range:?}");
        assert_eq!(Some(reading.standing), store.standing(conversation, alice).await.unwrap());
        reading.present.sort();
        let mut senders = senders;
        senders.sort();
        assert_eq!(reading.present, senders, "{range:?}");
    }
    assert_eq!(reading(store, ConversationId::new(), alice, MessageRange::Page(1), 10).await, None);
}

pub async fn one_who_is_not_in_it_reads_nothing_unless_from_outside(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let (carol, stranger) = (account(store, "carol").await, UserId::new());
    let conversation = group(store, &[alice, bob]).await;
    send_many(store, conversation, alice, 3).await;
    leave(store, conversation, bob).await;

    for range in [MessageRange::Page(1), MessageRange::Before(3), MessageRange::After(0)] {
        for user_id in [bob, carol, stranger] {
            let nothing = reading(store, conversation, user_id, range, 2).await.unwrap();
            assert_eq!(Some(nothing.standing), store.standing(conversation, user_id).await.unwrap());
            assert_eq!((nothing.page.items, nothing.page.has_more), (vec![], false), "{range:?}");
            assert_eq!((nothing.page.last_seq, nothing.present), (3, vec![]));

            let outside = Reader { user_id, from_outside: true };
            let part =
                store.messages_for(outside, conversation, range, 2, usize::MAX).await.unwrap().unwrap();
            assert_eq!(part.page, page(store, conversation, range, 2).await);
            assert_eq!((part.standing, part.present), (nothing.standing, vec![alice]));
        }
    }
}

pub async fn all_that_a_reader_gets_is_of_one_moment(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice, bob]).await;
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for _ in 0..50 {
                let_others().await;
                send_many(&store, conversation, alice, 4).await;
                leave(&store, conversation, bob).await;
                let_others().await;
                add(&store, conversation, bob).await;
            }
        }
    });

    while !writing.is_finished() {
        let_others().await;
        let reading = reading(store, conversation, bob, MessageRange::Page(1), 10).await.unwrap();
        assert_eq!(reading.standing.last_seq, reading.page.last_seq);
        let newest = reading.page.items.last().map(|item| item.message.seq);
        let is_shown = newest == Some(reading.page.last_seq).filter(|seq| *seq > 0);
        assert!(is_shown || !reading.standing.is_participant, "{reading:?}");
        assert!(newest.is_none() || reading.standing.is_participant, "{reading:?}");
    }
    writing.await.unwrap();
}

pub async fn spans_bring_exactly_their_messages_in_their_order(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let (first, second) = (group(store, &[alice, bob]).await, group(store, &[alice]).await);
    let empty = group(store, &[alice]).await;
    let messages = send_many(store, first, alice, 12).await;
    send_many(store, second, alice, 3).await;
    store.mark_read(bob, &[messages[4].id], None, at(1)).await.unwrap();

    let spans = [span(second, 2, 3), span(empty, 1, 9), span(first, 4, 6), span(second, 1, 1)];
    let expected = [(second, 2), (second, 3), (first, 4), (first, 5), (first, 6), (second, 1)];
    assert_eq!(places(store, &spans, usize::MAX).await, expected);
    let found = store.messages_in(&[span(first, 4, 6)], usize::MAX).await.unwrap();
    let whole = page(store, first, MessageRange::After(0), 200).await;
    assert_eq!(found, whole.items[3..6], "each as in a page");
    assert_eq!(found[1].reads.len(), 1);

    for (odd, expected) in [
        (span(first, 0, 2), vec![1, 2]),
        (span(first, 11, u64::MAX), vec![11, 12]),
        (span(first, 13, 20), vec![]),
        (span(first, u64::MAX, u64::MAX), vec![]),
        (span(first, 5, 4), vec![]),
        (span(ConversationId::new(), 1, 5), vec![]),
    ] {
        let found: Vec<_> = places(store, &[odd], usize::MAX).await.into_iter().map(|(_, seq)| seq).collect();
        assert_eq!(found, expected, "{odd:?}");
    }
    assert_eq!(places(store, &[], usize::MAX).await, []);
}

pub async fn spans_end_early_but_bring_something(store: &Store) {
    let alice = account(store, "alice").await;
    let (first, second) = (group(store, &[alice]).await, group(store, &[alice]).await);
    for conversation in [first, second] {
        for text in ["a".repeat(100), "b".repeat(100)] {
            send(store, conversation, alice, &text).await;
        }
    }
    let all = [(first, 1), (first, 2), (second, 1), (second, 2)];
    for (max_bytes, expected) in [(0, 1), (99, 1), (199, 1), (200, 2), (399, 3), (400, 4)] {
        let found = places(store, &[span(first, 1, 2), span(second, 1, 2)], max_bytes).await;
        assert_eq!(found, all[..expected], "{max_bytes}");
    }
    // Where nothing came before it, the first of a later span is the one that always fits.
    let found = places(store, &[span(first, 9, 9), span(second, 1, 2)], 0).await;
    assert_eq!(found, [(second, 1)]);
}

pub async fn a_walk_sees_each_message_once_while_others_write(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    send_many(store, conversation, alice, 100).await;
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for _ in 0..40 {
                let_others().await;
                send_many(&store, conversation, alice, 5).await;
            }
        }
    });

    // Backwards from what was the newest; forwards until the writer has ended and there is no more.
    let (mut backwards, mut before) = (Vec::new(), 101);
    let mut forwards = Vec::new();
    loop {
        let_others().await;
        let has_ended = writing.is_finished();
        if before > 1 {
            let older = page(store, conversation, MessageRange::Before(before), 9).await;
            assert_eq!(older.has_more, seqs(&older)[0] > 1);
            backwards.extend(seqs(&older).into_iter().rev());
            before = seqs(&older)[0];
        }
        let newer =
            page(store, conversation, MessageRange::After(forwards.last().copied().unwrap_or(0)), 7).await;
        assert!(seqs(&newer).iter().all(|seq| *seq <= newer.last_seq));
        assert_eq!(newer.has_more, seqs(&newer).last().is_some_and(|last| *last < newer.last_seq));
        forwards.extend(seqs(&newer));
        if has_ended && before == 1 && !newer.has_more {
            break;
        }
    }
    writing.await.unwrap();

    assert_eq!(backwards, (1..=100).rev().collect::<Vec<_>>());
    assert_eq!(forwards, (1..=300).collect::<Vec<_>>());
}

pub async fn the_bytes_of_a_text_are_counted_not_its_letters(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    for _ in 0..4 {
        send(store, conversation, alice, "🦀ä").await;
    }

    for (max_bytes, count) in [(5, 1), (6, 1), (11, 1), (12, 2), (17, 2), (18, 3), (24, 4)] {
        let page = store.messages(conversation, MessageRange::After(0), 10, max_bytes).await.unwrap();
        assert_eq!((page.items.len(), page.has_more), (count, count < 4), "{max_bytes} bytes");
    }
}
