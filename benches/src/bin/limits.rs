//! What this machine and the libraries below could do at most: sockets without a chat, commits without a server.
//!
//! The sockets are socketioxide alone, in a process of their own, driven by the client that drives real servers.

use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::serve::ListenerExt;
use clap::{Parser, Subcommand};
use priyo_benches::options::{Options, Scenario};
use priyo_benches::report::{Row, as_f64, per};
use priyo_benches::scenario::send::{Room, Seat};
use priyo_benches::scenario::{fanout, send};
use priyo_benches::socket::Socket;
use priyo_benches::target::Target;
use priyo_benches::{Result, process};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide::handler::ConnectHandler;
use tokio::io::AsyncBufReadExt;
use tokio::runtime;
use tokio::sync::Mutex;
use tokio::task::LocalSet;

/// Measures what the machine and the libraries could do at most.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    /// How long each measurement takes, in seconds.
    #[arg(long, default_value = "5")]
    seconds: f64,

    /// Where to put the database: the disk that is measured.
    #[arg(long, default_value = ".")]
    dir: std::path::PathBuf,

    /// Also write the results to this file, as JSON.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves bare sockets on a free port, and prints the port.
    Serve,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Some(Command::Serve) => serve(),
        None => measure(&cli),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("limits: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: &Cli) -> Result<()> {
    let time = Duration::try_from_secs_f64(cli.seconds)?;
    let commit = commits(&cli.dir, time)?;
    println!("commit     {:.3} ms, one row each, written through to the disk", commit * 1000.0);
    let (inserts, in_batch) = inserts(&cli.dir, time)?;
    println!("inserts    {inserts:.0}/s from 64 writers, {in_batch:.1} in a transaction");
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let mut sockets = Vec::new();
    for what in [Scenario::Send, Scenario::Fanout] {
        let row = LocalSet::new().block_on(&runtime, bare_sockets(what, cli.seconds))?;
        println!("{}", row.text());
        sockets.push(row.json());
    }
    if let Some(file) = &cli.json {
        let all = json!({
            "commitMs": commit * 1000.0, "insertsPerSecond": inserts, "insertsInTransaction": in_batch,
            "sockets": sockets,
        });
        std::fs::write(file, serde_json::to_string_pretty(&all)?)?;
    }
    Ok(())
}

/// A table like that of messages, with the indexes that it cannot do without.
fn database(dir: &Path) -> Result<(tempfile::TempDir, Connection)> {
    let dir = tempfile::tempdir_in(dir)?;
    let db = Connection::open(dir.path().join("limits.db"))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.execute_batch(
        "CREATE TABLE messages (
            conversation INTEGER NOT NULL, seq INTEGER NOT NULL, id BLOB NOT NULL UNIQUE, sender BLOB NOT NULL,
            client_id TEXT NOT NULL, content TEXT NOT NULL, at_ms INTEGER NOT NULL,
            PRIMARY KEY (conversation, seq)
        ) WITHOUT ROWID;
        CREATE UNIQUE INDEX client_ids ON messages (conversation, sender, client_id);",
    )?;
    Ok((dir, db))
}

fn insert(db: &Connection, number: u32) -> Result<()> {
    let mut insert = db.prepare_cached("INSERT INTO messages VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let (conversation, seq, sender) = (number % 10, number / 10, (number % 50).to_be_bytes());
    let id: [u8; 16] = u128::from(number).to_be_bytes();
    let content = "the quick brown fox jumps over the lazy dog, and again......";
    insert.execute(params![
        conversation,
        seq,
        id,
        sender,
        number.to_string(),
        content,
        1_700_000_000_000_i64
    ])?;
    Ok(())
}

/// How long a commit of one row takes, in seconds: the mean of many, since a disk may have fast and slow moments.
fn commits(dir: &Path, time: Duration) -> Result<f64> {
    let (_dir, db) = database(dir)?;
    let (began, mut done) = (Instant::now(), 0);
    while began.elapsed() < time {
        insert(&db, done)?;
        done += 1;
    }
    if done == 0 {
        return Err("no commit was done in this time".into());
    }
    Ok(began.elapsed().as_secs_f64() / f64::from(done))
}

/// Rows a second from 64 writers who each wait for their row, and how many rows came together.
fn inserts(dir: &Path, time: Duration) -> Result<(f64, f64)> {
    type Answer = std::sync::mpsc::SyncSender<()>;
    const WRITERS: usize = 64;
    let (_dir, db) = database(dir)?;
    let (orders, queue) = std::sync::mpsc::sync_channel::<Answer>(WRITERS);
    let end = Instant::now() + time;
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let orders = orders.clone();
            std::thread::spawn(move || {
                let (answer, answered) = std::sync::mpsc::sync_channel(1);
                while Instant::now() < end && orders.send(answer.clone()).is_ok() && answered.recv().is_ok() {
                }
            })
        })
        .collect();
    drop(orders);
    let (mut rows, mut transactions, began) = (0, 0_u64, Instant::now());
    while let Ok(first) = queue.recv() {
        db.execute_batch("BEGIN IMMEDIATE")?;
        let batch: Vec<Answer> = std::iter::once(first).chain(queue.try_iter()).collect();
        for _ in &batch {
            insert(&db, rows)?;
            rows += 1;
        }
        db.execute_batch("COMMIT")?;
        transactions += 1;
        for answer in batch {
            // A writer whose time is over is gone.
            let _ = answer.send(());
        }
    }
    let rows = u64::from(rows);
    let rate = per(rows, began.elapsed());
    for writer in writers {
        writer.join().map_err(|_| "a writer panicked")?;
    }
    Ok((rate, as_f64(rows) / as_f64(transactions.max(1))))
}

/// Drives sockets that only pass messages on.
async fn bare_sockets(what: Scenario, seconds: f64) -> Result<Row> {
    let mut server = tokio::process::Command::new(std::env::current_exe()?);
    let mut server = server.arg("serve").stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let output = server.stdout.take().ok_or("no output")?;
    let port =
        tokio::io::BufReader::new(output).lines().next_line().await?.ok_or("the sockets did not start")?;
    let pid = server.id().ok_or("the sockets have ended")?;
    let base_url = format!("http://127.0.0.1:{port}");
    let options = Options::parse_from([
        "load",
        "send",
        "--base-url",
        &base_url,
        "--pid",
        &pid.to_string(),
        "--seconds",
        &seconds.to_string(),
        "--warmup",
        "1",
    ]);
    process::cpu_time(pid)?;
    let target = &options.base_url;
    let row = match what {
        Scenario::Fanout => {
            let room = Room::new("room".to_owned());
            let seats = seats(target, &room, 200).await?;
            fanout::drive(&options, Socket::connect(target, "").await?, room, seats).await?
        }
        _ => {
            let mut all = Vec::new();
            for room in 0..10 {
                let room = Room::new(format!("room{room}"));
                all.append(&mut seats(target, &room, 5).await?);
            }
            send::drive(&options, all).await?
        }
    };
    server.kill().await?;
    Ok(row)
}

async fn seats(target: &Target, room: &Rc<Room>, count: usize) -> Result<Vec<Seat>> {
    let mut seats = Vec::new();
    for _ in 0..count {
        seats.push(Seat::take(Socket::connect(target, "").await?, room).await?);
    }
    Ok(seats)
}

/// Sockets that number messages and pass them on, and keep nothing.
fn serve() -> Result<()> {
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (layer, io) = SocketIo::builder().max_buffer_size(4096).build_layer();
        // Held while a message is passed on, so that the numbers go out in order.
        let numbers: Arc<[Mutex<u64>; 16]> = Arc::default();
        // In a middleware, which runs before the client is told that it is connected: what it sends at once would
        // else find no handler.
        let handlers = async move |socket: SocketRef| {
            socket.on("conversation:join", async |socket: SocketRef, Data(room): Data<String>, ack: AckSender| {
                socket.join(room);
                let _ = ack.send(&json!({"ok": true, "lastSeq": 0}));
            });
            socket.on("message:send", async move |io: SocketIo, Data(sent): Data<Value>, ack: AckSender| {
                let room = sent["conversationId"].as_str().unwrap_or_default().to_owned();
                let lane = room.trim_start_matches("room").parse::<usize>().unwrap_or(0) % 16;
                let message = |seq| json!({"seq": seq, "conversationId": room, "content": sent["content"],
                    "senderId": "0197b0a2-7c1e-7c1e-8c1e-0197b0a27c1e", "createdAt": "2026-11-23T02:15:35.850Z"});
                let mut number = numbers[lane].lock().await;
                *number += 1;
                let seq = *number;
                let _ = io.to(room.clone()).emit("message:new", &message(seq)).await;
                drop(number);
                let _ = ack.send(&json!({"ok": true, "message": message(seq)}));
            });
            Ok::<_, std::convert::Infallible>(())
        };
        io.ns("/", (async |_: SocketRef| {}).with(handlers));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        // Without it an answer waits for the client's delayed acknowledgement of the one before.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, axum::Router::new().layer(layer)).await?;
        Ok(())
    })
}
