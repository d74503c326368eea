//! Uploads that break off, that are too large, or that nobody sends: what is left of them is nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::routing::post;
use futures_util::future::join_all;
use priyo_tests::{Database, PATIENCE, Person, ServerProcess, Site, resident_bytes};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::chance::rounds;
use crate::own_mounts::{grow, in_own_mounts, mount};

/// How soon nothing may be left.
const CLEAN_WITHIN: Duration = Duration::from_secs(5);
/// A large upload, within the limit.
const LARGE: usize = 4 * 1024 * 1024;
/// The start of a form; what comes then is the file.
const FORM: &str = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n";
const MEBIBYTE: u64 = 1024 * 1024;
/// More memory than a refused upload may take.
const LITTLE: u64 = 2 * MEBIBYTE;

/// The head of an upload of so many bytes, or of a chunked one.
fn head(token: &str, length: Option<u64>) -> String {
    let length = length.map_or("Transfer-Encoding: chunked".into(), |all| format!("Content-Length: {all}"));
    format!(
        "POST /api/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: multipart/form-data; boundary=x\r\n{length}\r\n\r\n"
    )
}

/// Begins an upload of `size` bytes and sends `sent` of them.
pub(crate) async fn begin(site: &Site, person: &Person, size: usize, sent: usize) -> TcpStream {
    let mut stream = TcpStream::connect(site.addr).await.unwrap();
    let length = (FORM.len() + size + "\r\n--x--\r\n".len()) as u64;
    stream.write_all((head(&person.token, Some(length)) + FORM).as_bytes()).await.unwrap();
    stream.write_all(&vec![b'a'; sent]).await.unwrap();
    stream
}

/// Everything in a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Waits until something holds, which nothing tells of.
pub(crate) async fn until(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until nothing is left of any upload.
async fn until_clean(database: &Database) {
    let uploads = database.folder().join("uploads");
    until("nothing is left of it", CLEAN_WITHIN, async || {
        files(&uploads).is_empty()
            && database.rows("files").await == 0
            && database.rows("loose_files").await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_upload_that_its_client_breaks_off_nothing_is_left() {
    let database = Database::new();
    let server = ServerProcess::start(&database).await;
    let alice = server.customer("alice").await;
    let uploads = database.folder().join("uploads");
    for percent in [1, 50, 99] {
        for _ in 0..rounds(2, 10) {
            let stream = begin(&server, &alice, LARGE, LARGE / 100 * percent).await;
            if percent > 10 {
                // The control: there is something to be left.
                until("it is being written", PATIENCE, async || !files(&uploads).is_empty()).await;
            }
            drop(stream);
            until_clean(&database).await;
        }
    }
    // The person can go on.
    alice.uploads("a.txt", b"whole").await.expect(200);
    assert_eq!(files(&uploads).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_that_was_killed_has_left_of_an_upload_the_next_one_removes() {
    let database = Database::new();
    let uploads = database.folder().join("uploads");
    // Where servers share a database what was begun is another one's business for so long.
    let settings = [("UNSENT_FILE_TTL", "1s")];
    for round in 0..rounds(3, 20) {
        let server = ServerProcess::start_with(&database, &settings).await;
        let alice = server.customer(&format!("alice-{round}")).await;
        let stream = begin(&server, &alice, LARGE, LARGE / 2).await;
        until("it is being written", PATIENCE, async || !files(&uploads).is_empty()).await;
        server.kill_nine().await;
        drop(stream);
        // The control: the kill itself left something, on the disk and in the database.
        assert_eq!(files(&uploads).len(), 1, "round {round}");
        assert_eq!(database.rows("loose_files").await, 1, "round {round}");

        let server = ServerProcess::start_with(&database, &settings).await;
        until_clean(&database).await;
        drop(server);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_nobody_sends_is_gone_when_its_time_is_over() {
    let database = Database::new();
    let server = ServerProcess::start_with(&database, &[("UNSENT_FILE_TTL", "2s")]).await;
    let alice = server.customer("alice").await;
    let conversation = alice.starts_group_with(&[]).await;
    let sent = alice.uploads("sent.txt", b"sent").await.expect(200).json()["file"].clone();
    let send = json!({"conversationId": conversation, "type": "FILE", "fileId": sent["id"]});
    alice.post("/api/messages", send).await.expect(201);
    alice.uploads("unsent.txt", b"unsent").await.expect(200);

    let uploads = database.folder().join("uploads");
    until("it is gone", CLEAN_WITHIN, async || {
        files(&uploads).len() == 1
            && database.rows("files").await == 1
            && database.rows("loose_files").await == 0
    })
    .await;

    assert_eq!(alice.get(sent["url"].as_str().unwrap()).await.expect(200).body, b"sent"[..]);
}

#[test]
fn uploads_that_a_full_disk_cannot_take_are_refused_and_nothing_else_suffers() {
    in_own_mounts(async {
        let database = Database::new();
        let disk = database.folder().join("disk");
        std::fs::create_dir(&disk).unwrap();
        mount(&disk, 8);
        let place = disk.display().to_string();
        let server = ServerProcess::start_with(&database, &[("UPLOAD_DIR", &place)]).await;
        let alice = server.customer("alice").await;
        let conversation = alice.starts_group_with(&[]).await;
        let bytes = vec![b'a'; 3 * 1024 * 1024];

        let mut taken = 0;
        let refused = loop {
            let answer = alice.uploads("a.txt", &bytes).await;
            if answer.status != 200 {
                break answer;
            }
            taken += 1;
            assert!(taken < 4, "the disk does not get full");
        };
        assert_eq!(refused.refusal(), (503, "unavailable".to_owned()));
        for _ in 0..3 {
            assert_eq!(alice.uploads("a.txt", &bytes).await.refusal(), (503, "unavailable".to_owned()));
            alice.says(&conversation, "still here").await;
        }
        assert_eq!((files(&disk).len(), database.rows("files").await), (taken, taken as u64));
        assert_eq!(database.rows("loose_files").await, 0);

        grow(&disk, 32);
        alice.uploads("a.txt", &bytes).await.expect(200);
    });
}

/// What a client gets to see that sends far too much, and how much the memory of the process that it sends it to grew
/// meanwhile.
pub(crate) async fn send_too_much(addr: SocketAddr, pid: u32, token: &str, chunked: bool) -> (String, u64) {
    const ALL: u64 = 2 * 1024 * MEBIBYTE;
    let before = resident_bytes(pid);
    let mut most = before;
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let mut answer = Vec::new();
    let answered = async {
        // To its end, in whatever way the server then ends the connection of one who does not stop.
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = reading.read(&mut piece).await {
            answer.extend_from_slice(&piece[..length]);
        }
    };
    let piece = vec![b'a'; 64 * 1024];
    let sending = async {
        let head = head(token, (!chunked).then_some(ALL));
        let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        let form = if chunked { chunk(FORM.as_bytes()) } else { FORM.as_bytes().to_vec() };
        writing.write_all(&[head.as_bytes(), &form[..]].concat()).await.unwrap();
        let piece = if chunked { chunk(&piece) } else { piece.clone() };
        for _ in 0..ALL / 65_536 {
            most = most.max(resident_bytes(pid));
            // It ends when the server has had enough.
            if writing.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    timeout(PATIENCE, async { tokio::join!(answered, sending) }).await.expect("the server has had enough");
    most = most.max(resident_bytes(pid));
    (String::from_utf8_lossy(&answer).into_owned(), most - before)
}

/// Fails unless a server refuses far too much, says so, and has used no more memory for it than this.
pub(crate) async fn assert_refused_within(bytes: u64, server: &ServerProcess, person: &Person) {
    for chunked in [false, true] {
        // The first ones also pay for what is kept for all. They are small: what a large one needs must not be there yet.
        join_all((0..8).map(|_| person.uploads("a.txt", b"a few words"))).await;

        let (answer, grown) = send_too_much(server.addr, server.pid(), &person.token, chunked).await;

        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
        assert!(head.to_ascii_lowercase().contains("connection: close"), "{head}");
        assert!(body.contains("\"payload_too_large\"") && body.contains("\"maxSize\":5242880"), "{body}");
        println!("chunked: {chunked}; {grown} bytes more");
        assert!(grown < bytes, "chunked: {chunked}; {grown} bytes more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gigabytes_are_refused_in_little_memory_and_the_client_is_told() {
    let database = Database::new();
    let server = ServerProcess::start_with(&database, &[("UNSENT_FILE_TTL", "1s")]).await;
    let alice = server.customer("alice").await;

    assert_refused_within(LITTLE, &server, &alice).await;

    until_clean(&database).await;
    let health = server.wire.send("GET", "/health", &[], Bytes::new()).await;
    assert_eq!(health.status, 200);
}

/// The control of the above: a server that has what it is sent in memory before it looks at it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_what_it_is_sent_takes_more_memory() {
    let hoarding = async |body: Body| match axum::body::to_bytes(body, 5 * 1024 * 1024).await {
        Ok(_all) => StatusCode::OK,
        Err(_) => StatusCode::PAYLOAD_TOO_LARGE,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let app = Router::new().route("/api/upload", post(hoarding));
    let serving = tokio::spawn(axum::serve(listener, app).into_future());

    let (answer, grown) = send_too_much(addr, std::process::id(), "", true).await;

    serving.abort();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    println!("{grown} bytes more");
    assert!(grown > LITTLE, "{grown} bytes more");
}
