//! What a server has in hand, and whether it lets go of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use priyo_tests::{PATIENCE, ServerProcess, open_files_of_clients};
use tokio::time::{Instant, sleep};

/// What is nothing while nobody is there.
const OF_CLIENTS: &[&str] = SERIES.split_at(5).0;
/// The last one is never nothing.
const SERIES: [&str; 6] = [
    "priyo_sockets",
    "priyo_sockets_unknown",
    "priyo_users_online",
    "priyo_conversations_listened_to",
    "priyo_typing_notices",
    "priyo_tasks",
];
const FILES: &str = "descriptors";

/// How long nothing may change before a server is at rest. What it does by the clock, as closing what nobody has used
/// for a second, has been done by then.
const REST: Duration = Duration::from_secs(3);
/// How often it is looked at: nothing tells of it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How much a server holds of each thing, as it and the kernel count it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held(BTreeMap<&'static str, f64>);

impl Held {
    /// Now. The connection that asks is always among it, and soon no other of the same client: it is asked for all at
    /// once, and the next time only when the connection has been given back.
    pub(crate) async fn by(server: &ServerProcess) -> Self {
        let mut held: BTreeMap<_, _> = SERIES.into_iter().zip(server.all_measured(SERIES).await).collect();
        let files = open_files_of_clients(server.pid());
        held.insert(FILES, f64::from(u32::try_from(files).unwrap()));
        Self(held)
    }

    /// Once nobody is there and nothing changes any more.
    pub(crate) async fn at_rest(server: &ServerProcess) -> Self {
        let deadline = Instant::now() + PATIENCE * 3;
        let (mut held, mut since) = (Self::by(server).await, Instant::now());
        while since.elapsed() < REST || OF_CLIENTS.iter().any(|series| held.0[series] > 0.0) {
            assert!(Instant::now() < deadline, "it does not come to rest: {held}");
            sleep(LOOK_EVERY).await;
            let now = Self::by(server).await;
            if now != held {
                (held, since) = (now, Instant::now());
            }
        }
        held
    }

    /// Of what there is more than there was.
    pub(crate) fn above(&self, base: &Self) -> Vec<&'static str> {
        self.0.iter().filter(|(name, count)| **count > base.0[*name]).map(|(name, _)| *name).collect()
    }

    /// Waits until a server holds no more of anything than it did; how long that took. Panics when it does not in
    /// time.
    pub(crate) async fn is_let_go(&self, server: &ServerProcess, patience: Duration) -> Duration {
        let begin = Instant::now();
        loop {
            let now = Self::by(server).await;
            let above = now.above(self);
            if above.is_empty() {
                return begin.elapsed();
            }
            assert!(begin.elapsed() < patience, "more of {above:?}: {now}, and before: {self}");
            sleep(LOOK_EVERY).await;
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(|(name, count)| format!("{name} {count}")).collect();
        f.write_str(&all.join(", "))
    }
}
