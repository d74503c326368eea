//! Visitors of websites: what they say of themselves, and what those who answer them see.

use serde_json::Value;

use super::fields::{Fields, Unknown};
use super::user::is_email;
use super::{ConversationSummary, Timestamp, User, UserBrief, UserId};
use crate::error::Result;

/// A visitor of a website: a user who cannot log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// The user, a customer.
    pub user: User,
    /// What the website's own server calls them; none for one who is known by a token only.
    pub identity: Option<String>,
    /// What they said of themselves.
    pub contact: Contact,
}

/// What a visitor has said of themselves. Nobody has looked whether it is true.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// A name.
    pub name: Option<String>,
    /// Where to write to them: never a login.
    pub email: Option<String>,
    /// The page that they are on.
    pub page: Option<VisitedPage>,
}

impl Contact {
    /// The same, with what is new of it.
    #[must_use]
    pub fn updated(&self, new: Self) -> Self {
        let known = self.clone();
        Self {
            name: new.name.or(known.name),
            email: new.email.or(known.email),
            page: new.page.or(known.page),
        }
    }
}

/// A page of a website.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitedPage {
    /// Its address: http or https, without a login in it.
    pub url: String,
    /// Its title, perhaps empty.
    pub title: String,
}

/// A support conversation as those who answer it see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxItem {
    /// The conversation. For one who is not in it, what is unread is what nobody has answered.
    pub summary: ConversationSummary,
    /// The user that the visitor is.
    pub visitor_id: UserId,
    /// What they said of themselves.
    pub visitor: Contact,
    /// Who has taken it on.
    pub assignee: Option<UserBrief>,
    /// When the visitor wrote what has not been answered.
    pub waiting_since: Option<Timestamp>,
}

/// Which support conversations to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboxState {
    /// Open, and nobody's.
    Unassigned,
    /// Open, and of the one who asks.
    Mine,
    /// Open.
    Open,
    /// Closed.
    Closed,
}

impl InboxState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Unassigned, Self::Mine, Self::Open, Self::Closed];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unassigned => "unassigned",
            Self::Mine => "mine",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }

    /// The state with this exact name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// What a visitor's browser sends when it comes.
#[derive(Clone, Default)]
pub struct Visit {
    /// The secret that the browser was given when it first came.
    pub visitor_token: Option<String>,
    /// What the visitor says of themselves.
    pub contact: Contact,
    /// Who they are by the word of the website's own server.
    pub identity: Option<Claimed>,
}

/// Who a visitor is, and the proof of it.
#[derive(Clone)]
pub struct Claimed {
    /// What the website's server calls them.
    pub user_id: String,
    /// The HMAC-SHA256 of that in hexadecimal, under the secret that the website shares with the engine.
    pub hash: String,
}

/// Bounds on what a visitor says of themselves. None of it is worth refusing a question for where it can be cut.
const NAME_CHARS: usize = 100;
const IDENTITY_BYTES: usize = 255;
const TITLE_CHARS: usize = 200;
const URL_BYTES: usize = 2_048;

impl Visit {
    /// Reads a visit.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`](crate::Error::Validation) with one entry for each field at fault.
    pub fn parse(body: Value) -> Result<Self> {
        let mut fields = Fields::new(body, Unknown::Refuse)?;
        let visitor_token = fields.optional_string("visitorToken");
        let said = Self::contact_in(&mut fields);
        let identity = fields.optional_object("identity", |fields| {
            let (user_id, hash) = (fields.string("userId"), fields.string("hash"));
            let is_id =
                |id: &str| (1..=IDENTITY_BYTES).contains(&id.len()) && !id.chars().any(char::is_control);
            fields.check(
                "userId",
                user_id.as_deref(),
                is_id,
                "must be 1 to 255 bytes long, without control characters",
            );
            (user_id.zip(hash), Self::contact_in(fields))
        });
        let page = fields.optional_object("page", |fields| {
            VisitedPage::cleaned(&fields.string("url")?, &fields.optional_string("title").unwrap_or_default())
        });
        fields.finish()?;
        let (claimed, proven) = identity.unwrap_or_default();
        let contact = Contact { page: page.flatten(), ..said.updated(proven) };
        let identity = claimed.map(|(user_id, hash)| Claimed { user_id, hash });
        Ok(Self { visitor_token, contact, identity })
    }

    fn contact_in(fields: &mut Fields) -> Contact {
        let name = fields.optional_string("name").and_then(|name| cleaned(&name, NAME_CHARS));
        let email = fields.optional_string("email").map(|email| email.trim().to_ascii_lowercase());
        let email = email.filter(|email| !email.is_empty());
        fields.check("email", email.as_deref(), is_email, "must be a valid email");
        Contact { name, email, page: None }
    }
}

/// Without the secrets: debug output ends up in logs.
impl std::fmt::Debug for Visit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Visit")
    }
}

impl std::fmt::Debug for Claimed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Claimed")
    }
}

impl VisitedPage {
    /// What is kept of a page: none if its address is no plain http or https one.
    #[must_use]
    pub fn cleaned(url: &str, title: &str) -> Option<Self> {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let is_plain = |letter: char| !letter.is_control() && !letter.is_whitespace();
        if host.is_empty() || host.contains(['@', '\\']) || !url.chars().all(is_plain) {
            return None;
        }
        // What follows the path is the first to go: it says least, and is the longest.
        let whole = Some(url).filter(|url| url.len() <= URL_BYTES);
        let url = whole.or_else(|| url.split(['?', '#']).next().filter(|url| url.len() <= URL_BYTES))?;
        Some(Self { url: url.to_owned(), title: cleaned(title, TITLE_CHARS).unwrap_or_default() })
    }
}

/// A text without control characters and white space around it, cut to so many characters; none if nothing is left.
fn cleaned(text: &str, max_chars: usize) -> Option<String> {
    let plain: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let cut: String = plain.trim().chars().take(max_chars).collect();
    Some(cut.trim_end().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_addresses_that_can_be_opened_safely_are_kept() {
        let url = |url: &str| VisitedPage::cleaned(url, " A\u{7}title\n").map(|page| (page.url, page.title));
        assert_eq!(
            url("https://a.example/b?c#d"),
            Some(("https://a.example/b?c#d".into(), "A title".into()))
        );
        for none in [
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://a.example",
            "https://",
            "https:///x",
            "https://user:pass@a.example/",
            "https://a.example\\@b.example/",
            "https://a.example/\u{202e} x",
            "https://a.example/\n",
            "",
        ] {
            assert_eq!(url(none), None, "{none}");
        }
        let long = format!("https://a.example/b?{}", "c".repeat(3_000));
        assert_eq!(url(&long).unwrap().0, "https://a.example/b");
        assert_eq!(url(&format!("https://a.example/{}", "b".repeat(3_000))), None);
    }

    #[test]
    fn a_visit_may_say_nothing_and_is_refused_for_nonsense() {
        let visit = Visit::parse(json!({})).unwrap();
        assert!(visit.visitor_token.is_none() && visit.identity.is_none());
        let visit = Visit::parse(json!({
            "visitorToken": null, "name": " \u{1}Ann\t", "page": { "url": "file:///etc/passwd", "title": "x" },
        }));
        assert_eq!(visit.unwrap().contact, Contact { name: Some("Ann".into()), ..Contact::default() });
        for bad in [
            json!({ "identity": {} }),
            json!({ "identity": { "userId": "", "hash": "" } }),
            json!({ "identity": "x" }),
            json!({ "identity": { "userId": "a", "hash": "b", "role": "ADMIN" } }),
            json!({ "role": "ADMIN" }),
            json!({ "email": "nobody" }),
            json!({ "page": { "title": "x" } }),
            json!({ "visitorToken": 7 }),
        ] {
            assert!(Visit::parse(bad.clone()).is_err(), "{bad}");
        }
    }
}
