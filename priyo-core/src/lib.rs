#![doc = include_str!("../README.md")]

pub mod auth;
pub mod engine;
pub mod error;
pub mod events;
pub mod files;
pub mod limits;
pub mod model;
mod patience;
pub mod rates;
pub mod storage;
mod telemetry;
#[cfg(feature = "__http")]
pub mod transport;
pub mod widget;

pub use auth::{Accounts, Authenticator, Caller};
pub use engine::{ChatEngine, EngineBuilder};
pub use error::{Error, ErrorCode, Result};
pub use events::{Audience, Event, Transport};
pub use files::{FileStore, NewFile};
pub use limits::Limits;
pub use rates::Rates;
#[cfg(all(feature = "rest", feature = "socketio"))]
pub use transport::router;
pub use widget::Widget;
