//! Measuring Priyo, and any other server with the same routes and events.
//!
//! The client side is written to cost little: it shares the machine with the server that it drives. It runs on one
//! thread, reuses its buffers, and takes out of an answer only what it checks.

pub mod account;
pub mod http;
pub mod options;
pub mod process;
pub mod report;
pub mod scenario;
pub mod socket;
pub mod target;
pub mod world;

/// What can end a measurement; its text is all that the user sees.
pub type Fault = Box<dyn std::error::Error>;

/// What a step of a measurement gives.
pub type Result<T, E = Fault> = std::result::Result<T, E>;
