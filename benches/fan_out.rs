//! One message to a thousand listeners in the same process.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use priyo_benches::Result;
use priyo_benches::world::{Database, Size, TEXT, World};
use priyo_core::events::{Audience, Event, Revocation, Transport};
use priyo_core::model::{NewMessage, UserId};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const LISTENERS: usize = 1_000;
/// The most that a conversation takes.
const USERS: usize = 100;

/// Channels, as sockets would be: each has a queue of its own.
#[derive(Default)]
struct Listeners(Mutex<Vec<(UserId, mpsc::UnboundedSender<Event>)>>);

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listeners")
    }
}

#[async_trait]
impl Transport for Listeners {
    fn deliver(&self, audience: &Audience, event: &Event) -> Vec<UserId> {
        let Audience::Conversation { .. } = audience else { return Vec::new() };
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hand = |(user, queue): &(UserId, mpsc::UnboundedSender<Event>)| {
            queue.send(event.clone()).is_ok().then_some(*user)
        };
        listeners.iter().filter_map(hand).collect()
    }

    fn revoke(&self, _revocation: &Revocation) {}

    async fn close(&self) {}
}

fn fan_out(criterion: &mut Criterion) {
    for database in Database::all() {
        if let Err(error) = run(criterion, &database) {
            panic!("{error}");
        }
    }
}

fn run(criterion: &mut Criterion, database: &Database) -> Result<()> {
    let runtime = Runtime::new()?;
    let listeners = Arc::new(Listeners::default());
    let size = Size { users: USERS, conversations: 1, messages: 0 };
    let world = runtime.block_on(World::new(database, size, Some(listeners.clone())))?;
    let mut queues = Vec::new();
    for listener in 0..LISTENERS {
        let (queue, events) = mpsc::unbounded_channel();
        let user = world.users[listener % USERS].user_id;
        listeners.0.lock().unwrap_or_else(PoisonError::into_inner).push((user, queue));
        queues.push(events);
    }
    let mut group = criterion.benchmark_group(format!("fan-out, {}", database.name()));
    group.throughput(Throughput::Elements(LISTENERS as u64));
    group.bench_function("1000 listeners", |bencher| {
        bencher.iter(|| {
            let new = NewMessage::text(world.conversations[0], TEXT);
            let sent = runtime.block_on(world.engine.send_message(&world.users[0], new));
            assert!(sent.is_ok());
            for events in &mut queues {
                assert!(matches!(events.try_recv(), Ok(Event::MessageNew(_))));
            }
        });
    });
    group.finish();
    runtime.block_on(world.engine.close());
    Ok(())
}

criterion_group!(benches, fan_out);
criterion_main!(benches);
