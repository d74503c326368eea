//! The binary as its users run it: it starts, answers, explains what is wrong, and stops.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Lines, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_priyo-server");
const PATIENCE: Duration = Duration::from_secs(20);

/// A server process that is killed when the test ends.
struct Server {
    child: Child,
    log: Lines<BufReader<ChildStdout>>,
    port: u16,
    dir: TempDir,
}

impl Server {
    /// Starts it on a free port of the loopback addresses and waits until it listens.
    fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_by(Command::new(BINARY), variables)
    }

    fn start_by(mut command: Command, variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        command.env_clear().env("PORT", "0").env("LOG_FORMAT", "json").envs(variables.iter().copied());
        let mut child = command.current_dir(dir.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = line_with(&mut log, "listening");
        let address: SocketAddr =
            ready["listening"].as_str().unwrap().split(' ').next().unwrap().parse().unwrap();
        Self { child, log, port: address.port(), dir }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn connect(&self) -> io::Result<TcpStream> {
        connect(Ipv4Addr::LOCALHOST.into(), self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next line of the log that has this field.
fn line_with(log: &mut Lines<BufReader<ChildStdout>>, field: &str) -> Value {
    loop {
        let line = log.next().expect("the server ended").unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        if line.get(field).is_some() {
            return line;
        }
    }
}

fn connect(host: IpAddr, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::new(host, port), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The answer to a request for `/health`; empty when there is none.
fn health(host: IpAddr, port: u16) -> String {
    let ask = || {
        let (mut stream, mut answer) = (connect(host, port)?, String::new());
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        stream.read_to_string(&mut answer)?;
        Ok::<_, io::Error>(answer)
    };
    ask().unwrap_or_default()
}

fn wait_for(child: &mut Child, limit: Duration) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(start.elapsed() < limit, "the process goes on after {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs the binary until it ends by itself.
fn run(arguments: &[&str], variables: &[(&str, &str)], dot_env: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".env"), dot_env).unwrap();
    let mut command = Command::new(BINARY);
    command.args(arguments).env_clear().envs(variables.iter().copied()).current_dir(dir.path());
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = wait_for(&mut child, PATIENCE);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status, status);
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[test]
fn it_answers_on_both_loopback_addresses_and_stops_on_sigterm() {
    let mut server = Server::start(&[]);
    let mut hosts = vec![IpAddr::from(Ipv4Addr::LOCALHOST)];
    if has_ipv6() {
        hosts.push(Ipv6Addr::LOCALHOST.into());
    }
    for host in hosts {
        let answer = health(host, server.port);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["status"], "OK");
        assert!(body["timestamp"].as_str().unwrap().ends_with('Z'), "{body}");
        assert!(body["uptime"].as_f64().unwrap() >= 0.0, "{body}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(!head.to_lowercase().contains("\nserver:"), "{head}");
    }

    server.signal(Signal::TERM);

    assert_eq!(wait_for(&mut server.child, Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn it_says_where_it_listens_with_which_database_and_in_which_environment() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command.env_clear().env("PORT", "0").env("LOG_FORMAT", "json").current_dir(dir.path());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = line_with(&mut log, "listening");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ready["listening"].as_str().unwrap().starts_with("127.0.0.1:"), "{ready}");
    assert_eq!(
        (&ready["database"], &ready["environment"]),
        (&"sqlite:priyo.db".into(), &"development".into())
    );
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start(&[]);
    // It would wait a moment for this client to close its side.
    let _open = server.connect().unwrap();
    assert!(health(Ipv4Addr::LOCALHOST.into(), server.port).contains("OK"));
    server.signal(Signal::INT);
    assert_eq!(line_with(&mut server.log, "message")["message"], "stopping");
    server.signal(Signal::INT);
    assert_eq!(wait_for(&mut server.child, Duration::from_secs(1)).code(), Some(130));
}

#[test]
fn a_client_that_stays_cannot_keep_it_from_stopping() {
    let mut server = Server::start(&[]);
    let mut open = server.connect().unwrap();
    open.write_all(b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n").unwrap();
    server.signal(Signal::TERM);
    assert_eq!(wait_for(&mut server.child, Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn development_keeps_made_up_secrets_for_its_owner_alone() {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 000; exec \"$0\"", BINARY]);
    let server = Server::start_by(command, &[]);
    let made = std::fs::metadata(server.dir.path().join("priyo.db.secrets")).unwrap();
    assert_eq!(made.permissions().mode() & 0o777, 0o600);
}

#[test]
fn production_without_secrets_does_not_start_and_names_them() {
    let start = Instant::now();
    let output = run(&[], &[("NODE_ENV", "production"), ("PORT", "0")], "");
    let errors = text(&output.stderr);
    assert!(!output.status.success());
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    for name in ["JWT_ACCESS_SECRET is not set", "JWT_REFRESH_SECRET is not set"] {
        assert!(errors.contains(name), "{errors}");
    }
}

#[test]
fn production_with_weak_secrets_does_not_start_and_does_not_show_them() {
    const SAMPLE: &str = "your-super-secret-access-key-change-in-production";
    let settings = format!("NODE_ENV=production\nJWT_ACCESS_SECRET={SAMPLE}\nJWT_REFRESH_SECRET=hunter2\n");
    let output = run(&[], &[("PORT", "0")], &settings);
    let errors = text(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("JWT_ACCESS_SECRET looks like a placeholder"), "{errors}");
    assert!(errors.contains("JWT_REFRESH_SECRET is shorter than 32 bytes"), "{errors}");
    assert!(!errors.contains(SAMPLE) && !errors.contains("hunter2"), "{errors}");
}

#[test]
fn a_bad_value_is_explained_whether_it_is_in_the_environment_or_in_the_file() {
    for (variables, file) in [(&[("PORT", "http")][..], "PORT=3000"), (&[], "PORT=http")] {
        let output = run(&[], variables, file);
        let errors = text(&output.stderr);
        assert!(!output.status.success());
        assert!(errors.contains("PORT is no TCP port: say a number from 1 to 65535"), "{errors}");
    }
    let errors = text(&run(&[], &[], "JWT_ACCESS_SECRET=one two 'hunter2").stderr);
    assert!(errors.contains("a line of .env") && !errors.contains("hunter2"), "{errors}");
}

#[test]
fn a_port_that_is_taken_is_explained() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&[], &[("PORT", &port)], "");
    let errors = text(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{errors}");
}

#[test]
fn a_database_that_cannot_be_opened_is_explained() {
    // With secrets of its own, so that it does not make some up there first.
    let settings =
        "JWT_ACCESS_SECRET=one\nJWT_REFRESH_SECRET=two\nDATABASE_URL=sqlite:no/such/place/priyo.db";
    let output = run(&[], &[("PORT", "0")], settings);
    let errors = text(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("cannot open no/such/place/priyo.db: No such file or directory"), "{errors}");
}

#[test]
fn a_postgresql_that_cannot_be_used_is_explained_without_its_password() {
    for (url, hint) in [
        // Nothing listens on that port.
        ("postgresql://chat:hunter2@127.0.0.1:1/chat", "no PostgreSQL server answers at 127.0.0.1:1"),
        ("postgresql://chat:hunter2@127.0.0.1:1/chat?shema=public", "\"shema\""),
    ] {
        let output = run(&[], &[("PORT", "0"), ("DATABASE_URL", url)], "");
        let errors = text(&output.stderr);
        assert!(!output.status.success());
        assert!(errors.contains(hint), "{errors}");
        assert!(!errors.contains("hunter2") && !text(&output.stdout).contains("hunter2"));
    }
}

#[test]
fn a_bad_administrator_is_explained() {
    let arguments = ["admin", "create", "--email", "nobody", "--username", "x"];
    let output = run(&arguments, &[("PRIYO_ADMIN_PASSWORD", "hunter2")], "");
    let errors = text(&output.stderr);
    assert!(!output.status.success());
    for field in ["\"email\"", "\"username\"", "\"password\""] {
        assert!(errors.contains(field), "{errors}");
    }
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn a_password_that_cannot_be_reset_is_explained() {
    let arguments = ["admin", "reset-password", "--email", "nobody@example.com"];
    for (password, why) in [("hunter2", "\"newPassword\""), ("a good password", "User not found")] {
        let output = run(&arguments, &[("PRIYO_ADMIN_PASSWORD", password)], "");
        let errors = text(&output.stderr);
        assert!(!output.status.success());
        assert!(errors.contains(why) && !errors.contains(password), "{errors}");
    }
}

#[test]
fn help_and_the_sample_file_name_the_same_variables() {
    let sample = include_str!("../../.env.example");
    // What comes then is for docker-compose.yml.
    let (sample, _) = sample.split_once("# --- Containers ---").unwrap();
    let in_sample: BTreeSet<_> = sample
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| !name.contains(' '))
        .collect();
    let help = text(&run(&["--help"], &[], "").stdout);
    let in_help: BTreeSet<_> = help
        .lines()
        .map(str::trim)
        .filter(|line| line.len() > 3 && line.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        .collect();
    assert!(in_help.contains("DATABASE_URL") && help.contains("admin"), "{help}");
    assert_eq!(in_help, in_sample);
}

#[test]
fn it_says_its_version() {
    let output = run(&["--version"], &[], "");
    assert_eq!(text(&output.stdout).trim(), concat!("priyo-server ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn health_says_whether_the_server_answers() {
    let mut server = Server::start(&[]);
    let port = server.port.to_string();
    let healthy = run(&["health"], &[("PORT", &port)], "");
    assert_eq!(healthy.status.code(), Some(0));
    assert_eq!(text(&healthy.stdout), format!("The server on 127.0.0.1:{port} is healthy.\n"));
    // As in a container, where it listens on every address.
    let everywhere = run(&["health"], &[("PORT", &port), ("HOST", "0.0.0.0")], "");
    assert_eq!(everywhere.status.code(), Some(0));

    server.signal(Signal::TERM);
    wait_for(&mut server.child, Duration::from_secs(10));
    let gone = run(&["health"], &[("PORT", &port)], "");
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone.stderr).contains(&format!("no answer from 127.0.0.1:{port}")), "{gone:?}");
}

#[test]
fn health_takes_the_second_address_when_the_first_is_missing() {
    if !has_ipv6() {
        return;
    }
    let server = Server::start(&[("HOST", "127.0.0.1")]);
    let asked = run(&["health"], &[("PORT", &server.port.to_string()), ("HOST", "::1,127.0.0.1")], "");
    assert_eq!(asked.status.code(), Some(0), "{asked:?}");
}

#[test]
fn health_gives_up_on_a_server_that_is_silent_or_never_ends_or_is_not_well() {
    const BAD: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\r\n";
    const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    for (answer, ends, expected) in [
        (&b""[..], false, Some("within 3 s")),
        (GOOD, false, Some("within 3 s")),
        (BAD, true, Some("does not answer /health with 200 OK")),
        (b"", true, Some("does not answer /health with 200 OK")),
        // Control: what the others lack.
        (GOOD, true, None),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let asked = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(answer).unwrap();
            if !ends {
                // Until the other side has given up.
                let _ = stream.read(&mut [0; 1]);
            }
            asked
        });
        let start = Instant::now();
        let output = run(&["health"], &[("PORT", &port), ("HOST", "127.0.0.1")], "");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!(output.status.code(), Some(i32::from(expected.is_some())), "{output:?}");
        assert!(text(&output.stderr).contains(expected.unwrap_or_default()), "{output:?}");
        assert!(serving.join().unwrap() > 0);
    }
}

#[test]
fn health_needs_a_port() {
    let output = run(&["health"], &[("PORT", "0")], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("PORT is 0"), "{output:?}");
}

#[test]
fn it_lives_through_more_connections_than_it_may_open_files() {
    for rate_limits in ["off", "on"] {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 48; exec \"$0\"", BINARY]);
        let mut server = Server::start_by(command, &[("RATE_LIMITS", rate_limits)]);
        let flood: Vec<_> = (0..100).map(|_| server.connect()).collect();
        if rate_limits == "off" {
            // Control: without caps the files do run out.
            let error = line_with(&mut server.log, "error");
            assert_eq!(error["message"], "cannot accept connections, trying again");
        }
        drop(flood);

        let start = Instant::now();
        while !health(Ipv4Addr::LOCALHOST.into(), server.port).contains("OK") {
            assert!(start.elapsed() < Duration::from_secs(2), "RATE_LIMITS={rate_limits}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
