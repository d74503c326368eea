//! Logins, each of which costs a password hashing, and what they do to everyone else.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Tasks, Window, finish};
use crate::Result;
use crate::account::{PASSWORD, register};
use crate::http::Client;
use crate::options::Options;
use crate::report::{Latencies, Row, as_f64};

/// How often someone else asks for something.
const PROBE_EVERY: Duration = Duration::from_millis(5);

pub(super) async fn run(options: &Options) -> Result<Row> {
    let target = &options.base_url;
    let connections = options.connections.unwrap_or(8);
    eprintln!("login: {connections} connections");
    let user = register(options, 1).await?.pop().ok_or("no user")?;
    let window = Window::new();
    let refused = Rc::new(Cell::new(0_u64));
    let mut tasks = Tasks::new();
    for _ in 0..connections {
        let client = Client::connect(target).await?;
        tasks.spawn_local(log_in(client, user.email.clone(), window.clone(), refused.clone()));
    }
    let probed = Rc::new(RefCell::new(Latencies::new()));
    tasks.spawn_local(probe(Client::connect(target).await?, window.clone(), probed.clone()));
    let usage = window.measure(options, &mut tasks).await?;
    finish(&mut tasks).await?;
    let mut row = window.row("login", "logins", usage);
    if let Some(health) = probed.borrow_mut().summary() {
        row.more.push(("healthP50Ms", health.p50));
        row.more.push(("healthP99Ms", health.p99));
        row.more.push(("healthMaxMs", health.max));
    }
    row.more.push(("refusedAsOverloaded", as_f64(refused.get())));
    Ok(row)
}

async fn log_in(mut client: Client, email: String, window: Rc<Window>, refused: Rc<Cell<u64>>) -> Result<()> {
    let body = json!({"email": email, "password": PASSWORD}).to_string();
    while !window.is_stopping() {
        let began = Instant::now();
        match client.post("/api/auth/login", "", body.as_bytes()).await?.status {
            200 => window.done(began, Instant::now()),
            503 => refused.set(refused.get() + 1),
            status => return Err(format!("a login was answered {status}").into()),
        }
    }
    Ok(())
}

async fn probe(mut client: Client, window: Rc<Window>, probed: Rc<RefCell<Latencies>>) -> Result<()> {
    let mut tick = tokio::time::interval(PROBE_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !window.is_stopping() {
        tick.tick().await;
        let began = Instant::now();
        let status = client.get("/health", "").await?.status;
        if status != 200 {
            return Err(format!("/health answered {status}").into());
        }
        if window.recording.get() {
            probed.borrow_mut().push(began.elapsed());
        }
    }
    Ok(())
}
