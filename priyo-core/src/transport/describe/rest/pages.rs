//! What is for operators and developers.

use serde_json::{Value, json};

use super::super::operation::Described;
use super::super::schema::{constant, list, object, one_of, perhaps, reference, text};
use crate::error::ErrorCode;

pub(super) const GROUP: &str = "Service";

/// A path that is not among those of [`rest::router`](crate::transport::rest::router).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Page {
    Index,
    Metrics,
    OpenApi,
    AsyncApi,
    Docs,
}

impl Page {
    pub(in super::super) const ALL: [Self; 5] =
        [Self::Index, Self::Metrics, Self::OpenApi, Self::AsyncApi, Self::Docs];

    pub(in super::super) const fn path(self) -> &'static str {
        match self {
            Self::Index => "/",
            Self::Metrics => "/metrics",
            Self::OpenApi => "/api/openapi.json",
            Self::AsyncApi => "/api/asyncapi.json",
            Self::Docs => "/docs",
        }
    }

    pub(in super::super) fn described(self) -> Described {
        match self {
            Self::Index => index(),
            Self::Metrics => for_operators("metrics", "Measurements")
                .says("How the server does, in the text format of Prometheus. Part of `priyo-server`.")
                .answers_with(200, of_type("The measurements.", "text/plain")),
            Self::OpenApi => for_operators("openapi", "This description").answers(
                200,
                "An OpenAPI 3.1 document.",
                json!({ "type": "object" }),
            ),
            Self::AsyncApi => for_operators("asyncapi", "The description of the socket events").answers(
                200,
                "An AsyncAPI 3.0 document.",
                json!({ "type": "object" }),
            ),
            Self::Docs => for_operators("docs", "A page that shows both descriptions")
                .answers_with(200, of_type("The page.", "text/html")),
        }
    }
}

pub(super) fn health(id: &'static str) -> Described {
    let uptime = json!({ "type": "number", "minimum": 0, "description": "In seconds." });
    let answer =
        object([("status", constant("OK")), ("timestamp", reference("Timestamp")), ("uptime", uptime)]);
    Described::new(id, GROUP, "Whether the server runs")
        .says("Asks neither database nor file store: for a load balancer that restarts what does not answer.")
        .for_anyone()
        .without_failures()
        .answers(200, "It runs.", answer)
}

pub(super) fn ready() -> Described {
    let state = |what: &str| one_of(&["up", "none"], what);
    let answer = object([
        ("status", constant("OK")),
        ("database", state("The database.")),
        ("files", state("The file store; `none` where there are no uploads.")),
        ("bus", state("The bus between nodes; `none` where there is one node.")),
    ]);
    Described::new("ready", GROUP, "Whether the server can do its work")
        .for_anyone()
        .without_failures()
        .answers(200, "It can.", answer)
        .fails(ErrorCode::Unavailable, "It cannot: `database`, `files` and `bus` say what is away.")
}

fn index() -> Described {
    let answer = object([
        ("name", constant("Priyo")),
        ("routes", list(&json!({ "type": "string" }), "Each a method and a path.")),
    ]);
    Described::new("index", GROUP, "What this is")
        .says("Part of `priyo-server`: another program has a front page of its own.")
        .for_anyone()
        .without_failures()
        .answers(200, "Name and routes.", perhaps(answer, [("version", text("Not in production."))]))
}

/// In production only for an administrator, or who has the operators' token.
fn for_operators(id: &'static str, summary: &'static str) -> Described {
    Described::new(id, GROUP, summary)
        .says("In production this needs the token of an ADMIN, or `METRICS_TOKEN`, as bearer token.")
        .for_anyone_or_users()
        .fails(ErrorCode::Forbidden, "The caller is no ADMIN.")
}

fn of_type(description: &str, media_type: &str) -> Value {
    json!({ "description": description, "content": { media_type: { "schema": { "type": "string" } } } })
}
