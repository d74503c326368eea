//! The path of a message from the engine's door to the commit, the announcement and the answer.
//!
//! Two tasks, one behind the other. The first collects what waits and commits it as one batch; the second announces
//! and answers in the order of the commits, while the first is at the next batch already. A request only waits for
//! its answer: when it goes away, the message is announced all the same.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::inbox_news::InboxNews;
use super::messages::Sent;
use super::sequencer::Sequencer;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::model::ConversationId;
use crate::patience;
use crate::storage::{Appended, NewMessageRow, Storage, StorageError, unpanicked};
use crate::telemetry;

/// Takes messages and gives them back stored.
#[derive(Debug)]
pub(super) struct Appender {
    queue: mpsc::Sender<Pending>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Pending {
    row: NewMessageRow,
    until: Option<Instant>,
    answer: oneshot::Sender<Result<Outcome>>,
}

/// What became of a message that the storage decided on.
#[derive(Debug)]
pub(super) enum Outcome {
    Sent(Sent),
    ClientIdReused,
    NoConversation,
    NotParticipant,
    Closed,
    FileGone,
}

/// A message that was taken: waits for what becomes of it.
#[derive(Debug)]
pub(super) struct Appending {
    outcome: oneshot::Receiver<Result<Outcome>>,
    until: Option<Instant>,
}

impl Appending {
    /// What became of it, after it was announced.
    pub(super) async fn outcome(self) -> Result<Outcome> {
        let outcome = match self.until {
            Some(until) => timeout_at(until + LAST_WORD, self.outcome).await.map_err(unavailable)?,
            None => self.outcome.await,
        };
        outcome.map_err(unavailable)?
    }
}

fn unavailable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Unavailable(cause.into())
}

/// How long the storage may take to say what has become of a message once there is no patience left. After that nobody
/// waits for it any more, and whoever sent the message is told that it may be stored or not.
const LAST_WORD: Duration = Duration::from_millis(500);

type Committed = Vec<(ConversationId, Result<Appended>, oneshot::Sender<Result<Outcome>>)>;

/// Committed batches that may wait for their announcement before the next commit waits too.
const BATCHES_AHEAD: usize = 4;

impl Appender {
    pub(super) fn start(
        storage: Arc<dyn Storage>,
        sequencer: Arc<Sequencer>,
        inbox_news: Arc<InboxNews>,
        limits: &Limits,
    ) -> Self {
        let (queue, pending) = mpsc::channel(limits.append_queue);
        let (committed, to_announce) = mpsc::channel(BATCHES_AHEAD);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(commit(storage, pending, committed, limits.append_batch, stop.clone()));
        tasks.spawn(announce(sequencer, inbox_news, to_announce));
        tasks.close();
        Self { queue, stop, tasks }
    }

    /// Takes a message. Those taken one after the other are stored in that order.
    ///
    /// # Errors
    ///
    /// - [`Error::Overloaded`] when too many wait already.
    /// - [`Error::Unavailable`] when the engine is closed.
    pub(super) fn append(&self, row: NewMessageRow) -> Result<Appending> {
        let (answer, outcome) = oneshot::channel();
        let until = patience::left().map(|left| Instant::now() + left);
        self.queue.try_send(Pending { row, until, answer }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Error::Unavailable("the engine is closed".into()),
        })?;
        Ok(Appending { outcome, until })
    }

    /// Takes no more messages, and finishes those that it has taken.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn commit(
    storage: Arc<dyn Storage>,
    mut pending: mpsc::Receiver<Pending>,
    committed: mpsc::Sender<Committed>,
    batch_max: usize,
    stop: CancellationToken,
) {
    let mut waiting = Vec::with_capacity(batch_max);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !pending.is_closed() => pending.close(),
            taken = pending.recv_many(&mut waiting, batch_max) => {
                if taken == 0 {
                    return;
                }
                refuse_late(&mut waiting);
                if waiting.is_empty() {
                    continue;
                }
                let (rows, answers): (Vec<NewMessageRow>, Vec<_>) =
                    waiting.drain(..).map(|p| (p.row, p.answer)).unzip();
                let ids: Vec<ConversationId> = rows.iter().map(|row| row.conversation_id).collect();
                let started = Instant::now();
                let results = each(rows.len(), unpanicked(storage.append_messages(rows)).await);
                telemetry::batch_stored(results.len(), started.elapsed(), pending.len());
                let results = ids.into_iter().zip(results).zip(answers);
                let results = results.map(|((id, result), answer)| (id, result, answer)).collect();
                if committed.send(results).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Those whose senders will not wait for another commit are not stored: they would be told that nobody knows.
fn refuse_late(waiting: &mut Vec<Pending>) {
    let now = Instant::now();
    for late in waiting.extract_if(.., |pending| pending.until.is_some_and(|until| until <= now)) {
        let _ = late.answer.send(Err(unavailable("it waited too long to be stored")));
    }
}

/// One result for each message of a batch.
fn each(count: usize, result: Result<Vec<Appended>, StorageError>) -> Vec<Result<Appended>> {
    match result {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        Err(StorageError::Unavailable(cause)) => {
            let cause: Arc<dyn std::error::Error + Send + Sync> = cause.into();
            (0..count).map(|_| Err(Error::Unavailable(Shared(cause.clone()).into()))).collect()
        }
        Err(StorageError::Backend(cause)) => {
            let cause: Arc<dyn std::error::Error + Send + Sync> = cause.into();
            (0..count).map(|_| Err(Error::internal(Shared(cause.clone())))).collect()
        }
    }
}

/// One cause of many failures.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Shared(Arc<dyn std::error::Error + Send + Sync>);

async fn announce(
    sequencer: Arc<Sequencer>,
    inbox_news: Arc<InboxNews>,
    mut committed: mpsc::Receiver<Committed>,
) {
    while let Some(batch) = committed.recv().await {
        let (mut new, mut duplicate) = (0, 0);
        for (id, result, answer) in batch {
            let outcome = match result {
                Ok(Appended::New(message)) => {
                    let message = Arc::new(message);
                    sequencer.pass(&message).await;
                    new += 1;
                    Ok(Outcome::Sent(Sent { message, duplicate: false }))
                }
                Ok(Appended::InSupport { message, effect }) => {
                    let message = Arc::new(message);
                    sequencer.pass(&message).await;
                    inbox_news.message(id, effect);
                    new += 1;
                    Ok(Outcome::Sent(Sent { message, duplicate: false }))
                }
                Ok(Appended::Duplicate(message)) => {
                    // The first may have been stored by another node, or by a commit whose answer was lost.
                    sequencer.hint(message.conversation_id, message.seq);
                    inbox_news.changed(message.conversation_id);
                    duplicate += 1;
                    Ok(Outcome::Sent(Sent { message: Arc::new(message), duplicate: true }))
                }
                Ok(Appended::ClientIdReused) => Ok(Outcome::ClientIdReused),
                Ok(Appended::NoConversation) => Ok(Outcome::NoConversation),
                Ok(Appended::NotParticipant) => Ok(Outcome::NotParticipant),
                Ok(Appended::Closed) => Ok(Outcome::Closed),
                Ok(Appended::FileGone) => Ok(Outcome::FileGone),
                Ok(Appended::Busy) => Err(unavailable("somebody else holds the conversation")),
                Err(error) => {
                    // It may be stored all the same, and then nobody else would tell of it.
                    sequencer.doubt(id);
                    Err(error)
                }
            };
            // Whoever sent it may have hung up; the message is stored and announced all the same.
            let _ = answer.send(outcome);
        }
        telemetry::messages_accepted(new, duplicate);
    }
}
