//! Priyo as a server: [`serve`] puts the chat engine on an accept loop that clients cannot hold up.
//!
//! The binary `priyo-server` is this with the settings from the environment. A program with routes of its own
//! embeds `priyo-core` instead, and may take [`listen`] from here.

mod bind;
pub mod config;
mod engine;
mod health;
mod http;
pub mod listen;
pub mod logging;
mod operators;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use priyo_core::files::RemoteError;
use priyo_core::model::Registration;
use priyo_core::rates::Action;
use priyo_core::storage::{postgres, sqlite};
use priyo_core::transport::http::route_not_found;
use priyo_core::transport::rest;
use priyo_core::transport::socketio::SocketIoTransport;
use tokio_util::sync::CancellationToken;

pub use self::bind::bind;
use self::config::{Config, Secrets, SecretsError};
pub use self::health::{HealthError, check_health};
use self::listen::{Acceptor, Listen};

/// How long requests may go on once the server was told to stop, and how long closing the database may take after
/// that. Together they stay within the 10 s that service managers commonly grant.
const GRACE: Duration = Duration::from_secs(7);
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; stop the other program, or set HOST or PORT")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A listener given to [`serve`] cannot be used.
    #[error("cannot use a listener: {0}")]
    Listener(#[source] io::Error),
    /// See [`SecretsError`].
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The database file cannot be used.
    #[error("cannot open the database: {0}")]
    Sqlite(#[from] sqlite::OpenError),
    /// The database in PostgreSQL cannot be used.
    #[error("cannot open the database of DATABASE_URL: {0}")]
    Postgres(#[from] postgres::OpenError),
    /// The folder for uploads cannot be used.
    #[error("cannot use the folder for uploads: {0}; set UPLOAD_DIR to one that can be written")]
    Uploads(#[source] io::Error),
    /// The bucket for uploads cannot be used.
    #[error("cannot use the bucket of FILE_STORE: {0}")]
    Bucket(#[from] RemoteError),
    /// The engine did not start.
    #[error("the chat engine did not start: {0}")]
    Engine(#[source] priyo_core::Error),
    /// [`create_admin`] or [`reset_password`] was refused.
    #[error("{0}")]
    Refused(#[source] priyo_core::Error),
}

/// Serves until `shutdown` is ready, then lets requests finish for up to 7 s, and returns.
///
/// # Errors
///
/// [`ServeError`] when the server cannot start.
pub async fn serve(
    config: Config,
    listeners: Vec<TcpListener>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let secrets = Secrets::of(&config)?;
    operators::start_measuring();
    let sockets = SocketIoTransport::default();
    let engine = engine::start(&config, &secrets, &sockets).await?;
    let routes = priyo_core::router(&engine, &sockets)
        .merge(rest::index(&engine, !config.is_production()))
        .merge(operators::routes(&engine, &config));
    let app = http::layers(routes.fallback(route_not_found), &config);
    let listeners = listeners.into_iter().map(adopt).collect::<io::Result<Vec<_>>>();
    let listeners = listeners.map_err(ServeError::Listener)?;
    let addresses: Vec<_> =
        listeners.iter().filter_map(|one| one.local_addr().ok()).map(|at| at.to_string()).collect();
    tracing::info!(
        listening = addresses.join(" "),
        database = %config.database,
        environment = config.environment.as_str(),
        version = env!("CARGO_PKG_VERSION"),
        "priyo-server is ready",
    );
    warn_of_unsafe_settings(&config, &listeners);

    let stop = CancellationToken::new();
    let serving = Acceptor::new(listen_settings(&config)).run(listeners, app, stop.cancelled(), GRACE);
    let stopping = async {
        shutdown.await;
        tracing::info!("stopping");
        stop.cancel();
        engine.close_connections().await;
    };
    tokio::join!(serving, stopping);
    if tokio::time::timeout(CLOSE_WITHIN, engine.close()).await.is_err() {
        tracing::warn!("the database did not close in time; what was accepted is in it");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Makes an ADMIN, also while a server runs on the same database.
///
/// # Errors
///
/// - [`ServeError::Refused`] when the e-mail or the username is taken.
/// - As [`serve`], when the database cannot be used.
pub async fn create_admin(config: &Config, admin: Registration) -> Result<(), ServeError> {
    let engine = engine::start_beside_server(config).await?;
    let made = engine.create_account(admin).await;
    engine.close().await;
    made.map(drop).map_err(ServeError::Refused)
}

/// Gives a user another password and ends their sessions, also while a server runs on the same database. One on SQLite
/// may go on with the sessions that it knows until their access tokens expire.
///
/// # Errors
///
/// - [`ServeError::Refused`] when nobody logs in with this e-mail, or the password is too short or too long.
/// - As [`serve`], when the database cannot be used.
pub async fn reset_password(config: &Config, email: &str, password: String) -> Result<(), ServeError> {
    let engine = engine::start_beside_server(config).await?;
    let reset = engine.reset_password(email, password).await;
    engine.close().await;
    reset.map(drop).map_err(ServeError::Refused)
}

fn listen_settings(config: &Config) -> Listen {
    Listen {
        trusted_proxies: config.trusted_proxies,
        per_address: config.caps.connections_per_address,
        total: config.caps.connections,
        ..Listen::default()
    }
}

/// What is allowed, but rarely meant.
fn warn_of_unsafe_settings(config: &Config, listeners: &[tokio::net::TcpListener]) {
    let is_open = |one: &tokio::net::TcpListener| one.local_addr().is_ok_and(|at| !at.ip().is_loopback());
    if config.is_production() {
        if config.self_service_roles {
            tracing::warn!("SELF_SERVICE_ROLES is on: anyone may register as AGENT or ADMIN");
        }
        for action in Action::ALL.into_iter().filter(|action| config.rates.of(*action).is_none()) {
            tracing::warn!("{} is off: nothing bounds it", action.variable());
        }
    } else if listeners.iter().any(is_open) {
        tracing::warn!("other machines can reach this server, but NODE_ENV is not production");
    }
}

fn adopt(listener: TcpListener) -> io::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}
