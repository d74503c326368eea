//! Telling those who answer visitors what has changed in their inbox.
//!
//! A task of its own does it, so that no send waits for it, and tells once of what changed several times meanwhile.
//! What it tells is how the conversation is when it looks: whoever was not told finds it by asking.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::agents::Agents;
use super::announcer::Announcer;
use crate::events::{Audience, Event};
use crate::model::{ConversationId, UserId};
use crate::storage::{Effect, Storage, unpanicked};

/// Changes that may wait. What there is no room for is not told.
const QUEUE: usize = 1_024;

/// Takes changes of support conversations. Telling ends when the value is dropped.
#[derive(Debug)]
pub(super) struct InboxNews {
    queue: mpsc::Sender<Change>,
    /// Who is told.
    pub(super) agents: Arc<Agents>,
}

#[derive(Debug, Clone, Copy)]
struct Change {
    id: ConversationId,
    effect: Effect,
}

/// What has happened to a conversation since it was last told of.
#[derive(Debug, Clone, Copy, Default)]
struct Happened {
    begun: bool,
    reopened: bool,
}

impl InboxNews {
    pub(super) fn start(storage: Arc<dyn Storage>, announcer: Arc<Announcer>) -> Arc<Self> {
        let (queue, changes) = mpsc::channel(QUEUE);
        let agents = Arc::new(Agents::default());
        tokio::spawn(tell(Teller { storage, announcer, agents: agents.clone() }, changes));
        Arc::new(Self { queue, agents })
    }

    /// A message was stored in a support conversation.
    pub(super) fn message(&self, id: ConversationId, effect: Effect) {
        if self.queue.try_send(Change { id, effect }).is_err() {
            tracing::warn!(conversation.id = %id, "a change of the inbox was not told: too many wait");
        }
    }

    /// Something else of a support conversation has changed.
    pub(super) fn changed(&self, id: ConversationId) {
        self.message(id, Effect::GoesOn);
    }
}

async fn tell(teller: Teller, mut changes: mpsc::Receiver<Change>) {
    let mut waiting = Vec::new();
    while changes.recv_many(&mut waiting, QUEUE).await > 0 {
        let mut happened: HashMap<ConversationId, Happened> = HashMap::new();
        for Change { id, effect } in waiting.drain(..) {
            let of = happened.entry(id).or_default();
            of.begun |= effect == Effect::Begins;
            of.reopened |= effect == Effect::Reopens;
        }
        for (id, happened) in happened {
            teller.tell(id, happened).await;
        }
    }
}

struct Teller {
    storage: Arc<dyn Storage>,
    announcer: Arc<Announcer>,
    agents: Arc<Agents>,
}

impl Teller {
    async fn tell(&self, id: ConversationId, happened: Happened) {
        let agents = self.agents.all();
        if agents.is_empty() && !happened.reopened {
            return;
        }
        let item = match unpanicked(self.storage.inbox_item(id, None)).await {
            Ok(Some(item)) => Arc::new(item),
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(conversation.id = %id, %error, "a change of the inbox was not told");
                return;
            }
        };
        let conversation = &item.summary.conversation;
        if happened.reopened {
            let event = Event::ConversationUpdated(Arc::new(conversation.clone()));
            self.announce(conversation.participant_ids(), &event);
        }
        let event = |item| if happened.begun { Event::InboxNew(item) } else { Event::InboxUpdated(item) };
        let (inside, outside): (Vec<UserId>, Vec<UserId>) =
            agents.into_iter().partition(|agent| conversation.has(*agent));
        self.announce(outside, &event(item.clone()));
        // What is unread is another number for each of them.
        for agent in inside {
            if let Ok(Some(own)) = unpanicked(self.storage.inbox_item(id, Some(agent))).await {
                self.announce(vec![agent], &event(Arc::new(own)));
            }
        }
    }

    fn announce(&self, users: Vec<UserId>, event: &Event) {
        if !users.is_empty() {
            self.announcer.announce(&Audience::Users(users), event);
        }
    }
}
