//! Whose pages may call the server.

use super::Environment;
use super::values::Parsed;

/// The origins whose pages may call the server from a browser.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    /// This origin and no other.
    Exact(String),
    /// This scheme and host on any port.
    AnyPort(String),
    /// Every origin.
    Any,
}

impl Origins {
    /// Any page of this machine in development, and none in production.
    #[must_use]
    pub fn default_of(environment: Environment) -> Self {
        match environment {
            Environment::Development => Self(
                ["http://localhost", "http://127.0.0.1"].map(|host| Rule::AnyPort(host.to_owned())).into(),
            ),
            Environment::Production => Self::default(),
        }
    }

    /// Reads a list of origins, separated by commas. `http://host:*` is any port of that host; `*` alone is any
    /// origin, which together with credentials is no protection at all and so is for development only.
    pub(super) fn parse(text: &str, environment: Environment) -> Parsed<Self> {
        const REMEDY: &str = "say for example https://chat.example, without a path or a slash at the end";
        let mut rules = Vec::new();
        for origin in text.split(',').map(str::trim).filter(|origin| !origin.is_empty()) {
            if origin == "*" {
                if environment == Environment::Production {
                    return Err(("allows every origin", "list the origins of your own pages"));
                }
                rules.push(Rule::Any);
                continue;
            }
            let origin = origin.to_ascii_lowercase();
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            let host = host.ok_or(("names something that is no http or https origin", REMEDY))?;
            let (host, any_port) = host.strip_suffix(":*").map_or((host, false), |host| (host, true));
            if host.is_empty() || host.contains(['/', '*', '?', '#', '@', ' ']) {
                return Err(("names something that is no origin", REMEDY));
            }
            rules.push(match origin.strip_suffix(":*") {
                Some(base) if any_port => Rule::AnyPort(base.to_owned()),
                _ => Rule::Exact(origin),
            });
        }
        Ok(Self(rules))
    }

    /// Whether `origin`, the value of an `Origin` header, is one of them. Browsers send it in lower case.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        self.0.iter().any(|rule| match rule {
            Rule::Exact(exact) => exact == origin,
            Rule::AnyPort(base) => origin.strip_prefix(base.as_str()).is_some_and(is_port_or_nothing),
            Rule::Any => origin != "null",
        })
    }
}

fn is_port_or_nothing(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| {
            (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_origin_matches() {
        let origins =
            Origins::parse("https://Chat.example, http://a.test:8080", Environment::Production).unwrap();
        for yes in ["https://chat.example", "http://a.test:8080"] {
            assert!(origins.allows(yes), "{yes}");
        }
        for no in [
            "http://chat.example",
            "https://chat.example.evil.test",
            "https://evil.test/https://chat.example",
            "https://chat.example:8443",
            "https://sub.chat.example",
            "http://a.test",
            "null",
            "",
        ] {
            assert!(!origins.allows(no), "{no}");
        }
    }

    #[test]
    fn in_development_any_port_of_this_machine_matches() {
        let origins = Origins::default_of(Environment::Development);
        for yes in ["http://localhost:3001", "http://localhost", "http://127.0.0.1:5173"] {
            assert!(origins.allows(yes), "{yes}");
        }
        for no in
            ["https://localhost:3001", "http://localhost.evil.test", "http://localhost:80@evil.test", "null"]
        {
            assert!(!origins.allows(no), "{no}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for wrong in
            ["chat.example", "https://", "https://chat.example/", "https://*.example", "ftp://a", "null"]
        {
            assert!(Origins::parse(wrong, Environment::Development).is_err(), "{wrong}");
        }
        assert!(Origins::parse("*", Environment::Production).is_err());
        assert!(Origins::parse("*", Environment::Development).unwrap().allows("https://any.test"));
    }
}
