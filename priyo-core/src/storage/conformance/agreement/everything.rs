//! All that a storage can be asked.

use super::super::Store;
use super::operation::{answer, sorted};
use super::world::World;
use crate::model::{MessageRange, Timestamp, UserList, UserOrder};
use crate::storage::Reader;

/// Every question that can be asked of this world, each with the answer.
pub(super) async fn everything(store: &Store, world: &World) -> Vec<(String, String)> {
    let mut answers = Answers(Vec::new());
    answers.of_users(store, world).await;
    answers.of_conversations(store, world).await;
    answers.of_files(store, world).await;
    answers.0
}

struct Answers(Vec<(String, String)>);

impl Answers {
    fn add(&mut self, question: String, answer: String) {
        self.0.push((question, answer));
    }

    async fn of_users(&mut self, store: &Store, world: &World) {
        let contacts = store.contacts_of(&world.users).await.map(|mut contacts| {
            contacts.iter_mut().for_each(|contacts| contacts.sort());
            contacts
        });
        self.add("contacts".to_owned(), answer(contacts));
        for user in &world.users {
            self.add(format!("{user:?}"), answer(store.user(*user).await));
            self.add(format!("hash of {user:?}"), answer(store.password_hash(*user).await));
            for now in [-1_000_000, 0, 10].map(Timestamp::from_millis) {
                let sessions = store.sessions_of(*user, now, 100).await;
                self.add(format!("sessions of {user:?} at {now:?}"), answer(sessions));
            }
            let counts = store.unread_counts(*user).await.map(|mut counts| {
                // Those with none may be left out.
                counts.retain(|(_, count)| *count > 0);
                counts
            });
            self.add(format!("unread counts of {user:?}"), answer(sorted(counts)));
            self.add(format!("bytes of {user:?}"), answer(store.stored_bytes(*user).await));
            let by_id = store.conversations_except(*user, &[], None, 1_000).await;
            self.add(format!("conversations of {user:?} by id"), answer(by_id));
            let list = store.conversations(Some(*user), *user, None, 1_000).await;
            self.add(format!("conversations of {user:?}"), answer(list));
        }
        for by in [UserOrder::Username, UserOrder::Email] {
            for starts_with in ["", "a", "b"] {
                let list = UserList { by, starts_with: starts_with.to_owned(), after: None, limit: 1_000 };
                self.add(format!("users by {by:?} from {starts_with:?}"), answer(store.users(&list).await));
            }
        }
        for id in &world.external_ids {
            self.add(format!("host user {id:?}"), answer(store.host_user(id).await));
        }
        for email in &world.emails {
            self.add(format!("account {email:?}"), answer(store.account(email).await));
        }
        self.add("ended sessions".to_owned(), answer(sorted(store.ended_sessions(&world.sessions).await)));
        for session in &world.sessions {
            self.add(format!("{session:?}"), answer(store.session(*session).await));
        }
        for token in &world.tokens {
            self.add(format!("session of token {token:?}"), answer(store.session_of_token(token).await));
        }
    }

    async fn of_conversations(&mut self, store: &Store, world: &World) {
        let there = world.conversations.iter().map(|conversation| conversation.id);
        for id in there.chain(world.refused.iter().copied()) {
            self.add(format!("{id:?}"), answer(store.conversation(id).await));
            let all = store.messages(id, MessageRange::After(0), u32::MAX, usize::MAX).await;
            self.add(format!("messages of {id:?}"), answer(all));
            for user in &world.users {
                self.add(format!("standing of {user:?} in {id:?}"), answer(store.standing(id, *user).await));
                let reader = Reader { user_id: *user, from_outside: false };
                let reading = store.messages_for(reader, id, MessageRange::After(0), 5, usize::MAX).await;
                let reading = reading.map(|mut reading| {
                    reading.iter_mut().for_each(|reading| reading.present.sort());
                    reading
                });
                self.add(format!("messages of {id:?} for {user:?}"), answer(reading));
            }
        }
        if let Some(reader) = world.users.first() {
            let list = store.conversations(None, *reader, None, 1_000).await;
            self.add("all conversations".to_owned(), answer(list));
        }
    }

    async fn of_files(&mut self, store: &Store, world: &World) {
        let ever = Timestamp::from_millis(i64::MAX);
        self.add("loose files".to_owned(), answer(store.loose_files(ever, u32::MAX).await));
        for (id, stored_name) in &world.files {
            self.add(format!("{id:?}"), answer(store.file(*id).await));
            self.add(format!("file {stored_name:?}"), answer(store.file_named(stored_name).await));
            self.add(format!("{id:?} for all"), answer(store.is_attached(*id, None).await));
            for user in &world.users {
                let attached = store.is_attached(*id, Some(*user)).await;
                self.add(format!("{id:?} for {user:?}"), answer(attached));
            }
        }
    }
}
