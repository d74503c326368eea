//! The words that JSON Schemas are put together from.

use serde_json::{Value, json};

/// A component by its name.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object that always has these fields.
pub(super) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let object = json!({ "type": "object", "required": names, "properties": {} });
    perhaps(object, fields)
}

/// The same object with fields that may be missing.
pub(super) fn perhaps<const N: usize>(mut object: Value, fields: [(&str, Value); N]) -> Value {
    for (name, schema) in fields {
        object["properties"][name] = schema;
    }
    object
}

/// The same object, which has no fields but the named ones.
pub(super) fn closed(mut object: Value) -> Value {
    object["additionalProperties"] = false.into();
    object
}

/// A text, with what there is to say about it.
pub(super) fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

/// A text that may be `null`, which counts as missing.
pub(super) fn nullable_text(description: &str) -> Value {
    json!({ "type": ["string", "null"], "description": description })
}

/// The same text as a client sends it: without NUL, which no storage could keep.
pub(super) fn sent(mut text: Value) -> Value {
    text["pattern"] = "^[^\\u0000]*$".into();
    text
}

/// A text of a length in characters.
pub(super) fn sized(mut text: Value, min: usize, max: usize) -> Value {
    text["minLength"] = min.into();
    text["maxLength"] = max.into();
    text
}

/// This very value.
pub(super) fn constant(value: impl Into<Value>) -> Value {
    json!({ "const": value.into() })
}

/// One of a few texts.
pub(super) fn one_of(texts: &[&str], description: &str) -> Value {
    json!({ "type": "string", "enum": texts, "description": description })
}

/// A yes or no.
pub(super) fn yes_or_no(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

/// A whole number that is not negative.
pub(super) fn count(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": description })
}

/// A list.
pub(super) fn list(items: &Value, description: &str) -> Value {
    json!({ "type": "array", "items": items, "description": description })
}

/// A list of ids, of which there must be at least one and may be `max`.
pub(super) fn ids(max: usize, description: &str) -> Value {
    json!({
        "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": max, "description": description,
    })
}

/// A body of one media type.
pub(super) fn content(media_type: &str, schema: Value) -> Value {
    let mut content = json!({ media_type: {} });
    content[media_type]["schema"] = schema;
    content
}
