//! What a [`Storage`](crate::storage::Storage) promises of the values it is given: where databases differ most.

use std::time::Duration;

use uuid::Uuid;

use super::Store;
use super::fixtures::{
    accepted, account, append, at, audit_entry, group, list, named, new_session, new_user, page, row, send,
    text, upload,
};
use crate::model::{
    ConversationCursor, ConversationId, ConversationKind, FileId, FileRecord, MessageRange, Timestamp, User,
    UserId,
};
use crate::storage::{
    Appended, AuditEntry, ConversationRow, Created, NewMessageRow, RefreshToken, Rotation, StorageError,
};

/// Texts that something between here and the disk may take for something else.
fn odd_texts() -> Vec<String> {
    let controls = (1_u8..0x20).chain(0x7f..0xa0).map(char::from).collect();
    let texts = [
        "🦀👩‍👩‍👧‍👦🏳️‍🌈",
        "שלום עולם مرحبا \u{202e}abc\u{202c}",
        "e\u{301} \u{e9} Z\u{351}\u{32b}\u{343}",
        "line\r\nline\nline\r\ttab",
        "'; DROP TABLE messages; -- \" ` \\ \\\\ $1 $$ ?1 :a @a %s {} &lt;<b>",
        "\\0 \\u0000 \\x00 %00 &#0; \u{2400}",
        "  spaces around  ",
        " ",
        "\n",
        "NULL",
        "0",
        "1e3",
        "{\"a\":[1]}",
        "%_*?",
        "\u{feff}\u{200b}\u{fffd}\u{fffe}\u{ffff}\u{e000}\u{10ffff}",
    ];
    texts.into_iter().map(str::to_owned).chain([controls]).collect()
}

pub async fn texts_come_back_as_they_were(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    let texts: Vec<String> = odd_texts().into_iter().chain(["ä".repeat(10_000), String::new()]).collect();

    for text in &texts {
        assert_eq!(send(store, conversation, alice, text).await.content, *text);
    }

    let page = page(store, conversation, MessageRange::After(0), 100).await;
    let stored: Vec<_> = page.items.into_iter().map(|item| item.message.content).collect();
    assert_eq!(stored, texts);
}

pub async fn names_of_every_kind_come_back_as_they_were(store: &Store) {
    let alice = account(store, "alice").await;
    for (i, odd) in odd_texts().into_iter().enumerate() {
        let some = || Some(odd.clone());
        let new = User { email: some(), avatar: some(), ..new_user(&odd) };
        assert!(store.create_account(&new, &odd).await.unwrap(), "{odd:?}");
        assert_eq!(store.user(new.id).await.unwrap().as_ref(), Some(&new));
        assert_eq!(store.account(&odd).await.unwrap(), Some((new, odd.clone())));

        let host_user = User { external_id: some(), avatar: some(), ..new_user(&odd) };
        assert_eq!(store.upsert_host_user(&host_user).await.unwrap(), host_user);
        assert_eq!(store.host_user(&odd).await.unwrap().as_ref(), Some(&host_user));
        assert_eq!(store.upsert_host_user(&host_user).await.unwrap(), host_user);

        let new = ConversationRow { name: some(), ..row(ConversationKind::Group, &[alice, host_user.id], 0) };
        let created = store.create_conversation(&new).await.unwrap();
        assert!(matches!(&created, Created::Created(made) if made.name == new.name), "{created:?}");
        let made = store.conversation(new.id).await.unwrap().unwrap();
        assert_eq!((made.name, &made.participants[1].username), (some(), &odd));

        let (id, size) = (FileId::new(), i as u64);
        let (stored_name, original_name, content_type) = (odd.clone(), odd.clone(), odd.clone());
        let file = FileRecord {
            id,
            uploader: alice,
            stored_name,
            original_name,
            content_type,
            size,
            dimensions: None,
            created_at: at(0),
        };
        assert!(store.create_file(&file, u64::MAX).await.unwrap());
        assert_eq!(store.file(id).await.unwrap().as_ref(), Some(&file));
        assert_eq!(store.file_named(&odd).await.unwrap().as_ref(), Some(&file));

        let message = NewMessageRow { attachment: Some(file.attachment()), ..text(new.id, alice, "x") };
        let message = accepted(append(store, named(message, &odd)).await);
        assert_eq!((message.client_message_id, message.attachment), (some(), Some(file.attachment())));

        let entry = AuditEntry {
            subject: some(),
            detail: some(),
            address: some(),
            request_id: some(),
            ..audit_entry(Some(alice))
        };
        store.audit(&[entry]).await.unwrap();
    }
}

pub async fn an_empty_text_is_not_an_absent_one(store: &Store) {
    let empty = Some(String::new());
    let alice = User { external_id: empty.clone(), avatar: empty.clone(), ..new_user("alice") };
    assert_eq!(store.host_user("").await.unwrap(), None);
    store.upsert_host_user(&alice).await.unwrap();
    assert_eq!(store.host_user("").await.unwrap().as_ref(), Some(&alice));

    let new = ConversationRow { name: empty.clone(), ..row(ConversationKind::Group, &[alice.id], 0) };
    store.create_conversation(&new).await.unwrap();
    let made = store.conversation(new.id).await.unwrap().unwrap();
    assert_eq!((made.name, &made.participants[0].avatar), (empty.clone(), &empty));

    // An empty name for a message is a name: the same one is a repeat.
    let message = accepted(append(store, named(text(new.id, alice.id, ""), "")).await);
    assert_eq!(message.client_message_id, empty);
    assert_eq!(message.sender.avatar, empty);
    let repeat = append(store, named(text(new.id, alice.id, ""), "")).await;
    assert!(matches!(repeat, Appended::Duplicate(_)), "{repeat:?}");
    accepted(append(store, text(new.id, alice.id, "")).await);
}

pub async fn texts_are_equal_only_byte_for_byte(store: &Store) {
    let alice = account(store, "alice").await;
    let conversation = group(store, &[alice]).await;
    let alike = ["a", "a ", " a", "a\t", "a\n", "á", "a\u{301}", "a\u{200b}", "ａ", "a\\", "aa"];

    for text_of_many in alike {
        let user = User { email: Some(text_of_many.to_owned()), ..new_user(text_of_many) };
        assert!(store.create_account(&user, "hash").await.unwrap(), "{text_of_many:?}");
        let found = store.account(text_of_many).await.unwrap();
        assert_eq!(found.map(|(user, _)| user), Some(user));
    }
    // Where case is not said to be nothing, it is something.
    for text_of_many in alike.into_iter().chain(["A"]) {
        let user = User { external_id: Some(text_of_many.to_owned()), ..new_user("ann") };
        assert_eq!(store.upsert_host_user(&user).await.unwrap(), user, "{text_of_many:?}");
        assert_eq!(store.host_user(text_of_many).await.unwrap(), Some(user));

        accepted(append(store, named(text(conversation, alice, "x"), text_of_many)).await);

        let file = FileRecord { id: FileId::new(), stored_name: text_of_many.to_owned(), ..file_of(alice) };
        assert!(store.create_file(&file, u64::MAX).await.unwrap());
        assert_eq!(store.file_named(text_of_many).await.unwrap(), Some(file));
    }
    for other in ["AA", "Á"] {
        assert_eq!(store.host_user(other).await.unwrap(), None, "{other:?}");
        assert_eq!(store.file_named(other).await.unwrap(), None, "{other:?}");
    }
    for pattern in ["%", "_", "a%", "a*", "[a]", "", "b"] {
        assert_eq!(store.host_user(pattern).await.unwrap(), None, "{pattern:?}");
        assert_eq!(store.account(pattern).await.unwrap(), None, "{pattern:?}");
        assert_eq!(store.file_named(pattern).await.unwrap(), None, "{pattern:?}");
    }
}

fn file_of(uploader: UserId) -> FileRecord {
    FileRecord {
        id: FileId::new(),
        uploader,
        stored_name: "x.png".into(),
        original_name: "x.png".into(),
        content_type: "image/png".into(),
        size: 1,
        dimensions: None,
        created_at: at(0),
    }
}

pub async fn only_ascii_letters_have_no_case(store: &Store) {
    // To some rules of case these are the same as one another, or as an ASCII letter.
    for name in ["é", "É", "ß", "ss", "ẞ", "k", "\u{212a}", "s", "ſ", "i", "ı", "İ", "ς", "σ", "Σ"]
    {
        assert!(store.create_account(&new_user(name), "hash").await.unwrap(), "{name}");
    }
    assert!(store.create_account(&new_user("Ünal"), "hash").await.unwrap());
    assert!(!store.create_account(&new_user("ÜNAL"), "hash").await.unwrap());
    assert!(store.create_account(&new_user("üNAL"), "hash").await.unwrap());
    for taken in ["SS", "K", "S", "I"] {
        assert!(!store.create_account(&new_user(taken), "hash").await.unwrap(), "{taken}");
    }
}

pub async fn texts_may_be_as_long_as_the_engine_takes_them(store: &Store) {
    let wide = |chars| "🦀".repeat(chars);
    let email = format!("{}@example.com", "a".repeat(242));
    let (name, avatar) = (wide(100), format!("https://example.com/{}", "a".repeat(2_000)));
    let user = User { avatar: Some(avatar.clone()), email: Some(email.clone()), ..new_user(&name) };
    assert!(store.create_account(&user, &"h".repeat(500)).await.unwrap());
    assert_eq!(store.account(&email).await.unwrap(), Some((user.clone(), "h".repeat(500))));
    let host_user = User { external_id: Some("x".repeat(255)), avatar: Some(avatar), ..new_user(&name) };
    assert_eq!(store.upsert_host_user(&host_user).await.unwrap(), host_user);
    assert_eq!(store.host_user(&"x".repeat(255)).await.unwrap(), Some(host_user));

    let new = ConversationRow { name: Some(wide(100)), ..row(ConversationKind::Group, &[user.id], 0) };
    store.create_conversation(&new).await.unwrap();
    assert_eq!(store.conversation(new.id).await.unwrap().unwrap().name, new.name);
    let file = FileRecord { original_name: "n".repeat(255), ..file_of(user.id) };
    assert!(store.create_file(&file, u64::MAX).await.unwrap());
    assert_eq!(store.file(file.id).await.unwrap(), Some(file));

    // What is last decides as what is first.
    for end in ["1", "2"] {
        let client_message_id = format!("{}{end}", wide(127));
        let message = named(text(new.id, user.id, &wide(5_000)), &client_message_id);
        let sent = accepted(append(store, message.clone()).await);
        assert_eq!(
            (&sent.content, sent.client_message_id.as_ref()),
            (&wide(5_000), Some(&client_message_id))
        );
        let other = NewMessageRow { content: format!("{}x", wide(4_999)), ..message };
        assert!(matches!(append(store, other).await, Appended::ClientIdReused));
    }
}

pub async fn times_are_whole_milliseconds_before_1970_too(store: &Store) {
    /// The farthest that JavaScript can say.
    const FAR: i64 = 8_640_000_000_000_000;
    let moments = [-FAR, -86_400_001, -1_001, -1, 0, 1, 999, 1_750_000_000_123, FAR];
    let alice = account(store, "alice").await;
    let mut made = Vec::new();
    for (i, ms) in moments.into_iter().enumerate() {
        let time = Timestamp::from_millis(ms);
        let bob = User { created_at: time, last_seen: Some(time), ..new_user(&format!("bob{i}")) };
        assert!(store.create_account(&bob, "hash").await.unwrap());
        assert_eq!(store.user(bob.id).await.unwrap().as_ref(), Some(&bob));

        let new = ConversationRow { at: time, ..row(ConversationKind::Group, &[alice, bob.id], 0) };
        store.create_conversation(&new).await.unwrap();
        let now = store.conversation(new.id).await.unwrap().unwrap();
        assert_eq!((now.created_at, now.updated_at), (time, time));
        let sent = accepted(append(store, NewMessageRow { at: time, ..text(new.id, bob.id, "x") }).await);
        store.mark_read(alice, &[sent.id], None, time).await.unwrap();
        let page = page(store, new.id, MessageRange::Page(1), 1).await;
        assert_eq!((page.items[0].message.created_at, page.items[0].reads[0].read_at), (time, time));
        made.push(new.id);
    }

    made.reverse();
    let ids: Vec<_> = list(store, Some(alice), alice).await.iter().map(|item| item.conversation.id).collect();
    assert_eq!(ids, made);
    let zero = ConversationCursor { updated_at: Timestamp::from_millis(0), id: made[4] };
    let older = store.conversations(Some(alice), alice, Some(zero), 10).await.unwrap();
    assert_eq!(older.items.iter().map(|item| item.conversation.id).collect::<Vec<_>>(), made[5..]);
}

/// Uuids in the order of their bytes, which is not the order of signed numbers.
fn sorted_uuids() -> Vec<Uuid> {
    let bytes = [[0, 1], [0, 0x80], [1, 0], [0x7f, 0xff], [0x80, 0], [0xc0, 0], [0xff, 0xfe]];
    bytes
        .into_iter()
        .map(|[first, last]| {
            let mut uuid = [0x42; 16];
            (uuid[0], uuid[15]) = (first, last);
            Uuid::from_bytes(uuid)
        })
        .collect()
}

pub async fn ids_sort_by_their_bytes(store: &Store) {
    let mut users = Vec::new();
    // Made in another order than theirs.
    for (i, uuid) in sorted_uuids().into_iter().enumerate().rev() {
        let user = User { id: UserId::from_uuid(uuid), ..new_user(&format!("user{i}")) };
        assert!(store.create_account(&user, "hash").await.unwrap());
        users.push(user.id);
    }
    let mut messages = Vec::new();
    for uuid in sorted_uuids().into_iter().rev() {
        let id = ConversationId::from_uuid(uuid);
        let new = ConversationRow { id, ..row(ConversationKind::Group, &users, 0) };
        assert!(matches!(store.create_conversation(&new).await.unwrap(), Created::Created(_)));
        messages.push(send(store, id, users[0], "x").await);
    }
    let in_order: Vec<_> = sorted_uuids().into_iter().map(ConversationId::from_uuid).collect();

    // Of one moment the largest is first.
    let mut after = None;
    let mut seen = Vec::new();
    for _ in &in_order {
        let part = store.conversations(Some(users[0]), users[0], after, 1).await.unwrap();
        let last = &part.items[0].conversation;
        after = Some(ConversationCursor { updated_at: last.updated_at, id: last.id });
        seen.push(last.id);
    }
    assert_eq!(seen, in_order.iter().copied().rev().collect::<Vec<_>>());

    let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
    for user in &users[1..] {
        let outcome = store.mark_read(*user, &ids, None, at(0)).await.unwrap();
        let crate::storage::ReadOutcome::Marked(marks) = outcome else { panic!("{outcome:?}") };
        assert_eq!(marks.iter().map(|mark| mark.conversation_id).collect::<Vec<_>>(), in_order);
    }
    let page = page(store, in_order[0], MessageRange::Page(1), 1).await;
    let readers: Vec<_> = page.items[0].reads.iter().map(|read| read.user_id).collect();
    assert_eq!(readers, users[1..].iter().copied().rev().collect::<Vec<_>>());
}

macro_rules! assert_taken {
    ($call:expr) => {
        let refused = $call.await;
        assert!(matches!(refused, Err(StorageError::Backend(_))), "{}: {refused:?}", stringify!($call));
    };
}

pub async fn an_id_is_given_once(store: &Store) {
    let alice = new_user("alice");
    assert!(store.create_account(&alice, "hash").await.unwrap());
    assert_taken!(store.create_account(&User { id: alice.id, ..new_user("bob") }, "hash"));
    let host_user = User { id: alice.id, external_id: Some("1".into()), ..new_user("bob") };
    assert_taken!(store.upsert_host_user(&host_user));
    assert_eq!(store.user(alice.id).await.unwrap(), Some(alice.clone()));
    assert_eq!(store.host_user("1").await.unwrap(), None);

    let new = row(ConversationKind::Group, &[alice.id], 0);
    store.create_conversation(&new).await.unwrap();
    let message = send(store, new.id, alice.id, "x").await;
    let before = store.conversation(new.id).await.unwrap();
    assert_taken!(store.create_conversation(&ConversationRow { name: Some("x".into()), ..new.clone() }));
    assert_taken!(
        store.append_messages(vec![NewMessageRow { id: message.id, ..text(new.id, alice.id, "y") }])
    );
    assert_eq!(store.conversation(new.id).await.unwrap(), before);

    let file = upload(store, alice.id, "a.png").await;
    let used = store.stored_bytes(alice.id).await.unwrap();
    let renamed = FileRecord { stored_name: "b.png".into(), ..file.clone() };
    assert_taken!(store.create_file(&renamed, u64::MAX));
    assert_taken!(store.create_file(&FileRecord { id: FileId::new(), ..file.clone() }, u64::MAX));
    assert_eq!(store.stored_bytes(alice.id).await.unwrap(), used);
    assert_eq!(store.file_named("b.png").await.unwrap(), None);
    assert_eq!(store.file_named(&file.stored_name).await.unwrap(), Some(file));
}

pub async fn a_token_and_a_session_are_given_once(store: &Store) {
    let alice = account(store, "alice").await;
    let token = |name| RefreshToken { hash: [name; 32], created_at: at(0), expires_at: at(1_000) };
    let first = new_session(alice, 1_000);
    store.create_session(&first, &token(1), None).await.unwrap();
    store.create_session(&new_session(alice, 1_000), &token(2), None).await.unwrap();

    assert_taken!(store.create_session(&first, &token(3), None));
    assert_eq!(store.session_of_token(&[3; 32]).await.unwrap(), None);
    let other = new_session(alice, 1_000);
    assert_taken!(store.create_session(&other, &token(2), None));
    assert!(store.session(other.id).await.unwrap().is_none());
    assert_taken!(store.rotate_refresh_token(&[1; 32], &token(2), at(1), Duration::ZERO));
    // That was no use of it: it is good for the first time, however late.
    let rotation = store.rotate_refresh_token(&[1; 32], &token(4), at(500), Duration::ZERO).await.unwrap();
    assert!(matches!(rotation, Rotation::Rotated(_)), "{rotation:?}");
}
