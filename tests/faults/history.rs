//! What was asked of a server and what came of it, as the clients saw it.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use priyo_tests::Told;
use serde_json::{Value, json};

/// The way that a message takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Door {
    Rest,
    Socket,
}

impl Door {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Rest => Self::Socket,
            Self::Socket => Self::Rest,
        }
    }
}

/// A message that somebody wants to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Send {
    pub(crate) sender: String,
    pub(crate) conversation: String,
    /// The sender's name for it. Of one who gives none, who must be a control, it is the text.
    pub(crate) client_message_id: String,
    pub(crate) content: String,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// A send begins.
    Invoke(Arc<Send>, Door),
    /// It was acknowledged.
    Ok(Arc<Send>, Told),
    /// It was refused: it must never be there.
    Fail(Arc<Send>, String),
    /// Nobody knows: it may be there or not.
    Unknown(Arc<Send>, Door),
    /// A live event came to somebody.
    Heard { receiver: String, told: Told },
    /// All that somebody has of a conversation after they have asked for what they missed.
    View { receiver: String, conversation: String, door: Door, messages: Arc<[Told]> },
    /// Somebody was told that they have read this message.
    Marked { reader: String, conversation: String, seq: u64 },
    /// What somebody is told they have not read, while nobody does anything.
    Unread { reader: String, conversation: String, count: u64 },
}

/// Everything that happened, in order, here and in a file of JSON lines.
#[derive(Debug)]
pub(crate) struct History {
    begin: Instant,
    kept: Mutex<(Vec<Record>, File)>,
}

impl History {
    pub(crate) fn new(path: &Path) -> Self {
        let file = File::create(path).unwrap();
        Self { begin: Instant::now(), kept: Mutex::new((Vec::new(), file)) }
    }

    pub(crate) fn add(&self, record: Record) {
        let mut line = json_of(&record);
        let mut kept = self.kept.lock().unwrap();
        // The time is taken under the lock, so that the lines are in its order.
        line["atMs"] = u64::try_from(self.begin.elapsed().as_millis()).unwrap().into();
        writeln!(kept.1, "{line}").unwrap();
        kept.0.push(record);
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.kept.lock().unwrap().0.clone()
    }

    /// The sends of which nobody knows yet what became of them, oldest first, each with the door that it took last.
    pub(crate) fn unknown(&self) -> Vec<(Arc<Send>, Door)> {
        let records = self.records();
        let mut known = HashSet::new();
        let mut open = Vec::new();
        for record in records.iter().rev() {
            match record {
                Record::Ok(send, _) | Record::Fail(send, _) => {
                    known.insert(send.client_message_id.clone());
                }
                Record::Unknown(send, door) if known.insert(send.client_message_id.clone()) => {
                    open.push((send.clone(), *door));
                }
                _ => {}
            }
        }
        open.reverse();
        open
    }

    /// How many sends were acknowledged, each counted once.
    pub(crate) fn acknowledged(&self) -> usize {
        let records = self.records();
        let acknowledged = records.iter().filter_map(|record| match record {
            Record::Ok(send, _) => Some(send.client_message_id.as_str()),
            _ => None,
        });
        acknowledged.collect::<HashSet<_>>().len()
    }
}

fn json_of(record: &Record) -> Value {
    let about = |kind: &str, send: &Send| {
        json!({"type": kind, "sender": send.sender, "conversation": send.conversation,
               "clientMessageId": send.client_message_id})
    };
    let told = |line: &mut Value, told: &Told| {
        line["conversation"] = told.conversation.clone().into();
        line["seq"] = told.seq.into();
        line["id"] = told.id.clone().into();
        line["sender"] = told.sender.clone().into();
        line["content"] = told.content.clone().into();
    };
    match record {
        Record::Invoke(send, door) => {
            let mut line = about("invoke", send);
            line["door"] = format!("{door:?}").into();
            line["content"] = send.content.clone().into();
            line
        }
        Record::Ok(send, answer) => {
            let mut line = about("ok", send);
            told(&mut line, answer);
            line
        }
        Record::Fail(send, code) => {
            let mut line = about("fail", send);
            line["code"] = code.clone().into();
            line
        }
        Record::Unknown(send, door) => {
            let mut line = about("unknown", send);
            line["door"] = format!("{door:?}").into();
            line
        }
        Record::Heard { receiver, told: event } => {
            let mut line = json!({"type": "heard", "receiver": receiver});
            told(&mut line, event);
            line
        }
        Record::View { receiver, conversation, door, messages } => {
            let ids: Vec<_> = messages.iter().map(|told| json!([told.seq, told.id])).collect();
            json!({"type": "view", "receiver": receiver, "conversation": conversation,
                   "door": format!("{door:?}"), "messages": ids})
        }
        Record::Marked { reader, conversation, seq } => {
            json!({"type": "marked", "reader": reader, "conversation": conversation, "seq": seq})
        }
        Record::Unread { reader, conversation, count } => {
            json!({"type": "unread", "reader": reader, "conversation": conversation, "count": count})
        }
    }
}
