//! The AsyncAPI document. It speaks from the server's side: it *receives* what clients send.

use serde_json::{Map, Value, json};

use super::events::{self, Described};
use super::schema::{constant, object};
use super::shapes::{named_in, shapes};
use crate::engine::ChatEngine;
use crate::events::EventKind;
use crate::limits::Limits;
use crate::rates::Action;
use crate::transport::socketio::ClientEvent;

const FROM_CLIENT: &str = "fromClient";
const FROM_SERVER: &str = "fromServer";
const ACKNOWLEDGEMENTS: &str = "acknowledgements";
const HANDSHAKE: &str = "handshake";

/// Describes every socket event.
pub(super) fn document(engine: &ChatEngine) -> Value {
    let mut parts = Parts::default();
    for event in ClientEvent::ALL {
        parts.client_event(event.name(), events::from_client(event, engine.limits()));
    }
    for event in EventKind::ALL {
        parts.server_event(event.name(), events::from_server(event, engine.limits()));
    }
    parts.failures();
    parts.handshake();
    let Parts { channels, operations, messages } = parts;
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Priyo",
            "version": env!("CARGO_PKG_VERSION"),
            "description": introduction(engine.limits()),
            "license": { "name": "MIT" },
        },
        "defaultContentType": "application/json",
        "servers": { "here": server(engine) },
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages, "securitySchemes": { "token": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An access token, in the handshake: `auth: { token }`.",
        } } },
    });
    document["components"]["schemas"] = Value::Object(named_in(&document, &shapes()));
    document
}

fn introduction(limits: &Limits) -> String {
    format!(
        "Socket.IO protocol 5 (`socket.io-client` 3 and 4), namespace `/`, over WebSocket or polling. \
         `io(url, {{ path, auth: (give) => give({{ token }}) }})`: make `auth` a function, so that a reconnect sends \
         a fresh token. A client that is not let in gets `connect_error`.\n\n\
         Each event has one argument, its payload. A client may ask for an acknowledgement: `{{ ok: true, … }}`, or \
         `{{ ok: false, error }}` with the codes of REST. If, and only if, it asks for none, a failure arrives as \
         event `error`. Nothing is silently ignored: a wrong, missing or binary payload and an unknown event fail \
         too. Unknown fields are ignored.\n\n\
         Events of one socket are handled one after the other. A frame has at most {} bytes, and at most {} events \
         of a socket may be unfinished: more fail as `overloaded`. A socket that does not keep up with reading is \
         closed; its client comes back, joins with `after`, and has missed nothing.\n\n\
         {}\
         A socket lasts no longer than its access token and {} seconds. Before that it hears `auth:expiring`, and \
         goes on with `auth:refresh`; or it is closed, comes back by itself, and catches up with `sync` or by joining \
         with `after`. When its session ends, by a logout, another password, or an ADMIN who disables the user, it is \
         turned out within a second, and its client must sign in anew.",
        limits.body_bytes,
        limits.socket_inbox,
        rates(limits),
        limits.token_grace.as_secs(),
    )
}

/// What sockets are held to.
fn rates(limits: &Limits) -> String {
    let of_sockets = [
        Action::Event,
        Action::Excess,
        Action::Send,
        Action::Typing,
        Action::Join,
        Action::Read,
        Action::Sync,
    ];
    let line = |action: Action| Some(format!("- {} {}.\n", action.what(), limits.rates.of(action)?));
    let lines: String = of_sockets.into_iter().filter_map(line).collect();
    if lines.is_empty() {
        return lines;
    }
    format!(
        "An event that comes too often fails as `rate_limited`, with `retryAfter` in seconds, and has changed nothing, \
         but that a join which fails leaves the room. A socket that goes on and on is closed for good. Counted \
         are:\n\n{lines}\n"
    )
}

fn server(engine: &ChatEngine) -> Value {
    json!({
        "host": "{host}",
        "pathname": format!("{}/socket.io/", engine.public_path()),
        "protocol": "ws",
        "description": "Where this document came from; `wss` where that is `https`. Clients name it as `path`.",
        "variables": { "host": { "default": "localhost:3000", "description": "Name and port of the server." } },
        "security": [{ "$ref": "#/components/securitySchemes/token" }],
    })
}

#[derive(Default)]
struct Parts {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
    messages: Map<String, Value>,
}

impl Parts {
    fn client_event(&mut self, event: &str, described: Described) {
        let Described { summary, text, payload, acknowledgement } = described;
        let key = dotted(event);
        self.message(
            FROM_CLIENT,
            event,
            &key,
            json!({ "name": event, "summary": summary, "payload": payload }),
        );
        let success = format!("{key}.ok");
        let what = format!("The acknowledgement of `{event}`");
        let success_message = json!({ "name": event, "summary": what, "payload": acknowledgement });
        self.message(ACKNOWLEDGEMENTS, event, &success, success_message);
        let reply = json!({
            "channel": channel_reference(ACKNOWLEDGEMENTS),
            "messages": [in_channel(ACKNOWLEDGEMENTS, &success), in_channel(ACKNOWLEDGEMENTS, FAILURE)],
        });
        self.operation("receive", FROM_CLIENT, &key, summary, &text);
        self.operations[&operation_key("receive", &key)]["reply"] = reply;
    }

    fn server_event(&mut self, event: &str, described: Described) {
        let Described { summary, text, payload, .. } = described;
        let key = dotted(event);
        self.message(
            FROM_SERVER,
            event,
            &key,
            json!({ "name": event, "summary": summary, "payload": payload }),
        );
        self.operation("send", FROM_SERVER, &key, summary, &text);
    }

    fn failures(&mut self) {
        let payload = object([("ok", constant(false)), ("error", events::failure())]);
        let what = "The acknowledgement of an event that failed";
        let message = json!({ "name": "failure", "summary": what, "payload": payload });
        self.message(ACKNOWLEDGEMENTS, "failure", FAILURE, message);
        let text = "Only for an event that asked for no acknowledgement.";
        let payload = events::failure();
        let described = Described {
            summary: "An event failed",
            text: text.to_owned(),
            payload,
            acknowledgement: Value::Null,
        };
        self.server_event("error", described);
    }

    fn handshake(&mut self) {
        let summary = "Come in";
        let connect = json!({ "name": "connect", "summary": summary, "payload": events::handshake() });
        self.message(HANDSHAKE, "connect", "connect", connect);
        let refused = "Not let in";
        let refusal = json!({ "name": "connect_error", "summary": refused, "payload": events::refusal() });
        self.message(HANDSHAKE, "connect_error", "connect_error", refusal);
        self.operation("receive", HANDSHAKE, "connect", summary, "The handshake's `auth`.");
        self.operations[&operation_key("receive", "connect")]["reply"] = json!({
            "channel": channel_reference(HANDSHAKE),
            "messages": [in_channel(HANDSHAKE, "connect_error")],
        });
    }

    /// Adds a message to a channel. Its key there is `key`; among the messages of all channels it needs another,
    /// since some events go both ways.
    fn message(&mut self, channel: &str, event: &str, key: &str, message: Value) {
        let name = format!("{channel}.{key}");
        let channel = self.channels.entry(channel).or_insert_with(|| new_channel(channel));
        channel["messages"][key] = json!({ "$ref": format!("#/components/messages/{name}") });
        debug_assert!(message["name"] == event, "a message is named after its event");
        self.messages.insert(name, message);
    }

    fn operation(&mut self, action: &str, channel: &str, key: &str, summary: &str, text: &str) {
        let operation = json!({
            "action": action,
            "channel": channel_reference(channel),
            "summary": summary,
            "description": text,
            "messages": [in_channel(channel, key)],
        });
        self.operations.insert(operation_key(action, key), operation);
    }
}

const FAILURE: &str = "failure";

/// Keys of an AsyncAPI document have no colons.
fn dotted(event: &str) -> String {
    event.replace(':', ".")
}

fn operation_key(action: &str, key: &str) -> String {
    format!("{action}.{key}")
}

fn channel_reference(channel: &str) -> Value {
    json!({ "$ref": format!("#/channels/{channel}") })
}

fn in_channel(channel: &str, key: &str) -> Value {
    json!({ "$ref": format!("#/channels/{channel}/messages/{key}") })
}

fn new_channel(channel: &str) -> Value {
    let (title, description) = match channel {
        FROM_CLIENT => ("Events of clients", "Each takes an optional acknowledgement."),
        FROM_SERVER => ("Events of the server", "What happened. It is announced after it is stored."),
        ACKNOWLEDGEMENTS => ("Acknowledgements", "The answers to events of clients, for those who ask."),
        _ => ("Handshake", "How a client comes in."),
    };
    let handshake = json!({ "type": "object", "properties": {
        "EIO": { "type": "string", "const": "4", "description": "The version of Engine.IO." },
        "transport": { "type": "string", "enum": ["websocket", "polling"] },
    } });
    let mut described = json!({ "address": "/", "title": title, "description": description, "messages": {} });
    if channel == HANDSHAKE {
        described["bindings"] =
            json!({ "ws": { "method": "GET", "query": handshake, "bindingVersion": "0.1.0" } });
    }
    described
}
