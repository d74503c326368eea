//! The connections, and who may have one.
//!
//! The driver has a pool of its own. This one differs where it matters here: a connection that was lost takes the
//! idle ones with it, which have as a rule died of the same cause, so that one more try is enough; one whose answer
//! is not waited for any more is closed and never given back; and giving one back asks nothing of the server, while
//! the driver's asks for a sign of life each time, for as long as that may take.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::Error as SqlError;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connection::{Connection, Connector};
use super::failure::Failure;
use super::outage::Outage;

/// How long a connection may lie about. Firewalls forget one that is silent for longer.
const IDLE: Duration = Duration::from_secs(10 * 60);
/// How long a connection is used: what a server remembers for one grows.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// The pause before the second try to reach a server that is about to start; then twice as long each time, up to the
/// longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// How long a new connection may take before one that is given back does as well: so much longer than it takes that
/// there are as many as are needed, and not as few as will do.
const UNUSUAL: Duration = Duration::from_millis(500);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_millis(500);

/// How many connections there are, and how long each is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) connections: u32,
    pub(super) acquire: Duration,
    pub(super) connect: Duration,
}

/// Hands out connections.
pub(super) struct Pool {
    connector: Connector,
    bounds: Bounds,
    /// One for each connection that may be in use.
    permits: Arc<Semaphore>,
    /// The one used last is at the end, and the next to be used: what is not needed gets old.
    idle: Mutex<Vec<Idle>>,
    /// One was given back.
    given_back: Notify,
    outage: Outage,
}

struct Idle {
    db: Connection,
    opened: Instant,
    since: Instant,
}

/// A connection in use. Unless it is put back it is closed, without a word to the server.
pub(super) struct Lease {
    pub(super) db: Connection,
    /// Whether it was made for this call, so that it was alive a moment ago.
    pub(super) is_fresh: bool,
    opened: Instant,
    permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(connector: Connector, bounds: Bounds, first: Connection) -> Self {
        let permits = Arc::new(Semaphore::new(bounds.connections.max(1) as usize));
        let now = Instant::now();
        let idle = Mutex::new(vec![Idle { db: first, opened: now, since: now }]);
        Self { connector, bounds, permits, idle, given_back: Notify::new(), outage: Outage::none(now) }
    }

    /// Gives a connection, once there is one to be had; at once none while the server answers nobody.
    pub(super) async fn lease(&self) -> Result<Lease, Failure> {
        let until = Instant::now() + self.bounds.acquire;
        self.outage.check()?;
        let permit = timeout_at(until, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| Failure::Busy)?.map_err(|_| Failure::Closed)?;
        self.outage.check()?;
        let (db, opened) = self.connection(until).await?;
        let is_fresh = opened.is_none();
        Ok(Lease { db, is_fresh, opened: opened.unwrap_or_else(Instant::now), permit })
    }

    /// Takes back a connection that is as it was.
    pub(super) fn put_back(&self, lease: Lease) {
        let Lease { db, opened, permit, .. } = lease;
        self.outage.answered(Instant::now());
        let mut idle = self.idle();
        let old = idle.iter().take_while(|one| one.since.elapsed() > IDLE).count();
        idle.drain(..old);
        idle.push(Idle { db, opened, since: Instant::now() });
        // Whoever gets the permit must find it.
        drop(idle);
        drop(permit);
        self.given_back.notify_one();
    }

    /// Closes all that are not in use: the server has gone away.
    pub(super) fn forget_idle(&self) {
        self.idle().clear();
    }

    /// A call has waited in vain. If it is the server that answers nobody, calls are refused until it does again.
    pub(super) fn waited_in_vain(self: &Arc<Self>) {
        if self.outage.begins(Instant::now()) {
            tracing::warn!("the database answers nobody; calls are refused until it does");
            tokio::spawn(Self::wait_for_answer(Arc::downgrade(self)));
        }
    }

    /// Ends an outage. It asks by one connection at a time: a server that says nothing need not find more of them when
    /// it wakes up. First by one that is there, since a server may answer those and have no room for another.
    async fn wait_for_answer(pool: Weak<Self>) {
        loop {
            let Some(pool) = pool.upgrade().filter(|pool| !pool.permits.is_closed()) else { return };
            if pool.is_answered_by_idle().await || pool.is_answered_by_new().await {
                pool.outage.answered(Instant::now());
                tracing::info!("the database answers again");
                return;
            }
            drop(pool);
            sleep(LONGEST_PAUSE).await;
        }
    }

    /// Whether the database answers by a connection that is there. One that it does not answer by is closed.
    async fn is_answered_by_idle(&self) -> bool {
        let Some(Idle { mut db, opened, .. }) = self.take_idle() else { return false };
        let is_answered = matches!(timeout(self.bounds.connect, db.ask_database()).await, Ok(Ok(())));
        if is_answered {
            self.idle().push(Idle { db, opened, since: Instant::now() });
        }
        is_answered
    }

    async fn is_answered_by_new(&self) -> bool {
        let asked = async {
            let mut db = self.connector.connect().await?;
            db.ask_database().await?;
            Ok::<_, Failure>(db)
        };
        let Ok(Ok(db)) = timeout(self.bounds.connect, asked).await else { return false };
        let _ = timeout(GOODBYE, db.close()).await;
        true
    }

    /// Ends the connections, of which none is in use any more.
    pub(super) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle());
        join_all(idle.into_iter().map(|one| timeout(GOODBYE, one.db.close()))).await;
    }

    fn take_idle(&self) -> Option<Idle> {
        let mut idle = self.idle();
        while let Some(one) = idle.pop() {
            if one.since.elapsed() <= IDLE && one.opened.elapsed() <= LIFETIME {
                return Some(one);
            }
        }
        None
    }

    /// Waits for one that is given back, when making one takes unusually long.
    async fn resort(&self) -> Idle {
        sleep(UNUSUAL).await;
        loop {
            if let Some(one) = self.take_idle() {
                return one;
            }
            self.given_back.notified().await;
        }
    }

    /// Gives a connection that is there, with when it was made, or makes one. A server that is being started again, or
    /// has no room for another one, is waited for; meanwhile one may be given back.
    async fn connection(&self, until: Instant) -> Result<(Connection, Option<Instant>), Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(Idle { db, opened, .. }) = self.take_idle() {
                return Ok((db, Some(opened)));
            }
            let by = until.min(Instant::now() + self.bounds.connect);
            let error = tokio::select! {
                made = timeout_at(by, self.connector.connect()) => match made {
                    Ok(Ok(db)) => return Ok((db, None)),
                    Ok(Err(error)) => error,
                    Err(_) => return Err(Failure::TimedOut),
                },
                Idle { db, opened, .. } = self.resort() => return Ok((db, Some(opened))),
            };
            if !may_come_up(&error) || Instant::now() + pause >= until {
                return Err(Failure::Connect(error));
            }
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a server says or shows that it is not there yet.
fn may_come_up(error: &SqlError) -> bool {
    use std::io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof,
        WouldBlock,
    };

    match error {
        // A socket that is a file is not found while its server is down, and would block while too many wait at it.
        SqlError::Io(error) => matches!(
            error.kind(),
            ConnectionRefused
                | ConnectionReset
                | ConnectionAborted
                | BrokenPipe
                | NotFound
                | UnexpectedEof
                | WouldBlock
        ),
        // too_many_connections, and the class of servers that begin or end.
        SqlError::Database(error) => error.code().is_some_and(|code| code == "53300" || code == "57P03"),
        _ => false,
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}
