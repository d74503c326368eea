//! Memory of sockets that have said who they are and then nothing.

use std::time::Duration;

use super::{Tasks, watch};
use crate::Result;
use crate::account::register;
use crate::options::Options;
use crate::process::{Meter, resident_bytes};
use crate::report::{Row, as_f64};
use crate::socket::Socket;

/// Sockets of one user; the server allows 20.
const SOCKETS_EACH: usize = 20;

/// How long a server may take to let go of what it needed for the handshakes.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) async fn run(options: &Options) -> Result<Row> {
    let target = &options.base_url;
    let pid = options.pid.ok_or("idle needs --pid")?;
    let sockets = options.sockets.unwrap_or(1000);
    let users = register(options, sockets.div_ceil(SOCKETS_EACH)).await?;
    tokio::time::sleep(SETTLE).await;
    let before = resident_bytes(pid)?;
    eprintln!("idle: {sockets} sockets of {} users", users.len());
    let mut tasks = Tasks::new();
    for socket in 0..sockets {
        let mut socket = Socket::connect(target, &users[socket / SOCKETS_EACH].token).await?;
        tasks.spawn_local(async move {
            loop {
                socket.flush().await?;
                socket.fill().await?;
                while socket.packet()?.is_some() {}
            }
        });
    }
    watch(&mut tasks, SETTLE).await?;
    let meter = Meter::start(Some(pid))?;
    watch(&mut tasks, options.seconds).await?;
    let usage = meter.read()?;
    let each = as_f64(resident_bytes(pid)?.saturating_sub(before)) / as_f64(sockets as u64) / 1000.0;
    let more = vec![("kilobytesPerSocket", each), ("megabytesBefore", as_f64(before) / 1e6)];
    Ok(Row { scenario: "idle", what: "sockets", count: 0, usage, latency: None, more, faults: Vec::new() })
}
