//! `/api/upload`, `/uploads`, and messages with files.

use axum::body::Bytes;
use priyo_core::Limits;
use priyo_tests::{Answer, Person, Settings, TestApp, assert_keys};
use serde_json::{Value, json};

use crate::files::{self, PNG};

const NOTHING: &str = "0199a000-0000-7000-8000-000000000000";

pub(crate) async fn uploaded(person: &Person, name: &str, bytes: &[u8]) -> Value {
    person.uploads(name, bytes).await.expect(200).json()["file"].clone()
}

/// How many files there are on the disk, whole or in parts.
pub(crate) fn stored(app: &TestApp) -> usize {
    fn count(dir: &std::path::Path) -> usize {
        let entries: Vec<_> =
            std::fs::read_dir(dir).map(|entries| entries.flatten().collect()).unwrap_or_default();
        entries.iter().map(|one| if one.path().is_dir() { count(&one.path()) } else { 1 }).sum()
    }
    count(&app.uploads())
}

pub(crate) async fn with_headers(person: &Person, path: &str, headers: &[(&str, &str)]) -> Answer {
    let bearer = format!("Bearer {}", person.token);
    let all = [&[("authorization", bearer.as_str())], headers].concat();
    person.wire.send("GET", path, &all, Bytes::new()).await
}

#[tokio::test]
async fn an_upload_answers_with_what_was_stored() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;

    let answer = alice.uploads("holiday.png", PNG).await.expect(200).json();

    assert_keys(&answer, &["message", "file"]);
    assert_eq!(answer["message"], "File uploaded successfully");
    let file = &answer["file"];
    assert_keys(file, &["id", "url", "originalName", "filename", "size", "mimetype", "width", "height"]);
    assert_eq!((&file["width"], &file["height"]), (&json!(1), &json!(1)));
    assert_eq!((&file["originalName"], &file["mimetype"]), (&json!("holiday.png"), &json!("image/png")));
    assert_eq!(file["size"], PNG.len());
    let name = file["filename"].as_str().unwrap();
    let (random, ending) = name.split_once('.').unwrap();
    assert_eq!((random.len() >= 22, ending), (true, "png"), "128 random bits: {name}");
    assert!(!name.contains("holiday"));
    let url = file["url"].as_str().unwrap();
    assert_eq!(url.split('?').next().unwrap(), format!("/uploads/{name}"));
    for path in [format!("/uploads/{name}"), format!("/api/upload/{name}")] {
        let got = alice.get(&path).await.expect(200);
        assert_eq!((&got.body[..], got.header("content-type")), (PNG, "image/png"), "{path}");
        assert_eq!(got.header("content-length"), PNG.len().to_string());
    }
    assert_ne!(uploaded(&alice, "holiday.png", PNG).await["filename"], *name, "twice is two files");
    assert_eq!((stored(&app), app.rows("files").await), (2, 2));
}

#[tokio::test]
async fn the_type_comes_from_the_bytes_for_every_kind_that_is_allowed() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    for (ending, mimetype, bytes) in files::allowed() {
        let answer = alice.uploads(&format!("name.{ending}"), &bytes).await;
        assert_eq!(answer.status, 200, "{ending}: {}", answer.text());
        let file = answer.json()["file"].clone();
        assert_eq!(file["mimetype"], mimetype, "{ending}");
        assert!(file["filename"].as_str().unwrap().ends_with(&format!(".{ending}")), "{file}");
        let got = alice.get(file["url"].as_str().unwrap()).await.expect(200);
        assert_eq!(got.header("x-content-type-options"), "nosniff");
        assert_eq!(got.header("content-security-policy"), "sandbox; default-src 'none'");
        let inline = ["image/", "audio/", "video/"].iter().any(|kind| mimetype.starts_with(kind));
        let disposition = got.header("content-disposition").to_owned();
        assert_eq!(!disposition.starts_with("attachment"), inline, "{ending}: {disposition}");
        assert_eq!(&got.body[..], &bytes[..], "{ending}");
    }
}

#[tokio::test]
async fn what_is_not_allowed_or_contradicts_itself_is_refused_and_leaves_nothing() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let html = b"<!doctype html><script>alert(1)</script>".as_slice();
    for (name, media, bytes) in [
        ("page.html", None, html),
        ("page.png", None, html),
        ("page.png", Some("image/png"), html),
        ("x.svg", Some("image/svg+xml"), b"<svg xmlns='http://www.w3.org/2000/svg'/>".as_slice()),
        ("x.exe", None, b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff".as_slice()),
        ("x.sh", None, b"#!/bin/sh\necho hi\n".as_slice()),
        ("x.zip", None, b"PK\x03\x04\x14\0\0\0\0\0".as_slice()),
        ("x.bin", None, b"\0\x01\x02\x03".as_slice()),
        ("x.txt", Some("text/plain"), b"not \0 a text".as_slice()),
        ("x.txt", None, b"not \xff\xfe utf-8".as_slice()),
        ("x.jpg", None, PNG),
        ("x.pdf", None, PNG),
        ("x.html", None, PNG),
        ("x.png", Some("image/jpeg"), PNG),
        ("x.png", Some("text/html"), PNG),
        ("x.png", None, &files::gif()),
    ] {
        let refused = alice.uploads_as("file", name, media, bytes).await;
        assert_eq!(refused.refusal(), (415, "unsupported_media_type".to_owned()), "{name} {media:?}");
    }
    assert_eq!((stored(&app), app.rows("files").await), (0, 0));
}

#[tokio::test]
async fn a_name_is_kept_as_data_and_cleaned() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    for (name, kept) in [
        ("取扱説明書.png", "取扱説明書.png"),
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\Windows\\evil.png", "evil.png"),
        ("<script>alert(1)</script>.png", "script>.png"),
    ] {
        let file = uploaded(&alice, name, PNG).await;
        assert_eq!(file["originalName"], kept, "{name}");
        let got = alice.get(file["url"].as_str().unwrap()).await.expect(200);
        assert!(!got.header("content-disposition").contains(['\r', '\n']));
    }
    let long = format!("{}.png", "a".repeat(5_000));
    let file = alice.uploads(&long, PNG).await;
    if file.status == 200 {
        assert!(file.json()["file"]["originalName"].as_str().unwrap().len() <= 255);
    } else {
        assert_eq!(file.status, 400);
    }
}

#[tokio::test]
async fn exactly_the_limit_is_taken_and_one_byte_more_is_not() {
    let mut limits = Limits::default();
    limits.upload_bytes = 100_000;
    let app = TestApp::with(Settings { limits, ..Settings::default() }).await;
    let alice = app.customer("alice").await;
    let mut bytes = b"text ".repeat(20_000);

    assert_eq!(uploaded(&alice, "x.txt", &bytes).await["size"], 100_000);
    bytes.push(b'x');
    let refused = alice.uploads("x.txt", &bytes).await;

    assert_eq!(refused.refusal(), (413, "payload_too_large".to_owned()));
    assert_eq!((refused.error(), &refused.json()["maxSize"]), ("File too large".to_owned(), &json!(100_000)));
    assert_eq!((stored(&app), app.rows("files").await), (1, 1));
}

#[tokio::test]
async fn a_request_without_a_file_is_told_so() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let other = alice.uploads_as("picture", "x.png", None, PNG).await;
    let empty = "multipart/form-data; boundary=x";
    let none = alice.send("POST", "/api/upload", Some(empty), "--x--\r\n".into()).await;
    for refused in [other, none] {
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{}", refused.text());
        assert_eq!(refused.error(), "No file uploaded");
    }
    assert_eq!((stored(&app), app.rows("files").await), (0, 0));
}

#[tokio::test]
async fn a_broken_upload_is_refused_and_leaves_nothing() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let part = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\n";
    let cut = [part.as_bytes(), &PNG[..20]].concat();
    for (content_type, body) in [
        ("multipart/form-data; boundary=x", cut.clone()),
        ("multipart/form-data; boundary=x", part.as_bytes().to_vec()),
        ("multipart/form-data; boundary=x", b"junk".to_vec()),
        ("multipart/form-data; boundary=y", cut.clone()),
        ("multipart/form-data", cut.clone()),
        ("multipart/form-data; boundary=", cut.clone()),
        ("multipart/form-data; boundary=x", Vec::new()),
    ] {
        let refused = alice.send("POST", "/api/upload", Some(content_type), body.into()).await;
        assert!([400, 415].contains(&refused.status), "{content_type}: {}", refused.text());
    }
    for content_type in [None, Some("application/json"), Some("image/png")] {
        let refused = alice.send("POST", "/api/upload", content_type, cut.clone().into()).await;
        assert!([400, 415].contains(&refused.status), "{content_type:?}: {}", refused.text());
    }
    assert_eq!((stored(&app), app.rows("files").await), (0, 0));
    let anonymous = app.wire.send("POST", "/api/upload", &[], cut.into()).await;
    assert_eq!(anonymous.refusal(), (401, "unauthenticated".to_owned()));
}

#[tokio::test]
async fn before_it_is_sent_a_file_is_its_uploaders_then_also_the_participants() {
    let app = TestApp::new().await;
    let (alice, bob, carol) =
        (app.customer("alice").await, app.customer("bob").await, app.customer("carol").await);
    let group = alice.starts_group_with(&[&bob]).await;
    let file = uploaded(&alice, "x.png", PNG).await;
    let name = file["filename"].as_str().unwrap();
    let paths = [format!("/uploads/{name}"), format!("/api/upload/{name}")];
    for path in &paths {
        assert_eq!(alice.get(path).await.status, 200);
        for other in [&bob, &carol] {
            assert_eq!(other.get(path).await.refusal(), (404, "not_found".to_owned()));
            assert_eq!(other.get(path).await.error(), "File not found");
        }
        assert_eq!(app.anonymous("GET", path).await.refusal(), (401, "unauthenticated".to_owned()));
    }
    let send = json!({"conversationId": group, "type": "IMAGE", "fileId": file["id"]});
    alice.post("/api/messages", send).await.expect(201);
    for path in &paths {
        assert_eq!(bob.get(path).await.status, 200);
        assert_eq!(carol.get(path).await.refusal(), (404, "not_found".to_owned()));
    }
    bob.post_nothing(format!("/api/conversations/{group}/leave")).await.expect(200);
    assert_eq!(bob.get(&paths[0]).await.refusal(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn a_name_that_is_no_file_is_not_found() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let file = uploaded(&alice, "x.png", PNG).await;
    let name = file["filename"].as_str().unwrap();
    for other in
        ["x.png", "..%2fpriyo.db", "%2e%2e%2fpriyo.db", "%00", &format!("{name}%00"), &name.to_uppercase()]
    {
        for prefix in ["/uploads", "/api/upload"] {
            let refused = alice.get(format!("{prefix}/{other}")).await;
            assert_eq!(refused.refusal(), (404, "not_found".to_owned()), "{prefix}/{other}");
        }
    }
}

#[tokio::test]
async fn ranges_and_etags_work() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let text = b"0123456789".repeat(10);
    let file = uploaded(&alice, "x.txt", &text).await;
    let path = file["url"].as_str().unwrap();
    let whole = alice.get(path).await.expect(200);
    assert_eq!(whole.header("accept-ranges"), "bytes");
    for (range, content_range, bytes) in [
        ("bytes=0-9", "bytes 0-9/100", &text[..10]),
        ("bytes=95-", "bytes 95-99/100", &text[95..]),
        ("bytes=-5", "bytes 95-99/100", &text[95..]),
        ("bytes=90-500", "bytes 90-99/100", &text[90..]),
    ] {
        let part = with_headers(&alice, path, &[("range", range)]).await.expect(206);
        assert_eq!((part.header("content-range"), &part.body[..]), (content_range, bytes), "{range}");
    }
    for range in ["bytes=100-", "bytes=200-300"] {
        let refused = with_headers(&alice, path, &[("range", range)]).await;
        assert_eq!((refused.status, refused.header("content-range")), (416, "bytes */100"), "{range}");
    }
    let etag = whole.header("etag").to_owned();
    assert!(!etag.is_empty());
    let same = with_headers(&alice, path, &[("if-none-match", &etag)]).await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    with_headers(&alice, path, &[("if-none-match", "\"other\"")]).await.expect(200);
}

#[tokio::test]
async fn a_message_names_its_file_by_id_or_by_url() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    for (kind, by) in [("IMAGE", "fileId"), ("FILE", "fileUrl"), ("FILE", "with a query")] {
        let file = uploaded(&alice, "x.png", PNG).await;
        let mut body = json!({"conversationId": conversation, "type": kind,
                              "fileName": "ignored.exe", "fileSize": -1});
        match by {
            "fileId" => body["fileId"] = file["id"].clone(),
            "fileUrl" => body["fileUrl"] = file["url"].clone(),
            _ => body["fileUrl"] = json!(format!("{}?exp=1&sig=2", file["url"].as_str().unwrap())),
        }
        let data = alice.post("/api/messages", body).await.expect(201).json()["data"].clone();
        assert_eq!((&data["type"], &data["content"]), (&json!(kind), &json!("")));
        assert_eq!((&data["fileName"], &data["fileSize"]), (&json!("x.png"), &json!(PNG.len())));
        let url = data["fileUrl"].as_str().unwrap();
        bob.get(url).await.expect(200);
        let last = bob.history(&conversation).await.pop().unwrap();
        assert_eq!(last["fileUrl"].as_str().unwrap().split('?').next(), url.split('?').next());
    }
    let list = bob.get("/api/conversations").await.json();
    assert_eq!(list["conversations"][0]["lastMessage"]["fileName"], "x.png");
    let file = uploaded(&alice, "x.png", PNG).await;
    let words =
        json!({"conversationId": conversation, "type": "FILE", "fileId": file["id"], "content": "look"});
    assert_eq!(alice.post("/api/messages", words).await.expect(201).json()["data"]["content"], "look");
}

#[tokio::test]
async fn a_file_that_is_not_ones_own_cannot_be_sent() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    let theirs = uploaded(&bob, "x.png", PNG).await;
    app.events();
    let message = |field: &str, value: &Value| {
        let mut body = json!({"conversationId": conversation, "type": "FILE"});
        body[field] = value.clone();
        body
    };
    for (field, value) in [
        ("fileId", theirs["id"].clone()),
        ("fileId", json!(NOTHING)),
        ("fileId", json!("x")),
        ("fileUrl", theirs["url"].clone()),
    ] {
        let refused = alice.post("/api/messages", message(field, &value)).await;
        assert_eq!(refused.refusal(), (404, "not_found".to_owned()), "{field} {value}");
        assert_eq!(refused.error(), "File not found");
    }
    for url in
        ["javascript:alert(1)", "http://127.0.0.1:9/x.png", "file:///etc/passwd", "/etc/passwd", "", "x.png"]
    {
        let refused = alice.post("/api/messages", message("fileUrl", &json!(url))).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{url}");
    }
    for body in [
        message("content", &json!("a file without a file")),
        message("fileId", &json!(5)),
        message("fileId", &json!([NOTHING])),
        json!({"conversationId": conversation, "content": "x", "fileId": NOTHING}),
        json!({"conversationId": conversation, "content": "x", "type": "TEXT", "fileUrl": "/uploads/x.png"}),
    ] {
        let refused = alice.post("/api/messages", body.clone()).await;
        assert_eq!(refused.refusal(), (400, "validation_failed".to_owned()), "{body}");
    }
    assert_eq!((app.events(), app.rows("messages").await), (vec![], 0));
}
