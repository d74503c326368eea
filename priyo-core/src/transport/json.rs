//! JSON as a careful reader takes it: UTF-8, bounded in depth, no key twice.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Reads a JSON text.
///
/// # Errors
///
/// - [`Error::Validation`] naming the key, when an object at any depth has it twice: which of the two a reader
///   takes differs, so what was checked might not be what is used.
/// - [`Error::MalformedJson`] when it is not JSON, not UTF-8, or nested more than 127 deep.
pub(crate) fn parse(text: &[u8]) -> Result<Value> {
    let doubled = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Unique(&doubled).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|_| match doubled.into_inner() {
        Some(key) => Error::field(&key, "must not be there twice"),
        None => Error::MalformedJson,
    })
}

/// A value whose objects have no key twice; the first key that is goes into the cell.
#[derive(Clone, Copy)]
struct Unique<'a>(&'a RefCell<Option<String>>);

/// Longest key that an error repeats, in characters.
const SHOWN: usize = 64;

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                *self.0.borrow_mut() = Some(key.chars().take(SHOWN).collect());
                return Err(A::Error::custom("a key is there twice"));
            }
            map.insert(key, entries.next_value_seed(self)?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let value = json!({"a": [1, -2, 2.5, "x\u{1F600}", true, null, {"a": {}}], "b": u64::MAX});
        assert_eq!(parse(value.to_string().as_bytes()).unwrap(), value);
    }

    #[test]
    fn a_key_that_is_there_twice_is_named() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#] {
            let Err(Error::Validation(details)) = parse(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(details, ["\"a\" must not be there twice"]);
        }
        assert!(parse(br#"{"a":{"b":1},"b":{"a":1}}"#).is_ok());
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        let deep = "[".repeat(100_000);
        let texts: [&[u8]; 8] =
            [b"", b"{", b"{}x", b"\xff", b"\"\xff\"", br#""\ud800""#, b"1e400", deep.as_bytes()];
        for text in texts {
            assert!(matches!(parse(text), Err(Error::MalformedJson)), "{:?}", &text[..text.len().min(9)]);
        }
    }
}
