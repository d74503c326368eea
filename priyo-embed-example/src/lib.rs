//! A host application with its own routes, its own users and its own login, and a chat under `/chat`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::{get, post};
use axum::{Json, Router};
use priyo_core::model::HostUser;
use priyo_core::storage::sqlite::SqliteStorage;
use priyo_core::transport::socketio::SocketIoTransport;
use priyo_core::{Authenticator, Caller, ChatEngine, Error, FileStore};
use serde::Deserialize;
use serde_json::{Value, json};

/// The host's own idea of who is logged in: a token for each login. A real one has cookies and a database.
#[derive(Debug, Default)]
pub struct Logins(Mutex<HashMap<String, Caller>>);

/// This is all that the chat needs to know of the host's login.
#[async_trait]
impl Authenticator for Logins {
    async fn authenticate(&self, token: &str) -> priyo_core::Result<Caller> {
        let logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logins.get(token).cloned().ok_or(Error::InvalidToken)
    }
}

#[derive(Clone)]
struct Host {
    chat: ChatEngine,
    logins: Arc<Logins>,
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    pin: String,
}

/// Those who may log in: the number that the host knows them by, their name, their PIN.
const PEOPLE: &[(&str, &str, &str)] = &[("1001", "Ada", "1815"), ("1002", "Grace", "1906")];

/// The whole application, its data in `folder`. The engine comes with it so that it can be closed in the end.
///
/// # Errors
///
/// When the folder cannot be written, or holds something else.
pub async fn app(folder: &Path) -> Result<(Router, ChatEngine), Box<dyn std::error::Error>> {
    let logins = Arc::new(Logins::default());
    let sockets = SocketIoTransport::default();
    let chat = ChatEngine::builder(SqliteStorage::open(folder.join("chat.db"))?, logins.clone())
        .files(FileStore::local(folder.join("uploads"))?)
        .transport(Arc::new(sockets.clone()))
        .public_path("/chat")
        .build()
        .await?;
    let host = Host { chat: chat.clone(), logins };
    let router = Router::new()
        .route("/", get(home))
        .route("/login", post(login))
        .with_state(host)
        .nest("/chat", priyo_core::router(&chat, &sockets));
    Ok((router, chat))
}

async fn home() -> Html<&'static str> {
    Html("<h1>The host application</h1><p>POST /login, then talk at /chat/api and /chat/socket.io/.")
}

/// The host's login. Whoever passes is made known to the chat, under the host's own number.
async fn login(
    State(host): State<Host>,
    Json(credentials): Json<Credentials>,
) -> Result<Json<Value>, StatusCode> {
    let Credentials { name, pin } = credentials;
    let known = PEOPLE.iter().find(|(_, known, known_pin)| *known == name && *known_pin == pin);
    let (number, name, _) = known.ok_or(StatusCode::UNAUTHORIZED)?;
    let user = host.chat.users().upsert(HostUser::new(*number, *name)).await;
    let user = user.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let token = random_token();
    host.logins.0.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone(), Caller::new(&user));
    Ok(Json(json!({ "token": token, "chatUserId": user.id })))
}

/// 122 random bits. A real host uses the session tokens that it has.
fn random_token() -> String {
    uuid::Uuid::new_v4().to_string()
}
