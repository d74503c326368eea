use async_trait::async_trait;
use priyo_core::model::{ConversationStatus, Timestamp, User, UserId};
use priyo_core::storage::{AuditEntry, Result, StorageError, UserStore};

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

    async fn set_last_seen(&self, users: &[UserId], at: Timestamp) -> Result<()> {
        let at = if self.has(Fault::TimesAreUnsigned) { at.max(Timestamp::from_millis(0)) } else { at };
        self.memory().set_last_seen(users, at).await
    }

    async fn contacts_of(&self, id: UserId) -> Result<Vec<UserId>> {
        let contacts = self.memory().contacts_of(id).await?;
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

    async fn audit(&self, entries: &[AuditEntry]) -> Result<()> {
        self.memory().audit(entries).await
    }
}
