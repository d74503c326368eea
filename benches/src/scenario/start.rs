//! From the start of the process to its first answer.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::Result;
use crate::http::Client;
use crate::options::Options;
use crate::process::{Meter, cpu_time, resident_bytes};
use crate::report::{Latencies, Row, as_f64};

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// When an idle server's memory is looked at.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) async fn run(options: &Options) -> Result<Row> {
    let command = options.spawn.as_ref().ok_or("start needs --spawn")?;
    let meter = Meter::start(None)?;
    let mut latencies = Latencies::new();
    let (mut resident, mut idle_cpu) = (0, Duration::ZERO);
    for turn in 1..=options.starts.max(1) {
        eprintln!("start: {turn} of {}", options.starts);
        if Client::connect(&options.base_url).await.is_ok() {
            return Err("a server is there already".into());
        }
        let began = Instant::now();
        // `exec`, so that the process is the server's and not a shell's.
        let mut server = Command::new("sh");
        server.arg("-c").arg(format!("exec {command}")).stdin(Stdio::null()).stdout(Stdio::null());
        let mut server = server.kill_on_drop(true).spawn()?;
        while !answers(options).await {
            if began.elapsed() > PATIENCE || server.try_wait()?.is_some() {
                return Err("the server did not start".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        latencies.push(began.elapsed());
        let pid = server.id().ok_or("the server has ended")?;
        let before = cpu_time(pid)?;
        tokio::time::sleep(SETTLE).await;
        idle_cpu = idle_cpu.max(cpu_time(pid)?.saturating_sub(before));
        resident = resident.max(resident_bytes(pid)?);
        if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        tokio::time::timeout(PATIENCE, server.wait()).await??;
    }
    let mut usage = meter.read()?;
    usage.resident = Some(resident);
    let more = vec![
        ("idleMegabytes", as_f64(resident) / 1e6),
        ("idleCpuMsPerSecond", idle_cpu.as_secs_f64() * 1000.0),
    ];
    let latency = latencies.summary();
    Ok(Row { scenario: "start", what: "starts", count: 0, usage, latency, more, faults: Vec::new() })
}

async fn answers(options: &Options) -> bool {
    match Client::connect(&options.base_url).await {
        Ok(mut client) => client.get("/health", "").await.is_ok_and(|answer| answer.status == 200),
        Err(_) => false,
    }
}
