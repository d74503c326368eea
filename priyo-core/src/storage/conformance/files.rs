//! What [`FileRecordStore`](crate::storage::FileRecordStore) promises.

use super::Store;
use super::fixtures::{account, add, group, leave, send_file, upload};
use crate::model::FileId;

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

    assert!(store.create_file(&file).await.is_err());

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
