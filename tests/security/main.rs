//! The security catalogue: what an attacker tries, class by class, on the real program. `CASES.md` says which test
//! stands for which case, also where it is in another suite.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a surprise must fail the test")]

mod accounts;
mod administration;
mod browser;
mod cases;
mod controls;
mod costs;
mod files;
mod input;
mod objects;
mod operations;
mod oracle;
mod policy;
mod properties;
mod rates;
mod raw;
mod sessions;
mod sockets;
mod stage;
mod tokens;
mod uploads;
mod widget;
mod world;
