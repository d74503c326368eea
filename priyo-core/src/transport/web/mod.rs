//! The files of the website widget, of the inbox page, and of the browser client both are built on.
//!
//! They are in the program. The widget was packed beforehand, by `web/build`, since what a visitor has to load counts;
//! the rest is served as it was written, without its comments. A debug build reads them from their folder each time, so
//! that a page can be worked on while the server runs.

mod lean;

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, HOST, HeaderMap, HeaderName, IF_NONE_MATCH, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use super::http::{route_not_found, with_request_ids};
use super::rest::method_not_allowed;
use crate::engine::ChatEngine;

#[derive(RustEmbed)]
#[folder = "web/"]
#[include = "client.js"]
#[include = "client/*"]
#[include = "dist/*"]
#[include = "inbox/*"]
struct Files;

/// For pages of other origins, which load the widget and the client.
const FOR_ALL: [(HeaderName, HeaderValue); 2] = [
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin")),
    (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
];

/// The files, where the engine receives visitors; else nothing.
pub(super) fn router(engine: &ChatEngine) -> Router {
    if !engine.has_widget() {
        return Router::new();
    }
    let routes = Router::new()
        .route("/widget.js", get(|shelf, headers| for_all(shelf, headers, "dist/loader.js".to_owned())))
        .route("/client.js", get(|shelf, headers| for_all(shelf, headers, "client.js".to_owned())))
        .route("/widget/{*file}", get(|shelf, headers, file| below(shelf, headers, "dist", file)))
        .route("/client/{*file}", get(|shelf, headers, file| below(shelf, headers, "client", file)))
        .route("/inbox", get(|shelf, headers| page(shelf, headers, "inbox/index.html".to_owned())))
        // Its addresses are relative to its own, so that it works wherever it is nested.
        .route("/inbox/", get(async || Redirect::permanent("../inbox")))
        .route(
            "/inbox/{*file}",
            get(async |shelf, headers, Path(file): Path<String>| {
                page(shelf, headers, format!("inbox/{file}")).await
            }),
        );
    with_request_ids(
        routes.method_not_allowed_fallback(method_not_allowed).with_state(Arc::new(Shelf::default())),
    )
}

type ShelfState = State<Arc<Shelf>>;

async fn below(shelf: ShelfState, headers: HeaderMap, folder: &str, Path(file): Path<String>) -> Response {
    for_all(shelf, headers, format!("{folder}/{file}")).await
}

async fn for_all(State(shelf): ShelfState, headers: HeaderMap, path: String) -> Response {
    match shelf.file(&path) {
        Some(file) => (FOR_ALL, file.answer(&headers)).into_response(),
        None => route_not_found().await,
    }
}

async fn page(State(shelf): ShelfState, headers: HeaderMap, path: String) -> Response {
    let Some(file) = shelf.file(&path) else { return route_not_found().await };
    let own = [
        (CONTENT_SECURITY_POLICY, policy(&headers)),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (own, file.answer(&headers)).into_response()
}

/// What the inbox page may do: nothing but with what comes from where it came from. The socket is named beside, since
/// not every browser takes it to be of the same origin.
fn policy(headers: &HeaderMap) -> HeaderValue {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| is_host(host));
    let sockets = host.map(|host| format!(" ws://{host} wss://{host}")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'{sockets}; \
         img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// A name or an address, with a port perhaps: nothing that could add to a policy.
fn is_host(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    (1..=255).contains(&text.len()) && text.bytes().all(is_plain)
}

/// The files as they were served last.
#[derive(Default)]
struct Shelf(Mutex<HashMap<String, Arc<Served>>>);

/// A file as it is served.
struct Served {
    /// The hash of what it was made of.
    source: [u8; 32],
    media_type: &'static str,
    etag: HeaderValue,
    plain: Bytes,
    gzip: Option<Bytes>,
}

impl Shelf {
    fn file(&self, path: &str) -> Option<Arc<Served>> {
        let media_type = media_type(path)?;
        let file = Files::get(path)?;
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let source = file.metadata.sha256_hash();
        if let Some(known) = shelf.get(path).filter(|known| known.source == source) {
            return Some(known.clone());
        }
        let served = Arc::new(Served::new(source, media_type, path.starts_with(PACKED), &file.data));
        shelf.insert(path.to_owned(), served.clone());
        Some(served)
    }
}

impl Served {
    fn new(source: [u8; 32], media_type: &'static str, is_packed: bool, data: &[u8]) -> Self {
        let plain = match (std::str::from_utf8(data), media_type) {
            (Ok(text), SCRIPT | STYLE) if !is_packed => lean::lean(text).into(),
            _ => Bytes::copy_from_slice(data),
        };
        let tag = Sha256::digest(&plain)[..16].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        // Weak: it is the same compressed and not.
        let etag = HeaderValue::try_from(format!("W/\"{tag}\""));
        let gzip = Some(media_type).filter(|name| *name != PNG).and_then(|_| compressed(&plain));
        Self { source, media_type, etag: etag.unwrap_or(HeaderValue::from_static("W/\"\"")), plain, gzip }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let headers = [
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (CONTENT_TYPE, HeaderValue::from_static(self.media_type)),
            (ETAG, self.etag.clone()),
            (VARY, HeaderValue::from_static("Accept-Encoding")),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        if names(asked, &IF_NONE_MATCH).any(|tag| self.etag == *tag || tag == "*") {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        match self.gzip.clone().filter(|_| takes_gzip(asked)) {
            Some(gzip) => (headers, [(CONTENT_ENCODING, "gzip")], gzip).into_response(),
            None => (headers, self.plain.clone()).into_response(),
        }
    }
}

/// The parts of a header that is a list.
fn names<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn takes_gzip(asked: &HeaderMap) -> bool {
    names(asked, &ACCEPT_ENCODING).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = weight.split_once('=').is_some_and(|(_, q)| q.trim().parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

/// The same smaller, if it is.
fn compressed(plain: &Bytes) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory cannot fail.
    encoder.write_all(plain).ok()?;
    let gzip = encoder.finish().ok()?;
    (gzip.len() < plain.len()).then(|| gzip.into())
}

/// Where the packed files are.
const PACKED: &str = "dist/";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PNG: &str = "image/png";

/// By the end of the name. What has none of these is no file to serve.
fn media_type(path: &str) -> Option<&'static str> {
    Some(match path.rsplit_once('.')?.1 {
        "js" => SCRIPT,
        "css" => STYLE,
        "html" => "text/html; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => PNG,
        "json" => "application/json",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_says_something_in_a_text_of_several_lines() {
        // Such a text would be served without the white space that its lines begin with.
        for path in Files::iter().filter(|path| path.ends_with(".js") && !path.starts_with(PACKED)) {
            let file = Files::get(&path).unwrap();
            let text = std::str::from_utf8(&file.data).unwrap();
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                let quotes = line.matches('`').count() - line.matches("\\`").count();
                assert_eq!(quotes % 2, 0, "{path}: {line}");
            }
        }
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        let takes = |value: &'static str| {
            takes_gzip(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]))
        };
        assert!(takes("gzip") && takes("br, GZIP;q=0.5") && takes("deflate,gzip"));
        assert!(!takes("br") && !takes("gzip;q=0") && !takes("gzip; q=0.0") && !takes(""));
    }

    #[test]
    fn a_policy_names_the_host_and_takes_nothing_else_from_a_request() {
        let of = |host: &'static str| {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            policy(&headers).to_str().unwrap().to_owned()
        };
        assert!(of("chat.example:8443").contains("connect-src 'self' ws://chat.example:8443 wss://"));
        for bad in ["a; script-src *", "a b", "a,b", "'self'", ""] {
            assert!(of(bad).contains("connect-src 'self';"), "{bad}");
        }
    }
}
