use async_trait::async_trait;
use priyo_core::model::{
    Contact, Conversation, ConversationCursor, ConversationId, InboxItem, InboxState, Page, Timestamp, User,
    UserId, Visitor,
};
use priyo_core::storage::{
    Claim, ConversationStore, Opened, Result, SupportRow, SupportStore, VisitorKey, VisitorRow,
};

use super::{Broken, Fault, pause};

#[async_trait]
impl SupportStore for Broken {
    async fn create_visitor(&self, new: &VisitorRow) -> Result<Visitor> {
        let memory = self.memory();
        if let Some(identity) = &new.identity
            && self.has(Fault::IdentitiesAreMadeAnew)
        {
            // Under another name, so that the one who is known is not found.
            let identity = Some(format!("{identity} {}", new.user.id));
            return memory.create_visitor(&VisitorRow { identity, ..new.clone() }).await;
        }
        memory.create_visitor(new).await
    }

    async fn visitor(&self, key: &VisitorKey) -> Result<Option<Visitor>> {
        self.memory().visitor(key).await
    }

    async fn set_contact(&self, visitor: UserId, contact: &Contact) -> Result<()> {
        let contact = match self.fault {
            Fault::PagesAreForgotten => Contact { page: None, ..contact.clone() },
            _ => contact.clone(),
        };
        self.memory().set_contact(visitor, &contact).await
    }

    async fn open_support(&self, new: &SupportRow) -> Result<Opened> {
        let memory = self.memory();
        let greeting = new.greeting.clone().filter(|_| !self.has(Fault::NobodyIsGreeted));
        let new = SupportRow { greeting, ..new.clone() };
        match memory.open_support(&new).await? {
            Opened::Existing(open) if self.has(Fault::AnyNumberOfThemIsOpen) => {
                // As if there were no unique key: the open one is in nobody's way.
                memory.set_status(open.id, priyo_core::model::ConversationStatus::Closed, new.at).await?;
                memory.open_support(&new).await
            }
            opened => Ok(opened),
        }
    }

    async fn support_of(&self, visitor: UserId) -> Result<Option<Conversation>> {
        self.memory().support_of(visitor).await
    }

    async fn carry_support(&self, from: UserId, to: UserId, at: Timestamp) -> Result<Option<Conversation>> {
        let memory = self.memory();
        if self.has(Fault::OpensSomebodyElses) && memory.support_of(to).await?.is_some() {
            return memory.support_of(to).await;
        }
        memory.carry_support(from, to, at).await
    }

    async fn inbox_item(&self, id: ConversationId, reader: Option<UserId>) -> Result<Option<InboxItem>> {
        let mut item = self.memory().inbox_item(id, reader).await?;
        if let Some(item) = &mut item
            && self.has(Fault::NobodyWaits)
        {
            item.waiting_since = None;
        }
        Ok(item)
    }

    async fn inbox(
        &self,
        state: InboxState,
        reader: UserId,
        after: Option<ConversationCursor>,
        limit: u32,
    ) -> Result<Page<InboxItem>> {
        let state = match state {
            InboxState::Unassigned if self.has(Fault::TheQueueKeepsWhatIsTakenOn) => InboxState::Open,
            state => state,
        };
        self.memory().inbox(state, reader, after, limit).await
    }

    async fn agents(&self, part: &str, limit: u32) -> Result<Vec<User>> {
        let mut agents = self.memory().agents(part, u32::MAX).await?;
        if self.has(Fault::AgentsComeAsTheyMay) {
            agents.sort_by(|one, other| other.username.cmp(&one.username));
        }
        agents.truncate(limit as usize);
        Ok(agents)
    }

    async fn supports_of(&self, agent: UserId) -> Result<Vec<ConversationId>> {
        let mut all = self.memory().supports_of(agent).await?;
        if self.has(Fault::WhatIsClosedIsGivenBack) {
            let mut open = Vec::new();
            for id in all {
                let found = self.memory().conversation(id).await?;
                open.extend(found.filter(Conversation::is_open).map(|one| one.id));
            }
            all = open;
        }
        Ok(all)
    }

    async fn claim_support(&self, id: ConversationId, agent: UserId, at: Timestamp) -> Result<Claim> {
        let memory = self.memory();
        let item = memory.inbox_item(id, None).await?;
        let Some(assignee) = item.and_then(|item| item.assignee) else {
            if self.has(Fault::ClaimsAreLookedAtFirst) {
                pause().await;
                if let Some(other) = memory.inbox_item(id, None).await?.and_then(|item| item.assignee) {
                    // It saw that it was nobody's, and takes it from who has it by now.
                    memory.remove_participant(id, other.id, at).await?;
                }
            }
            return memory.claim_support(id, agent, at).await;
        };
        if self.has(Fault::TheLastToClaimHasIt) {
            memory.remove_participant(id, assignee.id, at).await?;
        }
        memory.claim_support(id, agent, at).await
    }
}
