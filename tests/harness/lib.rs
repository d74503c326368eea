//! What the tests stand on: an engine behind its router without a port, a server as users run it, and people who
//! talk to either, so that a test reads as a story.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "in a test harness a surprise must fail the test, and nothing here is an interface for others"
)]

mod answer;
mod app;
mod bucket;
mod client;
mod cluster;
mod counted;
mod database;
mod fingerprint;
mod hooked;
mod memory;
mod mounted;
mod packet;
mod people;
mod pgbouncer;
mod polling;
mod postgres;
mod proxy;
mod recorder;
mod server;
mod shared;
mod signal;
mod skipped;
mod socket;
mod sqlite;
mod starting;
mod tokens;
mod usage;
mod wire;

pub use answer::{Answer, assert_keys, keys};
pub use app::{Settings, TestApp};
pub use bucket::TestBucket;
pub use client::{Client, Counted, Outgoing, Step, Told};
pub use cluster::Cluster;
pub use counted::CountedStorage;
pub use database::Database;
pub use fingerprint::Fingerprint;
pub use hooked::{Gate, Hooked};
pub use memory::Memory;
pub use mounted::{Mounted, Served, accounts};
pub use people::{Person, Registry};
pub use pgbouncer::PgBouncer;
pub use polling::Polling;
pub use postgres::{postgres, postgres_behind_pgbouncer};
pub use proxy::{Ending, Fate, Fuse, Link, Proxy, Treatment, Way};
pub use recorder::Recorder;
pub use server::{ServerProcess, Site, TestServer, program};
pub use shared::SharedStorage;
pub use signal::signal;
pub use skipped::skipped;
pub use socket::{Came, Refused, Socket};
pub use sqlite::sqlite;
pub use starting::{Ended, Starting};
pub use tokens::{ACCESS_SECRET, Forged, REFRESH_SECRET, unsigned};
pub use usage::{may_open, open_files, open_files_of_clients, resident_bytes};
pub use wire::Wire;

use std::time::Duration;

use priyo_core::{Limits, Rates};

/// The bounds on clients as they are shipped, but that nothing is counted: for tests of something else.
pub fn uncounted() -> Limits {
    let mut limits = Limits::default();
    limits.rates = Rates::off();
    limits
}

/// How long a test waits for something that must come. Nothing waits that long unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(10);
