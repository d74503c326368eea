//! Counts requests, and says on each answer what is left of the rate.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::auth::Caller;
use crate::engine::ChatEngine;
use crate::error::Result;
use crate::transport::http::{bearer_token, client_address, rate_headers};

/// Who a request is from, as it was found when the request was counted. Taken once: an error cannot be copied.
#[derive(Debug, Clone)]
pub(super) struct Authenticated(Arc<Mutex<Option<Result<Caller>>>>);

impl Authenticated {
    fn new(caller: Result<Caller>) -> Self {
        Self(Arc::new(Mutex::new(Some(caller))))
    }

    pub(super) fn take(self) -> Option<Result<Caller>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Lets a request pass if its user, or else its address, has not made too many.
pub(super) async fn count(State(engine): State<ChatEngine>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let caller = match bearer_token(&parts.headers) {
        Ok(token) => engine.authenticate(token).await,
        Err(error) => Err(error),
    };
    let allowance = match engine.count_request(caller.as_ref().ok(), client_address(&parts.extensions)) {
        Ok(allowance) => allowance,
        Err(error) => return error.into_response(),
    };
    parts.extensions.insert(Authenticated::new(caller));
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Some(allowance) = allowance {
        let headers = response.headers_mut();
        for (name, value) in rate_headers(allowance.limit, allowance.remaining, allowance.reset) {
            // An answer that is about a narrower rate has said so already.
            headers.entry(name).or_insert(value);
        }
    }
    response
}
