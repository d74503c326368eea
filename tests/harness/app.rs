//! The chat behind its REST router, in this process, with a clock that the test sets.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::http::HeaderMap;
use priyo_core::model::{ClientAddress, Clock, Role, Timestamp};
use priyo_core::{Accounts, Audience, ChatEngine, Event, FileStore, Limits, Rates, Widget};
use serde_json::Value;

use crate::{Answer, Database, Person, Recorder, Registry, Wire, accounts};

/// When every test begins: 2026-11-23T02:15:35.850Z.
const BEGIN_MS: i64 = 1_795_400_135_850;

/// How a [`TestApp`] differs from what the server ships with.
#[derive(Debug)]
pub struct Settings {
    /// The bounds on clients.
    pub limits: Limits,
    /// How often they may do what, whatever the bounds say. Nothing is counted.
    pub rates: Rates,
    /// The accounts. Self-service roles are on, as in development.
    pub accounts: Accounts,
}

impl Default for Settings {
    fn default() -> Self {
        Self { limits: Limits::default(), rates: Rates::off(), accounts: accounts() }
    }
}

/// An engine on a database of its own, its router, and ears.
#[derive(Debug)]
pub struct TestApp {
    /// The engine.
    pub engine: ChatEngine,
    /// The router.
    pub wire: Wire,
    clock_ms: Arc<AtomicI64>,
    recorder: Arc<Recorder>,
    registry: Registry,
    database: Database,
}

impl TestApp {
    /// An empty chat with the settings of a development server.
    pub async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    /// An empty chat with other settings.
    pub async fn with(settings: Settings) -> Self {
        let Settings { mut limits, rates, accounts } = settings;
        limits.rates = rates;
        let database = Database::new();
        let clock_ms = Arc::new(AtomicI64::new(BEGIN_MS));
        let clock = {
            let ms = clock_ms.clone();
            Clock::from_fn(move || Timestamp::from_millis(ms.load(Ordering::Relaxed)))
        };
        let recorder = Arc::new(Recorder::default());
        let engine = database
            .engine(accounts)
            .await
            .limits(limits)
            .clock(clock.clone())
            .transport(recorder.clone())
            .widget(Widget::default())
            .files(FileStore::local(database.folder().join("uploads")).unwrap())
            .build()
            .await
            .unwrap();
        let wire = Wire::Router(priyo_core::transport::rest::router(engine.clone()));
        let registry = Registry::beside(&database, clock).await;
        Self { engine, wire, clock_ms, recorder, registry, database }
    }

    /// A new customer, signed in.
    pub async fn customer(&self, name: &str) -> Person {
        self.registry.person(self.wire.clone(), name, Role::Customer).await
    }

    /// A new agent, signed in.
    pub async fn agent(&self, name: &str) -> Person {
        self.registry.person(self.wire.clone(), name, Role::Agent).await
    }

    /// A new administrator, signed in.
    pub async fn admin(&self, name: &str) -> Person {
        self.registry.person(self.wire.clone(), name, Role::Admin).await
    }

    /// The same person on another device: another session.
    pub async fn another_device(&self, of: &Person) -> Person {
        self.registry.another_device(of).await
    }

    /// What was announced since this was last asked.
    pub fn events(&self) -> Vec<(Audience, Event)> {
        self.recorder.take()
    }

    /// The names of what was announced since this was last asked.
    pub fn event_names(&self) -> Vec<&'static str> {
        self.recorder.take().iter().map(|(_, event)| event.name()).collect()
    }

    /// The ears themselves.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock_ms.load(Ordering::Relaxed))
    }

    /// Lets time pass.
    pub fn passes(&self, by: Duration) {
        self.clock_ms.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Where the uploaded bytes are.
    pub fn uploads(&self) -> PathBuf {
        self.database.folder().join("uploads")
    }

    /// How many rows a table has.
    pub async fn rows(&self, table: &str) -> u64 {
        self.database.rows(table).await
    }

    /// The way to it from an address.
    pub fn wire_from(&self, address: &str) -> Wire {
        let Wire::Router(router) = &self.wire else { return self.wire.clone() };
        let from = ClientAddress::of(address.parse().unwrap());
        Wire::Router(router.clone().layer(Extension(from)))
    }

    /// A request of somebody who is not signed in.
    pub async fn anonymous(&self, method: &str, path: &str) -> Answer {
        self.wire.send(method, path, &[], Bytes::new()).await
    }

    /// A POST of JSON of somebody who is not signed in.
    #[allow(clippy::needless_pass_by_value, reason = "so that a test can write `json!` in place")]
    pub async fn anonymous_post(&self, path: &str, body: Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.wire.send("POST", path, &headers, body.to_string().into()).await
    }

    /// An answer's headers, for a request with this `Authorization` header.
    pub async fn with_authorization(&self, path: &str, value: &str) -> (u16, HeaderMap, Answer) {
        let answer = self.wire.send("GET", path, &[("authorization", value)], Bytes::new()).await;
        (answer.status, answer.headers.clone(), answer)
    }
}
