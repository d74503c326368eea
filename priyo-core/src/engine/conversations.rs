//! Conversations: who may make, see, change and end them.

use std::sync::Arc;

use super::unanswered::is_unanswered;
use super::{ChatEngine, NO_CONVERSATION};
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::events::{Audience, Event};
use crate::model::{
    Conversation, ConversationCursor, ConversationId, ConversationKind, ConversationStatus,
    ConversationSummary, NewConversation, Page, Role, UserId,
};
use crate::rates::Action;
use crate::storage::{Addition, ConversationRow, Created, Standing, StatusChange};

/// Which conversations to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListConversations {
    /// How many at most; the default of [`Limits`](crate::Limits) when not given.
    pub limit: Option<u32>,
    /// Where the last list ended.
    pub after: Option<ConversationCursor>,
    /// For an administrator: only those that they take part in.
    pub own: bool,
}

/// Who may close and reopen.
const CLOSERS: &[Role] = &[Role::Admin, Role::Agent];

const OF_VISITORS: &str = "Only the visitor of a website begins a support conversation";
const ONLY_AGENTS: &str = "Only agents can be brought into a support conversation";

const UNKNOWN_PARTICIPANTS: &str = "One or more participants not found";

impl ChatEngine {
    /// Begins a conversation between the caller and others.
    ///
    /// # Errors
    ///
    /// - [`Error::Forbidden`] for a visitor of a website.
    /// - [`Error::Refused`] when a direct one is not between two, or a participant does not exist, or it is one of
    ///   support.
    /// - [`Error::Validation`] when there are too many participants, or the name is more than 100 characters or has
    ///   a NUL.
    /// - [`Error::DirectExists`] when the two have an open direct conversation.
    /// - [`Error::RateLimited`] when the caller begins too many.
    pub async fn create_conversation(&self, caller: &Caller, new: NewConversation) -> Result<Conversation> {
        if caller.visitor.is_some() {
            return Err(self.denied(caller, "create_conversation", Error::Forbidden));
        }
        if new.kind == ConversationKind::Support {
            return Err(Error::Refused(OF_VISITORS));
        }
        let name = new.title()?;
        let mut participants = vec![caller.user_id];
        for id in new.participant_ids {
            if !participants.contains(&id) {
                participants.push(id);
            }
        }
        if new.kind == ConversationKind::Direct && participants.len() != 2 {
            return Err(Error::Refused("Direct conversations must have exactly 2 participants"));
        }
        self.check_participants("participantIds", participants.len())?;
        self.count(Action::Converse, caller)?;
        let (id, created_by, at) = (ConversationId::new(), caller.user_id, self.now());
        let row = ConversationRow { id, kind: new.kind, name, created_by, participants, at };
        self.to_the_end(async move |engine: Self| {
            let created = engine.inner.storage.create_conversation(&row).await;
            if is_unanswered(&created) {
                engine.tell_when_known(id, |engine, created| {
                    created.iter().for_each(|conversation| engine.tell_new(conversation));
                });
            }
            match created? {
                Created::Created(conversation) => {
                    engine.tell_new(&conversation);
                    Ok(conversation)
                }
                Created::DirectExists(id) => Err(Error::DirectExists(id)),
                Created::UnknownParticipant => Err(Error::Refused(UNKNOWN_PARTICIPANTS)),
            }
        })
        .await
    }

    /// A part of the caller's conversations, or for an administrator of all, newest activity first.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] when `limit` is 0 or more than `limits.page_rows`.
    pub async fn conversations(
        &self,
        caller: &Caller,
        list: ListConversations,
    ) -> Result<Page<ConversationSummary>> {
        let limits = self.limits();
        let limit = limits.rows(list.limit, limits.default_list_rows)?;
        let everything = caller.is_admin() && !list.own;
        if everything {
            self.audit(caller, "conversations_listed_by_admin", None).await?;
        }
        let of = (!everything).then_some(caller.user_id);
        Ok(self.inner.storage.conversations(of, caller.user_id, list.after, limit).await?)
    }

    /// One conversation.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is none, or none that the caller may see.
    pub async fn conversation(&self, caller: &Caller, id: ConversationId) -> Result<Conversation> {
        self.visible_audited(caller, id).await?;
        self.inner.storage.conversation(id).await?.ok_or(Error::NotFound(NO_CONVERSATION))
    }

    /// Closes a conversation: its history stays readable, and it takes no more messages. Closing it again is fine.
    ///
    /// # Errors
    ///
    /// - [`Error::RoleRequired`] for a customer.
    /// - [`Error::NotFound`] when there is none, or none that the caller may see.
    /// - [`Error::Forbidden`] for an agent who is not in a support conversation.
    pub async fn close_conversation(&self, caller: &Caller, id: ConversationId) -> Result<Conversation> {
        self.require(caller, CLOSERS, "close_conversation")?;
        self.may_close(caller, id).await?;
        self.set_status(id, ConversationStatus::Closed).await
    }

    /// Opens a closed conversation again. One that is open stays so.
    ///
    /// # Errors
    ///
    /// - [`Error::RoleRequired`] for a customer.
    /// - [`Error::NotFound`] when there is none, or none that the caller may see.
    /// - [`Error::Forbidden`] for an agent who is not in a support conversation.
    /// - [`Error::DirectExists`] when the two have another open direct conversation.
    pub async fn reopen_conversation(&self, caller: &Caller, id: ConversationId) -> Result<Conversation> {
        self.require(caller, CLOSERS, "reopen_conversation")?;
        self.may_close(caller, id).await?;
        self.set_status(id, ConversationStatus::Open).await
    }

    /// An agent sees every support conversation, and closes only those that they are in.
    async fn may_close(&self, caller: &Caller, id: ConversationId) -> Result<()> {
        let standing = self.visible(caller, id).await?;
        if standing.is_participant || caller.is_admin() { Ok(()) } else { Err(self.denied_outside(caller)) }
    }

    /// Takes the caller out of a group, or an agent out of a support conversation. From then on they can read nothing of
    /// it, unless by their role.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] when there is none, or the caller is not in it.
    /// - [`Error::Refused`] for a direct conversation, and for the visitor whose conversation it is.
    pub async fn leave_conversation(&self, caller: &Caller, id: ConversationId) -> Result<()> {
        let standing = self.visible(caller, id).await?;
        if !standing.is_participant {
            return Err(Error::NotFound(NO_CONVERSATION));
        }
        if standing.kind == ConversationKind::Direct {
            return Err(Error::Refused("Direct conversations cannot be left"));
        }
        if standing.kind == ConversationKind::Support && standing.created_by == caller.user_id {
            return Err(Error::Refused("Support conversations cannot be left by their visitor"));
        }
        let user = caller.user_id;
        self.to_the_end(async move |engine: Self| {
            engine.take_out(id, user).await?.map(drop).ok_or(Error::NotFound(NO_CONVERSATION))
        })
        .await
    }

    /// Brings users into a group, or agents into a support conversation. Those who are in it already stay as they are.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] when there is no such conversation, or none that the caller may see.
    /// - [`Error::Forbidden`] when the caller is neither its creator, nor an agent in it, nor an administrator.
    /// - [`Error::Refused`] for a direct conversation, or when a user does not exist, or is no agent and the
    ///   conversation is one of support.
    /// - [`Error::Validation`] when there would be too many participants.
    pub async fn add_participants(
        &self,
        caller: &Caller,
        id: ConversationId,
        users: Vec<UserId>,
    ) -> Result<Conversation> {
        if self.may_arrange(caller, id).await? == ConversationKind::Support {
            for user in &users {
                let user = self.inner.storage.user(*user).await?;
                if user.is_none_or(|user| user.role == Role::Customer) {
                    return Err(Error::Refused(ONLY_AGENTS));
                }
            }
        }
        let max = self.limits().participants;
        self.to_the_end(async move |engine: Self| {
            let _turn = engine.inner.turns.of(id).await?;
            let addition = engine.inner.storage.add_participants(id, &users, max, engine.now()).await;
            if is_unanswered(&addition) {
                engine.tell_when_known(id, move |engine, conversation| {
                    let Some(conversation) = conversation else { return };
                    // One who was in it before hears that it is new to them, which does no harm.
                    let inside = conversation.participant_ids().into_iter();
                    engine.tell_added(&conversation, inside.filter(|user| users.contains(user)).collect());
                });
            }
            match addition? {
                Addition::Added { conversation, added } => {
                    engine.tell_added(&conversation, added);
                    Ok(conversation)
                }
                Addition::NotFound => Err(Error::NotFound(NO_CONVERSATION)),
                Addition::UnknownUser => Err(Error::Refused(UNKNOWN_PARTICIPANTS)),
                Addition::TooMany => Err(too_many("userIds", max)),
            }
        })
        .await
    }

    /// Takes a user out of a group, or an agent out of a support conversation.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] when there is no such conversation, none that the caller may see, or the user is not
    ///   in it.
    /// - [`Error::Forbidden`] when the caller is neither its creator, nor an agent in it, nor an administrator.
    /// - [`Error::Refused`] for a direct conversation, and for the visitor whose conversation it is.
    pub async fn remove_participant(
        &self,
        caller: &Caller,
        id: ConversationId,
        user: UserId,
    ) -> Result<Conversation> {
        if self.may_arrange(caller, id).await? == ConversationKind::Support
            && self.inner.storage.standing(id, user).await?.is_some_and(|one| one.created_by == user)
        {
            return Err(Error::Refused("The visitor stays in their support conversation"));
        }
        self.to_the_end(async move |engine: Self| {
            engine.take_out(id, user).await?.ok_or(Error::NotFound("Participant not found"))
        })
        .await
    }

    /// Refuses a caller who may not bring in and take out others; gives the kind of the conversation.
    async fn may_arrange(&self, caller: &Caller, id: ConversationId) -> Result<ConversationKind> {
        let Standing { is_participant, created_by, kind, .. } = self.visible(caller, id).await?;
        if kind == ConversationKind::Direct {
            return Err(Error::Refused("Participants of a direct conversation cannot be changed"));
        }
        // A support conversation was begun by its visitor, who has no say in who answers.
        let is_own = created_by == caller.user_id && kind == ConversationKind::Group;
        let inside = is_participant && (is_own || caller.role == Role::Agent);
        if inside || caller.is_admin() {
            return Ok(kind);
        }
        Err(self.denied(caller, "arrange_participants", Error::Forbidden))
    }

    async fn set_status(&self, id: ConversationId, status: ConversationStatus) -> Result<Conversation> {
        self.to_the_end(async move |engine: Self| {
            let _turn = engine.inner.turns.of(id).await?;
            let change = engine.inner.storage.set_status(id, status, engine.now()).await;
            if is_unanswered(&change) {
                engine.tell_when_known(id, move |engine, conversation| {
                    let changed = conversation.filter(|conversation| conversation.status == status);
                    changed.iter().for_each(|conversation| engine.tell_status(conversation));
                });
            }
            match change? {
                StatusChange::Changed(conversation) => {
                    engine.tell_status(&conversation);
                    Ok(conversation)
                }
                StatusChange::Unchanged(conversation) => Ok(conversation),
                StatusChange::NotFound => Err(Error::NotFound(NO_CONVERSATION)),
                StatusChange::DirectExists(id) => Err(Error::DirectExists(id)),
            }
        })
        .await
    }

    /// Takes a user out, ends what rests on their being in, and tells all. `None` when they were not in it.
    pub(super) async fn take_out(&self, id: ConversationId, user: UserId) -> Result<Option<Conversation>> {
        let _turn = self.inner.turns.of(id).await?;
        let removed = self.inner.storage.remove_participant(id, user, self.now()).await;
        match &removed {
            Ok(Some(conversation)) => {
                self.turn_out(id, user).await;
                self.tell_out(conversation, user);
            }
            // Another node may have taken them out, or another try that was not answered.
            Ok(None) if self.inner.sequencer.has_participant(id, user) => {
                self.turn_out_unsure(id, user).await
            }
            Err(_) if is_unanswered(&removed) => self.turn_out_unsure(id, user).await,
            Ok(None) | Err(_) => {}
        }
        Ok(removed?)
    }

    /// Ends what rests on a user's being in a conversation that they may be in no longer. Once it is known whether
    /// they are, they are told: one who still is joins again.
    pub(super) async fn turn_out_unsure(&self, id: ConversationId, user: UserId) {
        self.turn_out(id, user).await;
        self.tell_when_known(id, move |engine, conversation| match conversation {
            Some(conversation) if conversation.participant_ids().contains(&user) => {
                engine.tell(vec![user], &Event::ConversationNew(Arc::new(conversation)));
            }
            Some(conversation) => engine.tell_out(&conversation, user),
            None => {}
        });
    }

    pub(super) async fn turn_out(&self, id: ConversationId, user: UserId) {
        self.inner.sequencer.turn_out(id, user).await;
        self.inner.typing.stop(user, id);
    }

    pub(super) fn tell_new(&self, conversation: &Conversation) {
        self.tell(conversation.participant_ids(), &Event::ConversationNew(Arc::new(conversation.clone())));
    }

    fn tell_status(&self, conversation: &Conversation) {
        let told = Arc::new(conversation.clone());
        let event = match conversation.status {
            ConversationStatus::Closed => Event::ConversationClosed(told),
            ConversationStatus::Open => Event::ConversationUpdated(told),
        };
        self.tell(conversation.participant_ids(), &event);
        self.tell_inbox(conversation);
    }

    fn tell_out(&self, conversation: &Conversation, user: UserId) {
        let updated = Event::ConversationUpdated(Arc::new(conversation.clone()));
        self.tell(conversation.participant_ids(), &updated);
        self.tell(vec![user], &Event::ConversationGone(conversation.id));
        self.tell_inbox(conversation);
    }

    pub(super) fn tell_added(&self, conversation: &Conversation, added: Vec<UserId>) {
        if added.is_empty() {
            return;
        }
        let told = Arc::new(conversation.clone());
        let others = conversation.participant_ids().into_iter().filter(|id| !added.contains(id)).collect();
        self.tell(others, &Event::ConversationUpdated(told.clone()));
        self.tell(added, &Event::ConversationNew(told));
        self.tell_inbox(conversation);
    }

    pub(super) fn tell(&self, users: Vec<UserId>, event: &Event) {
        self.inner.announcer.announce(&Audience::Users(users), event);
    }

    fn check_participants(&self, field: &str, count: usize) -> Result<()> {
        let max = self.limits().participants;
        if count > max { Err(too_many(field, max)) } else { Ok(()) }
    }
}

fn too_many(field: &str, max: usize) -> Error {
    Error::field(field, &format!("must not make more than {max} participants"))
}
