//! The schemas of what is sent: made from the Rust types that are serialized, so that they say what these do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::schema::{count, list, object, one_of, perhaps, reference, text};
use crate::transport::wire;

/// Named schemas.
pub(super) type Shapes = BTreeMap<String, Value>;

/// Every shape there is, for both descriptions.
pub(super) fn shapes() -> Shapes {
    let mut shapes = flat(&derived());
    let mut name = |name: &str, of: &str, vary: fn(Shape) -> Shape| {
        if let Some(schema) = shapes.get(of).cloned() {
            shapes.insert(name.to_owned(), vary(Shape(schema)).0);
        }
    };
    name("ManagedUser", "User", |shape| {
        shape.always(&["isOnline", "lastSeen", "disabled"]).says("A user as an ADMIN sees them.")
    });
    name("UserWithPresence", "User", |shape| {
        shape.without(&["disabled"]).always(&["isOnline", "lastSeen"]).says("One's own user.")
    });
    name("User", "User", |shape| {
        shape.without(&["isOnline", "lastSeen", "disabled"]).says("One's own user, without presence.")
    });
    name("LastMessage", "LastMessage", |shape| shape.says("The newest message of a conversation in a list."));
    name("ListedConversation", "Conversation", |shape| {
        shape.always(&["lastMessage", "unreadCount", "lastSeq"]).says("A conversation in a list.")
    });
    name("InboxItem", "InboxItem", |shape| shape.always(&["lastMessage", "unreadCount", "lastSeq"]));
    name("Conversation", "Conversation", |shape| shape.without(&["lastMessage", "unreadCount", "lastSeq"]));
    name("SentMessage", "Message", |shape| {
        shape
            .without(&["reads"])
            .always(&["clientMessageId"])
            .says("A message as the one who sent it gets it.")
    });
    name("AcknowledgedMessage", "Message", |shape| {
        let shape = shape.always(&["clientMessageId"]).present("reads");
        shape.says("A message as the acknowledgement of its sending has it; `reads` is empty.")
    });
    name("Message", "Message", |shape| {
        let shape = shape.without(&["clientMessageId"]).present("reads");
        shape.says("A message as history has it.")
    });
    name("ConversationNew", "ConversationEvent", |shape| shape.without(&["conversationId"]));
    name("ConversationChanged", "ConversationEvent", |shape| shape.present("conversationId"));
    name("MessageNew", "MessageNew", |shape| {
        let missing = ["fileUrl", "fileName", "fileSize", "clientMessageId"];
        missing.into_iter().fold(shape, Shape::absent_rather_than_null)
    });
    shapes.remove("ConversationEvent");
    shapes.insert("Error".to_owned(), error());
    shapes
}

/// Those shapes that a document names, and those that these name.
pub(super) fn named_in(document: &Value, shapes: &Shapes) -> Map<String, Value> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![document];
    while let Some(value) = waiting.pop() {
        match value {
            Value::String(text) => {
                let named = text.strip_prefix(REFERENCE).and_then(|name| shapes.get_key_value(name));
                waiting.extend(named.filter(|(name, _)| found.insert(*name)).map(|(_, shape)| shape));
            }
            Value::Array(items) => waiting.extend(items),
            Value::Object(map) => waiting.extend(map.values()),
            _ => {}
        }
    }
    let named = shapes.iter().filter(|(name, _)| found.contains(name));
    named.map(|(name, shape)| (name.clone(), shape.clone())).collect()
}

const REFERENCE: &str = "#/components/schemas/";

/// The schemas of the types, as they are derived.
fn derived() -> Shapes {
    let schemas = wire::schemas().into_iter();
    schemas
        .map(|(name, schema)| {
            let schema = serde_json::to_value(schema).unwrap_or_default();
            (plain_name(&name).to_owned(), renamed(schema))
        })
        .collect()
}

/// A view is named after what it shows.
fn plain_name(name: &str) -> &str {
    name.strip_suffix("View").unwrap_or(name)
}

fn renamed(schema: Value) -> Value {
    match schema {
        Value::String(text) if text.starts_with(REFERENCE) => plain_name(&text).into(),
        Value::Array(items) => items.into_iter().map(renamed).collect(),
        Value::Object(map) => map.into_iter().map(|(name, value)| (name, renamed(value))).collect(),
        other => other,
    }
}

/// The same schemas with what they flatten in place. A view writes every field that it has, unless its type says
/// otherwise, which is stated where the shapes are named; a part that is flattened may be missing as a whole.
fn flat(shapes: &Shapes) -> Shapes {
    let flat = |schema: &Value| {
        let mut parts = Parts { properties: Map::new(), required: BTreeSet::new() };
        parts.take(schema, shapes, true);
        if parts.properties.is_empty() {
            return schema.clone();
        }
        let mut flat = serde_json::json!({ "type": "object" });
        if let Some(description) = schema.get("description") {
            flat["description"] = description.clone();
        }
        flat["required"] = parts.required.into_iter().collect();
        flat["properties"] = Value::Object(parts.properties);
        flat
    };
    shapes.iter().map(|(name, schema)| (name.clone(), flat(schema))).collect()
}

struct Parts {
    properties: Map<String, Value>,
    required: BTreeSet<String>,
}

impl Parts {
    fn take(&mut self, schema: &Value, shapes: &Shapes, always: bool) {
        let list = |key: &str| schema.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        for part in list("allOf") {
            self.take(&part, shapes, always);
        }
        // An option: the shape or null.
        for part in list("oneOf") {
            self.take(&part, shapes, false);
        }
        let named = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix(REFERENCE));
        if let Some(shape) = named.and_then(|name| shapes.get(name)) {
            self.take(shape, shapes, always);
        }
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            self.properties.insert(name.clone(), property.clone());
            if always && !LEFT_OUT.contains(&name.as_str()) {
                self.required.insert(name.clone());
            }
        }
    }
}

/// Fields that a view leaves out when they are empty.
const LEFT_OUT: [&str; 5] = ["clientMessageId", "reads", "messageIds", "width", "height"];

/// An object schema, to be varied.
struct Shape(Value);

impl Shape {
    /// These fields are not there.
    fn without(mut self, names: &[&str]) -> Self {
        if let Some(properties) = self.0["properties"].as_object_mut() {
            properties.retain(|name, _| !names.contains(&name.as_str()));
        }
        if let Some(required) = self.0["required"].as_array_mut() {
            required.retain(|name| !names.iter().any(|gone| name == gone));
        }
        self
    }

    /// These fields are always there.
    fn always(mut self, names: &[&str]) -> Self {
        if let Some(required) = self.0["required"].as_array_mut() {
            required.retain(|name| !names.iter().any(|known| name == known));
            required.extend(names.iter().map(|name| Value::from(*name)));
        }
        self
    }

    /// This field is always there, and never `null`.
    fn present(self, name: &str) -> Self {
        self.not_null(name).always(&[name])
    }

    /// This field is missing where it would be `null`.
    fn absent_rather_than_null(mut self, name: &str) -> Self {
        self = self.not_null(name);
        if let Some(required) = self.0["required"].as_array_mut() {
            required.retain(|known| known != name);
        }
        self
    }

    fn not_null(mut self, name: &str) -> Self {
        let Some(property) = self.0["properties"].get_mut(name) else { return self };
        if let Some(types) = property.get_mut("type").and_then(Value::as_array_mut) {
            types.retain(|one| one != "null");
            if let [only] = types.as_slice() {
                property["type"] = only.clone();
            }
        }
        if let Some(one) = property.get_mut("oneOf").and_then(Value::as_array_mut) {
            one.retain(|one| one["type"] != "null");
            if let [only] = one.as_slice() {
                *property = only.clone();
            }
        }
        self
    }

    fn says(mut self, description: &str) -> Self {
        self.0["description"] = description.into();
        self
    }
}

/// The one shape of failures over REST. Put together by hand: the fields beside the first three depend on the code.
fn error() -> Value {
    let part = |what: &str| one_of(&["up", "down", "none"], what);
    let role = reference("Role");
    let error = object([
        ("error", text("What went wrong, for a person.")),
        ("code", reference("ErrorCode")),
        ("requestId", text("The request's id, as in `X-Request-ID`.")),
    ]);
    let details = "With `validation_failed`, one for each fault: the quoted name of the field, then what is wrong \
                   with it. Missing where the input is wrong as a whole.";
    let current = serde_json::json!({
        "description": "With `forbidden`, where a role was missing: the caller's; `null` when not signed in.",
        "anyOf": [role.clone(), { "type": "null" }],
    });
    let mut error = perhaps(
        error,
        [
            ("details", list(&serde_json::json!({ "type": "string" }), details)),
            ("conversationId", text("With `direct_exists`: the open conversation that is in the way.")),
            ("assignee", reference("UserBrief")),
            ("required", list(&role, "With `forbidden`, where a role was missing: any of these would do.")),
            ("current", current),
            ("maxSize", count("With `payload_too_large` and `quota_exceeded`: how much is taken, in bytes.")),
            ("retryAfter", count("With `rate_limited`: how long to wait, in seconds; as in `Retry-After`.")),
            ("database", part("With `unavailable` from `/ready`: the state of the database.")),
            ("files", part("With `unavailable` from `/ready`: the state of the file store.")),
            ("bus", part("With `unavailable` from `/ready`: the state of the bus between nodes.")),
        ],
    );
    error["description"] = "Why a request failed.".into();
    error
}
