//! Sending through the engine, to the commit and the announcement.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use priyo_benches::Result;
use priyo_benches::world::{Database, Size, TEXT, World};
use priyo_core::Rates;
use priyo_core::model::NewMessage;
use priyo_core::rates::{Action, Rate};
use tokio::runtime::Runtime;

fn send(criterion: &mut Criterion) {
    for database in Database::all() {
        // What being counted costs is the difference; nobody is refused.
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
        bencher.iter(|| runtime.block_on(say(&world, 0)));
    });
    group.bench_function("from 64 tasks", |bencher| {
        bencher.iter_custom(|times| runtime.block_on(together(&world, times)));
    });
    group.finish();
    runtime.block_on(world.engine.close());
    Ok(())
}

async fn say(world: &World, who: usize) {
    let conversation = world.conversations[who % world.conversations.len()];
    let sent = world.engine.send_message(&world.users[who], NewMessage::text(conversation, TEXT)).await;
    assert!(sent.is_ok(), "{sent:?}");
}

/// How long so many messages take, when each task waits for its own before it sends the next.
async fn together(world: &Arc<World>, times: u64) -> Duration {
    let taken = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = (0..world.users.len())
        .map(|who| {
            let (world, taken) = (world.clone(), taken.clone());
            tokio::spawn(async move {
                while taken.fetch_add(1, Ordering::Relaxed) < times {
                    say(&world, who).await;
                }
            })
        })
        .collect();
    for task in tasks {
        assert!(task.await.is_ok());
    }
    began.elapsed()
}

criterion_group!(benches, send);
criterion_main!(benches);
