//! The chat engine, put together from the settings.

use std::sync::Arc;

use priyo_core::storage::sqlite::SqliteStorage;
use priyo_core::transport::socketio::SocketIoTransport;
use priyo_core::{Accounts, ChatEngine, FileStore, Limits};

use crate::ServeError;
use crate::config::{Config, Database, Secrets};

/// The engine of a server.
pub(crate) async fn start(
    config: &Config,
    secrets: &Secrets,
    sockets: &SocketIoTransport,
) -> Result<ChatEngine, ServeError> {
    let storage = match &config.database {
        Database::Sqlite(path) => SqliteStorage::open(path)?,
        Database::Postgres(_) => return Err(ServeError::NoPostgres),
    };
    let mut accounts = Accounts::new(secrets.access.reveal(), secrets.refresh.reveal());
    accounts.access_ttl = config.access_ttl;
    accounts.refresh_ttl = config.refresh_ttl;
    let mut limits = Limits::default();
    limits.upload_bytes = config.max_file_bytes;
    ChatEngine::builder(storage, accounts.self_service_roles(config.self_service_roles))
        .files(FileStore::local(&config.upload_dir).map_err(ServeError::Uploads)?)
        .transport(Arc::new(sockets.clone()))
        .limits(limits)
        .build()
        .await
        .map_err(ServeError::Engine)
}

/// An engine for a command that makes accounts, while a server may run on the same database. It signs nobody in.
pub(crate) async fn start_beside_server(config: &Config) -> Result<ChatEngine, ServeError> {
    let storage = match &config.database {
        Database::Sqlite(path) => SqliteStorage::open_beside_server(path)?,
        Database::Postgres(_) => return Err(ServeError::NoPostgres),
    };
    ChatEngine::builder(storage, Accounts::new([], [])).build().await.map_err(ServeError::Engine)
}
