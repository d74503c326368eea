//! The threads that read.
//!
//! Each owns a connection that cannot write, and takes one call at a time from a queue that all share. Measured
//! against tokio's blocking pool, which locks and counts more: 3 against 20 microseconds of processor time for the
//! way there and back under load, where a page of history takes about 60.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::failure::Failure;
use crate::storage::Result;

/// How many calls may wait for a thread; more wait for a place.
const QUEUE: usize = 256;
/// How long a call waits for a place before it gives up.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to the reading threads, which end when this is dropped or closed.
#[derive(Debug)]
pub(super) struct Readers {
    /// Taken to end the threads when dropped.
    orders: Option<mpsc::Sender<Order>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

type Call = Box<dyn FnOnce(&Connection) + Send>;

enum Order {
    Run(Call),
    Close,
}

/// Locked by the one thread that waits; the others wait for the lock.
type Queue = Arc<Mutex<mpsc::Receiver<Order>>>;

impl Readers {
    /// Starts a thread for each connection.
    pub(super) fn start(connections: Vec<Connection>) -> std::io::Result<Self> {
        let (orders, queue) = mpsc::channel(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        let mut readers = Self { orders: Some(orders), threads: Mutex::default() };
        for db in connections {
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new().name("priyo-sqlite-read".to_owned());
            let thread = thread.spawn(move || serve(&db, &queue))?;
            readers.threads.get_mut().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(readers)
    }

    /// Runs `work`, which sees one state of the database from beginning to end.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let call = move |db: &Connection| {
            // Whoever asked may have gone while this waited.
            if !answer.is_closed() {
                let outcome = catch_unwind(AssertUnwindSafe(|| snapshot(db, work)));
                let _ = answer.send(outcome.unwrap_or(Err(Failure::Panicked)));
            }
        };
        let orders = self.orders.as_ref().ok_or(Failure::Closed)?;
        timeout(PATIENCE, orders.send(Order::Run(Box::new(call))))
            .await
            .map_err(|_| Failure::Busy)?
            .map_err(|_| Failure::Closed)?;
        Ok(answered.await.unwrap_or(Err(Failure::Closed))?)
    }

    /// Lets what waits be done, then closes the connections and ends the threads.
    pub(super) async fn close(&self) {
        if let Some(orders) = &self.orders {
            // An error means that it is closing already.
            let _ = orders.send(Order::Close).await;
            orders.closed().await;
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.orders = None;
        for thread in self.threads.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve(db: &Connection, queue: &Queue) {
    while let Some(call) = next(queue) {
        call(db);
    }
}

fn next(queue: &Queue) -> Option<Call> {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        match queue.blocking_recv()? {
            Order::Run(call) => return Some(call),
            // What is in the queue still comes out of it.
            Order::Close => queue.close(),
        }
    }
}

fn snapshot<T>(db: &Connection, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
    let _snapshot = Snapshot::begin(db)?;
    work(db)
}

/// A read transaction, which ends when this is dropped, also by a panic.
struct Snapshot<'a>(&'a Connection);

impl<'a> Snapshot<'a> {
    fn begin(db: &'a Connection) -> Result<Self, Failure> {
        db.prepare_cached("BEGIN")?.execute([])?;
        Ok(Self(db))
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let ended = self.0.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        if let Err(error) = ended {
            tracing::warn!(%error, "a read did not end in order");
        }
    }
}
