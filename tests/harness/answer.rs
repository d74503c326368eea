//! An answer over REST, and comparing the shape of what is in it.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::http::HeaderMap;
use serde_json::Value;

/// What came back for a request.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it is.
    pub body: Bytes,
}

impl Answer {
    /// The body, which must be JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("not JSON ({e}): {} {:?}", self.status, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The code of an error.
    #[track_caller]
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_else(|| panic!("no code: {self:?}")).to_owned()
    }

    /// Status and code at once, as most refusals are compared.
    #[track_caller]
    pub fn refusal(&self) -> (u16, String) {
        (self.status, self.code())
    }

    /// The text of an error for people.
    #[track_caller]
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_else(|| panic!("no error text: {self:?}")).to_owned()
    }

    /// The field names that a validation error complains about, in order.
    #[track_caller]
    pub fn fields_at_fault(&self) -> Vec<String> {
        let details = self.json()["details"].as_array().cloned();
        let details = details.unwrap_or_else(|| panic!("no details: {self:?}"));
        let name = |detail: &Value| {
            let text = detail.as_str().expect("a detail is a text");
            text.split('"').nth(1).unwrap_or_else(|| panic!("no quoted field: {text}")).to_owned()
        };
        details.iter().map(name).collect()
    }

    /// A header as text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// This answer, which must have the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// The keys of an object.
#[track_caller]
pub fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap_or_else(|| panic!("not an object: {value}")).keys().map(String::as_str).collect()
}

/// Fails unless an object has exactly these keys: one too many is a leak, one too few breaks a client.
#[track_caller]
pub fn assert_keys(value: &Value, expected: &[&str]) {
    assert_eq!(keys(value), expected.iter().copied().collect(), "in {value}");
}
