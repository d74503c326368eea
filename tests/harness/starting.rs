//! The real program while it starts, which it may never do.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::server::{healthy, program, variables};
use crate::{Database, ServerProcess};

/// A program that was started and of which nobody knows yet what becomes of it.
#[derive(Debug)]
pub struct Starting {
    addr: SocketAddr,
    database: Database,
    child: Child,
    log: PathBuf,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// All that it has said.
    pub said: String,
}

impl Starting {
    /// Starts the program on a database, with other values for some variables, and waits for nothing.
    pub fn launch(database: &Database, others: &[(&str, &str)]) -> Self {
        let port = {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            free.local_addr().unwrap().port()
        };
        let mut command = Command::new(program());
        command.env_clear().envs(variables(database, port)).envs(others.iter().copied());
        command.current_dir(database.folder()).kill_on_drop(true);
        let path = database.folder().join(format!("log-{port}"));
        let log = std::fs::File::create(&path).unwrap();
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().expect("the program starts");
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { addr, database: database.clone(), child, log: path }
    }

    /// Waits until it answers.
    pub async fn answers(self) -> ServerProcess {
        let Self { addr, database, child, log } = self;
        assert!(healthy(addr).await.is_some(), "{}", std::fs::read_to_string(log).unwrap());
        ServerProcess::new(addr, database, child)
    }

    /// Kills it at once (SIGKILL).
    pub async fn kill_nine(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until it ends by itself; `None` when it does not in time.
    pub async fn ends_by(mut self, deadline: Duration) -> Option<Ended> {
        let status = timeout(deadline, self.child.wait()).await.ok()?.unwrap();
        Some(Ended { status, said: std::fs::read_to_string(self.log).unwrap() })
    }
}
