//! Unread counts against a naive count, under whatever people do.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet};

use priyo_core::model::{
    ConversationId, ConversationKind, MessageId, MessageKind, Role, Timestamp, User, UserId,
};
use priyo_core::storage::sqlite::{Durability, SqliteOptions};
use priyo_core::storage::{Appended, ConversationRow, Created, NewMessageRow, ReadOutcome, Storage};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const USERS: usize = 4;
const CONVERSATIONS: usize = 2;
const AT: Timestamp = Timestamp::from_millis(1_750_000_000_000);

/// What one does. Users and conversations are given by their place; messages by theirs, modulo how many there are.
#[derive(Debug, Clone)]
enum Step {
    /// One batch: each message's sender and conversation.
    Send(Vec<(usize, usize)>),
    Read {
        reader: usize,
        messages: Vec<usize>,
    },
    Leave(usize, usize),
    Add(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let send = prop::collection::vec((0..USERS, 0..CONVERSATIONS), 1..8).prop_map(Step::Send);
    let read = (0..USERS, prop::collection::vec(0..1000_usize, 1..6))
        .prop_map(|(reader, messages)| Step::Read { reader, messages });
    let leave = (0..USERS, 0..CONVERSATIONS).prop_map(|(user, at)| Step::Leave(user, at));
    let add = (0..USERS, 0..CONVERSATIONS).prop_map(|(user, at)| Step::Add(user, at));
    prop::collection::vec(prop_oneof![4 => send, 5 => read, 1 => leave, 2 => add], 1..40)
}

/// The rule, word for word.
#[derive(Default)]
struct Model {
    members: [BTreeSet<usize>; CONVERSATIONS],
    messages: Vec<Sent>,
}

struct Sent {
    id: MessageId,
    conversation: usize,
    sender: usize,
    /// Who was in the conversation when it was sent.
    present: BTreeSet<usize>,
    read_by: BTreeSet<usize>,
}

impl Model {
    fn unread(&self, user: usize, conversation: usize) -> u64 {
        let is_unread = |sent: &&Sent| {
            sent.conversation == conversation
                && sent.sender != user
                && sent.present.contains(&user)
                && !sent.read_by.contains(&user)
        };
        if self.members[conversation].contains(&user) {
            self.messages.iter().filter(is_unread).count() as u64
        } else {
            0
        }
    }
}

struct Chat<'a> {
    store: &'a dyn Storage,
    users: Vec<UserId>,
    conversations: Vec<ConversationId>,
    model: Model,
}

impl<'a> Chat<'a> {
    async fn new(store: &'a dyn Storage) -> Self {
        let mut users = Vec::new();
        for _ in 0..USERS {
            let id = UserId::new();
            let user = User {
                id,
                external_id: Some(id.to_string()),
                email: None,
                username: "someone".into(),
                avatar: None,
                role: Role::Customer,
                disabled: false,
                created_at: AT,
                last_seen: None,
            };
            users.push(store.upsert_host_user(&user).await.unwrap().id);
        }
        let mut chat = Self { store, users, conversations: Vec::new(), model: Model::default() };
        for place in 0..CONVERSATIONS {
            let row = ConversationRow {
                id: ConversationId::new(),
                kind: ConversationKind::Group,
                name: None,
                created_by: chat.users[0],
                participants: chat.users[..2].to_vec(),
                at: AT,
            };
            assert!(matches!(store.create_conversation(&row).await.unwrap(), Created::Created(_)));
            chat.conversations.push(row.id);
            chat.model.members[place] = BTreeSet::from([0, 1]);
        }
        chat
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Send(batch) => self.send(batch).await,
            Step::Read { reader, messages } => self.read(*reader, messages).await,
            Step::Leave(user, place) => {
                let (id, user_id) = (self.conversations[*place], self.users[*user]);
                let left = self.store.remove_participant(id, user_id, AT).await.unwrap();
                assert_eq!(left.is_some(), self.model.members[*place].remove(user));
            }
            Step::Add(user, place) => {
                let (id, user_id) = (self.conversations[*place], self.users[*user]);
                self.store.add_participants(id, &[user_id], USERS, AT).await.unwrap();
                self.model.members[*place].insert(*user);
            }
        }
    }

    async fn send(&mut self, batch: &[(usize, usize)]) {
        let row = |&(sender, place): &(usize, usize)| NewMessageRow {
            id: MessageId::new(),
            conversation_id: self.conversations[place],
            sender: self.users[sender],
            client_message_id: None,
            content: "x".into(),
            kind: MessageKind::Text,
            attachment: None,
            at: AT,
        };
        let outcomes = self.store.append_messages(batch.iter().map(row).collect()).await.unwrap();
        for (&(sender, conversation), outcome) in batch.iter().zip(outcomes) {
            let present = self.model.members[conversation].clone();
            match outcome {
                Appended::New(message) => {
                    assert!(present.contains(&sender));
                    let (id, read_by) = (message.id, BTreeSet::new());
                    self.model.messages.push(Sent { id, conversation, sender, present, read_by });
                }
                other => assert!(matches!(other, Appended::NotParticipant) && !present.contains(&sender)),
            }
        }
    }

    async fn read(&mut self, reader: usize, messages: &[usize]) {
        let count = self.model.messages.len();
        let places: BTreeSet<usize> =
            messages.iter().filter(|_| count > 0).map(|place| place % count).collect();
        let sent: Vec<&Sent> = places.iter().map(|place| &self.model.messages[*place]).collect();
        let ids: Vec<MessageId> = sent.iter().map(|sent| sent.id).collect();
        let may = sent.iter().all(|sent| self.model.members[sent.conversation].contains(&reader));
        let is_new = |sent: &&&Sent| sent.sender != reader && !sent.read_by.contains(&reader);
        let new: BTreeSet<MessageId> = sent.iter().filter(is_new).map(|sent| sent.id).collect();

        match self.store.mark_read(self.users[reader], &ids, None, AT).await.unwrap() {
            ReadOutcome::Marked(marks) => {
                assert!(may);
                assert_eq!(marks.iter().map(|mark| mark.message_id).collect::<BTreeSet<_>>(), new);
                for sent in self.model.messages.iter_mut().filter(|sent| new.contains(&sent.id)) {
                    sent.read_by.insert(reader);
                }
            }
            outcome => assert!(matches!(outcome, ReadOutcome::NotParticipant) && !may),
        }
    }

    /// Compares the counts and the list of everyone.
    async fn check(&self) {
        for (place, user) in self.users.iter().enumerate() {
            let expected: BTreeMap<ConversationId, u64> = (0..CONVERSATIONS)
                .filter(|conversation| self.model.members[*conversation].contains(&place))
                .map(|conversation| {
                    (self.conversations[conversation], self.model.unread(place, conversation))
                })
                .collect();

            let list = self.store.conversations(Some(*user), *user, None, 200).await.unwrap();
            let listed: BTreeMap<_, _> =
                list.items.into_iter().map(|item| (item.conversation.id, item.unread)).collect();
            assert_eq!(listed, expected, "the list of user {place}");

            let nonzero = |counts: BTreeMap<_, _>| -> BTreeMap<ConversationId, u64> {
                counts.into_iter().filter(|(_, count)| *count > 0).collect()
            };
            let counts = self.store.unread_counts(*user).await.unwrap();
            assert_eq!(
                nonzero(counts.into_iter().collect()),
                nonzero(expected),
                "the counts of user {place}"
            );
        }
    }
}

#[test]
fn unread_counts_agree_with_a_naive_count_whatever_people_do() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    // Nothing is lost here that would have to survive a power loss.
    let options = SqliteOptions::default().durability(Durability::Normal);
    let storage = options.open(folder.path().join("priyo.db")).unwrap();
    runtime.block_on(storage.migrate()).unwrap();
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };

    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        runtime.block_on(async {
            let mut chat = Chat::new(&storage).await;
            for step in &steps {
                chat.take(step).await;
                chat.check().await;
            }
        });
        Ok(())
    });

    outcome.unwrap();
}
