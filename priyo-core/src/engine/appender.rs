//! The path of a message from the engine's door to the commit, the announcement and the answer.
//!
//! Two tasks, one behind the other. The first collects what waits and commits it as one batch; the second announces
//! and answers in the order of the commits, while the first is at the next batch already. A request only waits for
//! its answer: when it goes away, the message is announced all the same.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::announcer::Announcer;
use super::delivered::DeliveredMarks;
use super::messages::Sent;
use crate::error::{Error, Result};
use crate::events::{Audience, Event};
use crate::limits::Limits;
use crate::model::{Message, UserId};
use crate::storage::{Appended, NewMessageRow, Storage, StorageError};
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
pub(super) struct Appending(oneshot::Receiver<Result<Outcome>>);

impl Appending {
    /// What became of it, after it was announced.
    pub(super) async fn outcome(self) -> Result<Outcome> {
        self.0.await.map_err(|gone| Error::Unavailable(gone.into()))?
    }
}

type Committed = Vec<(Result<Appended>, oneshot::Sender<Result<Outcome>>)>;

/// Committed batches that may wait for their announcement before the next commit waits too.
const BATCHES_AHEAD: usize = 4;

impl Appender {
    pub(super) fn start(
        storage: Arc<dyn Storage>,
        announcer: Arc<Announcer>,
        delivered: Arc<DeliveredMarks>,
        limits: &Limits,
    ) -> Self {
        let (queue, pending) = mpsc::channel(limits.append_queue);
        let (committed, to_announce) = mpsc::channel(BATCHES_AHEAD);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(commit(storage, pending, committed, limits.append_batch, stop.clone()));
        tasks.spawn(announce(announcer, delivered, to_announce));
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
        self.queue.try_send(Pending { row, answer }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Error::Unavailable("the engine is closed".into()),
        })?;
        Ok(Appending(outcome))
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
                let (rows, answers): (Vec<_>, Vec<_>) = waiting.drain(..).map(|p| (p.row, p.answer)).unzip();
                let started = Instant::now();
                let results = each(rows.len(), storage.append_messages(rows).await);
                telemetry::batch_stored(taken, started.elapsed(), pending.len());
                if committed.send(results.into_iter().zip(answers).collect()).await.is_err() {
                    return;
                }
            }
        }
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
    announcer: Arc<Announcer>,
    delivered: Arc<DeliveredMarks>,
    mut committed: mpsc::Receiver<Committed>,
) {
    while let Some(batch) = committed.recv().await {
        let (mut new, mut duplicate) = (0, 0);
        for (result, answer) in batch {
            let outcome = result.map(|appended| match appended {
                Appended::New(message) => {
                    let message = Arc::new(message);
                    announce_message(&announcer, &delivered, &message);
                    new += 1;
                    Outcome::Sent(Sent { message, duplicate: false })
                }
                Appended::Duplicate(message) => {
                    duplicate += 1;
                    Outcome::Sent(Sent { message: Arc::new(message), duplicate: true })
                }
                Appended::ClientIdReused => Outcome::ClientIdReused,
                Appended::NoConversation => Outcome::NoConversation,
                Appended::NotParticipant => Outcome::NotParticipant,
                Appended::Closed => Outcome::Closed,
                Appended::FileGone => Outcome::FileGone,
            });
            // Whoever sent it may have hung up; the message is stored and announced all the same.
            let _ = answer.send(outcome);
        }
        telemetry::messages_accepted(new, duplicate);
    }
}

fn announce_message(announcer: &Announcer, delivered: &DeliveredMarks, message: &Arc<Message>) {
    let audience = Audience::Conversation { id: message.conversation_id, except: None };
    let mut handed_to = announcer.announce(&audience, &Event::MessageNew(message.clone()));
    // The sender has it, of course.
    handed_to.push(message.sender.id);
    handed_to.sort_unstable();
    handed_to.dedup();
    delivered.note(message.conversation_id, &handed_to, message.seq..=message.seq);
    handed_to.retain(|user| *user != message.sender.id);
    if !handed_to.is_empty() {
        announce_delivered(announcer, message, handed_to);
    }
}

fn announce_delivered(announcer: &Announcer, message: &Message, delivered_to: Vec<UserId>) {
    let event = Event::MessageDelivered {
        conversation_id: message.conversation_id,
        message_id: message.id,
        seq: message.seq,
        message_ids: Vec::new(),
        delivered_to,
    };
    announcer.announce(&Audience::Users(vec![message.sender.id]), &event);
}
