//! What a handler takes out of a request: who calls, the variable parts of the path, the body.

use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequestParts, Path, Request};
use axum::http::header::{self, HeaderMap};
use axum::http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::counting::Authenticated;
use crate::auth::Caller;
use crate::engine::ChatEngine;
use crate::error::{Error, Result};
use crate::model::Origin;
use crate::transport::http::{PageRights, bearer_token, origin};
use crate::transport::json;

/// The caller of a route that only users may call. Taken before the body, so that a stranger learns nothing of what
/// a body should be.
impl FromRequestParts<ChatEngine> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, engine: &ChatEngine) -> Result<Self> {
        let caller = match parts.extensions.remove().and_then(Authenticated::take) {
            Some(known) => known?,
            None => engine.authenticate(bearer_token(&parts.headers)?).await?,
        };
        tracing::Span::current().record("user.id", tracing::field::display(caller.user_id));
        // Those who log in are kept from foreign pages by CORS: it is the visitors' pages that are listed apart.
        if caller.visitor.is_some() && !PageRights::admit(&parts.extensions, &caller) {
            return Err(Error::Forbidden);
        }
        Ok(caller.with_origin(origin(parts)))
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(origin(parts))
    }
}

/// Who calls, by the bearer token.
pub(super) async fn caller(engine: &ChatEngine, headers: &HeaderMap) -> Result<Caller> {
    let caller = engine.authenticate(bearer_token(headers)?).await?;
    tracing::Span::current().record("user.id", tracing::field::display(caller.user_id));
    Ok(caller)
}

/// The caller of a route that anyone may call: nobody, when there is no token or it is not good.
impl OptionalFromRequestParts<ChatEngine> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, engine: &ChatEngine) -> Result<Option<Self>> {
        match <Self as FromRequestParts<ChatEngine>>::from_request_parts(parts, engine).await {
            Ok(caller) => Ok(Some(caller)),
            Err(Error::Unauthenticated | Error::InvalidToken | Error::UnknownUser) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The variable parts of the path.
#[derive(Debug)]
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let path = <Path<T> as FromRequestParts<S>>::from_request_parts(parts, state).await;
        path.map(|Path(segments)| Self(segments)).map_err(|_| Error::field("path", "must be UTF-8"))
    }
}

/// A JSON body.
#[derive(Debug)]
pub(super) struct JsonBody(pub(super) Value);

impl FromRequest<ChatEngine> for JsonBody {
    type Rejection = Error;

    async fn from_request(request: Request, engine: &ChatEngine) -> Result<Self> {
        check_content(request.headers())?;
        let text = read(request, engine.limits().body_bytes).await?;
        Ok(Self(json::parse(&text)?))
    }
}

/// A JSON body, which may be missing; without one there need be no `Content-Type` either.
#[derive(Debug)]
pub(super) struct OptionalJsonBody(pub(super) Option<Value>);

impl FromRequest<ChatEngine> for OptionalJsonBody {
    type Rejection = Error;

    async fn from_request(request: Request, engine: &ChatEngine) -> Result<Self> {
        let checked = check_content(request.headers());
        let text = read(request, engine.limits().body_bytes).await?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        checked?;
        Ok(Self(Some(json::parse(&text)?)))
    }
}

/// Refuses what is not plain JSON in UTF-8.
fn check_content(headers: &HeaderMap) -> Result<()> {
    let plain = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let json = types.next().and_then(|value| value.to_str().ok()).is_some_and(is_json);
    if plain && json && types.next().is_none() {
        Ok(())
    } else {
        Err(Error::UnsupportedMediaType("Content-Type must be application/json, in UTF-8 and not compressed"))
    }
}

fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
        && parts.all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            name.is_empty()
                || name.eq_ignore_ascii_case("charset")
                    && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

/// The whole body, if it is at most `max` bytes.
async fn read(request: Request, max: usize) -> Result<Bytes> {
    let too_large =
        || Error::TooLarge { what: "Request body", max_bytes: u64::try_from(max).unwrap_or(u64::MAX) };
    if declared_length(request.headers())
        .is_some_and(|length| length > u64::try_from(max).unwrap_or(u64::MAX))
    {
        return Err(too_large());
    }
    match Limited::new(request.into_body(), max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if is_limit(error.as_ref()) => Err(too_large()),
        // The client broke off: whatever is answered, nobody reads it.
        Err(_) => Err(Error::MalformedJson),
    }
}

/// Whether a limit was hit: ours, or one that a host program has put around the router.
pub(super) fn is_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<LengthLimitError>() || error.source().is_some_and(is_limit)
}

/// How long the body is by the client's word.
pub(super) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_json_is_json() {
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json;",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/jsonp",
            "application/json; charset=utf-16",
            "application/ld+json",
            "application/json, text/plain",
            "application/json; boundary=x",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
