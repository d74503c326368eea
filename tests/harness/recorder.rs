//! A transport that remembers what it was told.

use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use priyo_core::events::Revocation;
use priyo_core::model::{SessionId, UserId};
use priyo_core::{Audience, Event, Transport};

/// A transport that remembers. The engine answers a call after it has told its transports, so that a test need not
/// wait: when a call has returned, what it announced is here.
#[derive(Debug, Default)]
pub struct Recorder {
    heard: Mutex<Vec<(Audience, Event)>>,
    revoked: Mutex<Vec<Revocation>>,
}

impl Recorder {
    /// What was announced since this was last asked.
    pub fn take(&self) -> Vec<(Audience, Event)> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    /// What accesses have ended since this was last asked.
    pub fn take_revoked(&self) -> Vec<Revocation> {
        std::mem::take(&mut self.revoked.lock().unwrap())
    }

    /// The sessions that have ended since this was last asked, each once: a use of what is left of one may say so again.
    /// Nothing else has.
    pub fn take_ended_sessions(&self) -> BTreeSet<SessionId> {
        let session = |revocation| match revocation {
            Revocation::Session(id) => id,
            other => panic!("{other:?}"),
        };
        self.take_revoked().into_iter().map(session).collect()
    }
}

#[async_trait]
impl Transport for Recorder {
    fn deliver(&self, audience: &Audience, event: &Event) -> Vec<UserId> {
        self.heard.lock().unwrap().push((audience.clone(), event.clone()));
        Vec::new()
    }

    fn revoke(&self, revocation: &Revocation) {
        self.revoked.lock().unwrap().push(*revocation);
    }

    async fn close(&self) {}
}
