//! The REST contract through the router: every route, field, status, code and text.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a surprise must fail the test")]

mod accounts;
mod conversations;
mod errors;
mod files;
mod host;
mod input;
mod limits;
mod messages;
mod participants;
mod reading;
mod registration;
mod sessions;
mod shapes;
mod tokens;
mod uploads;
