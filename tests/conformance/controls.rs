//! The controls: a storage that is broken in one way fails the cases that are about it, and a whole one passes all.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

#[path = "broken/mod.rs"]
mod broken;

use std::sync::{Arc, Once};
use std::time::Duration;

use broken::Broken;
use broken::fault::{self, Fault, Noticed, Shows};
use priyo_core::storage::conformance::{CASES, Case, Store};
use tokio::runtime::Builder;
use tokio::time::timeout;

/// More than any case waits for what must come. One that does not end by itself has noticed nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often others are given the chance to come between two steps.
const RACES: usize = 10;

/// The threads on which cases run that are meant to panic.
const THREADS: &str = "broken";

#[test]
fn a_storage_that_is_whole_passes_every_case() {
    let failed: Vec<_> =
        CASES.iter().filter(|case| run(Fault::None, case) != Outcome::Passes).map(|case| case.name).collect();
    assert_eq!(failed, Vec::<&str>::new());
}

macro_rules! noticed {
    ($($test:ident: $faults:ident)*) => {$(
        #[test]
        fn $test() {
            assert_noticed(fault::$faults);
        }
    )*};
}

noticed! {
    what_is_wrong_with_beginning_and_end_is_noticed: LIFECYCLE
    what_is_wrong_with_values_is_noticed: VALUES
    what_is_wrong_with_users_is_noticed: USERS
    what_is_wrong_with_sessions_is_noticed: SESSIONS
    what_is_wrong_with_files_is_noticed: FILES
    what_is_wrong_with_conversations_is_noticed: CONVERSATIONS
    what_is_wrong_with_participants_is_noticed: PARTICIPANTS
    what_is_wrong_with_lists_is_noticed: LISTS
    what_is_wrong_with_appending_is_noticed: APPENDING
    what_is_wrong_with_repeats_is_noticed: REPEATS
    what_is_wrong_with_pages_is_noticed: MESSAGES
    what_is_wrong_with_reading_is_noticed: READING
    what_is_wrong_with_unread_counts_is_noticed: UNREAD
    what_is_wrong_with_delivery_is_noticed: DELIVERY
    what_is_wrong_with_visitors_is_noticed: SUPPORT
}

/// Each fault shows itself in every case that it names, as it says it does.
fn assert_noticed(faults: &[Noticed]) {
    let mut missed = Vec::new();
    for (fault, shows, names) in faults {
        for name in *names {
            let case = CASES.iter().find(|case| case.name == *name).expect("there is such a case");
            let tries = match shows {
                Shows::Always => 1,
                Shows::InARace => RACES,
            };
            let outcome = (0..tries).map(|_| run(*fault, case)).find(|outcome| *outcome != Outcome::Passes);
            if outcome != Some(Outcome::Fails) {
                missed.push(format!("{fault:?} in {name}: {outcome:?}"));
            }
        }
    }
    assert_eq!(missed, Vec::<String>::new());
}

/// What becomes of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passes,
    Fails,
    NeverEnds,
}

fn run(fault: Fault, case: &Case) -> Outcome {
    silence();
    let runtime =
        Builder::new_multi_thread().worker_threads(2).thread_name(THREADS).enable_all().build().unwrap();
    let run = case.run;
    let outcome = runtime.block_on(async move {
        let store: Store = Arc::new(Broken::new(fault));
        store.migrate().await.unwrap();
        timeout(PATIENCE, tokio::spawn(async move { run(&store).await })).await
    });
    runtime.shutdown_background();
    match outcome {
        Ok(Ok(())) => Outcome::Passes,
        Ok(Err(_)) => Outcome::Fails,
        Err(_) => Outcome::NeverEnds,
    }
}

/// Keeps the panics that are expected out of what a person reads.
fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() != Some(THREADS) {
                default(info);
            }
        }));
    });
}
