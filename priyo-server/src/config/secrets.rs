//! The secrets that sign tokens.

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Config, Database};

/// Shorter ones can be guessed.
const MIN_BYTES: usize = 32;
/// What those contain that were copied from a sample file or a manual.
const PLACEHOLDERS: &[&str] = &[
    "change",
    "secret",
    "your-",
    "your_",
    "example",
    "placeholder",
    "replace",
    "password",
    "default",
    "insert",
];
/// Fewer different bytes than this are no random ones.
const MIN_DIFFERENT_BYTES: usize = 8;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `text` is the secret; how long this takes says nothing of where they differ.
    pub(crate) fn is(&self, text: &str) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), text.as_bytes());
        let differences = ours.iter().zip(theirs).fold(0, |all, (a, b)| all | (a ^ b));
        ours.len() == theirs.len() && differences == 0
    }

    /// What makes it unfit to sign tokens in production, if anything does.
    pub(super) fn weakness(&self) -> Option<&'static str> {
        if self.0.len() < MIN_BYTES {
            return Some("is shorter than 32 bytes");
        }
        let lower = self.0.to_ascii_lowercase();
        if PLACEHOLDERS.iter().any(|placeholder| lower.contains(placeholder)) {
            return Some("looks like a placeholder from a sample file");
        }
        let mut bytes = self.0.clone().into_bytes();
        bytes.sort_unstable();
        bytes.dedup();
        (bytes.len() < MIN_DIFFERENT_BYTES).then_some("is not random")
    }

    /// 256 random bits, in hexadecimal.
    fn random() -> io::Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(hex(&bytes)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The two secrets that sign tokens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Secrets {
    /// Signs access tokens.
    pub access: Secret,
    /// Signs refresh tokens.
    pub refresh: Secret,
}

/// The made-up secrets could not be read or kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep made-up JWT secrets in {path}: {source}; set JWT_ACCESS_SECRET and JWT_REFRESH_SECRET")]
pub struct SecretsError {
    path: PathBuf,
    source: io::Error,
}

impl Secrets {
    /// The configured secrets. In development, those that are missing are made up once and kept in a file beside
    /// the database, so that tokens outlive a restart.
    ///
    /// # Errors
    ///
    /// [`SecretsError`] when that file can be neither read nor written.
    pub fn of(config: &Config) -> Result<Self, SecretsError> {
        if let (Some(access), Some(refresh)) = (&config.access_secret, &config.refresh_secret) {
            return Ok(Self { access: access.clone(), refresh: refresh.clone() });
        }
        let path = match &config.database {
            Database::Sqlite(path) => beside(path),
            Database::Postgres(_) => PathBuf::from("priyo.secrets"),
        };
        let kept = keep(&path).map_err(|source| SecretsError { path, source })?;
        Ok(Self {
            access: config.access_secret.clone().unwrap_or(kept.access),
            refresh: config.refresh_secret.clone().unwrap_or(kept.refresh),
        })
    }
}

/// `priyo.db` has `priyo.db.secrets`.
fn beside(database: &Path) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(".secrets");
    name.into()
}

/// The secrets in the file at `path`, which is made if there is none.
fn keep(path: &Path) -> io::Result<Secrets> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        read => return parse(&read?),
    }
    let made = Secrets { access: Secret::random()?, refresh: Secret::random()? };
    // Written under another name first: whoever finds the file finds all of it. Linking and not renaming, since
    // that fails when another process was first, and then its secrets count.
    let mut draft = OsString::from(path);
    draft.push(format!(".{}", &Secret::random()?.0[..16]));
    let draft = PathBuf::from(draft);
    let written = write(&draft, &made).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = fs::remove_file(&draft);
    written.and(removed)?;
    parse(&fs::read_to_string(path)?)
}

fn write(path: &Path, secrets: &Secrets) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "JWT_ACCESS_SECRET={}", secrets.access.0)?;
    writeln!(file, "JWT_REFRESH_SECRET={}", secrets.refresh.0)?;
    file.sync_all()
}

fn parse(text: &str) -> io::Result<Secrets> {
    let value = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let found = found.filter(|value| value.len() >= MIN_BYTES);
        found.map(|value| Secret(value.to_owned())).ok_or(ErrorKind::InvalidData)
    };
    Ok(Secrets { access: value("JWT_ACCESS_SECRET")?, refresh: value("JWT_REFRESH_SECRET")? })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn made_up_secrets_are_kept_for_their_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = beside(&dir.path().join("priyo.db"));
        let first = keep(&path).unwrap();
        let second = keep(&path).unwrap();
        assert_eq!((&first.access, &first.refresh), (&second.access, &second.refresh));
        assert_ne!(first.access, first.refresh);
        assert_eq!(first.access.weakness(), None);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn processes_that_start_together_agree_on_the_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.secrets");
        let made: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..16).map(|_| scope.spawn(|| keep(&path).unwrap())).collect();
            all.into_iter().map(|one| one.join().unwrap().access).collect()
        });
        assert!(made.iter().all(|one| *one == made[0]));
    }

    #[test]
    fn a_damaged_file_is_an_error_and_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.secrets");
        fs::write(&path, "JWT_ACCESS_SECRET=").unwrap();
        assert!(keep(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "JWT_ACCESS_SECRET=");
        assert!(keep(&dir.path().join("no/such/dir")).is_err());
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".to_owned())), "Secret(..)");
    }
}
