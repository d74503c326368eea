//! People who go on sending whatever they are told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use priyo_tests::{Answer, Database, Person, ServerProcess, Socket, Told};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::answers::{Answers, How};
use crate::chance::Dice;
use crate::checker::{Violation, check};
use crate::history::{Door, History, Record, Send};
use crate::stored::Stored;

/// How long a client waits before it tries again. A real one waits longer; this is the harder case.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// People, each with the server that they are at, and the conversations that all of them are in.
#[derive(Debug, Clone)]
pub(crate) struct Crowd {
    pub(crate) people: Vec<(Person, SocketAddr)>,
    pub(crate) conversations: Vec<String>,
}

/// What all of them write down.
#[derive(Debug, Clone)]
pub(crate) struct Notes {
    pub(crate) history: Arc<History>,
    pub(crate) answers: Arc<Answers>,
}

impl Notes {
    pub(crate) fn new(evidence: &crate::chance::Evidence) -> Self {
        Self { history: Arc::new(History::new(&evidence.history())), answers: Arc::default() }
    }
}

impl Crowd {
    /// Brings people together, spread over servers that share a database.
    pub(crate) async fn gather(servers: &[&ServerProcess], people: usize, conversations: usize) -> Self {
        let mut all = Vec::new();
        for number in 0..people {
            let server = servers[number % servers.len()];
            all.push((server.customer(&format!("sender-{number}")).await, server.addr));
        }
        let others: Vec<&Person> = all[1..].iter().map(|(person, _)| person).collect();
        let mut begun = Vec::new();
        for _ in 0..conversations {
            begun.push(all[0].0.starts_group_with(&others).await);
        }
        Self { people: all, conversations: begun }
    }

    /// Everybody connects, listens to all, and begins to send; when this returns all of them do.
    pub(crate) async fn talk(&self, notes: &Notes, label: &str, dice: &mut Dice) -> Talk {
        let stop = Arc::new(AtomicBool::new(false));
        let ready = Arc::new(Barrier::new(self.people.len() + 1));
        let mut tasks = JoinSet::new();
        for (number, (person, addr)) in self.people.iter().enumerate() {
            let sender = Sender {
                person: person.clone(),
                conversations: self.conversations.clone(),
                label: format!("{label}-{number}"),
                dice: Dice::new(dice.next()),
                notes: notes.clone(),
                stop: stop.clone(),
            };
            tasks.spawn(sender.work(*addr, ready.clone()));
        }
        ready.wait().await;
        Talk { tasks, stop, history: notes.history.clone() }
    }

    /// What is wrong with what is stored, now that nobody sends.
    pub(crate) async fn check(&self, notes: &Notes, database: &Database) -> Vec<Violation> {
        assert_eq!(notes.history.unknown(), [], "somebody gave up");
        let mut stored = Stored::read(database).await;
        stored.messages.retain(|row| self.conversations.contains(&row.conversation));
        check(&notes.history.records(), &stored)
    }
}

/// People who are sending.
#[derive(Debug)]
pub(crate) struct Talk {
    tasks: JoinSet<Heard>,
    stop: Arc<AtomicBool>,
    history: Arc<History>,
}

/// Who heard something, and the messages.
type Heard = (String, Vec<Value>);

impl Talk {
    /// Lets everybody finish what they have begun: until they know what has become of it.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        // Only when the last one is answered: writing all that down would keep others from taking note of an answer.
        for (receiver, messages) in self.tasks.join_all().await {
            for message in messages {
                self.history.add(Record::Heard { receiver: receiver.clone(), told: Told::of(&message) });
            }
        }
    }
}

struct Sender {
    person: Person,
    conversations: Vec<String>,
    label: String,
    dice: Dice,
    notes: Notes,
    stop: Arc<AtomicBool>,
}

impl Sender {
    async fn work(mut self, addr: SocketAddr, ready: Arc<Barrier>) -> Heard {
        let mut socket = Socket::connect(addr, &self.person.token).await.unwrap();
        for conversation in &self.conversations {
            socket.must("conversation:join", conversation.as_str()).await;
        }
        ready.wait().await;
        let mut number = 0;
        while !self.stop.load(Ordering::Relaxed) {
            number += 1;
            let (send, door) = self.next(number);
            if !insist(&self.person, &mut socket, &self.notes, &send, door).await {
                break;
            }
        }
        let heard = socket.taken().into_iter().filter(|(name, _)| name == "message:new");
        (self.person.id, heard.map(|(_, message)| message).collect())
    }

    fn next(&mut self, number: u64) -> (Arc<Send>, Door) {
        let conversation = self.dice.between(0, self.conversations.len() as u64);
        let padding = usize::try_from(self.dice.between(0, 400)).unwrap();
        let send = Send {
            sender: self.person.id.clone(),
            conversation: self.conversations[usize::try_from(conversation).unwrap()].clone(),
            client_message_id: format!("{}-{number}", self.label),
            content: format!("{} {number} {}", self.label, "x".repeat(padding)),
        };
        let door = if self.dice.next().is_multiple_of(2) { Door::Rest } else { Door::Socket };
        (Arc::new(send), door)
    }
}

/// Sends a message again and again, by one door and by the other, until it is acknowledged; says whether it was. If
/// not, that was noted.
pub(crate) async fn insist(
    person: &Person,
    socket: &mut Socket,
    notes: &Notes,
    send: &Arc<Send>,
    mut door: Door,
) -> bool {
    loop {
        match attempt(person, socket, notes, send, door).await {
            How::Done => return true,
            How::Unavailable => sleep(TRY_AGAIN_AFTER).await,
            How::Refused(_) | How::Otherwise(_) => return false,
        }
        door = door.other();
    }
}

/// Sends a message once and notes what came of it.
pub(crate) async fn attempt(
    person: &Person,
    socket: &mut Socket,
    notes: &Notes,
    send: &Arc<Send>,
    door: Door,
) -> How {
    let body = json!({"conversationId": send.conversation, "content": send.content,
                      "clientMessageId": send.client_message_id});
    notes.history.add(Record::Invoke(send.clone(), door));
    let begun = Instant::now();
    let (how, message) = match door {
        Door::Rest => by_rest(person, &body).await,
        Door::Socket => {
            let number = socket.emit_asking("message:send", body).await;
            let mut ack = socket.try_ack(number).await;
            let how = How::of_ack(ack.as_ref());
            (how, ack.as_mut().map(|ack| ack["message"].take()).unwrap_or_default())
        }
    };
    notes.answers.note(&format!("send by {door:?}"), begun, how.clone());
    notes.history.add(match &how {
        How::Done => Record::Ok(send.clone(), Told::of(&message)),
        How::Refused(code) => Record::Fail(send.clone(), code.clone()),
        How::Unavailable | How::Otherwise(_) => Record::Unknown(send.clone(), door),
    });
    how
}

async fn by_rest(person: &Person, body: &Value) -> (How, Value) {
    let answer = ask(person, "POST", "/api/messages", Some(body)).await;
    let how = How::of_answer(&answer);
    let message = if how == How::Done { answer.unwrap().json()["data"].take() } else { Value::Null };
    (how, message)
}

/// Asks for something over REST, where no answer may come.
pub(crate) async fn ask(
    person: &Person,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Answer, reqwest::Error> {
    let bearer = format!("Bearer {}", person.token);
    let mut headers = vec![("authorization", bearer.as_str())];
    if body.is_some() {
        headers.push(("content-type", "application/json"));
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    person.wire.try_send(method, path, &headers, body.into()).await
}
