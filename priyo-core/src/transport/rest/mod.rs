//! The REST routes.

mod accounts;
mod conversations;
mod counting;
mod downloads;
mod extract;
mod inbox;
mod messages;
mod operations;
mod percent;
mod portions;
mod query;
mod sessions;
mod status;
mod uploads;
mod users;
mod visitors;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

pub(crate) use operations::Operation;
pub use status::index;

use super::http::{route_not_found, with_request_ids};
use crate::engine::ChatEngine;
use crate::error::Error;
use query::Query;

/// Every REST route, as a router that a host program can merge with its own or nest under a path.
///
/// It has no fallback, so that the host's own stays: give that
/// [`route_not_found`] for answers in the same shape. `/` is in [`index`].
pub fn router(engine: ChatEngine) -> Router {
    let routes = |are_counted: bool| {
        let operations = Operation::offered(&engine).filter(|one| one.rates().is_empty() != are_counted);
        operations.fold(Router::new(), |routes, operation| {
            let path = operation.path();
            // Found with and without a slash at its end.
            routes.route(path, operation.handler()).route(&format!("{path}/"), operation.handler())
        })
    };
    let counted = routes(true)
        .route("/api/{*rest}", any(route_not_found))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(engine.clone(), counting::count));
    let others = routes(false).method_not_allowed_fallback(method_not_allowed);
    with_request_ids(counted.merge(others).layer(map_response(not_stored)).with_state(engine))
}

/// The answer to a method that a route does not take. The router adds which it does.
pub(super) async fn method_not_allowed() -> Response {
    Error::MethodNotAllowed.into_response()
}

/// Answers are for the one who asked, now: no cache may keep them. Files say so themselves.
async fn not_stored(mut response: Response) -> Response {
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// How many rows the client asks for.
fn row_limit(engine: &ChatEngine, query: &mut Query) -> Option<u32> {
    let limit = query.number("limit", 1..=u64::from(engine.limits().page_rows))?;
    u32::try_from(limit).ok()
}
