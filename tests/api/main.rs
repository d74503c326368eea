//! The REST contract through the router: every route, field, status, code and text.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a surprise must fail the test")]

mod accounts;
mod audit;
mod conversations;
mod errors;
mod files;
mod host;
mod input;
mod limits;
mod links;
mod messages;
mod migrations;
mod own_sessions;
mod participants;
mod passwords;
mod quota;
mod rates;
mod reading;
mod registration;
mod sessions;
mod shapes;
mod thumbnails;
mod tokens;
mod unsent;
mod uploads;
mod users;
