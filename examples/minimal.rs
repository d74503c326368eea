//! A chat server in a few lines, on <http://localhost:3000>; its secrets are made anew at each start here:
//! `ACCESS_SECRET=$(openssl rand -hex 32) REFRESH_SECRET=$(openssl rand -hex 32) cargo run --example minimal`

use std::net::SocketAddr;
use std::sync::Arc;

use priyo_core::storage::sqlite::SqliteStorage;
use priyo_core::transport::socketio::SocketIoTransport;
use priyo_core::{Accounts, ChatEngine};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sockets = SocketIoTransport::default();
    // Two secrets that nobody else knows, the same after a restart: from the environment, say.
    let accounts = Accounts::new(std::env::var("ACCESS_SECRET")?, std::env::var("REFRESH_SECRET")?);
    let engine = ChatEngine::builder(SqliteStorage::open("chat.db")?, accounts)
        .transport(Arc::new(sockets.clone()))
        .build()
        .await?;
    let app = axum::Router::new().merge(priyo_core::router(&engine, &sockets));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    // Logins are counted by the address that they come from.
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
