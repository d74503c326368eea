//! A server on a port: in this process, or the real program in its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::future::join_all;
use priyo_core::model::{Clock, Role};
use tokio::process::{Child, Command};
use tokio::sync::{OnceCell, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::signal::signal;
use crate::{
    ACCESS_SECRET, Database, Memory, PATIENCE, Person, REFRESH_SECRET, Refused, Registry, Socket, Wire,
};

/// What both kinds of server are to a test.
#[derive(Debug)]
pub struct Site {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The way to it.
    pub wire: Wire,
    database: Database,
    /// Made when somebody is made: an open database would keep a killed server's log from being the next one's to
    /// recover.
    registry: OnceCell<Registry>,
}

impl Site {
    pub(crate) fn new(addr: SocketAddr, database: Database) -> Self {
        let wire = Wire::http(&format!("http://{addr}"));
        Self { addr, wire, database, registry: OnceCell::new() }
    }

    /// Another way to it, with connections of its own, which end with it.
    pub fn another_wire(&self) -> Wire {
        Wire::http(&format!("http://{}", self.addr))
    }

    /// Gives people another way to it: the connections of the one that they had end.
    pub fn rewire(&self, people: &mut [Person]) {
        let wire = self.another_wire();
        people.iter_mut().for_each(|person| person.wire = wire.clone());
    }

    /// The database that it is on.
    pub fn database(&self) -> &Database {
        &self.database
    }

    async fn registry(&self) -> &Registry {
        self.registry.get_or_init(|| Registry::beside(&self.database, Clock::system())).await
    }

    /// A new customer, signed in.
    pub async fn customer(&self, name: &str) -> Person {
        self.registry().await.person(self.wire.clone(), name, Role::Customer).await
    }

    /// A new agent, signed in.
    pub async fn agent(&self, name: &str) -> Person {
        self.registry().await.person(self.wire.clone(), name, Role::Agent).await
    }

    /// A new administrator, signed in.
    pub async fn admin(&self, name: &str) -> Person {
        self.registry().await.person(self.wire.clone(), name, Role::Admin).await
    }

    /// The same person on another device: another session.
    pub async fn another_device(&self, of: &Person) -> Person {
        self.registry().await.another_device(of).await
    }

    /// So many new customers, signed in.
    pub async fn customers(&self, name: &str, count: usize) -> Vec<Person> {
        let registry = self.registry().await;
        let mut people = Vec::with_capacity(count);
        // Many at once, so that they share the commits.
        for start in (0..count).step_by(AT_ONCE) {
            let some = start..count.min(start + AT_ONCE);
            let made = some.map(async |number| {
                registry.person(self.wire.clone(), &format!("{name}-{number}"), Role::Customer).await
            });
            people.extend(join_all(made).await);
        }
        people
    }

    /// The value of a series that the server measures, named with its labels; 0 when there is none.
    pub async fn measured(&self, series: &str) -> f64 {
        self.all_measured([series]).await[0]
    }

    /// The values of several series, of one moment.
    pub async fn all_measured<const N: usize>(&self, series: [&str; N]) -> [f64; N] {
        let text = self.wire.send("GET", "/metrics", &[], Bytes::new()).await.expect(200).text();
        let of = |series: &str, line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
        series.map(|series| text.lines().find_map(|line| of(series, line)).unwrap_or(0.0))
    }

    /// A live connection of a person.
    pub async fn socket(&self, of: &Person) -> Socket {
        self.try_socket(of).await.unwrap()
    }

    /// A live connection of a person, if the server lets them in. From now on it hears what is announced.
    ///
    /// # Errors
    ///
    /// The text of the server's `connect_error`.
    pub async fn try_socket(&self, of: &Person) -> Result<Socket, Refused> {
        Socket::connect(self.addr, &of.token).await
    }
}

/// How many people are made at once.
const AT_ONCE: usize = 200;

/// Every setting of a test server on a database.
pub(crate) fn variables(database: &Database, port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("NODE_ENV", "development".to_owned()),
        ("DATABASE_URL", database.url()),
        ("UPLOAD_DIR", database.folder().join("uploads").display().to_string()),
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
}

impl TestServer {
    /// Starts one.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with other values for some variables.
    pub async fn start_with(others: &[(&str, &str)]) -> Self {
        let database = Database::new();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let variables = variables(&database, addr.port());
        let config = priyo_server::config::Config::read(|name| {
            let other = others.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            other.or_else(|| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
            })
        })
        .unwrap();
        let (stop, stopped) = oneshot::channel();
        let mut running = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            priyo_server::serve(config, vec![listener], shutdown).await.unwrap();
        });
        tokio::select! {
            healthy = healthy(addr) => healthy.expect("the server starts"),
            ended = &mut running => panic!("the server does not start: {ended:?}"),
        }
        Self { site: Site::new(addr, database), stop: Some(stop), running }
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

/// The real program, on a database that outlives it.
#[derive(Debug)]
pub struct ServerProcess {
    site: Site,
    child: Child,
}

impl ServerProcess {
    pub(crate) fn new(addr: SocketAddr, database: Database, child: Child) -> Self {
        Self { site: Site::new(addr, database), child }
    }

    /// Starts the program on a database and waits until it answers.
    pub async fn start(database: &Database) -> Self {
        Self::start_with(database, &[]).await
    }

    /// Starts the program with other values for some variables.
    pub async fn start_with(database: &Database, others: &[(&str, &str)]) -> Self {
        Self::start_by(|| Command::new(program()), database, others).await
    }

    /// Starts the program where a process may have only so many files open.
    pub async fn start_limited(database: &Database, others: &[(&str, &str)], open_files: u32) -> Self {
        Self::start_by(|| after(&format!("ulimit -n {open_files}")), database, others).await
    }

    /// Starts the program where every file that does not say otherwise is made with these permissions taken away.
    pub async fn start_under_umask(database: &Database, mask: u32) -> Self {
        Self::start_by(|| after(&format!("umask {mask:03o}")), database, &[]).await
    }

    /// Starts the program where it may have only so much memory.
    pub async fn start_within(database: &Database, others: &[(&str, &str)], memory: &Memory) -> Self {
        let within = || {
            let mut shell = Command::new("sh");
            shell.args(["-c", "echo $$ >\"$1\" && exec \"$0\""]).arg(program()).arg(memory.door());
            shell
        };
        Self::start_by(within, database, others).await
    }

    async fn start_by(command: impl Fn() -> Command, database: &Database, others: &[(&str, &str)]) -> Self {
        let dir = database.folder();
        // Between finding a free port and the program's taking it another process may come first: then once more.
        for _ in 0..5 {
            let port = {
                let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                free.local_addr().unwrap().port()
            };
            let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).unwrap();
            let mut command = command();
            command.env_clear().envs(variables(database, port)).envs(others.iter().copied());
            command.current_dir(dir).kill_on_drop(true);
            let child =
                command.stdout(log.try_clone().unwrap()).stderr(log).spawn().expect("the program starts");
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if healthy(addr).await.is_some() {
                return Self::new(addr, database.clone(), child);
            }
        }
        panic!("the server does not start: {}", std::fs::read_to_string(dir.join("log")).unwrap_or_default())
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// All that it, and those before it on the same database, have said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.database.folder().join("log")).unwrap()
    }

    /// Kills the program at once (SIGKILL).
    pub async fn kill_nine(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks the program to stop (SIGTERM) and waits for it; `None` when it has not stopped by the deadline.
    pub async fn terminate(mut self, deadline: Duration) -> Option<ExitStatus> {
        signal("TERM", self.pid()).await;
        timeout(deadline, self.child.wait()).await.ok().map(Result::unwrap)
    }
}

impl Deref for ServerProcess {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

/// The program, in a process that has done this as a shell before.
fn after(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{command} && exec \"$0\"")).arg(program());
    shell
}

/// The program that was built beside the running test.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("priyo-server");
    assert!(program.is_file(), "{} is not there: run `cargo build` first", program.display());
    program
}

/// Waits until a server answers there; `None` when none does.
pub(crate) async fn healthy(addr: SocketAddr) -> Option<()> {
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
