//! How the server is, and what it offers: for operators and the curious.

use std::time::Instant;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, get, on};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Operation, method_not_allowed};
use crate::engine::ChatEngine;
use crate::transport::http::with_request_ids;

/// How long the server has been up. Asks nobody: a database that is away must not make a load balancer kill the
/// process.
pub(super) fn health(method: MethodFilter) -> MethodRouter<ChatEngine> {
    let started = Instant::now();
    let answer = async move |State(engine): State<ChatEngine>| {
        let uptime = started.elapsed().as_secs_f64();
        Json(json!({ "status": "OK", "timestamp": engine.now(), "uptime": uptime }))
    };
    on(method, answer)
}

pub(super) async fn ready(State(engine): State<ChatEngine>) -> Response {
    let (database, files) = tokio::join!(engine.ready(), engine.files_ready());
    let state = |up: bool| Value::from(if up { "up" } else { "down" });
    let parts = [
        ("database", state(database.is_ok())),
        ("files", files.as_ref().map_or("none".into(), |files| state(files.is_ok()))),
        // Nodes do not talk to each other yet.
        ("bus", "none".into()),
    ];
    match database.and(files.unwrap_or(Ok(()))) {
        Ok(()) => {
            let mut answer = json!({ "status": "OK" });
            for (name, state) in parts {
                answer[name] = state;
            }
            Json(answer).into_response()
        }
        Err(error) => {
            let mut wire = error.into_wire();
            wire.extras.extend(parts.map(|(name, state)| (name.to_owned(), state)));
            wire.into_response()
        }
    }
}

/// `/`: what this is. Apart from [`router`](super::router), since a host program has a `/` of its own; without the
/// version where that is nobody's business.
pub fn index(engine: &ChatEngine, with_version: bool) -> Router {
    let path = engine.public_path();
    let route = |one: Operation| format!("{} {path}{}", one.method(), one.path());
    let routes: Vec<String> = Operation::offered(engine).map(route).collect();
    let mut answer = json!({ "name": "Priyo", "routes": routes });
    if with_version {
        answer["version"] = env!("CARGO_PKG_VERSION").into();
    }
    let index = Router::new().route("/", get(async move || Json(answer)));
    with_request_ids(index.method_not_allowed_fallback(method_not_allowed))
}
