//! The rules of the chat, word for word.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Flaw;
use super::steps::PEOPLE;

/// What the chat is to answer; a refusal by its code.
pub(super) type Answer<T> = Result<T, &'static str>;

const NOT_FOUND: &str = "not_found";
const FORBIDDEN: &str = "forbidden";
const REFUSED: &str = "validation_failed";

/// What each may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    Customer,
    Agent,
    Admin,
}

pub(super) const RANKS: [Rank; PEOPLE] =
    [Rank::Customer, Rank::Agent, Rank::Customer, Rank::Agent, Rank::Admin];

/// Everything that there is.
#[derive(Debug)]
pub(super) struct Model {
    flaw: Flaw,
    pub(super) conversations: Vec<Conversation>,
    pub(super) files: Vec<File>,
}

#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) id: String,
    direct: bool,
    open: bool,
    creator: usize,
    /// In the order in which they came.
    members: Vec<usize>,
    pub(super) messages: Vec<Message>,
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) id: String,
    sender: usize,
    name: Option<u8>,
    content: String,
    file: Option<usize>,
    /// Who was in the conversation when it was sent.
    present: BTreeSet<usize>,
    read_by: BTreeSet<usize>,
}

#[derive(Debug)]
pub(super) struct File {
    pub(super) owner: usize,
    pub(super) id: String,
    pub(super) url: String,
}

/// Something to say.
#[derive(Debug, Clone)]
pub(super) struct Saying {
    pub(super) name: Option<u8>,
    pub(super) content: String,
    pub(super) file: Option<usize>,
}

/// A message that was taken, by its place: the new last one, or the one that it repeats.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    New,
    Repeat(usize),
}

impl Model {
    pub(super) fn new(flaw: Flaw) -> Self {
        Self { flaw, conversations: Vec::new(), files: Vec::new() }
    }

    fn visible(&self, by: usize, at: usize) -> Answer<&Conversation> {
        let conversation = &self.conversations[at];
        let may = conversation.members.contains(&by) || RANKS[by] == Rank::Admin;
        if may { Ok(conversation) } else { Err(NOT_FOUND) }
    }

    fn joined(&self, by: usize, at: usize) -> Answer<&Conversation> {
        let conversation = self.visible(by, at)?;
        if conversation.members.contains(&by) { Ok(conversation) } else { Err(FORBIDDEN) }
    }

    /// The open direct conversation of two.
    fn open_direct(&self, pair: &[usize]) -> Option<usize> {
        let is_theirs =
            |one: &Conversation| one.direct && one.open && pair.iter().all(|p| one.members.contains(p));
        self.conversations.iter().position(is_theirs)
    }

    /// Gives who would be in it; or the code, and the conversation that is in the way.
    pub(super) fn create(
        &self,
        by: usize,
        direct: bool,
        with: &[usize],
    ) -> Result<Vec<usize>, (&'static str, Option<usize>)> {
        let mut members = vec![by];
        for person in with {
            if !members.contains(person) {
                members.push(*person);
            }
        }
        if direct && members.len() != 2 {
            return Err((REFUSED, None));
        }
        match self.open_direct(&members).filter(|_| direct) {
            Some(other) => Err(("direct_exists", Some(other))),
            None => Ok(members),
        }
    }

    pub(super) fn created(&mut self, id: String, direct: bool, members: Vec<usize>) {
        let (creator, messages) = (members[0], Vec::new());
        self.conversations.push(Conversation { id, direct, open: true, creator, members, messages });
    }

    pub(super) fn send(&mut self, by: usize, at: usize, saying: &Saying) -> Answer<Taken> {
        if let Some(file) = saying.file {
            self.joined(by, at)?;
            if self.files[file].owner != by {
                return Err(NOT_FOUND);
            }
        }
        if self.flaw != Flaw::WhoLeavesMaySend {
            self.joined(by, at)?;
        }
        let conversation = &mut self.conversations[at];
        let is_first =
            |message: &Message| message.name.is_some() && message.name == saying.name && message.sender == by;
        if let Some(place) = conversation.messages.iter().position(is_first) {
            let first = &conversation.messages[place];
            let same = (&first.content, first.file) == (&saying.content, saying.file);
            return if same { Ok(Taken::Repeat(place)) } else { Err("client_id_reused") };
        }
        if !conversation.open {
            return Err("conversation_closed");
        }
        conversation.messages.push(Message {
            id: String::new(),
            sender: by,
            name: saying.name,
            content: saying.content.clone(),
            file: saying.file,
            present: conversation.members.iter().copied().collect(),
            read_by: BTreeSet::new(),
        });
        Ok(Taken::New)
    }

    /// Marks messages, given by conversation and place; all must be in `within` if it is given.
    pub(super) fn read(
        &mut self,
        by: usize,
        within: Option<usize>,
        messages: &[(usize, usize)],
    ) -> Answer<()> {
        if let Some(within) = within {
            self.joined(by, within)?;
        }
        if messages.iter().any(|(at, _)| within.is_some_and(|within| within != *at)) {
            return Err(REFUSED);
        }
        let is_in = |at: usize| self.conversations[at].members.contains(&by);
        if !messages.iter().all(|(at, _)| is_in(*at)) {
            return Err(if RANKS[by] == Rank::Admin { FORBIDDEN } else { REFUSED });
        }
        for (at, place) in messages {
            let first = if self.flaw == Flaw::ReadingOneReadsAllBefore { 0 } else { *place };
            for message in &mut self.conversations[*at].messages[first..=*place] {
                if message.sender != by {
                    message.read_by.insert(by);
                }
            }
        }
        Ok(())
    }

    /// Whether one may listen.
    pub(super) fn listen(&self, by: usize, at: usize) -> Answer<()> {
        self.visible(by, at).map(drop)
    }

    pub(super) fn leave(&mut self, by: usize, at: usize) -> Answer<()> {
        let conversation = self.visible(by, at)?;
        if !conversation.members.contains(&by) {
            return Err(NOT_FOUND);
        }
        if conversation.direct {
            return Err(REFUSED);
        }
        self.conversations[at].members.retain(|member| *member != by);
        Ok(())
    }

    fn arrange(&self, by: usize, at: usize) -> Answer<()> {
        let conversation = self.visible(by, at)?;
        if conversation.direct {
            return Err(REFUSED);
        }
        let is_in = conversation.members.contains(&by);
        let may =
            is_in && (conversation.creator == by || RANKS[by] == Rank::Agent) || RANKS[by] == Rank::Admin;
        if may { Ok(()) } else { Err(FORBIDDEN) }
    }

    pub(super) fn add(&mut self, by: usize, at: usize, whom: usize) -> Answer<()> {
        self.arrange(by, at)?;
        let members = &mut self.conversations[at].members;
        if !members.contains(&whom) {
            members.push(whom);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, by: usize, at: usize, whom: usize) -> Answer<()> {
        self.arrange(by, at)?;
        let members = &mut self.conversations[at].members;
        if !members.contains(&whom) {
            return Err(NOT_FOUND);
        }
        members.retain(|member| *member != whom);
        Ok(())
    }

    /// Closes it or opens it again.
    pub(super) fn set_open(&mut self, by: usize, at: usize, open: bool) -> Answer<()> {
        if RANKS[by] == Rank::Customer {
            return Err(FORBIDDEN);
        }
        let conversation = self.visible(by, at)?;
        if open
            && !conversation.open
            && conversation.direct
            && self.open_direct(&conversation.members).is_some()
        {
            return Err("direct_exists");
        }
        self.conversations[at].open = open;
        Ok(())
    }

    /// Whether one may have the bytes of a file.
    pub(super) fn fetch(&self, by: usize, file: usize) -> Answer<()> {
        let carries = |one: &Conversation| one.messages.iter().any(|message| message.file == Some(file));
        let sees = |one: &Conversation| one.members.contains(&by) || RANKS[by] == Rank::Admin;
        let may =
            self.files[file].owner == by || self.conversations.iter().any(|one| carries(one) && sees(one));
        if may { Ok(()) } else { Err(NOT_FOUND) }
    }

    fn unread(&self, by: usize, at: usize) -> usize {
        let is_unread = |message: &&Message| {
            message.sender != by && message.present.contains(&by) && !message.read_by.contains(&by)
        };
        self.conversations[at].messages.iter().filter(is_unread).count()
    }

    /// What one is to see who looks at everything, by conversation. `ids` are those of the people.
    pub(super) fn seen_by(&self, by: usize, ids: &[String]) -> Map<String, Value> {
        let own = self.conversations.iter().enumerate().filter(|(_, one)| one.members.contains(&by));
        let seen = |(at, one): (usize, &Conversation)| {
            let members: Vec<&str> = one.members.iter().map(|person| ids[*person].as_str()).collect();
            let messages = self.messages(at, ids);
            let seen = json!({
                "type": if one.direct { "DIRECT" } else { "GROUP" },
                "status": if one.open { "OPEN" } else { "CLOSED" },
                "participants": members,
                "lastSeq": messages.len(),
                "last": messages.last().map(|last| last["id"].clone()),
                "unread": self.unread(by, at),
                "messages": messages,
            });
            (one.id.clone(), seen)
        };
        own.map(seen).collect()
    }

    /// Every message of a conversation, in the shape in which they are compared.
    pub(super) fn messages(&self, at: usize, ids: &[String]) -> Vec<Value> {
        let message = |(place, one): (usize, &Message)| {
            json!({
                "seq": place + 1,
                "id": one.id,
                "sender": ids[one.sender],
                "content": one.content,
                "file": one.file.map(|file| self.files[file].url.clone()),
                "reads": one.read_by.iter().map(|reader| ids[*reader].clone()).collect::<BTreeSet<_>>(),
            })
        };
        self.conversations[at].messages.iter().enumerate().map(message).collect()
    }
}
