//! One REST operation in words, and as OpenAPI writes it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::schema::{content, reference};
use crate::error::ErrorCode;
use crate::rates::{Action, Rates};

/// What an operation takes and gives.
pub(super) struct Described {
    id: &'static str,
    group: &'static str,
    summary: &'static str,
    text: String,
    access: Access,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Vec<(u16, Value)>,
    failures: Vec<(ErrorCode, Cow<'static, str>)>,
    /// Failures in the words of HTTP, which have no code of their own.
    others: Vec<(u16, Value)>,
    /// Whether each answer says what is left of the rate of requests.
    is_counted: bool,
}

/// Who may call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Users, by their token.
    Users,
    /// Anyone; a token changes what they may do.
    AnyoneOrUsers,
    /// Anyone.
    Anyone,
}

const JSON: &str = "application/json";

/// What every operation may answer, whatever it does.
const ALWAYS: [(ErrorCode, &str); 2] = [
    (ErrorCode::Unavailable, "The storage is away or full. The change may or may not be kept: ask again."),
    (ErrorCode::Internal, "The server's own fault. The request's id finds it in the log."),
];

const TOKEN: [(ErrorCode, &str); 2] = [
    (ErrorCode::Unauthenticated, "There is no access token."),
    (ErrorCode::InvalidToken, "The access token has expired, was revoked, or never was one."),
];

const BODY: [(ErrorCode, &str); 4] = [
    (
        ErrorCode::ValidationFailed,
        "A field is wrong, missing, there twice, or not known; `details` says which.",
    ),
    (ErrorCode::MalformedJson, "The body is not JSON."),
    (ErrorCode::PayloadTooLarge, "The body is too long; `maxSize` says how long it may be."),
    (ErrorCode::UnsupportedMediaType, "The body is not plain `application/json` in UTF-8."),
];

impl Described {
    /// An operation that only users may call.
    pub(super) fn new(id: &'static str, group: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            group,
            summary,
            text: String::new(),
            access: Access::Users,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            failures: ALWAYS.into_iter().chain(TOKEN).map(|(code, when)| (code, when.into())).collect(),
            others: Vec::new(),
            is_counted: false,
        }
    }

    /// What there is to know.
    pub(super) fn says(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// Anyone may call it.
    pub(super) fn for_anyone(mut self) -> Self {
        self.access = Access::Anyone;
        self.failures.retain(|(code, _)| !TOKEN.iter().any(|(token, _)| token == code));
        self
    }

    /// Anyone may call it, and a token may be sent along.
    pub(super) fn for_anyone_or_users(mut self) -> Self {
        self.access = Access::AnyoneOrUsers;
        self
    }

    /// It cannot fail: it asks nobody.
    pub(super) fn without_failures(mut self) -> Self {
        self.failures.clear();
        self
    }

    /// A variable part of the path.
    pub(super) fn segment(mut self, name: &str, what: &str) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": what, "schema": { "type": "string" },
        }));
        self.fails(ErrorCode::ValidationFailed, "A parameter is wrong; `details` says which.")
    }

    /// A parameter of the query, which may be missing.
    pub(super) fn query(mut self, name: &str, what: &str, schema: Value) -> Self {
        let mut parameter = json!({ "name": name, "in": "query", "description": what });
        parameter["schema"] = schema;
        self.parameters.push(parameter);
        self.fails(ErrorCode::ValidationFailed, "A parameter is wrong; `details` says which.")
    }

    /// A header, which may be missing.
    pub(super) fn header(mut self, name: &str, what: &str) -> Self {
        let schema = json!({ "type": "string" });
        self.parameters.push(json!({ "name": name, "in": "header", "description": what, "schema": schema }));
        self
    }

    /// A JSON body.
    pub(super) fn body(mut self, schema: Value, required: bool) -> Self {
        self.body = Some(json!({ "required": required, "content": content(JSON, schema) }));
        BODY.into_iter().fold(self, |described, (code, when)| described.fails(code, when))
    }

    /// A multipart body.
    pub(super) fn form(mut self, schema: Value) -> Self {
        self.body = Some(json!({ "required": true, "content": content("multipart/form-data", schema) }));
        self
    }

    /// A success with a JSON body.
    pub(super) fn answers(self, status: u16, what: &str, schema: Value) -> Self {
        self.answers_with(status, json!({ "description": what, "content": content(JSON, schema) }))
    }

    /// A success of another kind.
    pub(super) fn answers_with(mut self, status: u16, response: Value) -> Self {
        self.answers.push((status, response));
        self
    }

    /// A failure and when it happens. The last word on a code counts.
    pub(super) fn fails(mut self, code: ErrorCode, when: impl Into<Cow<'static, str>>) -> Self {
        self.failures.retain(|(known, _)| *known != code);
        self.failures.push((code, when.into()));
        self
    }

    /// It is held to those of these that have a rate.
    pub(super) fn counted(mut self, actions: &[Action], rates: &Rates) -> Self {
        self.is_counted = actions.contains(&Action::Request) && rates.of(Action::Request).is_some();
        let line = |action: &Action| Some(format!("{} {}.", action.what(), rates.of(*action)?));
        let lines: Vec<String> = actions.iter().filter_map(line).collect();
        if lines.is_empty() {
            return self;
        }
        self.fails(ErrorCode::RateLimited, format!("Too many of these. {}", lines.join(" ")))
    }

    /// A failure with a status that belongs to no code.
    pub(super) fn fails_with(mut self, status: u16, response: Value) -> Self {
        self.others.push((status, response));
        self
    }

    /// As OpenAPI writes it.
    pub(super) fn into_openapi(self) -> Value {
        let mut by_status: BTreeMap<u16, Vec<(ErrorCode, Cow<'static, str>)>> = BTreeMap::new();
        for (code, when) in self.failures {
            by_status.entry(code.http_status()).or_default().push((code, when));
        }
        let failures = by_status.into_iter().map(|(status, why)| (status, failure(status, &why)));
        let answers = self.answers.into_iter().chain(self.others);
        let responses: Map<String, Value> = answers
            .map(|(status, mut response)| {
                response["headers"]["X-Request-ID"] = json!({ "$ref": "#/components/headers/RequestId" });
                (status, response)
            })
            .chain(failures)
            .map(|(status, mut response)| {
                // One that fails by our own fault may end before it is said.
                if status == 429 || self.is_counted && status != 500 {
                    for name in ["Limit", "Remaining", "Reset"] {
                        response["headers"][format!("RateLimit-{name}")] =
                            json!({ "$ref": format!("#/components/headers/RateLimit{name}") });
                    }
                }
                (status.to_string(), response)
            })
            .collect();
        let bearer = json!({ "bearer": [] });
        let security = match self.access {
            Access::Users => json!([bearer]),
            Access::AnyoneOrUsers => json!([{}, bearer]),
            Access::Anyone => json!([]),
        };
        let mut operation = json!({
            "operationId": self.id,
            "tags": [self.group],
            "summary": self.summary,
            "security": security,
            "responses": responses,
        });
        if !self.text.is_empty() {
            operation["description"] = self.text.into();
        }
        if !self.parameters.is_empty() {
            operation["parameters"] = self.parameters.into();
        }
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        operation
    }
}

/// The answer of one status, for all codes that have it.
fn failure(status: u16, why: &[(ErrorCode, Cow<'static, str>)]) -> Value {
    let lines: Vec<String> = why.iter().map(|(code, when)| format!("`{}`: {when}", code.as_str())).collect();
    let codes: Vec<&str> = why.iter().map(|(code, _)| code.as_str()).collect();
    let schema = json!({ "allOf": [reference("Error"), { "properties": { "code": { "enum": codes } } }] });
    let mut headers = json!({ "X-Request-ID": { "$ref": "#/components/headers/RequestId" } });
    match status {
        401 => headers["WWW-Authenticate"] = json!({ "$ref": "#/components/headers/WwwAuthenticate" }),
        429 | 503 => headers["Retry-After"] = json!({ "$ref": "#/components/headers/RetryAfter" }),
        _ => {}
    }
    json!({ "description": lines.join("\n\n"), "headers": headers, "content": content(JSON, schema) })
}
