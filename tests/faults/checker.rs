//! Compares what clients were told with what is stored.
//!
//! The rules, and what a breach of each is called here:
//!
//! 1. Every acknowledged message is there ([`Violation::Lost`]), and every acknowledged read mark
//!    ([`Violation::ReadLost`]).
//! 2. A client's name for a message stands for one row ([`Violation::Doubled`]).
//! 3. The numbers of a conversation are 1, 2, 3 and so on ([`Violation::Miscounted`]).
//! 4. What somebody sent one after the other is stored in that order ([`Violation::Reordered`]).
//! 5. Acknowledgement, event, history and row say the same ([`Violation::Changed`], [`Violation::Unheard`]).
//! 6. Whoever has asked for what they missed has what is stored ([`Violation::Unlike`], [`Violation::Behind`]), and
//!    who is not in a conversation hears nothing of it ([`Violation::Leaked`]).
//! 7. What is unread is what a naive count finds ([`Violation::WrongUnread`]).
//! 8. There is no row that nobody sent ([`Violation::Unsent`]).

use std::collections::{BTreeMap, HashMap, HashSet};

use priyo_tests::Told;

use crate::history::{Door, Record, Send};
use crate::stored::{Row, Stored};

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Violation {
    /// It was acknowledged, and is not there.
    Lost { client_message_id: String },
    /// Somebody was told that they have read it, and that is not there.
    ReadLost { reader: String, conversation: String, seq: u64 },
    /// One id, several rows.
    Doubled { client_message_id: String },
    /// The numbers of a conversation are not 1, 2, 3 and so on.
    Miscounted { conversation: String, expected: u64, found: u64 },
    /// Somebody sent one after the other, and they are stored the other way round.
    Reordered { first: String, then: String },
    /// It is there, but not as it was acknowledged.
    Changed { acknowledged: Told, stored: Row },
    /// A client was told of it by an event, and it is not there as it was told.
    Unheard { conversation: String, seq: u64 },
    /// What somebody has of a conversation differs from what is stored, here for the first time.
    Unlike { receiver: String, conversation: String, door: Door, at: u64 },
    /// Somebody asked for what they missed, and did not get all of it.
    Behind { receiver: String, conversation: String, door: Door, has: usize, stored: usize },
    /// Somebody was told of a conversation that they are not in.
    Leaked { receiver: String, conversation: String },
    /// Somebody was told another number of unread messages than there are.
    WrongUnread { reader: String, conversation: String, told: u64, counted: u64 },
    /// A row that nobody sent, or that was refused.
    Unsent { row: Row },
}

/// All promises that are broken. Who is in a conversation must have been so from its beginning to its end.
pub(crate) fn check(history: &[Record], stored: &Stored) -> Vec<Violation> {
    let mut checker = Checker::new(stored);
    checker.names_stand_for_one_row();
    checker.numbers_have_no_gap();
    checker.rows_were_sent(history);
    checker.senders_order_is_kept(history);
    for record in history {
        match record {
            Record::Ok(send, told) => checker.acknowledged(send, told),
            Record::Heard { receiver, told } => checker.heard(receiver, told),
            Record::View { receiver, conversation, door, messages } => {
                checker.seen(receiver, conversation, *door, messages);
            }
            Record::Marked { reader, conversation, seq } => checker.marked(reader, conversation, *seq),
            Record::Invoke(..) | Record::Fail(..) | Record::Unknown(..) | Record::Unread { .. } => {}
        }
    }
    checker.last_views_are_whole(history);
    checker.last_counts_are_right(history);
    checker.violations
}

struct Checker<'a> {
    stored: &'a Stored,
    by_name: HashMap<&'a str, Vec<&'a Row>>,
    by_conversation: BTreeMap<&'a str, Vec<&'a Row>>,
    violations: Vec<Violation>,
}

impl<'a> Checker<'a> {
    fn new(stored: &'a Stored) -> Self {
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        let mut by_conversation: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
        for row in &stored.messages {
            by_name.entry(row.client_message_id.as_str()).or_default().push(row);
            by_conversation.entry(row.conversation.as_str()).or_default().push(row);
        }
        by_conversation.values_mut().for_each(|rows| rows.sort_by_key(|row| row.seq));
        Self { stored, by_name, by_conversation, violations: Vec::new() }
    }

    fn rows(&self, conversation: &str) -> &[&'a Row] {
        self.by_conversation.get(conversation).map(Vec::as_slice).unwrap_or_default()
    }

    fn row(&self, conversation: &str, seq: u64) -> Option<&'a Row> {
        let rows = self.rows(conversation);
        rows.binary_search_by_key(&seq, |row| row.seq).ok().map(|place| rows[place])
    }

    fn is_in(&self, user: &str, conversation: &str) -> bool {
        self.stored.participants.contains(&(conversation.to_owned(), user.to_owned()))
    }

    fn names_stand_for_one_row(&mut self) {
        let doubled = self.by_name.iter().filter(|(_, rows)| rows.len() > 1);
        self.violations
            .extend(doubled.map(|(name, _)| Violation::Doubled { client_message_id: (*name).to_owned() }));
    }

    fn numbers_have_no_gap(&mut self) {
        for (conversation, rows) in &self.by_conversation {
            let wrong = (1..).zip(rows).find(|(expected, row)| *expected != row.seq);
            if let Some((expected, row)) = wrong {
                let conversation = (*conversation).to_owned();
                self.violations.push(Violation::Miscounted { conversation, expected, found: row.seq });
            }
        }
    }

    fn rows_were_sent(&mut self, history: &[Record]) {
        let mut sent: HashMap<&str, &Send> = HashMap::new();
        let mut refused = HashSet::new();
        for record in history {
            match record {
                Record::Invoke(send, _) => {
                    sent.insert(&send.client_message_id, send);
                }
                Record::Fail(send, _) => {
                    refused.insert(send.client_message_id.as_str());
                }
                _ => {}
            }
        }
        for row in &self.stored.messages {
            let name = row.client_message_id.as_str();
            if refused.contains(name) || !sent.get(name).is_some_and(|send| is_of(row, send)) {
                self.violations.push(Violation::Unsent { row: row.clone() });
            }
        }
    }

    /// A client sends what is not acknowledged again in the order in which it sent it first.
    fn senders_order_is_kept(&mut self, history: &[Record]) {
        let mut last: HashMap<(&str, &str), &Row> = HashMap::new();
        let mut begun = HashSet::new();
        for record in history {
            let Record::Invoke(send, _) = record else { continue };
            if !begun.insert(&send.client_message_id) {
                continue;
            }
            let Some(row) = self.by_name.get(send.client_message_id.as_str()).map(|rows| rows[0]) else {
                continue;
            };
            if let Some(before) = last.insert((&send.sender, &send.conversation), row)
                && before.seq >= row.seq
            {
                let (first, then) = (before.client_message_id.clone(), row.client_message_id.clone());
                self.violations.push(Violation::Reordered { first, then });
            }
        }
    }

    fn acknowledged(&mut self, send: &Send, told: &Told) {
        match self.by_name.get(send.client_message_id.as_str()) {
            None => {
                let client_message_id = send.client_message_id.clone();
                self.violations.push(Violation::Lost { client_message_id });
            }
            Some(rows) if rows.iter().any(|row| is_as_told(row, told) && is_of(row, send)) => {}
            Some(rows) => {
                let (acknowledged, stored) = (told.clone(), rows[0].clone());
                self.violations.push(Violation::Changed { acknowledged, stored });
            }
        }
    }

    fn heard(&mut self, receiver: &str, told: &Told) {
        if !self.is_in(receiver, &told.conversation) {
            self.leaked(receiver, &told.conversation);
        }
        if !self.row(&told.conversation, told.seq).is_some_and(|row| is_as_told(row, told)) {
            let (conversation, seq) = (told.conversation.clone(), told.seq);
            self.violations.push(Violation::Unheard { conversation, seq });
        }
    }

    /// Whatever is stored later, what somebody had once must be its beginning.
    fn seen(&mut self, receiver: &str, conversation: &str, door: Door, messages: &[Told]) {
        if !self.is_in(receiver, conversation) {
            self.leaked(receiver, conversation);
        }
        let is_other =
            |(at, told): &(u64, &Told)| !self.row(conversation, *at).is_some_and(|row| is_as_told(row, told));
        if let Some((at, _)) = (1..).zip(messages).find(is_other) {
            let (receiver, conversation) = (receiver.to_owned(), conversation.to_owned());
            self.violations.push(Violation::Unlike { receiver, conversation, door, at });
        }
    }

    fn leaked(&mut self, receiver: &str, conversation: &str) {
        let (receiver, conversation) = (receiver.to_owned(), conversation.to_owned());
        self.violations.push(Violation::Leaked { receiver, conversation });
    }

    fn marked(&mut self, reader: &str, conversation: &str, seq: u64) {
        let (reader, conversation) = (reader.to_owned(), conversation.to_owned());
        if !self.stored.reads.contains(&(conversation.clone(), seq, reader.clone())) {
            self.violations.push(Violation::ReadLost { reader, conversation, seq });
        }
    }

    /// The last that each had of each conversation is all that is stored of it.
    fn last_views_are_whole(&mut self, history: &[Record]) {
        let mut last = BTreeMap::new();
        for record in history {
            if let Record::View { receiver, conversation, door, messages } = record {
                last.insert((receiver, conversation, *door == Door::Rest), (*door, messages.len()));
            }
        }
        for ((receiver, conversation, _), (door, has)) in last {
            let stored = self.rows(conversation).len();
            if has < stored {
                let (receiver, conversation) = (receiver.clone(), conversation.clone());
                self.violations.push(Violation::Behind { receiver, conversation, door, has, stored });
            }
        }
    }

    fn last_counts_are_right(&mut self, history: &[Record]) {
        let mut last = BTreeMap::new();
        for record in history {
            if let Record::Unread { reader, conversation, count } = record {
                last.insert((reader, conversation), *count);
            }
        }
        for ((reader, conversation), told) in last {
            let is_unread = |row: &&&Row| {
                let read = (conversation.clone(), row.seq, reader.clone());
                row.sender != *reader && !self.stored.reads.contains(&read)
            };
            let counted = self.rows(conversation).iter().filter(is_unread).count() as u64;
            if told != counted {
                let (reader, conversation) = (reader.clone(), conversation.clone());
                self.violations.push(Violation::WrongUnread { reader, conversation, told, counted });
            }
        }
    }
}

fn is_as_told(row: &Row, told: &Told) -> bool {
    (&row.conversation, row.seq, &row.id, &row.sender, &row.content)
        == (&told.conversation, told.seq, &told.id, &told.sender, &told.content)
}

fn is_of(row: &Row, send: &Send) -> bool {
    (&row.sender, &row.conversation, &row.content) == (&send.sender, &send.conversation, &send.content)
}
