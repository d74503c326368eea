//! `GET /uploads/…`: the bytes of a file, or a part of them.

use std::ops::Range;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::extract::{Segments, caller};
use super::percent;
use super::query::Query;
use crate::engine::{ChatEngine, Download};
use crate::error::{Error, Result};
use crate::model::{FileRecord, Origin};

/// Who may read a file is decided here: by the signature of its address, or else by the bearer token.
pub(super) async fn download(
    State(engine): State<ChatEngine>,
    mut query: Query,
    Segments(name): Segments<String>,
    method: Method,
    origin: Origin,
    headers: HeaderMap,
) -> Result<Response> {
    let link = query.number_from("exp", 0).zip(query.text("sig"));
    let size = query.read("size", |size| (size == THUMBNAIL).then_some(()));
    query.finish()?;
    let (download, access) = permitted(&engine, &name, link, origin, &headers).await?;
    let mut response = if size.is_some() {
        thumbnail(&download, &method, &headers).await?
    } else {
        answer(&download, &method, &headers).await?
    };
    access.say(response.headers_mut())?;
    Ok(response)
}

/// The size that has a name.
const THUMBNAIL: &str = "thumb";

/// By what someone may read a file.
enum Access {
    Token,
    /// A signed address, which is still good for so many seconds.
    Link(i64),
}

impl Access {
    /// A token can be revoked, so nothing it opens is kept. A signed address is good for whoever has it, in the pages
    /// of other sites too.
    fn say(&self, headers: &mut HeaderMap) -> Result<()> {
        let cached = match self {
            Self::Token => "private, no-store".to_owned(),
            Self::Link(seconds) => format!("private, max-age={seconds}"),
        };
        headers.insert(header::CACHE_CONTROL, value(cached)?);
        if let Self::Link(_) = self {
            headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
        }
        Ok(())
    }
}

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

async fn permitted(
    engine: &ChatEngine,
    name: &str,
    link: Option<(u64, String)>,
    origin: Origin,
    headers: &HeaderMap,
) -> Result<(Download, Access)> {
    let is_signed = link.is_some();
    if let Some((expires, signature)) = link {
        let expires = i64::try_from(expires).unwrap_or(i64::MAX);
        if let Some(download) = engine.download_signed(name, expires, &signature).await? {
            return Ok((download, Access::Link(expires - engine.now().as_secs())));
        }
    }
    let caller = match caller(engine, headers).await {
        // Who came with an address that is no longer good is told so, whether or not there is such a file.
        Err(Error::Unauthenticated) if is_signed => return Err(Error::InvalidToken),
        caller => caller?.with_origin(origin),
    };
    Ok((engine.download(&caller, name).await?, Access::Token))
}

/// A small picture of a picture, whole: it is smaller than what parts are asked for of.
async fn thumbnail(download: &Download, method: &Method, asked: &HeaderMap) -> Result<Response> {
    let etag = etag(download.record(), "-thumb");
    let unchanged = asked.get(header::IF_NONE_MATCH).is_some_and(|tags| names(tags, &etag));
    let (bytes, content_type) = download.thumbnail().await?;
    let mut response = match (unchanged, method) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, &Method::HEAD) => ([(header::CONTENT_LENGTH, bytes.len().to_string())], ()).into_response(),
        _ => bytes.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::ETAG, value(etag)?);
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("inline"));
    guard(headers);
    Ok(response)
}

async fn answer(download: &Download, method: &Method, asked: &HeaderMap) -> Result<Response> {
    let record = download.record();
    let etag = etag(record, "");
    if asked.get(header::IF_NONE_MATCH).is_some_and(|tags| names(tags, &etag)) {
        return with_headers(StatusCode::NOT_MODIFIED.into_response(), download, &etag);
    }
    let unchanged = asked.get(header::IF_RANGE).is_none_or(|tag| tag == etag.as_str());
    let range = asked.get(header::RANGE).filter(|_| unchanged && method == Method::GET);
    let (status, range) = match range.map_or(Wanted::All, |range| Wanted::of(range, record.size)) {
        Wanted::All => (StatusCode::OK, 0..record.size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => return Ok(unsatisfiable(record.size)),
    };
    let length = range.end - range.start;
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        Body::from_stream(download.bytes(range.clone()).await?)
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if status == StatusCode::PARTIAL_CONTENT {
        let part = format!("bytes {}-{}/{}", range.start, range.end - 1, record.size);
        headers.insert(header::CONTENT_RANGE, value(part)?);
    }
    with_headers(response, download, &etag)
}

/// What goes with every answer about a file.
fn with_headers(mut response: Response, download: &Download, etag: &str) -> Result<Response> {
    let record = download.record();
    let placing = if download.is_inline() { "inline" } else { "attachment" };
    let disposition = format!("{placing}; {}", percent::file_name_parameters(&record.original_name));
    let charset = if record.content_type == "text/plain" { "; charset=utf-8" } else { "" };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, value(format!("{}{charset}", record.content_type))?);
    headers.insert(header::CONTENT_DISPOSITION, value(disposition)?);
    headers.insert(header::ETAG, value(etag.to_owned())?);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    guard(headers);
    Ok(response)
}

/// Whatever a stranger has put into a file, nothing of it runs.
fn guard(headers: &mut HeaderMap) {
    for (name, text) in [
        (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(text));
    }
}

fn value(text: String) -> Result<HeaderValue> {
    HeaderValue::try_from(text).map_err(Error::internal)
}

/// A stored file never changes, so its name says which version it is.
fn etag(record: &FileRecord, what: &str) -> String {
    let name = record.stored_name.split('.').next().unwrap_or_default();
    format!("\"{name}{what}\"")
}

/// Whether a list of entity tags has this one.
fn names(tags: &HeaderValue, etag: &str) -> bool {
    let tags = tags.to_str().unwrap_or_default();
    tags.trim() == "*" || tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)
}

/// Which part of a file a client wants.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<u64>),
    /// A part that the file does not have.
    Nothing,
}

impl Wanted {
    /// Reads a `Range` (RFC 9110, section 14.2). What is not one range of bytes does not count.
    fn of(range: &HeaderValue, size: u64) -> Self {
        let spec = range.to_str().ok().and_then(|text| text.trim().strip_prefix("bytes="));
        let Some((first, last)) = spec.and_then(|spec| spec.split_once('-')) else { return Self::All };
        match (position(first), position(last)) {
            (Some(None), Some(Some(count))) => Self::within(size.saturating_sub(count)..size, size),
            (Some(Some(first)), Some(None)) => Self::within(first..size, size),
            (Some(Some(first)), Some(Some(last))) if first <= last => {
                Self::within(first..last.saturating_add(1).min(size), size)
            }
            _ => Self::All,
        }
    }

    fn within(range: Range<u64>, size: u64) -> Self {
        if range.start < size { Self::Part(range) } else { Self::Nothing }
    }
}

/// A position: perhaps none, or one too large to matter. `None` when it is no number.
fn position(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX)))
}

fn unsatisfiable(size: u64) -> Response {
    let mut response = Error::Refused("Range not satisfiable").into_response();
    // The one status that no failure of the engine has: it is a matter of HTTP alone.
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    if let Ok(range) = HeaderValue::try_from(format!("bytes */{size}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_part_of_the_file() {
        for (range, wanted) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=2-5", Wanted::Part(2..6)),
            ("bytes=8-", Wanted::Part(8..10)),
            ("bytes=-1", Wanted::Part(9..10)),
            ("bytes=-99", Wanted::Part(0..10)),
            ("bytes=0-18446744073709551615", Wanted::Part(0..10)),
            ("bytes=0-99999999999999999999999", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=10-11", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-2", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("items=0-1", Wanted::All),
        ] {
            assert_eq!(Wanted::of(&HeaderValue::from_static(range), 10), wanted, "{range}");
        }
        assert_eq!(Wanted::of(&HeaderValue::from_static("bytes=0-"), 0), Wanted::Nothing);
    }

    #[test]
    fn a_list_of_tags_names_a_version() {
        for (tags, named) in
            [("\"a\"", true), ("W/\"a\"", true), ("\"b\", \"a\"", true), ("*", true), ("a", false)]
        {
            assert_eq!(names(&HeaderValue::from_static(tags), "\"a\""), named, "{tags}");
        }
    }
}
