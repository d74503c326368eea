use async_trait::async_trait;
use priyo_core::model::{
    ConversationStatus, Page, Role, SessionId, Timestamp, User, UserChange, UserCursor, UserId, UserList,
    UserOrder,
};
use priyo_core::storage::{AuditEntry, PasswordRow, Result, StorageError, UserStore, UserUpdate};

use super::{Broken, Fault, pause};

#[async_trait]
impl UserStore for Broken {
    async fn create_account(&self, user: &User, password_hash: &str) -> Result<bool> {
        self.begin().await;
        let memory = self.memory();
        let mut user = user.clone();
        let known = self.note(|notes| notes.accounts.clone());
        match self.fault {
            Fault::TheDisabledTakePart => user.disabled = false,
            Fault::CaseIsThatOfUnicode => {
                let same = |other: &User| other.username.to_lowercase() == user.username.to_lowercase();
                if known.iter().any(same) {
                    return Ok(false);
                }
            }
            Fault::NamesAreLookedUpFirst => {
                let found = memory.account(user.email.as_deref().unwrap_or_default()).await?;
                pause().await;
                memory.create_account(&user, password_hash).await?;
                return Ok(found.is_none());
            }
            Fault::TrimsNames => user.username = user.username.trim().to_owned(),
            _ => {}
        }
        if memory.create_account(&user, password_hash).await? {
            self.note(|notes| notes.accounts.push(user));
            return Ok(true);
        }
        let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        let email = |user: &User| user.email.clone().unwrap_or_default();
        Ok(match self.fault {
            Fault::EmailsHaveCase => {
                !known.iter().any(|other| same(&other.username, &user.username) || other.email == user.email)
            }
            Fault::UsernamesHaveCase => !known
                .iter()
                .any(|other| other.username == user.username || same(&email(other), &email(&user))),
            Fault::StoresWhatItRefuses => {
                let stored = User { external_id: Some(user.id.to_string()), ..user };
                memory.upsert_host_user(&stored).await?;
                false
            }
            _ => false,
        })
    }

    async fn upsert_host_user(&self, user: &User) -> Result<User> {
        self.begin().await;
        let memory = self.memory();
        let known = match &user.external_id {
            Some(external_id) => memory.host_user(external_id).await?,
            None => None,
        };
        match self.fault {
            Fault::HostUsersAreLookedUpFirst => {
                pause().await;
                let stored = memory.upsert_host_user(user).await?;
                return Ok(if known.is_none() { user.clone() } else { stored });
            }
            Fault::HostUsersAreReplaced => {
                let stored = memory.upsert_host_user(user).await?;
                return Ok(User { id: stored.id, created_at: stored.created_at, ..user.clone() });
            }
            Fault::HostUsersGetANewId if known.is_some() => {
                let stored = memory.upsert_host_user(user).await?;
                return Ok(User { id: user.id, ..stored });
            }
            Fault::NamesOfHostUsersAreUnique => {
                let accounts = self.note(|notes| notes.accounts.clone());
                if accounts.iter().any(|other| other.username == user.username) {
                    return Err(StorageError::Backend("the name is taken".into()));
                }
            }
            _ => {}
        }
        let stored = memory.upsert_host_user(user).await?;
        self.note(|notes| notes.host_users.push(stored.clone()));
        Ok(stored)
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        if self.has(Fault::ReadsAfterTheClosing) && self.note(|notes| notes.is_closed) {
            return Ok(None);
        }
        self.memory().user(id).await
    }

    async fn host_user(&self, external_id: &str) -> Result<Option<User>> {
        let wanted = if self.has(Fault::TrimsNames) { external_id.trim() } else { external_id };
        if self.has(Fault::NamesArePatterns) && wanted == "%" {
            return Ok(self.note(|notes| notes.host_users.first().cloned()));
        }
        self.memory().host_user(wanted).await
    }

    async fn account(&self, email: &str) -> Result<Option<(User, String)>> {
        if self.has(Fault::HostUsersLogIn)
            && let Some(user) = self.note(|notes| {
                notes.host_users.iter().find(|user| user.email.as_deref() == Some(email)).cloned()
            })
        {
            return Ok(Some((user, String::new())));
        }
        self.memory().account(email).await
    }

    async fn password_hash(&self, id: UserId) -> Result<Option<String>> {
        self.memory().password_hash(id).await
    }

    async fn replace_password_hash(&self, id: UserId, old: &str, new: &str) -> Result<bool> {
        let memory = self.memory();
        if self.has(Fault::AnyHashIsReplaced) {
            let old = memory.password_hash(id).await?.unwrap_or_default();
            return memory.replace_password_hash(id, &old, new).await;
        }
        memory.replace_password_hash(id, old, new).await
    }

    async fn change_password(&self, new: &PasswordRow) -> Result<Option<Vec<SessionId>>> {
        let memory = self.memory();
        match (self.fault, &new.old_hash) {
            (Fault::AnotherPasswordEndsNothing, Some(old)) => {
                let changed = memory.replace_password_hash(new.user_id, old, &new.new_hash).await?;
                Ok(changed.then(Vec::new))
            }
            (Fault::AnotherPasswordEndsAll, _) => {
                memory.change_password(&PasswordRow { keep: None, ..new.clone() }).await
            }
            _ => memory.change_password(new).await,
        }
    }

    async fn users(&self, list: &UserList) -> Result<Page<User>> {
        let memory = self.memory();
        let whole = UserList { starts_with: String::new(), after: None, limit: u32::MAX, ..list.clone() };
        let mut all = memory.users(&whole).await?;
        match self.fault {
            Fault::UsersAreListedByCase => {
                all.items.sort_by_key(|user| (user.username.clone(), user.id));
                all.items.retain(|user| list.by.key_of(user).starts_with(&list.starts_with));
                Ok(all)
            }
            Fault::UsersAreFoundByAnyPart => {
                all.items.retain(|user| list.by.key_of(user).contains(&list.starts_with));
                Ok(all)
            }
            Fault::APlaceOfUsersIsOnlyTheName => {
                // Behind all of that name.
                let after = list.after.clone().map(|place| UserCursor { key: place.key + "\u{1}", ..place });
                memory.users(&UserList { after, ..list.clone() }).await
            }
            _ => memory.users(list).await,
        }
    }

    async fn update_user(&self, id: UserId, change: UserChange, at: Timestamp) -> Result<UserUpdate> {
        let memory = self.memory();
        let before = memory.user(id).await?;
        let others_were_there = self.has(Fault::AdministratorsAreCountedFirst) && {
            let all =
                UserList { by: UserOrder::Username, starts_with: String::new(), after: None, limit: 1_000 };
            let all = memory.users(&all).await?.items;
            pause().await;
            all.iter().any(|user| user.id != id && user.role == Role::Admin && !user.disabled)
        };
        let updated = memory.update_user(id, change, at).await?;
        Ok(match (updated, before) {
            (UserUpdate::Updated { before, user, .. }, _) if self.has(Fault::DisablingEndsNothing) => {
                UserUpdate::Updated { before, user, ended: Vec::new() }
            }
            (UserUpdate::LastAdmin, Some(before))
                if others_were_there || self.has(Fault::TheLastAdministratorMayGo) =>
            {
                UserUpdate::Updated { user: before.clone(), before, ended: Vec::new() }
            }
            (updated, _) => updated,
        })
    }

    async fn set_last_seen(&self, users: &[UserId], at: Timestamp) -> Result<()> {
        let at = if self.has(Fault::TimesAreUnsigned) { at.max(Timestamp::from_millis(0)) } else { at };
        self.memory().set_last_seen(users, at).await
    }

    async fn contacts_of(&self, users: &[UserId]) -> Result<Vec<Vec<UserId>>> {
        let mut users = users.to_vec();
        if self.has(Fault::ContactsAreSorted) {
            users.sort();
        }
        let mut found = Vec::new();
        for (id, contacts) in users.iter().zip(self.memory().contacts_of(&users).await?) {
            found.push(self.contacts(*id, contacts).await?);
        }
        Ok(found)
    }

    async fn audit(&self, entries: &[AuditEntry]) -> Result<()> {
        self.memory().audit(entries).await
    }
}

impl Broken {
    /// How the contacts of a user look to this storage.
    async fn contacts(&self, id: UserId, contacts: Vec<UserId>) -> Result<Vec<UserId>> {
        match self.fault {
            Fault::ContactsAreOfOpenConversations => {
                let mut open = self.all_conversations(Some(id), id).await?;
                open.retain(|item| item.conversation.status == ConversationStatus::Open);
                let shared = |user: &UserId| open.iter().any(|item| item.conversation.has(*user));
                Ok(contacts.into_iter().filter(shared).collect())
            }
            Fault::ContactsStay => Ok(self.note(|notes| {
                let all = notes.contacts.entry(id).or_default();
                all.extend(contacts);
                all.iter().copied().collect()
            })),
            Fault::ContactsComeTwice => Ok(contacts.iter().chain(&contacts).copied().collect()),
            _ => Ok(contacts),
        }
    }
}
