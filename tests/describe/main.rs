//! The descriptions say what the chat does: nothing is missing from them, and real answers fit them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a surprise must fail the test")]

mod coverage;
mod documents;
mod fit;
mod rest;
mod sockets;
