//! The Socket.IO door: protocol 5, by socketioxide, with the guards that a chat needs around it.
//!
//! - [`mod@self`]: the transport, its router, and the handshake.
//! - `hub`: who is connected, who listens where, and the way out to them.
//! - `arrivals`: what is told to those who are about to be connected.
//! - `strangers`: how many sockets may not have said who they are.
//! - `session`: a socket that has said who it is, and how it ends.
//! - `inbox`: its events, one after the other.
//! - `events`: the table of events, each parsed, handed to the engine, and answered.
//! - `sync`: the answer to the event of this name.

mod arrivals;
mod events;
mod hub;
mod inbox;
mod session;
mod strangers;
mod sync;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::UPGRADE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use serde_json::Value;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::socket::Sid;
use socketioxide::{ParserConfig, SocketIo, TransportType};
use tower::ServiceExt;

#[cfg(feature = "openapi")]
pub(crate) use events::Kind as ClientEvent;

use hub::Hub;
use inbox::Events;
use session::Session;
use strangers::{Place, Strangers};

use super::connection::Connection;
use super::http::{ORIGIN_NOT_ALLOWED, PageRights, origin};
use crate::engine::{ChatEngine, WeakEngine};
use crate::error::Error;
use crate::events::{Audience, Event, Revocation, Transport};
use crate::limits::Limits;
use crate::model::UserId;
use crate::transport::http::client_address;

/// Socket.IO as a way out of the engine. Cheap to clone; all clones are the same.
///
/// Give one to [`EngineBuilder::transport`](crate::EngineBuilder::transport) and then to [`router`].
#[derive(Clone, Default)]
pub struct SocketIoTransport(Arc<Inner>);

#[derive(Default)]
struct Inner {
    hub: Hub,
    engine: OnceLock<WeakEngine>,
    served: RwLock<Option<Served>>,
}

/// socketioxide, until the transport is closed.
#[derive(Clone)]
struct Served {
    io: SocketIo,
    /// Its routes with nothing around them.
    routes: Router,
}

/// How long clients may take to read what is left for them when the server closes.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// How long the parts of a binary packet may take to come. We take none, but must read past them.
const PACKET_WITHIN: Duration = Duration::from_secs(10);

/// The routes of Socket.IO, `/socket.io/`, to be merged or nested. Serve them by an accept loop that puts a
/// [`Connection`] into each request: only so can a client that has stopped reading be ended.
pub fn router(engine: &ChatEngine, transport: &SocketIoTransport) -> Router {
    let inner = &transport.0;
    let _ = inner.engine.set(engine.downgrade());
    let strangers = Strangers::new(engine.limits());
    let (service, io) = configured(engine.limits()).build_svc();
    let routes =
        Router::new().route_service("/socket.io/", service.clone()).route_service("/socket.io", service);
    // Weak: the handler is a part of what `inner` holds, and the two would keep each other.
    let connecting = Arc::downgrade(inner);
    let connected = async |socket: SocketRef| {
        if let Some(session) = socket.extensions.get::<Arc<Session>>() {
            session.open(socket).await;
        }
    };
    let check = move |socket: SocketRef, TryData(auth): TryData<Value>| {
        let inner = connecting.clone();
        async move {
            let admitted = AssertUnwindSafe(Inner::admit(&inner, socket, auth.ok())).catch_unwind().await;
            // Of a panic, in a host's login say, socketioxide would tell the client nothing.
            admitted.unwrap_or_else(|_| Err(refusal(Error::internal("a handshake panicked"))))
        }
    };
    // With the local adapter this does nothing that could fail.
    let () = io.ns("/", connected.with(check));
    let served = Served { io, routes: routes.clone() };
    *inner.served.write().unwrap_or_else(PoisonError::into_inner) = Some(served);
    routes
        .layer(middleware::from_fn_with_state(inner.clone(), note_upgrade))
        .layer(middleware::from_fn_with_state(strangers, bound_strangers))
}

/// Gives a place to each request that opens a session, while there is one.
async fn bound_strangers(State(strangers): State<Strangers>, mut request: Request, next: Next) -> Response {
    if query_field(&request, "sid").is_none() {
        let from = client_address(request.extensions());
        let Some(place) = strangers.admit(from) else { return Error::Overloaded.into_response() };
        request.extensions_mut().insert(place);
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
        .ping_interval(limits.ping_interval)
        .ping_timeout(limits.ping_timeout)
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

/// A client that began with polling goes on over WebSocket: that is another connection, to be known as its. Noted first,
/// since what comes over it may be read before this task goes on; taken back when it is not let in.
async fn note_upgrade(State(inner): State<Arc<Inner>>, request: Request, next: Next) -> Response {
    let upgrade = Upgrade::note(&inner, &request);
    let response = next.run(request).await;
    if let Some(upgrade) = upgrade
        && response.status() != StatusCode::SWITCHING_PROTOCOLS
    {
        upgrade.take_back(&inner);
    }
    response
}

/// A connection that was noted as the one that a session goes on over.
struct Upgrade {
    sid: Sid,
    connection: Connection,
    /// The one that was noted before.
    before: Option<Connection>,
}

impl Upgrade {
    fn note(inner: &Inner, request: &Request) -> Option<Self> {
        let connection = request.extensions().get::<Connection>()?.clone();
        let is_upgrade = request.headers().contains_key(UPGRADE);
        if !is_upgrade || query_field(request, "transport") != Some("websocket") {
            return None;
        }
        let sid = query_field(request, "sid")?.parse().ok()?;
        let before = match inner.session(sid) {
            Some(session) => session.moved_to(connection.clone()),
            None => inner.hub.upgrading(sid, connection.clone()),
        };
        Some(Self { sid, connection, before })
    }

    fn take_back(self, inner: &Inner) {
        let Self { sid, connection, before } = self;
        inner.hub.not_upgraded(sid, &connection, before.clone());
        // It may have said who it is meanwhile.
        if let Some(session) = inner.session(sid) {
            session.stayed_on(before, &connection);
        }
    }
}

impl Inner {
    fn io(&self) -> Option<SocketIo> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|served| served.io.clone())
    }

    /// The session that has this id, once it has said who it is.
    fn session(&self, sid: Sid) -> Option<Arc<Session>> {
        self.io()?.get_socket(sid)?.extensions.get::<Arc<Session>>()
    }

    /// Ends a session that goes over polling, as its client would: by the packet `close` of Engine.IO. There is no
    /// other way: what socketioxide calls disconnecting leaves the session open and the namespace only, after which
    /// a client does not come back by itself.
    async fn end_polling(&self, sid: Sid) {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner).clone();
        let path = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        if let (Some(served), Ok(close)) = (served, Request::post(path).body(Body::from("1"))) {
            let Ok(_) = served.routes.oneshot(close).await;
        }
    }

    fn engine(&self) -> Option<ChatEngine> {
        self.engine.get().and_then(WeakEngine::upgrade)
    }

    /// Decides on a CONNECT. Everything is set up here, before the client is told: an event that came before its
    /// handler would be dropped without a word.
    async fn admit(inner: &Weak<Self>, socket: SocketRef, auth: Option<Value>) -> Result<(), &'static str> {
        let token = match auth.as_ref().and_then(|auth| auth.get("token")) {
            Some(Value::String(token)) if !token.is_empty() => token,
            Some(Value::Null | Value::String(_)) | None => return Err("Authentication token required"),
            Some(_) => return Err("Invalid authentication token"),
        };
        let inner = inner.upgrade().ok_or("Server is closing")?;
        let engine = inner.engine().ok_or("Server is closing")?;
        let caller = engine.authenticate(token).await.map_err(refusal)?;
        let caller = caller.with_origin(origin(socket.req_parts()));
        let extensions = &socket.req_parts().extensions;
        if !PageRights::admit(extensions, &caller) {
            return Err(ORIGIN_NOT_ALLOWED);
        }
        let caller = engine.connected(caller, client_address(extensions)).map_err(refusal)?;
        if let Some(place) = extensions.get::<Place>() {
            place.leave();
        }
        let connection = inner.hub.upgraded(socket.id);
        // A polling client has none of its own: what it came on may be a proxy's, which others come on as well.
        let own = || extensions.get::<Connection>().cloned();
        let is_websocket = socket.transport_type() == TransportType::Websocket;
        let connection = connection.or_else(|| if is_websocket { own() } else { None });
        let session = Arc::new(Session::new(inner, engine.downgrade(), caller, connection));
        socket.extensions.insert(session.clone());
        socket.on_fallback(Events(session.clone()));
        session.arrive();
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
        let served = self.0.served.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Served { io, .. }) = served else { return };
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
