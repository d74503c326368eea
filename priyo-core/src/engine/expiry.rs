//! The tokens that live connections came with: each is warned of the end of its own, and ended some time after it.
//!
//! By the computer's monotonic clock: setting the other one must not end anybody.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tracing::instrument;

use super::ChatEngine;
use super::announcer::Announcer;
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::events::{Audience, Event, Revocation};
use crate::limits::Limits;
use crate::model::ConnectionId;

impl ChatEngine {
    /// Watches over the token of a live connection, which events reach from now on. The transports are told
    /// `limits.token_warning` before it expires ([`Event::AuthExpiring`]), and end the connection
    /// `limits.token_grace` after that ([`Revocation::Expired`]), unless it is [renewed](Self::renew). A token that
    /// does not expire is not watched.
    ///
    /// Ends with [`disconnected`](Self::disconnected).
    pub fn watch_token(&self, caller: &Caller) {
        let Some(connection) = caller.connection_id else { return };
        self.inner.expiry.watch(connection, caller.expires_in(self.now()));
        // It may be gone already, and its going noted before its coming.
        if !self.inner.presence.has(caller.user_id, connection) {
            self.inner.expiry.forget(connection);
        }
    }

    /// Moves a live connection to a fresh token of the same session; the caller that comes back has it.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidToken`] when the token is nobody's, has expired or was revoked.
    /// - [`Error::UnknownUser`] when it is good but its user is gone.
    /// - [`Error::Forbidden`] when it is of another user or another session.
    /// - [`Error::Unavailable`] when the storage is away.
    #[instrument(skip_all, fields(user.id = %caller.user_id))]
    pub async fn renew(&self, caller: &Caller, token: &str) -> Result<Caller> {
        let fresh = self.authenticate(token).await?;
        if (fresh.user_id, fresh.session_id) != (caller.user_id, caller.session_id) {
            return Err(self.denied(caller, "take_over_a_connection", Error::Forbidden));
        }
        let (connection_id, origin) = (caller.connection_id, caller.origin.clone());
        let fresh = Caller { connection_id, origin, ..fresh };
        self.watch_token(&fresh);
        Ok(fresh)
    }
}

/// The tokens that are watched over.
#[derive(Debug)]
pub(super) struct Expiry {
    announcer: Arc<Announcer>,
    warning: Duration,
    grace: Duration,
    state: Mutex<State>,
    /// Rung when the next thing is due earlier than it was, and when there is nothing to watch over any more.
    changed: Arc<Notify>,
}

/// One entry for each connection, however often its token is renewed.
#[derive(Debug, Default)]
struct State {
    watched: HashMap<ConnectionId, Watched>,
    /// When something is due for which connection.
    due: BTreeSet<(Instant, ConnectionId)>,
}

#[derive(Debug)]
struct Watched {
    expires: Instant,
    next: Instant,
    is_warned: bool,
}

/// What is to be done next.
#[derive(Debug)]
enum Next {
    Warn(ConnectionId, Duration),
    End(ConnectionId),
    Wait(Option<Instant>),
}

impl Expiry {
    /// Starts watching. That ends when the value is dropped.
    pub(super) fn start(announcer: Arc<Announcer>, limits: &Limits) -> Arc<Self> {
        let (warning, grace) = (limits.token_warning, limits.token_grace);
        let changed = Arc::new(Notify::new());
        let expiry =
            Arc::new(Self { announcer, warning, grace, state: Mutex::default(), changed: changed.clone() });
        tokio::spawn(run(Arc::downgrade(&expiry), changed));
        expiry
    }

    /// Watches over a token that is good for so long, in place of the connection's last one.
    fn watch(&self, connection: ConnectionId, expires_in: Option<Duration>) {
        let mut state = self.lock();
        state.forget(connection);
        let Some(left) = expires_in else { return };
        let Some(expires) = Instant::now().checked_add(left) else { return };
        // A client that asks for a new token whenever it is warned must not be warned at once of a short one.
        let next = expires - self.warning.min(left / 2);
        state.watched.insert(connection, Watched { expires, next, is_warned: false });
        state.due.insert((next, connection));
        if state.due.first() == Some(&(next, connection)) {
            self.changed.notify_one();
        }
    }

    /// Forgets a connection.
    pub(super) fn forget(&self, connection: ConnectionId) {
        self.lock().forget(connection);
    }

    /// Tells what is due, one after the other; gives when the next one will be.
    async fn tell_due(&self) -> Option<Instant> {
        loop {
            // Told with nothing locked: who is told may well tell of a disconnection.
            match self.next() {
                Next::Warn(connection, expires_in) => {
                    let event = Event::AuthExpiring { expires_in };
                    self.announcer.announce(&Audience::Connection(connection), &event);
                }
                Next::End(connection) => self.announcer.revoke(&Revocation::Expired(connection)),
                Next::Wait(until) => return until,
            }
            // After a restart all clients may have come at one moment: others must get their turn between.
            tokio::task::consume_budget().await;
        }
    }

    fn next(&self) -> Next {
        let now = Instant::now();
        let mut state = self.lock();
        let Some((at, connection)) = state.due.first().copied() else { return Next::Wait(None) };
        if at > now {
            return Next::Wait(Some(at));
        }
        state.due.pop_first();
        let Some(watched) = state.watched.get_mut(&connection).filter(|watched| !watched.is_warned) else {
            state.watched.remove(&connection);
            return Next::End(connection);
        };
        (watched.is_warned, watched.next) = (true, watched.expires + self.grace);
        let (next, left) = (watched.next, watched.expires.saturating_duration_since(now));
        state.due.insert((next, connection));
        Next::Warn(connection, left)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, connection: ConnectionId) {
        if let Some(watched) = self.watched.remove(&connection) {
            self.due.remove(&(watched.next, connection));
        }
    }
}

impl Drop for Expiry {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

async fn run(expiry: Weak<Expiry>, changed: Arc<Notify>) {
    while let Some(expiry) = expiry.upgrade() {
        let next = expiry.tell_due().await;
        drop(expiry);
        match next {
            Some(at) => drop(timeout_at(at, changed.notified()).await),
            None => changed.notified().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tokio::sync::mpsc;

    use super::*;
    use crate::events::Transport;
    use crate::model::UserId;

    /// Passes on whom it was told of: with `true` of the end.
    #[derive(Debug)]
    struct Ear(mpsc::UnboundedSender<(ConnectionId, bool)>);

    #[async_trait]
    impl Transport for Ear {
        fn deliver(&self, audience: &Audience, event: &Event) -> Vec<UserId> {
            let (Audience::Connection(connection), Event::AuthExpiring { .. }) = (audience, event) else {
                panic!("{audience:?} {event:?}");
            };
            self.0.send((*connection, false)).unwrap();
            Vec::new()
        }

        fn revoke(&self, revocation: &Revocation) {
            let Revocation::Expired(connection) = revocation else { panic!("{revocation:?}") };
            self.0.send((*connection, true)).unwrap();
        }

        async fn close(&self) {}
    }

    fn started(
        warning: Duration,
        grace: Duration,
    ) -> (Arc<Expiry>, mpsc::UnboundedReceiver<(ConnectionId, bool)>) {
        let (tell, told) = mpsc::unbounded_channel();
        let limits = Limits { token_warning: warning, token_grace: grace, ..Limits::default() };
        (Expiry::start(Arc::new(Announcer::new(vec![Arc::new(Ear(tell))])), &limits), told)
    }

    /// How many are watched, and how many things are due.
    fn sizes(expiry: &Expiry) -> (usize, usize) {
        let state = expiry.lock();
        (state.watched.len(), state.due.len())
    }

    const SOON: Duration = Duration::from_millis(30);

    #[tokio::test]
    async fn who_renews_all_the_time_piles_nothing_up() {
        let (expiry, _told) = started(SOON, SOON);
        let connection = ConnectionId::new();
        for seconds in (1..=1_000).chain((1..=1_000).rev()) {
            expiry.watch(connection, Some(Duration::from_secs(seconds)));
        }
        assert_eq!(sizes(&expiry), (1, 1));

        for good_for_ever in [None, Some(Duration::MAX)] {
            expiry.watch(connection, Some(SOON));
            expiry.watch(connection, good_for_ever);
            assert_eq!(sizes(&expiry), (0, 0));
        }
        expiry.watch(connection, Some(SOON));
        expiry.forget(connection);
        assert_eq!(sizes(&expiry), (0, 0));
    }

    #[tokio::test]
    async fn ten_thousand_tokens_that_end_at_one_moment_are_each_told_of_twice() {
        let (expiry, mut told) = started(SOON, SOON);
        let connections: Vec<ConnectionId> = (0..10_000).map(|_| ConnectionId::new()).collect();
        for connection in &connections {
            expiry.watch(*connection, Some(SOON * 4));
        }
        let mut stages: HashMap<ConnectionId, Vec<bool>> = HashMap::new();
        while stages.values().map(Vec::len).sum::<usize>() < 2 * connections.len() {
            let (connection, is_end) = told.recv().await.unwrap();
            stages.entry(connection).or_default().push(is_end);
        }
        assert_eq!(stages.len(), connections.len());
        assert!(stages.values().all(|stages| *stages == [false, true]));
        assert_eq!(sizes(&expiry), (0, 0));
    }

    #[tokio::test]
    async fn a_short_token_is_warned_of_when_half_of_it_is_left() {
        let (expiry, mut told) = started(Duration::from_mins(1), SOON);
        let (connection, begin) = (ConnectionId::new(), Instant::now());
        expiry.watch(connection, Some(SOON * 2));
        assert_eq!(told.recv().await, Some((connection, false)));
        assert!((SOON..SOON * 2).contains(&begin.elapsed()), "{:?}", begin.elapsed());
        assert_eq!(told.recv().await, Some((connection, true)));
        assert!(begin.elapsed() >= SOON * 3);
    }

    #[tokio::test]
    async fn an_earlier_end_is_not_waited_past() {
        let (expiry, mut told) = started(SOON, SOON);
        let (late, early) = (ConnectionId::new(), ConnectionId::new());
        expiry.watch(late, Some(Duration::from_hours(1)));
        // The task sleeps for the late one by now.
        tokio::task::yield_now().await;
        expiry.watch(early, Some(SOON * 2));
        assert_eq!(told.recv().await, Some((early, false)));
    }

    #[tokio::test]
    async fn nothing_is_left_running_when_it_is_dropped() {
        for watches in [false, true] {
            let (expiry, mut told) = started(SOON, SOON);
            if watches {
                expiry.watch(ConnectionId::new(), Some(Duration::from_hours(1)));
            }
            tokio::task::yield_now().await;
            drop(expiry);
            // The channel ends with the announcer, and that with the task.
            assert_eq!(told.recv().await, None);
        }
    }
}
