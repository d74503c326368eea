//! The doors: each parses, calls one engine method, and formats. Nothing else.

mod connection;
#[cfg(feature = "openapi")]
pub mod describe;
pub mod http;
mod json;
mod linger;
#[cfg(feature = "rest")]
pub mod rest;
#[cfg(feature = "socketio")]
pub mod socketio;
#[cfg(feature = "widget")]
mod web;
#[cfg_attr(
    not(all(feature = "rest", feature = "socketio")),
    allow(dead_code, unused_imports, reason = "each door shows a part of the shapes")
)]
mod wire;

pub use connection::Connection;

/// Every path of the chat: the REST routes, `/socket.io/`, and the files of the widget and the inbox where there are any, to be merged with a host's own router or nested under
/// a path. Nested, say so by [`EngineBuilder::public_path`](crate::EngineBuilder::public_path).
///
/// Strangers and logins are counted by the client's address: [`http::client_address`] says where that is looked for.
#[cfg(all(feature = "rest", feature = "socketio"))]
pub fn router(engine: &crate::ChatEngine, sockets: &socketio::SocketIoTransport) -> axum::Router {
    let routes = rest::router(engine.clone()).merge(socketio::router(engine, sockets));
    #[cfg(feature = "widget")]
    let routes = routes.merge(web::router(engine));
    routes
}
