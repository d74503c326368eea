//! What a client knows that looked once and has since gone by events alone.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What one client knows.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    conversations: BTreeMap<String, Known>,
    /// The messages of those that it listens to.
    rooms: BTreeMap<String, Vec<Value>>,
    /// Whether it misses an event now and then.
    is_lossy: bool,
    events: u64,
}

/// What it knows of a conversation that its user is in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) kind: Value,
    pub(super) status: Value,
    pub(super) participants: Vec<Value>,
}

impl Known {
    /// Reads a conversation as the server gives it.
    pub(super) fn of(conversation: &Value) -> Self {
        let participants = conversation["participants"].as_array().unwrap();
        Self {
            kind: conversation["type"].clone(),
            status: conversation["status"].clone(),
            participants: participants.iter().map(|one| one["id"].clone()).collect(),
        }
    }
}

impl Mirror {
    pub(super) fn new(is_lossy: bool) -> Self {
        Self { is_lossy, ..Self::default() }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        (self.conversations, self.rooms) = Default::default();
    }

    /// The conversations that it listens to.
    pub(super) fn rooms(&self) -> Vec<String> {
        self.rooms.keys().cloned().collect()
    }

    pub(super) fn is_in(&self, room: &str) -> bool {
        self.rooms.contains_key(room)
    }

    /// What it knows of a conversation.
    pub(super) fn known(&self, id: &str) -> Option<&Known> {
        self.conversations.get(id)
    }

    pub(super) fn knows(&self) -> usize {
        self.conversations.len()
    }

    /// The messages of a conversation that it listens to.
    pub(super) fn messages(&self, room: &str) -> &[Value] {
        &self.rooms[room]
    }

    /// It listens from now on, and has looked at what there is.
    pub(super) fn entered(&mut self, room: &str, messages: Vec<Value>) {
        self.rooms.insert(room.to_owned(), messages);
    }

    /// It does not listen any more.
    pub(super) fn left(&mut self, room: &str) {
        self.rooms.remove(room);
    }

    /// Its own user has read this, and is not told of it.
    pub(super) fn has_read(&mut self, room: &str, message: &str, reader: &str) {
        let Some(messages) = self.rooms.get_mut(room) else { return };
        if let Some(known) = messages.iter_mut().find(|known| known["id"] == message) {
            let reads = known["reads"].as_array_mut().unwrap();
            if !reads.iter().any(|one| one == reader) {
                reads.push(reader.into());
                reads.sort_unstable_by(|a, b| a.as_str().cmp(&b.as_str()));
            }
        }
    }

    /// Takes an event.
    pub(super) fn take(&mut self, name: &str, payload: &Value) {
        self.events += 1;
        if self.is_lossy && self.events.is_multiple_of(5) {
            return;
        }
        let id = || payload["conversationId"].as_str().unwrap();
        match name {
            "conversation:new" => self.update(&payload["conversation"]),
            "conversation:updated" if payload["gone"] == true => {
                assert!(self.conversations.remove(id()).is_some(), "gone, and was never here: {payload}");
                self.rooms.remove(id());
            }
            "conversation:updated" | "conversation:closed" => {
                assert_eq!(payload["conversation"]["id"], payload["conversationId"]);
                self.update(&payload["conversation"]);
            }
            "message:new" => {
                let room =
                    self.rooms.get_mut(id()).unwrap_or_else(|| panic!("heard from outside: {payload}"));
                assert!(self.is_lossy || payload["seq"] == room.len() + 1, "a hole or a repeat: {payload}");
                room.push(message(payload));
            }
            "message:read" => {
                let reader = payload["readBy"].as_str().unwrap().to_owned();
                let one = [payload["messageId"].clone()];
                let read = payload["messageIds"].as_array().map_or(&one[..], Vec::as_slice);
                for message in read {
                    self.has_read(id(), message.as_str().unwrap(), &reader);
                }
            }
            _ => {}
        }
    }

    fn update(&mut self, conversation: &Value) {
        self.conversations.insert(conversation["id"].as_str().unwrap().to_owned(), Known::of(conversation));
    }
}

/// A message, in whatever shape the server gives it, in the shape in which they are compared.
pub(super) fn message(given: &Value) -> Value {
    let reads = given["reads"].as_array().into_iter().flatten();
    let mut reads: Vec<&str> = reads.map(|read| read["user"]["id"].as_str().unwrap()).collect();
    reads.sort_unstable();
    let sender = [&given["sender"]["id"], &given["senderId"]].into_iter().find(|id| id.is_string());
    // The address of a file may be signed, each time anew.
    let file = given["fileUrl"].as_str().map(|url| url.split('?').next().unwrap());
    json!({"seq": given["seq"], "id": given["id"], "sender": sender.expect("somebody sent it"),
           "content": given["content"], "file": file, "reads": reads})
}
