//! Reading a JSON object field by field, so that every fault is named at once.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

const NUL: &str = "must not contain a NUL character";

/// What to do with fields that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// A fault: a typo must not be silently ignored.
    Refuse,
    /// Left alone.
    Ignore,
}

/// The fields of one JSON object. Each getter notes a fault and answers `None` when its field is wrong;
/// [`finish`](Self::finish) reports them all.
#[derive(Debug)]
pub struct Fields {
    map: Map<String, Value>,
    unknown: Unknown,
    faults: Vec<String>,
    /// What the names of the fields are shown with: the way to an object within another.
    path: String,
}

impl Fields {
    /// Takes an object apart.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] when `body` is not an object.
    pub fn new(body: Value, unknown: Unknown) -> Result<Self> {
        match body {
            Value::Object(map) => Ok(Self { map, unknown, faults: Vec::new(), path: String::new() }),
            _ => Err(Error::Validation(vec!["\"value\" must be of type object".to_owned()])),
        }
    }

    /// No fields: for values that come without a body, from a host program.
    #[must_use]
    pub fn none() -> Self {
        Self { map: Map::new(), unknown: Unknown::Refuse, faults: Vec::new(), path: String::new() }
    }

    /// Notes a fault of one field.
    pub fn fault(&mut self, field: &str, what: &str) {
        let path = &self.path;
        self.faults.push(format!("\"{path}{field}\" {what}"));
    }

    /// Notes a fault when there is a value and it does not pass `test`.
    pub fn check<T: ?Sized>(
        &mut self,
        field: &str,
        value: Option<&T>,
        test: impl FnOnce(&T) -> bool,
        what: &str,
    ) {
        if value.is_some_and(|value| !test(value)) {
            self.fault(field, what);
        }
    }

    /// A text that must be there.
    pub fn string(&mut self, field: &str) -> Option<String> {
        let value = self.map.remove(field);
        if value.is_none() {
            self.fault(field, "is required");
        }
        self.text(field, value?)
    }

    /// A text that may be missing; `null` counts as missing.
    pub fn optional_string(&mut self, field: &str) -> Option<String> {
        let value = self.map.remove(field).filter(|value| !value.is_null())?;
        self.text(field, value)
    }

    /// One of a few texts, which may be missing.
    pub fn optional_choice(&mut self, field: &str, choices: &[&'static str]) -> Option<&'static str> {
        let text = self.map.remove(field)?;
        let found = text.as_str().and_then(|text| choices.iter().find(|choice| **choice == text));
        if found.is_none() {
            self.fault(field, &format!("must be one of [{}]", choices.join(", ")));
        }
        found.copied()
    }

    /// One of a few texts, which must be there.
    pub fn choice(&mut self, field: &str, choices: &[&'static str]) -> Option<&'static str> {
        if !self.map.contains_key(field) {
            self.fault(field, "is required");
        }
        self.optional_choice(field, choices)
    }

    /// A list of texts, `1..=max` of them.
    pub fn strings(&mut self, field: &str, max: usize) -> Option<Vec<String>> {
        let Some(value) = self.map.remove(field) else {
            self.fault(field, "is required");
            return None;
        };
        let Value::Array(items) = value else {
            self.fault(field, "must be an array");
            return None;
        };
        if items.is_empty() || items.len() > max {
            self.fault(field, &format!("must contain 1 to {max} items"));
            return None;
        }
        let texts: Option<Vec<String>> = items
            .into_iter()
            .map(|item| if let Value::String(text) = item { Some(text) } else { None })
            .collect();
        if texts.is_none() {
            self.fault(field, "must contain only strings");
        }
        texts
    }

    /// A yes or no that may be missing.
    pub fn optional_bool(&mut self, field: &str) -> Option<bool> {
        let value = self.map.remove(field)?;
        let yes = value.as_bool();
        if yes.is_none() {
            self.fault(field, "must be a boolean");
        }
        yes
    }

    /// A number of `0..=2^53`, which may be missing.
    pub fn optional_count(&mut self, field: &str) -> Option<u64> {
        let value = self.map.remove(field).filter(|value| !value.is_null())?;
        let number = count(&value);
        if number.is_none() {
            self.fault(field, "must be a whole number that is not negative");
        }
        number
    }

    /// An object of numbers of `0..=2^53` by name, at most `max` of them.
    pub fn counts(&mut self, field: &str, max: usize) -> Option<Vec<(String, u64)>> {
        let Some(value) = self.map.remove(field) else {
            self.fault(field, "is required");
            return None;
        };
        let Value::Object(items) = value else {
            self.fault(field, "must be an object");
            return None;
        };
        if items.len() > max {
            self.fault(field, &format!("must contain at most {max} items"));
            return None;
        }
        let counts = items.into_iter().map(|(name, value)| Some((name, count(&value)?)));
        let counts: Option<Vec<_>> = counts.collect();
        if counts.is_none() {
            self.fault(field, "must contain only whole numbers that are not negative");
        }
        counts
    }

    /// An object that may be missing, taken apart by `read`; `null` counts as missing.
    pub fn optional_object<T>(&mut self, field: &str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let value = self.map.remove(field).filter(|value| !value.is_null())?;
        let Value::Object(map) = value else {
            self.fault(field, "must be an object");
            return None;
        };
        let path = format!("{}{field}.", self.path);
        let mut inner = Self { map, unknown: self.unknown, faults: Vec::new(), path };
        let found = read(&mut inner);
        inner.note_strangers();
        self.faults.append(&mut inner.faults);
        Some(found)
    }

    /// Whether the field is there.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.map.contains_key(field)
    }

    /// Takes a field and does not look at it.
    pub fn ignore(&mut self, field: &str) {
        self.map.remove(field);
    }

    /// Notes a fault when there is a text and it has a NUL: Postgres cannot store one, and SQLite would cut the text
    /// there. Those of a body are looked at when they are read.
    pub fn check_nul(&mut self, field: &str, text: Option<&str>) {
        self.check(field, text, |text| !text.contains('\0'), NUL);
    }

    /// Reports what was wrong.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] when there was a fault, or a field that nobody asked for and that is not ignored.
    pub fn finish(mut self) -> Result<()> {
        self.note_strangers();
        if self.faults.is_empty() { Ok(()) } else { Err(Error::Validation(self.faults)) }
    }

    /// Notes those fields that nobody asked for.
    fn note_strangers(&mut self) {
        if self.unknown == Unknown::Refuse {
            let strangers: Vec<String> = self.map.keys().take(20).cloned().collect();
            for name in strangers {
                // A name as long as the body would come back as an error as long as the body.
                let shown: String = name.chars().take(64).collect();
                self.fault(&shown, "is not allowed");
            }
        }
    }

    fn text(&mut self, field: &str, value: Value) -> Option<String> {
        match value {
            Value::String(text) if text.contains('\0') => {
                self.fault(field, NUL);
                None
            }
            Value::String(text) => Some(text),
            _ => {
                self.fault(field, "must be a string");
                None
            }
        }
    }
}

/// Beyond 2^53 a JavaScript client could not have meant the number it sent.
fn count(value: &Value) -> Option<u64> {
    value.as_u64().filter(|number| *number <= 1 << 53)
}
