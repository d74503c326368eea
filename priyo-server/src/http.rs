//! What every answer of the server has and every request passes, whatever the route: the request's name, the
//! security headers, and which pages may call.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, HOST, HeaderName, ORIGIN,
    STRICT_TRANSPORT_SECURITY, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use priyo_core::Error;
use priyo_core::transport::http::{ORIGIN_NOT_ALLOWED, PageRights, with_request_ids};

use crate::config::{Config, Origins};

/// The headers that Helmet sets by default, with its values.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 11] = [
    header(
        "content-security-policy",
        "default-src 'self';base-uri 'self';font-src 'self' https: data:;form-action 'self';\
         frame-ancestors 'self';img-src 'self' data:;object-src 'none';script-src 'self';\
         script-src-attr 'none';style-src 'self' https: 'unsafe-inline';upgrade-insecure-requests",
    ),
    header("cross-origin-opener-policy", "same-origin"),
    header("cross-origin-resource-policy", "same-origin"),
    header("origin-agent-cluster", "?1"),
    header("referrer-policy", "no-referrer"),
    header("x-content-type-options", "nosniff"),
    header("x-dns-prefetch-control", "off"),
    header("x-download-options", "noopen"),
    header("x-frame-options", "SAMEORIGIN"),
    header("x-permitted-cross-domain-policies", "none"),
    header("x-xss-protection", "0"),
];

/// Where answers are about one caller or one moment, so that nobody may keep them. Files have their own rules.
const NOT_STORED: [&str; 5] = ["/api", "/socket.io", "/health", "/ready", "/metrics"];
const SOCKETS: &str = "/socket.io";
/// What only pages with the widget call.
const WIDGET: &str = "/api/widget";

/// Whose pages may call.
struct Pages {
    /// For those who log in.
    users: Origins,
    /// For visitors of websites.
    visitors: Origins,
}

const fn header(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
    (HeaderName::from_static(name), HeaderValue::from_static(value))
}

/// Puts the layers around `app`. Headers that `app` sets itself stay.
pub(crate) fn layers(app: Router, config: &Config) -> Router {
    let pages = Arc::new(Pages { users: config.origins.clone(), visitors: config.widget_origins.clone() });
    let app = app
        .layer(from_fn_with_state(Arc::clone(&pages), guard_doors))
        .layer(from_fn_with_state(pages, cors))
        .layer(from_fn_with_state(config.is_production(), security_headers));
    with_request_ids(app)
}

async fn security_headers(State(production): State<bool>, request: Request, next: Next) -> Response {
    let not_stored = NOT_STORED.iter().any(|prefix| is_below(request.uri().path(), prefix));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(value);
    }
    if production {
        let year = HeaderValue::from_static("max-age=31536000; includeSubDomains");
        headers.entry(STRICT_TRANSPORT_SECURITY).or_insert(year);
    }
    if not_stored {
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response
}

/// Whether `path` is `prefix` or something below it.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Lets the pages of the allowed origins read answers, but for what is for all pages and says so itself. Others get no such header, so their browser keeps the
/// answer from them; what they may not *do* is the business of tokens, which a foreign page does not have.
async fn cors(State(pages): State<Arc<Pages>>, request: Request, next: Next) -> Response {
    let is_users = !is_below(request.uri().path(), WIDGET);
    let may_read = |origin: &&HeaderValue| {
        is_allowed(&pages.visitors, origin) || (is_users && is_allowed(&pages.users, origin))
    };
    let origin = only(request.headers(), &ORIGIN).filter(may_read).cloned();
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if preflight {
        let wanted = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        preflight_answer(origin.is_some(), wanted)
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin.filter(|_| !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        if !preflight {
            let readable = "X-Request-ID, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset";
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(readable));
        }
    }
    response
}

fn preflight_answer(allowed: bool, wanted: Option<HeaderValue>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if allowed {
        let headers = response.headers_mut();
        let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        headers.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
        if let Some(wanted) = wanted {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        }
    }
    response
}

/// Keeps foreign pages away from the sockets, since the same-origin policy of browsers does not hold for WebSocket, and
/// from what is for pages with the widget. Which of the two kinds of callers a page is for is decided where it is known
/// which one calls.
async fn guard_doors(State(pages): State<Arc<Pages>>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    if headers.contains_key(ORIGIN) {
        let origin = only(headers, &ORIGIN);
        let may = |origins| origin.is_some_and(|origin| is_allowed(origins, origin));
        let users = may(&pages.users) || origin.is_some_and(|origin| is_own(headers, origin));
        let rights = PageRights { users, visitors: may(&pages.visitors) };
        let path = request.uri().path();
        let is_refused = (is_below(path, SOCKETS) && !rights.users && !rights.visitors)
            || (is_below(path, WIDGET) && !rights.visitors);
        if is_refused {
            let mut refusal = Error::Forbidden.into_wire();
            ORIGIN_NOT_ALLOWED.clone_into(&mut refusal.message);
            return refusal.into_response();
        }
        request.extensions_mut().insert(rights);
    }
    next.run(request).await
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn is_allowed(origins: &Origins, origin: &HeaderValue) -> bool {
    origin.to_str().is_ok_and(|origin| origins.allows(origin))
}

/// Whether the page comes from this very server, as the client names it. The scheme is not compared: a proxy in
/// front may speak https where the server hears http.
fn is_own(headers: &HeaderMap, origin: &HeaderValue) -> bool {
    let (Ok(origin), Some(Ok(host))) = (origin.to_str(), only(headers, &HOST).map(HeaderValue::to_str))
    else {
        return false;
    };
    let (page, port) = match (origin.strip_prefix("https://"), origin.strip_prefix("http://")) {
        (Some(page), _) => (page, ":443"),
        (_, Some(page)) => (page, ":80"),
        _ => return false,
    };
    let bare = |name: &str| name.strip_suffix(port).unwrap_or(name).to_ascii_lowercase();
    !page.is_empty() && bare(page) == bare(host)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    fn app(variables: &[(&str, &str)]) -> Router {
        let config = Config::read(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        });
        let app = Router::new()
            .route("/api/thing", get(|| async { "thing" }).post(|| async { "made" }))
            .route("/file", get(|| async { ([("content-security-policy", "sandbox")], "file") }))
            .route("/api/kept", get(|| async { ([("cache-control", "max-age=5")], "kept") }))
            .route("/socket.io/", get(|| async { "socket" }));
        layers(app, &config.unwrap())
    }

    const PRODUCTION: [(&str, &str); 4] = [
        ("NODE_ENV", "production"),
        ("JWT_ACCESS_SECRET", "0f4e1c8a9b7d6e5f0f4e1c8a9b7d6e5f"),
        ("JWT_REFRESH_SECRET", "9d8c7b6a5f4e3d2c9d8c7b6a5f4e3d2c"),
        ("CORS_ORIGIN", "https://app.example"),
    ];

    async fn send(app: Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    fn value<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        response.headers().get(name).map(|value| value.to_str().unwrap())
    }

    fn cors_headers(response: &Response) -> usize {
        response.headers().keys().filter(|name| name.as_str().starts_with("access-control-")).count()
    }

    #[tokio::test]
    async fn answers_have_the_security_headers_unless_the_route_sets_them() {
        let response = send(app(&[]), "GET", "/api/thing", &[]).await;
        for (name, expected) in SECURITY_HEADERS {
            assert_eq!(response.headers().get(&name), Some(&expected), "{name}");
        }
        assert_eq!(value(&response, "strict-transport-security"), None);
        assert_eq!(value(&response, "cache-control"), Some("no-store"));

        let response = send(app(&PRODUCTION), "GET", "/file", &[]).await;
        assert_eq!(value(&response, "content-security-policy"), Some("sandbox"));
        assert!(value(&response, "strict-transport-security").is_some());
        assert_eq!(value(&response, "cache-control"), None);
        let response = send(app(&[]), "GET", "/api/kept", &[]).await;
        assert_eq!(value(&response, "cache-control"), Some("max-age=5"));
        // What no route answers has them too.
        let response = send(app(&[]), "GET", "/nothing", &[]).await;
        assert_eq!(value(&response, "x-frame-options"), Some("SAMEORIGIN"));
    }

    #[tokio::test]
    async fn a_request_keeps_a_proper_name_and_else_gets_one() {
        let response = send(app(&[]), "GET", "/api/thing", &[("x-request-id", "abc-123")]).await;
        assert_eq!(value(&response, "x-request-id"), Some("abc-123"));
        for bad in ["", "a b", "<script>", &"x".repeat(65)] {
            let response = send(app(&[]), "GET", "/api/thing", &[("x-request-id", bad)]).await;
            assert_eq!(value(&response, "x-request-id").unwrap().len(), 36, "{bad}");
        }
    }

    #[tokio::test]
    async fn an_allowed_origin_is_reflected_with_credentials() {
        let origin = [("origin", "https://app.example")];
        let response = send(app(&PRODUCTION), "GET", "/api/thing", &origin).await;
        assert_eq!(value(&response, "access-control-allow-origin"), Some("https://app.example"));
        assert_eq!(value(&response, "access-control-allow-credentials"), Some("true"));
        assert_eq!(value(&response, "vary"), Some("Origin"));
    }

    #[tokio::test]
    async fn other_origins_get_no_cors_header_and_caches_know_of_it() {
        for origin in ["https://app.example.evil.test", "http://app.example", "http://localhost:3000", "null"]
        {
            let response = send(app(&PRODUCTION), "GET", "/api/thing", &[("origin", origin)]).await;
            assert_eq!(response.status(), 200);
            assert_eq!(cors_headers(&response), 0, "{origin}");
            assert_eq!(value(&response, "vary"), Some("Origin"));
        }
        let two = [("origin", "https://app.example"), ("origin", "https://evil.test")];
        assert_eq!(cors_headers(&send(app(&PRODUCTION), "GET", "/api/thing", &two).await), 0);
    }

    #[tokio::test]
    async fn a_preflight_is_answered_before_the_routes() {
        let ask = |origin| {
            [
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "authorization,x-own"),
            ]
        };
        let response = send(app(&PRODUCTION), "OPTIONS", "/api/thing", &ask("https://app.example")).await;
        assert_eq!(response.status(), 204);
        assert_eq!(value(&response, "access-control-allow-headers"), Some("authorization,x-own"));
        assert!(value(&response, "access-control-allow-methods").unwrap().contains("DELETE"));

        let response = send(app(&PRODUCTION), "OPTIONS", "/api/thing", &ask("https://evil.test")).await;
        assert_eq!((response.status().as_u16(), cors_headers(&response)), (204, 0));
        // Control: without the question it is a request like others.
        let plain =
            send(app(&PRODUCTION), "OPTIONS", "/api/thing", &[("origin", "https://app.example")]).await;
        assert_eq!(plain.status(), 405);
    }

    #[tokio::test]
    async fn sockets_are_only_for_own_and_allowed_pages() {
        let own = ("host", "chat.example");
        let allowed: [&[(&str, &str)]; 5] = [
            &[own],
            &[own, ("origin", "https://app.example")],
            &[own, ("origin", "https://chat.example")],
            &[("host", "chat.example:443"), ("origin", "https://chat.example")],
            &[("host", "127.0.0.1:3000"), ("origin", "http://127.0.0.1:3000")],
        ];
        for headers in allowed {
            let response = send(app(&PRODUCTION), "GET", "/socket.io/?EIO=4", headers).await;
            assert_eq!(response.status(), 200, "{headers:?}");
        }
        let foreign: [&[(&str, &str)]; 7] = [
            &[own, ("origin", "http://evil.test")],
            &[own, ("origin", "null")],
            &[own, ("origin", "https://chat.example:8443")],
            &[own, ("origin", "https://chat.example.evil.test")],
            &[own, ("origin", "https://app.example"), ("origin", "https://evil.test")],
            &[("origin", "https://chat.example")],
            &[("host", "localhost:3000"), ("origin", "http://localhost:5173")],
        ];
        for headers in foreign {
            let response = send(app(&PRODUCTION), "GET", "/socket.io/?EIO=4", headers).await;
            assert_eq!(response.status(), 403, "{headers:?}");
            assert!(value(&response, "x-request-id").is_some());
        }
        // Other routes answer foreign pages, whose browser then keeps the answer from them.
        let response = send(app(&PRODUCTION), "GET", "/api/thing", &[("origin", "http://evil.test")]).await;
        assert_eq!(response.status(), 200);
    }
}
