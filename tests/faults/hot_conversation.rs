//! Many who talk at once in one conversation, through both doors, and some who only listen.

use std::sync::Arc;

use priyo_tests::{PATIENCE, Person, ServerProcess, Socket};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::chance::{Evidence, is_long};
use crate::checker::{Violation, check};
use crate::history::{Door, History, Record, Send};
use crate::recorded::{attempt, client};
use crate::stored::{Row, Stored};

const SENDERS: usize = 64;
const LISTENERS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn everyone_who_listens_hears_every_message_once_and_in_order() {
    let sends: usize = if is_long() { 20_000 } else { 4_000 };
    let evidence = Evidence::new();
    let database = evidence.database();
    let server = ServerProcess::start(&database).await;
    let owner = server.customer("owner").await;
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        senders.push(server.customer(&format!("sender-{number}")).await);
    }
    let conversation = owner.starts_group_with(&senders.iter().collect::<Vec<_>>()).await;
    let history = Arc::new(History::new(&evidence.history()));

    let each = sends.div_ceil(SENDERS);
    let all = each * SENDERS;
    let mut listening = JoinSet::new();
    let ready = Arc::new(Barrier::new(SENDERS + LISTENERS + 1));
    for person in senders.iter().rev().take(LISTENERS) {
        let mut client = client(server.addr, person, &history);
        client.follow(&conversation);
        let (conversation, ready) = (conversation.clone(), ready.clone());
        listening.spawn(async move {
            assert!(client.connect().await);
            ready.wait().await;
            client.until(PATIENCE * 9, |client| client.view(&conversation).len() == all).await;
            client
        });
    }
    let mut sending = JoinSet::new();
    for (number, person) in senders.iter().enumerate() {
        let door = if number.is_multiple_of(2) { Door::Rest } else { Door::Socket };
        let socket = server.socket(person).await;
        let sender =
            Sender { person: person.clone(), socket, door, conversation: conversation.clone(), each };
        sending.spawn(sender.work(history.clone(), ready.clone()));
    }
    ready.wait().await;
    let begin = Instant::now();
    sending.join_all().await;
    let took = begin.elapsed();
    for client in listening.join_all().await {
        let counted = client.counted();
        assert_eq!((counted.connections, counted.holes, counted.repeats), (1, 0, 0), "{client:?}");
        let (receiver, conversation) = (client.person().id.clone(), conversation.clone());
        let messages = client.view(&conversation).into();
        history.add(Record::View { receiver, conversation, door: Door::Socket, messages });
    }

    let stored = Stored::read(&database).await;
    assert_eq!(stored.messages.len(), all);
    let violations = check(&history.records(), &stored);
    assert!(violations.is_empty(), "{violations:#?}");
    println!("{all} messages of {SENDERS} senders in {took:?}");
}

/// One who sends one message after the other, none of which may fail.
struct Sender {
    person: Person,
    socket: Socket,
    door: Door,
    conversation: String,
    each: usize,
}

impl Sender {
    async fn work(mut self, history: Arc<History>, ready: Arc<Barrier>) {
        ready.wait().await;
        for number in 0..self.each {
            let name = format!("{} {number}", self.person.name);
            let send = Arc::new(Send {
                sender: self.person.id.clone(),
                conversation: self.conversation.clone(),
                client_message_id: name.clone(),
                content: name,
            });
            let is_ok = attempt(&self.person, &mut self.socket, &history, &send, self.door).await;
            assert!(is_ok, "{:?}", history.records().last());
        }
    }
}

/// The control: the next number is looked up, and then taken.
#[test]
fn numbers_that_are_looked_up_before_they_are_taken_are_taken_twice() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("naive.db");
    let open = || {
        let db = Connection::open(&path).unwrap();
        db.busy_timeout(PATIENCE).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF").unwrap();
        db
    };
    open().execute_batch("CREATE TABLE messages (seq INTEGER, sender INTEGER, number INTEGER)").unwrap();
    std::thread::scope(|scope| {
        for sender in 0..8 {
            let open = &open;
            scope.spawn(move || {
                let db = open();
                for number in 0..100 {
                    let last = "SELECT coalesce(max(seq), 0) FROM messages";
                    let last: i64 = db.query_row(last, [], |row| row.get(0)).unwrap();
                    let row = (last + 1, sender, number);
                    db.execute("INSERT INTO messages VALUES (?1, ?2, ?3)", row).unwrap();
                }
            });
        }
    });
    let db = open();
    let mut rows = db.prepare("SELECT seq, sender, number FROM messages ORDER BY seq").unwrap();
    let row = |row: &rusqlite::Row<'_>| {
        let name = format!("{}-{}", row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
        Ok(Row {
            conversation: "hot".to_owned(),
            seq: row.get::<_, u32>(0)?.into(),
            id: name.clone(),
            sender: row.get::<_, i64>(1)?.to_string(),
            client_message_id: name.clone(),
            content: name,
        })
    };
    let messages = rows.query_map([], row).unwrap().map(Result::unwrap).collect();
    let violations = check(&[], &Stored { messages, ..Stored::default() });
    assert!(violations.iter().any(|one| matches!(one, Violation::Miscounted { .. })), "{violations:?}");
}
