//! Whether the server answers at all.
//!
//! One that is there and says nothing makes a call wait for as long as it may, and so does one that is down. Whatever
//! stands in a line behind that call would then wait as long again. So once a call has waited in vain, and nobody else
//! was answered lately, none is begun until the server has answered somebody who wants nothing else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::failure::Failure;
use crate::storage::Result;

/// How long nobody is answered before it is the server's fault, and not that of one slow call.
const SILENCE: Duration = Duration::from_secs(2);

/// What is known of the server.
#[derive(Debug)]
pub(super) struct Outage {
    last_answer: Mutex<Instant>,
    is_on: AtomicBool,
}

impl Outage {
    /// None: the server has just answered.
    pub(super) fn none(now: Instant) -> Self {
        Self { last_answer: Mutex::new(now), is_on: AtomicBool::new(false) }
    }

    /// Refuses while there is one.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.is_on.load(Ordering::Relaxed) { Err(Failure::Away) } else { Ok(()) }
    }

    /// The server has answered somebody.
    pub(super) fn answered(&self, now: Instant) {
        *self.last_answer.lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.is_on.store(false, Ordering::Relaxed);
    }

    /// A call has waited in vain. Says whether an outage begins with that.
    pub(super) fn begins(&self, now: Instant) -> bool {
        let last_answer = *self.last_answer.lock().unwrap_or_else(PoisonError::into_inner);
        now.duration_since(last_answer) >= SILENCE && !self.is_on.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_answers_nobody_is_away() {
        let begin = Instant::now();
        let at = |secs| begin + Duration::from_secs(secs);
        let outage = Outage::none(at(0));
        outage.answered(at(4));
        assert!(!outage.begins(at(5)) && outage.check().is_ok());

        assert!(outage.begins(at(6)) && outage.check().is_err());
        assert!(!outage.begins(at(7)), "it has begun already");

        outage.answered(at(8));
        assert!(outage.check().is_ok());
    }
}
