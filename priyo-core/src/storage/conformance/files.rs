//! What [`FileRecordStore`](crate::storage::FileRecordStore) promises.

use super::Store;
use super::fixtures::{
    account, add, append, assert_outcome, at, at_once, group, leave, page, send_file, text, upload, with_file,
};
use crate::model::{FileId, FileRecord, MessageRange, Timestamp, UserId};
use crate::storage::{Appended, LooseFile};

pub async fn a_file_is_found_by_its_id_and_its_stored_name(store: &Store) {
    let alice = account(store, "alice").await;

    let file = upload(store, alice, "ünïcode 🦀.png").await;

    assert_eq!(store.file(file.id).await.unwrap(), Some(file.clone()));
    assert_eq!(store.file_named(&file.stored_name).await.unwrap(), Some(file));
    assert_eq!(store.file(FileId::new()).await.unwrap(), None);
    assert_eq!(store.file_named("ünïcode 🦀.png").await.unwrap(), None);
}

pub async fn two_files_may_have_one_original_name(store: &Store) {
    let alice = account(store, "alice").await;

    let (first, second) = (upload(store, alice, "a.png").await, upload(store, alice, "a.png").await);

    assert_eq!(store.file(first.id).await.unwrap(), Some(first));
    assert_eq!(store.file(second.id).await.unwrap(), Some(second));
}

pub async fn a_stored_name_is_given_once(store: &Store) {
    let alice = account(store, "alice").await;
    let mut file = upload(store, alice, "a.png").await;
    let first = file.id;
    file.id = FileId::new();

    assert!(store.create_file(&file, u64::MAX).await.is_err());

    assert_eq!(store.file_named(&file.stored_name).await.unwrap().map(|file| file.id), Some(first));
}

pub async fn a_file_is_attached_for_those_who_are_in_the_conversation_now(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let (carol, file) = (account(store, "carol").await, upload(store, alice, "a.png").await);
    let conversation = group(store, &[alice, bob]).await;
    assert!(!store.is_attached(file.id, None).await.unwrap());
    assert!(!store.is_attached(file.id, Some(alice)).await.unwrap());

    send_file(store, conversation, alice, &file).await;

    assert!(store.is_attached(file.id, None).await.unwrap());
    assert!(store.is_attached(file.id, Some(bob)).await.unwrap());
    assert!(!store.is_attached(file.id, Some(carol)).await.unwrap());
    assert!(!store.is_attached(FileId::new(), None).await.unwrap());

    leave(store, conversation, bob).await;
    assert!(!store.is_attached(file.id, Some(bob)).await.unwrap());
    assert!(store.is_attached(file.id, None).await.unwrap());

    // Whoever is in it reads all of it.
    add(store, conversation, carol).await;
    assert!(store.is_attached(file.id, Some(carol)).await.unwrap());
}

pub async fn a_file_in_two_conversations_stays_attached_when_one_is_left(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let (first, second) = (group(store, &[alice, bob]).await, group(store, &[alice, bob]).await);
    let file = upload(store, alice, "a.png").await;
    send_file(store, first, alice, &file).await;
    send_file(store, second, alice, &file).await;

    leave(store, first, bob).await;

    assert!(store.is_attached(file.id, Some(bob)).await.unwrap());
}

pub async fn a_message_shows_the_file_that_it_carries(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    let mut file = upload(store, alice, "a.png").await;
    let sent = send_file(store, conversation, alice, &file).await;
    assert_eq!(sent.attachment, Some(file.attachment()));

    // What is shown is what is stored of the file, not what the caller says of it.
    let stored = file.attachment();
    file.original_name = "liar.png".into();
    let sent = send_file(store, conversation, alice, &file).await;
    assert_eq!(sent.attachment, Some(stored.clone()));

    let page = store.conversations(None, alice, None, 1).await.unwrap();
    assert_eq!(page.items[0].last_message.as_ref().and_then(|m| m.attachment.clone()), Some(stored));
}

fn file_of(uploader: UserId, size: u64, seconds: i64) -> FileRecord {
    let id = FileId::new();
    FileRecord {
        id,
        uploader,
        stored_name: format!("{id}.png"),
        original_name: "a.png".into(),
        content_type: "image/png".into(),
        size,
        dimensions: None,
        created_at: at(seconds),
    }
}

fn loose(stored_name: &str, upload_id: Option<&str>, since: Timestamp) -> LooseFile {
    LooseFile { stored_name: stored_name.into(), upload_id: upload_id.map(Into::into), since }
}

/// Every loose name, those first that have been so for the longest.
async fn all_loose(store: &Store) -> Vec<LooseFile> {
    store.loose_files(Timestamp::from_millis(i64::MAX), u32::MAX).await.unwrap()
}

pub async fn the_files_of_a_user_are_as_many_bytes_as_they_may_be_and_no_more(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    assert_eq!(store.stored_bytes(alice).await.unwrap(), 0);
    assert!(store.create_file(&file_of(alice, 60, 0), 100).await.unwrap());
    assert!(store.create_file(&file_of(alice, 40, 0), 100).await.unwrap());

    let too_much = file_of(alice, 1, 0);
    assert!(!store.create_file(&too_much, 100).await.unwrap());
    assert!(!store.create_file(&file_of(bob, 101, 0), 100).await.unwrap());

    assert_eq!(store.file(too_much.id).await.unwrap(), None);
    assert_eq!(store.stored_bytes(alice).await.unwrap(), 100);
    assert_eq!(store.stored_bytes(bob).await.unwrap(), 0);
    assert!(store.create_file(&file_of(alice, 0, 0), 100).await.unwrap());
    assert!(store.create_file(&file_of(bob, 100, 0), 100).await.unwrap());
    // A limit that is lower than what there is already takes nothing away.
    assert!(!store.create_file(&file_of(alice, 1, 0), 10).await.unwrap());
    assert_eq!(store.stored_bytes(alice).await.unwrap(), 100);
}

pub async fn of_many_files_at_once_no_more_than_fit_are_stored(store: &Store) {
    let alice = account(store, "alice").await;

    let outcomes = at_once(24, |_| {
        let store = store.clone();
        async move { store.create_file(&file_of(alice, 10, 0), 55).await.unwrap() }
    })
    .await;

    assert_eq!(outcomes.iter().filter(|stored| **stored).count(), 5);
    assert_eq!(store.stored_bytes(alice).await.unwrap(), 50);
}

pub async fn a_file_that_was_never_sent_is_taken_away_when_it_is_old(store: &Store) {
    let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
    let conversation = group(store, &[alice]).await;
    let (first, second) = (file_of(alice, 1, 0), file_of(bob, 2, 1));
    let (sent, young) = (file_of(alice, 4, 0), file_of(alice, 8, 2));
    for file in [&second, &first, &sent, &young] {
        assert!(store.create_file(file, u64::MAX).await.unwrap());
    }
    send_file(store, conversation, alice, &sent).await;

    // The oldest first, so many at a time.
    assert_eq!(store.loosen_unsent_files(at(2), 1, at(10)).await.unwrap(), 1);
    assert_eq!(store.file(first.id).await.unwrap(), None);
    assert_eq!(store.file(second.id).await.unwrap().as_ref(), Some(&second));
    assert_eq!(store.loosen_unsent_files(at(2), 10, at(11)).await.unwrap(), 1);
    assert_eq!(store.loosen_unsent_files(at(2), 10, at(12)).await.unwrap(), 0);

    assert_eq!(store.file_named(&second.stored_name).await.unwrap(), None);
    assert_eq!(store.file(sent.id).await.unwrap().as_ref(), Some(&sent));
    assert_eq!(store.file(young.id).await.unwrap().as_ref(), Some(&young));
    assert_eq!(store.stored_bytes(alice).await.unwrap(), 12);
    assert_eq!(store.stored_bytes(bob).await.unwrap(), 0);
    let names = [loose(&first.stored_name, None, at(10)), loose(&second.stored_name, None, at(11))];
    assert_eq!(all_loose(store).await, names);
    assert!(store.is_attached(sent.id, Some(alice)).await.unwrap());

    assert_eq!(store.loosen_unsent_files(at(3), 10, at(13)).await.unwrap(), 1);
    let gone = append(store, with_file(text(conversation, alice, ""), young.id)).await;
    assert_outcome!(gone, Appended::FileGone);
}

pub async fn a_file_is_sent_or_taken_away_and_never_both(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    let mut sent = 0;
    for round in 0..100 {
        let file = file_of(alice, 1, round);
        assert!(store.create_file(&file, u64::MAX).await.unwrap());

        let sending = append(store, with_file(text(conversation, alice, ""), file.id));
        let taking = store.loosen_unsent_files(at(round + 1), 10, at(round));
        let (appended, taken) = if round % 2 == 0 {
            futures_util::join!(sending, taking)
        } else {
            let (taken, appended) = futures_util::join!(taking, sending);
            (appended, taken)
        };

        let (is_sent, is_taken) = (matches!(appended, Appended::New(_)), taken.unwrap() == 1);
        assert!(is_sent != is_taken, "in round {round}: {appended:?}");
        assert_eq!(store.file(file.id).await.unwrap().is_some(), is_sent, "in round {round}");
        sent += usize::from(is_sent);
    }
    let page = page(store, conversation, MessageRange::After(0), 200).await;
    assert_eq!(page.items.iter().filter(|item| item.message.attachment.is_some()).count(), sent);
    assert_eq!((page.items.len(), all_loose(store).await.len()), (sent, 100 - sent));
    assert_eq!(store.stored_bytes(alice).await.unwrap(), sent as u64);
}

pub async fn a_loose_name_is_known_until_it_is_forgotten(store: &Store) {
    let alice = account(store, "alice").await;
    let (first, second) = (loose("b.png", None, at(1)), loose("a.png", Some("parts 🦀"), at(1)));
    let third = loose("c.png", None, at(0));
    for file in [&first, &second, &third] {
        store.note_loose_file(file).await.unwrap();
    }

    assert_eq!(all_loose(store).await, [third.clone(), second.clone(), first.clone()]);
    assert_eq!(store.loose_files(at(0), 10).await.unwrap(), std::slice::from_ref(&third));
    assert_eq!(store.loose_files(at(1), 2).await.unwrap(), [third, second]);
    // The last word counts.
    let again = loose("b.png", Some("more"), at(2));
    store.note_loose_file(&again).await.unwrap();
    store.forget_loose_files(&["a.png".into(), "x.png".into(), "c.png".into()]).await.unwrap();
    store.forget_loose_files(&[]).await.unwrap();
    assert_eq!(all_loose(store).await, std::slice::from_ref(&again));

    // A file that is refused leaves its name as it was; one that is made stands for it.
    let file = FileRecord { stored_name: "b.png".into(), ..file_of(alice, 2, 0) };
    assert!(!store.create_file(&file, 1).await.unwrap());
    assert_eq!(all_loose(store).await, [again]);
    assert!(store.create_file(&file, 2).await.unwrap());
    assert_eq!(all_loose(store).await, []);
}
