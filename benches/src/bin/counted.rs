//! What it costs a send that it is counted: two engines that differ in that alone send in turns, so that whatever else
//! the machine does falls on both.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use priyo_benches::Result;
use priyo_benches::process::cpu_time;
use priyo_benches::report::as_f64;
use priyo_benches::world::{Database, Size, World};
use priyo_core::Rates;
use priyo_core::rates::{Action, Rate};
use tokio::runtime::Runtime;

/// How often each sends, and how many messages at a time.
const TURNS: u64 = 50;
const SENDS: u64 = 4_000;

/// What the sends of one engine took.
#[derive(Default)]
struct Taken {
    time: Duration,
    cpu: Duration,
}

fn main() -> ExitCode {
    for database in Database::all() {
        match compare(&database) {
            Ok(text) => println!("{}: {text}", database.name()),
            Err(error) => {
                eprintln!("counted: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn compare(database: &Database) -> Result<String> {
    let runtime = Runtime::new()?;
    // As they are shipped, but that nobody is refused.
    let mut counted = Rates::default();
    counted.set(Action::Send, Rate::parse("1000000000/1s"));
    let size = Size { users: 64, conversations: 10, messages: 0 };
    let mut worlds = Vec::new();
    for rates in [Rates::off(), counted] {
        let world = runtime.block_on(World::with_rates(database, size.clone(), None, rates))?;
        worlds.push((Arc::new(world), Taken::default()));
    }
    // The first turn of each is for warming up.
    for turn in 0..=TURNS {
        for (world, taken) in &mut worlds {
            let before = cpu_time(std::process::id())?;
            let time = runtime.block_on(world.say_together(SENDS));
            if turn > 0 {
                taken.time += time;
                taken.cpu += cpu_time(std::process::id())?.saturating_sub(before);
            }
        }
    }
    let micros = |taken: Duration| taken.as_secs_f64() * 1e6 / as_f64(TURNS * SENDS);
    let [time, cpu] = [|taken: &Taken| taken.time, |taken: &Taken| taken.cpu].map(|of| {
        let [free, counted] = [micros(of(&worlds[0].1)), micros(of(&worlds[1].1))];
        format!("{free:.2} us, counted {counted:.2} us, {:.3} times", counted / free)
    });
    for (world, _) in worlds {
        runtime.block_on(world.engine.close());
    }
    Ok(format!("a send takes {time}; of CPU {cpu}"))
}
