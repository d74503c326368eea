//! What [`ConversationStore`](crate::storage::ConversationStore) promises of lists.

use super::{
    Store, accepted, account, add, append, at, conversation_at, group, leave, send, send_many, text,
};
use crate::model::{ConversationCursor, ConversationId, ConversationKind, ConversationSummary, UserId};
use crate::storage::NewMessageRow;

async fn list(store: &Store, of: Option<UserId>, reader: UserId) -> Vec<ConversationSummary> {
    let page = store.conversations(of, reader, None, 200).await.unwrap();
    assert!(!page.has_more);
    page.items
}

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
    let alice = account(store, "alice").await;
    let first = conversation_at(store, ConversationKind::Group, &[alice], 100).await;
    let second = conversation_at(store, ConversationKind::Group, &[alice], 200).await;

    send_at(store, second, alice, 50).await;
    store.set_status(second, crate::model::ConversationStatus::Closed, at(50)).await.unwrap();

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
