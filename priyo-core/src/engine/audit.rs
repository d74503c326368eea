//! The audit log: who did what that must be traceable, from where, and who was refused what.
//!
//! Each is an event in the log of the program, of the target `priyo::audit`, and a row in the database. The event is
//! there when the call answers; the row is written behind, within a second, since nobody should wait for it. What
//! anyone can cause as often as they like, a refusal, is noted only so often: nobody must be able to fill a disk. How
//! many were passed over is noted, too.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::ChatEngine;
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::model::{ClientAddress, Clock, Origin, Role, UserId};
use crate::storage::{AuditEntry, Storage, unpanicked};

/// How often what was noted is written.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Entries in one write, so that messages need not wait long behind it.
const WRITTEN_AT_ONCE: usize = 500;

/// Entries kept while the storage is away: a few megabytes. More are in the log of the program only.
const KEPT: usize = 10_000;

/// In each minute so many refusals of one user or address are noted, and so many of all.
const MINUTE: Duration = Duration::from_secs(60);
const REFUSALS_OF_ONE: u32 = 10;
const REFUSALS_OF_ALL: u32 = 100;

/// Something to be noted.
#[derive(Debug, Clone)]
pub(super) struct Deed {
    /// In snake_case.
    action: &'static str,
    /// Whether anyone can cause it as often as they like.
    is_refusal: bool,
    actor: Option<UserId>,
    origin: Origin,
    subject: Option<String>,
    detail: Option<String>,
}

impl Deed {
    /// What a caller did.
    pub(super) fn of(caller: &Caller, action: &'static str) -> Self {
        Self::by(Some(caller.user_id), &caller.origin, action)
    }

    /// What someone did, who may be nobody that is known.
    pub(super) fn by(actor: Option<UserId>, origin: &Origin, action: &'static str) -> Self {
        Self { action, is_refusal: false, actor, origin: origin.clone(), subject: None, detail: None }
    }

    /// It was refused.
    pub(super) fn refused(mut self) -> Self {
        self.is_refusal = true;
        self
    }

    /// To what.
    pub(super) fn to(mut self, subject: &impl ToString) -> Self {
        self.subject = Some(subject.to_string());
        self
    }

    /// What else there is to say.
    pub(super) fn saying(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    fn source(&self) -> Source {
        match (self.actor, self.origin.address) {
            (Some(user), _) => Source::User(user),
            (None, Some(address)) => Source::Address(address),
            (None, None) => Source::Unknown,
        }
    }
}

/// Who causes a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    User(UserId),
    Address(ClientAddress),
    Unknown,
}

/// What is to be written, and what is not noted any more in this minute.
#[derive(Debug)]
pub(super) struct Audit {
    storage: Arc<dyn Storage>,
    clock: Clock,
    state: Mutex<State>,
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    unwritten: VecDeque<AuditEntry>,
    /// When the minute began, of which these are the refusals.
    minute: Option<Instant>,
    refusals: HashMap<Source, u32>,
    noted: u32,
    passed_over: u64,
}

impl Audit {
    /// Starts writing behind. That ends when the value is dropped.
    pub(super) fn start(storage: Arc<dyn Storage>, clock: Clock) -> Arc<Self> {
        let (state, writing) = (Mutex::default(), tokio::sync::Mutex::default());
        let audit = Arc::new(Self { storage, clock, state, writing });
        let behind = Arc::downgrade(&audit);
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(WRITE_EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let Some(audit) = behind.upgrade() else { return };
                audit.begin_minute();
                audit.flush().await;
            }
        });
        audit
    }

    /// Notes something, now in the log of the program and soon in the database.
    pub(super) fn note(&self, deed: Deed) {
        if deed.is_refusal && !self.is_noted(deed.source()) {
            return;
        }
        let entry = self.entry(deed);
        let mut state = self.lock();
        if state.unwritten.len() < KEPT {
            state.unwritten.push_back(entry);
        }
    }

    /// Notes what must be in the database before it is answered.
    pub(super) async fn note_first(&self, deeds: impl IntoIterator<Item = Deed>) -> Result<()> {
        let entries: Vec<AuditEntry> = deeds.into_iter().map(|deed| self.entry(deed)).collect();
        if entries.is_empty() {
            return Ok(());
        }
        Ok(self.storage.audit(&entries).await?)
    }

    /// Writes what was noted. What the storage does not take stays for the next time.
    pub(super) async fn flush(&self) {
        let _one_at_a_time = self.writing.lock().await;
        loop {
            let some: Vec<AuditEntry> = self.lock().unwritten.iter().take(WRITTEN_AT_ONCE).cloned().collect();
            if some.is_empty() {
                return;
            }
            if let Err(error) = unpanicked(self.storage.audit(&some)).await {
                tracing::warn!(%error, "the audit log was not written; it will be tried again");
                return;
            }
            self.lock().unwritten.drain(..some.len());
        }
    }

    fn entry(&self, deed: Deed) -> AuditEntry {
        let Deed { action, actor, origin, subject, detail, .. } = deed;
        let entry = AuditEntry {
            at: self.clock.now(),
            actor,
            action,
            subject,
            detail,
            address: origin.address.map(ClientAddress::to_text),
            request_id: origin.request_id.as_deref().map(str::to_owned),
        };
        tracing::info!(
            target: "priyo::audit",
            action = entry.action,
            at = %entry.at,
            user.id = entry.actor.map(tracing::field::display),
            subject = entry.subject,
            detail = entry.detail,
            client.address = entry.address,
            request.id = entry.request_id,
            "audit",
        );
        entry
    }

    /// Whether a refusal is noted, by how many there were.
    fn is_noted(&self, source: Source) -> bool {
        self.begin_minute();
        let mut state = self.lock();
        let of_one = state.refusals.get(&source).copied().unwrap_or(0);
        if state.noted >= REFUSALS_OF_ALL || of_one >= REFUSALS_OF_ONE {
            state.passed_over += 1;
            return false;
        }
        state.noted += 1;
        state.refusals.insert(source, of_one + 1);
        state.minute.get_or_insert_with(Instant::now);
        true
    }

    /// Begins another minute when the last is over, and tells what was passed over in it.
    fn begin_minute(&self) {
        let passed_over = {
            let mut state = self.lock();
            if state.minute.is_none_or(|begun| begun.elapsed() < MINUTE) {
                return;
            }
            state.minute = None;
            state.refusals.clear();
            state.noted = 0;
            std::mem::take(&mut state.passed_over)
        };
        if passed_over > 0 {
            let deed = Deed::by(None, &Origin::default(), "refusals_passed_over");
            self.note(deed.saying(passed_over.to_string()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChatEngine {
    /// Refuses a caller who is no administrator, and notes it in the audit log. `what` they may not do is told there in
    /// snake_case.
    ///
    /// # Errors
    ///
    /// [`Error::RoleRequired`] when they are none.
    pub fn require_admin(&self, caller: &Caller, what: &'static str) -> Result<()> {
        self.require(caller, &[Role::Admin], what)
    }

    /// Refuses a caller who has none of these roles, and notes it.
    pub(super) fn require(
        &self,
        caller: &Caller,
        required: &'static [Role],
        what: &'static str,
    ) -> Result<()> {
        if required.contains(&caller.role) {
            return Ok(());
        }
        Err(self.denied(caller, what, Error::RoleRequired { required, current: Some(caller.role) }))
    }

    /// Notes that a caller was refused something, and is the refusal.
    pub(super) fn denied(&self, caller: &Caller, what: &'static str, refusal: Error) -> Error {
        self.inner.audit.note(Deed::of(caller, "authorization_denied").saying(what).refused());
        refusal
    }
}
