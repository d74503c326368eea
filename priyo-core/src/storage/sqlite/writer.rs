//! The one thread that writes.
//!
//! It owns the only connection that writes, takes whatever calls are waiting, runs them in one transaction, and
//! answers each after the commit. So the cost of making a commit durable is shared by all that came while the one
//! before was being made durable; under little load a call has a transaction of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::failure::Failure;
use super::log::Log;
use super::open::ServerLock;
use crate::storage::{Result, StorageError};
use crate::telemetry;

/// How many calls may wait; more wait for a place.
const QUEUE: usize = 1024;
/// The most calls in one transaction. Past this a larger one saves nothing and only makes the first call wait.
const BATCH: usize = 256;

/// The way to the writing thread, which ends when this is dropped or closed.
#[derive(Debug)]
pub(super) struct Writer {
    /// Taken to end the thread when dropped.
    orders: Option<mpsc::Sender<Order>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Order {
    Run(Box<dyn Job>),
    Close,
}

impl Writer {
    /// Starts the thread. It holds `lock` until its connection is closed.
    pub(super) fn start(db: Connection, lock: Option<ServerLock>) -> std::io::Result<Self> {
        let (orders, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("priyo-sqlite".to_owned()).spawn(move || {
            serve(&db, queue);
            finish(db, lock.as_ref());
        })?;
        Ok(Self { orders: Some(orders), thread: Mutex::new(Some(thread)) })
    }

    /// Runs `work` in a savepoint and gives what it gave, once that is committed.
    ///
    /// From the first await on it runs to its end, whether anyone still waits for it or not.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let call = Call { work: Some(work), outcome: None, answer };
        let orders = self.orders.as_ref().ok_or(Failure::Closed)?;
        orders.send(Order::Run(Box::new(call))).await.map_err(|_| Failure::Closed)?;
        answered.await.unwrap_or_else(|_| Err(Failure::Closed.into()))
    }

    /// Lets what waits be done, then closes the connection and ends the thread.
    pub(super) async fn close(&self) {
        if let Some(orders) = &self.orders {
            // An error means that it is closing already.
            let _ = orders.send(Order::Close).await;
            orders.closed().await;
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Writer {
    /// Waits for the thread, so that the database can be opened again at once.
    fn drop(&mut self) {
        self.orders = None;
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

fn serve(db: &Connection, mut queue: mpsc::Receiver<Order>) {
    let (log, mut batch) = (Log::of(db), Vec::with_capacity(BATCH));
    while let Some(order) = queue.blocking_recv() {
        let mut next = Some(order);
        while let Some(order) = next {
            match order {
                Order::Run(job) => batch.push(job),
                // What is in the queue still comes out of it.
                Order::Close => queue.close(),
            }
            next = if batch.len() < BATCH { queue.try_recv().ok() } else { None };
        }
        run_batch(db, &mut batch);
        // Nobody waits for that.
        if let Some(log) = &log {
            log.make_way(db);
        }
    }
}

/// Leaves the file in good order for the next who opens it. Nothing depends on it: a crash is survived as well.
fn finish(db: Connection, lock: Option<&ServerLock>) {
    // A reader of another process must not hold up the end.
    let tidied = db.busy_timeout(std::time::Duration::from_millis(200)).and_then(|()| {
        // Beside a server this is the server's to do.
        if lock.is_some() {
            db.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)")
        } else {
            Ok(())
        }
    });
    if let Err(error) = tidied {
        tracing::debug!(%error, "the database was not tidied up at its close");
    }
    if let Err((_, error)) = db.close() {
        tracing::warn!(%error, "the database was not closed in order");
    }
}

/// Runs calls in one transaction, and answers all of them. The batch is empty afterwards.
fn run_batch(db: &Connection, batch: &mut Vec<Box<dyn Job>>) {
    if batch.is_empty() {
        return;
    }
    let started = Instant::now();
    let committed = commit_batch(db, batch);
    telemetry::sqlite_committed(batch.len(), started.elapsed());
    if committed.is_err() && !db.is_autocommit() {
        // It fails only when there is no transaction left, and then there is nothing to undo.
        let _ = db.execute_batch("ROLLBACK");
    }
    for job in batch.drain(..) {
        job.answer(committed.clone().map_err(|cause| Failure::RolledBack(cause).into()));
    }
}

fn commit_batch(db: &Connection, batch: &mut [Box<dyn Job>]) -> Result<(), Arc<Failure>> {
    step(db, "BEGIN IMMEDIATE")?;
    if let [only] = batch {
        // What it has done is undone with the transaction: it needs no savepoint, which costs a copy of each page.
        return match only.run(db) {
            Ok(()) => step(db, "COMMIT"),
            Err(cause) if db.is_autocommit() => Err(cause),
            Err(_) => step(db, "ROLLBACK"),
        };
    }
    for job in batch {
        step(db, "SAVEPOINT call")?;
        if let Err(cause) = job.run(db) {
            // A full disk, a failed read or write and a lack of memory can undo the whole transaction, and with it
            // what the calls before have done.
            if db.is_autocommit() {
                return Err(cause);
            }
            step(db, "ROLLBACK TO call")?;
        }
        step(db, "RELEASE call")?;
    }
    step(db, "COMMIT")
}

fn step(db: &Connection, sql: &str) -> Result<(), Arc<Failure>> {
    let done = db.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
    done.map(|_| ()).map_err(|error| Arc::new(error.into()))
}

/// A call whose type of result is out of sight.
trait Job: Send {
    /// Does the work and keeps the outcome.
    fn run(&mut self, db: &Connection) -> Result<(), Arc<Failure>>;

    /// Hands over the outcome, or the error if the work was undone.
    fn answer(self: Box<Self>, committed: Result<()>);
}

struct Call<T, F> {
    work: Option<F>,
    outcome: Option<Result<T, Arc<Failure>>>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, Failure> + Send,
{
    fn run(&mut self, db: &Connection) -> Result<(), Arc<Failure>> {
        let Some(work) = self.work.take() else { return Ok(()) };
        // Whatever the work left half done is undone with its savepoint.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(db))).unwrap_or(Err(Failure::Panicked));
        match self.outcome.insert(outcome.map_err(Arc::new)) {
            Ok(_) => Ok(()),
            Err(failure) => Err(Arc::clone(failure)),
        }
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let outcome = self.outcome.unwrap_or_else(|| Err(Arc::new(Failure::Closed)));
        // Nobody may be waiting any more; the work is done all the same.
        let _ = self.answer.send(committed.and_then(|()| outcome.map_err(StorageError::from)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// A writer with one table, in memory, which may grow to about 400 kB.
    async fn writer() -> Writer {
        let db = Connection::open_in_memory().unwrap();
        db.pragma_update(None, "max_page_count", 100).unwrap();
        let writer = Writer::start(db, None).unwrap();
        writer.run(|db| Ok(db.execute_batch("CREATE TABLE t (x)")?)).await.unwrap();
        writer
    }

    fn insert(db: &Connection, x: &str) -> Result<(), Failure> {
        db.execute("INSERT INTO t (x) VALUES (?1)", [x])?;
        Ok(())
    }

    async fn stored(writer: &Writer) -> Vec<String> {
        let all = |db: &Connection| {
            let mut all = db.prepare("SELECT x FROM t WHERE length(x) < 9 ORDER BY rowid")?;
            Ok(all.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
        };
        writer.run(all).await.unwrap()
    }

    /// Runs three calls in one transaction: the writer is held up until all of them wait.
    async fn together<F>(writer: &Writer, middle: F) -> [Result<()>; 3]
    where
        F: FnOnce(&Connection) -> Result<(), Failure> + Send + 'static,
    {
        let (go, wait) = channel::<()>();
        let holding = writer.run(move |_| {
            let _ = wait.recv();
            Ok(())
        });
        let first = writer.run(|db| insert(db, "first"));
        let middle = writer.run(middle);
        let last = writer.run(|db| insert(db, "last"));
        // They are polled in this order, and each waits in the queue from its first poll on.
        let release = async move { drop(go) };
        let (_, first, middle, last, ()) = tokio::join!(holding, first, middle, last, release);
        [first, middle, last]
    }

    #[tokio::test]
    async fn a_failed_call_fails_alone_and_leaves_no_trace() {
        let writer = writer().await;

        let outcomes = together(&writer, |db| {
            insert(db, "middle")?;
            Ok(db.execute_batch("INSERT INTO nowhere VALUES (1)")?)
        })
        .await;

        assert!(matches!(outcomes, [Ok(()), Err(StorageError::Backend(_)), Ok(())]), "{outcomes:?}");
        assert_eq!(stored(&writer).await, ["first", "last"]);
    }

    #[tokio::test]
    async fn a_panic_fails_its_own_call_only() {
        let writer = writer().await;

        let outcomes = together(&writer, |db| {
            insert(db, "middle")?;
            panic!("as it should");
        })
        .await;

        assert!(matches!(outcomes, [Ok(()), Err(StorageError::Backend(_)), Ok(())]), "{outcomes:?}");
        assert_eq!(stored(&writer).await, ["first", "last"]);
    }

    #[tokio::test]
    async fn all_calls_of_an_undone_transaction_fail() {
        let writer = writer().await;

        let outcomes = together(&writer, |db| {
            db.execute_batch("ROLLBACK")?;
            Err(rusqlite::Error::InvalidQuery.into())
        })
        .await;

        for outcome in outcomes {
            assert!(matches!(outcome, Err(StorageError::Unavailable(_))), "{outcome:?}");
        }
        assert_eq!(stored(&writer).await, [""; 0]);
        writer.run(|db| insert(db, "after")).await.unwrap();
        assert_eq!(stored(&writer).await, ["after"]);
    }

    #[tokio::test]
    async fn it_works_again_once_there_is_space_again() {
        let writer = writer().await;

        let outcomes =
            together(&writer, |db| (0..1000).try_for_each(|_| insert(db, &"x".repeat(1000)))).await;

        assert!(matches!(outcomes[1], Err(StorageError::Unavailable(_))), "{outcomes:?}");
        // The others may have been undone with it, but what was answered is true.
        let kept = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(stored(&writer).await.len(), kept);
        writer.run(|db| Ok(db.pragma_update(None, "max_page_count", 10_000)?)).await.unwrap();
        writer.run(|db| (0..1000).try_for_each(|_| insert(db, &"x".repeat(1000)))).await.unwrap();
    }

    #[tokio::test]
    async fn what_waits_at_the_close_is_done() {
        let writer = writer().await;
        let (go, wait) = channel::<()>();
        let holding = writer.run(move |_| {
            let _ = wait.recv();
            Ok(())
        });
        let waiting = writer.run(|db| {
            insert(db, "last")?;
            Ok(db.last_insert_rowid())
        });

        let release = async move { drop(go) };
        let (_, stored, (), ()) = tokio::join!(holding, waiting, writer.close(), release);

        assert_eq!(stored.unwrap(), 1);
        let late = writer.run(|_| Ok(())).await;
        assert!(matches!(late, Err(StorageError::Unavailable(_))), "{late:?}");
    }
}
