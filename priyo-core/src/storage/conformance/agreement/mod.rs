//! Two storages that are told the same must answer the same.
//!
//! What is done is drawn by lot, step by step, from what there is by then; after each step everything that can be
//! read is compared. A storage that is simple enough to be seen to be right makes the other one right.

mod draw;
mod everything;
mod operation;
mod world;

use super::Store;
use super::dice::Dice;
use world::World;

/// Steps in one run: enough for a few of everything, few enough to read.
const STEPS: usize = 60;

/// Does the same, drawn by lot, on two empty storages, and panics where they differ.
///
/// The seed, which the panic names, decides all: the same one does the same again.
pub async fn random_operations_agree(store: &Store, other: &Store, seed: u64) {
    let mut world = World::default();
    for (step, operation) in drawn(seed) {
        world.step(&[store, other], operation, &format!("seed {seed}, step {step}")).await;
    }
}

/// [`random_operations_agree`], but half way through `store` is closed, and goes on as what `reopen` gives: the same
/// database, opened again. What was known must still be, and nothing more.
pub async fn random_operations_agree_over_a_restart(
    mut store: Store,
    other: &Store,
    seed: u64,
    reopen: impl AsyncFnOnce() -> Store,
) {
    let mut world = World::default();
    let mut reopen = Some(reopen);
    for (step, operation) in drawn(seed) {
        let context = format!("seed {seed}, step {step}");
        if let Some(reopen) = reopen.take_if(|_| step == STEPS / 2) {
            store.close().await;
            // Whatever it still has open is in the way of the next.
            drop(store);
            store = reopen().await;
            world.compare(&[&store, other], &format!("{context}, opened again")).await;
        }
        world.step(&[&store, other], operation, &context).await;
    }
}

/// Does on two empty storages what the numbers stand for, each for one step, and panics where they differ.
///
/// A step is drawn by its own number alone, from what there is by then: so any part of a list is a list, and what
/// shrinks lists, such as proptest, finds the shortest that shows a difference.
pub async fn operations_agree(store: &Store, other: &Store, operations: &[u64]) {
    let mut world = World::default();
    for (step, operation) in operations.iter().enumerate() {
        world.step(&[store, other], *operation, &format!("step {step}")).await;
    }
}

fn drawn(seed: u64) -> impl Iterator<Item = (usize, u64)> {
    let mut dice = Dice::new(seed);
    (0..STEPS).map(move |step| (step, dice.next()))
}
