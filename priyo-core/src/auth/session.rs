//! The built-in [`Authenticator`]: a signature, then the session behind it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{Authenticator, Caller, TokenKeys};
use crate::error::{Error, Result};
use crate::model::{Clock, SessionId, Timestamp, UserId};
use crate::storage::{Session, Storage};

/// Checks access tokens, and the sessions behind them in a small cache.
#[derive(Debug)]
pub(crate) struct SessionAuthenticator {
    storage: Arc<dyn Storage>,
    keys: Arc<TokenKeys>,
    clock: Clock,
    cache: Mutex<Cache>,
}

impl SessionAuthenticator {
    pub(crate) fn new(storage: Arc<dyn Storage>, keys: Arc<TokenKeys>, clock: Clock) -> Self {
        Self { storage, keys, clock, cache: Mutex::default() }
    }

    /// Forgets what is remembered of a session, after it has changed.
    pub(crate) fn forget_session(&self, id: SessionId) {
        self.with_cache(|cache| {
            cache.epoch += 1;
            cache.young.remove(&id);
            cache.old.remove(&id);
        });
    }

    /// Forgets what is remembered of a user, after they have changed.
    pub(crate) fn forget_user(&self, id: UserId) {
        self.with_cache(|cache| {
            cache.epoch += 1;
            for generation in [&mut cache.young, &mut cache.old] {
                generation.retain(|_, entry| entry.caller.user_id != id);
            }
        });
    }

    fn with_cache<T>(&self, with: impl FnOnce(&mut Cache) -> T) -> T {
        with(&mut self.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The live session with this id.
    async fn caller(&self, id: SessionId, now: Timestamp) -> Result<Caller> {
        let fresh_for = self.storage.is_shared().then_some(SHARED_FRESH);
        let (known, epoch) = self.with_cache(|cache| (cache.get(id, now, fresh_for), cache.epoch));
        let entry = match known {
            Some(entry) => entry,
            None => {
                let session = self.storage.session(id).await?.ok_or(Error::UnknownUser)?;
                let entry = Entry::of(&session, now)?;
                self.with_cache(|cache| cache.put(id, entry.clone(), epoch));
                entry
            }
        };
        if entry.session_ends <= now { Err(Error::InvalidToken) } else { Ok(entry.caller) }
    }
}

#[async_trait]
impl Authenticator for SessionAuthenticator {
    async fn authenticate(&self, token: &str) -> Result<Caller> {
        let now = self.clock.now();
        let proof = self.keys.check_access(token, now).ok_or(Error::InvalidToken)?;
        let caller = self.caller(proof.session_id, now).await?;
        // The session decides; a token that names somebody else beside it was never given out.
        if caller.user_id != proof.user_id {
            return Err(Error::InvalidToken);
        }
        Ok(Caller { expires_at: Some(proof.expires_at), visitor: proof.visitor, ..caller })
    }

    async fn recheck(&self, caller: &Caller) -> Result<Caller> {
        let session = caller.session_id.ok_or(Error::InvalidToken)?;
        let now = self.caller(session, self.clock.now()).await?;
        let Caller { visitor, expires_at, connection_id, ref origin, .. } = *caller;
        Ok(Caller { visitor, expires_at, connection_id, origin: origin.clone(), ..now })
    }
}

/// How long an answer is believed when other processes may change sessions too.
const SHARED_FRESH: Duration = Duration::from_secs(1);

/// Sessions remembered at once: a few megabytes.
const GENERATION: usize = 10_000;

/// A live session and its user.
#[derive(Debug, Clone)]
struct Entry {
    caller: Caller,
    session_ends: Timestamp,
    read_at: Timestamp,
}

impl Entry {
    fn of(session: &Session, now: Timestamp) -> Result<Self> {
        if session.revoked || session.user.disabled {
            return Err(Error::InvalidToken);
        }
        let caller = Caller { session_id: Some(session.id), ..Caller::new(&session.user) };
        Ok(Self { caller, session_ends: session.expires_at, read_at: now })
    }
}

/// Two generations of entries: when the young one is full it becomes the old one, and the old one is forgotten.
#[derive(Debug, Default)]
struct Cache {
    young: HashMap<SessionId, Entry>,
    old: HashMap<SessionId, Entry>,
    /// Goes up whenever something is forgotten: what was read from storage before that may be out of date.
    epoch: u64,
}

impl Cache {
    fn get(&mut self, id: SessionId, now: Timestamp, fresh_for: Option<Duration>) -> Option<Entry> {
        let entry = match self.young.get(&id) {
            Some(entry) => entry.clone(),
            None => {
                let entry = self.old.remove(&id)?;
                self.insert(id, entry.clone());
                entry
            }
        };
        // A clock that was set back must not make an old answer fresh.
        let fresh = fresh_for.is_none_or(|limit| entry.read_at <= now && now.since(entry.read_at) < limit);
        fresh.then_some(entry)
    }

    fn put(&mut self, id: SessionId, entry: Entry, epoch: u64) {
        if self.epoch == epoch {
            self.insert(id, entry);
        }
    }

    fn insert(&mut self, id: SessionId, entry: Entry) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, entry);
    }
}
