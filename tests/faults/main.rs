//! What must hold when something breaks, and a control for each: the same check on something worse must fail.
//!
//! `PRIYO_ROUNDS` says how often the program is killed; `PRIYO_SEED` repeats a run, as far as chance is concerned.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a surprise must fail the test")]

mod chance;
mod checker;
mod concurrency;
mod controls;
mod emit_order;
mod history;
mod kill_nine;
mod mounted;
mod panicking;
mod power_loss;
mod stalled;
mod strangers;
mod workload;
