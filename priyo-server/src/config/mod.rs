//! The settings of the server, from environment variables.

mod bucket;
mod caps;
mod database;
mod origins;
mod secrets;
mod values;
mod variables;
mod widget;

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use priyo_core::Rates;

pub use self::bucket::Bucket;
pub use self::caps::Caps;
pub use self::database::Database;
pub use self::origins::Origins;
pub use self::secrets::{Secret, Secrets, SecretsError};
pub use self::variables::{VARIABLES, Variable, table};
pub use self::widget::WidgetSettings;

use self::values::Reader;

/// What kind of machine this runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// A developer's own machine: convenient defaults.
    Development,
    /// Reachable by others: nothing unsafe is made up or let through.
    Production,
}

impl Environment {
    /// The name that `NODE_ENV` has for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Production => "production",
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// The settings of the server, checked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// `NODE_ENV`.
    pub environment: Environment,
    /// `DATABASE_URL`.
    pub database: Database,
    /// `JWT_ACCESS_SECRET`; absent only in development.
    pub access_secret: Option<Secret>,
    /// `JWT_REFRESH_SECRET`; absent only in development.
    pub refresh_secret: Option<Secret>,
    /// `JWT_ACCESS_SECRET_PREVIOUS`: verifies access tokens, too.
    pub previous_access_secret: Option<Secret>,
    /// `JWT_REFRESH_SECRET_PREVIOUS`: verifies refresh tokens, too.
    pub previous_refresh_secret: Option<Secret>,
    /// `JWT_ACCESS_EXPIRES_IN`: how long an access token is good.
    pub access_ttl: Duration,
    /// `JWT_REFRESH_EXPIRES_IN`: how long a refresh token is good when it is not used.
    pub refresh_ttl: Duration,
    /// `SESSION_MAX_AGE`: how long a session lasts, however often its tokens are renewed.
    pub session_ttl: Duration,
    /// `HOST`: the addresses to listen on; none when unset, which means the environment's own.
    pub hosts: Vec<IpAddr>,
    /// `PORT`; 0 is any free one.
    pub port: u16,
    /// `CORS_ORIGIN`: whose pages may call the server.
    pub origins: Origins,
    /// `WIDGET_ORIGINS`: whose pages may have the widget.
    pub widget_origins: Origins,
    /// `WIDGET_…`: how visitors of websites are received, if they are.
    pub widget: Option<WidgetSettings>,
    /// `TRUSTED_PROXIES`: how many proxies in front add to `X-Forwarded-For`.
    pub trusted_proxies: u8,
    /// `RATE_LIMITS`: false for load tests.
    pub rate_limits: bool,
    /// `RATE_LIMIT_…`: how often a client may do what. Without `rate_limits` only what is set is counted.
    pub rates: Rates,
    /// How many connections and sockets there may be.
    pub caps: Caps,
    /// `SELF_SERVICE_ROLES`: whether a registration may name AGENT or ADMIN.
    pub self_service_roles: bool,
    /// `METRICS_TOKEN`: may read what is for operators.
    pub metrics_token: Option<Secret>,
    /// `UPLOAD_DIR`: where uploaded files are, if there is no bucket for them.
    pub upload_dir: PathBuf,
    /// `FILE_STORE`: a bucket for uploaded files.
    pub bucket: Option<Bucket>,
    /// `MAX_FILE_SIZE`: the largest upload, in bytes.
    pub max_file_bytes: u64,
    /// `MAX_USER_FILES_SIZE`: how large all files of one user may be together, in bytes.
    pub max_user_bytes: u64,
    /// `UNSENT_FILE_TTL`: how long a file is kept that no message carries.
    pub unsent_file_ttl: Duration,
    /// `LOG_FORMAT`; absent when unset.
    pub log_format: Option<LogFormat>,
    /// `RUST_LOG`, or else `LOG_LEVEL`: what is logged, as `tracing` directives.
    pub log_filter: String,
}

impl Config {
    /// Reads the settings; `get` finds a variable's value. An empty value counts as unset.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut read = Reader::new(&get);
        let environment = read.environment();
        let production = environment == Environment::Production;
        let origins = read.origins("CORS_ORIGIN", environment, Origins::default_of(environment));
        let rate_limits = read.value("RATE_LIMITS", true, values::switch);
        let config = Self {
            environment,
            database: read.value("DATABASE_URL", Database::Sqlite("priyo.db".into()), Database::parse),
            access_secret: read.secret("JWT_ACCESS_SECRET", environment),
            refresh_secret: read.secret("JWT_REFRESH_SECRET", environment),
            previous_access_secret: read.optional_secret("JWT_ACCESS_SECRET_PREVIOUS", environment),
            previous_refresh_secret: read.optional_secret("JWT_REFRESH_SECRET_PREVIOUS", environment),
            access_ttl: read.value("JWT_ACCESS_EXPIRES_IN", Duration::from_secs(15 * 60), values::duration),
            refresh_ttl: read.value(
                "JWT_REFRESH_EXPIRES_IN",
                Duration::from_secs(7 * 24 * 60 * 60),
                values::duration,
            ),
            session_ttl: read.value(
                "SESSION_MAX_AGE",
                Duration::from_secs(30 * 24 * 60 * 60),
                values::duration,
            ),
            hosts: read.value("HOST", Vec::new(), values::addresses),
            port: read.value("PORT", 3000, values::port),
            widget_origins: read.origins("WIDGET_ORIGINS", environment, origins.clone()),
            origins,
            widget: WidgetSettings::read(&mut read, environment),
            trusted_proxies: read.value("TRUSTED_PROXIES", 0, values::proxies),
            rate_limits,
            caps: Caps::read(&mut read, rate_limits),
            rates: read.rates(environment, rate_limits),
            self_service_roles: read.value("SELF_SERVICE_ROLES", !production, values::switch),
            metrics_token: read.optional_secret("METRICS_TOKEN", environment),
            upload_dir: read.value("UPLOAD_DIR", PathBuf::from("uploads"), values::path),
            bucket: read.value("FILE_STORE", None, Bucket::parse).map(|bucket| bucket.reached_by(&get)),
            max_file_bytes: read.value("MAX_FILE_SIZE", 5 * 1024 * 1024, values::bytes),
            max_user_bytes: read.value("MAX_USER_FILES_SIZE", 100 * 1024 * 1024, values::bytes),
            unsent_file_ttl: read.value(
                "UNSENT_FILE_TTL",
                Duration::from_secs(24 * 60 * 60),
                values::duration,
            ),
            log_format: read.value("LOG_FORMAT", None, values::log_format),
            log_filter: read.log_filter(),
        };
        if production && !config.rate_limits {
            read.fault("RATE_LIMITS", "is off in production", "leave it unset; off is for load tests");
        }
        if production {
            config.check_secrets(&mut read);
        }
        read.finish(config)
    }

    /// Refuses a secret that signs, or signed, the one kind of token and also the other.
    fn check_secrets(&self, read: &mut Reader<'_>) {
        const REMEDY: &str = "make a second one";
        let access = [&self.access_secret, &self.previous_access_secret];
        let signs_access = |secret: &Option<Secret>| secret.is_some() && access.contains(&secret);
        if self.refresh_secret.is_some() && self.refresh_secret == self.access_secret {
            read.fault("JWT_REFRESH_SECRET", "is the same as JWT_ACCESS_SECRET", REMEDY);
        } else if signs_access(&self.refresh_secret) {
            read.fault("JWT_ACCESS_SECRET_PREVIOUS", "is the same as JWT_REFRESH_SECRET", REMEDY);
        }
        if signs_access(&self.previous_refresh_secret) {
            read.fault("JWT_REFRESH_SECRET_PREVIOUS", "is a secret of access tokens", REMEDY);
        }
    }

    /// Whether this is production.
    #[must_use]
    pub fn is_production(&self) -> bool {
        self.environment == Environment::Production
    }
}

/// What is wrong with one variable. Says nothing of its value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The name of the variable.
    pub variable: &'static str,
    /// What is wrong, as the end of a sentence that starts with the name.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Fault>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings are not usable:")?;
        for Fault { variable, problem, remedy } in &self.0 {
            write!(f, "\n  {variable} {problem}: {remedy}")?;
            if let Some(known) = VARIABLES.iter().find(|known| known.name == *variable) {
                write!(f, "\n    {variable}: {} Default: {}.", known.meaning, known.default)?;
            }
        }
        f.write_char('\n')
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use priyo_core::rates::{Action, Rate};

    use super::*;

    const GOOD: [(&str, &str); 3] = [
        ("NODE_ENV", "production"),
        ("JWT_ACCESS_SECRET", "0f4e1c8a9b7d6e5f0f4e1c8a9b7d6e5f"),
        ("JWT_REFRESH_SECRET", "9d8c7b6a5f4e3d2c9d8c7b6a5f4e3d2c"),
    ];

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        // The last one of a name counts.
        Config::read(|name| {
            variables.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn faults(variables: &[(&str, &str)]) -> Vec<&'static str> {
        read(variables).map_or_else(|error| error.0.iter().map(|fault| fault.variable).collect(), |_| vec![])
    }

    fn production(more: &[(&'static str, &'static str)]) -> Vec<&'static str> {
        faults(&[&GOOD, more].concat())
    }

    #[test]
    fn development_needs_no_variable_at_all() {
        let config = read(&[]).unwrap();
        assert_eq!(config.environment, Environment::Development);
        assert_eq!(config.database, Database::Sqlite("priyo.db".into()));
        assert_eq!((config.port, config.max_file_bytes), (3000, 5_242_880));
        assert_eq!((config.access_ttl.as_secs(), config.refresh_ttl.as_secs()), (900, 604_800));
        assert_eq!(config.session_ttl.as_secs(), 2_592_000);
        assert!(config.self_service_roles && config.rate_limits);
        assert!(config.origins.allows("http://localhost:5173"));
        assert_eq!(read(&[("NODE_ENV", "test")]).unwrap().environment, Environment::Development);
    }

    #[test]
    fn production_starts_from_safe_defaults() {
        let config = read(&GOOD).unwrap();
        assert!(!config.self_service_roles);
        assert!(!config.origins.allows("http://localhost:5173"));
        assert_eq!(config.rates.of(Action::Request), Rate::parse("500/15m"));
    }

    #[test]
    fn each_rate_is_set_or_turned_off_by_its_own_variable() {
        for action in Action::ALL {
            for (text, rate) in [("7/1m", Rate::parse("7/1m")), ("off", None)] {
                let mut expected = Rates::default();
                expected.set(action, rate);
                assert_eq!(read(&[(action.variable(), text)]).unwrap().rates, expected, "{action:?}");
            }
        }
        assert_eq!(read(&[("RATE_LIMITS", "off")]).unwrap().rates, Rates::off());
        let mut sends = Rates::off();
        sends.set(Action::Send, Rate::parse("1/1s"));
        assert_eq!(read(&[("RATE_LIMITS", "off"), ("RATE_LIMIT_SENDS", "1/1s")]).unwrap().rates, sends);
    }

    #[test]
    fn production_needs_secrets_that_nobody_can_guess() {
        assert_eq!(faults(&[("NODE_ENV", "production")]), ["JWT_ACCESS_SECRET", "JWT_REFRESH_SECRET"]);
        let weak = [
            "short",
            "your-super-secret-jwt-access-key-change-this-in-production",
            "this is an Example of a key with many letters",
            "CHANGEME-CHANGEME-CHANGEME-CHANGEME",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ];
        for secret in weak {
            assert_eq!(production(&[("JWT_ACCESS_SECRET", secret)]), ["JWT_ACCESS_SECRET"], "{secret}");
        }
        assert_eq!(production(&[("JWT_REFRESH_SECRET", GOOD[1].1)]), ["JWT_REFRESH_SECRET"]);
    }

    #[test]
    fn a_secret_of_before_is_held_to_the_same_rules() {
        let old = "a7c3e1905b2d4f68a7c3e1905b2d4f68";
        let previous = ["JWT_ACCESS_SECRET_PREVIOUS", "JWT_REFRESH_SECRET_PREVIOUS"];
        for name in previous {
            let config = read(&[&GOOD[..], &[(name, old)]].concat()).unwrap();
            let secrets = [config.previous_access_secret, config.previous_refresh_secret];
            assert_eq!(secrets.iter().flatten().count(), 1);
            for weak in ["short", "CHANGEME-CHANGEME-CHANGEME-CHANGEME"] {
                assert_eq!(production(&[(name, weak)]), [name]);
            }
            let others = if name == previous[0] { GOOD[2].1 } else { GOOD[1].1 };
            assert_eq!(production(&[(name, others)]), [name]);
        }
        assert_eq!(production(&previous.map(|name| (name, old))), ["JWT_REFRESH_SECRET_PREVIOUS"]);
    }

    #[test]
    fn a_weak_secret_is_named_and_not_shown() {
        let error = read(&[&GOOD[..], &[("JWT_ACCESS_SECRET", "hunter2")]].concat()).unwrap_err().to_string();
        assert!(error.contains("JWT_ACCESS_SECRET is shorter than 32 bytes"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        // Control: a developer may use what is at hand.
        assert!(read(&[("JWT_ACCESS_SECRET", "hunter2")]).is_ok());
    }

    #[test]
    fn production_refuses_what_is_only_for_tests() {
        assert_eq!(production(&[("RATE_LIMITS", "off")]), ["RATE_LIMITS"]);
        assert_eq!(production(&[("CORS_ORIGIN", "*")]), ["CORS_ORIGIN"]);
        assert_eq!(production(&[("CORS_ORIGIN", "https://chat.example")]), [""; 0]);
        assert!(!read(&[("RATE_LIMITS", "off")]).unwrap().rate_limits);
    }

    #[test]
    fn without_rate_limits_only_those_caps_hold_that_are_set() {
        let caps = read(&[]).unwrap().caps;
        assert_eq!((caps.sockets_per_user, caps.unknown_sockets), (Some(20), Some(2_000)));
        assert_eq!((caps.connections_per_address, caps.rooms_per_socket), (Some(200), 200));
        assert!(caps.connections.is_some());

        let off = [("RATE_LIMITS", "off"), ("SOCKETS_PER_USER", "3"), ("ROOMS_PER_SOCKET", "7")];
        let caps = read(&off).unwrap().caps;
        assert_eq!((caps.sockets_per_user, caps.rooms_per_socket), (Some(3), 7));
        assert_eq!((caps.connections, caps.connections_per_address), (None, None));
        assert_eq!((caps.unknown_sockets, caps.unknown_sockets_per_address), (None, None));
        assert_eq!(caps.sockets_per_address, None);
    }

    #[test]
    fn every_bad_value_is_named_at_once_and_none_is_shown() {
        let bad = [
            ("NODE_ENV", "staging"),
            ("DATABASE_URL", "mysql://root:hunter2@db/chat"),
            ("JWT_ACCESS_EXPIRES_IN", "15 minutes"),
            ("JWT_REFRESH_EXPIRES_IN", "0"),
            ("SESSION_MAX_AGE", "a month"),
            ("HOST", "chat.example"),
            ("PORT", "65536"),
            ("CORS_ORIGIN", "https://chat.example/"),
            ("WIDGET_ORIGINS", "www.example"),
            ("WIDGET_ACCENT", "red; x"),
            ("WIDGET_LOCALE", "../de"),
            ("WIDGET_IDENTITY_REQUIRED", "on"),
            ("TRUSTED_PROXIES", "all"),
            ("RATE_LIMITS", "perhaps"),
            ("RATE_LIMIT_LOGINS", "10"),
            ("RATE_LIMIT_SENDS", "60+5"),
            ("CONNECTIONS", "many"),
            ("SOCKETS_PER_USER", "0"),
            ("ROOMS_PER_SOCKET", "-1"),
            ("SELF_SERVICE_ROLES", "2"),
            ("FILE_STORE", "s3://key:hunter2@bucket"),
            ("MAX_FILE_SIZE", "5MB"),
            ("MAX_USER_FILES_SIZE", "0"),
            ("UNSENT_FILE_TTL", "soon"),
            ("LOG_FORMAT", "xml"),
            ("LOG_LEVEL", "loud=very=loud"),
        ];
        let error = read(&bad).unwrap_err();
        let mut named: Vec<_> = error.0.iter().map(|fault| fault.variable).collect();
        named.sort_unstable();
        let mut expected: Vec<_> = bad.iter().map(|(name, _)| *name).collect();
        expected.sort_unstable();
        assert_eq!(named, expected);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn the_defaults_are_those_that_the_table_names() {
        let words = |text: &str| text == "unset" || text.contains(' ');
        let named: Vec<_> = VARIABLES
            .iter()
            .filter(|known| !words(known.default))
            .map(|known| (known.name, known.default))
            .collect();
        assert!(named.len() > 8);
        assert_eq!(format!("{:?}", read(&named)), format!("{:?}", read(&[])));
    }

    #[test]
    fn an_empty_value_is_the_default() {
        assert_eq!(read(&[("PORT", ""), ("HOST", " ")]).unwrap().port, 3000);
    }
}
