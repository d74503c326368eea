//! A chat engine to embed.

pub mod error;
pub mod events;
pub mod limits;
pub mod model;
pub mod storage;
mod telemetry;

pub use error::{Error, ErrorCode, Result};
