//! A database that an older version made, brought up to date.

use priyo_core::model::{FileId, Timestamp, UserId};
use priyo_tests::Database;
use serde_json::json;

/// The first schema of each storage.
const FIRST: [&str; 2] = [
    include_str!("../../priyo-core/migrations/sqlite/0001_init.sql"),
    include_str!("../../priyo-core/migrations/postgres/0001_init.sql"),
];

const ALICE: &str = "01a21458d93276d6894b96fe843778ea";
const CHAT: &str = "01a21458d9a6794494844042f40c5412";
const SENT: &str = "01a21458d9a6794494844042f40c5413";
const UNSENT: &str = "01a21458d9a6794494844042f40c5414";

/// Two files of one user, of which a message carries the first, as the first version stored them.
async fn older(database: &Database) {
    let is_postgres = database.url().starts_with("postgres");
    let id = |hex: &str| if is_postgres { format!("'{hex}'") } else { format!("X'{hex}'") };
    let (alice, chat, sent, unsent) = (id(ALICE), id(CHAT), id(SENT), id(UNSENT));
    let mut sql = String::new();
    if is_postgres {
        let (_, name) =
            database.url().split_once("schema=").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        sql += &format!("CREATE SCHEMA {};", name.split('&').next().unwrap());
    }
    sql += FIRST[usize::from(is_postgres)];
    sql += &format!(
        "CREATE TABLE priyo_migrations (number bigint NOT NULL PRIMARY KEY, name text NOT NULL);
         INSERT INTO priyo_migrations VALUES (1, 'init');
         INSERT INTO users (id, username, role, created_at_ms) VALUES ({alice}, 'alice', 'CUSTOMER', 0);
         INSERT INTO conversations (id, kind, status, created_by, last_seq, created_at_ms, updated_at_ms)
             VALUES ({chat}, 'GROUP', 'OPEN', {alice}, 1, 0, 0);
         INSERT INTO participants (conversation_id, user_id, place) VALUES ({chat}, {alice}, 0);
         INSERT INTO files (id, uploader_id, stored_name, original_name, content_type, size, created_at_ms)
             VALUES ({sent}, {alice}, 'sent.png', 'a', 'image/png', 40, 0),
                 ({unsent}, {alice}, 'unsent.png', 'b', 'image/png', 2, 0);
         INSERT INTO messages (conversation_id, seq, id, sender_id, content, kind, file_id, created_at_ms)
             VALUES ({chat}, 1, {chat}, {alice}, '', 'IMAGE', {sent}, 0);"
    );
    if !is_postgres {
        sql = sql.replace(
            "bigint NOT NULL PRIMARY KEY, name text NOT NULL)",
            "INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL) STRICT",
        );
    }
    database.execute(&sql).await;
}

fn uuid(hex: &str) -> uuid::Uuid {
    uuid::Uuid::parse_str(hex).unwrap()
}

#[tokio::test]
async fn files_of_an_older_version_count_and_are_removed_as_new_ones_are() {
    let database = Database::new();
    older(&database).await;
    let storage = database.storage().await;

    storage.migrate().await.unwrap();

    let steps = database.query("SELECT number, name FROM priyo_migrations ORDER BY number").await;
    assert_eq!(steps[..2], [json!({"number": 1, "name": "init"}), json!({"number": 2, "name": "files"})]);
    let alice = UserId::from_uuid(uuid(ALICE));
    assert_eq!(storage.stored_bytes(alice).await.unwrap(), 42);
    let (day, ever) = (Timestamp::from_millis(86_400_000), Timestamp::from_millis(i64::MAX));
    assert_eq!(storage.loosen_unsent_files(day, 10, day).await.unwrap(), 1);
    assert_eq!(storage.stored_bytes(alice).await.unwrap(), 40);
    let loose = storage.loose_files(ever, 10).await.unwrap();
    assert_eq!(loose.iter().map(|file| &*file.stored_name).collect::<Vec<_>>(), ["unsent.png"]);
    let sent = storage.file(FileId::from_uuid(uuid(SENT))).await.unwrap().unwrap();
    assert_eq!((sent.size, sent.dimensions), (40, None));
}
