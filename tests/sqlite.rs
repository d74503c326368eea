//! What only SQLite can get wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use priyo_core::model::{
    ConversationId, ConversationKind, MessageId, MessageKind, MessageRange, Role, Timestamp, User, UserId,
};
use priyo_core::storage::sqlite::{OpenError, SqliteStorage};
use priyo_core::storage::{
    Appended, ConversationRow, ConversationStore, Created, MessageStore, NewMessageRow, Storage,
    StorageError, UserStore,
};
use tempfile::TempDir;

const AT: Timestamp = Timestamp::from_millis(1_750_000_000_000);

fn user(name: &str) -> User {
    User {
        id: UserId::new(),
        external_id: None,
        email: Some(format!("{name}@example.com")),
        username: name.to_owned(),
        avatar: None,
        role: Role::Customer,
        disabled: false,
        created_at: AT,
        last_seen: None,
    }
}

/// A conversation of one.
async fn conversation(storage: &SqliteStorage) -> (UserId, ConversationId) {
    let alice = user("alice");
    assert!(storage.create_account(&alice, "hash").await.unwrap());
    let row = ConversationRow {
        id: ConversationId::new(),
        kind: ConversationKind::Group,
        name: None,
        created_by: alice.id,
        participants: vec![alice.id],
        at: AT,
    };
    assert!(matches!(storage.create_conversation(&row).await.unwrap(), Created::Created(_)));
    (alice.id, row.id)
}

fn message(sender: UserId, conversation_id: ConversationId, content: String) -> NewMessageRow {
    let (id, kind) = (MessageId::new(), MessageKind::Text);
    NewMessageRow {
        id,
        conversation_id,
        sender,
        client_message_id: None,
        content,
        kind,
        attachment: None,
        at: AT,
    }
}

fn refused(opened: Result<SqliteStorage, OpenError>) -> String {
    opened.expect_err("it must be refused").to_string()
}

#[tokio::test]
async fn a_second_server_is_refused_until_the_first_is_gone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("priyo.db");
    let first = SqliteStorage::open(&path).unwrap();
    std::os::unix::fs::symlink(&path, folder.path().join("link.db")).unwrap();

    for name in ["priyo.db", "link.db"] {
        let text = refused(SqliteStorage::open(folder.path().join(name)));
        assert!(text.contains("priyo.db is in use by another server"), "{text}");
    }

    first.close().await;
    let second = SqliteStorage::open(&path).unwrap();
    assert!(SqliteStorage::open(&path).is_err());
    drop(second);
    SqliteStorage::open(&path).unwrap();
}

#[tokio::test]
async fn a_command_works_beside_a_server() {
    let (server, folder) = priyo_tests::sqlite().await;
    let server = Arc::new(server);
    let (alice, conversation) = conversation(&server).await;
    let busy = tokio::spawn({
        let server = Arc::clone(&server);
        async move {
            for _ in 0..50 {
                server.append_messages(vec![message(alice, conversation, "x".into())]).await.unwrap();
            }
        }
    });

    let command = SqliteStorage::open_beside_server(folder.path().join("priyo.db")).unwrap();
    command.migrate().await.unwrap();
    for i in 0..10 {
        assert!(command.create_account(&user(&format!("admin{i}")), "hash").await.unwrap());
    }
    command.close().await;

    busy.await.unwrap();
    assert!(server.account("admin9@example.com").await.unwrap().is_some());
    let page = server.messages(conversation, MessageRange::Page(1), 1, 1).await.unwrap();
    assert_eq!(page.last_seq, 50);
}

#[tokio::test]
async fn a_new_database_is_made_up_by_many_at_once() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("priyo.db");

    let tasks: Vec<_> = (0..6)
        .map(|i| {
            let path = path.clone();
            tokio::spawn(async move {
                let storage = SqliteStorage::open_beside_server(path).unwrap();
                storage.migrate().await.unwrap();
                assert!(storage.create_account(&user(&format!("user{i}")), "hash").await.unwrap());
                storage.close().await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }

    let storage = SqliteStorage::open(&path).unwrap();
    for i in 0..6 {
        assert!(storage.account(&format!("user{i}@example.com")).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    let (storage, folder) = priyo_tests::sqlite().await;
    storage.close().await;
    let path = folder.path().join("priyo.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute("INSERT INTO priyo_migrations (number, name) VALUES (1000, 'time_travel')", []).unwrap();
    drop(db);

    let storage = SqliteStorage::open(&path).unwrap();
    let outcome = storage.migrate().await;

    let Err(StorageError::Backend(cause)) = outcome else { panic!("{outcome:?}") };
    assert!(cause.to_string().contains("schema version 1000"), "{cause}");
    assert!(cause.to_string().contains("use a newer program"), "{cause}");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_not_touched() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("letter.txt");
    for content in [b"Dear Sir or Madam".as_slice(), b"x"] {
        fs::write(&path, content).unwrap();

        let text = refused(SqliteStorage::open(&path));

        assert!(text.contains("letter.txt is not an SQLite database"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), content);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was put beside it");
    }
}

#[test]
fn a_database_of_another_program_is_refused_and_not_touched() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("other.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE invoices (x)").unwrap();
    let before = fs::read(&path).unwrap();

    for opened in [SqliteStorage::open(&path), SqliteStorage::open_beside_server(&path)] {
        let text = refused(opened);
        assert!(text.contains("other.db is a database of another program"), "{text}");
        assert!(text.contains("invoices"), "{text}");
    }

    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_place_where_no_file_can_be_is_refused() {
    let folder = TempDir::new().unwrap();

    for path in [folder.path().to_owned(), folder.path().join("no/such/folder/priyo.db")] {
        let text = refused(SqliteStorage::open(&path));
        assert!(text.contains(&format!("cannot open {}", path.display())), "{text}");
    }
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let (storage, folder) = priyo_tests::sqlite().await;
    conversation(&storage).await;

    let mut names = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        names.push(entry.file_name().into_string().unwrap());
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
    }

    names.sort();
    assert_eq!(names, ["priyo.db", "priyo.db-shm", "priyo.db-wal", "priyo.db.lock"]);
}

#[tokio::test]
async fn closing_puts_everything_into_one_file() {
    let (storage, folder) = priyo_tests::sqlite().await;
    let (alice, _) = conversation(&storage).await;
    storage.close().await;
    drop(storage);

    assert!(!folder.path().join("priyo.db-wal").exists());
    let copy = folder.path().join("copy.db");
    fs::copy(folder.path().join("priyo.db"), &copy).unwrap();
    let storage = SqliteStorage::open(copy).unwrap();
    storage.migrate().await.unwrap();
    assert!(storage.user(alice).await.unwrap().is_some());
}

/// A file system of a few megabytes, unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn new(size: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        Self::mount(folder.path(), &format!("size={size}")).then(|| Self(folder))
    }

    fn grow(&self, size: &str) {
        assert!(Self::mount(self.0.path(), &format!("remount,size={size}")));
    }

    fn mount(path: &Path, options: &str) -> bool {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path).output();
        mount.is_ok_and(|output| output.status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[tokio::test]
async fn a_full_disk_is_survived_without_a_restart() {
    let Some(disk) = SmallDisk::new("4m") else {
        println!("SKIPPED: mounting a small disk needs root");
        return;
    };
    let storage = SqliteStorage::open(disk.0.path().join("priyo.db")).unwrap();
    storage.migrate().await.unwrap();
    let (alice, conversation) = conversation(&storage).await;
    let send = |i: usize| {
        let batch =
            (0..4).map(|_| message(alice, conversation, format!("{i}: {}", "x".repeat(4_000)))).collect();
        storage.append_messages(batch)
    };

    let mut accepted = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "the disk never became full");
        match send(accepted).await {
            Ok(outcomes) => {
                assert!(outcomes.iter().all(|outcome| matches!(outcome, Appended::New(_))), "{outcomes:?}");
                accepted += 4;
            }
            Err(StorageError::Unavailable(_)) => break,
            Err(error) => panic!("{error:?}"),
        }
    }

    // What was accepted is there, all of it, and nothing else.
    assert!(accepted > 100);
    for _ in 0..3 {
        let refused = send(0).await;
        assert!(matches!(refused, Err(StorageError::Unavailable(_))), "{refused:?}");
        let page = storage.messages(conversation, MessageRange::After(0), 10_000, usize::MAX).await.unwrap();
        assert_eq!((page.items.len(), page.last_seq), (accepted, accepted as u64));
    }
    disk.grow("64m");
    let outcomes = send(accepted).await.unwrap();
    assert!(
        matches!(&outcomes[0], Appended::New(message) if message.seq == accepted as u64 + 1),
        "{outcomes:?}"
    );
    storage.close().await;
}
