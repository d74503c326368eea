//! Many who log in at once: hashing their passwords holds up nobody else.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use futures_util::future::join_all;
use priyo_tests::{Answer, Database, ServerProcess, Wire, resident_bytes};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::bystander::Bystander;
use crate::chance::rounds;
use crate::measures::Times;

/// How many log in at once.
const LOGINS: usize = 200;
/// How long others may wait meanwhile.
const NOT_FELT: Duration = Duration::from_millis(100);
/// What it may cost, in bytes.
const MEMORY: u64 = 320 << 20;

async fn register(server: &ServerProcess) {
    let account = json!({"email": "ada@example.com", "username": "ada", "password": "correct horse"});
    let headers = [("content-type", "application/json")];
    server.wire.send("POST", "/api/auth/register", &headers, account.to_string().into()).await.expect(201);
}

async fn log_in(wire: &Wire) -> Answer {
    let account = json!({"email": "ada@example.com", "password": "correct horse"}).to_string();
    wire.send("POST", "/api/auth/login", &[("content-type", "application/json")], account.into()).await
}

/// As many log in at once, some times; gives the answers, how long others waited meanwhile, and the most memory.
async fn storm(addr: SocketAddr, pid: Option<u32>, times: u64) -> (Vec<Answer>, Times, u64) {
    let (crowd, other) = (Wire::http(&format!("http://{addr}")), Bystander::start(addr, "/health", "", pid));
    let mut answers = Vec::new();
    for _ in 0..times {
        answers.extend(join_all((0..LOGINS).map(|_| log_in(&crowd))).await);
    }
    let (times, most) = other.stop().await;
    (answers, times, most)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_logins_is_not_felt_by_others_and_what_is_too_much_is_refused() {
    let server = ServerProcess::start(&Database::new()).await;
    register(&server).await;
    let begin = Instant::now();
    log_in(&server.wire).await.expect(200);
    let alone = begin.elapsed();
    let base = resident_bytes(server.pid());

    let (answers, times, most) = storm(server.addr, Some(server.pid()), rounds(5, 50)).await;
    let (welcome, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    println!("{} of {} logged in, one alone takes {alone:.1?}", welcome.len(), answers.len());
    println!("health: {times}; {} MB, {} MB before", most >> 20, base >> 20);
    for answer in &refused {
        assert_eq!(answer.refusal(), (503, "overloaded".to_owned()));
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    // As many as may run and wait at once, whatever becomes of the others.
    assert!(welcome.len() >= 64, "{}", welcome.len());
    let places = 64 + thread::available_parallelism().unwrap().get();
    assert!(!refused.is_empty() || places >= LOGINS);
    assert!(times.p99() < NOT_FELT, "{times}");
    assert!(most < base + MEMORY, "{most}, {base} before");
    // Nobody who was refused is locked out.
    log_in(&server.wire).await.expect(200);
    drop(server);

    // The control: the same work where requests are served.
    let (addr, _stop) = serve_logins_in_place(alone).await;
    let (_, times, _) = storm(addr, None, 1).await;
    println!("hashed where requests are served: {times}");
    assert!(times.p99() > NOT_FELT, "{times}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_log_in_at_once_have_tokens_of_their_own() {
    let database = Database::new();
    let server = ServerProcess::start(&database).await;
    register(&server).await;
    let (rounds, mut tokens) = (rounds(5, 50), BTreeSet::new());
    for _ in 0..rounds {
        let both = join_all([log_in(&server.wire), log_in(&server.wire)]).await;
        for answer in both {
            let given = answer.expect(200).json()["tokens"].clone();
            for kind in ["accessToken", "refreshToken"] {
                tokens.insert(given[kind].as_str().unwrap().to_owned());
            }
        }
    }
    assert_eq!(tokens.len() as u64, 4 * rounds);
    // One of each is from registering.
    assert_eq!(database.rows("sessions").await, 2 * rounds + 1);
    assert_eq!(database.rows("refresh_tokens").await, 2 * rounds + 1);
}

/// A server on threads of its own that takes so long for a login, and does it there and then. It stops when it is
/// dropped.
async fn serve_logins_in_place(takes: Duration) -> (SocketAddr, oneshot::Sender<()>) {
    let (started, starting) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    thread::spawn(move || {
        let busy = async move || {
            let begin = std::time::Instant::now();
            while begin.elapsed() < takes {
                std::hint::spin_loop();
            }
            StatusCode::OK
        };
        let app = Router::new().route("/api/auth/login", post(busy)).route("/health", get(async || "OK"));
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            started.send(listener.local_addr().unwrap()).unwrap();
            tokio::select! {
                served = axum::serve(listener, app).into_future() => served.unwrap(),
                _ = stopped => {}
            }
        });
    });
    (starting.await.unwrap(), stop)
}
