//! Files that were uploaded and never sent.

use std::time::Duration;

use priyo_core::Limits;
use priyo_tests::{Person, Settings, TestApp};
use serde_json::json;

use crate::files::PNG;
use crate::uploads::{stored, uploaded};

/// The same person with a token of now.
fn again(app: &TestApp, person: &Person) -> Person {
    person.with_token(person.claims(app.now()).sign())
}

/// Lets so much time pass that what was not sent is to be removed.
fn its_time_passes(app: &TestApp) {
    app.passes(app.engine.limits().unsent_file_ttl + Duration::from_millis(1));
}

#[tokio::test]
async fn a_file_that_was_not_sent_for_a_day_is_removed_and_one_that_was_is_not() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let conversation = alice.starts_group_with(&[]).await;
    let (sent, unsent) = (uploaded(&alice, "1.png", PNG).await, uploaded(&alice, "2.png", PNG).await);
    let thumbnail = format!("{}&size=thumb", unsent["url"].as_str().unwrap());
    app.anonymous("GET", &thumbnail).await.expect(200);
    let send = json!({"conversationId": conversation, "type": "IMAGE", "fileId": sent["id"]});
    alice.post("/api/messages", send).await.expect(201);
    app.passes(app.engine.limits().unsent_file_ttl);
    app.engine.remove_unsent_files().await.unwrap();
    assert_eq!((stored(&app), app.rows("files").await), (3, 2), "not a moment too soon");

    app.passes(Duration::from_millis(1));
    let young = uploaded(&again(&app, &alice), "3.png", PNG).await;
    app.engine.remove_unsent_files().await.unwrap();

    let alice = again(&app, &alice);
    for (file, status) in [(&sent, 200), (&young, 200), (&unsent, 404)] {
        let path = format!("/uploads/{}", file["filename"].as_str().unwrap());
        assert_eq!(alice.get(&path).await.status, status, "{file}");
    }
    let send = json!({"conversationId": conversation, "type": "IMAGE", "fileId": unsent["id"]});
    assert_eq!(alice.post("/api/messages", send).await.refusal(), (404, "not_found".to_owned()));
    assert_eq!((stored(&app), app.rows("files").await, app.rows("loose_files").await), (2, 2, 0));
}

/// In the moment in which it would be removed, a file is sent or it is gone; never is there a message without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_sent_in_its_last_moment_is_kept_or_the_message_is_refused() {
    let mut limits = Limits::default();
    // A hundred days would be longer than a session.
    limits.unsent_file_ttl = Duration::from_mins(1);
    let app = TestApp::with(Settings { limits, ..Settings::default() }).await;
    let alice = app.customer("alice").await;
    let conversation = alice.starts_group_with(&[]).await;
    let mut kept = 0;
    for round in 0..100 {
        let alice = again(&app, &alice);
        let file = uploaded(&alice, "x.png", PNG).await;
        its_time_passes(&app);
        let alice = again(&app, &alice);
        let send = json!({"conversationId": conversation, "type": "IMAGE", "fileId": file["id"]});

        let sending = alice.post("/api/messages", send);
        let removing = app.engine.remove_unsent_files();
        let (sent, removed) = if round % 2 == 0 {
            tokio::join!(sending, removing)
        } else {
            let (removed, sent) = tokio::join!(removing, sending);
            (sent, removed)
        };

        removed.unwrap();
        let fetched = alice.get(format!("/uploads/{}", file["filename"].as_str().unwrap())).await;
        match sent.status {
            201 => assert_eq!((fetched.status, &fetched.body[..]), (200, PNG), "round {round}"),
            404 => assert_eq!(fetched.status, 404, "round {round}"),
            other => panic!("round {round}: {other} {}", sent.text()),
        }
        kept += usize::from(sent.status == 201);
    }
    app.engine.remove_unsent_files().await.unwrap();
    assert_eq!((stored(&app), app.rows("messages").await), (kept, kept as u64));
    println!("{kept} of 100 were sent in time");
}

#[tokio::test]
async fn a_file_that_is_removed_takes_its_thumbnail_along() {
    let app = TestApp::new().await;
    let alice = app.customer("alice").await;
    let file = uploaded(&alice, "x.png", PNG).await;
    app.anonymous("GET", &format!("{}&size=thumb", file["url"].as_str().unwrap())).await.expect(200);
    assert_eq!(stored(&app), 2);

    its_time_passes(&app);
    app.engine.remove_unsent_files().await.unwrap();

    assert_eq!((stored(&app), app.rows("files").await, app.rows("loose_files").await), (0, 0, 0));
}
