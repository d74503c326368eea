//! `?size=thumb`: small pictures of pictures.

use std::io::Cursor;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use image::{DynamicImage, ImageFormat, RgbImage};
use priyo_tests::{Answer, TestApp, resident_bytes};
use serde_json::{Value, json};

use crate::files::{self, PNG};
use crate::uploads::{stored, uploaded};

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let colours = |x, y| image::Rgb([u8::try_from(x % 200).unwrap(), u8::try_from(y % 200).unwrap(), 90]);
    let mut bytes = Vec::new();
    let picture = DynamicImage::from(RgbImage::from_fn(width, height, colours));
    picture.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

async fn thumbnail(app: &TestApp, file: &Value) -> Answer {
    app.anonymous("GET", &format!("{}&size=thumb", file["url"].as_str().unwrap())).await
}

#[tokio::test]
async fn every_kind_of_picture_has_a_small_one_and_says_how_large_it_is() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    for (format, ending) in [
        (ImageFormat::Png, "png"),
        (ImageFormat::Jpeg, "jpg"),
        (ImageFormat::Gif, "gif"),
        (ImageFormat::WebP, "webp"),
    ] {
        let bytes = picture(800, 600, format);
        let file = uploaded(&alice, &format!("x.{ending}"), &bytes).await;
        assert_eq!((&file["width"], &file["height"]), (&json!(800), &json!(600)), "{ending}");

        let small = thumbnail(&app, &file).await.expect(200);

        assert_eq!(small.header("content-type"), "image/jpeg");
        assert_eq!(small.header("x-content-type-options"), "nosniff");
        assert_eq!(small.header("content-security-policy"), "sandbox; default-src 'none'");
        assert_eq!(small.header("cross-origin-resource-policy"), "cross-origin");
        let decoded = image::load_from_memory(&small.body).unwrap();
        assert_eq!((decoded.width(), decoded.height()), (320, 240), "{ending}");
        assert!(small.body.len() < 40_000);
        // It is the same one the next time, and whoever has it need not fetch it.
        let again = thumbnail(&app, &file).await.expect(200);
        assert_eq!((again.body, again.headers.get("etag")), (small.body, small.headers.get("etag")));
        let url = format!("{}&size=thumb", file["url"].as_str().unwrap());
        let etag = small.headers["etag"].to_str().unwrap();
        let known = app.wire.send("GET", &url, &[("if-none-match", etag)], Bytes::new()).await;
        assert_eq!((known.status, known.body.len()), (304, 0));
        // The picture itself is as it was.
        let whole = app.anonymous("GET", file["url"].as_str().unwrap()).await.expect(200);
        assert_eq!(whole.body, bytes);
        assert_ne!(whole.headers.get("etag"), Some(&small.headers["etag"]));
    }
    assert_eq!((stored(&app), app.rows("files").await), (8, 4));
}

#[tokio::test]
async fn who_may_not_see_a_picture_may_not_see_a_small_one() {
    let app = TestApp::new().await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let file = uploaded(&alice, "x.png", PNG).await;
    let path = format!("/uploads/{}?size=thumb", file["filename"].as_str().unwrap());
    assert_eq!(app.anonymous("GET", &path).await.refusal(), (401, "unauthenticated".to_owned()));
    assert_eq!(bob.get(&path).await.refusal(), (404, "not_found".to_owned()));
    let small = alice.get(&path).await.expect(200);
    assert_eq!(small.header("cache-control"), "private, no-store");
    // Its own name opens nothing.
    let name = file["filename"].as_str().unwrap().replace(".png", ".thumb");
    assert_eq!(alice.get(format!("/uploads/{name}")).await.refusal(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn what_is_no_picture_or_a_broken_one_has_none() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let cut = picture(400, 400, ImageFormat::Png);
    let mut all = vec![("png", cut[..cut.len() / 2].to_vec())];
    all.extend(
        files::allowed()
            .into_iter()
            .filter(|(_, media, _)| !media.starts_with("image/"))
            .map(|(ending, _, bytes)| (ending, bytes)),
    );
    for (ending, bytes) in all {
        let file = uploaded(&alice, &format!("x.{ending}"), &bytes).await;
        let refused = thumbnail(&app, &file).await;
        assert_eq!(refused.refusal(), (404, "not_found".to_owned()), "{ending}");
        assert_eq!(refused.error(), "Thumbnail not found");
    }
}

/// A PNG that says that it is as large as a PNG can be, and of which a few bytes are there.
fn bomb(side: u32) -> Vec<u8> {
    let mut bytes = PNG[..16].to_vec();
    bytes.extend(side.to_be_bytes());
    bytes.extend(side.to_be_bytes());
    bytes.extend([8, 6, 0, 0, 0]);
    let crc = crc(&bytes[12..]);
    bytes.extend(crc.to_be_bytes());
    bytes.extend(&PNG[33..]);
    bytes
}

/// What a PNG checks its chunks by.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[tokio::test]
async fn a_picture_that_would_fill_the_memory_is_not_looked_at() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    thumbnail(&app, &uploaded(&alice, "warm.png", &picture(800, 600, ImageFormat::Png)).await)
        .await
        .expect(200);
    let before = resident_bytes(std::process::id());
    for side in [65_535, 6_000] {
        let file = uploaded(&alice, "x.png", &bomb(side)).await;
        assert_eq!(file["width"], side, "it is stored as it is");

        let begin = Instant::now();
        let refused = thumbnail(&app, &file).await;

        assert_eq!(refused.refusal(), (404, "not_found".to_owned()), "{side}");
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    }
    // One that lies about its size where it is looked at first.
    let mut jpeg =
        b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\x01\x22\0\x02\x11\x01\x03\x11\x01".to_vec();
    jpeg.extend(vec![0; 5_000]);
    let file = uploaded(&alice, "x.jpg", &jpeg).await;
    assert_eq!(thumbnail(&app, &file).await.status, 404);
    let grown = resident_bytes(std::process::id()).saturating_sub(before);
    assert!(grown <= 32 * 1024 * 1024, "{grown} bytes more");
}
