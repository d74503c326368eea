//! What a test cannot do here.

use std::fs::File;
use std::io::Write;
use std::thread;

/// Where `tests/run` counts the tests that could not run.
const LIST: &str = "PRIYO_SKIPPED";

/// Says that the running test cannot do its work here, and why: what it needs is missing or refused. The test then
/// returns. Where `CI` is set nothing may be left out, and it fails instead.
///
/// # Panics
///
/// When `CI` is set.
#[track_caller]
pub fn skipped(why: &str) {
    let current = thread::current();
    let test = current.name().unwrap_or("a test");
    let line = format!("SKIPPED {test}: {why}");
    assert!(std::env::var_os("CI").is_none_or(|value| value.is_empty()), "{line}");
    println!("{line}");
    // A runner that keeps the words of tests that pass to itself is no reason not to count them.
    if let Some(list) = std::env::var_os(LIST) {
        let mut list = File::options().create(true).append(true).open(list).unwrap();
        list.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}
