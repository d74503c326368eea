//! The settings of the website widget.

use std::fmt;

use crate::error::{Error, Result};

/// How visitors of websites are received. With it an engine that keeps accounts has a widget, and an inbox for those
/// who answer.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Widget {
    /// What the visitors see above the conversation, and who greets them; the page decides when not given.
    pub title: Option<String>,
    /// The first message of each conversation; in the visitor's language when not given, and none when empty.
    pub greeting: Option<String>,
    /// The colour of buttons, as in CSS; the page decides when not given.
    pub accent: Option<String>,
    /// The language of the first message, such as `de`; the visitor's own when not given. The widget's texts are in that
    /// of its page.
    pub locale: Option<String>,
    /// Shared with the website's own server, which proves by it who a visitor is: at least 32 random bytes.
    pub identity_secret: Option<Vec<u8>>,
    /// Whether only visitors with such a proof are received.
    pub identity_required: bool,
}

/// As many as HMAC-SHA256 makes use of (RFC 2104, section 3).
const SECRET_BYTES: usize = 32;

impl Widget {
    /// Refuses what nobody could use, and a secret that can be guessed unless weak ones are allowed.
    pub(crate) fn check(&self, weak_secrets: bool) -> Result<()> {
        let length = self.identity_secret.as_ref().map(Vec::len);
        if self.identity_required && length.is_none_or(|length| length == 0) {
            return Err(Error::Refused("visitors cannot prove who they are without an identity secret"));
        }
        if length.is_some_and(|length| length < SECRET_BYTES) && !weak_secrets {
            return Err(Error::Refused("the identity secret must be 32 bytes or more"));
        }
        Ok(())
    }

    /// The first message of a conversation, in the first of these languages that there is one in.
    pub(crate) fn greeting_in<'a>(&self, languages: impl IntoIterator<Item = &'a str>) -> Option<String> {
        if let Some(own) = &self.greeting {
            return Some(own.clone()).filter(|text| !text.trim().is_empty());
        }
        let known = |language: &str| {
            let code = language.split('-').next().unwrap_or_default();
            GREETINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, text)| *text)
        };
        let own = self.locale.as_deref().and_then(known);
        let text = own.or_else(|| languages.into_iter().find_map(known)).unwrap_or(GREETINGS[0].1);
        Some(text.to_owned())
    }
}

/// In the languages that the widget speaks, the first one where it speaks none that is asked for.
const GREETINGS: [(&str, &str); 4] = [
    ("en", "Hello! How can we help you?"),
    ("de", "Hallo! Wie können wir helfen?"),
    ("es", "¡Hola! ¿En qué podemos ayudarte?"),
    ("bn", "নমস্কার! আমরা কীভাবে সাহায্য করতে পারি?"),
];

/// Without the secret.
impl fmt::Debug for Widget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Widget").field("title", &self.title).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_is_in_a_language_that_the_visitor_reads() {
        let widget = Widget::default();
        let greets =
            |widget: &Widget, languages: &[&str]| widget.greeting_in(languages.iter().copied()).unwrap();
        assert!(greets(&widget, &["de-AT", "en"]).starts_with("Hallo"));
        assert!(greets(&widget, &["fr", "es"]).starts_with("¡Hola"));
        assert!(greets(&widget, &["fr"]).starts_with("Hello"));
        let german = Widget { locale: Some("de".into()), ..Widget::default() };
        assert!(greets(&german, &["en"]).starts_with("Hallo"));
        let own = Widget { greeting: Some("Hi".into()), ..Widget::default() };
        assert_eq!(greets(&own, &["de"]), "Hi");
        assert_eq!(Widget { greeting: Some(" ".into()), ..own }.greeting_in(["de"]), None);
    }

    #[test]
    fn an_identity_that_cannot_be_proven_is_not_asked_for() {
        let widget = |secret: Option<&[u8]>, required| Widget {
            identity_secret: secret.map(<[u8]>::to_vec),
            identity_required: required,
            ..Widget::default()
        };
        assert!(widget(None, true).check(true).is_err());
        assert!(widget(Some(b""), true).check(true).is_err());
        assert!(widget(Some(b"short"), false).check(false).is_err());
        assert!(widget(Some(b"short"), true).check(true).is_ok());
        assert!(widget(Some(&[1; 32]), true).check(false).is_ok());
        assert!(widget(None, false).check(false).is_ok());
    }
}
