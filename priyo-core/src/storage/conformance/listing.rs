//! What [`ConversationStore`](crate::storage::ConversationStore) promises of lists.

use super::Store;
use super::fixtures::{
    accepted, account, add, append, at, conversation_at, delivered, group, leave, list, page, send,
    send_many, text,
};
use crate::model::{
    ConversationCursor, ConversationId, ConversationKind, ConversationStatus, ConversationSummary,
    MessageRange, UserId,
};
use crate::storage::NewMessageRow;

fn ids(items: &[ConversationSummary]) -> Vec<ConversationId> {
    items.iter().map(|item| item.conversation.id).collect()
}

/// Goes through the whole list in pages of `limit`.
async fn walk(store: &Store, of: Option<UserId>, reader: UserId, limit: u32) -> Vec<ConversationId> {
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.conversations(of, reader, after, limit).await.unwrap();
        assert!(page.items.len() == limit as usize || !page.has_more);
        assert!(after.is_none() || !page.items.is_empty(), "there was to be more");
        seen.extend(ids(&page.items));
        let Some(last) = page.items.last().filter(|_| page.has_more) else { return seen };
        after =
            Some(ConversationCursor { updated_at: last.conversation.updated_at, id: last.conversation.id });
    }
}

async fn send_at(store: &Store, conversation: ConversationId, sender: UserId, seconds: i64) {
    accepted(append(store, NewMessageRow { at: at(seconds), ..text(conversation, sender, "x") }).await);
}

pub async fn the_list_is_newest_activity_first(store: &Store) {
    let alice = account(store, "alice").await;
    let first = conversation_at(store, ConversationKind::Group, &[alice], 1).await;
    let second = conversation_at(store, ConversationKind::Group, &[alice], 2).await;
    let third = conversation_at(store, ConversationKind::Group, &[alice], 3).await;
    assert_eq!(ids(&list(store, Some(alice), alice).await), [third, second, first]);

    send_at(store, first, alice, 9).await;

    let items = list(store, Some(alice), alice).await;
    assert_eq!(ids(&items), [first, third, second]);
    assert_eq!(items[0].conversation.updated_at, at(9));
}

pub async fn the_list_shows_what_the_reader_needs(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let admin = account(store, "admin").await;
    let empty = conversation_at(store, ConversationKind::Group, &[alice, bob], 1).await;
    let full = conversation_at(store, ConversationKind::Group, &[bob, alice], 2).await;
    send_many(store, full, bob, 4).await;
    let last = send(store, full, alice, "last").await;

    for (reader, unread) in [(alice, 4), (bob, 1), (admin, 0)] {
        let items = list(store, Some(alice), reader).await;

        assert_eq!(ids(&items), [full, empty]);
        assert_eq!((items[0].unread, items[1].unread), (unread, 0));
        assert_eq!(items[0].last_message.as_ref(), Some(&last));
        assert_eq!(items[1].last_message, None);
        for item in items {
            assert_eq!(store.conversation(item.conversation.id).await.unwrap(), Some(item.conversation));
        }
    }
}

pub async fn the_list_is_walked_without_gap_or_repeat(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let mut own = Vec::new();
    // Many share a moment: what decides between them must be the same on every page.
    for i in 0..23 {
        own.push(conversation_at(store, ConversationKind::Group, &[alice, bob], i / 6).await);
        conversation_at(store, ConversationKind::Group, &[bob], i / 6).await;
    }

    for limit in [1, 5, 23, 200] {
        let mut seen = walk(store, Some(alice), alice, limit).await;
        assert_eq!(seen, ids(&list(store, Some(alice), alice).await));
        seen.sort();
        own.sort();
        assert_eq!(seen, own);
    }
}

pub async fn the_list_of_all_is_walked_without_gap_or_repeat(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let admin = account(store, "admin").await;
    for i in 0..11 {
        conversation_at(store, ConversationKind::Group, &[alice], i / 3).await;
        conversation_at(store, ConversationKind::Group, &[bob], i / 3).await;
    }

    let all = ids(&list(store, None, admin).await);

    assert_eq!(all.len(), 22);
    for limit in [1, 7, 22] {
        assert_eq!(walk(store, None, admin, limit).await, all);
    }
}

pub async fn a_clock_that_is_set_back_does_not_sink_a_conversation(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let first = conversation_at(store, ConversationKind::Group, &[alice], 100).await;
    let second = conversation_at(store, ConversationKind::Group, &[alice], 200).await;

    send_at(store, second, alice, 50).await;
    store.set_status(second, ConversationStatus::Closed, at(50)).await.unwrap();
    store.add_participants(second, &[bob], 10, at(50)).await.unwrap();
    store.remove_participant(second, bob, at(50)).await.unwrap();

    let items = list(store, Some(alice), alice).await;
    assert_eq!(ids(&items), [second, first]);
    assert_eq!(items[0].conversation.updated_at, at(200));
    // The message itself keeps the time that the clock showed.
    assert_eq!(items[0].last_message.as_ref().unwrap().created_at, at(50));
}

pub async fn what_was_left_is_not_in_the_list(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice, bob]).await;

    leave(store, conversation, alice).await;
    assert_eq!(list(store, Some(alice), alice).await, []);
    assert_eq!(ids(&list(store, Some(bob), bob).await), [conversation]);

    add(store, conversation, alice).await;
    assert_eq!(ids(&list(store, Some(alice), alice).await), [conversation]);
    assert_eq!(list(store, Some(UserId::new()), alice).await, []);
}

pub async fn what_is_not_known_is_walked_by_id_without_gap_or_repeat(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let mut own = Vec::new();
    for i in 0..23 {
        own.push(conversation_at(store, ConversationKind::Group, &[alice, bob], 23 - i).await);
        conversation_at(store, ConversationKind::Group, &[bob], i).await;
    }
    own.sort();
    leave(store, own.remove(3), alice).await;
    send_many(store, own[0], bob, 2).await;
    let known: Vec<_> = own.iter().copied().step_by(5).collect();
    let unknown: Vec<_> = own.iter().copied().filter(|id| !known.contains(id)).collect();

    for limit in [1, 4, u32::try_from(unknown.len()).unwrap(), 200] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.conversations_except(alice, &known, after, limit).await.unwrap();
            assert!(page.items.len() == limit as usize || !page.has_more);
            seen.extend(ids(&page.items));
            after = seen.last().copied();
            // Others that something happens in meanwhile stay where they are.
            send_at(store, unknown[0], bob, 100).await;
            if !page.has_more {
                break;
            }
        }
        assert_eq!(seen, unknown, "{limit} at a time");
    }
    let all = store.conversations_except(alice, &[], None, 200).await.unwrap();
    let mut listed = list(store, Some(alice), alice).await;
    listed.sort_by_key(|item| item.conversation.id);
    assert_eq!(all.items, listed, "each as in the list");
    let nothing = store.conversations_except(alice, &own, None, 10).await.unwrap();
    assert_eq!((nothing.items, nothing.has_more), (vec![], false));
    let nothing = store.conversations_except(UserId::new(), &known, None, 10).await.unwrap();
    assert_eq!((nothing.items, nothing.has_more), (vec![], false));
}

pub async fn all_that_happens_brings_a_conversation_to_the_top_but_reading(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let quiet = conversation_at(store, ConversationKind::Group, &[alice], 100).await;
    let busy = conversation_at(store, ConversationKind::Group, &[alice], 0).await;
    let top = async || {
        let items = list(store, Some(alice), alice).await;
        (items[0].conversation.id, items[0].conversation.updated_at)
    };
    assert_eq!(top().await, (quiet, at(100)));

    store.add_participants(busy, &[bob], 10, at(101)).await.unwrap();
    assert_eq!(top().await, (busy, at(101)));
    store.remove_participant(busy, bob, at(102)).await.unwrap();
    assert_eq!(top().await, (busy, at(102)));
    store.set_status(busy, ConversationStatus::Closed, at(103)).await.unwrap();
    assert_eq!(top().await, (busy, at(103)));
    store.set_status(busy, ConversationStatus::Open, at(104)).await.unwrap();
    assert_eq!(top().await, (busy, at(104)));
    send_at(store, busy, alice, 105).await;
    assert_eq!(top().await, (busy, at(105)));

    send_at(store, quiet, alice, 106).await;
    let message = page(store, busy, MessageRange::Page(1), 1).await.items.remove(0).message;
    store.mark_read(alice, &[message.id], None, at(200)).await.unwrap();
    store.set_delivered(&[delivered(busy, alice, 1, 1)]).await.unwrap();
    store.set_last_seen(&[alice], at(200)).await.unwrap();
    assert_eq!(top().await, (quiet, at(106)));
}

pub async fn the_list_goes_on_behind_a_place_where_nothing_is_any_more(store: &Store) {
    let alice = account(store, "alice").await;
    let mut made = Vec::new();
    for seconds in 0..6 {
        made.push(conversation_at(store, ConversationKind::Group, &[alice], seconds).await);
    }
    let cursor = |place: usize, seconds| ConversationCursor { updated_at: at(seconds), id: made[place] };
    let behind = async |after| {
        let page = store.conversations(Some(alice), alice, Some(after), 2).await.unwrap();
        (ids(&page.items), page.has_more)
    };

    // The one it was at has moved to the top since, or was left.
    send_at(store, made[3], alice, 100).await;
    assert_eq!(behind(cursor(3, 3)).await, (vec![made[2], made[1]], true));
    leave(store, made[2], alice).await;
    assert_eq!(behind(cursor(2, 2)).await, (vec![made[1], made[0]], false));
    assert_eq!(behind(cursor(0, 0)).await, (vec![], false));
    let nowhere = ConversationCursor { updated_at: at(5), id: ConversationId::from_uuid(uuid::Uuid::nil()) };
    assert_eq!(behind(nowhere).await, (vec![made[4], made[1]], true));
}
