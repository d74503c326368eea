//! Somebody else, who must not feel what happens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use priyo_tests::{Wire, resident_bytes};
use tokio::time::{Instant, sleep};

use crate::measures::Times;

/// How long after one answer the next one is asked for.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks a server for one thing again and again, on a thread of their own: so what they wait for is the server, and not
/// what else the test does.
pub(crate) struct Bystander {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<(Times, u64)>,
}

impl Bystander {
    /// Begins to ask for a path, by a token or by none, and to look at the memory of a process.
    pub(crate) fn start(addr: SocketAddr, path: &'static str, token: &str, pid: Option<u32>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, bearer) = (stop.clone(), format!("Bearer {token}"));
        let asking = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let wire = Wire::http(&format!("http://{addr}"));
                let headers = [("authorization", bearer.as_str())];
                let headers = if bearer.len() > "Bearer ".len() { &headers[..] } else { &[] };
                let (mut times, mut most) = (Times::default(), 0);
                while !stopped.load(Ordering::Relaxed) {
                    let begin = Instant::now();
                    wire.send("GET", path, headers, "".into()).await.expect(200);
                    times.note(begin.elapsed());
                    most = most.max(pid.map_or(0, resident_bytes));
                    sleep(PAUSE).await;
                }
                (times, most)
            })
        });
        Self { stop, asking }
    }

    /// How long each answer took, and the most memory that the process had meanwhile.
    pub(crate) async fn stop(self) -> (Times, u64) {
        self.stop.store(true, Ordering::Relaxed);
        tokio::task::spawn_blocking(|| self.asking.join().unwrap()).await.unwrap()
    }
}
