//! Getting hold of the file: is it ours, is it free, and how shall SQLite treat it.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use rustix::fs::{Access, FlockOperation, access};

use super::{Durability, OpenError};

/// How long to wait for a lock that another process has.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// More than there are statements.
const STATEMENT_CACHE: usize = 128;
/// Only the owner: it holds everything that was ever said.
const FILE_MODE: u32 = 0o600;

/// Keeps other servers from the database for as long as it lives, and no longer: the lock is the kernel's and ends
/// with the process, however that ends. The file itself means nothing and stays.
#[derive(Debug)]
pub(super) struct ServerLock {
    _file: File,
}

impl ServerLock {
    /// Locks `<path>.lock`.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(&lock);
        let file = opened.map_err(|source| OpenError::Io { path: lock.clone(), source })?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { path: path.to_owned(), lock }),
            Err(errno) => Err(OpenError::Io { path: lock, source: errno.into() }),
        }
    }
}

/// Makes the file if there is none, and makes sure that it is a database or empty. Gives its one true name, so that
/// whoever comes by another one meets the same lock.
pub(super) fn prepare_file(path: &Path) -> Result<PathBuf, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    match OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path) {
        // The mode above is cut by the umask, which may take even the owner's rights.
        Ok(file) => file.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(io)?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => check_header(path)?,
        Err(error) => return Err(io(error)),
    }
    refuse_network(path)?;
    let path = path.canonicalize().map_err(io)?;
    let folder = path.parent().unwrap_or(&path);
    access(folder, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|errno| OpenError::Io { path: folder.to_owned(), source: errno.into() })?;
    Ok(path)
}

fn check_header(path: &Path) -> Result<(), OpenError> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start));
    read.map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    if start.is_empty() || start == MAGIC { Ok(()) } else { Err(OpenError::NotADatabase(path.to_owned())) }
}

#[cfg(target_os = "linux")]
fn refuse_network(path: &Path) -> Result<(), OpenError> {
    let stat = rustix::fs::statfs(path);
    let stat = stat.map_err(|errno| OpenError::Io { path: path.to_owned(), source: errno.into() })?;
    // From linux/magic.h. The field's type differs between architectures, the numbers have 32 bits on all.
    let kind = match u64::try_from(stat.f_type).unwrap_or(0) & 0xFFFF_FFFF {
        0x6969 => "NFS",
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => "SMB",
        0x0BD0_0BD0 => "Lustre",
        0x00C3_6400 => "Ceph",
        _ => return Ok(()),
    };
    Err(OpenError::NetworkFileSystem { path: path.to_owned(), kind })
}

#[cfg(not(target_os = "linux"))]
fn refuse_network(_path: &Path) -> Result<(), OpenError> {
    Ok(())
}

/// Opens the connection that writes.
pub(super) fn writer(path: &Path, durability: Durability) -> Result<Connection, OpenError> {
    let open = || -> rusqlite::Result<Connection> {
        let db = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        Ok(db)
    };
    let database = |source| OpenError::Database { path: path.to_owned(), source: Box::new(source) };
    let db = open().map_err(database)?;
    // What SQLite may not write it opens all the same, and fails at the first write.
    if db.is_readonly(rusqlite::MAIN_DB).map_err(database)? {
        return Err(OpenError::ReadOnly(path.to_owned()));
    }
    // Before the first pragma that writes.
    if let Some(table) = foreign_table(&db).map_err(database)? {
        return Err(OpenError::Foreign { path: path.to_owned(), table });
    }
    let set = || -> rusqlite::Result<()> {
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", durability.as_str())?;
        // In pages. A page that is written often is copied back once for all its changes; the log is 16 MB then, or
        // less where there is less space.
        db.pragma_update(None, "wal_autocheckpoint", 4_000)?;
        // Given back after a checkpoint, should a long read ever have let the log grow.
        db.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        db.pragma_update(None, "foreign_keys", true)?;
        set_common(&db)
    };
    set().map_err(database)?;
    Ok(db)
}

/// Opens a connection that reads.
pub(super) fn reader(path: &Path) -> Result<Connection, OpenError> {
    let open = || -> rusqlite::Result<Connection> {
        let db = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.pragma_update(None, "query_only", true)?;
        set_common(&db)?;
        Ok(db)
    };
    open().map_err(|source| OpenError::Database { path: path.to_owned(), source: Box::new(source) })
}

/// No `mmap_size`: a failed read of a mapped page is a signal, not an error.
fn set_common(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "temp_store", "MEMORY")?;
    // In KiB, by the minus.
    db.pragma_update(None, "cache_size", -16_000)?;
    db.pragma_update(None, "trusted_schema", false)?;
    // A plan must not depend on the values bound: else SQLite compiles every statement with a range or a limit anew
    // at each use, which took two thirds of the time of a list.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    Ok(())
}

/// A table of a database that has tables but not ours.
fn foreign_table(db: &Connection) -> rusqlite::Result<Option<String>> {
    db.query_row(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'
         AND NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'priyo_migrations') LIMIT 1",
        [],
        |row| row.get(0),
    )
    .optional()
}
