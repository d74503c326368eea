//! The Socket.IO door: protocol 5, by socketioxide, with the guards that a chat needs around it.
//!
//! - [`mod@self`]: the transport, its router, and the handshake.
//! - `hub`: who is connected, who listens where, and the way out to them.
//! - `inbox`: the events of one socket, one after the other.
//! - `events`: the table of events, each parsed, handed to the engine, and answered.

mod events;
mod hub;
mod inbox;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::UPGRADE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::{ParserConfig, SocketIo, TransportType};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[cfg(feature = "openapi")]
pub(crate) use events::Kind as ClientEvent;

use hub::Hub;
use inbox::{Events, Session};

use super::connection::Connection;
use crate::engine::{ChatEngine, WeakEngine};
use crate::error::Error;
use crate::events::{Audience, Event, Revocation, Transport};
use crate::limits::Limits;
use crate::model::UserId;

/// Socket.IO as a way out of the engine. Cheap to clone; all clones are the same.
///
/// Give one to [`EngineBuilder::transport`](crate::EngineBuilder::transport) and then to [`router`].
#[derive(Clone, Default)]
pub struct SocketIoTransport(Arc<Inner>);

#[derive(Default)]
struct Inner {
    hub: Hub,
    engine: OnceLock<WeakEngine>,
    io: RwLock<Option<SocketIo>>,
}

/// How long clients may take to read what is left for them when the server closes.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// How often a client is asked for a sign of life, and how long it may take to give one.
const PING_EVERY: Duration = Duration::from_secs(25);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// How long the parts of a binary packet may take to come. We take none, but must read past them.
const PACKET_WITHIN: Duration = Duration::from_secs(10);

/// The routes of Socket.IO, `/socket.io/`, to be merged or nested. Serve them by an accept loop that puts a
/// [`Connection`] into each request: only so can a client that has stopped reading be ended.
pub fn router(engine: &ChatEngine, transport: &SocketIoTransport) -> Router {
    let inner = &transport.0;
    let _ = inner.engine.set(engine.downgrade());
    let places = Arc::new(Semaphore::new(engine.limits().unknown_sockets));
    let (service, io) = configured(engine.limits()).build_svc();
    let connecting = inner.clone();
    let connected = async |socket: SocketRef| {
        if let Some(session) = socket.extensions.get::<Arc<Session>>() {
            session.open(socket).await;
        }
    };
    let check = move |socket: SocketRef, TryData(auth): TryData<Value>| {
        let inner = connecting.clone();
        async move { inner.admit(socket, auth.ok()).await }
    };
    // With the local adapter this does nothing that could fail.
    let () = io.ns("/", connected.with(check));
    *inner.io.write().unwrap_or_else(PoisonError::into_inner) = Some(io);
    Router::new()
        .route_service("/socket.io/", service.clone())
        .route_service("/socket.io", service)
        .layer(middleware::from_fn_with_state(inner.clone(), note_upgrade))
        .layer(middleware::from_fn_with_state(places, bound_strangers))
}

/// A place among the sockets that have not said who they are. socketioxide keeps the extensions of the request that
/// opened a session as long as the session, so a place is free again when its session is over, or earlier when it is
/// taken out.
#[derive(Clone)]
struct StrangersPlace(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl StrangersPlace {
    fn leave(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Gives a place to each request that opens a session, while there is one.
async fn bound_strangers(State(places): State<Arc<Semaphore>>, mut request: Request, next: Next) -> Response {
    if query_field(&request, "sid").is_none() {
        let Ok(place) = places.try_acquire_owned() else { return Error::Overloaded.into_response() };
        request.extensions_mut().insert(StrangersPlace(Arc::new(Mutex::new(Some(place)))));
    }
    next.run(request).await
}

fn query_field<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.uri().query()?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn configured(limits: &Limits) -> socketioxide::SocketIoBuilder {
    let bytes = limits.body_bytes;
    SocketIo::builder()
        .req_path("/socket.io")
        .ping_interval(PING_EVERY)
        .ping_timeout(PONG_WITHIN)
        .connect_timeout(limits.connect_timeout)
        .max_buffer_size(limits.socket_outbox)
        // `max_payload` bounds polling only: the other two bound WebSocket.
        .max_payload(bytes as u64)
        .ws_max_message_size(bytes)
        .ws_max_frame_size(bytes)
        // Most frames are short, and most sockets idle: an eighth of the default saves 3 kB a socket.
        .ws_read_buffer_size(512)
        .with_parser(
            ParserConfig::common()
                .max_incoming_binary_buf_size(bytes)
                .max_incoming_binaries(1)
                .packet_completion_timeout(PACKET_WITHIN),
        )
}

/// A client that began with polling goes on over WebSocket: that is another connection, to be known as its.
async fn note_upgrade(State(inner): State<Arc<Inner>>, request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Connection>();
    if let Some(connection) = connection.filter(|_| request.headers().contains_key(UPGRADE)) {
        let (transport, sid) = (query_field(&request, "transport"), query_field(&request, "sid"));
        if let (Some("websocket"), Some(Ok(sid))) = (transport, sid.map(str::parse)) {
            match inner
                .io()
                .and_then(|io| io.get_socket(sid))
                .and_then(|s| s.extensions.get::<Arc<Session>>())
            {
                Some(session) => session.moved_to(connection.clone()),
                None => inner.hub.upgrading(sid, connection.clone()),
            }
        }
    }
    next.run(request).await
}

impl Inner {
    fn io(&self) -> Option<SocketIo> {
        self.io.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn engine(&self) -> Option<ChatEngine> {
        self.engine.get().and_then(WeakEngine::upgrade)
    }

    /// Decides on a CONNECT. Everything is set up here, before the client is told: an event that came before its
    /// handler would be dropped without a word.
    async fn admit(self: &Arc<Self>, socket: SocketRef, auth: Option<Value>) -> Result<(), &'static str> {
        let token = match auth.as_ref().and_then(|auth| auth.get("token")) {
            Some(Value::String(token)) if !token.is_empty() => token,
            Some(Value::Null | Value::String(_)) | None => return Err("Authentication token required"),
            Some(_) => return Err("Invalid authentication token"),
        };
        let engine = self.engine().ok_or("Server is closing")?;
        let caller = engine.authenticate(token).await.map_err(refusal)?;
        let caller = engine.connected(caller).map_err(refusal)?;
        if let Some(place) = socket.req_parts().extensions.get::<StrangersPlace>() {
            place.leave();
        }
        let connection = self.hub.upgraded(socket.id);
        // A polling client has none of its own: what it came on may be a proxy's, which others come on as well.
        let own = || socket.req_parts().extensions.get::<Connection>().cloned();
        let is_websocket = socket.transport_type() == TransportType::Websocket;
        let connection = connection.or_else(|| if is_websocket { own() } else { None });
        let session = Arc::new(Session::new(self.clone(), engine.downgrade(), caller, connection));
        socket.extensions.insert(session.clone());
        socket.on_fallback(Events(session.clone()));
        socket.on_disconnect(async move || session.ended());
        Ok(())
    }
}

/// What a client is told whose CONNECT was refused.
fn refusal(error: Error) -> &'static str {
    match error {
        Error::UnknownUser => "User not found",
        Error::TooManyConnections => "Too many connections",
        Error::InvalidToken | Error::Unauthenticated => "Invalid authentication token",
        other => {
            let _ = other.into_wire();
            "Service temporarily unavailable"
        }
    }
}

#[async_trait]
impl Transport for SocketIoTransport {
    fn deliver(&self, audience: &Audience, event: &Event) -> Vec<UserId> {
        match self.0.engine() {
            Some(engine) => self.0.hub.deliver(&engine, audience, event),
            None => Vec::new(),
        }
    }

    fn revoke(&self, revocation: &Revocation) {
        self.0.hub.revoke(revocation);
    }

    async fn close(&self) {
        let Some(io) = self.0.io.write().unwrap_or_else(PoisonError::into_inner).take() else { return };
        // Closes the transports and not the sockets, so that clients come back by themselves. One that has stopped
        // reading would hold it up for ever.
        let _ = tokio::time::timeout(CLOSE_WITHIN, io.close()).await;
        self.0.hub.end_all();
    }
}

impl fmt::Debug for SocketIoTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SocketIoTransport")
    }
}
