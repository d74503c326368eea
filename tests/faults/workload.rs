//! Eight people who talk in four conversations until the server is gone, and write down what they see.
//!
//! Each conversation is without one of them, who tries to listen and must hear nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use priyo_core::model::{Clock, Timestamp};
use priyo_tests::{Database, PATIENCE, Person, ServerProcess, Socket, Told, Wire};
use serde_json::json;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::chance::Dice;
use crate::checker::{Violation, check};
use crate::history::{Door, History, Record, Send};
use crate::recorded::{ask, attempt, post};
use crate::stored::Stored;

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

/// What somebody has of each of their conversations.
type Views = BTreeMap<String, Vec<Told>>;

/// The people, and the conversations that most of them are in.
#[derive(Debug)]
pub(crate) struct Scene {
    people: Vec<Person>,
    conversations: Vec<String>,
    /// By the places of the people.
    views: Arc<Mutex<Vec<Views>>>,
}

impl Scene {
    /// Sets the scene in a database, which nobody has open afterwards.
    pub(crate) async fn set(database: &Database) -> Self {
        let server = ServerProcess::start(database).await;
        let mut people = Vec::new();
        for number in 0..SENDERS {
            people.push(server.customer(&format!("sender-{number}")).await);
        }
        let mut conversations = Vec::new();
        for without in 0..CONVERSATIONS {
            let mut members: Vec<&Person> = people.iter().collect();
            members.remove(without);
            conversations.push(members[0].starts_group_with(&members[1..]).await);
        }
        let ended = server.terminate(PATIENCE).await.expect("the server stops in time");
        assert!(ended.success());
        let mut scene = Self { people, conversations, views: Arc::default() };
        let views = |person| scene.own(person).map(|id| (id.to_owned(), Vec::new())).collect();
        scene.views = Arc::new(Mutex::new((0..SENDERS).map(views).collect()));
        scene
    }

    /// The conversations that somebody is in.
    fn own(&self, person: usize) -> impl Iterator<Item = &str> {
        let is_in = move |(without, _): &(usize, &String)| *without != person;
        self.conversations.iter().enumerate().filter(is_in).map(|(_, id)| id.as_str())
    }

    fn person(&self, at: &Place, person: usize) -> Person {
        Person { wire: at.wire.clone(), ..self.people[person].clone() }
    }

    /// Gives everybody another access token.
    pub(crate) fn with_tokens(&mut self, token: impl Fn(&Person, Timestamp) -> String) {
        let now = Clock::system().now();
        self.people.iter_mut().for_each(|person| person.token = token(person, now));
    }

    /// One of the people, and a conversation that they are in.
    pub(crate) fn somebody(&self, at: &Place) -> (Person, String) {
        (self.person(at, SENDERS - 1), self.conversations[0].clone())
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
        for number in 0..SENDERS {
            let sender = Sender {
                person: self.person(at, number),
                strange: self.conversations.get(number).cloned(),
                label: format!("{label}-{number}"),
                dice: Dice::new(dice.next()),
                history: history.clone(),
                stop: stop.clone(),
            };
            let (views, addr, ready) = (self.views.clone(), at.addr, ready.clone());
            tasks.spawn(async move {
                let mut own = views.lock().unwrap()[number].clone();
                sender.work(addr, ready, &mut own).await;
                views.lock().unwrap()[number] = own;
            });
        }
        ready.wait().await;
        Load { tasks, stop }
    }

    /// Sends once more, through the other door, what nobody knows the end of.
    pub(crate) async fn retry_unknown(&self, at: &Place, history: &History) {
        for (send, door) in history.unknown() {
            let person = self.people.iter().position(|person| person.id == send.sender).unwrap();
            let person = self.person(at, person);
            let mut socket = Socket::connect(at.addr, &person.token).await.unwrap();
            attempt(&person, &mut socket, history, &send, door.other()).await;
        }
    }

    /// What is wrong with what is stored, and with what everybody is told of it now, through each door.
    pub(crate) async fn check(&self, at: &Place, history: &History, database: &Database) -> Vec<Violation> {
        for number in 0..SENDERS {
            let person = self.person(at, number);
            let mut views = self.views.lock().unwrap()[number].clone();
            let mut socket = Socket::connect(at.addr, &person.token).await.unwrap();
            for (conversation, view) in &mut views {
                catch_up(&mut socket, conversation, view).await;
                add_view(history, &person, conversation, Door::Socket, view);
            }
            self.views.lock().unwrap()[number] = views;
            note_unread(&person, history).await;
        }
        let reader = self.person(at, SENDERS - 1);
        for conversation in &self.conversations {
            let read: Vec<Told> = reader.history(conversation).await.iter().map(Told::of).collect();
            add_view(history, &reader, conversation, Door::Rest, &read);
        }
        check(&history.records(), &Stored::read(database).await)
    }
}

fn add_view(history: &History, receiver: &Person, conversation: &str, door: Door, view: &[Told]) {
    let (receiver, conversation) = (receiver.id.clone(), conversation.to_owned());
    history.add(Record::View { receiver, conversation, door, messages: view.into() });
}

/// Notes what somebody is told they have not read; the list must say the same as the count.
async fn note_unread(person: &Person, history: &History) {
    let counts = person.get("/api/messages/unread/count").await.expect(200).json();
    let list = person.get("/api/conversations").await.expect(200).json();
    let mut sum = 0;
    for conversation in list["conversations"].as_array().unwrap() {
        let id = conversation["id"].as_str().unwrap();
        let count = counts["conversations"][id].as_u64().unwrap_or(0);
        assert_eq!(conversation["unreadCount"], count, "the list and the count differ: {list} {counts}");
        sum += count;
        let (reader, conversation) = (person.id.clone(), id.to_owned());
        history.add(Record::Unread { reader, conversation, count });
    }
    assert_eq!(counts["unreadCount"], sum);
}

/// Joins a conversation and takes all that was missed of it.
async fn catch_up(socket: &mut Socket, conversation: &str, view: &mut Vec<Told>) {
    loop {
        let after = view.last().map_or(0, |told| told.seq);
        let join = json!({"conversationId": conversation, "after": after});
        let answer = socket.must("conversation:join", join).await;
        answer["messages"].as_array().unwrap().iter().for_each(|message| extend(view, Told::of(message)));
        if answer["hasMore"] == false {
            return;
        }
    }
}

/// Adds the next message, which must be the next.
fn extend(view: &mut Vec<Told>, told: Told) {
    assert_eq!(told.seq, view.last().map_or(0, |last| last.seq) + 1, "a hole or a repeat: {told:?}");
    view.push(told);
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
    /// A conversation that they are not in.
    strange: Option<String>,
    label: String,
    dice: Dice,
    history: Arc<History>,
    stop: Arc<AtomicBool>,
}

impl Sender {
    async fn work(mut self, addr: SocketAddr, ready: Arc<Barrier>, views: &mut Views) {
        let mut socket = Socket::connect(addr, &self.person.token).await.unwrap();
        for (conversation, view) in views.iter_mut() {
            catch_up(&mut socket, conversation, view).await;
        }
        if let Some(strange) = &self.strange {
            assert_eq!(socket.refused("conversation:join", strange.as_str()).await, "not_found");
        }
        ready.wait().await;
        let mut number = 0;
        let mut goes_on = true;
        while goes_on && !self.stop.load(Ordering::Relaxed) {
            number += 1;
            goes_on = if self.dice.next().is_multiple_of(8) {
                self.read(&mut socket, views).await
            } else {
                let (send, door) = (self.next_send(number, views), self.door());
                attempt(&self.person, &mut socket, &self.history, &send, door).await
            };
            self.hear(&mut socket, views);
        }
        self.hear(&mut socket, views);
    }

    fn door(&mut self) -> Door {
        if self.dice.next().is_multiple_of(2) { Door::Rest } else { Door::Socket }
    }

    fn next_send(&mut self, number: u64, views: &Views) -> Arc<Send> {
        let conversation = self.dice.place(views.len());
        let padding = self.dice.place(400);
        Arc::new(Send {
            sender: self.person.id.clone(),
            conversation: views.keys().nth(conversation).unwrap().clone(),
            client_message_id: format!("{}-{number}", self.label),
            content: format!("{} {number} {}", self.label, "x".repeat(padding)),
        })
    }

    /// Takes the events that have come.
    fn hear(&self, socket: &mut Socket, views: &mut Views) {
        for (name, payload) in socket.taken() {
            if name == "message:new" {
                let (receiver, told) = (self.person.id.clone(), Told::of(&payload));
                self.history.add(Record::Heard { receiver, told: told.clone() });
                if let Some(view) = views.get_mut(&told.conversation) {
                    extend(view, told);
                }
            }
        }
    }

    /// Marks something as read; says whether that was acknowledged.
    async fn read(&mut self, socket: &mut Socket, views: &Views) -> bool {
        let view = views.values().nth(self.dice.place(views.len())).unwrap();
        if view.is_empty() {
            return true;
        }
        let told = &view[self.dice.place(view.len())];
        let body = json!({"messageIds": [told.id]});
        let is_ok = match self.door() {
            Door::Rest => {
                let answer = post(&self.person, "/api/messages/read", &body).await;
                let status = answer.map(|(status, _)| status);
                assert!(matches!(status, None | Some(200 | 503)), "{status:?}");
                status == Some(200)
            }
            Door::Socket => {
                let event = json!({"messageIds": [told.id], "conversationId": told.conversation});
                ask(socket, "message:read", event).await.is_some_and(|answer| answer["ok"] == true)
            }
        };
        // Nobody marks their own: it never counts as unread.
        if is_ok && told.sender != self.person.id {
            let (reader, conversation) = (self.person.id.clone(), told.conversation.clone());
            self.history.add(Record::Marked { reader, conversation, seq: told.seq });
        }
        is_ok
    }
}
