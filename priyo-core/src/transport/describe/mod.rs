//! What the chat takes and gives, for machines and people: OpenAPI for REST, AsyncAPI for the sockets, and a page
//! that shows both.
//!
//! - [`mod@self`]: the routes.
//! - `openapi`, `asyncapi`: the two documents.
//! - `rest`, `events`: what each operation and each event takes and gives, in words.
//! - `operation`, `schema`: how these are written down.
//! - `shapes`: the schemas of what is sent, made from the types that are serialized.
//!
//! Which operations and events there are comes from the tables that the doors themselves are made from.

mod asyncapi;
mod events;
mod openapi;
mod operation;
mod rest;
mod schema;
mod shapes;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use serde_json::Value;

use super::http::with_request_ids;
use super::rest::method_not_allowed;
use crate::engine::ChatEngine;
use rest::Page;

/// All that the page needs comes from where it came from itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `/api/openapi.json`, `/api/asyncapi.json`, and `/docs` with the files it is made of: to be merged with
/// [`router`](crate::router), or nested where that is nested.
///
/// The descriptions are those of this engine: they carry its limits and its
/// [public path](crate::EngineBuilder::public_path), and leave out the routes that it does not have. They are made
/// once, when they are first asked for.
///
/// Apart from [`router`](crate::router), because who may read them is for the host program to say: put a layer
/// around this one that asks. The page says so when the descriptions are refused to it, and takes a token to ask
/// with.
pub fn router(engine: &ChatEngine) -> Router {
    let docs = Page::Docs.path();
    let routes = Router::new()
        .route(Page::OpenApi.path(), document(engine, openapi::document))
        .route(Page::AsyncApi.path(), document(engine, asyncapi::document))
        .route(docs, file("text/html; charset=utf-8", include_str!("../../../web/docs/index.html")))
        .route(
            &format!("{docs}/docs.css"),
            file("text/css; charset=utf-8", include_str!("../../../web/docs/docs.css")),
        );
    let script = "text/javascript; charset=utf-8";
    let routes = SCRIPTS
        .iter()
        .fold(routes, |routes, (name, text)| routes.route(&format!("{docs}/{name}"), file(script, *text)));
    // Its addresses are relative to its own, so that it works wherever it is nested.
    let routes = routes.route(&format!("{docs}/"), get(async || Redirect::permanent("../docs")));
    with_request_ids(routes.method_not_allowed_fallback(method_not_allowed))
}

/// The modules of the page.
const SCRIPTS: [(&str, &str); 5] = [
    ("docs.js", include_str!("../../../web/docs/docs.js")),
    ("build.js", include_str!("../../../web/docs/build.js")),
    ("schema.js", include_str!("../../../web/docs/schema.js")),
    ("routes.js", include_str!("../../../web/docs/routes.js")),
    ("events.js", include_str!("../../../web/docs/events.js")),
];

/// A description. Most servers are never asked for it, and making it takes megabytes.
fn document(engine: &ChatEngine, describe: fn(&ChatEngine) -> Value) -> MethodRouter {
    let (engine, made) = (engine.clone(), Arc::new(OnceLock::<Bytes>::new()));
    get(async move || {
        let text = made.get_or_init(|| describe(&engine).to_string().into()).clone();
        answer("application/json", text)
    })
}

/// A file that is the same for everyone.
fn file(media_type: &'static str, text: impl Into<Bytes>) -> MethodRouter {
    let text = text.into();
    get(async move || answer(media_type, text))
}

fn answer(media_type: &'static str, text: Bytes) -> Response {
    const HEADERS: [(HeaderName, &str); 3] =
        [(CACHE_CONTROL, "no-cache"), (CONTENT_SECURITY_POLICY, POLICY), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (HEADERS, [(CONTENT_TYPE, media_type)], text).into_response()
}
