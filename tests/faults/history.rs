//! What was asked of a server and what came of it, as the clients saw it.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};

/// The way that a message takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub(crate) client_message_id: String,
    pub(crate) content: String,
}

/// A message as a client was told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) conversation: String,
    pub(crate) seq: u64,
    pub(crate) id: String,
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
    /// A live event came.
    Heard(Told),
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
        let mut kept = self.kept.lock().unwrap();
        // The time is taken under the lock, so that the lines are in its order.
        let mut line = json_of(&record);
        line["atMs"] = u64::try_from(self.begin.elapsed().as_millis()).unwrap().into();
        writeln!(kept.1, "{line}").unwrap();
        kept.0.push(record);
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.kept.lock().unwrap().0.clone()
    }

    /// The sends of which nobody knows yet what became of them, each with the door that it took last.
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
        open
    }

    /// How many sends were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.records().iter().filter(|record| matches!(record, Record::Ok(..))).count()
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
        Record::Heard(event) => {
            let mut line = json!({"type": "heard"});
            told(&mut line, event);
            line
        }
    }
}
