//! The scenarios: each sets up what it needs, runs for a while, and checks what came back.

pub mod fanout;
mod idle;
mod list;
mod login;
mod pages;
mod rest_send;
pub mod send;
mod start;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Result;
use crate::options::{Options, Scenario};
use crate::process::{Meter, Usage};
use crate::report::{Latencies, Row};
use crate::socket::Socket;

/// Runs one scenario.
///
/// # Errors
///
/// When it could not be run to its end. What was lost or wrong is in [`Row::faults`].
pub async fn run(scenario: Scenario, options: &Options) -> Result<Row> {
    match scenario {
        Scenario::Send => send::run(options).await,
        Scenario::RestSend => rest_send::run(options).await,
        Scenario::Fanout => fanout::run(options).await,
        Scenario::Idle => idle::run(options).await,
        Scenario::History => pages::history(options).await,
        Scenario::Unread => pages::unread(options).await,
        Scenario::List => list::run(options).await,
        Scenario::Login => login::run(options).await,
        Scenario::Start => start::run(options).await,
    }
}

/// Tasks that drive the server.
pub type Tasks = JoinSet<Result<()>>;

/// What the tasks of a scenario share.
#[derive(Debug)]
pub struct Window {
    recording: Cell<bool>,
    stopping: Cell<bool>,
    count: Cell<u64>,
    latencies: RefCell<Latencies>,
    epoch: Instant,
}

impl Window {
    /// Before anything is recorded.
    #[must_use]
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            recording: Cell::new(false),
            stopping: Cell::new(false),
            count: Cell::new(0),
            latencies: RefCell::new(Latencies::new()),
            epoch: Instant::now(),
        })
    }

    /// Notes that something was done that began at `began`.
    fn done(&self, began: Instant, now: Instant) {
        if self.recording.get() {
            self.count.set(self.count.get() + 1);
            self.latencies.borrow_mut().push(now.saturating_duration_since(began));
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Lets the tasks run, and measures once they are warm. They are told to stop at the end.
    async fn measure(&self, options: &Options, tasks: &mut Tasks) -> Result<Usage> {
        watch(tasks, options.warmup).await?;
        let meter = Meter::start(options.pid)?;
        self.recording.set(true);
        watch(tasks, options.seconds).await?;
        self.recording.set(false);
        let usage = meter.read()?;
        self.stopping.set(true);
        Ok(usage)
    }

    fn row(&self, scenario: &'static str, what: &'static str, usage: Usage) -> Row {
        let latency = self.latencies.borrow_mut().summary();
        Row { scenario, what, count: self.count.get(), usage, latency, more: Vec::new(), faults: Vec::new() }
    }
}

/// How long what was sent may take to arrive after the last was sent.
const DRAIN: Duration = Duration::from_secs(10);

/// Waits until `all_is_there`; gives whether it came to that in time.
async fn drain(tasks: &mut Tasks, all_is_there: impl Fn() -> bool) -> Result<bool> {
    let deadline = Instant::now() + DRAIN;
    while !all_is_there() {
        if Instant::now() > deadline {
            return Ok(false);
        }
        watch(tasks, Duration::from_millis(10)).await?;
    }
    // One that came twice would come about now.
    watch(tasks, Duration::from_millis(50)).await?;
    Ok(all_is_there())
}

/// Waits, but not longer than the first task that fails.
async fn watch(tasks: &mut Tasks, time: Duration) -> Result<()> {
    let end = tokio::time::sleep(time);
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return Ok(()),
            Some(ended) = tasks.join_next() => ended??,
        }
    }
}

/// Waits for all tasks to end by themselves.
async fn finish(tasks: &mut Tasks) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Fills conversations: sends so many messages over some sockets of one user, to each conversation in turn.
async fn fill(options: &Options, token: &str, conversations: &[String], each: usize) -> Result<()> {
    const SOCKETS: usize = 8;
    const IN_FLIGHT: usize = 48;
    eprintln!("writing {} messages", conversations.len() * each);
    let mut tasks = Tasks::new();
    for lane in 0..SOCKETS {
        let mut socket = Socket::connect(&options.base_url, token).await?;
        let mine = (0..conversations.len() * each).skip(lane).step_by(SOCKETS);
        let conversations = conversations.to_vec();
        tasks.spawn_local(async move {
            let mut waiting = 0;
            for number in mine {
                let conversation = &conversations[number % conversations.len()];
                socket.emit(send::event(conversation, &format!("f{number}"), "").as_bytes());
                waiting += 1;
                while waiting >= IN_FLIGHT {
                    waiting -= acknowledged(&mut socket).await?;
                }
            }
            while waiting > 0 {
                waiting -= acknowledged(&mut socket).await?;
            }
            Ok(())
        });
    }
    finish(&mut tasks).await
}

/// Sends what is in the buffer and waits for acknowledgements; gives how many came.
async fn acknowledged(socket: &mut Socket) -> Result<usize> {
    use crate::socket::{Packet, is_ok};
    socket.flush().await?;
    socket.fill().await?;
    let mut count = 0;
    while let Some(packet) = socket.packet()? {
        if let Packet::Ack { body, .. } = packet {
            if !is_ok(body) {
                return Err(format!("a send was answered by {}", String::from_utf8_lossy(body)).into());
            }
            count += 1;
        }
    }
    Ok(count)
}
