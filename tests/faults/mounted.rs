//! The engine in this process, mounted in one of two ways: behind the server's accept loop, or as any router is.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use priyo_core::model::{Clock, Role};
use priyo_core::storage::sqlite::SqliteStorage;
use priyo_core::transport::socketio::SocketIoTransport;
use priyo_core::{Accounts, ChatEngine, Limits};
use priyo_server::listen::{Acceptor, Listen};
use priyo_tests::{ACCESS_SECRET, Person, REFRESH_SECRET, Registry, Socket, Wire};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How the router is served.
#[derive(Debug, Clone)]
pub(crate) enum Served {
    /// By the server's accept loop.
    Guarded(Listen),
    /// By `axum::serve`.
    Plainly,
}

/// An engine with a database of its own, on a port.
#[derive(Debug)]
pub(crate) struct Mounted {
    pub(crate) engine: ChatEngine,
    pub(crate) addr: SocketAddr,
    wire: Wire,
    registry: Registry,
    serving: JoinHandle<()>,
    _dir: TempDir,
}

impl Mounted {
    pub(crate) async fn start(served: Served, limits: Limits) -> Self {
        Self::start_with(served, limits, |_, app| app).await
    }

    /// With routes in place of the engine's own.
    pub(crate) async fn start_with(
        served: Served,
        limits: Limits,
        routes: impl FnOnce(&ChatEngine, Router) -> Router,
    ) -> Self {
        let dir = TempDir::new().unwrap();
        let database = dir.path().join("priyo.db");
        let (engine, app) = engine(SqliteStorage::open(&database).unwrap(), limits).await;
        let app = routes(&engine, app);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            match served {
                Served::Plainly => axum::serve(listener, app).await.unwrap(),
                Served::Guarded(listen) => {
                    Acceptor::new(listen).run(vec![listener], app, pending(), Duration::ZERO).await;
                }
            }
        });
        let registry = Registry::beside(&database, Clock::system());
        Self { engine, addr, wire: Wire::http(&format!("http://{addr}")), registry, serving, _dir: dir }
    }

    pub(crate) async fn customer(&self, name: &str) -> Person {
        self.registry.person(self.wire.clone(), name, Role::Customer).await
    }

    pub(crate) async fn socket(&self, of: &Person) -> Socket {
        Socket::connect(self.addr, &of.token).await.unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// An engine and all its routes.
async fn engine(storage: SqliteStorage, limits: Limits) -> (ChatEngine, Router) {
    let sockets = SocketIoTransport::default();
    let engine = ChatEngine::builder(storage, Accounts::new(ACCESS_SECRET, REFRESH_SECRET))
        .limits(limits)
        .transport(Arc::new(sockets.clone()))
        .build()
        .await
        .unwrap();
    let app = priyo_core::router(&engine, &sockets);
    (engine, app)
}
