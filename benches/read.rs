//! Reading through the engine: none of it may depend on how much there is.

use criterion::{Criterion, criterion_group, criterion_main};
use priyo_benches::Result;
use priyo_benches::world::{Database, Size, World};
use priyo_core::engine::ListConversations;
use priyo_core::model::MessageRange;
use tokio::runtime::Runtime;

fn read(criterion: &mut Criterion) {
    for database in Database::all() {
        for measure in [history, unread, list] {
            if let Err(error) = measure(criterion, &database) {
                panic!("{error}");
            }
        }
    }
}

fn history(criterion: &mut Criterion, database: &Database) -> Result<()> {
    const MESSAGES: usize = 101_000;
    let runtime = Runtime::new()?;
    let size = Size { users: 2, conversations: 1, messages: MESSAGES };
    let world = runtime.block_on(World::new(database, size, None))?;
    let (reader, conversation) = (&world.users[1], world.conversations[0]);
    let mut group = criterion.benchmark_group(format!("history page of 50, {}", database.name()));
    for (name, range) in
        [("newest", MessageRange::Page(1)), ("100000 messages deep", MessageRange::Before(1_000))]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let page = runtime.block_on(world.engine.messages(reader, conversation, range, Some(50)));
                assert!(page.is_ok_and(|page| page.items.len() == 50));
            });
        });
    }
    group.finish();
    runtime.block_on(world.engine.close());
    Ok(())
}

fn unread(criterion: &mut Criterion, database: &Database) -> Result<()> {
    let runtime = Runtime::new()?;
    let mut group = criterion.benchmark_group(format!("unread count, {}", database.name()));
    for messages in [1_000, 100_000, 1_000_000] {
        let size = Size { users: 2, conversations: 1, messages };
        let world = runtime.block_on(World::new(database, size, None))?;
        let reader = &world.users[1];
        group.bench_function(format!("{messages} unread"), |bencher| {
            bencher.iter(|| {
                let counts = runtime.block_on(world.engine.unread_counts(reader));
                assert!(counts.is_ok_and(|counts| counts[0].1 == messages as u64));
            });
        });
        runtime.block_on(world.engine.close());
    }
    group.finish();
    Ok(())
}

fn list(criterion: &mut Criterion, database: &Database) -> Result<()> {
    let runtime = Runtime::new()?;
    let size = Size { users: 2, conversations: 200, messages: 500 };
    let world = runtime.block_on(World::new(database, size, None))?;
    let reader = &world.users[1];
    let name = format!("list of 200 conversations of 500 messages, {}", database.name());
    criterion.bench_function(&name, |bencher| {
        let list = ListConversations { limit: Some(200), ..ListConversations::default() };
        bencher.iter(|| {
            let page = runtime.block_on(world.engine.conversations(reader, list));
            assert!(page.is_ok_and(|page| page.items.len() == 200 && page.items[0].unread == 500));
        });
    });
    runtime.block_on(world.engine.close());
    Ok(())
}

criterion_group!(benches, read);
criterion_main!(benches);
