//! What a [`Storage`](crate::storage::Storage) promises of large numbers and of many at once. Databases have limits
//! to what one statement takes; a storage has none.

use std::time::Duration;

use super::Store;
use super::fixtures::{
    account, at, at_once, delivered, group, named, new_session, new_user, page, row, send_many, seqs, text,
    unread,
};
use crate::model::{
    ConversationCursor, ConversationKind, Dimensions, FileId, FileRecord, MessageRange, Timestamp, User,
    UserId,
};
use crate::storage::{
    Addition, Appended, Created, NewMessageRow, NewSession, ReadOutcome, RefreshToken, Rotation,
};

/// With a few values for each it is more than any database takes for one statement.
const MANY: usize = 8_000;

pub async fn a_large_batch_is_stored(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversations = [group(store, &[alice, bob]).await, group(store, &[bob, alice]).await];
    let row = |i: usize| {
        let row = text(conversations[i % 2], if i.is_multiple_of(3) { alice } else { bob }, &i.to_string());
        // Now and then one that comes again, or comes from nowhere.
        match i % 100 {
            17 | 23 => named(NewMessageRow { content: "again".into(), sender: alice, ..row }, "c1"),
            42 => NewMessageRow { sender: UserId::new(), ..row },
            _ => row,
        }
    };

    let outcomes = store.append_messages((0..MANY).map(row).collect()).await.unwrap();

    assert_eq!(outcomes.len(), MANY);
    let count = |is: fn(&Appended) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
    assert_eq!(count(|outcome| matches!(outcome, Appended::Duplicate(_))), MANY / 50 - 1);
    assert_eq!(count(|outcome| matches!(outcome, Appended::NotParticipant)), MANY / 100);
    let mut stored = 0;
    for conversation in conversations {
        let page = page(store, conversation, MessageRange::After(0), u32::MAX).await;
        assert_eq!(seqs(&page), (1..=page.last_seq).collect::<Vec<_>>());
        let own = page.items.iter().filter(|item| item.message.sender.id == alice).count() as u64;
        assert_eq!(unread(store, conversation, alice).await, page.last_seq - own);
        stored += page.items.len();
    }
    assert_eq!(stored, count(|outcome| matches!(outcome, Appended::New(_))));
}

pub async fn many_messages_are_read_and_delivered_at_once(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice, bob]).await;
    let messages = send_many(store, conversation, alice, MANY).await;
    let ids: Vec<_> = messages.iter().rev().map(|message| message.id).collect();

    let outcome = store.mark_read(bob, &ids, Some(conversation), at(1)).await.unwrap();

    let ReadOutcome::Marked(marks) = outcome else { panic!("{outcome:?}") };
    assert_eq!(marks.len(), MANY);
    assert!(marks.iter().map(|mark| mark.seq).eq(1..=MANY as u64));
    assert_eq!(unread(store, conversation, bob).await, 0);

    let marks: Vec<_> = (1..=MANY as u64).map(|seq| delivered(conversation, bob, seq, seq)).collect();
    store.set_delivered(&marks).await.unwrap();
    assert_eq!(store.standing(conversation, bob).await.unwrap().unwrap().delivered_seq, MANY as u64);
}

pub async fn a_large_group_is_made_and_grows(store: &Store) {
    let made = at_once(20, |i| {
        let store = store.clone();
        async move {
            let mut users = Vec::new();
            for n in 0..60 {
                let external_id = Some(format!("{i}-{n}"));
                let user = User { external_id, email: None, ..new_user("someone") };
                users.push(store.upsert_host_user(&user).await.unwrap().id);
            }
            users
        }
    })
    .await;
    let users: Vec<UserId> = made.into_iter().flatten().collect();
    let (first, second) = users.split_at(600);
    let new = row(ConversationKind::Group, first, 0);

    let created = store.create_conversation(&new).await.unwrap();

    let Created::Created(made) = created else { panic!("{created:?}") };
    assert_eq!(made.participant_ids(), first);
    let twice: Vec<UserId> = second.iter().chain(second).copied().collect();
    let outcome = store.add_participants(new.id, &twice, users.len(), at(1)).await.unwrap();
    let Addition::Added { conversation, added } = outcome else { panic!("{outcome:?}") };
    assert_eq!(added, second);
    assert_eq!(conversation.participant_ids(), users);
    let contacts = store.contacts_of(&users).await.unwrap();
    assert!(contacts.iter().all(|contacts| contacts.len() == users.len() - 1));
}

pub async fn numbers_may_be_as_large_as_they_come(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice]).await;
    send_many(store, conversation, alice, 3).await;

    for (range, expected) in [
        (MessageRange::Page(1), vec![1, 2, 3]),
        (MessageRange::Page(2), vec![]),
        (MessageRange::Page(u64::MAX), vec![]),
        (MessageRange::Page(1 << 32), vec![]),
        (MessageRange::Page((1 << 32) + 1), vec![]),
        (MessageRange::Before(u64::MAX), vec![1, 2, 3]),
        (MessageRange::After(0), vec![1, 2, 3]),
        (MessageRange::After(u64::MAX), vec![]),
    ] {
        for limit in [u32::MAX, i32::MAX as u32 + 1, i32::MAX as u32] {
            let page = store.messages(conversation, range, limit, usize::MAX).await.unwrap();
            assert_eq!((seqs(&page), page.has_more), (expected.clone(), false), "{range:?} {limit}");
        }
    }

    for (ms, expected) in [(i64::MAX, 1), (i64::MIN, 0)] {
        let after = ConversationCursor { updated_at: Timestamp::from_millis(ms), id: conversation };
        let part = store.conversations(None, alice, Some(after), u32::MAX).await.unwrap();
        assert_eq!((part.items.len(), part.has_more), (expected, false));
    }

    let outcome = store.add_participants(conversation, &[bob], usize::MAX, at(0)).await.unwrap();
    assert!(matches!(outcome, Addition::Added { .. }), "{outcome:?}");

    let file = FileRecord {
        id: FileId::new(),
        uploader: alice,
        stored_name: "a.png".into(),
        original_name: "a.png".into(),
        content_type: "image/png".into(),
        size: i64::MAX as u64,
        dimensions: Some(Dimensions { width: u32::MAX, height: u32::MAX }),
        created_at: at(0),
    };
    assert!(store.create_file(&file, u64::MAX).await.unwrap());
    assert_eq!(store.file(file.id).await.unwrap(), Some(file.clone()));
    assert_eq!(store.stored_bytes(alice).await.unwrap(), file.size);
    let one_more = FileRecord { id: FileId::new(), stored_name: "b.png".into(), size: 1, ..file };
    assert!(!store.create_file(&one_more, u64::MAX).await.unwrap());
}

pub async fn what_lasts_for_ever_does_not_end(store: &Store) {
    let alice = account(store, "alice").await;
    let never = Timestamp::from_millis(i64::MAX);
    let session = NewSession { expires_at: never, ..new_session(alice, 0) };
    let token = |name| RefreshToken { hash: [name; 32], created_at: at(0), expires_at: never };
    store.create_session(&session, &token(1), None).await.unwrap();

    for (next, now) in [(2, at(0)), (3, at(1_000_000_000)), (4, Timestamp::from_millis(i64::MAX - 1))] {
        let rotation = store.rotate_refresh_token(&[1; 32], &token(next), now, Duration::MAX).await.unwrap();
        assert!(matches!(rotation, Rotation::Rotated(_)), "{rotation:?}");
    }
    assert_eq!(store.session(session.id).await.unwrap().unwrap().expires_at, never);
}
