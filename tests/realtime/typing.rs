//! `typing:start` and `typing:stop`.

use priyo_tests::assert_keys;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::{pair, within};

#[tokio::test]
async fn the_others_see_who_is_typing() {
    let (server, alice, bob, conversation) = pair().await;
    let (mut typing, mut tab) = (server.socket(&alice).await, server.socket(&alice).await);
    let mut at_bob = server.socket(&bob).await;
    for socket in [&mut typing, &mut tab, &mut at_bob] {
        socket.must("conversation:join", conversation.clone()).await;
    }
    let argument = json!({ "conversationId": conversation });
    for event in ["typing:start", "typing:stop"] {
        let answer = typing.must(event, argument.clone()).await;
        assert_keys(&answer, &["ok"]);
        for socket in [&mut tab, &mut at_bob] {
            let heard = socket.next(event).await;
            assert_eq!(
                heard,
                json!({"conversationId": conversation, "userId": alice.id, "username": "alice"})
            );
        }
    }
    typing.must("typing:stop", argument).await;
    assert_eq!(at_bob.heard_of("typing:stop").await, Vec::<Value>::new(), "who does not type cannot stop");
    assert!(typing.heard().await.iter().all(|(name, _)| !name.starts_with("typing")), "not to that socket");
}

#[tokio::test]
async fn typing_ends_by_itself_after_six_seconds() {
    let (server, alice, bob, conversation) = pair().await;
    let (mut at_alice, mut at_bob) = (server.socket(&alice).await, server.socket(&bob).await);
    at_bob.must("conversation:join", conversation.clone()).await;
    let began = Instant::now();
    at_alice.must("typing:start", json!({ "conversationId": conversation })).await;
    at_bob.next("typing:start").await;

    at_bob.next_by("typing:stop", within(9)).await;

    let lasted = began.elapsed();
    assert!(lasted >= Duration::from_millis(5_500) && lasted < Duration::from_secs(8), "{lasted:?}");
}

#[tokio::test]
async fn typing_ends_when_the_connection_does() {
    let (server, alice, bob, conversation) = pair().await;
    let (mut at_alice, mut at_bob) = (server.socket(&alice).await, server.socket(&bob).await);
    at_bob.must("conversation:join", conversation.clone()).await;
    at_alice.must("typing:start", json!({ "conversationId": conversation })).await;
    at_bob.next("typing:start").await;

    at_alice.hang_up().await;

    at_bob.next_by("typing:stop", within(3)).await;
}

#[tokio::test]
async fn typing_ends_when_one_leaves_the_conversation() {
    let (server, alice, bob, _) = pair().await;
    let group = alice.starts_group_with(&[&bob]).await;
    let (mut at_alice, mut at_bob) = (server.socket(&alice).await, server.socket(&bob).await);
    at_alice.must("conversation:join", group.clone()).await;
    at_bob.must("typing:start", json!({ "conversationId": group })).await;
    at_alice.next("typing:start").await;
    bob.post_nothing(format!("/api/conversations/{group}/leave")).await.expect(200);
    at_alice.next_by("typing:stop", within(3)).await;
}

#[tokio::test]
async fn an_outsider_types_unheard() {
    let (server, alice, _, conversation) = pair().await;
    let mut at_alice = server.socket(&alice).await;
    at_alice.must("conversation:join", conversation.clone()).await;
    let mut socket = server.socket(&server.customer("carol").await).await;
    for event in ["typing:start", "typing:stop"] {
        for id in [&*conversation, "0199a000-0000-7000-8000-000000000000", "x"] {
            assert_eq!(socket.refused(event, json!({ "conversationId": id })).await, "not_found", "{event}");
        }
    }
    assert_eq!(at_alice.heard().await, []);
}
