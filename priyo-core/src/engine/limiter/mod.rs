//! How often who did what, and whether they may do it again: the one place where rates are held, for every door.
//!
//! Each process counts for itself, so that with several of them on one storage a client may do as much with each.

mod keys;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Once, Weak};
use std::time::Duration;

use governor::clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};

use super::ChatEngine;
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::model::{ClientAddress, Clock, ConnectionId, ConversationId};
use crate::rates::{Action, Rate, Rates};
use crate::telemetry;
use keys::{Key, Keys};

/// How often those are forgotten who are free again.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// What is left of a rate after something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// How often it may be done at once.
    pub limit: u32,
    /// How often it may still be done now.
    pub remaining: u32,
    /// When all of it may be done again, if nothing is done until then.
    pub reset: Duration,
}

/// Whether a live connection sends too much.
#[derive(Debug)]
pub enum Pace {
    /// It does not.
    Fine,
    /// This event is one too many: the connection is told so.
    TooFast(Error),
    /// It goes on and on: the connection is to be ended.
    Flooding {
        /// How many events there may be at once.
        limit: u32,
        /// How long to wait.
        retry_after: Duration,
    },
}

/// Counts what clients do.
pub(super) struct Limiter {
    /// In the order of [`Action::ALL`].
    gates: Vec<Option<Gate>>,
    /// Of e-mails, which are not kept. Its seed is nobody's to know.
    hasher: RandomState,
    unaddressed: Once,
}

/// One rate and everyone who is held to it.
struct Gate {
    action: Action,
    rate: Rate,
    watch: Watch,
    limiter: RateLimiter<Key, Keys, Watch, StateInformationMiddleware>,
}

/// The engine's clock, as governor asks it.
#[derive(Debug, Clone)]
struct Watch(Clock);

impl clock::Clock for Watch {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        // Half of what there is, some 292 years, so that there is something after it.
        let nanos = u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Nanos::from(nanos.min(u64::MAX / 2))
    }
}

impl Limiter {
    /// Starts forgetting who is free again. That ends when the value is dropped.
    pub(super) fn start(limits: &Limits, clock: &Clock) -> Arc<Self> {
        let gate = |action| Gate::new(action, limits, clock);
        let gates = Action::ALL.into_iter().map(gate).collect();
        let limiter = Arc::new(Self { gates, hasher: RandomState::new(), unaddressed: Once::new() });
        if limits.rates != Rates::off() {
            tokio::spawn(forget(Arc::downgrade(&limiter)));
        }
        limiter
    }

    fn check(&self, action: Action, key: Key) -> Result<Option<Allowance>> {
        match self.gates.get(action as usize) {
            Some(Some(gate)) => gate.check(key).map(Some),
            _ => Ok(None),
        }
    }

    /// Counts for an address. All of whom none is known count as one: a bound that they share is better than none.
    fn check_address(&self, action: Action, from: Option<ClientAddress>) -> Result<Option<Allowance>> {
        let checked = self.check(action, from.map_or(Key::Nowhere, Key::Address));
        if from.is_none() && !matches!(checked, Ok(None)) {
            self.unaddressed.call_once(|| {
                tracing::warn!(
                    "requests come without their client's address: what is counted for one they share"
                );
            });
        }
        checked
    }

    fn forget(&self) {
        for gate in self.gates.iter().flatten() {
            gate.limiter.retain_recent();
        }
    }
}

impl Gate {
    fn new(action: Action, limits: &Limits, clock: &Clock) -> Option<Self> {
        let rate = limits.rates.of(action)?;
        let quota = Quota::with_period(rate.every())?.allow_burst(rate.burst().try_into().ok()?);
        let watch = Watch(clock.clone());
        let keys = Keys::new(limits.rate_keys);
        let limiter = RateLimiter::new(quota, keys, watch.clone());
        Some(Self { action, rate, watch, limiter })
    }

    fn check(&self, key: Key) -> Result<Allowance> {
        let limit = self.rate.burst();
        match self.limiter.check_key(&key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                Ok(Allowance { limit, remaining, reset: self.rate.every() * limit.saturating_sub(remaining) })
            }
            Err(until) => {
                telemetry::rate_limited(self.action.name());
                let retry_after = until.wait_time_from(clock::Clock::now(&self.watch));
                Err(Error::RateLimited { limit, retry_after })
            }
        }
    }
}

async fn forget(limiter: Weak<Limiter>) {
    loop {
        // Not held while waiting, which would keep a dropped engine's parts.
        tokio::time::sleep(FORGET_EVERY).await;
        match limiter.upgrade() {
            Some(limiter) => limiter.forget(),
            None => return,
        }
    }
}

impl ChatEngine {
    /// Counts a request, of a user or, when nobody is signed in, of an address; for a door, before it looks at what is
    /// asked. `None` when requests are not counted.
    ///
    /// # Errors
    ///
    /// [`Error::RateLimited`] when there were too many.
    pub fn count_request(
        &self,
        caller: Option<&Caller>,
        from: Option<ClientAddress>,
    ) -> Result<Option<Allowance>> {
        let limiter = &self.inner.limiter;
        match caller {
            Some(caller) => limiter.check(Action::Request, Key::User(caller.user_id)),
            None => limiter.check_address(Action::Request, from),
        }
    }

    /// Counts an event of a live connection; for a transport, before it looks at what is asked.
    #[must_use]
    pub fn pace(&self, connection: ConnectionId) -> Pace {
        let (limiter, key) = (&self.inner.limiter, Key::Connection(connection));
        match limiter.check(Action::Event, key) {
            Ok(_) => Pace::Fine,
            Err(Error::RateLimited { limit, retry_after }) if limiter.check(Action::Excess, key).is_err() => {
                Pace::Flooding { limit, retry_after }
            }
            Err(error) => Pace::TooFast(error),
        }
    }

    /// Counts a login, before any work is done for it. Without an address it does not count for the account: else
    /// anyone could lock its owner out.
    pub(super) fn count_login(&self, email: &str, from: Option<ClientAddress>) -> Result<()> {
        let limiter = &self.inner.limiter;
        limiter.check_address(Action::LoginFrom, from)?;
        if let Some(from) = from {
            let account = limiter.hasher.hash_one(email.to_ascii_lowercase());
            limiter.check(Action::Login, Key::Account(account, from))?;
        }
        Ok(())
    }

    /// Counts a registration, before any work is done for it.
    pub(super) fn count_registration(&self, from: Option<ClientAddress>) -> Result<()> {
        self.inner.limiter.check_address(Action::Register, from).map(drop)
    }

    /// Counts a conversation that a visitor of a website begins.
    pub(super) fn count_visit(&self, from: Option<ClientAddress>) -> Result<()> {
        self.inner.limiter.check_address(Action::Visit, from).map(drop)
    }

    /// Counts something that a user does, through whatever doors.
    pub(super) fn count(&self, action: Action, caller: &Caller) -> Result<()> {
        self.inner.limiter.check(action, Key::User(caller.user_id)).map(drop)
    }

    /// Counts something of a live connection, or of a user who comes without one.
    pub(super) fn count_here(&self, action: Action, caller: &Caller) -> Result<()> {
        let key = caller.connection_id.map_or(Key::User(caller.user_id), Key::Connection);
        self.inner.limiter.check(action, key).map(drop)
    }

    /// Counts a typing notice.
    pub(super) fn count_typing(&self, caller: &Caller, id: ConversationId) -> Result<()> {
        self.inner.limiter.check(Action::Typing, Key::Typist(caller.user_id, id)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::model::Timestamp;

    /// What counts registrations, one a minute, by a clock that shows these milliseconds.
    fn limiter() -> (Arc<Limiter>, Arc<AtomicI64>) {
        let mut limits = Limits { rates: Rates::off(), ..Limits::default() };
        limits.rates.set(Action::Register, Rate::parse("1/1m"));
        let ms = Arc::new(AtomicI64::new(1_000_000));
        let shown = ms.clone();
        let clock = Clock::from_fn(move || Timestamp::from_millis(shown.load(Ordering::Relaxed)));
        (Limiter::start(&limits, &clock), ms)
    }

    fn register(limiter: &Limiter, from: u128) -> Result<Option<Allowance>> {
        limiter.check_address(Action::Register, Some(ClientAddress::of(Ipv6Addr::from_bits(from).into())))
    }

    #[tokio::test]
    async fn a_thousand_addresses_of_one_network_are_one() {
        let (limiter, _) = limiter();
        let network = 0x2001_0db8_u128 << 96;
        let taken = (0..1_000).filter(|host| register(&limiter, network + host).is_ok()).count();
        assert_eq!(taken, 1);
        assert!(register(&limiter, network + (1 << 64)).is_ok(), "another network is another client");
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_keeps_nobody_waiting() {
        let (limiter, ms) = limiter();
        register(&limiter, 1).unwrap();
        ms.store(0, Ordering::Relaxed);
        let Err(Error::RateLimited { retry_after, .. }) = register(&limiter, 1) else {
            panic!("it is too soon")
        };
        assert_eq!(retry_after, Duration::from_secs(60));
        ms.store(1_060_000, Ordering::Relaxed);
        assert!(register(&limiter, 1).is_ok());
    }

    #[tokio::test]
    async fn who_is_free_again_is_forgotten_and_nobody_else() {
        let (limiter, ms) = limiter();
        let known = || limiter.gates.iter().flatten().map(|gate| gate.limiter.len()).sum::<usize>();
        (0..100_u128).for_each(|network| drop(register(&limiter, network << 64)));
        ms.fetch_add(59_000, Ordering::Relaxed);
        register(&limiter, u128::MAX).unwrap();
        limiter.forget();
        assert_eq!(known(), 101);
        // governor forgets one interval late.
        ms.fetch_add(61_000, Ordering::Relaxed);
        limiter.forget();
        assert_eq!(known(), 1);
        assert!(register(&limiter, u128::MAX).is_ok());
    }

    #[tokio::test]
    async fn what_has_no_rate_is_not_counted() {
        let (limiter, _) = limiter();
        for _ in 0..1_000 {
            assert_eq!(limiter.check(Action::Send, Key::Nowhere).unwrap(), None);
        }
    }
}
