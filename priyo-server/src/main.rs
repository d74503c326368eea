//! The `priyo-server` binary: settings, logging, signals, exit code.

mod cli;

use std::collections::HashMap;
use std::error::Error;
use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;
use priyo_core::model::Registration;
use priyo_server::config::Config;
use priyo_server::{ServeError, bind, check_health, create_admin, logging, reset_password, serve};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::cli::{AdminCommand, Cli, Command};

/// Measured against glibc's: less CPU for each send, and memory that was used is given back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What can end the program early; its text is all that the user sees.
type Failure = Box<dyn Error>;

/// The exit code after a second signal: what a shell reports for one that was killed by SIGINT.
const EXIT_INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The database, uploads and secrets are their owner's alone.
    umask(Mode::RWXG | Mode::RWXO);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("priyo-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let file = dot_env()?;
    let get = |name: &str| std::env::var(name).ok().or_else(|| file.get(name).cloned());
    let config = Config::read(get)?;
    let mut runtime = match cli.command {
        // Asked every few seconds, so it starts no thread for each core.
        Some(Command::Health) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.enable_all().build()?;
    let password = || get("PRIYO_ADMIN_PASSWORD").map_or_else(ask_password, Ok);
    match cli.command {
        None => {
            logging::start(&config);
            allow_many_files();
            runtime.block_on(async {
                let shutdown = shutdown_signal()?;
                let listeners = bind(&config)?;
                serve(config, listeners, shutdown).await?;
                Ok(())
            })
        }
        Some(Command::Admin { command: AdminCommand::Create { email, username } }) => {
            let password = password()?;
            let admin = json!({"email": email, "username": username, "password": password, "role": "ADMIN"});
            let admin = Registration::parse(admin).map_err(describe)?;
            runtime.block_on(create_admin(&config, admin))?;
            println!("{username} is an administrator now.");
            Ok(())
        }
        Some(Command::Admin { command: AdminCommand::ResetPassword { email } }) => {
            runtime.block_on(reset_password(&config, &email, password()?)).map_err(explain)?;
            println!("{email} has another password now, and was signed out everywhere.");
            Ok(())
        }
        Some(Command::Health) => {
            let address = runtime.block_on(check_health(&config))?;
            println!("The server on {address} is healthy.");
            Ok(())
        }
    }
}

/// The variables of the file `.env`, if there is one. They are not put into the environment, where child processes
/// and libraries would see them.
fn dot_env() -> Result<HashMap<String, String>, Failure> {
    let variables = match dotenvy::from_path_iter(".env") {
        Ok(variables) => variables,
        Err(dotenvy::Error::Io(error)) if error.kind() == ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(unreadable(&error)),
    };
    variables.collect::<Result<_, _>>().map_err(|error| unreadable(&error))
}

/// Without the line itself, which may have a secret in it.
fn unreadable(error: &dotenvy::Error) -> Failure {
    match error {
        dotenvy::Error::LineParse(_, at) => {
            format!("a line of .env is not NAME=value (at character {at} of it): correct it, or put its value in quotes")
                .into()
        }
        dotenvy::Error::Io(error) => format!(".env cannot be read: {error}").into(),
        _ => ".env cannot be read".into(),
    }
}

fn ask_password() -> Result<String, Failure> {
    let hint = |error: std::io::Error| format!("no password ({error}): set PRIYO_ADMIN_PASSWORD");
    let password = rpassword::prompt_password("Password: ").map_err(hint)?;
    if rpassword::prompt_password("Again: ").map_err(hint)? != password {
        return Err("the two passwords are not the same".into());
    }
    Ok(password)
}

fn explain(error: ServeError) -> Failure {
    match error {
        ServeError::Refused(error) => describe(error),
        other => other.into(),
    }
}

fn describe(error: priyo_core::Error) -> Failure {
    match error {
        priyo_core::Error::Validation(faults) => faults.join("; ").into(),
        other => other.into(),
    }
}

/// Raises the limit on open files as far as an ordinary process may: each connection is one.
fn allow_many_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
}

/// Ready at the first SIGTERM or SIGINT; a second one ends the process at once.
fn shutdown_signal() -> Result<impl Future<Output = ()>, Failure> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        either(&mut terminate, &mut interrupt).await;
        tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            std::process::exit(EXIT_INTERRUPTED);
        });
    })
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
