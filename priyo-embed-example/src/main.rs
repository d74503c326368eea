//! Runs the host application on <http://localhost:4000>: `cargo run -p priyo-embed-example`.

use std::net::SocketAddr;
use std::path::Path;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (app, chat) = priyo_embed_example::app(Path::new(".")).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:4000").await?;
    // The chat counts strangers by their address.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    println!("listening on http://localhost:4000, Ctrl-C to stop");
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    chat.close().await;
    Ok(())
}
