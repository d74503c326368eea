#![doc = "draft"]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "being built")]
pub mod error;
pub mod events;
pub mod limits;
pub mod model;
pub mod storage;
pub use error::{Error, ErrorCode, Result};
