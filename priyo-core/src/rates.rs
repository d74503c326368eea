//! How often a client may do what: the one table of it.

use std::fmt;
use std::time::Duration;

/// How often something may be done: so often at once, and then once more each time that a while has passed.
///
/// Written `10/15m`, ten in a quarter of an hour, or `60+5/1s`, sixty at once and then five each second. What was done
/// is forgiven one by one and not all together, so that there is no moment to wait for: of `10/15m`, one comes back each
/// 90 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    burst: u32,
    every: Duration,
}

/// Nobody is remembered for longer.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

impl Rate {
    /// Reads a rate: a count, `/`, and a length of time in `s`, `m`, `h` or `d`; before them perhaps another count for
    /// the first time, and `+`. `None` when it is none, or one that takes more than a year to recover from.
    #[must_use]
    pub const fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        let Some((first, at)) = number(text, 0) else { return None };
        let (count, at) = match byte(text, at) {
            b'+' => match number(text, at + 1) {
                Some(second) => second,
                None => return None,
            },
            _ => (first, at),
        };
        if byte(text, at) != b'/' {
            return None;
        }
        let Some((length, at)) = number(text, at + 1) else { return None };
        let unit = match byte(text, at) {
            b's' => 1,
            b'm' => 60,
            b'h' => 60 * 60,
            b'd' => 24 * 60 * 60,
            _ => return None,
        };
        if text.len() != at + 1 {
            return None;
        }
        let Some(every) = Duration::from_secs(length as u64 * unit).checked_div(count) else { return None };
        match every.checked_mul(first) {
            Some(all) if all.as_nanos() <= LONGEST.as_nanos() && !every.is_zero() => {
                Some(Self { burst: first, every })
            }
            _ => None,
        }
    }

    /// How often it may be done at once.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// How long it takes until it may be done once more.
    #[must_use]
    pub const fn every(self) -> Duration {
        self.every
    }
}

/// The byte at a place; 0 behind the end.
const fn byte(text: &[u8], at: usize) -> u8 {
    if at < text.len() { text[at] } else { 0 }
}

/// The number that begins at a place, if there is one above 0, and where it ends.
const fn number(text: &[u8], from: usize) -> Option<(u32, usize)> {
    let (mut value, mut at) = (0_u32, from);
    while byte(text, at).is_ascii_digit() {
        let digit = (byte(text, at) - b'0') as u32;
        let Some(tens) = value.checked_mul(10) else { return None };
        let Some(sum) = tens.checked_add(digit) else { return None };
        (value, at) = (sum, at + 1);
    }
    if value == 0 { None } else { Some((value, at)) }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at once, then one more every {:?}", self.burst, self.every)
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is described in the table")]
pub enum Action {
    Request,
    Login,
    LoginFrom,
    Register,
    Converse,
    Visit,
    Upload,
    Send,
    Typing,
    Join,
    Read,
    Sync,
    Event,
    Excess,
}

/// One line of the table.
struct Row {
    name: &'static str,
    variable: &'static str,
    rate: &'static str,
    what: &'static str,
}

const fn row(name: &'static str, variable: &'static str, rate: &'static str, what: &'static str) -> Row {
    Row { name, variable, rate, what }
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Request,
        Self::Login,
        Self::LoginFrom,
        Self::Register,
        Self::Converse,
        Self::Visit,
        Self::Upload,
        Self::Send,
        Self::Typing,
        Self::Join,
        Self::Read,
        Self::Sync,
        Self::Event,
        Self::Excess,
    ];

    #[rustfmt::skip]
    const fn row(self) -> Row {
        match self {
            Self::Request => row("request", "RATE_LIMIT_REQUESTS", "2000/15m",
                "Requests of one user, or of one address that has no good token."),
            Self::Login => row("login", "RATE_LIMIT_LOGINS", "10/15m",
                "Logins to one account from one address."),
            Self::LoginFrom => row("login_from", "RATE_LIMIT_LOGINS_FROM", "30/1m",
                "Logins from one address."),
            Self::Register => row("register", "RATE_LIMIT_REGISTRATIONS", "5/1m",
                "Registrations from one address; those that an ADMIN makes do not count."),
            Self::Converse => row("converse", "RATE_LIMIT_CONVERSATIONS", "30/1h",
                "New conversations of one user."),
            Self::Visit => row("visit", "RATE_LIMIT_VISITS", "6/1h",
                "New conversations of visitors of websites, from one address."),
            Self::Upload => row("upload", "RATE_LIMIT_UPLOADS", "60/1h",
                "Uploads of one user."),
            Self::Send => row("send", "RATE_LIMIT_SENDS", "60+5/1s",
                "Messages of one user."),
            Self::Typing => row("typing", "RATE_LIMIT_TYPING", "1/2s",
                "Typing notices of one user in one conversation."),
            Self::Join => row("join", "RATE_LIMIT_JOINS", "300+20/1s",
                "Joins of one socket."),
            Self::Read => row("read", "RATE_LIMIT_READS", "120+20/1s",
                "Calls that mark messages as read, of one socket or of one user over REST."),
            Self::Sync => row("sync", "RATE_LIMIT_SYNCS", "60+5/1s",
                "Calls of sync of one socket."),
            Self::Event => row("event", "RATE_LIMIT_EVENTS", "600+100/1s",
                "Events of any kind of one socket."),
            Self::Excess => row("excess", "RATE_LIMIT_EXCESS", "1000+10/1s",
                "Events of one socket beyond RATE_LIMIT_EVENTS; with one more the socket is closed."),
        }
    }

    /// Its name in measurements.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The environment variable that sets its rate, where a program reads it from there.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        self.row().variable
    }

    /// Its default rate, as [`Rate::parse`] reads it.
    #[must_use]
    pub const fn default_rate(self) -> &'static str {
        self.row().rate
    }

    /// What is counted, and of whom, as a sentence.
    #[must_use]
    pub const fn what(self) -> &'static str {
        self.row().what
    }
}

/// The rate of each action; those that have none are not counted. `Default` is what the table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates([Option<Rate>; Action::ALL.len()]);

impl Default for Rates {
    fn default() -> Self {
        Self(Action::ALL.map(|action| Rate::parse(action.default_rate())))
    }
}

impl Rates {
    /// Nothing is counted: for load tests.
    #[must_use]
    pub const fn off() -> Self {
        Self([None; Action::ALL.len()])
    }

    /// The rate of an action, if it has one.
    #[must_use]
    pub const fn of(&self, action: Action) -> Option<Rate> {
        self.0[action as usize]
    }

    /// Sets the rate of an action; `None` is no bound.
    pub const fn set(&mut self, action: Action, rate: Option<Rate>) {
        self.0[action as usize] = rate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_and_a_time_and_perhaps_a_burst() {
        for (text, burst, every) in [
            ("10/15m", 10, Duration::from_secs(90)),
            ("60+5/1s", 60, Duration::from_millis(200)),
            ("1/2s", 1, Duration::from_secs(2)),
            ("2000/15m", 2_000, Duration::from_millis(450)),
            ("1/366d", 1, LONGEST),
            ("1000000000/1s", 1_000_000_000, Duration::from_nanos(1)),
        ] {
            assert_eq!(Rate::parse(text), Some(Rate { burst, every }), "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        let no_rates = [
            "",
            "off",
            "10",
            "/",
            "10/",
            "/15m",
            "10/15",
            "10/m",
            "0/1s",
            "0+5/1s",
            "5+0/1s",
            "10/0s",
            "10/15w",
            "10/15m ",
            " 10/15m",
            "-1/1s",
            "1.5/1s",
            "1++1/1s",
            "1+/1s",
            "1+1+1/1s",
            "10/15mm",
            "4294967296/1s",
            "1/367d",
            "2+1/366d",
            "2000000000/1s",
            "4294967295/4294967295d",
        ];
        for text in no_rates {
            assert_eq!(Rate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_action_has_a_rate_and_names_of_its_own() {
        let rates = Rates::default();
        for (place, action) in Action::ALL.into_iter().enumerate() {
            assert_eq!(action as usize, place);
            assert!(rates.of(action).is_some(), "{action:?}");
            let same =
                |other: &Action| other.name() == action.name() || other.variable() == action.variable();
            assert_eq!(Action::ALL.iter().filter(|other| same(other)).count(), 1, "{action:?}");
        }
        assert!(Action::ALL.into_iter().all(|action| Rates::off().of(action).is_none()));
    }
}
