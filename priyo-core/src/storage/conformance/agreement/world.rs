//! What there is so far, and what could be done next.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Store;
use super::draw::Draw;
use super::everything::everything;
use super::operation::Operation;
use crate::model::{Conversation, ConversationId, FileId, MessageId, MessageRange, SessionId, UserId};
use crate::storage::{NewMessageRow, TokenHash};

/// What there is, and what was refused: that must not be there either.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) steps: i64,
    pub(super) external_ids: BTreeSet<String>,
    pub(super) emails: BTreeSet<String>,
    pub(super) users: Vec<UserId>,
    pub(super) sessions: Vec<SessionId>,
    pub(super) tokens: Vec<TokenHash>,
    pub(super) conversations: Vec<Conversation>,
    pub(super) refused: Vec<ConversationId>,
    /// What there is to read in each conversation.
    pub(super) messages: BTreeMap<ConversationId, Vec<MessageId>>,
    /// Every message that was ever to be stored.
    pub(super) tried: Vec<NewMessageRow>,
    pub(super) files: Vec<(FileId, String)>,
}

impl World {
    /// Does one thing on all stores, which must agree on the answer and on everything there is then.
    pub(super) async fn step(&mut self, stores: &[&Store], number: u64, context: &str) {
        let operation = Draw::new(number, self).operation();
        let context = format!("{context}: {operation:#?}");
        let mut answers = Vec::new();
        for store in stores {
            answers.push(operation.run(store).await);
        }
        assert_same(&answers, &format!("{context}\nis answered by"));
        self.learn(stores[0], &operation).await;
        self.compare(stores, &context).await;
    }

    /// Compares all that the stores can be asked.
    pub(super) async fn compare(&self, stores: &[&Store], context: &str) {
        let mut all = Vec::new();
        for store in stores {
            all.push(everything(store, self).await);
        }
        for (place, (question, _)) in all[0].iter().enumerate() {
            let answers: Vec<_> = all.iter().map(|answers| answers[place].1.clone()).collect();
            assert_same(&answers, &format!("{context}\nleaves {question} as"));
        }
    }

    /// Remembers what an operation may have made. The answers of one store are as good as those of the others.
    async fn learn(&mut self, store: &Store, operation: &Operation) {
        self.steps += 1;
        match operation {
            Operation::CreateAccount(user) | Operation::UpsertHostUser(user) => {
                if store.user(user.id).await.is_ok_and(|user| user.is_some()) {
                    self.users.push(user.id);
                }
                self.external_ids.extend(user.external_id.clone());
                self.emails.extend(user.email.clone());
            }
            Operation::CreateSession(session, token) => {
                self.sessions.push(session.id);
                self.tokens.push(token.hash);
            }
            Operation::RotateRefreshToken { next, .. } => self.tokens.push(next.hash),
            Operation::CreateConversation(new) => match store.conversation(new.id).await {
                Ok(Some(made)) => self.conversations.push(made),
                _ => self.refused.push(new.id),
            },
            Operation::AppendMessages(batch) => self.tried.extend(batch.iter().cloned()),
            Operation::CreateFile(file, _) => self.files.push((file.id, file.stored_name.clone())),
            _ => {}
        }
        for known in &mut self.conversations {
            if let Ok(Some(now)) = store.conversation(known.id).await {
                *known = now;
            }
            let range = MessageRange::After(0);
            if let Ok(page) = store.messages(known.id, range, u32::MAX, usize::MAX).await {
                let ids = page.items.into_iter().map(|item| item.message.id).collect();
                self.messages.insert(known.id, ids);
            }
        }
    }
}

fn assert_same(answers: &[String], what: &str) {
    if let [first, rest @ ..] = answers
        && let Some(other) = rest.iter().find(|other| *other != first)
    {
        panic!("{what}\n{first}\nby one, and as\n{other}\nby the other");
    }
}
