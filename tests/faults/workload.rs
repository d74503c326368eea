//! Eight people who talk in four conversations until the server is gone, and write down what they see.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use priyo_tests::{PATIENCE, Person, ServerProcess, Socket, Wire};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::chance::Dice;
use crate::checker::{Row, Violation, check, rows};
use crate::history::{Door, History, Record, Send, Told};

const SENDERS: usize = 8;
const CONVERSATIONS: usize = 4;

/// Where a server can be reached.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) addr: SocketAddr,
    pub(crate) wire: Wire,
}

impl Place {
    pub(crate) fn at(addr: SocketAddr) -> Self {
        Self { addr, wire: Wire::http(&format!("http://{addr}")) }
    }

    pub(crate) fn of(server: &ServerProcess) -> Self {
        Self { addr: server.addr, wire: server.wire.clone() }
    }
}

/// The people and the conversations that all of them are in.
#[derive(Debug)]
pub(crate) struct Scene {
    people: Vec<Person>,
    conversations: Vec<String>,
}

impl Scene {
    /// Sets the scene in a database in `dir`, which nobody has open afterwards.
    pub(crate) async fn set(dir: &Path) -> Self {
        let server = ServerProcess::start(dir).await;
        let mut people = Vec::new();
        for number in 0..SENDERS {
            people.push(server.customer(&format!("sender-{number}")).await);
        }
        let others: Vec<&Person> = people[1..].iter().collect();
        let mut conversations = Vec::new();
        for _ in 0..CONVERSATIONS {
            conversations.push(people[0].starts_group_with(&others).await);
        }
        let ended = server.terminate(PATIENCE).await.expect("the server stops in time");
        assert!(ended.success());
        Self { people, conversations }
    }

    /// Everybody connects and begins to send; when this returns all of them do.
    pub(crate) async fn begin(
        &self,
        at: &Place,
        history: &Arc<History>,
        label: &str,
        dice: &mut Dice,
    ) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let ready = Arc::new(Barrier::new(SENDERS + 1));
        let mut tasks = JoinSet::new();
        for (number, person) in self.people.iter().enumerate() {
            let sender = Sender {
                person: Person { wire: at.wire.clone(), ..person.clone() },
                conversations: self.conversations.clone(),
                label: format!("{label}-{number}"),
                dice: Dice::new(dice.next()),
                history: history.clone(),
                stop: stop.clone(),
            };
            tasks.spawn(sender.work(at.addr, ready.clone()));
        }
        ready.wait().await;
        Load { tasks, stop }
    }

    /// Sends once more, through the other door, what nobody knows the end of.
    pub(crate) async fn retry_unknown(&self, at: &Place, history: &History) {
        for (send, door) in history.unknown() {
            let person = self.people.iter().find(|person| person.id == send.sender).unwrap();
            let person = Person { wire: at.wire.clone(), ..person.clone() };
            let mut socket = Socket::connect(at.addr, &person.token).await.unwrap();
            attempt(&person, &mut socket, history, &send, door.other(), 0).await;
        }
    }

    /// What is wrong with what is stored. The history over REST must be what is stored.
    pub(crate) async fn check(&self, at: &Place, history: &History, database: &Path) -> Vec<Violation> {
        let rows = rows(database);
        let reader = Person { wire: at.wire.clone(), ..self.people[0].clone() };
        for conversation in &self.conversations {
            let stored: Vec<_> =
                rows.iter().filter(|row| row.conversation == *conversation).map(as_read).collect();
            let read: Vec<_> = reader.history(conversation).await.iter().map(told).collect();
            assert_eq!(read, stored);
        }
        check(&history.records(), &rows)
    }
}

fn as_read(row: &Row) -> Told {
    let Row { conversation, seq, id, content, .. } = row.clone();
    Told { conversation, seq, id, content }
}

fn told(message: &Value) -> Told {
    let text =
        |name: &str| message[name].as_str().unwrap_or_else(|| panic!("no {name}: {message}")).to_owned();
    Told {
        conversation: text("conversationId"),
        seq: message["seq"].as_u64().unwrap(),
        id: text("id"),
        content: text("content"),
    }
}

/// People who are sending.
#[derive(Debug)]
pub(crate) struct Load {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Waits until everybody has noticed that the server is gone.
    pub(crate) async fn notice(self) {
        self.tasks.join_all().await;
    }

    /// Lets everybody finish what they have begun.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
    }
}

struct Sender {
    person: Person,
    conversations: Vec<String>,
    label: String,
    dice: Dice,
    history: Arc<History>,
    stop: Arc<AtomicBool>,
}

impl Sender {
    async fn work(mut self, addr: SocketAddr, ready: Arc<Barrier>) {
        let mut socket = Socket::connect(addr, &self.person.token).await.unwrap();
        for conversation in &self.conversations {
            socket.must("conversation:join", conversation.as_str()).await;
        }
        ready.wait().await;
        for number in 1.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let conversation = self.dice.between(0, CONVERSATIONS as u64);
            let padding = usize::try_from(self.dice.between(0, 400)).unwrap();
            let send = Arc::new(Send {
                sender: self.person.id.clone(),
                conversation: self.conversations[usize::try_from(conversation).unwrap()].clone(),
                client_message_id: format!("{}-{number}", self.label),
                content: format!("{} {number} {}", self.label, "x".repeat(padding)),
            });
            let door = if self.dice.next().is_multiple_of(2) { Door::Rest } else { Door::Socket };
            if !attempt(&self.person, &mut socket, &self.history, &send, door, number).await {
                break;
            }
        }
        for (name, payload) in socket.taken() {
            if name == "message:new" {
                self.history.add(Record::Heard(told(&payload)));
            }
        }
    }
}

/// Sends a message and notes what came of it; says whether it was acknowledged.
async fn attempt(
    person: &Person,
    socket: &mut Socket,
    history: &History,
    send: &Arc<Send>,
    door: Door,
    number: u64,
) -> bool {
    let body = json!({"conversationId": send.conversation, "content": send.content,
                      "clientMessageId": send.client_message_id});
    history.add(Record::Invoke(send.clone(), door));
    let outcome = match door {
        Door::Rest => by_rest(person, &body).await,
        Door::Socket => by_socket(socket, &body, number).await,
    };
    let record = match outcome {
        Some(Ok(message)) => Record::Ok(send.clone(), told(&message)),
        Some(Err(code)) => Record::Fail(send.clone(), code),
        None => Record::Unknown(send.clone(), door),
    };
    let is_ok = matches!(record, Record::Ok(..));
    history.add(record);
    is_ok
}

/// The message, or the code of a refusal; `None` when nobody knows.
type Outcome = Option<Result<Value, String>>;

async fn by_rest(person: &Person, body: &Value) -> Outcome {
    let bearer = format!("Bearer {}", person.token);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let answer =
        person.wire.try_send("POST", "/api/messages", &headers, body.to_string().into()).await.ok()?;
    match answer.status {
        200 | 201 => Some(Ok(answer.json()["data"].clone())),
        400..500 => Some(Err(answer.code())),
        _ => None,
    }
}

async fn by_socket(socket: &mut Socket, body: &Value, number: u64) -> Outcome {
    // Far from the numbers that the socket gives out itself.
    let number = 1_000_000 + number;
    if !socket.try_send_text(&format!("42{number}{}", json!(["message:send", body]))).await {
        return None;
    }
    let answer = socket.try_ack(number).await?;
    if answer["ok"] == true {
        return Some(Ok(answer["message"].clone()));
    }
    match answer["error"]["code"].as_str() {
        Some("internal" | "unavailable" | "overloaded") | None => None,
        Some(code) => Some(Err(code.to_owned())),
    }
}
