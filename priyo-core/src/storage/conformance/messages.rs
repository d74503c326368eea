//! What [`messages`](crate::storage::MessageStore::messages) promises.

use super::{Store, account, at, group, page, send, send_many, seqs};
use crate::model::{ConversationId, MessageRange};
use crate::storage::ReadOutcome;

pub async fn texts_come_back_as_they_were(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    let long = "ä".repeat(10_000);
    let texts = [
        "🦀👩‍👩‍👧‍👦🏳️‍🌈",
        "שלום עולם مرحبا \u{202e}abc\u{202c}",
        "e\u{301} \u{e9} Z\u{351}\u{32b}\u{343}",
        "line\r\nline\nline\r\ttab",
        "'; DROP TABLE messages; -- \" ` \\ $1 ?1 %s {} &lt;<b>",
        "  spaces around  ",
        "\u{feff}\u{200b}\u{1}\u{7f}\u{10ffff}",
        &long,
    ];

    for text in texts {
        assert_eq!(send(store, conversation, alice, text).await.content, text);
    }

    let page = page(store, conversation, MessageRange::After(0), 100).await;
    let stored: Vec<_> = page.items.iter().map(|item| item.message.content.as_str()).collect();
    assert_eq!(stored, texts);
}

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
                send_many(&store, conversation, alice, 4).await;
            }
        }
    });

    while !writing.is_finished() {
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
