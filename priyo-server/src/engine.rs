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
    let mut limits = Limits::default();
    limits.upload_bytes = config.max_file_bytes;
    if !config.rate_limits {
        (limits.sockets_per_address, limits.unknown_sockets_per_address) = (usize::MAX, usize::MAX);
    }
    let accounts = accounts.self_service_roles(config.self_service_roles);
    let builder = match &config.database {
        Database::Sqlite(path) => ChatEngine::builder(SqliteStorage::open(path)?, accounts),
        Database::Postgres(url) => on_postgres(url, accounts).await?,
    };
    builder
        .files(FileStore::local(&config.upload_dir).map_err(ServeError::Uploads)?)
        .transport(Arc::new(sockets.clone()))
        .limits(limits)
        .build()
        .await
        .map_err(ServeError::Engine)
}

/// An engine for a command that makes accounts, while a server may run on the same database. It signs nobody in.
pub(crate) async fn start_beside_server(config: &Config) -> Result<ChatEngine, ServeError> {
    let accounts = Accounts::new([], []);
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
