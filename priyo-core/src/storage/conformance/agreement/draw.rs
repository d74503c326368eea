//! What is drawn by lot.

use std::time::Duration;

use uuid::Uuid;

use super::super::dice::Dice;
use super::super::fixtures::delivered;
use super::operation::Operation;
use super::world::World;
use crate::model::{
    Attachment, Conversation, ConversationCursor, ConversationId, ConversationKind, ConversationStatus,
    Dimensions, FileId, FileRecord, MessageId, MessageKind, MessageRange, Role, SessionId, Timestamp, User,
    UserChange, UserId,
};
use crate::storage::{
    ConversationRow, DeliveredMark, NewMessageRow, NewSession, PasswordRow, RefreshToken, TokenHash,
};

/// Few names, so that the same one comes again.
const NAMES: [&str; 7] = ["ann", "Ann", "bob", "BOB", "änn", "carol", "dora "];
const EMAILS: [&str; 5] =
    ["ann@example.com", "bob@example.com", "c@example.com", "d@example.com", "e@example.com"];
const EXTERNAL_IDS: [&str; 4] = ["1", "1 ", "a", "A"];
const ROLES: [Role; 3] = [Role::Customer, Role::Agent, Role::Admin];
const PICTURES: [Option<&str>; 3] = [None, Some("a.png"), Some("")];
const TEXTS: [&str; 6] =
    ["", "a", " a ", "ä", "two words", "🦀 a text that is a little longer than the others"];
const CLIENT_IDS: [Option<&str>; 8] = [None, None, None, None, Some("a"), Some("A"), Some("3"), Some("")];

/// Draws one operation. The ids it makes come from the dice, too, so that a run can be repeated to the letter.
pub(super) struct Draw<'a> {
    dice: Dice,
    world: &'a World,
}

impl<'a> Draw<'a> {
    pub(super) fn new(number: u64, world: &'a World) -> Self {
        Self { dice: Dice::new(number), world }
    }

    pub(super) fn operation(&mut self) -> Operation {
        if self.world.users.len() < 3 {
            return Operation::CreateAccount(self.new_user());
        }
        if self.world.conversations.is_empty() {
            return Operation::CreateConversation(self.new_conversation());
        }
        match self.dice.below(100) {
            0..4 => Operation::CreateAccount(self.new_user()),
            4..8 => Operation::UpsertHostUser(self.new_host_user()),
            8..10 => Operation::SetLastSeen(self.user(), self.now()),
            10..13 => Operation::CreateSession(self.new_session(), self.new_token()),
            13..20 => self.rotate(),
            20 => Operation::RevokeSession(self.session(), self.now()),
            21 => self.look_after_users(),
            22..30 => Operation::CreateConversation(self.new_conversation()),
            30..36 => self.set_status(),
            36..43 => self.add(),
            43..47 => self.remove(),
            47..69 => self.append(),
            69..82 => self.mark_read(),
            82..86 => Operation::SetDelivered(self.marks()),
            86..89 => Operation::CreateFile(self.new_file(), self.dice.pick(&[u64::MAX, u64::MAX, 1_500])),
            89 => Operation::LoosenUnsentFiles {
                before: self.now(),
                limit: self.dice.pick(&[1, 2, u32::MAX]),
                at: self.now(),
            },
            90..94 => self.messages(),
            94..99 => self.conversations(),
            _ => Operation::Migrate,
        }
    }

    /// Time goes on, from before 1970 to after; but several things share a moment, and sometimes it goes back.
    fn now(&mut self) -> Timestamp {
        let seconds = self.world.steps / 3 - 10;
        Timestamp::from_millis(seconds * 1_000 + self.dice.pick(&[-1_000, 0, 0, 0, 1, 999]))
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.dice.next(), self.dice.next())
    }

    /// Someone who is there, or now and then someone who is not.
    fn user(&mut self) -> UserId {
        if self.dice.one_in(12) { UserId::from_uuid(self.uuid()) } else { self.dice.pick(&self.world.users) }
    }

    /// Someone who is in the conversation, or now and then just someone.
    fn member(&mut self, id: ConversationId) -> UserId {
        let members = self.world.conversations.iter().find(|conversation| conversation.id == id);
        let members = members.map(Conversation::participant_ids).unwrap_or_default();
        if members.is_empty() || self.dice.one_in(8) { self.user() } else { self.dice.pick(&members) }
    }

    fn conversation(&mut self) -> ConversationId {
        self.one_of(|_| true)
    }

    /// Whether people can come and go is for the engine to decide, but between two they do not.
    fn group(&mut self) -> ConversationId {
        self.one_of(|conversation| conversation.kind == ConversationKind::Group)
    }

    fn one_of(&mut self, is_meant: fn(&Conversation) -> bool) -> ConversationId {
        let meant = self.world.conversations.iter().filter(|conversation| is_meant(conversation));
        let ids: Vec<_> = meant.map(|conversation| conversation.id).collect();
        let is_known = !ids.is_empty() && !self.dice.one_in(15);
        if is_known { self.dice.pick(&ids) } else { ConversationId::from_uuid(self.uuid()) }
    }

    fn last_seq(&self, id: ConversationId) -> u64 {
        self.world.messages.get(&id).map_or(0, |messages| messages.len() as u64)
    }

    fn session(&mut self) -> SessionId {
        if self.world.sessions.is_empty() {
            return SessionId::from_uuid(self.uuid());
        }
        self.dice.pick(&self.world.sessions)
    }

    fn new_user(&mut self) -> User {
        let username = self.dice.pick(&NAMES).to_owned();
        User {
            id: UserId::from_uuid(self.uuid()),
            external_id: None,
            email: Some(self.dice.pick(&EMAILS).to_owned()),
            username,
            avatar: self.dice.pick(&PICTURES).map(str::to_owned),
            role: self.dice.pick(&ROLES),
            disabled: self.world.users.len() >= 3 && self.dice.one_in(6),
            created_at: self.now(),
            last_seen: None,
        }
    }

    fn new_host_user(&mut self) -> User {
        let user = self.new_user();
        User { external_id: Some(self.dice.pick(&EXTERNAL_IDS).to_owned()), ..user }
    }

    fn new_token(&mut self) -> RefreshToken {
        let (number, created_at) = (self.dice.next(), self.now());
        let hash: TokenHash = std::array::from_fn(|place| number.to_be_bytes()[place % 8]);
        RefreshToken { hash, created_at, expires_at: created_at.after(Duration::from_secs(12)) }
    }

    fn new_session(&mut self) -> NewSession {
        let (id, created_at) = (SessionId::from_uuid(self.uuid()), self.now());
        let expires_at = created_at.after(Duration::from_secs(20));
        let user_agent = self.dice.pick(&[None, Some("curl")]).map(str::to_owned);
        NewSession { id, user_id: self.dice.pick(&self.world.users), created_at, expires_at, user_agent }
    }

    fn rotate(&mut self) -> Operation {
        if self.world.tokens.is_empty() {
            return Operation::CreateSession(self.new_session(), self.new_token());
        }
        // As a rule one of the last, which has to do with what happened last.
        let last = self.world.tokens.len().saturating_sub(if self.dice.one_in(3) { 100 } else { 3 });
        let presented = self.dice.pick(&self.world.tokens[last..]);
        let (now, grace) = (self.now(), Duration::from_secs(3));
        Operation::RotateRefreshToken { presented, next: self.new_token(), now, grace }
    }

    /// What is done now and then to who one is and how one signs in.
    fn look_after_users(&mut self) -> Operation {
        let (user, at) = (self.user(), self.now());
        let hashes = ["hash", "another hash"];
        match self.dice.below(5) {
            0 => Operation::RevokeSessionsOf(user, at),
            1 => {
                let old_hash = self.dice.pick(&[None, Some(hashes[0]), Some(hashes[1])]).map(str::to_owned);
                let keep = self.dice.one_in(2).then(|| self.session());
                let new_hash = self.dice.pick(&hashes).to_owned();
                Operation::ChangePassword(PasswordRow { user_id: user, old_hash, new_hash, keep, at })
            }
            2 => Operation::ReplacePasswordHash(user, self.dice.pick(&hashes), self.dice.pick(&hashes)),
            3 => {
                let role = self.dice.one_in(2).then(|| self.dice.pick(&ROLES));
                let disabled = self.dice.pick(&[None, Some(true), Some(false)]);
                Operation::UpdateUser(user, UserChange { role, disabled }, at)
            }
            // Only what has been over for longer than anybody looks back.
            _ => Operation::DeleteEnded(at.before(Duration::from_secs(1_000)), 10),
        }
    }

    fn new_conversation(&mut self) -> ConversationRow {
        let kind =
            self.dice.pick(&[ConversationKind::Direct, ConversationKind::Group, ConversationKind::Group]);
        let most = if kind == ConversationKind::Direct { 2 } else { 5 };
        // The same two again and again, as a rule.
        let mut participants = if self.dice.one_in(3) { Vec::new() } else { self.world.users[..2].to_vec() };
        while participants.len() < 2 || (participants.len() < most && self.dice.one_in(2)) {
            let user = self.user();
            if !participants.contains(&user) {
                participants.push(user);
            }
        }
        ConversationRow {
            id: ConversationId::from_uuid(self.uuid()),
            kind,
            name: self.dice.pick(&[None, Some("a name"), Some("")]).map(str::to_owned),
            created_by: participants[0],
            participants,
            at: self.now(),
        }
    }

    fn set_status(&mut self) -> Operation {
        let status = if self.dice.one_in(3) { ConversationStatus::Closed } else { ConversationStatus::Open };
        Operation::SetStatus(self.conversation(), status, self.now())
    }

    fn add(&mut self) -> Operation {
        let users = self.dice.some(&self.world.users, 3);
        let max = self.dice.pick(&[2, 4, 100]);
        Operation::AddParticipants { id: self.group(), users, max, at: self.now() }
    }

    fn remove(&mut self) -> Operation {
        let id = self.group();
        Operation::RemoveParticipant(id, self.member(id), self.now())
    }

    fn append(&mut self) -> Operation {
        let conversation = self.conversation();
        let count = self.dice.pick(&[1, 1, 2, 5]);
        let mut batch = Vec::new();
        for _ in 0..count {
            let conversation_id = if self.dice.one_in(4) { self.conversation() } else { conversation };
            batch.push(self.new_message(conversation_id));
        }
        Operation::AppendMessages(batch)
    }

    fn new_message(&mut self, conversation_id: ConversationId) -> NewMessageRow {
        let mut id = MessageId::from_uuid(self.uuid());
        if let Some(before) = self.before()
            && self.dice.one_in(4)
        {
            // Sent again, because an answer got lost; now and then by a program that gives the same id to others.
            if !self.dice.one_in(10) {
                return NewMessageRow { id, at: self.now(), ..before };
            }
            id = before.id;
        }
        let attachment = self.dice.one_in(5).then(|| self.attachment());
        let kind = if attachment.is_some() { MessageKind::File } else { MessageKind::Text };
        NewMessageRow {
            id,
            conversation_id,
            sender: self.member(conversation_id),
            client_message_id: self.dice.pick(&CLIENT_IDS).map(str::to_owned),
            content: self.dice.pick(&TEXTS).to_owned(),
            kind,
            attachment,
            at: self.now(),
        }
    }

    /// A message that was sent, stored or not.
    fn before(&mut self) -> Option<NewMessageRow> {
        let place = self.dice.below(self.world.tried.len());
        self.world.tried.get(place).cloned()
    }

    fn attachment(&mut self) -> Attachment {
        let ids: Vec<FileId> = self.world.files.iter().map(|(id, _)| *id).collect();
        let is_known = !ids.is_empty() && !self.dice.one_in(6);
        let file_id = if is_known { self.dice.pick(&ids) } else { FileId::from_uuid(self.uuid()) };
        Attachment { file_id, stored_name: "x".into(), original_name: "x".into(), size: 1, dimensions: None }
    }

    fn mark_read(&mut self) -> Operation {
        let (conversation, elsewhere) = (self.conversation(), self.conversation());
        let user = self.member(conversation);
        let within = self.dice.one_in(3).then_some(conversation);
        let mut messages = Vec::new();
        for _ in 0..self.dice.below(6) {
            let from = if self.dice.one_in(12) { elsewhere } else { conversation };
            let known = self.world.messages.get(&from).filter(|ids| !ids.is_empty() && !self.dice.one_in(40));
            let unknown = self.before().map_or_else(|| MessageId::from_uuid(self.uuid()), |row| row.id);
            messages.push(known.map_or(unknown, |ids| self.dice.pick(ids)));
        }
        Operation::MarkRead { user, messages, within, at: self.now() }
    }

    fn marks(&mut self) -> Vec<DeliveredMark> {
        let mut marks = Vec::new();
        let mut conversation = self.conversation();
        let mut user = self.member(conversation);
        for _ in 0..=self.dice.below(4) {
            if self.dice.one_in(3) {
                conversation = self.conversation();
                user = self.member(conversation);
            }
            let newest = self.last_seq(conversation);
            if newest > 0 {
                let first = 1 + self.dice.next() % newest;
                let last = first + self.dice.next() % (newest - first + 1);
                marks.push(delivered(conversation, user, first, last));
            }
        }
        marks
    }

    fn new_file(&mut self) -> FileRecord {
        let id = FileId::from_uuid(self.uuid());
        let same = self.world.files.last().map(|(_, name)| name.clone()).filter(|_| self.dice.one_in(5));
        FileRecord {
            id,
            uploader: self.dice.pick(&self.world.users),
            stored_name: same.unwrap_or_else(|| format!("{id}.png")),
            original_name: self.dice.pick(&TEXTS).to_owned(),
            content_type: "image/png".into(),
            size: self.dice.below(1_000) as u64,
            dimensions: self.dice.one_in(2).then_some(Dimensions { width: 3, height: 2 }),
            created_at: self.now(),
        }
    }

    fn messages(&mut self) -> Operation {
        let conversation = self.conversation();
        let newest = self.last_seq(conversation);
        let some = self.dice.next() % (newest + 2);
        let seq = self.dice.pick(&[some, some, some, newest, u64::MAX]);
        let range = match self.dice.below(3) {
            0 => MessageRange::Page(seq.max(1)),
            1 => MessageRange::Before(seq),
            _ => MessageRange::After(seq),
        };
        let limit = self.dice.pick(&[1, 2, 3, 10, u32::MAX]);
        let max_bytes = self.dice.pick(&[0, 1, 3, 20, usize::MAX]);
        Operation::Messages { conversation, range, limit, max_bytes }
    }

    fn conversations(&mut self) -> Operation {
        let (of, reader) = (self.user(), self.user());
        let of = (!self.dice.one_in(3)).then_some(of);
        let place = ConversationCursor { updated_at: self.now(), id: self.conversation() };
        let after = (!self.dice.one_in(3)).then_some(place);
        Operation::Conversations { of, reader, after, limit: self.dice.pick(&[1, 2, 5, u32::MAX]) }
    }
}
