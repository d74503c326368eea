//! What an attack costs, by itself: not what the machine was doing besides.

use std::time::{Duration, Instant};

use priyo_tests::resident_bytes;

/// How often a cost is measured.
const TRIES: usize = 5;

/// The shortest of some times that something takes. What makes another one longer is not what was sent.
pub(crate) async fn shortest(mut attempt: impl AsyncFnMut()) -> Duration {
    let mut shortest = Duration::MAX;
    for _ in 0..TRIES {
        let begin = Instant::now();
        attempt().await;
        shortest = shortest.min(begin.elapsed());
    }
    shortest
}

/// How much more memory a process has after a round, at the least. What is kept of a client is kept in each round; what
/// an allocator takes for good it takes in one of them. What the rounds give stays until the last is over: else the next
/// one would live in what the one before has left.
pub(crate) async fn growth<T>(pid: u32, mut round: impl AsyncFnMut() -> T) -> u64 {
    let (mut growth, mut kept) = (u64::MAX, Vec::new());
    for _ in 0..TRIES {
        let before = resident_bytes(pid);
        kept.push(round().await);
        growth = growth.min(resident_bytes(pid).saturating_sub(before));
    }
    growth
}

#[tokio::test]
async fn what_is_kept_each_time_is_told_from_what_is_kept_once() {
    const KEPT: usize = 4 << 20;
    let bytes = || std::hint::black_box(vec![1_u8; KEPT]);
    let pid = std::process::id();
    let mut once = None;
    assert!(growth(pid, async || once.get_or_insert_with(bytes).len()).await < KEPT as u64 / 4);
    assert!(growth(pid, async || bytes()).await > KEPT as u64 / 2);
    let mut hoard = Vec::new();
    assert!(growth(pid, async || hoard.push(bytes())).await > KEPT as u64 / 2);
}

#[tokio::test]
async fn one_slow_time_is_no_cost_and_slow_each_time_is() {
    let mut times = 0_u32;
    let first_is_slow = shortest(async || {
        times += 1;
        tokio::time::sleep(Duration::from_millis(if times == 1 { 100 } else { 0 })).await;
    });
    assert!(first_is_slow.await < Duration::from_millis(50));
    let slow = shortest(async || tokio::time::sleep(Duration::from_millis(20)).await).await;
    assert!(slow >= Duration::from_millis(20));
}
