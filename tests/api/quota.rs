//! How much the files of one user may take together.

use futures_util::future::join_all;
use priyo_core::Limits;
use priyo_tests::{Settings, TestApp};
use serde_json::json;

use crate::uploads::{stored, uploaded};

async fn app(user_bytes: u64) -> TestApp {
    let mut limits = Limits::default();
    limits.user_bytes = user_bytes;
    TestApp::with(Settings { limits, ..Settings::default() }).await
}

#[tokio::test]
async fn a_users_files_are_together_as_large_as_they_may_be_and_no_larger() {
    let app = app(25_000).await;
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let text = b"0123456789".repeat(1_000);
    uploaded(&alice, "1.txt", &text).await;
    uploaded(&alice, "2.txt", &text).await;

    let refused = alice.uploads("3.txt", &text).await;

    assert_eq!(refused.refusal(), (413, "quota_exceeded".to_owned()));
    assert_eq!(refused.error(), "Storage quota exceeded");
    assert_eq!(refused.json()["maxSize"], json!(25_000));
    assert_eq!((stored(&app), app.rows("files").await, app.rows("loose_files").await), (2, 2, 0));
    // What there is room for is still taken, to the last byte, and then nothing.
    uploaded(&alice, "4.txt", &text[..5_000]).await;
    assert_eq!(alice.uploads("5.txt", b"x").await.refusal(), (413, "quota_exceeded".to_owned()));
    // It is nobody else's business.
    uploaded(&bob, "1.txt", &text).await;
    assert_eq!(bob.uploads("6.txt", &text.repeat(10)).await.refusal(), (413, "quota_exceeded".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_uploads_at_once_no_more_are_stored_than_there_is_room_for() {
    let app = app(45_000).await;
    let alice = app.customer("alice").await;
    let text = b"0123456789".repeat(1_000);

    let answers = join_all((0..12).map(|_| alice.uploads("x.txt", &text))).await;

    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 4, "{statuses:?}");
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(refused.refusal(), (413, "quota_exceeded".to_owned()));
    }
    assert_eq!((stored(&app), app.rows("files").await, app.rows("loose_files").await), (4, 4, 0));
}

#[tokio::test]
async fn what_is_removed_makes_room() {
    let app = app(10_000).await;
    let alice = app.customer("alice").await;
    let text = b"0123456789".repeat(1_000);
    uploaded(&alice, "1.txt", &text).await;
    assert_eq!(alice.uploads("2.txt", &text).await.status, 413);

    app.passes(app.engine.limits().unsent_file_ttl);
    app.passes(std::time::Duration::from_millis(1));
    app.engine.remove_unsent_files().await.unwrap();

    let alice = alice.with_token(alice.claims(app.now()).sign());
    uploaded(&alice, "2.txt", &text).await;
    assert_eq!((stored(&app), app.rows("files").await), (1, 1));
}
