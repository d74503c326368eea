//! A server that is killed while it makes its tables, two that make them at once, and what an older one left.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use axum::body::Bytes;
use priyo_core::storage::Storage;
use priyo_core::storage::sqlite::SqliteStorage;
use priyo_tests::{Database, PATIENCE, ServerProcess, program};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::chance::is_long;

const FIRST_RELEASE: &str = include_str!("fixtures/schema_1.sql");
const MIGRATION: &str = include_str!("../../priyo-core/migrations/sqlite/0001_init.sql");

/// The group in the fixture.
const ENGINES: &str = "01a21458-d9a6-7944-9484-4042f40c5412";

/// Where in its start a server is killed, in so many steps from its first moment to its last.
fn points() -> u32 {
    if is_long() { 100 } else { 20 }
}

/// What a database begins as.
#[derive(Debug, Clone, Copy)]
enum Before {
    Empty,
    FirstRelease,
}

impl Before {
    fn set(self, folder: &Path) {
        if let Self::FirstRelease = self {
            Connection::open(folder.join("priyo.db")).unwrap().execute_batch(FIRST_RELEASE).unwrap();
        }
    }
}

/// The program on the database in a folder, whatever becomes of it. What it says goes into a file.
fn run(folder: &Path, name: &str) -> Child {
    let log = File::create(folder.join(name)).unwrap();
    let mut command = Command::new(program());
    command.env_clear().env("HOST", "127.0.0.1").env("PORT", "0").env("DATABASE_URL", "sqlite:priyo.db");
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.current_dir(folder).kill_on_drop(true).spawn().unwrap()
}

async fn is_ready(folder: &Path, name: &str) {
    let ready = async {
        while !std::fs::read_to_string(folder.join(name)).unwrap().contains("priyo-server is ready") {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, ready).await.expect("it starts");
}

#[tokio::test]
async fn a_server_that_was_killed_while_it_made_its_tables_starts_again() {
    for before in [Before::Empty, Before::FirstRelease] {
        let folder = TempDir::new().unwrap();
        before.set(folder.path());
        let begin = Instant::now();
        let _running = run(folder.path(), "whole");
        is_ready(folder.path(), "whole").await;
        let whole = begin.elapsed();

        let mut half_done = 0;
        for point in 0..points() {
            let folder = TempDir::new().unwrap();
            before.set(folder.path());
            let mut running = run(folder.path(), "killed");
            // This is the fault itself: it has no event to wait for.
            sleep(whole * point / points()).await;
            running.kill().await.unwrap();
            half_done += u32::from(folder.path().join("priyo.db-wal").exists());

            let database = Database::file_in(folder.path());
            let server = ServerProcess::start(&database).await;
            let steps = database.query("SELECT number, name FROM priyo_migrations").await;
            assert_eq!(steps.first(), Some(&json!({"number": 1, "name": "init"})), "at point {point}");
            database.assert_sound().await;
            match before {
                Before::Empty => {
                    let alice = server.customer("alice").await;
                    let group = alice.starts_group_with(&[]).await;
                    assert_eq!(alice.says(&group, "hello").await["seq"], 1);
                }
                Before::FirstRelease => assert_intact(&server).await,
            }
        }
        println!("{before:?}: a start takes {whole:?}; {half_done} of {} had begun to write", points());
        assert!(half_done > 0, "none was killed while it was at it");
    }
}

#[tokio::test]
async fn of_two_servers_that_start_at_once_one_serves_and_the_other_says_why_it_does_not() {
    for _ in 0..if is_long() { 20 } else { 3 } {
        let folder = TempDir::new().unwrap();
        let mut both = [run(folder.path(), "first"), run(folder.path(), "second")];
        let (name, ended) = {
            let [first, second] = &mut both;
            let one_ends = async {
                tokio::select! {
                    ended = first.wait() => ("first", ended.unwrap()),
                    ended = second.wait() => ("second", ended.unwrap()),
                }
            };
            timeout(PATIENCE, one_ends).await.expect("one gives up")
        };

        assert!(!ended.success());
        let said = std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(said.contains("priyo.db is in use by another server"), "{said}");
        is_ready(folder.path(), if name == "first" { "second" } else { "first" }).await;
    }
}

#[tokio::test]
async fn what_the_first_release_left_is_all_there() {
    let folder = TempDir::new().unwrap();
    Before::FirstRelease.set(folder.path());
    let server = ServerProcess::start(&Database::file_in(folder.path())).await;
    assert_intact(&server).await;
    drop(server);
    let database = Database::file_in(folder.path());
    assert_eq!(database.query("SELECT bytes FROM file_usage").await, [json!({"bytes": 22})]);
    assert_eq!(database.query("SELECT unsent FROM files").await, [json!({"unsent": null})]);

    // The control: this notices a row that is gone.
    let db = Connection::open(folder.path().join("priyo.db")).unwrap();
    db.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM message_reads WHERE seq = 4").unwrap();
    drop(db);
    let server = ServerProcess::start(&Database::file_in(folder.path())).await;
    let noticed = tokio::spawn(async move { assert_intact(&server).await });
    assert!(noticed.await.is_err());
}

/// Everything of the fixture, as its people see it.
async fn assert_intact(server: &ServerProcess) {
    let grace = log_in(server, "grace").await;
    let list = grace.get("/api/conversations").await.expect(200).json();
    let shown: Vec<Value> = list["conversations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| json!([one["type"], one["name"], one["lastSeq"], one["unreadCount"]]))
        .collect();
    assert_eq!(shown, [json!(["DIRECT", null, 1, 1]), json!(["GROUP", "Engines", 7, 3])]);

    let history = grace.history(ENGINES).await;
    let said: Vec<Value> = history
        .iter()
        .map(|one| {
            json!([
                one["seq"],
                one["sender"]["username"],
                one["content"],
                one["reads"].as_array().unwrap().len()
            ])
        })
        .collect();
    let mut expected = Vec::new();
    for (seq, name) in (1..).zip(["ada", "grace", "joan", "ada", "grace", "joan"]) {
        let reads = u32::from([1, 4].contains(&seq));
        expected.push(json!([seq, name, format!("message {seq} of {name} é€\u{1d11e}"), reads]));
    }
    expected.push(json!([7, "ada", "", 0]));
    assert_eq!(said, expected);
    assert_eq!((&history[6]["fileName"], &history[6]["fileSize"]), (&json!("plan.txt"), &json!(22)));

    // A repeat is known, and one who left has left.
    let ada = log_in(server, "ada").await;
    let again = json!({"conversationId": ENGINES, "content": "message 4 of ada é€\u{1d11e}", "clientMessageId": "ada-3"});
    let answer = ada.post("/api/messages", again).await.expect(200).json();
    assert_eq!((&answer["duplicate"], &answer["data"]["seq"]), (&json!(true), &json!(4)));
    log_in(server, "joan").await.get(format!("/api/messages/{ENGINES}")).await.expect(404);
}

/// One of the people in the fixture, with their password of then.
async fn log_in(server: &ServerProcess, name: &str) -> priyo_tests::Person {
    let login = json!({"email": format!("{name}@example.com"), "password": "correct horse battery"});
    let headers = [("content-type", "application/json")];
    let answer = server.wire.send("POST", "/api/auth/login", &headers, Bytes::from(login.to_string())).await;
    let answer = answer.expect(200).json();
    priyo_tests::Person {
        id: answer["user"]["id"].as_str().unwrap().to_owned(),
        name: name.to_owned(),
        role: priyo_core::model::Role::Customer,
        session: String::new(),
        token: answer["tokens"]["accessToken"].as_str().unwrap().to_owned(),
        refresh_token: answer["tokens"]["refreshToken"].as_str().unwrap().to_owned(),
        wire: server.wire.clone(),
    }
}

/// The control: a migration that is not one step. Killed in its middle, it leaves what nobody can start on.
#[tokio::test]
async fn tables_that_were_made_one_by_one_cannot_be_finished() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("priyo.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch(
        "CREATE TABLE priyo_migrations (number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL) STRICT",
    )
    .unwrap();
    let half: Vec<&str> = MIGRATION.split_inclusive(";\n").take(5).collect();
    db.execute_batch(&half.concat()).unwrap();
    drop(db);

    let storage = SqliteStorage::open(&path).unwrap();
    let outcome = storage.migrate().await;

    assert!(outcome.is_err(), "{outcome:?}");
}
