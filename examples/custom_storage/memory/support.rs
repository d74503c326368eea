//! Visitors of websites, their conversations, and who has taken those on.

use async_trait::async_trait;
use priyo_core::model::{
    Contact, Conversation, ConversationCursor, ConversationId, ConversationKind, ConversationStatus,
    InboxItem, InboxState, MessageKind, Page, Role, Timestamp, User, UserId, Visitor,
};
use priyo_core::storage::{
    Claim, ConversationRow, NewMessageRow, Opened, Result, SupportRow, SupportStore, VisitorKey, VisitorRow,
};

use super::{MemoryStorage, Room, Said, State, Support, insert, taken};

#[async_trait]
impl SupportStore for MemoryStorage {
    async fn create_visitor(&self, new: &VisitorRow) -> Result<Visitor> {
        self.run(|state| {
            if let Some(identity) = &new.identity
                && let Some(known) = state.visitor(&VisitorKey::Identity(identity.clone()))
            {
                return Ok(known);
            }
            if new.token.is_some_and(|token| state.visitor(&VisitorKey::Token(token)).is_some()) {
                return Err(taken());
            }
            insert(&mut state.users, new.user.id, (new.user.clone(), None))?;
            state.visitors.insert(new.user.id, new.clone());
            Ok(shown(new, new.user.clone()))
        })
    }

    async fn visitor(&self, key: &VisitorKey) -> Result<Option<Visitor>> {
        self.run(|state| Ok(state.visitor(key)))
    }

    async fn set_contact(&self, visitor: UserId, contact: &Contact) -> Result<()> {
        self.run(|state| {
            if let Some(known) = state.visitors.get_mut(&visitor) {
                known.contact = contact.clone();
                if let (Some((user, _)), Some(name)) = (state.users.get_mut(&visitor), &contact.name) {
                    user.username.clone_from(name);
                }
            }
            Ok(())
        })
    }

    async fn open_support(&self, new: &SupportRow) -> Result<Opened> {
        self.run(|state| {
            if !state.visitors.contains_key(&new.visitor) {
                return Ok(Opened::NoVisitor);
            }
            if let Some(open) = state.open_support_of(new.visitor) {
                return Ok(Opened::Existing(state.conversation(&state.rooms[&open])));
            }
            let made = ConversationRow {
                id: new.id,
                kind: ConversationKind::Support,
                name: None,
                created_by: new.visitor,
                participants: vec![new.visitor],
                at: new.at,
            };
            let said = new.greeting.iter().map(|greeting| Said {
                row: NewMessageRow {
                    id: greeting.id,
                    conversation_id: new.id,
                    sender: greeting.sender,
                    client_message_id: None,
                    content: greeting.content.clone(),
                    kind: MessageKind::Text,
                    attachment: None,
                    at: new.at,
                },
                seq: 1,
                present: vec![new.visitor],
                reads: Vec::new(),
            });
            let room = Room {
                made,
                status: ConversationStatus::Open,
                touched_at: new.at,
                members: vec![(new.visitor, 0)],
                said: said.collect(),
                support: Some(Support { assignee: None, answered_seq: u64::from(new.greeting.is_some()) }),
            };
            if let Some(greeting) = &new.greeting {
                insert(&mut state.places, greeting.id, (new.id, 1))?;
            }
            insert(&mut state.rooms, new.id, room)?;
            Ok(Opened::Created(state.conversation(&state.rooms[&new.id])))
        })
    }

    async fn support_of(&self, visitor: UserId) -> Result<Option<Conversation>> {
        self.run(|state| {
            let own = state.rooms.values().filter(|room| room.visitor() == Some(visitor));
            let newest = own.max_by_key(|room| (room.status == ConversationStatus::Open, room.made.id));
            Ok(newest.map(|room| state.conversation(room)))
        })
    }

    async fn carry_support(&self, from: UserId, to: UserId, at: Timestamp) -> Result<Option<Conversation>> {
        self.run(|state| {
            let Some(id) = state.open_support_of(from) else { return Ok(None) };
            if state.open_support_of(to).is_some() {
                return Ok(None);
            }
            state.change(id, at, |room| room.carry(from, to));
            Ok(Some(state.conversation(&state.rooms[&id])))
        })
    }

    async fn inbox_item(&self, id: ConversationId, reader: Option<UserId>) -> Result<Option<InboxItem>> {
        self.run(|state| Ok(state.rooms.get(&id).and_then(|room| state.inbox_item(room, reader))))
    }

    async fn inbox(
        &self,
        wanted: InboxState,
        reader: UserId,
        after: Option<ConversationCursor>,
        limit: u32,
    ) -> Result<Page<InboxItem>> {
        self.run(|state| {
            let mut rooms: Vec<&Room> =
                state.rooms.values().filter(|room| room.is_in(wanted, reader)).collect();
            let key = |room: &Room| (room.updated_at(), room.made.id);
            rooms.retain(|room| after.is_none_or(|after| key(room) < (after.updated_at, after.id)));
            rooms.sort_unstable_by_key(|room| std::cmp::Reverse(key(room)));
            let has_more = rooms.len() > limit as usize;
            rooms.truncate(limit as usize);
            let items = rooms.into_iter().filter_map(|room| state.inbox_item(room, Some(reader)));
            Ok(Page { items: items.collect(), has_more })
        })
    }

    async fn agents(&self, part: &str, limit: u32) -> Result<Vec<User>> {
        self.run(|state| {
            let part = part.to_ascii_lowercase();
            let users = state.users.values().map(|(user, _)| user);
            let is_meant = |user: &&User| {
                user.role != Role::Customer
                    && !user.disabled
                    && user.username.to_ascii_lowercase().contains(&part)
            };
            let mut agents: Vec<User> = users.filter(is_meant).cloned().collect();
            agents.sort_by_key(|user| (user.username.to_ascii_lowercase(), user.id));
            agents.truncate(limit as usize);
            Ok(agents)
        })
    }

    async fn supports_of(&self, agent: UserId) -> Result<Vec<ConversationId>> {
        self.run(|state| {
            let is_taken_on =
                |room: &&Room| room.support.is_some() && room.has(agent) && room.made.created_by != agent;
            Ok(state.rooms.values().filter(is_taken_on).map(|room| room.made.id).collect())
        })
    }

    async fn claim_support(&self, id: ConversationId, agent: UserId, at: Timestamp) -> Result<Claim> {
        self.run(|state| {
            let Some(room) = state.rooms.get(&id) else { return Ok(Claim::NotFound) };
            let Some(support) = &room.support else { return Ok(Claim::NotFound) };
            let (assignee, was_in, last_seq) = (support.assignee, room.has(agent), room.last_seq());
            match assignee {
                Some(other) if other != agent => return Ok(Claim::Taken(state.users[&other].0.brief())),
                Some(_) => {}
                None => state.change(id, at, |room| {
                    if !was_in {
                        room.members.push((agent, last_seq));
                    }
                    room.support.iter_mut().for_each(|support| support.assignee = Some(agent));
                }),
            }
            Ok(Claim::Claimed { conversation: state.conversation(&state.rooms[&id]), was_in })
        })
    }
}

fn shown(row: &VisitorRow, user: User) -> Visitor {
    Visitor { user, identity: row.identity.clone(), contact: row.contact.clone() }
}

impl State {
    fn visitor(&self, key: &VisitorKey) -> Option<Visitor> {
        let is_meant = |row: &&VisitorRow| match key {
            VisitorKey::User(id) => row.user.id == *id,
            VisitorKey::Token(hash) => row.token == Some(*hash),
            VisitorKey::Identity(identity) => row.identity.as_ref() == Some(identity),
        };
        let row = self.visitors.values().find(is_meant)?;
        Some(shown(row, self.users[&row.user.id].0.clone()))
    }

    /// The open support conversation of a visitor: there is one at most.
    pub(super) fn open_support_of(&self, visitor: UserId) -> Option<ConversationId> {
        let mut own = self.rooms.values().filter(|room| room.visitor() == Some(visitor));
        own.find(|room| room.status == ConversationStatus::Open).map(|room| room.made.id)
    }

    fn inbox_item(&self, room: &Room, reader: Option<UserId>) -> Option<InboxItem> {
        let support = room.support.as_ref()?;
        let mut summary = self.summary(room, reader.unwrap_or(room.made.created_by));
        if reader.is_none_or(|reader| !room.has(reader)) {
            summary.unread = room.last_seq() - support.answered_seq;
        }
        let first = room.said.iter().find(|said| said.seq > support.answered_seq);
        Some(InboxItem {
            summary,
            visitor_id: room.made.created_by,
            visitor: self.visitors[&room.made.created_by].contact.clone(),
            assignee: support.assignee.map(|id| self.users[&id].0.brief()),
            waiting_since: first.map(|said| said.row.at),
        })
    }
}

impl Room {
    /// Whose it is, if it is one of support.
    pub(super) fn visitor(&self) -> Option<UserId> {
        self.support.as_ref().map(|_| self.made.created_by)
    }

    fn is_in(&self, state: InboxState, reader: UserId) -> bool {
        let Some(support) = &self.support else { return false };
        let is_open = self.status == ConversationStatus::Open;
        match state {
            InboxState::Unassigned => {
                let has_question = self.last_seq() > support.answered_seq || self.last_seq() > 1;
                is_open && support.assignee.is_none() && has_question
            }
            InboxState::Mine => is_open && support.assignee == Some(reader),
            InboxState::Open => is_open,
            InboxState::Closed => !is_open,
        }
    }

    /// Makes it another visitor's, as if it had been so from the start.
    fn carry(&mut self, from: UserId, to: UserId) {
        let change = |user: &mut UserId| {
            if *user == from {
                *user = to;
            }
        };
        change(&mut self.made.created_by);
        self.made.participants.iter_mut().for_each(change);
        self.members.iter_mut().for_each(|(user, _)| change(user));
        for said in &mut self.said {
            change(&mut said.row.sender);
            said.present.iter_mut().for_each(change);
            said.reads.iter_mut().for_each(|(user, _)| change(user));
        }
    }
}
