//! Unread counts against a naive count, under whatever people do.

use std::collections::{BTreeMap, BTreeSet};

use super::Store;
use super::dice::Dice;
use super::fixtures::{account, at, group, text};
use crate::model::{ConversationId, MessageId, UserId};
use crate::storage::{Appended, ReadOutcome};

/// The rule, word for word.
struct Naive {
    members: BTreeMap<ConversationId, BTreeSet<UserId>>,
    messages: Vec<Sent>,
}

struct Sent {
    id: MessageId,
    conversation: ConversationId,
    sender: UserId,
    /// Who was in the conversation when it was sent.
    present: BTreeSet<UserId>,
    read_by: BTreeSet<UserId>,
}

impl Naive {
    fn has(&self, conversation: ConversationId, user: UserId) -> bool {
        self.members[&conversation].contains(&user)
    }

    fn unread(&self, conversation: ConversationId, user: UserId) -> u64 {
        let is_unread = |sent: &&Sent| {
            sent.conversation == conversation
                && sent.sender != user
                && sent.present.contains(&user)
                && !sent.read_by.contains(&user)
        };
        if self.has(conversation, user) { self.messages.iter().filter(is_unread).count() as u64 } else { 0 }
    }

    async fn send(&mut self, store: &Store, batch: &[(ConversationId, UserId)]) {
        let rows = batch.iter().map(|(conversation, sender)| text(*conversation, *sender, "x")).collect();
        let outcomes = store.append_messages(rows).await.unwrap();
        for ((conversation, sender), outcome) in batch.iter().zip(outcomes) {
            let present = self.members[conversation].clone();
            match outcome {
                Appended::New(message) => {
                    let (id, conversation, sender) = (message.id, *conversation, *sender);
                    self.messages.push(Sent { id, conversation, sender, present, read_by: BTreeSet::new() });
                }
                refused => assert!(matches!(refused, Appended::NotParticipant) && !present.contains(sender)),
            }
        }
    }

    async fn read(&mut self, store: &Store, reader: UserId, dice: &mut Dice) {
        let all: Vec<_> = self.messages.iter().map(|sent| (sent.id, sent.conversation)).collect();
        let chosen = if all.is_empty() { Vec::new() } else { dice.some(&all, 6) };
        let ids: Vec<MessageId> = chosen.iter().map(|(id, _)| *id).collect();
        let may = chosen.iter().all(|(_, conversation)| self.has(*conversation, reader));
        match store.mark_read(reader, &ids, None, at(0)).await.unwrap() {
            ReadOutcome::Marked(_) if may => {
                for sent in self.messages.iter_mut().filter(|sent| ids.contains(&sent.id)) {
                    sent.read_by.insert(reader);
                }
            }
            outcome => assert!(matches!(outcome, ReadOutcome::NotParticipant) && !may, "{outcome:?}"),
        }
    }
}

/// Compares the counts and the list of everyone.
async fn compare(store: &Store, naive: &Naive, users: &[UserId], context: &str) {
    for user in users {
        let list = store.conversations(Some(*user), *user, None, 100).await.unwrap();
        let listed: BTreeMap<_, _> =
            list.items.into_iter().map(|item| (item.conversation.id, item.unread)).collect();
        let own = naive.members.keys().filter(|conversation| naive.has(**conversation, *user));
        let expected: BTreeMap<_, _> =
            own.map(|conversation| (*conversation, naive.unread(*conversation, *user))).collect();
        assert_eq!(listed, expected, "the list of {user}, {context}");

        let some = |count: &(ConversationId, u64)| count.1 > 0;
        let counts = store.unread_counts(*user).await.unwrap();
        let counts: BTreeMap<_, _> = counts.into_iter().filter(some).collect();
        let expected: BTreeMap<_, _> = expected.into_iter().filter(some).collect();
        assert_eq!(counts, expected, "the counts of {user}, {context}");
    }
}

pub async fn unread_counts_agree_with_a_naive_count(store: &Store) {
    let mut users = Vec::new();
    for i in 0..4 {
        users.push(account(store, &format!("user{i}")).await);
    }
    for seed in 0..6 {
        let mut dice = Dice::new(seed);
        let mut naive = Naive { members: BTreeMap::new(), messages: Vec::new() };
        for _ in 0..2 {
            naive.members.insert(group(store, &users[..2]).await, users[..2].iter().copied().collect());
        }
        let conversations: Vec<_> = naive.members.keys().copied().collect();
        for step in 0..40 {
            let (conversation, user) = (dice.pick(&conversations), dice.pick(&users));
            match dice.below(12) {
                0 => {
                    let left = store.remove_participant(conversation, user, at(0)).await.unwrap();
                    let was_in = naive.members.get_mut(&conversation).unwrap().remove(&user);
                    assert_eq!(left.is_some(), was_in);
                }
                1 | 2 => {
                    store.add_participants(conversation, &[user], 10, at(0)).await.unwrap();
                    naive.members.get_mut(&conversation).unwrap().insert(user);
                }
                3..=6 => {
                    let batch: Vec<_> =
                        (0..=dice.below(7)).map(|_| (dice.pick(&conversations), dice.pick(&users))).collect();
                    naive.send(store, &batch).await;
                }
                _ => naive.read(store, user, &mut dice).await,
            }
            compare(store, &naive, &users, &format!("seed {seed}, step {step}")).await;
        }
        // The next round begins with conversations of its own, so these must not be in its lists.
        for conversation in conversations {
            for user in &users {
                store.remove_participant(conversation, *user, at(0)).await.unwrap();
            }
        }
    }
}
