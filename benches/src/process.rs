//! What processes use, as the kernel counts it.

use std::fs;
use std::time::{Duration, Instant};

use crate::Result;

/// CPU time of a process since it began.
///
/// # Errors
///
/// When there is no such process, or none that may be looked at.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|error| gone(pid, &error))?;
    // The name may hold blanks and brackets; the fields after it do not. utime and stime are 14 and 15 of all.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_millis((ticks(11) + ticks(12)) * 1000 / per_second))
}

/// Resident memory of a process, in bytes.
///
/// # Errors
///
/// When there is no such process, or none that may be looked at.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| gone(pid, &error))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}

fn gone(pid: u32, error: &std::io::Error) -> String {
    format!("process {pid}: {error}")
}

/// What the server and this program use while it runs.
#[derive(Debug)]
pub struct Meter {
    server: Option<(u32, Duration)>,
    own: Duration,
    started: Instant,
}

/// What was used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// How long it took.
    pub elapsed: Duration,
    /// CPU time of the server, if its pid is known.
    pub server: Option<Duration>,
    /// CPU time of this program.
    pub own: Duration,
    /// Resident memory of the server at the end, in bytes.
    pub resident: Option<u64>,
}

impl Meter {
    /// Starts measuring.
    ///
    /// # Errors
    ///
    /// When there is no such process.
    pub fn start(server: Option<u32>) -> Result<Self> {
        let server = server.map(|pid| cpu_time(pid).map(|time| (pid, time))).transpose()?;
        Ok(Self { server, own: cpu_time(std::process::id())?, started: Instant::now() })
    }

    /// What was used since the start.
    ///
    /// # Errors
    ///
    /// When the server is gone.
    pub fn read(&self) -> Result<Usage> {
        let server = self.server.map(|(pid, before)| cpu_time(pid).map(|now| now.saturating_sub(before)));
        Ok(Usage {
            elapsed: self.started.elapsed(),
            server: server.transpose()?,
            own: cpu_time(std::process::id())?.saturating_sub(self.own),
            resident: self.server.map(|(pid, _)| resident_bytes(pid)).transpose()?,
        })
    }
}
