//! Drives a server and measures it: see `--help`.

use std::process::ExitCode;

use clap::Parser;
use priyo_benches::options::Options;
use priyo_benches::{Result, scenario};
use serde_json::{Value, json};
use tokio::runtime;
use tokio::task::LocalSet;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives whether nothing was lost or wrong.
fn run(options: &Options) -> Result<bool> {
    // One thread: the server needs the other cores.
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let mut results = Vec::new();
    let mut well = true;
    for scenario in &options.scenarios {
        // Each with tasks of its own, so that the sockets of one are closed before the next.
        let row = LocalSet::new().block_on(&runtime, scenario::run(*scenario, options))?;
        println!("{}", row.text());
        well &= row.faults.is_empty();
        results.push(row.json());
        if let Some(file) = &options.json {
            let all = json!({ "results": Value::Array(results.clone()) });
            std::fs::write(file, serde_json::to_string_pretty(&all)?)?;
        }
    }
    Ok(well)
}
