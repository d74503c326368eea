//! The engine as a part of a host program that outlives it.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use priyo_core::engine::WeakEngine;
use priyo_core::model::{Clock, Role};
use priyo_core::storage::sqlite::SqliteStorage;
use priyo_core::transport::socketio::SocketIoTransport;
use priyo_core::{Accounts, ChatEngine, Limits};
use priyo_server::listen::{Acceptor, Listen};
use priyo_tests::{
    ACCESS_SECRET, Database, Mounted, PATIENCE, Person, REFRESH_SECRET, Registry, Served, Socket, Wire,
    open_files, uncounted,
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::stalled::{flood, stall};

/// How long all of an engine may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// A host with a chat in it.
struct Host {
    engine: ChatEngine,
    sockets: SocketIoTransport,
    addr: SocketAddr,
    serving: JoinHandle<()>,
}

impl Host {
    /// With the database in a folder, served in one of two ways.
    async fn start(folder: &Path, served: Served) -> Self {
        let storage = SqliteStorage::open(folder.join("priyo.db")).unwrap();
        let sockets = SocketIoTransport::default();
        let engine = ChatEngine::builder(storage, Accounts::new(ACCESS_SECRET, REFRESH_SECRET));
        let engine = engine.limits(uncounted()).transport(Arc::new(sockets.clone())).build().await.unwrap();
        let app = priyo_core::router(&engine, &sockets);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, app, served));
        Self { engine, sockets, addr, serving }
    }

    /// Two people in a group, the first of whom talks.
    async fn people(&self, folder: &Path) -> (Person, Person, String) {
        let registry = Registry::beside(&Database::file_in(folder), Clock::system()).await;
        let wire = Wire::http(&format!("http://{}", self.addr));
        let alice = registry.person(wire.clone(), "alice", Role::Customer).await;
        let bob = registry.person(wire, "bob", Role::Customer).await;
        let group = alice.starts_group_with(&[&bob]).await;
        (alice, bob, group)
    }

    /// The host lets go of all of it, and closes nothing.
    fn forget(self) -> (WeakEngine, SocketAddr) {
        self.serving.abort();
        drop(self.sockets);
        (self.engine.downgrade(), self.addr)
    }
}

async fn serve(listener: TcpListener, app: Router, served: Served) {
    match served {
        Served::Plainly => axum::serve(listener, app).await.unwrap(),
        Served::Guarded(listen) => {
            Acceptor::new(listen).run(vec![listener], app, pending(), Duration::ZERO).await;
        }
    }
}

/// What there is in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Footprint {
    tasks: usize,
    files: usize,
}

impl Footprint {
    fn now() -> Self {
        Self { tasks: Handle::current().metrics().num_alive_tasks(), files: open_files(std::process::id()) }
    }

    /// Waits until there is no more than this.
    async fn is_back(self) {
        let deadline = Instant::now() + GONE_WITHIN;
        loop {
            let now = Self::now();
            if now.tasks <= self.tasks && now.files <= self.files {
                return;
            }
            assert!(Instant::now() < deadline, "{now:?} is left, and there was {self:?}");
            // Nothing tells of the end of other tasks.
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Waits until the engine, its file and its port are free again; says whether they are in time.
async fn is_gone(engine: &WeakEngine, folder: &Path, addr: SocketAddr, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        let is_free = engine.upgrade().is_none() && SqliteStorage::open(folder.join("priyo.db")).is_ok();
        if is_free && TcpListener::bind(addr).await.is_ok() {
            return true;
        }
        sleep(Duration::from_millis(10)).await;
    }
    false
}

#[tokio::test]
async fn a_dropped_engine_leaves_no_task_no_file_and_no_port_behind() {
    for served in [Served::Guarded(Listen::default()), Served::Plainly] {
        let folder = tempfile::tempdir().unwrap();
        let before = Footprint::now();
        let host = Host::start(folder.path(), served).await;
        let (alice, bob, group) = host.people(folder.path()).await;
        let mut socket = Socket::connect(host.addr, &bob.token).await.unwrap();
        socket.must("conversation:join", group.as_str()).await;
        socket.must("typing:start", json!({"conversationId": group})).await;
        alice.says(&group, "hello").await;
        socket.next("message:new").await;
        // The pool of this client keeps connections, and they keep the routes.
        drop((alice, bob));

        // The control: who keeps a handle keeps all of it.
        let kept = host.engine.clone();
        let (engine, addr) = host.forget();
        assert!(!is_gone(&engine, folder.path(), addr, Duration::from_millis(500)).await);
        drop(kept);

        assert!(is_gone(&engine, folder.path(), addr, GONE_WITHIN).await);
        assert!(socket.ends_by(Instant::now() + GONE_WITHIN).await, "its connection is left");
        drop(socket);
        before.is_back().await;
    }
}

#[tokio::test]
async fn a_closed_engine_is_gone_in_time_though_a_client_reads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let before = Footprint::now();
    let host = Host::start(folder.path(), Served::Guarded(Listen::default())).await;
    let (alice, bob, group) = host.people(folder.path()).await;
    let stalled = stall(host.addr, &bob, &group).await;
    flood(&alice, &group, 400).await;

    let begin = Instant::now();
    timeout(GONE_WITHIN, host.engine.close()).await.expect("it closes in time");
    println!("closed after {:?}", begin.elapsed());
    assert!(stalled.was_reset());

    alice.post("/api/messages", json!({"conversationId": group, "content": "late"})).await.expect(503);
    drop((alice, bob, stalled));
    let (engine, addr) = host.forget();
    assert!(is_gone(&engine, folder.path(), addr, GONE_WITHIN).await);
    before.is_back().await;
}

#[tokio::test]
async fn two_engines_in_one_process_know_nothing_of_each_other() {
    let guarded = || Served::Guarded(Listen::default());
    let here = Mounted::start(guarded(), Limits::default()).await;
    let there = Mounted::start(guarded(), Limits::default()).await;
    // The same name in both, and the same secrets: only the sessions differ.
    let (alice, other_alice) = (here.customer("alice").await, there.customer("alice").await);
    let (group, other_group) = (alice.starts_group_with(&[]).await, other_alice.starts_group_with(&[]).await);
    let (mut socket, mut other) = (here.socket(&alice).await, there.socket(&other_alice).await);
    socket.must("conversation:join", group.as_str()).await;
    other.must("conversation:join", other_group.as_str()).await;

    assert!(Socket::connect(there.addr, &alice.token).await.is_err());
    assert_eq!(other.refused("conversation:join", group.as_str()).await, "not_found");
    for number in 1..=3 {
        assert_eq!(alice.says(&group, "here").await["seq"], number);
    }
    assert_eq!(socket.next("message:new").await["content"], "here");
    assert_eq!(other.heard_of("message:new").await, Vec::<serde_json::Value>::new());

    timeout(PATIENCE, here.engine.close()).await.expect("it closes");
    assert!(socket.ends_by(Instant::now() + PATIENCE).await);
    other_alice.says(&other_group, "there").await;
    assert_eq!(other.next("message:new").await["content"], "there");
}
