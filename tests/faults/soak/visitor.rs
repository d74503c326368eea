//! One of those who come and go.

use std::collections::HashMap;
use std::fmt;
use std::iter::Sum;
use std::net::SocketAddr;
use std::time::Duration;

use priyo_tests::{Came, PATIENCE, Person, Socket};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::chance::Dice;

/// The password of everybody who has one.
pub(super) const PASSWORD: &str = "correct horse";
/// What one does at most before one goes.
const DOES: u64 = 12;

/// How often people did things.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deeds {
    logins: u64,
    visits: u64,
    joins: u64,
    sends: u64,
    groups: u64,
}

impl Sum for Deeds {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            logins: sum.logins + one.logins,
            visits: sum.visits + one.visits,
            joins: sum.joins + one.joins,
            sends: sum.sends + one.sends,
            groups: sum.groups + one.groups,
        })
    }
}

impl fmt::Display for Deeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { logins, visits, joins, sends, groups } = self;
        write!(f, "{logins} logins, {visits} visits, {joins} joins, {sends} sends, {groups} groups")
    }
}

/// Somebody, and what they know.
pub(super) struct Visitor {
    pub(super) person: Person,
    pub(super) has_password: bool,
    pub(super) friend: String,
    pub(super) group: String,
    pub(super) addr: SocketAddr,
    pub(super) pace: Duration,
    pub(super) dice: Dice,
    pub(super) deeds: Deeds,
}

/// A connection, and the last number that was heard in each conversation that it has joined.
struct Visit {
    socket: Socket,
    rooms: HashMap<String, u64>,
    /// A message that is not read yet.
    unread: Option<(String, String)>,
}

impl Visitor {
    /// Comes and goes until then.
    pub(super) async fn come_and_go(mut self, until: Instant) -> Self {
        while Instant::now() < until {
            self.sign_in().await;
            let socket = Socket::connect(self.addr, &self.person.token).await.unwrap();
            let mut visit = Visit { socket, rooms: HashMap::new(), unread: None };
            self.deeds.visits += 1;
            self.join(&mut visit).await;
            for _ in 0..self.dice.between(1, DOES) {
                if Instant::now() >= until {
                    break;
                }
                self.does_something(&mut visit).await;
                visit.listens_until(Instant::now() + self.pace).await;
            }
            self.goes(visit).await;
        }
        self
    }

    /// As a page does that is opened: a token lasts a quarter of an hour.
    async fn sign_in(&mut self) {
        let answer = if self.has_password {
            self.deeds.logins += 1;
            let email = format!("{}@example.com", self.person.name);
            self.person.post("/api/auth/login", json!({"email": email, "password": PASSWORD})).await
        } else {
            let body = json!({"refreshToken": self.person.refresh_token});
            self.person.post("/api/auth/refresh", body).await
        };
        let tokens = answer.expect(200).json()["tokens"].take();
        let token = |name: &str| tokens[name].as_str().unwrap().to_owned();
        (self.person.token, self.person.refresh_token) = (token("accessToken"), token("refreshToken"));
    }

    async fn does_something(&mut self, visit: &mut Visit) {
        let group = json!({ "conversationId": self.group });
        match self.dice.place(8) {
            0 => drop(self.send_over_rest().await),
            1 => drop(visit.must("typing:start", group).await),
            2 => visit.reads().await,
            3 if visit.rooms.contains_key(&self.group) => visit.leave(&self.group).await,
            4 if self.dice.place(4) == 0 => self.begin_group(visit).await,
            _ if !visit.rooms.contains_key(&self.group) => self.join(visit).await,
            _ => self.send(visit).await,
        }
    }

    async fn join(&mut self, visit: &mut Visit) {
        visit.join(&self.group).await;
        self.deeds.joins += 1;
    }

    fn message(&mut self) -> Value {
        self.deeds.sends += 1;
        let name = format!("{}-{}", self.deeds.visits, self.deeds.sends);
        json!({"conversationId": self.group, "content": name, "clientMessageId": format!("{:x}", self.dice.next())})
    }

    async fn send(&mut self, visit: &mut Visit) {
        let message = self.message();
        visit.must("message:send", message).await;
    }

    async fn send_over_rest(&mut self) -> Value {
        let message = self.message();
        self.person.post("/api/messages", message).await.expect(201).json()
    }

    /// Says something to a friend, in a conversation that is left again.
    async fn begin_group(&mut self, visit: &mut Visit) {
        self.deeds.groups += 1;
        let body = json!({"participantIds": [self.friend], "type": "GROUP"});
        let made = self.person.post("/api/conversations", body).await.expect(201).json();
        let id = made["conversation"]["id"].as_str().unwrap();
        visit.join(id).await;
        visit.must("message:send", json!({"conversationId": id, "content": "between us"})).await;
        visit.socket.settle().await;
        // Out of the conversation is out of the room.
        self.person.post_nothing(format!("/api/conversations/{id}/leave")).await.expect(200);
        visit.takes_note();
        visit.rooms.remove(id);
        visit.unread.take_if(|(conversation, _)| conversation == id);
    }

    /// Goes in one of the ways in which people go.
    async fn goes(&mut self, mut visit: Visit) {
        match self.dice.place(3) {
            0 => visit.socket.hang_up().await,
            1 if self.has_password => {
                self.person.post_nothing("/api/auth/logout").await.expect(200);
                assert!(visit.socket.ends_by(Instant::now() + PATIENCE).await, "a logout closes its sockets");
            }
            _ => drop(visit),
        }
    }
}

impl Visit {
    async fn must(&mut self, event: &str, argument: Value) -> Value {
        let answer = self.socket.must(event, argument).await;
        self.takes_note();
        answer
    }

    async fn join(&mut self, conversation: &str) {
        let answer = self.must("conversation:join", conversation.into()).await;
        self.rooms.insert(conversation.to_owned(), answer["lastSeq"].as_u64().unwrap());
    }

    async fn leave(&mut self, conversation: &str) {
        self.must("conversation:leave", conversation.into()).await;
        self.rooms.remove(conversation);
    }

    async fn reads(&mut self) {
        if let Some((conversation, message)) = self.unread.take() {
            self.must("message:read", json!({"conversationId": conversation, "messageId": message})).await;
        }
    }

    async fn listens_until(&mut self, deadline: Instant) {
        while let Some(came) = self.socket.came_by(deadline).await {
            match came {
                Came::Event(name, payload) => self.hears(&name, &payload),
                Came::Ack(..) => {}
                Came::End => panic!("somebody who does nothing wrong was hung up on"),
            }
        }
    }

    /// Of what came while something else was waited for.
    fn takes_note(&mut self) {
        for (name, payload) in self.socket.taken() {
            self.hears(&name, &payload);
        }
    }

    /// Each room's messages come in order and without a hole, also in the half hour's last minute.
    fn hears(&mut self, name: &str, payload: &Value) {
        assert_ne!(name, "error", "{payload}");
        if name != "message:new" {
            return;
        }
        let text = |name: &str| payload[name].as_str().unwrap().to_owned();
        let conversation = text("conversationId");
        let last = self.rooms.get_mut(&conversation).expect("one hears only what one has joined");
        *last += 1;
        assert_eq!(payload["seq"], *last, "{payload}");
        self.unread = Some((conversation, text("id")));
    }
}
