use async_trait::async_trait;
use priyo_core::model::{
    Conversation, ConversationCursor, ConversationId, ConversationKind, ConversationStatus,
    ConversationSummary, Page, Timestamp, UserId,
};
use priyo_core::storage::{
    Addition, ConversationRow, ConversationStore, Created, Result, Standing, StatusChange, UserStore,
};

use super::{Broken, Fault, pause};

#[async_trait]
impl ConversationStore for Broken {
    async fn create_conversation(&self, new: &ConversationRow) -> Result<Created> {
        self.begin().await;
        let memory = self.memory();
        let mut new = new.clone();
        let pairs = self.note(|notes| notes.pairs.clone());
        let same = |(_, pair): &&(ConversationId, Vec<UserId>)| {
            pair.iter().all(|user| new.participants.contains(user)) && pair.len() == new.participants.len()
        };
        let is_direct = new.kind == ConversationKind::Direct;
        match self.fault {
            Fault::GroupsCountAsDirect | Fault::ClosedOnesStayInTheWay => {
                let counts = is_direct || self.has(Fault::GroupsCountAsDirect);
                if let Some((other, _)) = pairs.iter().find(same).filter(|_| counts) {
                    return Ok(Created::DirectExists(*other));
                }
            }
            Fault::APairHasAnOrder | Fault::LooksForADirectOneFirst if is_direct => {
                let ordered = |(_, pair): &&(ConversationId, Vec<UserId>)| *pair == new.participants;
                let other = pairs.iter().find(|pair| match self.fault {
                    Fault::APairHasAnOrder => ordered(pair),
                    _ => same(pair),
                });
                pause().await;
                if let Some((other, _)) = other {
                    return Ok(Created::DirectExists(*other));
                }
                // The storage in memory would refuse it.
                new.kind = ConversationKind::Group;
            }
            Fault::TheUnknownAreLeftOut => {
                let mut known = Vec::new();
                for user in new.participants {
                    if memory.user(user).await?.is_some_and(|user| !user.disabled) {
                        known.push(user);
                    }
                }
                new.participants = known;
            }
            Fault::AnEmptyTextIsNone => new.name = new.name.filter(|name| !name.is_empty()),
            Fault::TimesAreUnsigned => new.at = new.at.max(Timestamp::from_millis(0)),
            _ => {}
        }
        let created = memory.create_conversation(&new).await?;
        if let Created::Created(made) = created {
            self.touch(made.id, new.at, true);
            self.note(|notes| notes.pairs.push((made.id, new.participants)));
            return Ok(Created::Created(self.seen(made)));
        }
        Ok(created)
    }

    async fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>> {
        Ok(self.memory().conversation(id).await?.map(|conversation| self.seen(conversation)))
    }

    async fn standing(&self, id: ConversationId, user: UserId) -> Result<Option<Standing>> {
        let standing = self.memory().standing(id, user).await?;
        let delivered = self.note(|notes| notes.delivered.get(&(id, user)).copied());
        let was_in =
            self.note(|notes| notes.pairs.iter().any(|(pair, users)| *pair == id && users.contains(&user)));
        Ok(standing.map(|standing| Standing {
            is_participant: standing.is_participant || (self.has(Fault::WhoLeftIsStillIn) && was_in),
            delivered_seq: delivered.unwrap_or(standing.delivered_seq),
            ..standing
        }))
    }

    async fn standings(&self, of: &[(ConversationId, UserId)]) -> Result<Vec<Option<Standing>>> {
        let mut of = of.to_vec();
        if self.has(Fault::StandingsAreSorted) {
            of.sort_unstable();
        }
        let mut standings = Vec::new();
        for (id, user) in of {
            standings.push(self.standing(id, user).await?);
        }
        Ok(standings)
    }

    async fn conversations_except(
        &self,
        user: UserId,
        known: &[ConversationId],
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Page<ConversationSummary>> {
        let mut items = self.conversations(Some(user), user, None, u32::MAX).await?.items;
        items.retain(|item| {
            let id = item.conversation.id;
            (self.has(Fault::KnownOnesComeAgain) || !known.contains(&id))
                && after.is_none_or(|after| id > after)
        });
        if !self.has(Fault::UnknownOnesComeByActivity) {
            items.sort_by_key(|item| item.conversation.id);
        }
        let has_more = items.len() > limit as usize;
        items.truncate(limit as usize);
        Ok(Page { items, has_more })
    }

    async fn conversations(
        &self,
        of: Option<UserId>,
        reader: UserId,
        after: Option<ConversationCursor>,
        limit: u32,
    ) -> Result<Page<ConversationSummary>> {
        let mut items = self.all_conversations(of, reader).await?;
        for item in &mut items {
            item.conversation = self.seen(item.conversation.clone());
            item.last_message = item.last_message.take().map(|message| self.shown(message));
            item.unread =
                self.unread(item.conversation.id, of.unwrap_or(reader), reader, item.unread).await?;
        }
        let place = |item: &ConversationSummary| (item.conversation.updated_at, item.conversation.id);
        items.sort_by_key(|item| std::cmp::Reverse(place(item)));
        match self.fault {
            Fault::TheListIsById => items.sort_by_key(|item| std::cmp::Reverse(item.conversation.id)),
            Fault::TheSmallestIdIsFirst => {
                items.sort_by_key(|item| {
                    (std::cmp::Reverse(item.conversation.updated_at), item.conversation.id)
                });
            }
            _ => {}
        }
        if let Some(after) = after {
            items.retain(|item| match self.fault {
                Fault::APlaceIsOnlyItsTime => item.conversation.updated_at < after.updated_at,
                Fault::TheListIsById => item.conversation.id < after.id,
                Fault::TheSmallestIdIsFirst => {
                    let (updated_at, id) = place(item);
                    updated_at < after.updated_at || (updated_at == after.updated_at && id > after.id)
                }
                _ => place(item) < (after.updated_at, after.id),
            });
            let is_there = self.memory().standing(after.id, reader).await?.is_some_and(|s| s.is_participant);
            if self.has(Fault::APlaceMustBeTaken) && !is_there {
                items.clear();
            }
        }
        let has_more = items.len() > limit as usize
            || (self.has(Fault::AFullPageHasMore) && items.len() == limit as usize);
        items.truncate(limit as usize);
        if self.has(Fault::TheListIsReadInTwoSteps) {
            pause().await;
            for item in &mut items {
                let now = self.memory().conversation(item.conversation.id).await?;
                item.conversation.last_seq = now.map_or(0, |now| now.last_seq);
            }
        }
        Ok(Page { items, has_more })
    }

    async fn set_status(
        &self,
        id: ConversationId,
        status: ConversationStatus,
        at: Timestamp,
    ) -> Result<StatusChange> {
        self.begin().await;
        let memory = self.memory();
        if self.has(Fault::LooksForAnOpenOneFirst) && status == ConversationStatus::Open {
            return self.open_in_two_steps(id, at).await;
        }
        let change = memory.set_status(id, status, at).await?;
        self.touch(id, at, !matches!(change, StatusChange::NotFound));
        Ok(match (change, self.fault) {
            (StatusChange::Changed(now), _) => StatusChange::Changed(self.seen(now)),
            (StatusChange::Unchanged(now), Fault::ClosingTwiceIsTwoChanges) => StatusChange::Changed(now),
            (StatusChange::Unchanged(now), _) => StatusChange::Unchanged(self.seen(now)),
            (StatusChange::DirectExists(other), Fault::OpensBesideAnother) => {
                self.note(|notes| notes.opened_by_force.insert(id));
                match memory.conversation(id).await? {
                    Some(now) => StatusChange::Changed(self.seen(now)),
                    None => StatusChange::DirectExists(other),
                }
            }
            (other, _) => other,
        })
    }

    async fn add_participants(
        &self,
        id: ConversationId,
        users: &[UserId],
        max: usize,
        at: Timestamp,
    ) -> Result<Addition> {
        self.begin().await;
        let memory = self.memory();
        let before = memory.conversation(id).await?;
        let there = before.as_ref().map(Conversation::participant_ids).unwrap_or_default();
        let mut users = users.to_vec();
        let mut limit = max;
        match self.fault {
            Fault::CountsThemBeforeAdding => {
                if there.len() + users.len() > max {
                    return Ok(Addition::TooMany);
                }
                pause().await;
                limit = usize::MAX;
            }
            Fault::ThoseWhoAreThereCountTwice if there.len() + users.len() > max => {
                return Ok(Addition::TooMany);
            }
            Fault::AddsThoseItKnows => {
                for user in &users {
                    if memory.user(*user).await?.is_some_and(|user| !user.disabled) {
                        memory.add_participants(id, &[*user], max, at).await?;
                    }
                }
            }
            Fault::ThoseWhoAreThereBeginAnew => {
                for user in &users {
                    memory.remove_participant(id, *user, at).await?;
                }
            }
            Fault::TheLastNamedComesFirst => users.reverse(),
            _ => {}
        }
        let last_seq = before.map_or(0, |before| before.last_seq);
        let outcome = memory.add_participants(id, &users, limit, at).await?;
        if let Addition::Added { conversation, added } = outcome {
            self.touch(id, at, !added.is_empty());
            self.note(|notes| notes.came_again.extend(added.iter().map(|user| ((id, *user), last_seq))));
            return Ok(Addition::Added { conversation: self.seen(conversation), added });
        }
        Ok(outcome)
    }

    async fn remove_participant(
        &self,
        id: ConversationId,
        user: UserId,
        at: Timestamp,
    ) -> Result<Option<Conversation>> {
        self.begin().await;
        let memory = self.memory();
        if self.has(Fault::LooksWhetherTheyAreInFirst) {
            let is_in = memory.standing(id, user).await?.is_some_and(|standing| standing.is_participant);
            pause().await;
            memory.remove_participant(id, user, at).await?;
            return if is_in { memory.conversation(id).await } else { Ok(None) };
        }
        let left = memory.remove_participant(id, user, at).await?;
        self.touch(id, at, left.is_some());
        Ok(left.map(|conversation| self.seen(conversation)))
    }
}

impl Broken {
    /// Notes when something other than a message last happened, for the faults that tell the time in another way.
    fn touch(&self, id: ConversationId, at: Timestamp, touched: bool) {
        if touched && (self.has(Fault::AClockSetBackSinks) || self.has(Fault::SendingDoesNotTouch)) {
            self.note(|notes| notes.touched.insert(id, at));
        }
    }

    async fn open_in_two_steps(&self, id: ConversationId, at: Timestamp) -> Result<StatusChange> {
        let memory = self.memory();
        let pairs = self.note(|notes| notes.pairs.clone());
        let of = |id| pairs.iter().find(|(pair, _)| *pair == id).map(|(_, users)| users.clone());
        let mut other = None;
        for item in self.all_conversations(None, UserId::new()).await? {
            let is_open = self.seen(item.conversation.clone()).status == ConversationStatus::Open;
            if is_open && of(item.conversation.id).map(sorted) == of(id).map(sorted) {
                other = Some(item.conversation.id);
            }
        }
        pause().await;
        if let Some(other) = other {
            return Ok(StatusChange::DirectExists(other));
        }
        let change = memory.set_status(id, ConversationStatus::Open, at).await?;
        if matches!(change, StatusChange::DirectExists(_)) {
            self.note(|notes| notes.opened_by_force.insert(id));
        }
        Ok(change)
    }
}

fn sorted(mut users: Vec<UserId>) -> Vec<UserId> {
    users.sort();
    users
}
