//! The events of one socket: taken in the order they come, handled one after the other, each answered.
//!
//! socketioxide would start a task for each event, so that they overtake each other without bound. Here they go into
//! a bounded queue while they are still being read, and one task, which lives while there is something to do, takes
//! them out again. Only sends overlap: each has its place in line before the next one is looked at.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use serde::Serialize;
use serde_json::json;
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::{AckSender, SocketRef};
use socketioxide::handler::{FromMessageParts, MessageHandler, Value as RawPacket};
use socketioxide::socket::Socket;
use tokio::sync::Notify;

use super::events::{self, Handling, Join, SocketEvent};
use super::hub::NewRoom;
use super::session::Session;
use crate::engine::{ChatEngine, Entry, Pace};
use crate::error::{Error, Result};
use crate::patience;

/// The events of a socket that are not finished.
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    arrived: Notify,
    max: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Incoming>,
    /// Those waiting and those being handled.
    unfinished: usize,
    /// Whether the socket is in the hub, so that events may be handled.
    is_open: bool,
    /// Whether the task runs.
    is_worked: bool,
}

/// One event.
pub(super) struct Incoming {
    pub(super) packet: RawPacket,
    reply: Reply,
    came: Instant,
}

/// How to answer one event.
pub(super) struct Reply {
    socket: SocketRef,
    ack: AckSender,
    /// Whether the client asked for an acknowledgement.
    asked: bool,
}

impl Inbox {
    /// Takes at most `max` events that are not finished.
    pub(super) fn new(max: usize) -> Self {
        Self { queue: Mutex::default(), arrived: Notify::new(), max }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Events may be handled from now on.
    pub(super) fn open_inbox(self: &Arc<Self>) {
        let mut queue = self.inbox.queue();
        queue.is_open = true;
        self.work_on(&mut queue);
    }

    /// Takes an event, or refuses it when too many come or are unfinished.
    fn take(self: &Arc<Self>, incoming: Incoming) {
        match self.engine().map_or(Pace::Fine, |engine| engine.pace(self.connection_id())) {
            Pace::Fine => {}
            Pace::TooFast(error) => {
                self.answer::<()>(incoming.reply, Err(error));
                return;
            }
            Pace::Flooding { limit, retry_after } => {
                self.note_flood(limit, retry_after);
                self.answer::<()>(incoming.reply, Err(self.end_reason()));
                self.hub().turn_out_flooding(self.connection_id());
                return;
            }
        }
        let mut queue = self.inbox.queue();
        if queue.unfinished >= self.inbox.max {
            drop(queue);
            self.answer::<()>(incoming.reply, Err(Error::Overloaded));
            return;
        }
        queue.unfinished += 1;
        queue.waiting.push_back(incoming);
        self.work_on(&mut queue);
    }

    fn work_on(self: &Arc<Self>, queue: &mut Queue) {
        if queue.is_worked {
            self.inbox.arrived.notify_one();
        } else if queue.is_open && !queue.waiting.is_empty() {
            queue.is_worked = true;
            tokio::spawn(self.clone().work());
        }
    }

    async fn work(self: Arc<Self>) {
        let mut sends: FuturesOrdered<BoxFuture<'static, ()>> = FuturesOrdered::new();
        loop {
            let next = self.inbox.queue().waiting.pop_front();
            match next {
                Some(incoming) => {
                    let event = events::parse(&incoming.packet);
                    if !event.as_ref().is_ok_and(SocketEvent::is_send) {
                        // What came before is finished before anything else is begun.
                        while sends.next().await.is_some() {}
                    }
                    let mut handling = pin!(self.handle(incoming, event));
                    let send = loop {
                        tokio::select! {
                            send = &mut handling => break send,
                            // Those before it are answered meanwhile, however long it takes.
                            Some(()) = sends.next(), if !sends.is_empty() => {}
                        }
                    };
                    sends.extend(send);
                }
                None if sends.is_empty() => {
                    let mut queue = self.inbox.queue();
                    if queue.waiting.is_empty() {
                        queue.is_worked = false;
                        return;
                    }
                }
                None => tokio::select! {
                    _ = sends.next() => {}
                    () = self.inbox.arrived.notified() => {}
                },
            }
        }
    }

    /// Handles one event. What is still to be done for a send comes back.
    async fn handle(
        self: &Arc<Self>,
        incoming: Incoming,
        event: Result<SocketEvent>,
    ) -> Option<BoxFuture<'static, ()>> {
        let Incoming { reply, came, .. } = incoming;
        let handling = async {
            let engine = self.engine().ok_or_else(|| self.end_reason())?;
            let caller = engine.recheck(&self.caller()).await?;
            events::begin(self, &engine, &caller, event?).await.map(|handling| (engine, handling))
        };
        match patience::serve(came.elapsed(), unpanicked(handling)).await {
            Ok((engine, Handling::Sending(submitted))) => {
                let session = self.clone();
                return Some(Box::pin(async move {
                    let sent = unpanicked(submitted.sent()).await;
                    session.answer(reply, sent.map(|sent| events::Acknowledged::new(&engine, &sent)));
                    session.finished();
                }));
            }
            Ok((engine, Handling::Joining(join))) => self.answer_join(reply, engine, join).await,
            Ok((_, Handling::Done(done))) => drop(self.answer(reply, Ok(done))),
            Ok((_, Handling::Synced(synced))) => drop(self.answer(reply, Ok(synced))),
            Ok((_, Handling::Renewed(renewed))) => drop(self.answer(reply, Ok(renewed))),
            Err(error) => drop(self.answer::<()>(reply, Err(error))),
        }
        self.finished();
        None
    }

    /// Answers a join; the live events come after the answer.
    async fn answer_join(self: &Arc<Self>, reply: Reply, engine: ChatEngine, join: Box<Join>) {
        let session = self.clone();
        let Join { id, joining, answer } = *join;
        let is_participant = joining.backlog().is_participant;
        let tell = move |entry: Result<Option<Entry>>| match entry {
            Ok(Some(entry)) => {
                let room = NewRoom { id, is_participant, entry };
                session.hub().enter_room(&engine, &session, room, || reply.send(Ok(answer)))
            }
            // There is more to be told: it does not listen yet, and asks again.
            Ok(None) => session.answer(reply, Ok(answer)),
            Err(error) => {
                session.hub().leave(session.connection_id(), id);
                session.answer::<()>(reply, Err(events::join_refusal(error)))
            }
        };
        joining.finish(tell).await;
    }

    /// Answers; says whether the socket took the answer, and ends it when not.
    fn answer<T: Serialize>(&self, reply: Reply, result: Result<T>) -> bool {
        let sent = reply.send(result);
        if !sent {
            self.hub().evict(self);
        }
        sent
    }

    fn finished(&self) {
        self.inbox.queue().unfinished -= 1;
    }
}

/// Runs one event; a panic in it fails the event and nothing else.
async fn unpanicked<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(Error::internal("a socket event panicked")))
}

impl Reply {
    /// Answers: by the acknowledgement if one was asked for, else a failure by an `error` event. `false` when the
    /// outbox is full.
    fn send<T: Serialize>(self, result: Result<T>) -> bool {
        let Self { socket, ack, asked } = self;
        let sent = match result {
            Ok(done) if asked => ack.send(&done),
            Ok(_) => return true,
            Err(error) => {
                let wire = error.into_wire();
                let mut error = wire.extras;
                error.insert("code".to_owned(), json!(wire.code));
                error.insert("message".to_owned(), json!(wire.message));
                if asked {
                    ack.send(&json!({ "ok": false, "error": error }))
                } else {
                    socket.emit("error", &error)
                }
            }
        };
        sent.is_ok() || !socket.connected()
    }
}

/// Takes every event of a socket, while it is being read.
pub(super) struct Events(pub(super) Arc<Session>);

impl MessageHandler<LocalAdapter, ()> for Events {
    fn call(&self, socket: Arc<Socket<LocalAdapter>>, mut packet: RawPacket, ack_id: Option<i64>) {
        let Ok(ack) = AckSender::from_message_parts(&socket, &mut packet, &ack_id);
        let reply = Reply { socket: socket.into(), ack, asked: ack_id.is_some() };
        self.0.take(Incoming { packet, reply, came: Instant::now() });
    }
}
