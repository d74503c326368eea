//! What was measured, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::Usage;

/// How long single operations took, in microseconds.
#[derive(Debug, Default)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    /// Room for as many as are likely, so that measuring does not stop to move them.
    #[must_use]
    pub fn new() -> Self {
        Self(Vec::with_capacity(1 << 20))
    }

    /// Adds one.
    pub fn push(&mut self, one: Duration) {
        self.0.push(u32::try_from(one.as_micros()).unwrap_or(u32::MAX));
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The middle, the one that 1 % exceed, and the longest.
    #[must_use]
    pub fn summary(&mut self) -> Option<Summary> {
        self.0.sort_unstable();
        let at = |share: usize| {
            self.0.get((self.0.len() * share / 100).min(self.0.len().checked_sub(1)?)).copied()
        };
        let ms = |micros: u32| f64::from(micros) / 1000.0;
        Some(Summary { p50: ms(at(50)?), p99: ms(at(99)?), max: ms(at(100)?) })
    }
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Summary {
    /// Half are shorter.
    pub p50: f64,
    /// 99 % are shorter.
    pub p99: f64,
    /// None is longer.
    pub max: f64,
}

/// The result of one scenario.
#[derive(Debug)]
pub struct Row {
    /// Its name on the command line.
    pub scenario: &'static str,
    /// What was counted, in the plural.
    pub what: &'static str,
    /// How many were done.
    pub count: u64,
    /// What that took.
    pub usage: Usage,
    /// How long each took.
    pub latency: Option<Summary>,
    /// What else is worth knowing: name with unit, and value.
    pub more: Vec<(&'static str, f64)>,
    /// What went wrong; empty when all is well.
    pub faults: Vec<String>,
}

/// More of a core than this, and the client may have held the server up.
const CLIENT_BUSY: f64 = 0.9;

impl Row {
    /// How many a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        per(self.count, self.usage.elapsed)
    }

    /// CPU time of the server for one, in milliseconds.
    #[must_use]
    pub fn server_cpu_ms(&self) -> Option<f64> {
        let count = as_f64(self.count).max(1.0);
        self.usage.server.map(|cpu| cpu.as_secs_f64() * 1000.0 / count)
    }

    /// How much of one core the client used.
    #[must_use]
    pub fn client_share(&self) -> f64 {
        self.usage.own.as_secs_f64() / self.usage.elapsed.as_secs_f64().max(1e-9)
    }

    /// Whether the client was too busy for the rate to be the server's.
    #[must_use]
    pub fn client_is_busy(&self) -> bool {
        self.client_share() >= CLIENT_BUSY
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let share = |cpu: Duration| cpu.as_secs_f64() / self.usage.elapsed.as_secs_f64().max(1e-9);
        let mut value = json!({
            "scenario": self.scenario, "what": self.what, "count": self.count,
            "seconds": self.usage.elapsed.as_secs_f64(), "perSecond": self.rate(),
            "p50Ms": self.latency.map(|l| l.p50), "p99Ms": self.latency.map(|l| l.p99),
            "maxMs": self.latency.map(|l| l.max),
            "serverCpuMsEach": self.server_cpu_ms(), "serverCores": self.usage.server.map(share),
            "serverResidentBytes": self.usage.resident, "clientCores": self.client_share(),
            "clientIsBusy": self.client_is_busy(), "faults": self.faults,
        });
        for (name, number) in &self.more {
            value[*name] = json!(number);
        }
        value
    }

    /// As lines for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{:<10}", self.scenario);
        if self.count > 0 {
            // Writing to a string can't fail.
            let _ = write!(text, " {:>9.0} {}/s", self.rate(), self.what);
        }
        if let Some(Summary { p50, p99, max }) = self.latency {
            let _ = write!(text, "  p50 {p50:.2} ms  p99 {p99:.2} ms  max {max:.1} ms");
        }
        if let Some(cpu) = self.server_cpu_ms().filter(|_| self.count > 0) {
            let _ = write!(text, "  server CPU {cpu:.4} ms each");
        }
        if let Some(bytes) = self.usage.resident {
            let _ = write!(text, "  RSS {:.1} MB", as_f64(bytes) / 1e6);
        }
        let _ = write!(text, "  client {:.0} % of a core", self.client_share() * 100.0);
        for (name, number) in &self.more {
            let _ = write!(text, "\n           {name}: {number:.3}");
        }
        if self.client_is_busy() {
            text.push_str("\n           THE CLIENT IS THE BOTTLENECK: the server may be faster than this");
        }
        for fault in &self.faults {
            let _ = write!(text, "\n           FAULT: {fault}");
        }
        text
    }
}

/// So many in this time, a second.
#[must_use]
pub fn per(count: u64, elapsed: Duration) -> f64 {
    as_f64(count) / elapsed.as_secs_f64().max(1e-9)
}

/// A count as a number to calculate with.
#[must_use]
pub fn as_f64(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
    let number = count as f64;
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_summed_up_in_milliseconds() {
        let mut latencies = Latencies::new();
        assert!(latencies.summary().is_none());
        (1..=100).rev().for_each(|ms| latencies.push(Duration::from_millis(ms)));
        let Summary { p50, p99, max } = latencies.summary().unwrap();
        assert_eq!((p50, p99, max), (51.0, 100.0, 100.0));
    }
}
