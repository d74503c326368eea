//! The query of a request: read strictly where it is asked for, not looked at elsewhere.

use std::convert::Infallible;
use std::ops::RangeInclusive;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::error::{Error, Result};

/// Numbers beyond this a JavaScript client could not have meant.
const MAX_NUMBER: u64 = 1 << 53;

/// The parameters of a query. Each getter notes a fault and answers `None` when its parameter is wrong;
/// [`finish`](Self::finish) reports them all. Parameters that nobody asks for do not matter.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    faults: Vec<String>,
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Every text is a query; what is not UTF-8 in it is read as U+FFFD.
        let pairs = axum::extract::Query::try_from_uri(&parts.uri).map(|query| query.0).unwrap_or_default();
        Ok(Self { pairs, faults: Vec::new() })
    }
}

impl Query {
    /// A text.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let mut values = self.pairs.iter().filter(|(key, _)| key == name);
        let first = values.next().map(|(_, value)| value.clone());
        if values.next().is_some() {
            self.fault(name, "must not be there twice");
            return None;
        }
        first
    }

    /// A text that `read` understands.
    pub(super) fn read<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let value = read(&text);
        if value.is_none() {
            self.fault(name, "is not valid");
        }
        value
    }

    /// A whole number within a range.
    pub(super) fn number(&mut self, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let text = self.text(name)?;
        // `parse` alone would take a plus sign.
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| digits && range.contains(number));
        if number.is_none() {
            let (from, to) = range.into_inner();
            self.fault(name, &format!("must be a whole number between {from} and {to}"));
        }
        number
    }

    /// A whole number that is at least `from`.
    pub(super) fn number_from(&mut self, name: &str, from: u64) -> Option<u64> {
        self.number(name, from..=MAX_NUMBER)
    }

    /// Notes a fault when there is more than one of these.
    pub(super) fn at_most_one(&mut self, names: &[&str]) {
        let mut there = names.iter().filter(|name| self.pairs.iter().any(|(key, _)| key == *name));
        if let (Some(first), Some(second)) = (there.next(), there.next()) {
            let what = format!("must not be there together with \"{first}\"");
            self.fault(second, &what);
        }
    }

    /// Reports what was wrong.
    pub(super) fn finish(self) -> Result<()> {
        if self.faults.is_empty() { Ok(()) } else { Err(Error::Validation(self.faults)) }
    }

    fn fault(&mut self, name: &str, what: &str) {
        self.faults.push(format!("\"{name}\" {what}"));
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;

    use super::*;

    fn query(text: &str) -> Query {
        let uri: Uri = format!("/?{text}").parse().unwrap();
        Query { pairs: axum::extract::Query::try_from_uri(&uri).unwrap().0, faults: Vec::new() }
    }

    #[test]
    fn a_number_is_digits_in_range_and_there_once() {
        for (text, number) in [("", None), ("n=1", Some(1)), ("n=007", Some(7)), ("m=x&n=200", Some(200))] {
            let mut query = query(text);
            assert_eq!(query.number("n", 1..=200), number, "{text}");
            assert!(query.finish().is_ok(), "{text}");
        }
        let huge = u64::MAX.to_string() + "0";
        for value in
            ["", "0", "201", "-1", "+1", "1.5", "1e2", "%201", "abc", "0x1", "1&n=1", "%D9%A1", &huge]
        {
            let mut query = query(&format!("n={value}"));
            assert_eq!(query.number("n", 1..=200), None, "{value}");
            let Err(Error::Validation(details)) = query.finish() else { panic!("{value}") };
            assert!(details[0].starts_with("\"n\" "), "{details:?}");
        }
    }

    #[test]
    fn parameters_that_exclude_each_other_are_faults_together() {
        for (text, good) in [("a=1", true), ("c=1&d=2", true), ("a=1&b=1", false), ("b=&a=", false)] {
            let mut query = query(text);
            query.at_most_one(&["a", "b"]);
            assert_eq!(query.finish().is_ok(), good, "{text}");
        }
    }
}
