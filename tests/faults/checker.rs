//! Compares what clients were told with what is stored.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::history::{Record, Send, Told};

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) conversation: String,
    pub(crate) seq: u64,
    pub(crate) id: String,
    pub(crate) sender: String,
    pub(crate) client_message_id: String,
    pub(crate) content: String,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Violation {
    /// It was acknowledged, and is not there.
    Lost { client_message_id: String },
    /// A client was told of it by an event, and it is not there as it was told.
    Unheard { conversation: String, seq: u64 },
    /// One id, several rows.
    Doubled { client_message_id: String },
    /// It is there, but not as it was acknowledged.
    Changed { acknowledged: Told, stored: Row },
    /// The numbers of a conversation are not 1, 2, 3 and so on.
    Miscounted { conversation: String, expected: u64, found: u64 },
    /// A row that nobody sent, or that was refused.
    Unsent { row: Row },
    /// Somebody sent one after the other, and they are stored the other way round.
    Reordered { first: String, then: String },
}

/// All promises that are broken.
pub(crate) fn check(history: &[Record], rows: &[Row]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut by_client_id: HashMap<&str, Vec<&Row>> = HashMap::new();
    for row in rows {
        by_client_id.entry(&row.client_message_id).or_default().push(row);
    }
    for (client_message_id, rows) in &by_client_id {
        if rows.len() > 1 {
            violations.push(Violation::Doubled { client_message_id: (*client_message_id).to_owned() });
        }
    }
    check_what_was_told(history, rows, &by_client_id, &mut violations);
    check_numbers(rows, &mut violations);
    check_origin(history, rows, &mut violations);
    check_order(history, &by_client_id, &mut violations);
    violations
}

fn check_what_was_told(
    history: &[Record],
    rows: &[Row],
    by_client_id: &HashMap<&str, Vec<&Row>>,
    violations: &mut Vec<Violation>,
) {
    let by_seq: HashMap<_, _> = rows.iter().map(|row| ((row.conversation.as_str(), row.seq), row)).collect();
    for record in history {
        match record {
            Record::Ok(send, told) => match by_client_id.get(send.client_message_id.as_str()) {
                None => {
                    let client_message_id = send.client_message_id.clone();
                    violations.push(Violation::Lost { client_message_id });
                }
                Some(rows) if rows.iter().any(|row| is_as_told(row, told) && is_of(row, send)) => {}
                Some(rows) => {
                    let (acknowledged, stored) = (told.clone(), rows[0].clone());
                    violations.push(Violation::Changed { acknowledged, stored });
                }
            },
            Record::Heard(told) => {
                let row = by_seq.get(&(told.conversation.as_str(), told.seq));
                if !row.is_some_and(|row| is_as_told(row, told)) {
                    let (conversation, seq) = (told.conversation.clone(), told.seq);
                    violations.push(Violation::Unheard { conversation, seq });
                }
            }
            Record::Invoke(..) | Record::Fail(..) | Record::Unknown(..) => {}
        }
    }
}

fn is_as_told(row: &Row, told: &Told) -> bool {
    (&row.conversation, row.seq, &row.id, &row.content)
        == (&told.conversation, told.seq, &told.id, &told.content)
}

fn is_of(row: &Row, send: &Send) -> bool {
    (&row.sender, &row.conversation, &row.content) == (&send.sender, &send.conversation, &send.content)
}

fn check_numbers(rows: &[Row], violations: &mut Vec<Violation>) {
    let mut numbers: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for row in rows {
        numbers.entry(&row.conversation).or_default().push(row.seq);
    }
    for (conversation, mut numbers) in numbers {
        numbers.sort_unstable();
        for (expected, found) in (1..).zip(numbers) {
            if expected != found {
                let conversation = conversation.to_owned();
                violations.push(Violation::Miscounted { conversation, expected, found });
                break;
            }
        }
    }
}

fn check_origin(history: &[Record], rows: &[Row], violations: &mut Vec<Violation>) {
    let mut sent: HashMap<&str, &Send> = HashMap::new();
    let mut refused = HashSet::new();
    for record in history {
        match record {
            Record::Invoke(send, _) => {
                sent.insert(&send.client_message_id, send);
            }
            Record::Fail(send, _) => {
                refused.insert(send.client_message_id.as_str());
            }
            _ => {}
        }
    }
    for row in rows {
        let client_id = row.client_message_id.as_str();
        if refused.contains(client_id) || !sent.get(client_id).is_some_and(|send| is_of(row, send)) {
            violations.push(Violation::Unsent { row: row.clone() });
        }
    }
}

/// Everybody here waits for one answer before they send the next.
fn check_order(history: &[Record], by_client_id: &HashMap<&str, Vec<&Row>>, violations: &mut Vec<Violation>) {
    let mut last: HashMap<(&str, &str), &Row> = HashMap::new();
    let mut begun = HashSet::new();
    for record in history {
        let Record::Invoke(send, _) = record else { continue };
        if !begun.insert(&send.client_message_id) {
            continue;
        }
        let Some(row) = by_client_id.get(send.client_message_id.as_str()).map(|rows| rows[0]) else {
            continue;
        };
        if let Some(before) = last.insert((&send.sender, &send.conversation), row)
            && before.seq >= row.seq
        {
            let (first, then) = (before.client_message_id.clone(), row.client_message_id.clone());
            violations.push(Violation::Reordered { first, then });
        }
    }
}

/// Every stored message of a database, which a server may have open.
pub(crate) fn rows(database: &Path) -> Vec<Row> {
    let db = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    db.busy_timeout(priyo_tests::PATIENCE).unwrap();
    let verdict: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    let mut statement = db
        .prepare(
            "SELECT hex(conversation_id), seq, hex(id), hex(sender_id), coalesce(client_message_id, ''), content
             FROM messages ORDER BY conversation_id, seq",
        )
        .unwrap();
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Row {
            conversation: uuid(&row.get::<_, String>(0)?),
            seq: u64::try_from(row.get::<_, i64>(1)?).unwrap(),
            id: uuid(&row.get::<_, String>(2)?),
            sender: uuid(&row.get::<_, String>(3)?),
            client_message_id: row.get(4)?,
            content: row.get(5)?,
        })
    };
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

/// The text form of an id that is given in hex.
fn uuid(hex: &str) -> String {
    let hex = hex.to_lowercase();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
