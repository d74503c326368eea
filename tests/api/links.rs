//! Signed addresses of files: what a browser's `<img>` can fetch without a token.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use priyo_core::model::{Clock, Timestamp};
use priyo_core::transport::rest;
use priyo_core::{ChatEngine, FileStore};
use priyo_tests::{Answer, Database, Person, TestApp, Wire, accounts};
use serde_json::json;

use crate::files::PNG;
use crate::uploads::{uploaded, with_headers};

/// The parts of an address: path, `exp` and `sig`.
fn parts(url: &str) -> (String, i64, String) {
    let (path, query) = url.split_once('?').unwrap();
    let (exp, sig) = query.strip_prefix("exp=").unwrap().split_once("&sig=").unwrap();
    (path.to_owned(), exp.parse().unwrap(), sig.to_owned())
}

async fn url_of_upload(person: &Person) -> String {
    uploaded(person, "x.png", PNG).await["url"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn whoever_has_a_signed_address_needs_no_token() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let url = url_of_upload(&alice).await;
    let (path, exp, sig) = parts(&url);
    let left = exp - app.now().as_secs();
    assert!((2_701..=3_600).contains(&left), "{left}");
    assert!(sig.len() == 64 && sig.bytes().all(|b| b.is_ascii_hexdigit()), "{sig}");

    let got = app.anonymous("GET", &url).await.expect(200);

    assert_eq!((&got.body[..], got.header("content-type")), (PNG, "image/png"));
    assert_eq!(got.header("cross-origin-resource-policy"), "cross-origin");
    assert_eq!(got.header("cache-control"), format!("private, max-age={left}"));
    assert_eq!(got.header("content-security-policy"), "sandbox; default-src 'none'");
    assert_eq!(got.header("x-content-type-options"), "nosniff");
    let other_path = url.replace("/uploads/", "/api/upload/");
    assert_eq!(app.anonymous("GET", &other_path).await.expect(200).body, PNG);
    let etag = got.header("etag").to_owned();
    let same = app.wire.send("GET", &url, &[("if-none-match", &etag)], Bytes::new()).await;
    assert_eq!((same.status, same.header("cross-origin-resource-policy")), (304, "cross-origin"));
    let part = app.wire.send("GET", &url, &[("range", "bytes=0-3")], Bytes::new()).await;
    assert_eq!((part.status, &part.body[..]), (206, &PNG[..4]));
    // A token still does, and says nothing to other sites.
    let got = alice.get(&path).await.expect(200);
    assert_eq!(got.header("cache-control"), "private, no-store");
    assert!(!got.headers.contains_key("cross-origin-resource-policy"));
}

#[tokio::test]
async fn an_address_is_the_same_for_a_quarter_of_an_hour_and_ends_within_the_hour() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    let file = uploaded(&alice, "x.png", PNG).await;
    let send = json!({"conversationId": conversation, "type": "IMAGE", "fileUrl": file["url"]});
    let sent = alice.post("/api/messages", send).await.expect(201).json()["data"].clone();
    assert_eq!((&sent["width"], &sent["height"]), (&json!(1), &json!(1)));
    let shown = async || {
        // With a token of now: it ends sooner than the address.
        let bob = bob.with_token(bob.claims(app.now()).sign());
        let last = bob.history(&conversation).await.pop().unwrap();
        last["fileUrl"].as_str().unwrap().to_owned()
    };

    let first = shown().await;
    assert_eq!(first, sent["fileUrl"].as_str().unwrap());
    assert_eq!(first, shown().await);
    let list = bob.get("/api/conversations").await.json();
    assert_eq!(list["conversations"][0]["lastMessage"]["fileUrl"], *first);
    app.passes(Duration::from_mins(15));
    let later = shown().await;
    assert_ne!(later, first);

    // The first one ends by itself, whoever has it by then.
    let (_, exp, _) = parts(&first);
    app.anonymous("GET", &first).await.expect(200);
    let left = u64::try_from(exp - app.now().as_secs()).unwrap();
    app.passes(Duration::from_secs(left - 1));
    app.anonymous("GET", &first).await.expect(200);
    app.passes(Duration::from_secs(1));
    assert_eq!(app.anonymous("GET", &first).await.refusal(), (401, "invalid_token".to_owned()));
    app.anonymous("GET", &later).await.expect(200);
}

#[tokio::test]
async fn an_address_that_was_changed_is_worth_nothing() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let (path, exp, sig) = parts(&url_of_upload(&alice).await);
    let (other, ..) = parts(&url_of_upload(&bob).await);
    let missing = format!("/uploads/{}.png", "0".repeat(32));
    let flipped = sig.replace(|c: char| c == sig.chars().next().unwrap(), "f");
    let flipped = if flipped == sig { sig.replace('f', "0") } else { flipped };

    let refused = async |url: &str| -> Answer {
        let answer = app.anonymous("GET", url).await;
        assert_eq!(answer.refusal(), (401, "invalid_token".to_owned()), "{url}");
        answer
    };
    let there = refused(&format!("{path}?exp={exp}&sig={flipped}")).await;
    // Whether there is such a file is not told.
    let nowhere = refused(&format!("{missing}?exp={exp}&sig={sig}")).await;
    assert_eq!(
        (there.error(), there.json()["details"].clone()),
        (nowhere.error(), nowhere.json()["details"].clone())
    );
    refused(&format!("{other}?exp={exp}&sig={sig}")).await;
    refused(&format!("{path}?exp={}&sig={sig}", exp + 900)).await;
    refused(&format!("{path}?exp=9007199254740992&sig={sig}")).await;
    refused(&format!("{path}?exp={exp}&sig=")).await;
    refused(&format!("{path}?exp={exp}&sig={}", sig.to_uppercase())).await;
    for half in [format!("{path}?exp={exp}"), format!("{path}?sig={sig}")] {
        assert_eq!(
            app.anonymous("GET", &half).await.refusal(),
            (401, "unauthenticated".to_owned()),
            "{half}"
        );
    }
    for odd in ["exp=-1&sig=x", "exp=1e9&sig=x", "exp=1&exp=2&sig=x", "exp=1&sig=x&sig=y", "size=large"] {
        let answer = app.anonymous("GET", &format!("{path}?{odd}")).await;
        assert_eq!(answer.refusal(), (400, "validation_failed".to_owned()), "{odd}");
    }

    // With a token the token decides, as if there were no signature.
    let spoilt = format!("{path}?exp={exp}&sig={flipped}");
    alice.get(&spoilt).await.expect(200);
    assert_eq!(bob.get(&spoilt).await.refusal(), (404, "not_found".to_owned()));
    assert_eq!(bob.with_token("junk").get(&spoilt).await.refusal(), (401, "invalid_token".to_owned()));
    // And with a good signature nobody looks at the token.
    let good = format!("{path}?exp={exp}&sig={sig}");
    with_headers(&bob.with_token("junk"), &good, &[]).await.expect(200);
}

/// An engine of its own under `/chat`, at this moment.
async fn nested(database: &Database, now: Timestamp) -> Wire {
    let builder = database.engine(accounts()).await.clock(Clock::from_fn(move || now)).public_path("/chat");
    let files = FileStore::local(database.folder().join("uploads")).unwrap();
    let engine = builder.files(files).build().await.unwrap();
    Wire::Router(Router::new().nest("/chat", rest::router(engine)))
}

#[tokio::test]
async fn under_a_path_of_a_host_program_the_address_has_the_path() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let file = uploaded(&alice, "x.png", PNG).await;
    let conversation = alice.starts_group_with(&[]).await;
    let send = json!({"conversationId": conversation, "type": "IMAGE", "fileId": file["id"]});
    alice.post("/api/messages", send).await.expect(201);
    let (database, now) = (app.database().clone(), app.now());
    app.engine.close().await;
    drop(app);
    let chat = nested(&database, now).await;
    let person = Person { wire: chat.clone(), ..alice };

    let history = person.get(format!("/chat/api/messages/{conversation}")).await.expect(200).json();

    let url = history["messages"][0]["fileUrl"].as_str().unwrap();
    assert!(url.starts_with("/chat/uploads/"), "{url}");
    assert_eq!(chat.send("GET", url, &[], Bytes::new()).await.expect(200).body, PNG);
}

#[tokio::test]
async fn links_are_as_good_as_the_secret_that_they_are_signed_with() {
    let database = Database::new();
    let name = format!("{}.png", "0f".repeat(16));
    let engine = async |secrets: &[&str]| {
        let mut builder = database.engine(accounts()).await;
        for secret in secrets {
            builder = builder.link_secret(*secret);
        }
        let files = FileStore::local(database.folder().join("uploads")).unwrap();
        builder.files(files).build().await.unwrap()
    };
    // There is no such file, but that is asked only of a good link.
    let is_good = async |engine: &ChatEngine, url: &str| {
        let (_, exp, sig) = parts(url);
        engine.download_signed(&name, exp, &sig).await.is_err()
    };

    let first = engine(&["old secret"]).await;
    let url = first.file_url(&name);
    assert!(is_good(&first, &url).await);
    first.close().await;
    drop(first);
    let second = engine(&["new secret", "old secret"]).await;
    assert!(is_good(&second, &url).await, "a secret that was replaced still counts");
    assert_ne!(second.file_url(&name), url);
    second.close().await;
    drop(second);
    let third = engine(&["new secret"]).await;
    assert!(!is_good(&third, &url).await);
    third.close().await;
}
