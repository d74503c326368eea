//! The URL of a database, as libpq and Prisma write it.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::tls::Tls;
use super::{OpenError, PostgresOptions};

/// The parameters of a URL that mean something here.
const KNOWN: &[&str] = &[
    "schema",
    "connection_limit",
    "pool_timeout",
    "connect_timeout",
    "pgbouncer",
    "statement_cache_size",
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslaccept",
    "channel_binding",
    "application_name",
    "options",
];

/// Reads `postgresql://user:password@host:port/database?parameters`. Nothing of it is in the errors but the names of
/// parameters: a URL that is not well written may show its password anywhere.
pub(super) fn parse(url: &str) -> Result<PostgresOptions, OpenError> {
    let rest = ["postgresql://", "postgres://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let rest = rest.ok_or(OpenError::Url("does not begin with postgresql://"))?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut draft = Draft::default();
    draft.read_place(place)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        draft.read_parameter(&decode(name)?, decode(value)?)?;
    }
    draft.finish()
}

/// What was read so far.
#[derive(Default)]
struct Draft {
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    schema: Option<String>,
    connections: Option<u32>,
    acquire: Option<Duration>,
    connect: Option<Duration>,
    pgbouncer: bool,
    tls: Tls,
    application: Option<String>,
    settings: Vec<(String, String)>,
}

impl Draft {
    /// What comes before the parameters. The last `@` counts: one in a password is often left as it is.
    fn read_place(&mut self, place: &str) -> Result<(), OpenError> {
        let (user, place) = match place.rsplit_once('@') {
            Some((user, place)) => (user, place),
            None => ("", place),
        };
        let (user, password) = match user.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (user, None),
        };
        self.user = decoded(user)?;
        self.password = password.map(decode).transpose()?;
        let (server, database) = place.split_once('/').unwrap_or((place, ""));
        self.database = decoded(database)?;
        if server.contains(',') {
            return Err(OpenError::Url("names more than one server"));
        }
        // An address of IPv6 stands in brackets, since it has colons of its own.
        let (host, port) = match server.strip_prefix('[').and_then(|host| host.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match server.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (server, None),
            },
        };
        self.host = decoded(host)?;
        let port = port.filter(|port| !port.is_empty()).map(str::parse).transpose();
        self.port = port.map_err(|_| OpenError::Url("has a port that is no number up to 65535"))?;
        Ok(())
    }

    fn read_parameter(&mut self, name: &str, value: String) -> Result<(), OpenError> {
        match name {
            "schema" => self.schema = Some(value),
            "connection_limit" => {
                let limit = number("connection_limit", &value)?;
                let limit = u32::try_from(limit).ok().filter(|limit| (1..=10_000).contains(limit));
                let wrong = OpenError::Parameter { name: "connection_limit", problem: "must be 1 to 10000" };
                self.connections = Some(limit.ok_or(wrong)?);
            }
            "pool_timeout" => self.acquire = Some(seconds("pool_timeout", &value)?),
            "connect_timeout" => self.connect = Some(seconds("connect_timeout", &value)?),
            "pgbouncer" => self.pgbouncer = flag(&value)?,
            // Statements are prepared once for each connection, unless a PgBouncer is in between.
            "statement_cache_size" => drop(number("statement_cache_size", &value)?),
            "host" => self.host = Some(value),
            "port" => {
                let wrong = OpenError::Parameter { name: "port", problem: "must be a number up to 65535" };
                self.port = Some(value.parse().map_err(|_| wrong)?);
            }
            "dbname" => self.database = Some(value),
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            "sslmode" | "sslrootcert" | "sslcert" | "sslkey" | "sslaccept" => self.tls.read(name, value)?,
            "channel_binding" if value == "require" => {
                let problem = "cannot be \"require\": it is not supported";
                return Err(OpenError::Parameter { name: "channel_binding", problem });
            }
            "channel_binding" => {}
            "application_name" => self.application = Some(value),
            "options" => self.settings = settings(&value)?,
            _ => return Err(OpenError::UnknownParameter { name: name.to_owned(), known: KNOWN }),
        }
        Ok(())
    }

    fn finish(self) -> Result<PostgresOptions, OpenError> {
        // What is not said comes from where every client of PostgreSQL looks: PGPASSWORD and its kin.
        let mut connect = PgConnectOptions::new_without_pgpass();
        if let Some(user) = &self.user {
            connect = connect.username(user);
        }
        if let Some(host) = &self.host {
            connect = connect.host(host);
        }
        if let Some(port) = self.port {
            connect = connect.port(port);
        }
        if let Some(password) = &self.password {
            connect = connect.password(password);
        }
        // The server would take the user's name, too; but then no error could show it.
        let database = self.database.or(self.user);
        if let Some(database) = &database {
            connect = connect.database(database);
        }
        connect = connect.application_name(self.application.as_deref().unwrap_or("priyo"));
        if !self.settings.is_empty() {
            connect = connect.options(self.settings);
        }
        // What comes through a socket that is a file has not left the machine.
        let is_local = connect.get_host().starts_with('/');
        connect = if is_local { connect.ssl_mode(PgSslMode::Disable) } else { self.tls.apply(connect) };
        let mut options = PostgresOptions::new(connect).pgbouncer(self.pgbouncer);
        if let Some(schema) = self.schema {
            options = options.schema(schema);
        }
        if let Some(connections) = self.connections {
            options = options.max_connections(connections);
        }
        if let Some(timeout) = self.acquire {
            options = options.acquire_timeout(timeout);
        }
        if let Some(timeout) = self.connect {
            options = options.connect_timeout(timeout);
        }
        Ok(options)
    }
}

fn number(name: &'static str, value: &str) -> Result<u64, OpenError> {
    value.parse().map_err(|_| OpenError::Parameter { name, problem: "must be a whole number" })
}

/// 0 is as long as it takes: what else bounds a call decides then.
fn seconds(name: &'static str, value: &str) -> Result<Duration, OpenError> {
    match number(name, value)? {
        0 => Ok(Duration::MAX),
        seconds => Ok(Duration::from_secs(seconds)),
    }
}

/// The settings in `-c name=value` or `--name=value`, as PostgreSQL's own programs take them.
fn settings(text: &str) -> Result<Vec<(String, String)>, OpenError> {
    let wrong = OpenError::Parameter { name: "options", problem: "must be like -c name=value" };
    let mut settings = Vec::new();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let setting = match word {
            "-c" => words.next(),
            word => word.strip_prefix("-c").or(word.strip_prefix("--")),
        };
        match setting.and_then(|setting| setting.split_once('=')) {
            Some((name, value)) if !text.contains('\\') => {
                settings.push((name.replace('-', "_"), value.to_owned()))
            }
            _ => return Err(wrong),
        }
    }
    Ok(settings)
}

fn flag(value: &str) -> Result<bool, OpenError> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(OpenError::Parameter { name: "pgbouncer", problem: "must be true or false" }),
    }
}

fn decoded(text: &str) -> Result<Option<String>, OpenError> {
    if text.is_empty() { Ok(None) } else { decode(text).map(Some) }
}

/// Undoes percent encoding. What only looks like it stays.
fn decode(text: &str) -> Result<String, OpenError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let encoded = match after {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match encoded {
            Some((high, low)) => bytes.push(high << 4 | low),
            None => bytes.push(*first),
        }
        rest = if encoded.is_some() { &after[2..] } else { after };
    }
    // The protocol ends its texts with a NUL.
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    text.ok_or(OpenError::Url("is not UTF-8 where it is percent-encoded"))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> PostgresOptions {
        parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn all_parts_of_a_url_are_understood() {
        let options = options(
            "postgresql://ch%40t:p%2Fw%3A%25@db.example:6543/ch%20at?schema=Web%20chat&connection_limit=5\
             &pool_timeout=2&connect_timeout=7&pgbouncer=true&application_name=x\
             &options=-c%20geqo=off%20--work-mem=8MB",
        );
        let connect = &options.connect;
        assert_eq!((connect.get_username(), connect.get_host()), ("ch@t", "db.example"));
        assert_eq!((connect.get_port(), connect.get_database()), (6543, Some("ch at")));
        assert_eq!(connect.get_application_name(), Some("x"));
        assert!(connect.get_options().unwrap().ends_with("-c geqo=off -c work_mem=8MB"));
        assert_eq!((options.schema.as_str(), options.pgbouncer), ("Web chat", true));
        let bounds = options.bounds;
        assert_eq!((bounds.connections, bounds.acquire.as_secs(), bounds.connect.as_secs()), (5, 2, 7));
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let options = options("postgres://chat@db");
        assert_eq!((options.schema.as_str(), options.bounds.connections), ("priyo", 10));
        assert_eq!((options.connect.get_port(), options.connect.get_database()), (5432, Some("chat")));
        assert_eq!(options.connect.get_application_name(), Some("priyo"));
    }

    #[test]
    fn a_socket_may_be_the_host() {
        for url in [
            "postgresql://postgres@localhost/postgres?host=/run/pg&sslmode=require",
            "postgresql:///postgres?host=%2Frun%2Fpg&user=postgres",
            "postgresql://postgres@%2Frun%2Fpg/postgres",
            "postgresql://postgres@/postgres?host=/run/pg",
        ] {
            let connect = options(url).connect;
            assert_eq!((connect.get_host(), connect.get_username()), ("/run/pg", "postgres"), "{url}");
            assert_eq!(connect.get_database(), Some("postgres"), "{url}");
        }
    }

    #[test]
    fn an_address_of_ipv6_stands_in_brackets() {
        let connect = options("postgresql://chat@[::1]:5433/chat").connect;
        assert_eq!((connect.get_host(), connect.get_port()), ("::1", 5433));
    }

    #[test]
    fn a_password_may_have_what_should_have_been_encoded() {
        let options = options("postgresql://chat:p@ss:w/rd#%zz@db:1/chat");
        assert_eq!((options.connect.get_host(), options.connect.get_port()), ("db", 1));
        assert_eq!(options.connect.get_database(), Some("chat"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_showing_a_password() {
        for (url, hint) in [
            ("mysql://chat:hunter2@db/chat", "postgresql://"),
            ("postgresql://chat:hunter2@db:port/chat", "port"),
            ("postgresql://chat:hunter2", "port"),
            ("postgresql://chat:hunter2@a,b/chat", "more than one server"),
            ("postgresql://chat:hunter2@db/chat?shema=public", "\"shema\""),
            ("postgresql://chat:hunter2@db/chat?shema=public", "schema, connection_limit"),
            ("postgresql://chat:hunter2@db/chat?connection_limit=0", "connection_limit"),
            ("postgresql://chat:hunter2@db/chat?connection_limit=many", "connection_limit"),
            ("postgresql://chat:hunter2@db/chat?pgbouncer=1", "pgbouncer"),
            ("postgresql://chat:hunter2@db/chat?options=geqo", "options"),
            ("postgresql://chat:hunter2@db/chat?sslmode=maybe", "sslmode"),
            ("postgresql://chat:hunter2@db/chat?sslaccept=maybe", "sslaccept"),
            ("postgresql://chat:hunter2@db/chat?channel_binding=require", "channel_binding"),
            ("postgresql://chat:hunter2@%ff/chat", "UTF-8"),
            ("postgresql://chat:hunter2@db/chat%00", "UTF-8"),
        ] {
            let error = parse(url).expect_err(url);
            assert!(error.to_string().contains(hint), "{url}: {error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
