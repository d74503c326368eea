//! Where the data is.

use std::fmt;
use std::path::PathBuf;

use super::secrets::Secret;
use super::values::Parsed;

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Database {
    /// An SQLite database in this file.
    Sqlite(PathBuf),
    /// A PostgreSQL server; the URL has the password in it.
    Postgres(Secret),
}

impl Database {
    /// Reads `DATABASE_URL`: `sqlite:<path>`, `sqlite://<path>`, `file:<path>` as Prisma writes it, or
    /// `postgresql://…`. What follows a `?` in the first three is for other programs.
    pub(super) fn parse(url: &str) -> Parsed<Self> {
        const WRONG: (&str, &str) =
            ("is no database that this server knows", "say for example sqlite:priyo.db");
        if url.starts_with("postgresql://") || url.starts_with("postgres://") {
            return Ok(Self::Postgres(Secret::new(url.to_owned())));
        }
        let path =
            ["sqlite://", "sqlite:", "file://", "file:"].iter().find_map(|scheme| url.strip_prefix(scheme));
        let path = path.ok_or(WRONG)?;
        let path = path.split('?').next().unwrap_or_default();
        match path {
            "" => Err(("names no file", "say for example sqlite:priyo.db")),
            ":memory:" => Err(("is in memory and would be lost", "name a file, for example sqlite:priyo.db")),
            path => Ok(Self::Sqlite(path.into())),
        }
    }
}

/// For the log: without the address and the password of a server.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(_) => f.write_str("postgresql"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_write_a_file_are_understood() {
        for (url, path) in [
            ("sqlite:priyo.db", "priyo.db"),
            ("sqlite://data/priyo.db", "data/priyo.db"),
            ("sqlite:///var/lib/priyo.db", "/var/lib/priyo.db"),
            ("file:./dev.db?connection_limit=1", "./dev.db"),
        ] {
            assert_eq!(Database::parse(url), Ok(Database::Sqlite(path.into())), "{url}");
        }
        for url in ["priyo.db", "sqlite:", "sqlite::memory:", "file:?x", "mysql://x"] {
            assert!(Database::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_password_of_a_server_is_not_printed() {
        let database = Database::parse("postgresql://chat:hunter2@db/chat?schema=public").unwrap();
        assert!(!format!("{database} {database:?}").contains("hunter2"));
    }
}
