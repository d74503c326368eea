//! Class F: what an upload says of itself.

use std::time::{Duration, Instant};

use priyo_tests::Answer;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::oracle::Watch;
use crate::raw::{exchange, status};
use crate::world::{PNG, World};

const BOUNDARY: &str = "files-boundary-91";

/// Chunks of 64 KiB, of which the limit lets a fifth through.
const MORE_CHUNKS: usize = 400;

/// A form with one file, of which the head of the part is given.
fn form(head: &[u8], bytes: &[u8]) -> Vec<u8> {
    let end = format!("\r\n--{BOUNDARY}--\r\n");
    [format!("--{BOUNDARY}\r\n").as_bytes(), head, b"\r\n\r\n", bytes, end.as_bytes()].concat()
}

pub(crate) fn disposition(name: &str) -> Vec<u8> {
    format!("content-disposition: form-data; name=\"file\"; filename=\"{name}\"").into_bytes()
}

pub(crate) async fn upload(watch: &Watch<'_>, head: &[u8], bytes: &[u8]) -> Answer {
    let media = format!("multipart/form-data; boundary={BOUNDARY}");
    watch.send("POST", "/api/upload", Some(&media), form(head, bytes)).await
}

/// How many files lie in the upload folder.
pub(crate) fn stored(world: &World) -> usize {
    let folder = world.server.database().folder().join("uploads");
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_file_that_is_not_what_it_says_is_refused_and_leaves_nothing() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let before = stored(&world);
    let html = b"<!doctype html><html><script>alert(1)</script></html>".as_slice();
    let mut png_then_html = PNG[..8].to_vec();
    png_then_html.extend_from_slice(html);
    let elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0".as_slice();
    let pdf = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n".as_slice();
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>".as_slice();
    let xml = b"<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><x>&e;</x>"
        .as_slice();
    for (name, media, bytes) in [
        ("a.png.html", None, PNG),
        ("a.html%00.png", None, html),
        ("a.PhP", None, b"<?php system('id'); ?>".as_slice()),
        ("a.png.", None, html),
        ("x.htmljpg", Some("image/png"), PNG),
        ("x.jpg", Some("text/html;png"), html),
        ("x.png", Some("text/html"), PNG),
        ("x.png", None, html),
        ("x.pdf", None, html),
        ("x.png", None, pdf),
        ("x.txt", None, elf),
        ("x.png", None, elf),
        ("x.svg", Some("image/svg+xml"), svg),
        ("x.png", Some("image/png"), svg),
        ("x.xml", Some("text/xml"), xml),
        ("x.html", Some("text/plain"), html),
        ("x.js", Some("text/javascript"), b"alert(1)".as_slice()),
        ("x.htaccess", None, b"AddType text/html .png".as_slice()),
    ] {
        let mut head = disposition(name);
        if let Some(media) = media {
            head.extend_from_slice(format!("\r\ncontent-type: {media}").as_bytes());
        }
        let refused = upload(&watch, &head, bytes).await;
        assert_eq!(refused.refusal(), (415, "unsupported_media_type".to_owned()), "{name} {media:?}");
    }
    assert_eq!(stored(&world), before);
    watch.assert_unchanged().await;
    // What only begins like an image, and text that could be a page, is never run: no browser may guess.
    for (name, bytes) in
        [("x.png", &*png_then_html), ("x.gif", b"GIF89a/*\x01\0\x01\0*/=1;alert(1)//"), ("x.txt", html)]
    {
        let answer = upload(&watch, &disposition(name), bytes).await;
        if answer.status == 200 {
            let kept = answer.json()["file"]["filename"].as_str().unwrap().to_owned();
            let got = watch.get(&format!("/uploads/{kept}")).await.expect(200);
            assert_eq!(got.header("x-content-type-options"), "nosniff", "{name}");
            assert_eq!(got.header("content-security-policy"), "sandbox; default-src 'none'", "{name}");
            assert!(!got.header("content-type").contains("html"), "{name}: {}", got.header("content-type"));
        } else {
            assert_eq!(answer.status, 415, "{name}: {}", answer.text());
        }
    }
    watch.ends_changed().await;
}

#[tokio::test]
async fn an_upload_that_says_it_is_too_large_is_refused_before_it_comes() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let before = stored(&world);
    for length in [5_242_880_u64 + 64 * 1024 + 1, 10 << 30, u64::MAX] {
        let mut stream = TcpStream::connect(world.server.addr).await.unwrap();
        let head = format!(
            "POST /api/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {length}\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n",
            world.c1.token
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // Not a byte of the body has been sent, and the answer is there.
        let mut answer = [0; 2048];
        let count =
            tokio::time::timeout(Duration::from_secs(5), stream.read(&mut answer)).await.unwrap().unwrap();
        watch.inspect_bytes(&answer[..count]);
        // The last of them is no length that there could be.
        assert!(
            [400, 413, 431].contains(&status(&answer)),
            "{length}: {}",
            String::from_utf8_lossy(&answer[..count])
        );
    }
    assert_eq!(stored(&world), before);
    watch.ends().await;
}

#[tokio::test]
async fn an_upload_of_a_stranger_is_refused_before_it_is_read() {
    let world = World::new().await;
    let watch = world.watch_stranger().await;
    let before = stored(&world);
    for token in
        ["", "Authorization: Bearer x\r\n", &format!("Authorization: Bearer {}\r\n", world.c1.refresh_token)]
    {
        let mut stream = TcpStream::connect(world.server.addr).await.unwrap();
        let head = format!(
            "POST /api/upload HTTP/1.1\r\nHost: x\r\n{token}Content-Length: 5000000\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 2048];
        let count =
            tokio::time::timeout(Duration::from_secs(5), stream.read(&mut answer)).await.unwrap().unwrap();
        watch.inspect_bytes(&answer[..count]);
        assert_eq!(status(&answer), 401, "{}", String::from_utf8_lossy(&answer[..count]));
    }
    assert_eq!(stored(&world), before);
    watch.ends().await;
}

#[tokio::test]
async fn a_form_that_is_none_or_far_too_much_of_one_is_refused_soon() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let before = stored(&world);
    let file = [&disposition("a.png")[..], b"\r\n\r\n", PNG].concat();
    let part = |content: &[u8]| [format!("--{BOUNDARY}\r\n").as_bytes(), content, b"\r\n"].concat();
    let end = format!("--{BOUNDARY}--\r\n").into_bytes();
    let media = format!("multipart/form-data; boundary={BOUNDARY}");
    let field = |name: &str| format!("content-disposition: form-data; name=\"{name}\"\r\n\r\nx").into_bytes();
    let many = part(&field("x")).repeat(10_000);
    let heavy = format!("x-header: {}\r\n", "h".repeat(1 << 20)).into_bytes();
    let long = format!("multipart/form-data; boundary={}", "b".repeat(10_000));
    let start = Instant::now();
    for (what, media, body) in [
        ("10,000 parts", &*media, [many, end.clone()].concat()),
        ("no boundary", "multipart/form-data", [part(&file), end.clone()].concat()),
        ("a boundary of 10 kB", &long, [part(&file), end.clone()].concat()),
        ("headers of 1 MB", &media, [part(&[&heavy[..], &file].concat()), end.clone()].concat()),
        ("two files", &media, [part(&file), part(&file), end.clone()].concat()),
        ("a field __proto__ alone", &media, [part(&field("__proto__")), end.clone()].concat()),
        (
            "a file in __proto__",
            &media,
            [
                part(b"content-disposition: form-data; name=\"__proto__\"; filename=\"a.png\"\r\n\r\nx"),
                end.clone(),
            ]
            .concat(),
        ),
        ("no end", &media, part(&file)),
        (
            "nested",
            &media,
            [part(b"content-type: multipart/mixed; boundary=i\r\n\r\n--i--"), end.clone()].concat(),
        ),
    ] {
        let refused = watch.post_far_too_much("/api/upload", media, body).await;
        assert!([400, 413].contains(&refused.status), "{what}: {} {}", refused.status, refused.text());
    }
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    assert_eq!(stored(&world), before);
    watch.ends().await;
}

#[tokio::test]
async fn a_file_is_never_written_over_and_never_named_by_a_client() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let file = |answer: Answer| -> Value { answer.expect(200).json()["file"].clone() };
    let one = file(upload(&watch, &disposition("same.png"), PNG).await);
    let other = file(upload(&watch, &disposition("same.png"), PNG).await);
    assert!(one["id"] != other["id"] && one["filename"] != other["filename"]);
    let chosen = format!("/uploads/{}", one["filename"].as_str().unwrap());
    for method in ["PUT", "POST", "PATCH"] {
        let refused = watch.send(method, &chosen, Some("image/png"), "other bytes").await;
        assert!([400, 404, 405].contains(&refused.status), "{method}: {}", refused.status);
    }
    let query = format!("/api/upload?id={}&filename=chosen.png", one["id"].as_str().unwrap());
    let media = format!("multipart/form-data; boundary={BOUNDARY}");
    let third = watch.send("POST", &query, Some(&media), form(&disposition("x.png"), PNG)).await;
    if third.status == 200 {
        assert_ne!(third.json()["file"]["id"], one["id"]);
        assert_ne!(third.json()["file"]["filename"], "chosen.png");
    }
    assert_eq!(&watch.get(&chosen).await.expect(200).body[..], PNG);
    watch.ends_changed().await;
}

#[tokio::test]
async fn an_upload_that_does_not_say_how_large_it_is_is_cut_off_at_the_limit() {
    let world = World::new().await;
    let watch = world.watch(&world.c1).await;
    let before = stored(&world);
    let head = format!(
        "POST /api/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n",
        world.c1.token
    );
    let part = [format!("--{BOUNDARY}\r\n").as_bytes(), &disposition("a.txt"), b"\r\n\r\n"].concat();
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let mut sent = [head.as_bytes(), &chunk(&part)].concat();
    let more = chunk(&[b'a'; 0x10000]);
    for _ in 0..MORE_CHUNKS {
        sent.extend_from_slice(&more);
    }
    let answer = exchange(world.server.addr, &sent).await;
    watch.inspect_bytes(&answer);
    assert_eq!(status(&answer), 413, "{}", String::from_utf8_lossy(&answer));
    assert_eq!(stored(&world), before);
    watch.ends().await;
}
