//! A server that cannot have what it needs says so and does not start.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use priyo_tests::{ACCESS_SECRET, Database, PATIENCE, REFRESH_SECRET, ServerProcess, program};
use rustix::process::geteuid;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

/// How long it may take to give up.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// A user who owns nothing.
const NOBODY: u32 = 65_534;

/// A folder that belongs to somebody for whom permissions count, and the program where they can run it.
struct Place {
    folder: TempDir,
    program: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut program = program();
        if geteuid().is_root() {
            // Where the program was built may be closed to others.
            let copy = folder.path().join("priyo-server");
            fs::copy(&program, &copy).unwrap();
            program = copy;
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Self { folder, program }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().env("PORT", "0").env("HOST", "127.0.0.1").env("LOG_FORMAT", "json");
        command.env("JWT_ACCESS_SECRET", ACCESS_SECRET).env("JWT_REFRESH_SECRET", REFRESH_SECRET);
        command.envs(variables.iter().copied()).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Runs the program, which must end by itself.
    async fn run(&self, variables: &[(&str, &str)]) -> Output {
        let running = self.command(variables).spawn().unwrap().wait_with_output();
        timeout(ENDS_WITHIN, running).await.expect("it gives up in time").unwrap()
    }

    /// Makes an empty database, as the program would.
    async fn make_database(&self) {
        let mut running = self.command(&[]).spawn().unwrap();
        let made = async {
            while !self.path("priyo.db-wal").exists() || !self.path("uploads").exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, made).await.expect("it starts where it may");
        let stopped = Command::new("kill").arg(running.id().unwrap().to_string()).status().await.unwrap();
        assert!(stopped.success() && running.wait().await.unwrap().success());
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Fails unless it ended with one line for the person who started it, with these words in it.
#[track_caller]
fn assert_refused(output: &Output, words: &[&str]) {
    let (said, log) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(!output.status.success(), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.starts_with("priyo-server: "), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?}: {said}");
    }
    assert!(!log.contains("is ready"), "{log}");
}

#[tokio::test]
async fn a_database_that_may_not_be_written_is_not_served() {
    let place = Place::new();
    place.make_database().await;
    let file = place.path("priyo.db");

    set_mode(&file, 0o400);
    assert_refused(&place.run(&[]).await, &["priyo.db", "read-only"]);
    set_mode(&file, 0o000);
    assert_refused(&place.run(&[]).await, &["priyo.db", "Permission denied"]);
    set_mode(&file, 0o600);
    set_mode(place.folder.path(), 0o500);
    assert_refused(&place.run(&[]).await, &[place.folder.path().to_str().unwrap(), "Permission denied"]);

    // The control: where it may again, it starts.
    set_mode(place.folder.path(), 0o700);
    place.make_database().await;
}

#[tokio::test]
async fn a_database_that_is_not_there_and_cannot_be_made_is_not_served() {
    let place = Place::new();
    fs::create_dir(place.path("closed")).unwrap();
    set_mode(&place.path("closed"), 0o555);
    fs::write(place.path("letter"), "Dear Sir or Madam").unwrap();
    for (url, words) in [
        ("sqlite:closed/priyo.db", ["closed/priyo.db", "Permission denied"]),
        ("sqlite:no/such/folder/priyo.db", ["no/such/folder/priyo.db", "No such file or directory"]),
        ("sqlite:letter", ["letter", "is not an SQLite database"]),
        ("sqlite:letter/priyo.db", ["letter/priyo.db", "Not a directory"]),
        ("sqlite:/", ["/", "s a directory"]),
    ] {
        assert_refused(&place.run(&[("DATABASE_URL", url)]).await, &words);
    }
    let closed = [("DATABASE_URL", "sqlite:here.db"), ("UPLOAD_DIR", "closed/uploads")];
    assert_refused(&place.run(&closed).await, &["uploads", "Permission denied", "UPLOAD_DIR"]);
}

#[tokio::test]
async fn a_database_that_another_server_has_is_not_served_again() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::file_in(folder.path());
    let server = ServerProcess::start(&database).await;

    let mut second = Command::new(program());
    let url = database.url();
    second.env_clear().envs([("PORT", "0"), ("HOST", "127.0.0.1"), ("DATABASE_URL", &*url)]);
    let running = second.current_dir(folder.path()).kill_on_drop(true).output();
    let output = timeout(ENDS_WITHIN, running).await.expect("it gives up in time").unwrap();

    assert_refused(&output, &["priyo.db is in use by another server"]);
    // And the first one goes on.
    server.customer("alice").await.starts_group_with(&[]).await;
}
