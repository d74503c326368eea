//! The inbox: support conversations, and who takes them on.

use super::unanswered::is_unanswered;
use super::{ChatEngine, NO_CONVERSATION};
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::model::fields::Fields;
use crate::model::{
    Conversation, ConversationCursor, ConversationId, ConversationKind, InboxItem, InboxState, Page, Role,
    User, UserBrief,
};
use crate::storage::Claim;

/// Who answers visitors.
pub(super) const AGENTS: &[Role] = &[Role::Admin, Role::Agent];

impl ChatEngine {
    /// A part of the support conversations in a state, newest activity first.
    ///
    /// # Errors
    ///
    /// - [`Error::RoleRequired`] for a customer.
    /// - [`Error::Validation`] when `limit` is 0 or more than `limits.page_rows`.
    /// - [`Error::RouteNotFound`] when the engine has no widget.
    pub async fn inbox(
        &self,
        caller: &Caller,
        state: InboxState,
        after: Option<ConversationCursor>,
        limit: Option<u32>,
    ) -> Result<Page<InboxItem>> {
        self.widget()?;
        self.require(caller, AGENTS, "read_inbox")?;
        let limits = self.limits();
        let limit = limits.rows(limit, limits.default_list_rows)?;
        Ok(self.inner.storage.inbox(state, caller.user_id, after, limit).await?)
    }

    /// Those who answer visitors and have `part` in their usernames, as many as a list shows.
    ///
    /// # Errors
    ///
    /// - [`Error::RoleRequired`] for a customer.
    /// - [`Error::Validation`] when `part` is longer than 254 bytes or has a NUL.
    /// - [`Error::RouteNotFound`] when the engine has no widget.
    pub async fn agents(&self, caller: &Caller, part: &str) -> Result<Vec<User>> {
        self.widget()?;
        self.require(caller, AGENTS, "list_agents")?;
        let mut fields = Fields::none();
        fields.check("q", Some(part), |text| text.len() <= 254, "must be at most 254 bytes long");
        fields.check_nul("q", Some(part));
        fields.finish()?;
        Ok(self.inner.storage.agents(part, self.limits().default_list_rows).await?)
    }

    /// Takes a support conversation on: it is the caller's, who is in it from now on. Doing so again is fine.
    ///
    /// # Errors
    ///
    /// - [`Error::RoleRequired`] for a customer.
    /// - [`Error::NotFound`] when there is no such support conversation.
    /// - [`Error::AlreadyClaimed`] when it is somebody else's.
    /// - [`Error::RouteNotFound`] when the engine has no widget.
    pub async fn claim_conversation(&self, caller: &Caller, id: ConversationId) -> Result<InboxItem> {
        self.widget()?;
        self.require(caller, AGENTS, "claim_conversation")?;
        let caller = caller.clone();
        self.to_the_end(async move |engine: Self| {
            let _turn = engine.inner.turns.of(id).await?;
            let agent = caller.user_id;
            let claim = engine.inner.storage.claim_support(id, agent, engine.now()).await;
            if is_unanswered(&claim) {
                engine.tell_when_known(id, move |engine, conversation| {
                    let Some(conversation) = conversation.filter(|one| one.has(agent)) else { return };
                    engine.tell_added(&conversation, vec![agent]);
                });
            }
            match claim? {
                Claim::Claimed { conversation, was_in } => {
                    if !was_in {
                        engine.tell_added(&conversation, vec![agent]);
                    }
                    let item = engine.inbox_item(&caller, id).await?;
                    if let Some(assignee) = item.assignee.clone() {
                        engine.tell_agents(&Event::InboxClaimed { conversation_id: id, assignee });
                    }
                    engine.inner.inbox_news.changed(id);
                    Ok(item)
                }
                Claim::Taken(assignee) => Err(Error::AlreadyClaimed(assignee)),
                Claim::NotFound => Err(Error::NotFound(NO_CONVERSATION)),
            }
        })
        .await
    }

    /// Gives a support conversation back: it is nobody's, and whoever had taken it on is in it no longer. One that is
    /// nobody's stays so.
    ///
    /// # Errors
    ///
    /// - [`Error::RoleRequired`] for a customer.
    /// - [`Error::NotFound`] when there is no such support conversation.
    /// - [`Error::Forbidden`] when it is somebody else's, unless the caller is an administrator.
    /// - [`Error::RouteNotFound`] when the engine has no widget.
    pub async fn release_conversation(&self, caller: &Caller, id: ConversationId) -> Result<InboxItem> {
        self.widget()?;
        self.require(caller, AGENTS, "release_conversation")?;
        let Some(UserBrief { id: assignee, .. }) = self.inbox_item(caller, id).await?.assignee else {
            return self.inbox_item(caller, id).await;
        };
        if assignee != caller.user_id && !caller.is_admin() {
            return Err(self.denied(caller, "release_conversation", Error::Forbidden));
        }
        let caller = caller.clone();
        self.to_the_end(async move |engine: Self| {
            engine.take_out(id, assignee).await?;
            engine.inbox_item(&caller, id).await
        })
        .await
    }

    async fn inbox_item(&self, caller: &Caller, id: ConversationId) -> Result<InboxItem> {
        let item = self.inner.storage.inbox_item(id, Some(caller.user_id)).await?;
        item.ok_or(Error::NotFound(NO_CONVERSATION))
    }

    /// Tells all who answer visitors.
    pub(super) fn tell_agents(&self, event: &Event) {
        let agents = self.inner.inbox_news.agents.all();
        if !agents.is_empty() {
            self.tell(agents, event);
        }
    }

    /// Has those who answer visitors told that a conversation has changed, if it is one of support.
    pub(super) fn tell_inbox(&self, conversation: &Conversation) {
        if conversation.kind == ConversationKind::Support {
            self.inner.inbox_news.changed(conversation.id);
        }
    }
}
