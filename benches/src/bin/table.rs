//! Puts what `compare` has measured into one table, and into `result.json` beside a description of the machine.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use priyo_benches::Result;
use serde_json::{Map, Value, json};

/// Where a number of a run is, and how to show it.
#[derive(Clone, Copy)]
struct Measure {
    scenario: &'static str,
    field: &'static str,
    scale: f64,
}

/// A number that the product is to reach.
struct Row {
    name: &'static str,
    unit: &'static str,
    measure: Measure,
    target: Target,
    /// Where the limit is among those of the machine.
    limit: Option<&'static str>,
}

enum Target {
    Least(f64),
    /// Or 60 % of what this many requests that wait for one commit could be.
    LeastOrDisk(f64, f64),
    Most(f64),
}

const fn measure(scenario: &'static str, field: &'static str, scale: f64) -> Measure {
    Measure { scenario, field, scale }
}

/// Less than this share of what the disk allows, and the disk is no excuse.
const DISK_SHARE: f64 = 0.6;

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { name: "sends over sockets", unit: "/s", measure: measure("send", "perSecond", 1.0),
          target: Target::LeastOrDisk(10_000.0, 50.0), limit: Some("/sockets/0/perSecond") },
    Row { name: "  p99", unit: "ms", measure: measure("send", "p99Ms", 1.0),
          target: Target::Most(25.0), limit: Some("/sockets/0/p99Ms") },
    Row { name: "  server CPU each, with 5 deliveries", unit: "ms", measure: measure("send", "serverCpuMsEach", 1.0),
          target: Target::Most(0.08), limit: Some("/sockets/0/serverCpuMsEach") },
    Row { name: "sends over REST", unit: "/s", measure: measure("rest-send", "perSecond", 1.0),
          target: Target::LeastOrDisk(8_000.0, 32.0), limit: Some("/insertsPerSecond") },
    Row { name: "fan-out to 200 sockets", unit: "/s", measure: measure("fanout", "perSecond", 1.0),
          target: Target::Least(100_000.0), limit: Some("/sockets/1/perSecond") },
    Row { name: "  server CPU each", unit: "us", measure: measure("fanout", "serverCpuMsEach", 1e3),
          target: Target::Most(8.0), limit: Some("/sockets/1/serverCpuMsEach") },
    Row { name: "history, 50 at any depth", unit: "/s", measure: measure("history", "perSecond", 1.0),
          target: Target::Least(5_000.0), limit: None },
    Row { name: "unread count, server CPU", unit: "ms", measure: measure("unread", "serverCpuMsEach", 1.0),
          target: Target::Most(0.5), limit: None },
    Row { name: "list of 200, server CPU", unit: "ms", measure: measure("list", "serverCpuMsEach", 1.0),
          target: Target::Most(5.0), limit: None },
    Row { name: "memory of an idle socket", unit: "kB", measure: measure("idle", "kilobytesPerSocket", 1.0),
          target: Target::Most(35.0), limit: None },
    Row { name: "memory of an idle server", unit: "MB", measure: measure("start", "idleMegabytes", 1.0),
          target: Target::Most(15.0), limit: None },
    Row { name: "logins", unit: "/s", measure: measure("login", "perSecond", 1.0),
          target: Target::Least(40.0), limit: None },
    Row { name: "  /health p99 meanwhile", unit: "ms", measure: measure("login", "healthP99Ms", 1.0),
          target: Target::Most(100.0), limit: None },
    Row { name: "start to the first answer", unit: "ms", measure: measure("start", "p50Ms", 1.0),
          target: Target::Most(100.0), limit: None },
];

/// Numbers that the product is to reach on PostgreSQL.
#[rustfmt::skip]
const POSTGRES_ROWS: &[PostgresRow] = &[
    PostgresRow { name: "sends over 64 sockets", unit: "/s", of: Number::Own(measure("send64", "perSecond", 1.0)),
                  target: Target::Least(5_000.0) },
    PostgresRow { name: "  p99", unit: "ms", of: Number::Own(measure("send64", "p99Ms", 1.0)), target: Target::Most(80.0) },
    PostgresRow { name: "history, time of SQLite's", unit: "x", of: Number::TimesSqlite("history"), target: Target::Most(3.0) },
    PostgresRow { name: "unread count, time of SQLite's", unit: "x", of: Number::TimesSqlite("unread"), target: Target::Most(3.0) },
    PostgresRow { name: "list of 200, time of SQLite's", unit: "x", of: Number::TimesSqlite("list"), target: Target::Most(3.0) },
];

struct PostgresRow {
    name: &'static str,
    unit: &'static str,
    of: Number,
    target: Target,
}

enum Number {
    Own(Measure),
    /// How often SQLite's rate of this scenario goes into this one's.
    TimesSqlite(&'static str),
}

impl Number {
    fn value(&self, dir: &Path) -> Option<f64> {
        match *self {
            Self::Own(measure) => value(dir, "postgres", measure),
            Self::TimesSqlite(scenario) => {
                let rate = measure(scenario, "perSecond", 1.0);
                Some(value(dir, "priyo", rate)? / value(dir, "postgres", rate)?)
            }
        }
    }
}

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("table: which directory?");
        return ExitCode::FAILURE;
    };
    match table(&dir) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("table: {error}");
            ExitCode::FAILURE
        }
    }
}

fn table(dir: &Path) -> Result<String> {
    let limits = read(&dir.join("limits.json"));
    let commit_s = limits["commitMs"].as_f64().map(|ms| ms / 1000.0);
    let machine = machine(limits["commitMs"].as_f64());
    let mut text = String::new();
    for (name, value) in &machine {
        writeln!(text, "{name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))?;
    }
    writeln!(
        text,
        "\n| {:<36} | {:>12} | {:>12} | holds | {:>12} | {:>12} | {:>12} |\n|{:-<38}|{:->13}:|{:->13}:|-------|{:->13}:|{:->13}:|{:->13}:|",
        "row", "target", "SQLite", "PostgreSQL", "peer", "limit", "", "", "", "", "", ""
    )?;
    let mut rows = Vec::new();
    let mut notes = Vec::new();
    for row in ROWS {
        let of = |server: &str| value(dir, server, row.measure);
        let (measured, postgres, peer) = (of("priyo"), of("postgres"), of("peer"));
        let limit =
            row.limit.and_then(|at| limits.pointer(at)?.as_f64()).map(|limit| limit * row.measure.scale);
        let (target, holds) = row.target.judge(measured, commit_s);
        let verdict = holds.map_or("-", |holds| if holds { "yes" } else { "NO" });
        let [measured_text, postgres_text, peer_text, limit_text] =
            [measured, postgres, peer, limit].map(|one| shown(one, row.unit));
        writeln!(
            text,
            "| {:<36} | {:>12} | {measured_text:>12} | {verdict:<5} | {postgres_text:>12} | {peer_text:>12} | {limit_text:>12} |",
            row.name,
            format!("{}{}", target.0, shown(Some(target.1), row.unit))
        )?;
        rows.push(json!({"row": row.name.trim(), "unit": row.unit, "target": target.1, "measured": measured,
            "postgres": postgres, "peer": peer, "limit": limit, "holds": holds}));
    }
    rows.extend(postgres_rows(dir, commit_s, &mut text)?);
    for server in ["priyo", "postgres", "peer"] {
        for row in ROWS {
            let run = run(dir, server, row.measure.scenario);
            if run["clientIsBusy"] == true {
                notes.push(format!("{server}, {}: the client was the bottleneck", row.measure.scenario));
            }
            for fault in run["faults"].as_array().into_iter().flatten() {
                notes.push(format!("{server}, {}: {fault}", row.measure.scenario));
            }
        }
    }
    notes.dedup();
    for note in &notes {
        writeln!(text, "note: {note}")?;
    }
    let result = json!({"machine": machine, "rows": rows, "notes": notes});
    fs::write(dir.join("result.json"), serde_json::to_string_pretty(&result)?)?;
    fs::write(dir.join("result.md"), &text)?;
    Ok(text)
}

/// The table of what was promised of PostgreSQL; gives its rows for programs.
fn postgres_rows(dir: &Path, commit_s: Option<f64>, text: &mut String) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    writeln!(text, "\n| {:<36} | {:>12} | {:>12} | holds |", "on PostgreSQL", "target", "measured")?;
    writeln!(text, "|{:-<38}|{:->13}:|{:->13}:|-------|", "", "", "")?;
    for row in POSTGRES_ROWS {
        let measured = row.of.value(dir);
        let (target, holds) = row.target.judge(measured, commit_s);
        let verdict = holds.map_or("-", |holds| if holds { "yes" } else { "NO" });
        let target_text = format!("{}{}", target.0, shown(Some(target.1), row.unit));
        let measured_text = shown(measured, row.unit);
        writeln!(text, "| {:<36} | {target_text:>12} | {measured_text:>12} | {verdict:<5} |", row.name)?;
        rows.push(
            json!({"row": format!("postgres: {}", row.name.trim()), "unit": row.unit, "target": target.1,
            "measured": measured, "holds": holds}),
        );
    }
    Ok(rows)
}

impl Target {
    /// What to show for it, and whether it holds.
    fn judge(&self, measured: Option<f64>, commit_s: Option<f64>) -> ((&'static str, f64), Option<bool>) {
        match *self {
            Self::Least(least) => ((">= ", least), measured.map(|measured| measured >= least)),
            Self::LeastOrDisk(least, in_flight) => {
                let disk = commit_s.map_or(least, |commit| DISK_SHARE * in_flight / commit);
                let least = least.min(disk);
                ((">= ", least), measured.map(|measured| measured >= least))
            }
            Self::Most(most) => (("<= ", most), measured.map(|measured| measured <= most)),
        }
    }
}

fn shown(number: Option<f64>, unit: &str) -> String {
    match number {
        Some(number) if number >= 1000.0 => format!("{number:.0} {unit}"),
        Some(number) if number >= 1.0 => format!("{number:.1} {unit}"),
        Some(number) => format!("{number:.3} {unit}"),
        None => "-".to_owned(),
    }
}

fn value(dir: &Path, server: &str, measure: Measure) -> Option<f64> {
    run(dir, server, measure.scenario)[measure.field].as_f64().map(|value| value * measure.scale)
}

fn run(dir: &Path, server: &str, scenario: &str) -> Value {
    read(&dir.join(format!("{server}-{scenario}.json")))["results"][0].clone()
}

/// What was not measured is null.
fn read(file: &Path) -> Value {
    fs::read_to_string(file).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

fn machine(commit_ms: Option<f64>) -> Map<String, Value> {
    let of = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|text| !text.is_empty())
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut machine = Map::new();
    machine.insert("date".into(), json!(of("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"])));
    machine.insert("commit".into(), json!(of("git", &["rev-parse", "--short", "HEAD"])));
    machine.insert("cpu".into(), json!(cpu));
    machine.insert("cores".into(), json!(std::thread::available_parallelism().map_or(0, usize::from)));
    machine.insert("kernel".into(), json!(of("uname", &["-sr"])));
    machine.insert("diskCommitMs".into(), json!(commit_ms));
    machine.insert("loadAtTheEnd".into(), json!(load.trim()));
    machine
}
