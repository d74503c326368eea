//! The chat engine, put together from the settings.

use std::sync::Arc;

use priyo_core::storage::postgres::PostgresStorage;
use priyo_core::storage::sqlite::SqliteStorage;
use priyo_core::transport::socketio::SocketIoTransport;
use priyo_core::{Accounts, ChatEngine, EngineBuilder, FileStore, Limits};

use crate::ServeError;
use crate::config::{Config, Database, Secret, Secrets};

/// The engine of a server.
pub(crate) async fn start(
    config: &Config,
    secrets: &Secrets,
    sockets: &SocketIoTransport,
) -> Result<ChatEngine, ServeError> {
    let mut accounts = Accounts::new(secrets.access.reveal(), secrets.refresh.reveal());
    accounts.access_ttl = config.access_ttl;
    accounts.refresh_ttl = config.refresh_ttl;
    accounts.session_ttl = config.session_ttl;
    let bytes = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.reveal().as_bytes().to_vec());
    // What production does not take was refused with the settings already.
    let accounts = accounts
        .previous_secrets(bytes(&config.previous_access_secret), bytes(&config.previous_refresh_secret))
        .weak_secrets(!config.is_production())
        .self_service_roles(config.self_service_roles);
    let mut limits = Limits::default();
    limits.upload_bytes = config.max_file_bytes;
    limits.user_bytes = config.max_user_bytes;
    limits.unsent_file_ttl = config.unsent_file_ttl;
    limits.rates = config.rates.clone();
    config.caps.set_in(&mut limits);
    let builder = match &config.database {
        Database::Sqlite(path) => ChatEngine::builder(SqliteStorage::open(path)?, accounts),
        Database::Postgres(url) => on_postgres(url, accounts).await?,
    };
    let builder = match &config.widget {
        Some(widget) => builder.widget(widget.for_engine()),
        None => builder,
    };
    builder
        .files(files(config)?)
        .transport(Arc::new(sockets.clone()))
        .limits(limits)
        .build()
        .await
        .map_err(ServeError::Engine)
}

fn files(config: &Config) -> Result<FileStore, ServeError> {
    match &config.bucket {
        Some(bucket) => Ok(FileStore::remote(bucket.url(), bucket.settings())?),
        None => FileStore::local(&config.upload_dir).map_err(ServeError::Uploads),
    }
}

/// An engine for a command that makes accounts, while a server may run on the same database. It signs nobody in.
pub(crate) async fn start_beside_server(config: &Config) -> Result<ChatEngine, ServeError> {
    let accounts = Accounts::new([], []).weak_secrets(true);
    let builder = match &config.database {
        Database::Sqlite(path) => ChatEngine::builder(SqliteStorage::open_beside_server(path)?, accounts),
        // Servers share it anyway.
        Database::Postgres(url) => on_postgres(url, accounts).await?,
    };
    builder.build().await.map_err(ServeError::Engine)
}

async fn on_postgres(url: &Secret, accounts: Accounts) -> Result<EngineBuilder, ServeError> {
    Ok(ChatEngine::builder(PostgresStorage::open(url.reveal()).await?, accounts))
}
