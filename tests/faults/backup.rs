//! A copy of the database of a server that is at work, as its operator makes it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use priyo_tests::{Database, PATIENCE, ServerProcess};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};
use tokio::time::sleep;

use crate::chance::{Evidence, rounds};
use crate::checker::{Violation, check};
use crate::history::{History, Record};
use crate::stored::Stored;
use crate::workload::{Place, Scene};

/// How a copy is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copying {
    /// `VACUUM INTO`.
    Vacuum,
    /// SQLite's online backup, as `.backup` of its shell.
    Online,
    /// As any file is.
    File,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_holds_every_message_acknowledged_before_it() {
    for _ in 0..rounds(1, 10) {
        for copying in [Copying::Vacuum, Copying::Online] {
            let restored = Restored::from_a_copy(copying).await;
            assert!(restored.violations.is_empty(), "{copying:?}: {:#?}", restored.violations);
            assert!(restored.before > 0 && restored.rows >= restored.before);
            println!(
                "{copying:?}: {} messages, of which {} were acknowledged before it, while {} more were",
                restored.rows, restored.before, restored.during
            );
        }
    }
}

/// The control: the newest messages are in the log beside the file.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_file_alone_lacks_messages_that_were_acknowledged() {
    let restored = Restored::from_a_copy(Copying::File).await;
    let lost = restored.violations.iter().filter(|one| matches!(one, Violation::Lost { .. })).count();
    assert!(lost > 0, "all of {} are in the file: it proves nothing", restored.before);
    println!("{lost} of {} acknowledged messages are not in the file", restored.before);
}

/// What a server finds on a copy.
struct Restored {
    /// Against what was known when the copy was begun.
    violations: Vec<Violation>,
    rows: usize,
    before: usize,
    during: usize,
}

impl Restored {
    async fn from_a_copy(copying: Copying) -> Self {
        let evidence = Evidence::new();
        let (dir, backup) = (evidence.folder("data"), evidence.folder("backup"));
        let database = Database::file_in(&dir);
        let scene = Scene::set(&database).await;
        let history = Arc::new(History::new(&evidence.history()));
        let server = ServerProcess::start(&database).await;
        let load = scene.begin(&Place::of(&server), &history, "backup", &mut evidence.dice()).await;
        // The load itself has no end to wait for.
        sleep(Duration::from_millis(400)).await;

        let known = history.records();
        let (from, to) = (dir.join("priyo.db"), backup.join("priyo.db"));
        tokio::task::spawn_blocking(move || copy(copying, &from, &to)).await.unwrap();
        let during = history.acknowledged();
        load.stop().await;
        assert!(history.unknown().is_empty(), "a send failed because of the backup");
        assert!(server.terminate(PATIENCE).await.expect("the server stops in time").success());

        // A server takes it as it is.
        let restored = Database::file_in(&backup);
        let server = ServerProcess::start(&restored).await;
        assert!(server.terminate(PATIENCE).await.expect("the server stops in time").success());
        let stored = Stored::read(&restored).await;
        let before = acknowledged(&known);
        Self {
            violations: broken_before(&known, &history.records(), &stored),
            rows: stored.messages.len(),
            before,
            during: during - before,
        }
    }
}

fn copy(copying: Copying, from: &Path, to: &Path) {
    let open = || {
        let db = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        db.busy_timeout(PATIENCE).unwrap();
        db
    };
    match copying {
        Copying::Vacuum => drop(open().execute("VACUUM INTO ?1", [to.to_str().unwrap()]).unwrap()),
        Copying::Online => {
            let (from, mut to) = (open(), Connection::open(to).unwrap());
            // All pages in one step: between two steps the server writes, and the copy would begin anew.
            Backup::new(&from, &mut to).unwrap().run_to_completion(i32::MAX, Duration::ZERO, None).unwrap();
        }
        Copying::File => drop(std::fs::copy(from, to).unwrap()),
    }
}

fn acknowledged(records: &[Record]) -> usize {
    records.iter().filter(|record| matches!(record, Record::Ok(..))).count()
}

/// What is wrong with what is stored, for one who knows all that was sent, but only these answers.
fn broken_before(known: &[Record], all: &[Record], stored: &Stored) -> Vec<Violation> {
    let later = all[known.len()..].iter().filter(|record| matches!(record, Record::Invoke(..)));
    let records: Vec<Record> = known.iter().chain(later).cloned().collect();
    check(&records, stored)
}
