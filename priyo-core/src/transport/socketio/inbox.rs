//! The events of one socket: taken in the order they come, handled one after the other, each answered.
//!
//! socketioxide would start a task for each event, so that they overtake each other without bound. Here they go into
//! a bounded queue while they are still being read, and one task, which lives while there is something to do, takes
//! them out again. Only sends overlap: each has its place in line before the next one is looked at.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

use super::Inner;
use super::events::{self, Handling};
use crate::auth::Caller;
use crate::engine::WeakEngine;
use crate::error::{Error, Result};
use crate::model::{ConnectionId, SessionId, UserId};
use crate::transport::connection::Connection;

/// A socket that has said who it is. Counts as a connection of its user until it is dropped.
pub(super) struct Session {
    transport: Arc<Inner>,
    engine: WeakEngine,
    caller: Caller,
    connection_id: ConnectionId,
    connection: Mutex<Option<Connection>>,
    ended: AtomicBool,
    inbox: Mutex<Inbox>,
    arrived: Notify,
    inbox_max: usize,
    outbox_max: usize,
}

#[derive(Default)]
struct Inbox {
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
}

/// How to answer one event.
pub(super) struct Reply {
    socket: SocketRef,
    ack: AckSender,
    /// Whether the client asked for an acknowledgement.
    asked: bool,
}

/// How long a socket that is turned out may take to read why.
const FAREWELL: Duration = Duration::from_millis(250);

impl Session {
    pub(super) fn new(
        transport: Arc<Inner>,
        engine: WeakEngine,
        caller: Caller,
        connection: Option<Connection>,
    ) -> Self {
        let limits = engine.upgrade().map(|engine| engine.limits().clone()).unwrap_or_default();
        Self {
            transport,
            engine,
            // There always is one: this caller comes from `ChatEngine::connected`.
            connection_id: caller.connection_id.unwrap_or_else(ConnectionId::new),
            caller,
            connection: Mutex::new(connection),
            ended: AtomicBool::new(false),
            inbox: Mutex::default(),
            arrived: Notify::new(),
            inbox_max: limits.socket_inbox,
            outbox_max: limits.socket_outbox,
        }
    }

    pub(super) fn user_id(&self) -> UserId {
        self.caller.user_id
    }

    pub(super) fn session_id(&self) -> Option<SessionId> {
        self.caller.session_id
    }

    pub(super) fn connection_id(&self) -> ConnectionId {
        self.connection_id
    }

    pub(super) fn hub(&self) -> &super::Hub {
        &self.transport.hub
    }

    /// Most packets that may wait for this socket.
    pub(super) fn outbox(&self) -> usize {
        self.outbox_max
    }

    /// The client has been told that it is connected: its events may be handled.
    pub(super) async fn open(self: &Arc<Self>, socket: SocketRef) {
        self.hub().enter(self, &socket);
        {
            let mut inbox = self.inbox();
            inbox.is_open = true;
            self.work_on(&mut inbox);
        }
        // Its access may have ended between the handshake's check and its coming in, where nobody would find it.
        let Some(engine) = self.engine.upgrade() else { return };
        if let Err(Error::InvalidToken | Error::UnknownUser) = engine.recheck(&self.caller).await {
            self.hub().remove(self.connection_id());
            let _ = socket.disconnect();
            self.end_soon();
        }
    }

    /// The client goes on over another connection.
    pub(super) fn moved_to(&self, connection: Connection) {
        if self.is_ended() {
            connection.end();
        }
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }

    /// The socket is gone.
    pub(super) fn ended(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.hub().remove(self.connection_id());
        self.offline();
    }

    fn offline(&self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.disconnected(&self.caller);
        }
    }

    /// Whether the socket is gone or turned out.
    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Ends the network connection at once.
    pub(super) fn end(self: &Arc<Self>) {
        self.end_after(Duration::ZERO);
    }

    /// Ends the network connection once the client could read why; at once when it is not reading.
    pub(super) fn end_soon(self: &Arc<Self>) {
        self.end_after(if self.is_stalled(Duration::ZERO) { Duration::ZERO } else { FAREWELL });
    }

    /// In a task of its own: the hub is locked while it ends sockets, and what follows from their end leads back
    /// there.
    fn end_after(self: &Arc<Self>, grace: Duration) {
        self.ended.store(true, Ordering::Relaxed);
        let session = self.clone();
        tokio::spawn(async move {
            // A polling client has no connection to end: nobody must wait for its next poll to see it gone.
            session.offline();
            if !grace.is_zero() {
                tokio::time::sleep(grace).await;
            }
            if let Some(connection) = session.connection() {
                connection.end();
            }
        });
    }

    /// Whether the client has taken nothing for longer than `limit` of what waits for it.
    pub(super) fn is_stalled(&self, limit: Duration) -> bool {
        self.connection().is_some_and(|connection| connection.write_blocked_for() > limit)
    }

    fn connection(&self) -> Option<Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event, or refuses it when too many are unfinished.
    fn take(self: &Arc<Self>, incoming: Incoming) {
        let mut inbox = self.inbox();
        if inbox.unfinished >= self.inbox_max {
            drop(inbox);
            self.answer::<()>(incoming.reply, Err(Error::Overloaded));
            return;
        }
        inbox.unfinished += 1;
        inbox.waiting.push_back(incoming);
        self.work_on(&mut inbox);
    }

    fn work_on(self: &Arc<Self>, inbox: &mut Inbox) {
        if inbox.is_worked {
            self.arrived.notify_one();
        } else if inbox.is_open && !inbox.waiting.is_empty() {
            inbox.is_worked = true;
            tokio::spawn(self.clone().work());
        }
    }

    async fn work(self: Arc<Self>) {
        let mut sends: FuturesOrdered<BoxFuture<'static, ()>> = FuturesOrdered::new();
        loop {
            let next = self.inbox().waiting.pop_front();
            match next {
                Some(incoming) => {
                    if let Some(send) = self.handle(incoming, &mut sends).await {
                        sends.push_back(send);
                    }
                }
                None if sends.is_empty() => {
                    let mut inbox = self.inbox();
                    if inbox.waiting.is_empty() {
                        inbox.is_worked = false;
                        return;
                    }
                }
                None => tokio::select! {
                    _ = sends.next() => {}
                    () = self.arrived.notified() => {}
                },
            }
        }
    }

    /// Handles one event. What is still to be done for a send comes back.
    async fn handle(
        self: &Arc<Self>,
        incoming: Incoming,
        sends: &mut FuturesOrdered<BoxFuture<'static, ()>>,
    ) -> Option<BoxFuture<'static, ()>> {
        let Incoming { packet, reply } = incoming;
        let event = events::parse(&packet);
        if !event.as_ref().is_ok_and(events::SocketEvent::is_send) {
            // What came before is finished before anything else is begun.
            while sends.next().await.is_some() {}
        }
        let handling = async {
            let engine = self.engine.upgrade().filter(|_| !self.is_ended()).ok_or(Error::InvalidToken)?;
            let caller = engine.recheck(&self.caller).await?;
            events::begin(self, &engine, &caller, event?).await.map(|handling| (engine, handling))
        };
        match unpanicked(handling).await {
            Ok((engine, Handling::Sending(submitted))) => {
                let session = self.clone();
                return Some(Box::pin(async move {
                    let sent = unpanicked(submitted.sent()).await;
                    session.answer(reply, sent.map(|sent| events::Acknowledged::new(&engine, &sent)));
                    session.finished();
                }));
            }
            Ok((_, Handling::Joined(joined))) => self.answer_join(reply, joined),
            Ok((_, Handling::Done(done))) => self.answer(reply, Ok(done)),
            Err(error) => self.answer::<()>(reply, Err(error)),
        }
        self.finished();
        None
    }

    /// Answers a join; the live events come after the answer.
    fn answer_join(&self, reply: Reply, joined: events::Joined) {
        let id = joined.conversation_id();
        let Some(last_seq) = joined.last_seq_if_complete() else {
            // There is more to be told: it does not listen yet, and asks again.
            self.hub().leave(self.connection_id(), id);
            return self.answer(reply, Ok(joined));
        };
        let mut reply = Some(reply);
        self.hub().finish_join(self, id, joined.is_participant(), last_seq, || {
            reply.take().is_none_or(|reply| reply.send(Ok(&joined)))
        });
        if let Some(reply) = reply {
            // It was taken out meanwhile: its user is no longer in the conversation.
            self.answer::<()>(reply, Err(events::access_denied()));
        }
    }

    fn answer<T: Serialize>(&self, reply: Reply, result: Result<T>) {
        if !reply.send(result) {
            self.hub().evict(self);
        }
    }

    fn finished(&self) {
        self.inbox().unfinished -= 1;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // For a client that went before it was told that it is connected: nothing else notices that one.
        self.offline();
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
        self.0.take(Incoming { packet, reply });
    }
}
