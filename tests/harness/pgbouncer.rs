//! A PgBouncer in front of a PostgreSQL server of a test's own.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::{Cluster, PATIENCE, skipped};

/// The port, which is a part of the name of its socket.
const PORT: u16 = 6432;

/// A PgBouncer that hands out connections for a transaction at a time. It ends with the test.
#[derive(Debug)]
pub struct PgBouncer {
    folder: TempDir,
    _child: Child,
}

impl PgBouncer {
    /// Starts one. `None` where there is none, which is said then; with `CI` set it is a failure.
    pub async fn before(cluster: &Cluster) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        // It does not run as root, and makes its socket here.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let (settings, log) = (folder.path().join("pgbouncer.ini"), folder.path().join("log"));
        fs::write(&settings, settings_for(cluster, &folder)).unwrap();
        fs::set_permissions(&settings, Permissions::from_mode(0o644)).unwrap();
        let mut command = Command::new("pgbouncer");
        command.arg(&settings).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        command.stderr(File::create(&log).unwrap());
        if rustix::process::geteuid().is_root() {
            // Nobody else may come near the socket of the database server.
            let (user, group) = cluster.owner();
            command.uid(user).gid(group);
        }
        let Ok(child) = command.spawn() else {
            skipped("there is no PgBouncer: install it with `apt-get install pgbouncer`");
            return None;
        };
        let pgbouncer = Self { folder, _child: child };
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = pgbouncer.asked().await {
            let log = fs::read_to_string(&log).unwrap();
            assert!(Instant::now() < deadline, "PgBouncer does not start: {error}\n{log}");
            sleep(std::time::Duration::from_millis(5)).await;
        }
        Some(pgbouncer)
    }

    /// Where it is: a URL that names no schema.
    pub fn url(&self) -> String {
        format!("postgresql://postgres@localhost:{PORT}/postgres?host={}", self.folder.path().display())
    }

    /// Connects to it, and asks the database something if that succeeds.
    ///
    /// # Errors
    ///
    /// When either does not.
    pub async fn asked(&self) -> sqlx::Result<()> {
        let mut connection = self.connect().await?;
        connection.execute("SELECT 1").await?;
        connection.close().await
    }

    /// Connects to it and to nothing else.
    ///
    /// # Errors
    ///
    /// When it does not let anybody in.
    pub async fn connect(&self) -> sqlx::Result<PgConnection> {
        PgConnection::connect(&self.url()).await
    }
}

fn settings_for(cluster: &Cluster, folder: &TempDir) -> String {
    format!(
        "[databases]\n\
         * = host={} user=postgres\n\
         [pgbouncer]\n\
         listen_addr =\n\
         listen_port = {PORT}\n\
         unix_socket_dir = {}\n\
         auth_type = any\n\
         pool_mode = transaction\n\
         server_login_retry = 1\n\
         ignore_startup_parameters = extra_float_digits\n",
        cluster.folder().display(),
        folder.path().display()
    )
}
