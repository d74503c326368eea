//! Holding what was really sent against a description.

use std::collections::BTreeSet;

use axum::body::Bytes;
use priyo_core::ChatEngine;
use priyo_core::transport::describe;
use priyo_tests::{Answer, Wire};
use serde_json::{Value, json};

/// The one header that not every answer has which may have it.
const MAY_BE_MISSING: &str = "Cross-Origin-Resource-Policy";

/// One of the two documents, as a client gets it.
pub(crate) struct Description(pub(crate) Value);

impl Description {
    /// The OpenAPI document of an engine.
    pub(crate) async fn of_rest(engine: &ChatEngine) -> Self {
        Self::fetch(engine, "/api/openapi.json").await
    }

    /// The AsyncAPI document of an engine.
    pub(crate) async fn of_sockets(engine: &ChatEngine) -> Self {
        Self::fetch(engine, "/api/asyncapi.json").await
    }

    async fn fetch(engine: &ChatEngine, path: &str) -> Self {
        let wire = Wire::Router(describe::router(engine));
        Self(wire.send("GET", path, &[], Bytes::new()).await.expect(200).json())
    }

    /// Every operation: its method and path.
    pub(crate) fn operations(&self) -> BTreeSet<(String, String)> {
        let paths = self.0["paths"].as_object().unwrap();
        let of_path = |(path, methods): (&String, &Value)| {
            let methods: Vec<String> = methods.as_object().unwrap().keys().cloned().collect();
            let path = path.clone();
            methods.into_iter().map(move |method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
        };
        paths.iter().flat_map(of_path).collect()
    }

    /// Fails unless an answer is one that the operation may give, down to the last field and header.
    #[track_caller]
    pub(crate) fn allows(&self, method: &str, path: &str, answer: &Answer) {
        let place = format!("{method} {path} {}", answer.status);
        let response = &self.operation(method, path)["responses"][answer.status.to_string()];
        assert!(response.is_object(), "{place} is not described: {}", answer.text());
        for (name, header) in response["headers"].as_object().unwrap() {
            let header = if header["$ref"].is_string() { self.named(header) } else { header };
            let is_promised = header["required"] == true;
            assert!(
                is_promised || name == MAY_BE_MISSING,
                "{place}: {name} is always there, and that is not said"
            );
            assert!(!is_promised || answer.headers.contains_key(name.as_str()), "{place} has no {name}");
        }
        match response["content"].as_object().and_then(|content| content.iter().next()) {
            None => assert!(answer.body.is_empty(), "{place}: {}", answer.text()),
            Some((media, content)) if media == "application/json" => {
                assert_eq!(answer.header("content-type"), media, "{place}");
                self.fits(&content["schema"], &answer.json(), &place);
            }
            Some(_) => assert!(!answer.body.is_empty(), "{place}"),
        }
    }

    /// Whether the operation takes this body, by its description.
    pub(crate) fn takes(&self, method: &str, path: &str, body: &Value) -> bool {
        let schema = &self.operation(method, path)["requestBody"]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {path} takes no body");
        self.faults(schema.clone(), body).is_empty()
    }

    #[track_caller]
    pub(crate) fn operation(&self, method: &str, path: &str) -> &Value {
        let operation = &self.0["paths"][path][method.to_lowercase()];
        assert!(operation.is_object(), "{method} {path} is not described");
        operation
    }

    /// The names of the messages of a channel.
    pub(crate) fn messages(&self, channel: &str) -> BTreeSet<String> {
        let messages = self.0["channels"][channel]["messages"].as_object().unwrap();
        messages.values().map(|message| self.named(message)["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Whether a payload fits an event's description.
    pub(crate) fn takes_event(&self, event: &str, payload: &Value) -> bool {
        self.faults(self.payload("fromClient", &event.replace(':', ".")), payload).is_empty()
    }

    /// Fails unless an event fits its description.
    #[track_caller]
    pub(crate) fn allows_event(&self, event: &str, payload: &Value) {
        self.fits(&self.payload("fromServer", &event.replace(':', ".")), payload, event);
    }

    /// Fails unless an acknowledgement is one of those that the event may get.
    #[track_caller]
    pub(crate) fn allows_acknowledgement(&self, event: &str, answer: &Value) {
        let key = event.replace(':', ".");
        let replies = self.0["operations"][format!("receive.{key}")]["reply"]["messages"].as_array().unwrap();
        let keys = replies.iter().map(|reply| reply["$ref"].as_str().unwrap().rsplit('/').next().unwrap());
        let schemas: Vec<Value> = keys.map(|key| self.payload("acknowledgements", key)).collect();
        self.fits(&json!({ "oneOf": schemas }), answer, event);
    }

    /// Fails unless a text is one that a client may be refused with.
    #[track_caller]
    pub(crate) fn allows_refusal(&self, message: &str) {
        let payload = self.payload("handshake", "connect_error");
        self.fits(&payload, &json!({ "message": message }), "connect_error");
    }

    #[track_caller]
    fn payload(&self, channel: &str, key: &str) -> Value {
        let message = &self.0["channels"][channel]["messages"][key];
        assert!(message.is_object(), "{key} is not described");
        self.named(message)["payload"].clone()
    }

    /// What a reference names.
    fn named(&self, reference: &Value) -> &Value {
        let pointer = reference["$ref"].as_str().unwrap().trim_start_matches('#');
        self.0.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not there"))
    }

    /// Fails unless a value fits a schema in which no object has fields that are not described.
    #[track_caller]
    fn fits(&self, schema: &Value, value: &Value, place: &str) {
        let faults = self.faults(schema.clone(), value);
        assert!(faults.is_empty(), "{place}: {faults:#?} in {value:#}");
    }

    fn faults(&self, mut schema: Value, value: &Value) -> Vec<String> {
        schema["components"] = json!({ "schemas": self.0["components"]["schemas"] });
        closed(&mut schema);
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        validator.iter_errors(value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect()
    }
}

/// Closes every object: a field too many is a leak that a description must not pass over.
fn closed(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(closed),
        Value::Object(map) => {
            if map.get("type") == Some(&json!("object")) && map.contains_key("properties") {
                map.entry("additionalProperties").or_insert(false.into());
            }
            map.values_mut().for_each(closed);
        }
        _ => {}
    }
}
