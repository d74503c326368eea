//! Whatever people do, the chat answers as a small model of it says, and shows each of them what the model knows; and
//! a client that has kept up by events alone has what a new look finds.
//!
//! Random steps are taken through the public doors, one after the other. The model is the rules of the chat without
//! a database, without sockets and without anything happening at once.

mod answers;
mod mirror;
mod rules;
mod steps;
mod world;

use std::cell::RefCell;

use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use tokio::runtime::Runtime;

use self::steps::{Step, steps};
use self::world::World;
use crate::chance::{Evidence, rounds};

/// Something that is wrong with the one half of a comparison, for a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// The model takes reading one message for reading all before it.
    ReadingOneReadsAllBefore,
    /// The model lets whoever has left a conversation go on sending.
    WhoLeavesMaySend,
    /// A client misses an event now and then.
    EventsAreMissed,
}

#[test]
fn whatever_people_do_the_chat_does_what_the_model_says() {
    let evidence = Evidence::new();
    let cases = rounds(1_000, 16_000);
    if let Err(error) = run(Flaw::None, evidence.dice().next(), cases) {
        std::fs::write(evidence.history(), format!("{error:#?}\n")).unwrap();
        panic!("{error:#?}");
    }
    println!("{cases} sequences of steps");
}

/// The controls: each flaw is found.
#[test]
fn a_model_or_a_client_that_is_wrong_is_found_out() {
    for flaw in [Flaw::ReadingOneReadsAllBefore, Flaw::WhoLeavesMaySend, Flaw::EventsAreMissed] {
        match run(flaw, 1, 200) {
            Err(TestError::Fail(_, steps)) => println!("{flaw:?} is found in {} steps", steps.len()),
            other => panic!("{flaw:?} is not found: {other:?}"),
        }
    }
}

/// Takes random steps until something differs, and then looks for the fewest that show it.
fn run(flaw: Flaw, seed: u64, cases: u64) -> Result<(), TestError<Vec<Step>>> {
    let runtime = Runtime::new().unwrap();
    let world = RefCell::new(runtime.block_on(World::new(flaw)));
    let config = Config {
        cases: cases.try_into().unwrap(),
        failure_persistence: None,
        // A control need not be understood.
        max_shrink_iters: if flaw == Flaw::None { 500 } else { 0 },
        ..Config::default()
    };
    let seed: Vec<u8> = seed.to_le_bytes().iter().copied().cycle().take(32).collect();
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    runner.run(&steps(), |steps| {
        runtime.block_on(world.borrow_mut().live_through(&steps));
        Ok(())
    })
}
