//! The way out of the engine: to every transport, in turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::FutureExt;

use crate::events::{Audience, Event, Revocation, Transport};
use crate::model::UserId;

/// Tells the transports.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    transports: RwLock<Vec<Arc<dyn Transport>>>,
}

impl Announcer {
    pub(super) fn new(transports: Vec<Arc<dyn Transport>>) -> Self {
        Self { transports: RwLock::new(transports) }
    }

    /// Announces an event; gives the users that it was handed to, in no order, some perhaps more than once.
    pub(super) fn announce(&self, audience: &Audience, event: &Event) -> Vec<UserId> {
        let mut handed = Vec::new();
        for transport in self.transports.read().unwrap_or_else(PoisonError::into_inner).iter() {
            // A transport may be a host's own. What it fails to pass on is a hint that got lost; but a panic that got
            // through would end the task that announces, and with it every later send.
            match catch_unwind(AssertUnwindSafe(|| transport.deliver(audience, event))) {
                Ok(mut users) => handed.append(&mut users),
                Err(_) => tracing::error!(event = event.name(), "a transport panicked"),
            }
        }
        handed
    }

    /// Tells the transports that an access has ended. When this returns, nothing more is handed to it.
    pub(super) fn revoke(&self, revocation: &Revocation) {
        for transport in self.transports.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if catch_unwind(AssertUnwindSafe(|| transport.revoke(revocation))).is_err() {
                tracing::error!("a transport panicked: what it was to end may go on");
            }
        }
    }

    /// Ends all connections. The transports know the engine, and are let go of here so that both can be freed.
    pub(super) async fn close(&self) {
        let transports =
            std::mem::take(&mut *self.transports.write().unwrap_or_else(PoisonError::into_inner));
        for transport in transports {
            if AssertUnwindSafe(transport.close()).catch_unwind().await.is_err() {
                tracing::error!("a transport panicked at its close");
            }
        }
    }
}
