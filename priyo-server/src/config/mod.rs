//! The settings of the server, from environment variables.

mod database;
mod origins;
mod secrets;
mod values;
mod variables;

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use self::database::Database;
pub use self::origins::Origins;
pub use self::secrets::{Secret, Secrets, SecretsError};
pub use self::variables::{VARIABLES, Variable, table};

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
    /// `JWT_ACCESS_EXPIRES_IN`: how long an access token is good.
    pub access_ttl: Duration,
    /// `JWT_REFRESH_EXPIRES_IN`: how long a refresh token is good.
    pub refresh_ttl: Duration,
    /// `HOST`: the addresses to listen on; none when unset, which means the environment's own.
    pub hosts: Vec<IpAddr>,
    /// `PORT`; 0 is any free one.
    pub port: u16,
    /// `CORS_ORIGIN`: whose pages may call the server.
    pub origins: Origins,
    /// `TRUSTED_PROXIES`: how many proxies in front add to `X-Forwarded-For`.
    pub trusted_proxies: u8,
    /// `RATE_LIMITS`: false for load tests.
    pub rate_limits: bool,
    /// `SELF_SERVICE_ROLES`: whether a registration may name AGENT or ADMIN.
    pub self_service_roles: bool,
    /// `METRICS_TOKEN`: may read what is for operators.
    pub metrics_token: Option<Secret>,
    /// `UPLOAD_DIR`: where uploaded files are.
    pub upload_dir: PathBuf,
    /// `MAX_FILE_SIZE`: the largest upload, in bytes.
    pub max_file_bytes: u64,
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
        let config = Self {
            environment,
            database: read.value("DATABASE_URL", Database::Sqlite("priyo.db".into()), Database::parse),
            access_secret: read.secret("JWT_ACCESS_SECRET", environment),
            refresh_secret: read.secret("JWT_REFRESH_SECRET", environment),
            access_ttl: read.value("JWT_ACCESS_EXPIRES_IN", Duration::from_secs(15 * 60), values::duration),
            refresh_ttl: read.value(
                "JWT_REFRESH_EXPIRES_IN",
                Duration::from_secs(7 * 24 * 60 * 60),
                values::duration,
            ),
            hosts: read.value("HOST", Vec::new(), values::addresses),
            port: read.value("PORT", 3000, values::port),
            origins: read.origins(environment),
            trusted_proxies: read.value("TRUSTED_PROXIES", 0, values::proxies),
            rate_limits: read.value("RATE_LIMITS", true, values::switch),
            self_service_roles: read.value("SELF_SERVICE_ROLES", !production, values::switch),
            metrics_token: read.optional_secret("METRICS_TOKEN", environment),
            upload_dir: read.value("UPLOAD_DIR", PathBuf::from("uploads"), values::path),
            max_file_bytes: read.value("MAX_FILE_SIZE", 5 * 1024 * 1024, values::bytes),
            log_format: read.value("LOG_FORMAT", None, values::log_format),
            log_filter: read.log_filter(),
        };
        if production && !config.rate_limits {
            read.fault("RATE_LIMITS", "is off in production", "leave it unset; off is for load tests");
        }
        if production && config.access_secret.is_some() && config.access_secret == config.refresh_secret {
            read.fault("JWT_REFRESH_SECRET", "is the same as JWT_ACCESS_SECRET", "make a second one");
        }
        read.finish(config)
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
        assert!(config.self_service_roles && config.rate_limits);
        assert!(config.origins.allows("http://localhost:5173"));
        assert_eq!(read(&[("NODE_ENV", "test")]).unwrap().environment, Environment::Development);
    }

    #[test]
    fn production_starts_from_safe_defaults() {
        let config = read(&GOOD).unwrap();
        assert!(!config.self_service_roles);
        assert!(!config.origins.allows("http://localhost:5173"));
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
    fn every_bad_value_is_named_at_once_and_none_is_shown() {
        let bad = [
            ("NODE_ENV", "staging"),
            ("DATABASE_URL", "mysql://root:hunter2@db/chat"),
            ("JWT_ACCESS_EXPIRES_IN", "15 minutes"),
            ("JWT_REFRESH_EXPIRES_IN", "0"),
            ("HOST", "chat.example"),
            ("PORT", "65536"),
            ("CORS_ORIGIN", "https://chat.example/"),
            ("TRUSTED_PROXIES", "all"),
            ("RATE_LIMITS", "perhaps"),
            ("SELF_SERVICE_ROLES", "2"),
            ("MAX_FILE_SIZE", "5MB"),
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
