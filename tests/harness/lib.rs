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
mod people;
mod polling;
mod recorder;
mod server;
mod socket;
mod sqlite;
mod tokens;
mod wire;

pub use answer::{Answer, assert_keys, keys};
pub use app::{Settings, TestApp};
pub use people::{Person, Registry};
pub use polling::Polling;
pub use recorder::Recorder;
pub use server::{ServerProcess, Site, TestServer};
pub use socket::{Refused, Socket};
pub use sqlite::sqlite;
pub use tokens::{ACCESS_SECRET, Forged, REFRESH_SECRET, unsigned};
pub use wire::Wire;

use std::time::Duration;

/// How long a test waits for something that must come. Nothing waits that long unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(10);
