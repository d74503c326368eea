//! A client as its users need one: it comes back whenever its connection ends, asks for what it missed by the last
//! `seq` that it has, and sends what was not acknowledged once more, under the same name.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::socket::Came;
use crate::{Person, Socket};

/// A message as somebody was told of it: by an event, in an acknowledgement, or in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The conversation's id.
    pub conversation: String,
    /// Its number.
    pub seq: u64,
    /// Its id.
    pub id: String,
    /// The sender's id.
    pub sender: String,
    /// Its text.
    pub content: String,
}

impl Told {
    /// Reads a message in any of the shapes in which the server gives it.
    #[track_caller]
    pub fn of(message: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let field = |name: &str| text(&message[name]).unwrap_or_else(|| panic!("no {name}: {message}"));
        Self {
            conversation: field("conversationId"),
            seq: message["seq"].as_u64().unwrap_or_else(|| panic!("no seq: {message}")),
            id: field("id"),
            sender: text(&message["sender"]["id"]).unwrap_or_else(|| field("senderId")),
            content: field("content"),
        }
    }
}

/// A message that a client wants to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where.
    pub conversation: String,
    /// What.
    pub content: String,
    /// The client's own name for it. Without one the server cannot know a repeat.
    pub client_message_id: Option<String>,
}

impl Outgoing {
    /// As a payload, over either door.
    pub fn payload(&self) -> Value {
        let mut payload = json!({"conversationId": self.conversation, "content": self.content});
        if let Some(name) = &self.client_message_id {
            payload["clientMessageId"] = name.as_str().into();
        }
        payload
    }
}

/// One thing that a client does or learns.
#[derive(Debug)]
pub enum Step<'a> {
    /// It sends a message, for the first time or again.
    Sends(&'a Outgoing),
    /// The connection ended before an answer.
    LostSightOf(&'a Outgoing),
    /// It was acknowledged.
    Acknowledged(&'a Outgoing, &'a Told),
    /// It was refused, with this code.
    Refused(&'a Outgoing, &'a str),
    /// A live event came.
    Hears(&'a Told),
}

type Journal = Box<dyn FnMut(Step<'_>) + Send>;

/// A message on its way, and the acknowledgement that it waits for on this connection.
#[derive(Debug)]
struct InHand {
    message: Outgoing,
    waits_for: Option<u64>,
}

/// What a client has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Connections that it had.
    pub connections: u64,
    /// Acknowledgements that called a message a repeat.
    pub duplicates: u64,
    /// Live messages that came while one before them had not. There must be none.
    pub holes: u64,
    /// Messages that came although it had them. There must be none.
    pub repeats: u64,
}

/// A client of one person.
pub struct Client {
    addr: SocketAddr,
    person: Person,
    socket: Option<Socket>,
    conversations: BTreeMap<String, Vec<Told>>,
    outbox: VecDeque<InHand>,
    counted: Counted,
    journal: Journal,
}

/// Messages that may be on their way at once: fewer than a server queues for a socket.
const WINDOW: usize = 16;
/// Without any answer for so long, a connection counts as dead.
const DEAD_AFTER: Duration = Duration::from_secs(5);
/// How long it waits before it tries to connect again: nothing tells when a server can be reached.
const PAUSE: Duration = Duration::from_millis(5);

impl Client {
    /// A client that is not connected yet.
    pub fn new(addr: SocketAddr, person: &Person) -> Self {
        Self {
            addr,
            person: person.clone(),
            socket: None,
            conversations: BTreeMap::new(),
            outbox: VecDeque::new(),
            counted: Counted::default(),
            journal: Box::new(|_| {}),
        }
    }

    /// Tells `journal` of everything that it does and learns, as it happens.
    pub fn with_journal(self, journal: impl FnMut(Step<'_>) + Send + 'static) -> Self {
        Self { journal: Box::new(journal), ..self }
    }

    /// Follows a conversation from its first message on.
    pub fn follow(&mut self, conversation: &str) {
        self.conversations.entry(conversation.to_owned()).or_default();
    }

    /// Whose it is.
    pub fn person(&self) -> &Person {
        &self.person
    }

    /// What it has of a conversation, in order and without holes.
    pub fn view(&self, conversation: &str) -> &[Told] {
        &self.conversations[conversation]
    }

    /// What it has counted.
    pub fn counted(&self) -> Counted {
        self.counted
    }

    /// Puts a message into the outbox.
    pub fn say(&mut self, message: Outgoing) {
        self.outbox.push_back(InHand { message, waits_for: None });
    }

    /// How many messages are not acknowledged.
    pub fn unanswered(&self) -> usize {
        self.outbox.len()
    }

    /// Goes where the server is now.
    pub fn move_to(&mut self, addr: SocketAddr) {
        self.addr = addr;
        self.hang_up();
    }

    /// Goes offline.
    pub fn hang_up(&mut self) {
        self.socket = None;
        for in_hand in &mut self.outbox {
            if in_hand.waits_for.take().is_some() {
                (self.journal)(Step::LostSightOf(&in_hand.message));
            }
        }
    }

    /// Does its work until `done`: stays connected, sends what is in the outbox, takes what comes.
    ///
    /// # Panics
    ///
    /// When it is not done within `patience`.
    pub async fn until(&mut self, patience: Duration, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + patience;
        while !done(self) {
            assert!(Instant::now() < deadline, "not done in time: {self:?}");
            if self.socket.is_none() && !self.connect().await {
                sleep(PAUSE).await;
                continue;
            }
            self.flush().await;
            self.take().await;
        }
    }

    /// Connects and catches up, once; says whether it could.
    pub async fn connect(&mut self) -> bool {
        let deadline = Instant::now() + DEAD_AFTER;
        match Socket::try_connect(self.addr, &self.person.token, deadline).await {
            Some(Ok(socket)) => self.socket = Some(socket),
            // A connection that the network has lost may still count on the server.
            Some(Err(refused)) if refused.0 == "Too many connections" => return false,
            Some(Err(refused)) => panic!("{} is not let in: {}", self.person.name, refused.0),
            None => return false,
        }
        self.counted.connections += 1;
        let conversations: Vec<String> = self.conversations.keys().cloned().collect();
        for conversation in conversations {
            while let Some(has_more) = self.catch_up(&conversation).await {
                if !has_more {
                    break;
                }
            }
        }
        self.socket.is_some()
    }

    /// Asks for what it missed of a conversation; says whether there is more, or `None` when the connection ended.
    async fn catch_up(&mut self, conversation: &str) -> Option<bool> {
        let after = self.conversations[conversation].last().map_or(0, |told| told.seq);
        let payload = json!({"conversationId": conversation, "after": after});
        let socket = self.socket.as_mut()?;
        let asking = async {
            let number = socket.try_emit_asking("conversation:join", payload).await?;
            socket.try_ack(number).await
        };
        let Some(answer) = timeout(DEAD_AFTER, asking).await.ok().flatten() else {
            self.hang_up();
            return None;
        };
        assert_eq!(answer["ok"], true, "{answer}");
        // What came live for this conversation came before it was taken out of it to be told the rest.
        for message in answer["messages"].as_array().unwrap() {
            self.put(Told::of(message));
        }
        Some(answer["hasMore"] == true)
    }

    /// Sends what is in the outbox and not on its way.
    pub async fn flush(&mut self) {
        let Some(socket) = self.socket.as_mut() else { return };
        let on_their_way = self.outbox.iter().filter(|in_hand| in_hand.waits_for.is_some()).count();
        let room = WINDOW.saturating_sub(on_their_way);
        let mut is_lost = false;
        for in_hand in self.outbox.iter_mut().filter(|in_hand| in_hand.waits_for.is_none()).take(room) {
            (self.journal)(Step::Sends(&in_hand.message));
            let sending = socket.try_emit_asking("message:send", in_hand.message.payload());
            in_hand.waits_for = timeout(DEAD_AFTER, sending).await.ok().flatten();
            if in_hand.waits_for.is_none() {
                (self.journal)(Step::LostSightOf(&in_hand.message));
                is_lost = true;
                break;
            }
        }
        if is_lost {
            self.hang_up();
        }
    }

    /// Takes the next thing that comes.
    async fn take(&mut self) {
        let Some(socket) = self.socket.as_mut() else { return };
        match socket.came_by(Instant::now() + DEAD_AFTER).await {
            Some(Came::Event(name, payload)) if name == "message:new" => {
                let told = Told::of(&payload);
                (self.journal)(Step::Hears(&told));
                if self.conversations.contains_key(&told.conversation) {
                    self.put(told);
                }
            }
            Some(Came::Event(..)) => {}
            Some(Came::Ack(number, answer)) => self.answered(number, &answer),
            // Silence is not death while nothing is waited for.
            None if self.outbox.is_empty() => {}
            None | Some(Came::End) => self.hang_up(),
        }
    }

    fn answered(&mut self, number: u64, answer: &Value) {
        let Some(at) = self.outbox.iter().position(|in_hand| in_hand.waits_for == Some(number)) else {
            return;
        };
        if answer["ok"] == true {
            let message = self.outbox.remove(at).unwrap().message;
            self.counted.duplicates += u64::from(answer["duplicate"] == true);
            (self.journal)(Step::Acknowledged(&message, &Told::of(&answer["message"])));
            return;
        }
        match answer["error"]["code"].as_str() {
            // It goes again with the next flush.
            Some("overloaded" | "unavailable" | "internal" | "rate_limited") => {
                self.outbox[at].waits_for = None;
                (self.journal)(Step::LostSightOf(&self.outbox[at].message));
            }
            code => {
                let message = self.outbox.remove(at).unwrap().message;
                (self.journal)(Step::Refused(&message, code.unwrap_or_default()));
            }
        }
    }

    /// Adds a message to what it has, if it is the next one.
    fn put(&mut self, told: Told) {
        let view = self.conversations.get_mut(&told.conversation).unwrap();
        let next = view.last().map_or(1, |last| last.seq + 1);
        match told.seq.cmp(&next) {
            std::cmp::Ordering::Equal => view.push(told),
            std::cmp::Ordering::Less => self.counted.repeats += 1,
            std::cmp::Ordering::Greater => self.counted.holes += 1,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let views: BTreeMap<_, _> = self.conversations.iter().map(|(id, view)| (id, view.len())).collect();
        f.debug_struct("Client")
            .field("person", &self.person.name)
            .field("connected", &self.socket.is_some())
            .field("unanswered", &self.outbox.len())
            .field("views", &views)
            .field("counted", &self.counted)
            .finish_non_exhaustive()
    }
}
