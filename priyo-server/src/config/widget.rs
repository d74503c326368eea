//! How visitors of websites are received.

use priyo_core::Widget;

use super::values::{self, Parsed, Reader};
use super::{Environment, Secret};

/// How visitors of websites are received.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct WidgetSettings {
    /// `WIDGET_TITLE`: what they see above the conversation.
    pub title: Option<String>,
    /// `WIDGET_GREETING`: what each conversation begins with; empty for nothing.
    pub greeting: Option<String>,
    /// `WIDGET_ACCENT`: the colour of buttons.
    pub accent: Option<String>,
    /// `WIDGET_LOCALE`: the language of the first message.
    pub locale: Option<String>,
    /// `WIDGET_IDENTITY_SECRET`: proves who a visitor is.
    pub identity_secret: Option<Secret>,
    /// `WIDGET_IDENTITY_REQUIRED`: whether only visitors with such a proof are received.
    pub identity_required: bool,
}

impl WidgetSettings {
    /// `None` when visitors are not received: `WIDGET`.
    pub(super) fn read(read: &mut Reader<'_>, environment: Environment) -> Option<Self> {
        let is_on = read.value("WIDGET", true, values::switch);
        let settings = Self {
            title: read.value("WIDGET_TITLE", None, title),
            greeting: read.value("WIDGET_GREETING", None, greeting),
            accent: read.value("WIDGET_ACCENT", None, accent),
            locale: read.value("WIDGET_LOCALE", None, locale),
            identity_secret: read.optional_secret("WIDGET_IDENTITY_SECRET", environment),
            identity_required: read.value("WIDGET_IDENTITY_REQUIRED", false, values::switch),
        };
        if settings.identity_required && settings.identity_secret.is_none() {
            let remedy = "set WIDGET_IDENTITY_SECRET, too; make one with `openssl rand -hex 32`";
            read.fault(
                "WIDGET_IDENTITY_REQUIRED",
                "is on without a secret to prove an identity with",
                remedy,
            );
        }
        is_on.then_some(settings)
    }

    /// The same for the engine.
    pub(crate) fn for_engine(&self) -> Widget {
        let mut widget = Widget::default();
        widget.title.clone_from(&self.title);
        widget.greeting.clone_from(&self.greeting);
        widget.accent.clone_from(&self.accent);
        widget.locale.clone_from(&self.locale);
        widget.identity_secret =
            self.identity_secret.as_ref().map(|secret| secret.reveal().as_bytes().to_vec());
        widget.identity_required = self.identity_required;
        widget
    }
}

fn title(text: &str) -> Parsed<Option<String>> {
    sized(text, 100).ok_or(("is longer than 100 characters", "say it shorter"))
}

fn greeting(text: &str) -> Parsed<Option<String>> {
    let text = if text == "off" { "" } else { text };
    sized(text, 1_000).ok_or(("is longer than 1000 characters", "say it shorter"))
}

fn sized(text: &str, max: usize) -> Option<Option<String>> {
    (text.chars().count() <= max && !text.contains('\0')).then(|| Some(text.to_owned()))
}

fn accent(text: &str) -> Parsed<Option<String>> {
    let is_hex = text.strip_prefix('#').is_some_and(|digits| {
        [3, 6].contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    });
    if is_hex { Ok(Some(text.to_owned())) } else { Err(("is no colour", "say for example #2563eb")) }
}

fn locale(text: &str) -> Parsed<Option<String>> {
    let is_tag = (2..=35).contains(&text.len())
        && text.split('-').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()));
    if is_tag {
        Ok(Some(text.to_owned()))
    } else {
        Err(("is no language", "say for example en, de or pt-BR"))
    }
}
