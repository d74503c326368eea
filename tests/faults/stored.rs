//! What is stored, read behind the server's back: the one place that knows the tables.

use std::collections::HashSet;

use priyo_tests::Database;
use serde_json::Value;

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) conversation: String,
    pub(crate) seq: u64,
    pub(crate) id: String,
    pub(crate) sender: String,
    /// The text where the sender gave no name, which only controls do.
    pub(crate) client_message_id: String,
    pub(crate) content: String,
}

/// Everything that the checker compares with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    /// By conversation, in order.
    pub(crate) messages: Vec<Row>,
    /// Which user is or was in which conversation: conversation, user.
    pub(crate) participants: HashSet<(String, String)>,
    /// Who has read what: conversation, number, user.
    pub(crate) reads: HashSet<(String, u64, String)>,
}

impl Stored {
    /// What a database holds, which a server may have open and which must be sound.
    pub(crate) async fn read(database: &Database) -> Self {
        database.assert_sound().await;
        let messages = database
            .query(
                "SELECT conversation_id, seq, id, sender_id, content,
                    coalesce(client_message_id, content) AS client_message_id
                 FROM messages ORDER BY conversation_id, seq",
            )
            .await;
        let participants = database.query("SELECT conversation_id, user_id FROM participants").await;
        let reads = database.query("SELECT conversation_id, seq, user_id FROM message_reads").await;
        let row = |found: &Value| Row {
            conversation: text(found, "conversation_id"),
            seq: number(found, "seq"),
            id: text(found, "id"),
            sender: text(found, "sender_id"),
            client_message_id: text(found, "client_message_id"),
            content: text(found, "content"),
        };
        let read =
            |found: &Value| (text(found, "conversation_id"), number(found, "seq"), text(found, "user_id"));
        let participant = |found: &Value| (text(found, "conversation_id"), text(found, "user_id"));
        Self {
            messages: messages.iter().map(row).collect(),
            participants: participants.iter().map(participant).collect(),
            reads: reads.iter().map(read).collect(),
        }
    }
}

fn text(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap_or_else(|| panic!("no {name}: {row}")).to_owned()
}

fn number(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or_else(|| panic!("no {name}: {row}"))
}

/// Puts so many messages of one sender into an empty conversation, as if they had been sent.
pub(crate) async fn fill(database: &Database, conversation: &str, sender: &str, count: u64) {
    const AT_MS: u64 = 1_795_400_000_000;
    let is_sqlite = database.url().starts_with("sqlite:");
    let id = |id: &str| if is_sqlite { format!("x'{}'", id.replace('-', "")) } else { format!("'{id}'") };
    let (conversation, sender) = (id(conversation), id(sender));
    let (numbers, new_id) = if is_sqlite {
        let numbers = "WITH RECURSIVE numbers (seq) AS
            (SELECT 1 UNION ALL SELECT seq + 1 FROM numbers WHERE seq <";
        (format!("{numbers} {count})"), "randomblob(16)")
    } else {
        (format!("WITH numbers AS (SELECT generate_series(1, {count}) AS seq)"), "gen_random_uuid()")
    };
    let text =
        "'message ' || seq || ': as long as a text of somebody who has something to say is, more or less'";
    database
        .execute(&format!(
            "{numbers}
             INSERT INTO messages (conversation_id, seq, id, sender_id, content, kind, created_at_ms)
                SELECT {conversation}, seq, {new_id}, {sender}, {text}, 'TEXT', {AT_MS} + seq FROM numbers;
             UPDATE conversations SET last_seq = {count} WHERE id = {conversation};
             INSERT INTO covered (conversation_id, user_id, first_seq, last_seq)
                VALUES ({conversation}, {sender}, 1, {count});
             UPDATE participants SET covered_len = {count}
                WHERE conversation_id = {conversation} AND user_id = {sender}"
        ))
        .await;
}
