//! Sending through the engine, to the commit and the announcement.

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use priyo_benches::Result;
use priyo_benches::world::{Database, Size, World};
use priyo_core::Rates;
use priyo_core::rates::{Action, Rate};
use tokio::runtime::Runtime;

fn send(criterion: &mut Criterion) {
    for database in Database::all() {
        // Nobody is refused. What being counted costs is too little to be seen here: `counted` measures it.
        let mut counted = Rates::off();
        counted.set(Action::Send, Rate::parse("1000000000/1s"));
        for (name, rates) in [("send", Rates::off()), ("send, counted", counted)] {
            if let Err(error) = run(criterion, &database, name, rates) {
                panic!("{error}");
            }
        }
    }
}

fn run(criterion: &mut Criterion, database: &Database, name: &str, rates: Rates) -> Result<()> {
    let runtime = Runtime::new()?;
    let size = Size { users: 64, conversations: 10, messages: 0 };
    let world = Arc::new(runtime.block_on(World::with_rates(database, size, None, rates))?);
    let mut group = criterion.benchmark_group(format!("{name}, {}", database.name()));
    group.throughput(Throughput::Elements(1));
    group.bench_function("alone", |bencher| {
        bencher.iter(|| runtime.block_on(world.say(0)));
    });
    group.bench_function("from 64 tasks", |bencher| {
        bencher.iter_custom(|times| runtime.block_on(world.say_together(times)));
    });
    group.finish();
    runtime.block_on(world.engine.close());
    Ok(())
}

criterion_group!(benches, send);
criterion_main!(benches);
