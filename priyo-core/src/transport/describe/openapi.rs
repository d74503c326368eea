//! The OpenAPI document.

use serde_json::{Map, Value, json};

use super::operation::Described;
use super::rest::{self, Page};
use super::shapes::{named_in, shapes};
use crate::engine::ChatEngine;
use crate::limits::Limits;
use crate::transport::rest::Operation;

/// Describes every route that this engine has.
pub(super) fn document(engine: &ChatEngine) -> Value {
    let limits = engine.limits();
    let mut paths = Map::new();
    let mut add = |method: &str, path: &str, described: Described| {
        let operations = paths.entry(path).or_insert_with(|| json!({}));
        operations[method.to_ascii_lowercase()] = described.into_openapi();
    };
    for operation in Operation::offered(engine) {
        let described = rest::described(operation, limits).counted(operation.rates(), &limits.rates);
        add(operation.method(), operation.path(), described);
    }
    for page in Page::ALL {
        add("GET", page.path(), page.described());
    }
    let root = if engine.public_path().is_empty() { "/" } else { engine.public_path() };
    let groups: Vec<Value> =
        rest::GROUPS.iter().map(|(name, text)| json!({ "name": name, "description": text })).collect();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Priyo",
            "summary": "A chat engine: REST.",
            "description": introduction(limits),
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": root, "description": "Where this document came from." }],
        "tags": groups,
        "paths": paths,
        "components": {
            "headers": headers(),
            "responses": responses(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `accessToken` of a register, login or refresh answer; where the program \
                                    around the engine has its own login, the token that it gives out.",
                },
            },
        },
    });
    document["components"]["schemas"] = Value::Object(named_in(&document, &shapes()));
    document
}

fn introduction(limits: &Limits) -> String {
    format!(
        "Bodies are JSON in UTF-8, at most {} bytes long; a field that is not known is refused. Ids are opaque \
         texts. Times are UTC with milliseconds, such as `2026-11-23T02:15:35.850Z`.\n\n\
         Authentication is checked first, then whether the caller may know of a thing, then what they sent. What one \
         may not see does not exist: it answers 404, the same as an id that was never given out.\n\n\
         Every answer carries `X-Request-ID`; a client's own is kept if it is 1 to 64 letters, digits or hyphens. \
         Every failure has the same shape, `Error`, whose `code` is for programs. A method that a path does not take \
         is 405 with `Allow`, a path that is not there 404 with `route_not_found`. A `GET` route answers `HEAD` too, \
         and every path is also found with a slash at its end.\n\n\
         A request that got no answer can be repeated: reads, marks, closing and reopening change nothing the second \
         time, and a message with a `clientMessageId` is stored once.\n\n\
         Where requests are counted, answers say in `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` how \
         many may be made at once, how many are left, and in how many seconds all of them are again if none is made \
         meanwhile; they come back one by one. They are counted for the user, and without a good token for the client's \
         address. Where that was one too many the answer is 429, with `Retry-After`, and these headers are about the \
         rate that was meant.\n\n\
         News comes over Socket.IO: see the AsyncAPI document at `/api/asyncapi.json`.",
        limits.body_bytes,
    )
}

/// Headers of answers. Those of each answer are always there, which a reader may not assume unless it is said.
fn headers() -> Value {
    let of = |description: &str, schema: Value| json!({ "description": description, "required": true, "schema": schema });
    let text = |description: &str| of(description, json!({ "type": "string" }));
    let number =
        |description: &str, least: u8| of(description, json!({ "type": "integer", "minimum": least }));
    json!({
        "RequestId": of(
            "The request's id: the client's own if it is `[A-Za-z0-9-]{1,64}`, else a new one.",
            json!({ "type": "string", "pattern": "^[A-Za-z0-9-]{1,64}$" }),
        ),
        "RetryAfter": number("In how many seconds to try again.", 1),
        "RateLimitLimit": number("How many may be made at once.", 1),
        "RateLimitRemaining": number("How many may still be made now.", 0),
        "RateLimitReset": number(
            "In how many seconds all of them may be made again, if none is made until then; of 429, when the next one \
             may.",
            0,
        ),
        "WwwAuthenticate": text("Always `Bearer`."),
        "Allow": text("The methods that the path takes."),
    })
}

/// Answers that belong to no operation.
fn responses() -> Value {
    let failure = |description: &str, code: &str| {
        json!({
            "description": description,
            "headers": { "X-Request-ID": { "$ref": "#/components/headers/RequestId" } },
            "content": { "application/json": { "schema": {
                "allOf": [super::schema::reference("Error"), { "properties": { "code": { "const": code } } }],
            } } },
        })
    };
    let mut method = failure("The path does not take this method.", "method_not_allowed");
    method["headers"]["Allow"] = json!({ "$ref": "#/components/headers/Allow" });
    json!({ "MethodNotAllowed": method, "RouteNotFound": failure("There is no such route.", "route_not_found") })
}
