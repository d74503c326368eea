//! Conversations, and who is in them.

use async_trait::async_trait;
use priyo_core::model::{
    Conversation, ConversationCursor, ConversationId, ConversationKind, ConversationStatus,
    ConversationSummary, Page, Timestamp, UserId,
};
use priyo_core::storage::{
    Addition, ConversationRow, ConversationStore, Created, Result, Standing, StatusChange,
};

use super::{MemoryStorage, Room, State, insert};

#[async_trait]
impl ConversationStore for MemoryStorage {
    async fn create_conversation(&self, new: &ConversationRow) -> Result<Created> {
        self.run(|state| {
            if !new.participants.iter().all(|user| state.is_active(*user)) {
                return Ok(Created::UnknownParticipant);
            }
            if let Some(other) = state.open_direct(new) {
                return Ok(Created::DirectExists(other));
            }
            let room = Room {
                made: new.clone(),
                status: ConversationStatus::Open,
                touched_at: new.at,
                members: new.participants.iter().map(|user| (*user, 0)).collect(),
                said: Vec::new(),
                support: None,
            };
            insert(&mut state.rooms, new.id, room)?;
            Ok(Created::Created(state.conversation(&state.rooms[&new.id])))
        })
    }

    async fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>> {
        self.run(|state| Ok(state.rooms.get(&id).map(|room| state.conversation(room))))
    }

    async fn standing(&self, id: ConversationId, user: UserId) -> Result<Option<Standing>> {
        self.run(|state| Ok(state.standing(id, user)))
    }

    async fn standings(&self, of: &[(ConversationId, UserId)]) -> Result<Vec<Option<Standing>>> {
        self.run(|state| Ok(of.iter().map(|(id, user)| state.standing(*id, *user)).collect()))
    }

    async fn conversations(
        &self,
        of: Option<UserId>,
        reader: UserId,
        after: Option<ConversationCursor>,
        limit: u32,
    ) -> Result<Page<ConversationSummary>> {
        self.run(|state| {
            let rooms = state.rooms.values().filter(|room| of.is_none_or(|user| room.has(user)));
            let mut keys: Vec<_> = rooms.map(|room| (room.updated_at(), room.made.id)).collect();
            keys.retain(|key| after.is_none_or(|after| *key < (after.updated_at, after.id)));
            // Of one moment the larger id is first: pages must agree on it.
            keys.sort_unstable_by(|one, other| other.cmp(one));
            let has_more = keys.len() > limit as usize;
            keys.truncate(limit as usize);
            let items = keys.into_iter().map(|(_, id)| state.summary(&state.rooms[&id], reader)).collect();
            Ok(Page { items, has_more })
        })
    }

    async fn conversations_except(
        &self,
        user: UserId,
        known: &[ConversationId],
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Page<ConversationSummary>> {
        self.run(|state| {
            let own = state.rooms.values().filter(|room| room.has(user)).map(|room| room.made.id);
            let mut ids: Vec<_> =
                own.filter(|id| !known.contains(id) && after.is_none_or(|after| *id > after)).collect();
            ids.sort_unstable();
            let has_more = ids.len() > limit as usize;
            ids.truncate(limit as usize);
            let items = ids.into_iter().map(|id| state.summary(&state.rooms[&id], user)).collect();
            Ok(Page { items, has_more })
        })
    }

    async fn set_status(
        &self,
        id: ConversationId,
        status: ConversationStatus,
        at: Timestamp,
    ) -> Result<StatusChange> {
        self.run(|state| {
            let Some(room) = state.rooms.get(&id) else { return Ok(StatusChange::NotFound) };
            if room.status == status {
                return Ok(StatusChange::Unchanged(state.conversation(room)));
            }
            if status == ConversationStatus::Open
                && let Some(other) = state.open_direct(&room.made)
            {
                return Ok(StatusChange::DirectExists(other));
            }
            state.change(id, at, |room| room.status = status);
            Ok(StatusChange::Changed(state.conversation(&state.rooms[&id])))
        })
    }

    async fn add_participants(
        &self,
        id: ConversationId,
        users: &[UserId],
        max: usize,
        at: Timestamp,
    ) -> Result<Addition> {
        self.run(|state| {
            let Some(room) = state.rooms.get(&id) else { return Ok(Addition::NotFound) };
            if !users.iter().all(|user| state.is_active(*user)) {
                return Ok(Addition::UnknownUser);
            }
            let mut added = Vec::new();
            for user in users {
                if !room.has(*user) && !added.contains(user) {
                    added.push(*user);
                }
            }
            if !added.is_empty() {
                if room.members.len() + added.len() > max {
                    return Ok(Addition::TooMany);
                }
                // What was before a newcomer is not waited for: their delivered mark begins at the newest message.
                let came = added.iter().map(|user| (*user, room.last_seq())).collect::<Vec<_>>();
                state.change(id, at, |room| room.members.extend(came));
            }
            Ok(Addition::Added { conversation: state.conversation(&state.rooms[&id]), added })
        })
    }

    async fn remove_participant(
        &self,
        id: ConversationId,
        user: UserId,
        at: Timestamp,
    ) -> Result<Option<Conversation>> {
        self.run(|state| {
            if !state.rooms.get(&id).is_some_and(|room| room.has(user)) {
                return Ok(None);
            }
            state.change(id, at, |room| {
                room.members.retain(|(member, _)| *member != user);
                room.support.iter_mut().for_each(|support| {
                    support.assignee = support.assignee.filter(|assignee| *assignee != user);
                });
            });
            Ok(Some(state.conversation(&state.rooms[&id])))
        })
    }
}

impl State {
    fn is_active(&self, user: UserId) -> bool {
        self.users.get(&user).is_some_and(|(user, _)| !user.disabled)
    }

    pub(super) fn standing(&self, id: ConversationId, user: UserId) -> Option<Standing> {
        let room = self.rooms.get(&id)?;
        Some(Standing {
            is_participant: room.has(user),
            created_by: room.made.created_by,
            kind: room.made.kind,
            status: room.status,
            last_seq: room.last_seq(),
            delivered_seq: room.members.iter().find(|(id, _)| *id == user).map_or(0, |(_, seq)| *seq),
        })
    }

    /// The open direct conversation between the two that `new` is to be between, if it is to be a direct one; the open
    /// one of the same visitor, if it is one of support.
    fn open_direct(&self, new: &ConversationRow) -> Option<ConversationId> {
        if new.kind == ConversationKind::Support {
            return self.open_support_of(new.created_by);
        }
        let is_between_the_two = |made: &ConversationRow| {
            made.kind == ConversationKind::Direct
                && made.participants.iter().all(|user| new.participants.contains(user))
        };
        let mut open = self.rooms.values().filter(|room| room.status == ConversationStatus::Open);
        let other = open.find(|room| new.kind == ConversationKind::Direct && is_between_the_two(&room.made));
        other.map(|room| room.made.id)
    }

    /// Changes a conversation and brings it to the top. A clock that was set back must not sink it.
    pub(super) fn change(&mut self, id: ConversationId, at: Timestamp, change: impl FnOnce(&mut Room)) {
        if let Some(room) = self.rooms.get_mut(&id) {
            change(room);
            room.touched_at = room.touched_at.max(at);
        }
    }

    pub(super) fn summary(&self, room: &Room, reader: UserId) -> ConversationSummary {
        ConversationSummary {
            conversation: self.conversation(room),
            last_message: room.said.last().map(|said| self.message(said)),
            unread: room.unread(reader),
        }
    }
}
