//! A PostgreSQL server that a test may do anything to.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::PATIENCE;
use crate::signal::signal;

/// How `tests/postgres` ends where there is no PostgreSQL.
const MISSING: i32 = 3;

/// A PostgreSQL server of a test's own, for what the others must not suffer. It ends with the test.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    url: String,
}

impl Cluster {
    /// Makes one. `None` where there is no PostgreSQL, which is said then; with `CI` set it is a failure.
    pub async fn start() -> Option<Self> {
        // Whatever comes from here on, it is stopped.
        let mut cluster = Self { folder: TempDir::new().unwrap(), url: String::new() };
        let started = cluster.run("start").await;
        if started.status.code() == Some(MISSING) {
            let text = String::from_utf8_lossy(&started.stderr).into_owned();
            assert!(std::env::var_os("CI").is_none(), "{text}");
            println!("SKIPPED: {text}");
            return None;
        }
        String::from_utf8(succeeded(started).stdout).unwrap().trim_end().clone_into(&mut cluster.url);
        Some(cluster)
    }

    /// Where it is: a URL that names no schema.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder with its socket.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The user and the group as which it runs.
    pub(crate) fn owner(&self) -> (u32, u32) {
        let data = std::fs::metadata(self.data()).unwrap();
        (data.uid(), data.gid())
    }

    /// The process that lets clients in. Each of them is served by another one.
    pub fn doorkeeper(&self) -> u32 {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        file.lines().next().unwrap().parse().unwrap()
    }

    /// The folder with its files.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Stops it, as an operator does who cannot wait: what is going on is broken off.
    pub async fn stop(&self) {
        succeeded(self.run("stop").await);
    }

    /// Starts it again after it was stopped or killed, and waits until it takes connections.
    pub async fn start_again(&self) {
        succeeded(self.run("start").await);
    }

    /// Stops and starts it.
    pub async fn restart(&self) {
        succeeded(self.run("restart").await);
    }

    /// Kills it at once (SIGKILL).
    pub async fn kill_nine(&self) {
        succeeded(self.run("kill").await);
    }

    /// Kills the process that serves one of its clients (SIGKILL), one that is at work if there is one; returns when
    /// the server has noticed. It then breaks off all others and recovers.
    pub async fn kill_one_nine(&self) {
        const ONE: &str = "SELECT pid FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
            ORDER BY state = 'active' DESC, random() LIMIT 1";
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let pid: i32 = sqlx::query_scalar(ONE).fetch_one(&mut connection).await.unwrap();
        signal("KILL", pid.unsigned_abs()).await;
        let broken_off = sqlx::query("SELECT pg_sleep($1)").bind(PATIENCE.as_secs_f64());
        broken_off.execute(&mut connection).await.expect_err("the server does not notice");
    }

    /// Stops all its processes (SIGSTOP): whoever asks it something is not answered.
    pub async fn pause(&self) {
        succeeded(self.run("pause").await);
    }

    /// Lets all its processes go on.
    pub async fn resume(&self) {
        succeeded(self.run("resume").await);
    }

    /// Lets commits wait for a standby that is said to be there, or no more. There is none: a commit is done then, and
    /// nobody is told.
    pub async fn waits_for_standby(&self, waits: bool) {
        const SHOWN: &str =
            "SELECT count(*) FROM pg_settings WHERE name = 'synchronous_standby_names' AND setting = $1";
        let name = if waits { "nobody" } else { "" };
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'");
        connection.execute(AssertSqlSafe(set)).await.unwrap();
        connection.execute("SELECT pg_reload_conf()").await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while sqlx::query_scalar::<_, i64>(SHOWN).bind(name).fetch_one(&mut connection).await.unwrap() == 0 {
            assert!(Instant::now() < deadline, "the setting is not taken");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until one of our connections waits for this event, as PostgreSQL calls it.
    pub async fn sees_wait(&self, event: &str) {
        const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
            WHERE wait_event = $1 AND application_name = 'priyo'";
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while sqlx::query_scalar::<_, i64>(WAITING).bind(event).fetch_one(&mut connection).await.unwrap() == 0
        {
            assert!(Instant::now() < deadline, "nobody waits for {event}");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until it takes connections.
    pub async fn accepts(&self) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = PgConnection::connect(&self.url).await {
            assert!(Instant::now() < deadline, "{error}");
            // Nothing tells of it: it can only be tried.
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn run(&self, verb: &str) -> Output {
        tokio::process::Command::from(script(verb, self.folder.path())).output().await.unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let stopped = script("stop", self.folder.path()).output();
        if !std::thread::panicking() {
            succeeded(stopped.unwrap());
        }
    }
}

/// `tests/postgres`, to be run.
fn script(verb: &str, folder: &Path) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("postgres"));
    command.arg(verb).arg(folder);
    command
}

#[track_caller]
fn succeeded(output: Output) -> Output {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// Asks for what was stored, through a new connection; whether there is an answer in time.
    async fn answers(cluster: &Cluster, time: Duration) -> bool {
        let asked = async {
            let mut connection = PgConnection::connect(&cluster.url).await.ok()?;
            connection.execute("SELECT count(*) FROM letters").await.ok()
        };
        timeout(time, asked).await.is_ok_and(|answer| answer.is_some())
    }

    /// The number of the server's process.
    fn server(cluster: &Cluster) -> String {
        let file = std::fs::read_to_string(cluster.data().join("postmaster.pid")).unwrap();
        file.lines().next().unwrap().to_owned()
    }

    fn is_running(pid: &str) -> bool {
        let command = std::fs::read(format!("/proc/{pid}/cmdline"));
        command.is_ok_and(|line| !line.is_empty())
    }

    #[tokio::test]
    async fn a_cluster_suffers_what_is_done_to_it_and_keeps_its_data() {
        let Some(cluster) = Cluster::start().await else { return };
        let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
        connection.execute("CREATE TABLE letters AS SELECT 'a' AS letter").await.unwrap();
        assert!(answers(&cluster, PATIENCE).await);

        cluster.pause().await;
        assert!(!answers(&cluster, Duration::from_millis(500)).await);
        cluster.resume().await;
        assert!(answers(&cluster, PATIENCE).await);
        connection.execute("SELECT 1").await.unwrap();

        cluster.kill_one_nine().await;
        assert!(connection.execute("SELECT 1").await.is_err(), "it was not the one");
        cluster.accepts().await;
        assert!(answers(&cluster, PATIENCE).await);

        for kill in [false, true] {
            let pid = server(&cluster);
            if kill {
                cluster.kill_nine().await
            } else {
                cluster.stop().await
            }
            assert!(!is_running(&pid) && !answers(&cluster, PATIENCE).await);
            cluster.start_again().await;
            assert!(answers(&cluster, PATIENCE).await);
        }

        let before = server(&cluster);
        cluster.restart().await;
        assert!(before != server(&cluster) && answers(&cluster, PATIENCE).await);
    }

    #[tokio::test]
    async fn a_cluster_ends_with_its_test_also_when_it_is_paused_and_the_test_panics() {
        let Some(cluster) = Cluster::start().await else { return };
        let (folder, pid) = (cluster.folder.path().to_owned(), server(&cluster));
        cluster.pause().await;

        let test = tokio::spawn(async move {
            let _cluster = cluster;
            panic!("this test always does");
        });

        assert!(test.await.unwrap_err().is_panic());
        assert!(!is_running(&pid) && !folder.exists());
    }
}
