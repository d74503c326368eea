//! A server on a port: in this process, or the real program in its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::time::Duration;

use axum::body::Bytes;
use priyo_core::model::{Clock, Role};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::{ACCESS_SECRET, PATIENCE, Person, REFRESH_SECRET, Refused, Registry, Socket, Wire};

/// What both kinds of server are to a test.
#[derive(Debug)]
pub struct Site {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The way to it.
    pub wire: Wire,
    database: PathBuf,
    /// Made when somebody is made: an open database would keep a killed server's log from being the next one's to
    /// recover.
    registry: OnceLock<Registry>,
}

impl Site {
    fn new(addr: SocketAddr, database: &Path) -> Self {
        let wire = Wire::http(&format!("http://{addr}"));
        Self { addr, wire, database: database.to_owned(), registry: OnceLock::new() }
    }

    fn registry(&self) -> &Registry {
        self.registry.get_or_init(|| Registry::beside(&self.database, Clock::system()))
    }

    /// A new customer, signed in.
    pub async fn customer(&self, name: &str) -> Person {
        self.registry().person(self.wire.clone(), name, Role::Customer).await
    }

    /// A new agent, signed in.
    pub async fn agent(&self, name: &str) -> Person {
        self.registry().person(self.wire.clone(), name, Role::Agent).await
    }

    /// A new administrator, signed in.
    pub async fn admin(&self, name: &str) -> Person {
        self.registry().person(self.wire.clone(), name, Role::Admin).await
    }

    /// The same person on another device: another session.
    pub async fn another_device(&self, of: &Person) -> Person {
        self.registry().another_device(of).await
    }

    /// A live connection of a person.
    pub async fn socket(&self, of: &Person) -> Socket {
        self.try_socket(of).await.unwrap()
    }

    /// A live connection of a person, if the server lets them in.
    ///
    /// # Errors
    ///
    /// The text of the server's `connect_error`.
    pub async fn try_socket(&self, of: &Person) -> Result<Socket, Refused> {
        Socket::connect(self.addr, &of.token).await
    }
}

/// Every setting of a test server that keeps its data in `dir`.
fn variables(dir: &Path, port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("NODE_ENV", "development".to_owned()),
        ("DATABASE_URL", format!("sqlite:{}", dir.join("priyo.db").display())),
        ("UPLOAD_DIR", dir.join("uploads").display().to_string()),
        ("JWT_ACCESS_SECRET", ACCESS_SECRET.to_owned()),
        ("JWT_REFRESH_SECRET", REFRESH_SECRET.to_owned()),
        ("RATE_LIMITS", "off".to_owned()),
        ("HOST", "127.0.0.1".to_owned()),
        ("PORT", port.to_string()),
    ]
}

/// A server in this process, on a free port and with a database of its own.
#[derive(Debug)]
pub struct TestServer {
    site: Site,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
    _dir: TempDir,
}

impl TestServer {
    /// Starts one.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with other values for some variables.
    pub async fn start_with(others: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let variables = variables(dir.path(), addr.port());
        let config = priyo_server::config::Config::read(|name| {
            let other = others.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            other.or_else(|| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
            })
        })
        .unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            priyo_server::serve(config, vec![listener], shutdown).await.unwrap();
        });
        let database = dir.path().join("priyo.db");
        healthy(addr).await.expect("the server starts");
        Self { site: Site::new(addr, &database), stop: Some(stop), running, _dir: dir }
    }

    /// Asks the server to stop and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        timeout(PATIENCE, &mut self.running).await.expect("the server stops in time").unwrap();
    }
}

impl Deref for TestServer {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

/// The real program, with its data in a directory that outlives it.
#[derive(Debug)]
pub struct ServerProcess {
    site: Site,
    child: Child,
}

impl ServerProcess {
    /// Starts the program on the data in `dir` and waits until it answers.
    pub async fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[]).await
    }

    /// Starts the program with other values for some variables.
    pub async fn start_with(dir: &Path, others: &[(&str, &str)]) -> Self {
        // Between finding a free port and the program's taking it another process may come first: then once more.
        for _ in 0..5 {
            let port = {
                let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                free.local_addr().unwrap().port()
            };
            let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).unwrap();
            let mut command = Command::new(program());
            command.env_clear().envs(variables(dir, port)).envs(others.iter().copied());
            command.current_dir(dir).kill_on_drop(true);
            let child =
                command.stdout(log.try_clone().unwrap()).stderr(log).spawn().expect("the program starts");
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if healthy(addr).await.is_some() {
                return Self { site: Site::new(addr, &dir.join("priyo.db")), child };
            }
        }
        panic!("the server does not start: {}", std::fs::read_to_string(dir.join("log")).unwrap_or_default())
    }

    /// Kills the program at once (SIGKILL).
    pub async fn kill_nine(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks the program to stop (SIGTERM) and waits for it; `None` when it has not stopped by the deadline.
    pub async fn terminate(mut self, deadline: Duration) -> Option<ExitStatus> {
        let pid = self.child.id().expect("it runs").to_string();
        // The shell's own `kill`, so that no other program is needed.
        let sent = Command::new("sh").arg("-c").arg(format!("kill -TERM {pid}")).status().await.unwrap();
        assert!(sent.success());
        timeout(deadline, self.child.wait()).await.ok().map(Result::unwrap)
    }
}

impl Deref for ServerProcess {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

/// The program that was built beside the running test.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("priyo-server");
    assert!(program.is_file(), "{} is not there: run `cargo build` first", program.display());
    program
}

/// Waits until a server answers there; `None` when none does.
async fn healthy(addr: SocketAddr) -> Option<()> {
    let wire = Wire::http(&format!("http://{addr}"));
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Ok(answer) = wire.try_send("GET", "/health", &[], Bytes::new()).await {
            return (answer.status == 200).then_some(());
        }
        // Nothing tells of another process's port being open: it can only be tried.
        sleep(Duration::from_millis(5)).await;
    }
    None
}
