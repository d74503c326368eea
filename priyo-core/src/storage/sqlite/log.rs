//! The log of a database whose disk is nearly full.
//!
//! SQLite writes the log back to the file when it has 16 MB (`open`). A disk with less space than that would be full
//! before: of a log that is mostly old states of a few pages, and that cannot be written back because the file has to
//! grow a little for it. So the log may have no more than what is left beside it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::open::BUSY_TIMEOUT;

/// How long a reader is waited for that still looks at the log. The next commit comes here again.
const PATIENCE: Duration = Duration::from_millis(20);

/// The log of one database.
#[derive(Debug)]
pub(super) struct Log {
    file: PathBuf,
}

impl Log {
    /// That of the database of this connection; none when that is in memory.
    pub(super) fn of(db: &Connection) -> Option<Self> {
        let path = db.path().filter(|path| !path.is_empty())?;
        Some(Self { file: format!("{path}-wal").into() })
    }

    /// Writes the log back and gives its space to the disk, if the disk has less left than the log has taken. Called
    /// between transactions, by the connection that writes.
    pub(super) fn make_way(&self, db: &Connection) {
        if let Some(free) = free(&self.file) {
            self.make_way_in(db, free);
        }
    }

    fn make_way_in(&self, db: &Connection, free: u64) {
        if self.size() <= free {
            return;
        }
        let written = db.busy_timeout(PATIENCE).and_then(|()| {
            // It says whether it was kept from it in a row that nobody needs.
            let written = db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
            db.busy_timeout(BUSY_TIMEOUT).and(written)
        });
        if let Err(error) = written {
            tracing::debug!(%error, "the log could not be written back");
        }
    }

    fn size(&self) -> u64 {
        std::fs::metadata(&self.file).map_or(0, |file| file.len())
    }
}

/// How many bytes a disk has left for who is not root.
fn free(file: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(file).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use rusqlite::OptionalExtension;
    use tempfile::TempDir;

    use super::*;

    fn database(dir: &TempDir) -> Connection {
        let db = Connection::open(dir.path().join("test.db")).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x TEXT)")
            .unwrap();
        db
    }

    fn insert(db: &Connection) {
        db.execute("INSERT INTO t VALUES (?1)", ["x".repeat(10_000)]).unwrap();
    }

    #[test]
    fn a_log_has_no_more_than_what_is_left_beside_it() {
        let dir = TempDir::new().unwrap();
        let db = database(&dir);
        let log = Log::of(&db).unwrap();
        insert(&db);
        let size = log.size();
        assert!(size > 10_000, "{size}");

        log.make_way_in(&db, size);
        assert_eq!(log.size(), size);
        log.make_way_in(&db, size - 1);

        assert_eq!(log.size(), 0);
        assert_eq!(db.query_row("SELECT count(*) FROM t", [], |row| row.get(0)), Ok(1));
        assert!(free(&log.file).is_some_and(|free| free > 0));
    }

    #[test]
    fn a_reader_is_not_waited_for_and_keeps_what_it_sees() {
        let dir = TempDir::new().unwrap();
        let (db, reader) = (database(&dir), Connection::open(dir.path().join("test.db")).unwrap());
        let log = Log::of(&db).unwrap();
        reader.execute_batch("BEGIN").unwrap();
        let first = |db: &Connection| db.query_row("SELECT x FROM t", [], |row| row.get::<_, String>(0));
        assert_eq!(first(&reader).optional(), Ok(None));
        insert(&db);

        let begun = std::time::Instant::now();
        log.make_way_in(&db, 0);

        assert!(begun.elapsed() < BUSY_TIMEOUT / 2, "{:?}", begun.elapsed());
        assert!(log.size() > 0);
        assert_eq!(first(&reader).optional(), Ok(None));
        reader.execute_batch("COMMIT").unwrap();
        log.make_way_in(&db, 0);
        assert_eq!(log.size(), 0);
        assert!(first(&reader).is_ok());
    }

    #[test]
    fn what_is_in_memory_has_no_log() {
        assert!(Log::of(&Connection::open_in_memory().unwrap()).is_none());
    }
}
