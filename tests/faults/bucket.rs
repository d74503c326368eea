//! Files in an object store: what is stored, what is left of what breaks off, and a store that is away.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use priyo_tests::{Database, PATIENCE, ServerProcess, TestBucket};
use serde_json::json;
use tokio::net::TcpListener;

use crate::chance::rounds;
use crate::uploads::{assert_refused_within, begin, until};

const CLEAN_WITHIN: Duration = Duration::from_secs(5);
/// More than two parts.
const LARGE: usize = 12 * 1024 * 1024;
const MORE: [(&str, &str); 2] = [("MAX_FILE_SIZE", "20971520"), ("UNSENT_FILE_TTL", "2s")];

async fn until_clean(bucket: &TestBucket, database: &Database) {
    until("nothing is left of it", CLEAN_WITHIN, async || {
        bucket.open_uploads().await.is_empty()
            && bucket.objects().await.is_empty()
            && database.rows("files").await == 0
            && database.rows("loose_files").await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_kept_in_a_bucket_whole_and_in_parts() {
    let Some(bucket) = TestBucket::new().await else { return };
    let (database, url) = (Database::new(), bucket.url());
    let settings = bucket.settings(&url, &[("MAX_FILE_SIZE", "20971520")]);
    let server = ServerProcess::start_with(&database, &settings).await;
    assert_eq!(server.wire.send("GET", "/ready", &[], Bytes::new()).await.expect(200).json()["files"], "up");
    let alice = server.customer("alice").await;
    let conversation = alice.starts_group_with(&[]).await;
    for size in [0, 10, LARGE] {
        let bytes: Vec<u8> = b"0123456789".iter().copied().cycle().take(size).collect();
        let file = alice.uploads("a.txt", &bytes).await.expect(200).json()["file"].clone();
        let send = json!({"conversationId": conversation, "type": "FILE", "fileId": file["id"]});
        alice.post("/api/messages", send).await.expect(201);

        let path = file["url"].as_str().unwrap();
        let got = server.wire.send("GET", path, &[], Bytes::new()).await.expect(200);
        assert!(got.body == bytes, "{size} bytes come back");
        if size > 20 {
            let range = [("range", "bytes=5242875-5242884")];
            let part = server.wire.send("GET", path, &range, Bytes::new()).await.expect(206);
            assert_eq!(part.body, bytes[5_242_875..=5_242_884]);
        }
        let key = format!("some/folder/{}", file["filename"].as_str().unwrap());
        assert!(bucket.objects().await.contains(&key), "{key}");
    }
    assert_eq!(bucket.open_uploads().await, [""; 0]);
    assert_eq!((bucket.objects().await.len(), database.rows("loose_files").await), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_upload_to_a_bucket_that_breaks_off_nothing_is_left() {
    let Some(bucket) = TestBucket::new().await else { return };
    let (database, url) = (Database::new(), bucket.url());
    let server = ServerProcess::start_with(&database, &bucket.settings(&url, &MORE)).await;
    let alice = server.customer("alice").await;
    for percent in [1, 50, 99] {
        for _ in 0..rounds(1, 5) {
            let stream = begin(&server, &alice, LARGE, LARGE / 100 * percent).await;
            if percent > 10 {
                // The control: the store holds parts by now.
                until("parts arrive", PATIENCE, async || !bucket.open_uploads().await.is_empty()).await;
            }
            drop(stream);
            until_clean(&bucket, &database).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_that_was_killed_has_left_in_a_bucket_the_next_one_removes() {
    let Some(bucket) = TestBucket::new().await else { return };
    let (database, url) = (Database::new(), bucket.url());
    let settings = bucket.settings(&url, &MORE);
    for round in 0..rounds(2, 20) {
        let server = ServerProcess::start_with(&database, &settings).await;
        let alice = server.customer(&format!("alice-{round}")).await;
        let stream = begin(&server, &alice, LARGE, LARGE / 2).await;
        until("parts arrive", PATIENCE, async || !bucket.open_uploads().await.is_empty()).await;
        until("they are noted", PATIENCE, async || {
            let noted = database.query("SELECT upload_id FROM loose_files").await;
            noted.iter().any(|row| row["upload_id"].is_string())
        })
        .await;
        server.kill_nine().await;
        drop(stream);
        // The control: the store keeps them.
        assert_eq!(bucket.open_uploads().await.len(), 1, "round {round}");

        let server = ServerProcess::start_with(&database, &settings).await;
        until_clean(&bucket, &database).await;
        drop(server);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_a_bucket_that_nobody_sends_is_gone_with_its_thumbnail() {
    let Some(bucket) = TestBucket::new().await else { return };
    let (database, url) = (Database::new(), bucket.url());
    let server = ServerProcess::start_with(&database, &bucket.settings(&url, &MORE)).await;
    let alice = server.customer("alice").await;
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(400, 300).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let file = alice.uploads("a.png", png.get_ref()).await.expect(200).json()["file"].clone();
    alice.get(format!("{}&size=thumb", file["url"].as_str().unwrap())).await.expect(200);
    assert_eq!(bucket.objects().await.len(), 2);

    until_clean(&bucket, &database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gigabytes_for_a_bucket_are_refused_in_the_memory_of_one_part() {
    let Some(bucket) = TestBucket::new().await else { return };
    let (database, url) = (Database::new(), bucket.url());
    let server =
        ServerProcess::start_with(&database, &bucket.settings(&url, &[("UNSENT_FILE_TTL", "2s")])).await;
    let alice = server.customer("alice").await;

    // The store takes no part of less than five megabytes, and what is no more than one goes there at once.
    assert_refused_within(7 << 20, &server, &alice).await;

    until_clean(&bucket, &database).await;
}

/// A store at this address answers nothing; how long it takes until a person is told so.
async fn refused_by(endpoint: &str) -> Duration {
    let database = Database::new();
    let settings = [
        ("FILE_STORE", "s3://bucket"),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "tests"),
        ("AWS_SECRET_ACCESS_KEY", "tests"),
    ];
    let server = ServerProcess::start_with(&database, &settings).await;
    let alice = server.customer("alice").await;
    let ready = server.wire.send("GET", "/ready", &[], Bytes::new()).await;
    assert_eq!((ready.status, &ready.json()["files"]), (503, &json!("down")));

    let begin = Instant::now();
    let refused = alice.uploads("a.txt", b"words").await;
    let took = begin.elapsed();

    assert_eq!(refused.refusal(), (503, "unavailable".to_owned()));
    assert_eq!(database.rows("files").await, 0);
    let conversation = alice.starts_group_with(&[]).await;
    alice.says(&conversation, "messages need no files").await;
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_to_a_store_that_is_gone_is_refused_soon() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let took = refused_by(&endpoint).await;
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_to_a_store_that_takes_connections_and_says_nothing_is_refused_within_half_a_minute() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let listening = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
        }
    });
    let took = refused_by(&endpoint).await;
    listening.abort();
    assert!(took < Duration::from_secs(30), "{took:?}");
}
