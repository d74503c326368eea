//! What must hold when something breaks, and a control for each: the same check on something worse must fail.
//!
//! Each test has a short form and a long one, which `PRIYO_LONG=1` asks for. `PRIYO_SEED` repeats a run, as far as
//! chance is concerned; a run that fails says its seed, and where its history is. `PRIYO_ROUNDS` repeats a fault as
//! often as it says.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a surprise must fail the test")]

mod backup;
mod bucket;
mod bystander;
mod chance;
mod checker;
mod clock;
mod controls;
mod crowd;
mod disk_full;
mod embedded;
mod emit_order;
mod flood;
mod flooder;
mod frames;
mod held;
mod history;
mod hot_conversation;
mod kill_nine;
mod logins;
mod long_history;
mod lost_acks;
mod measures;
mod migrating;
mod model;
mod mutation;
mod network_cuts;
mod nodes;
mod one_at_a_time;
mod own_mounts;
mod panicking;
mod postgres;
mod power_loss;
mod presence;
mod recorded;
mod refreshing;
mod slowloris;
mod soak;
mod stalled;
mod starting;
mod stopping;
mod stored;
mod storm;
mod strangers;
mod uploads;
mod workload;
