//! The engine in this process, mounted in one of two ways: behind the server's accept loop, or as any router is.

use std::future::pending;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use priyo_core::auth::Identity;
use priyo_core::transport::socketio::SocketIoTransport;
use priyo_core::{Accounts, ChatEngine, Limits, Rates};
use priyo_server::listen::{Acceptor, Listen};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::{ACCESS_SECRET, Database, REFRESH_SECRET, Recorder, SharedStorage, Site, uncounted};

/// How the router is served.
#[derive(Debug, Clone)]
pub enum Served {
    /// By the server's accept loop.
    Guarded(Listen),
    /// By `axum::serve`.
    Plainly,
}

/// An engine with a database of its own, on a port.
#[derive(Debug)]
pub struct Mounted {
    /// The engine.
    pub engine: ChatEngine,
    site: Site,
    serving: JoinHandle<()>,
}

impl Mounted {
    /// With the accounts of every test server.
    pub async fn start(served: Served, limits: Limits) -> Self {
        Self::start_with(served, limits, |_, app| app).await
    }

    /// On a database that the test looks into.
    pub async fn start_on(database: &Database, served: Served, limits: Limits) -> Self {
        Self::mount(database.clone(), served, limits, accounts(), |_, app| app).await
    }

    /// With routes in place of the engine's own.
    pub async fn start_with(
        served: Served,
        limits: Limits,
        routes: impl FnOnce(&ChatEngine, Router) -> Router,
    ) -> Self {
        Self::mount(Database::new(), served, limits, accounts(), routes).await
    }

    /// With users who come from somewhere else.
    pub async fn start_for(served: Served, limits: Limits, identity: impl Into<Identity>) -> Self {
        Self::mount(Database::new(), served, limits, identity, |_, app| app).await
    }

    async fn mount(
        database: Database,
        served: Served,
        mut limits: Limits,
        identity: impl Into<Identity>,
        routes: impl FnOnce(&ChatEngine, Router) -> Router,
    ) -> Self {
        // What is tested with it is something else.
        limits.rates = Rates::off();
        let sockets = SocketIoTransport::default();
        let engine = database
            .engine(identity)
            .await
            .limits(limits)
            .transport(Arc::new(sockets.clone()))
            .build()
            .await
            .unwrap();
        let app = routes(&engine, priyo_core::router(&engine, &sockets));
        Self::serve(served, engine, app, database).await
    }

    /// One of several nodes on a storage, which is in `database`, with ears of its own.
    pub async fn node(storage: SharedStorage, database: &Database, ears: Arc<Recorder>) -> Self {
        let sockets = SocketIoTransport::default();
        let engine = ChatEngine::builder(storage.storage(), accounts())
            .limits(uncounted())
            .transport(Arc::new(sockets.clone()))
            .transport(ears)
            .build()
            .await
            .unwrap();
        let app = priyo_core::router(&engine, &sockets);
        Self::serve(Served::Plainly, engine, app, database.clone()).await
    }

    async fn serve(served: Served, engine: ChatEngine, app: Router, database: Database) -> Self {
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
        Self { engine, site: Site::new(addr, database), serving }
    }
}

/// The accounts of every test server, with self-service roles as in development.
pub fn accounts() -> Accounts {
    Accounts::new(ACCESS_SECRET, REFRESH_SECRET).self_service_roles(true)
}

impl Deref for Mounted {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
