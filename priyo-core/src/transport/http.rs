//! What every HTTP answer has: a request id, a trace, and one shape for failures.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderValue, Method, StatusCode, Version};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use serde_json::{Map, Value, json};
use tracing::{Instrument, field};
use uuid::{NoContext, Uuid};

use super::connection::Connection;
use super::linger::linger;
use crate::auth::Caller;
use crate::error::{Error, Result, WireError, whole_seconds};
use crate::model::{ClientAddress, Origin};
use crate::patience;
use crate::telemetry;

/// The header that carries the id of a request, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, in the request's extensions once [`with_request_ids`] has seen it.
#[derive(Debug, Clone)]
pub struct RequestId(HeaderValue);

tokio::task_local! {
    /// The id of the request that this task answers.
    static CURRENT: RequestId;
}

/// Gives every request an id that its answer carries, one tracing span, and an answer even if its handler panics; and
/// reads what a handler leaves of a body, within bounds, so that a refusal arrives.
///
/// A client's own id is kept if it is `[A-Za-z0-9-]{1,64}`. The span has the method, the route as it is written in
/// the router, the id, the user once they are known, and the status; nothing that a client could hide a secret in.
/// A router that holds another one which has this already may have it too: the outermost does the work.
pub fn with_request_ids<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer(middleware::from_fn(identify))
}

/// The answer to a path that nothing is at: for a host program's fallback.
pub async fn route_not_found() -> Response {
    Error::RouteNotFound.into_response()
}

/// The one bearer token of a request.
///
/// # Errors
///
/// - [`Error::Unauthenticated`] when there is none.
/// - [`Error::InvalidToken`] when there is more than one, or something else in its place.
pub fn bearer_token(headers: &HeaderMap) -> Result<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let value = all.next().ok_or(Error::Unauthenticated)?;
    if all.next().is_some() {
        return Err(Error::InvalidToken);
    }
    let text = value.to_str().map_err(|_| Error::InvalidToken)?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Error::InvalidToken);
    }
    match token.trim() {
        "" => Err(Error::Unauthenticated),
        token => Ok(token),
    }
}

/// Where a request comes from, and what it says of itself: see [`client_address`].
#[must_use]
pub fn origin(parts: &Parts) -> Origin {
    let Parts { headers, extensions, .. } = parts;
    let address = client_address(extensions);
    let request_id = extensions.get::<RequestId>().map(|id| id.as_str().into());
    let agent = headers.get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    Origin { address, request_id, user_agent: None }.user_agent(agent.as_deref().unwrap_or_default())
}

/// What the page that a request comes from may do, as the program around the router has found by its `Origin`, and put
/// into the request's extensions. Without it every page may do all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRights {
    /// Whether users may call from it who log in.
    pub users: bool,
    /// Whether visitors of websites may.
    pub visitors: bool,
}

impl PageRights {
    /// Whether a caller may call from the page that a request comes from.
    pub(super) fn admit(extensions: &Extensions, caller: &Caller) -> bool {
        let may = |rights: &Self| if caller.visitor.is_some() { rights.visitors } else { rights.users };
        extensions.get::<Self>().is_none_or(may)
    }
}

/// What is said where a page may not call.
pub const ORIGIN_NOT_ALLOWED: &str = "Origin not allowed";

/// Where a request comes from, by its extensions, if that is known: the [`ClientAddress`] that the program around the
/// router has put there, or else the peer by axum's [`ConnectInfo`].
///
/// Behind a reverse proxy the peer is the proxy. A program there puts a [`ClientAddress`] into each request, from what
/// that proxy, and no client, has written into it. An accept loop that gives a [`Connection`] has decided already.
#[must_use]
pub fn client_address(extensions: &Extensions) -> Option<ClientAddress> {
    let peer = || match extensions.get::<Connection>() {
        Some(_) => None,
        None => extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| ClientAddress::of(peer.ip())),
    };
    extensions.get::<ClientAddress>().copied().or_else(peer)
}

/// What is left of a rate, as the headers `RateLimit-Limit`, `-Remaining` and `-Reset` say it.
pub(super) fn rate_headers(limit: u32, remaining: u32, reset: Duration) -> [(HeaderName, HeaderValue); 3] {
    [
        (HeaderName::from_static("ratelimit-limit"), limit.into()),
        (HeaderName::from_static("ratelimit-remaining"), remaining.into()),
        (HeaderName::from_static("ratelimit-reset"), whole_seconds(reset).into()),
    ]
}

async fn identify(mut request: Request, next: Next) -> Response {
    if request.extensions().get::<RequestId>().is_some() {
        return next.run(request).await;
    }
    let started = Instant::now();
    let id = RequestId::of(&request);
    let method = method_name(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("", MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        http.method = method,
        http.route = route,
        request.id = id.as_str(),
        user.id = field::Empty,
        http.status = field::Empty,
    );
    request.extensions_mut().insert(id.clone());
    // Later versions have other ways to say so.
    let may_close = request.version() <= Version::HTTP_11;
    let (request, unread) = linger(request);
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let answer = async move {
        // What the panic said is on standard error already, and may hold anything.
        let response = answer.await.unwrap_or_else(|_| Error::internal("a handler panicked").into_response());
        tracing::Span::current().record("http.status", response.status().as_u16());
        response
    };
    let answer = CURRENT.scope(id.clone(), answer).instrument(span);
    let mut response = patience::serve(Duration::ZERO, answer).await;
    response.headers_mut().insert(REQUEST_ID, id.0);
    if may_close && response.status().as_u16() >= 400 && unread.is_too_much() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    telemetry::request_answered(method, route, response.status().as_u16(), started.elapsed());
    response
}

/// A method's name, if it is one that a route may take: clients must not make up labels.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

impl RequestId {
    /// The id that the client chose, or a new one.
    fn of(request: &Request) -> Self {
        let chosen = request.headers().get(REQUEST_ID).filter(|id| is_request_id(id.as_bytes()));
        Self(chosen.cloned().unwrap_or_else(|| {
            let id = Uuid::new_v7(uuid::Timestamp::now(NoContext)).to_string();
            HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("none"))
        }))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

fn is_request_id(id: &[u8]) -> bool {
    (1..=64).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.into_wire().into_response()
    }
}

impl IntoResponse for WireError {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut body = Map::new();
        body.insert("error".to_owned(), Value::String(self.message));
        body.insert("code".to_owned(), json!(self.code));
        if let Ok(id) = CURRENT.try_with(|id| id.as_str().to_owned()) {
            body.insert("requestId".to_owned(), Value::String(id));
        }
        body.extend(self.extras);
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
            if let Some(limit) = self.rate_limit {
                headers.extend(rate_headers(limit, 0, Duration::from_secs(secs)));
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn ask(router: Router, path: &str, id: Option<&str>) -> (StatusCode, Vec<HeaderValue>, Value) {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        if let Some(id) = id {
            request.headers_mut().insert(REQUEST_ID, id.try_into().unwrap());
        }
        let response = router.oneshot(request).await.unwrap();
        let ids = response.headers().get_all(REQUEST_ID).iter().cloned().collect();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, ids, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn an_answer_carries_one_id_however_many_routers_give_them() {
        let inner = with_request_ids(Router::new().route("/inner", get(route_not_found)));
        let app = with_request_ids(inner.fallback(route_not_found));
        for path in ["/inner", "/fallback"] {
            let (status, ids, body) = ask(app.clone(), path, Some("abc-1")).await;
            assert_eq!((status.as_u16(), ids), (404, vec![HeaderValue::from_static("abc-1")]));
            assert_eq!(
                body,
                json!({"error": "Route not found", "code": "route_not_found", "requestId": "abc-1"})
            );

            let (_, first, _) = ask(app.clone(), path, Some("not ours")).await;
            let (_, second, body) = ask(app.clone(), path, None).await;
            assert_ne!(first, second);
            assert_eq!(body["requestId"], second[0].to_str().unwrap());
        }
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_an_internal_error() {
        let panics = get(async || -> () { panic!("what happened is nobody's business") });
        let (status, ids, body) =
            ask(with_request_ids(Router::new().route("/", panics)), "/", Some("a")).await;
        assert_eq!((status.as_u16(), ids.len()), (500, 1));
        assert_eq!(body, json!({"error": "Internal server error", "code": "internal", "requestId": "a"}));
    }

    #[test]
    fn a_clients_request_id_is_short_and_plain() {
        let longest = "a".repeat(64);
        for good in ["a", "0199-AZ", longest.as_str()] {
            assert!(is_request_id(good.as_bytes()), "{good}");
        }
        let too_long = "a".repeat(65);
        for bad in ["", "a b", "a_b", "ä", "a\n", too_long.as_str()] {
            assert!(!is_request_id(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_token_is_taken_only_from_one_bearer_header() {
        let headers = |values: &[&'static [u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
            }
            headers
        };
        assert_eq!(bearer_token(&headers(&[b"Bearer a.b.c"])).unwrap(), "a.b.c");
        assert_eq!(bearer_token(&headers(&[b"bearer  a"])).unwrap(), "a");
        for none in [&[][..], &[&b"Bearer"[..]], &[b"Bearer  "]] {
            assert!(matches!(bearer_token(&headers(none)), Err(Error::Unauthenticated)), "{none:?}");
        }
        for bad in [&[&b"Basic x"[..]][..], &[b"Bearer \xe4"], &[b"Bearer a", b"Bearer a"], &[b"a.b.c"]] {
            assert!(matches!(bearer_token(&headers(bad)), Err(Error::InvalidToken)), "{bad:?}");
        }
    }
}
