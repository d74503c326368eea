//! Many who talk at once in one conversation, and some who only listen.

use std::collections::HashMap;
use std::sync::Arc;

use priyo_tests::{PATIENCE, Person, ServerProcess, Socket};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

const SENDERS: usize = 64;
const LISTENERS: usize = 10;
const SENDS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn everyone_who_listens_hears_every_message_once_and_in_order() {
    let dir = TempDir::new().unwrap();
    let server = ServerProcess::start(dir.path()).await;
    let owner = server.customer("owner").await;
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        senders.push(server.customer(&format!("sender-{number}")).await);
    }
    let conversation = owner.starts_group_with(&senders.iter().collect::<Vec<_>>()).await;
    let mut listeners = JoinSet::new();
    for number in 0..LISTENERS {
        let mut socket = server.socket(&senders[number * 6]).await;
        socket.must("conversation:join", conversation.as_str()).await;
        listeners.spawn(listen(socket));
    }

    let mut sending = JoinSet::new();
    let ready = Arc::new(Barrier::new(SENDERS));
    for (number, person) in senders.iter().enumerate() {
        let socket = if number % 2 == 0 { Some(server.socket(person).await) } else { None };
        sending.spawn(send(person.clone(), socket, conversation.clone(), ready.clone()));
    }
    let acknowledged: HashMap<String, Vec<u64>> = sending.join_all().await.into_iter().collect();

    let history = owner.history(&conversation).await;
    assert_eq!(fault(history.iter()), None);
    assert_eq!(history.len(), SENDERS * SENDS);
    for person in &senders {
        let own = history.iter().filter(|message| message["sender"]["id"] == person.id);
        let stored: Vec<u64> = own.map(|message| message["seq"].as_u64().unwrap()).collect();
        assert_eq!(acknowledged[&person.id], stored, "in the order that {} sent them", person.name);
    }
    for heard in listeners.join_all().await {
        assert_eq!(fault(heard.iter()), None);
        assert_eq!(heard.len(), history.len());
        for (event, message) in heard.iter().zip(&history) {
            for field in ["id", "seq", "content"] {
                assert_eq!(event[field], message[field]);
            }
        }
    }
}

/// The control: the check sees a hole, a repeat and a swap.
#[test]
fn a_hole_a_repeat_and_a_swap_are_faults() {
    let messages = |numbers: &[u64]| numbers.iter().map(|seq| json!({ "seq": seq })).collect::<Vec<_>>();
    assert_eq!(fault(messages(&[1, 2, 3]).iter()), None);
    assert_eq!(fault(messages(&[1, 3]).iter()), Some((2, 3)));
    assert_eq!(fault(messages(&[1, 2, 2, 3]).iter()), Some((3, 2)));
    assert_eq!(fault(messages(&[2, 1]).iter()), Some((1, 2)));
}

/// The first number that is not what it must be when they go 1, 2, 3 and so on: what it must be, and what it is.
fn fault<'a>(messages: impl Iterator<Item = &'a Value>) -> Option<(u64, u64)> {
    let numbers = messages.map(|message| message["seq"].as_u64().unwrap());
    (1..).zip(numbers).find(|(expected, found)| expected != found)
}

/// Sends one message after the other; gives who did and their numbers.
async fn send(
    person: Person,
    mut socket: Option<Socket>,
    conversation: String,
    ready: Arc<Barrier>,
) -> (String, Vec<u64>) {
    let mut numbers = Vec::new();
    ready.wait().await;
    for number in 0..SENDS {
        let message = json!({"conversationId": conversation, "content": format!("{} {number}", person.name)});
        let stored = match &mut socket {
            Some(socket) => socket.must("message:send", message).await["message"].take(),
            None => person.post("/api/messages", message).await.expect(201).json()["data"].take(),
        };
        numbers.push(stored["seq"].as_u64().unwrap());
    }
    (person.id, numbers)
}

/// Everything that comes, up to as many messages as are sent and a little longer.
async fn listen(mut socket: Socket) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE * 3;
    let mut heard = Vec::new();
    while heard.len() < SENDERS * SENDS {
        heard.push(socket.next_by("message:new", deadline).await);
    }
    heard.extend(socket.heard_of("message:new").await);
    heard
}
