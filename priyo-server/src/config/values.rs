//! How the values of variables are read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use priyo_core::rates::{Action, Rate, Rates};
use tracing_subscriber::EnvFilter;

use super::origins::Origins;
use super::secrets::Secret;
use super::{Config, ConfigError, Environment, Fault, LogFormat};

/// What is wrong with a value, and what to do about it.
pub(super) type Parsed<T> = Result<T, (&'static str, &'static str)>;

/// Reads variables and collects what is wrong with them.
pub(super) struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { get, faults: Vec::new() }
    }

    pub(super) fn fault(&mut self, variable: &'static str, problem: &str, remedy: &str) {
        self.faults.push(Fault { variable, problem: problem.to_owned(), remedy: remedy.to_owned() });
    }

    fn text(&self, name: &str) -> Option<String> {
        (self.get)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The value of a variable, or `default` when it is unset. One that does not parse is noted, and reading goes
    /// on as if it were unset.
    pub(super) fn value<T>(&mut self, name: &'static str, default: T, parse: fn(&str) -> Parsed<T>) -> T {
        let Some(text) = self.text(name) else { return default };
        parse(&text).unwrap_or_else(|(problem, remedy)| {
            self.fault(name, problem, remedy);
            default
        })
    }

    pub(super) fn environment(&mut self) -> Environment {
        match self.text("NODE_ENV").as_deref() {
            None | Some("development" | "test") => Environment::Development,
            Some("production") => Environment::Production,
            Some(_) => {
                self.fault("NODE_ENV", "is not a known environment", "say development or production");
                Environment::Development
            }
        }
    }

    pub(super) fn secret(&mut self, name: &'static str, environment: Environment) -> Option<Secret> {
        const REMEDY: &str = "make one with `openssl rand -hex 32`";
        // Not trimmed: white space in a secret is its owner's business.
        let secret = (self.get)(name).filter(|text| !text.is_empty()).map(Secret::new);
        if environment == Environment::Development {
            return secret;
        }
        let problem = secret.as_ref().map_or(Some("is not set"), Secret::weakness);
        if let Some(problem) = problem {
            self.fault(name, problem, REMEDY);
        }
        secret
    }

    /// A secret that production can do without, but that is no weaker there if it is set.
    pub(super) fn optional_secret(&mut self, name: &'static str, environment: Environment) -> Option<Secret> {
        (self.get)(name).filter(|text| !text.is_empty())?;
        self.secret(name, environment)
    }

    pub(super) fn origins(
        &mut self,
        name: &'static str,
        environment: Environment,
        default: Origins,
    ) -> Origins {
        let Some(text) = self.text(name) else { return default };
        Origins::parse(&text, environment).unwrap_or_else(|(problem, remedy)| {
            self.fault(name, problem, remedy);
            default
        })
    }

    /// Those that are not set have their defaults, or none when `by_default` is false.
    pub(super) fn rates(&mut self, environment: Environment, by_default: bool) -> Rates {
        let mut rates = if by_default { Rates::default() } else { Rates::off() };
        if by_default && environment == Environment::Production {
            rates.set(Action::Request, Rate::parse("500/15m"));
        }
        for action in Action::ALL {
            rates.set(action, self.value(action.variable(), rates.of(action), rate));
        }
        rates
    }

    pub(super) fn log_filter(&mut self) -> String {
        for name in ["RUST_LOG", "LOG_LEVEL"] {
            let Some(text) = self.text(name) else { continue };
            if EnvFilter::try_new(&text).is_ok() {
                return text;
            }
            self.fault(name, "is no log level", "say error, warn, info, debug or trace");
        }
        "info".to_owned()
    }

    pub(super) fn finish(self, config: Config) -> Result<Config, ConfigError> {
        if self.faults.is_empty() { Ok(config) } else { Err(ConfigError(self.faults)) }
    }
}

pub(super) fn duration(text: &str) -> Parsed<Duration> {
    const WRONG: (&str, &str) =
        ("is no length of time", "say for example 30s, 15m, 12h, 7d, or a number of seconds");
    let (digits, unit) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1),
        Some(b'm') => (&text[..text.len() - 1], 60),
        Some(b'h') => (&text[..text.len() - 1], 60 * 60),
        Some(b'd') => (&text[..text.len() - 1], 24 * 60 * 60),
        _ => (text, 1),
    };
    let number = digits.trim_end().parse::<u32>().map_err(|_| WRONG)?;
    if number == 0 { Err(WRONG) } else { Ok(Duration::from_secs(u64::from(number) * unit)) }
}

pub(super) fn addresses(text: &str) -> Parsed<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if name == "localhost" {
            addresses.extend([IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]);
        } else {
            let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
            let wrong =
                ("names something that is no IP address", "say for example 127.0.0.1,::1 or 0.0.0.0,::");
            addresses.push(bare.parse().map_err(|_| wrong)?);
        }
    }
    Ok(addresses)
}

pub(super) fn port(text: &str) -> Parsed<u16> {
    text.parse().map_err(|_| ("is no TCP port", "say a number from 1 to 65535, or 0 for any free one"))
}

pub(super) fn proxies(text: &str) -> Parsed<u8> {
    text.parse().map_err(|_| ("is no number of proxies", "say how many proxies are in front, 0 for none"))
}

pub(super) fn switch(text: &str) -> Parsed<bool> {
    match text {
        "on" | "true" | "1" => Ok(true),
        "off" | "false" | "0" => Ok(false),
        _ => Err(("is neither on nor off", "say on or off")),
    }
}

pub(super) fn rate(text: &str) -> Parsed<Option<Rate>> {
    match text {
        "off" => Ok(None),
        text => Rate::parse(text).map(Some).ok_or(("is no rate", "say for example 10/15m, 60+5/1s, or off")),
    }
}

pub(super) fn count(text: &str) -> Parsed<usize> {
    let number = text.parse().ok().filter(|count| *count > 0);
    number.ok_or(("is no number of things", "say a whole number that is not 0"))
}

pub(super) fn bytes(text: &str) -> Parsed<u64> {
    let number = text.parse().ok().filter(|bytes| *bytes > 0);
    number.ok_or(("is no number of bytes", "say a whole number, for example 5242880 for 5 MiB"))
}

#[allow(clippy::unnecessary_wraps, reason = "one of the readers that `Reader::value` takes")]
pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    Ok(PathBuf::from(text))
}

pub(super) fn log_format(text: &str) -> Parsed<Option<LogFormat>> {
    match text {
        "human" => Ok(Some(LogFormat::Human)),
        "json" => Ok(Some(LogFormat::Json)),
        _ => Err(("is no format for log lines", "say human or json")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_a_unit_or_are_seconds() {
        for (text, seconds) in [("30s", 30), ("15m", 900), ("12h", 43_200), ("7d", 604_800), ("90", 90)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "0", "0d", "m", "-1s", "1w", "1.5h", "99999999999s", "15 min"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_may_be_named_or_in_brackets() {
        let both = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        assert_eq!(addresses("localhost").unwrap(), both);
        assert_eq!(addresses("127.0.0.1, [::1],").unwrap(), both);
        assert!(addresses("127.0.0.1:80").is_err());
    }
}
