//! `conversation:new`, `conversation:updated`, `conversation:closed`.

use priyo_tests::{TestServer, assert_keys};
use serde_json::{Value, json};

const CONVERSATION: &[&str] = &["id", "name", "type", "status", "participants", "createdAt", "updatedAt"];

#[tokio::test]
async fn every_participant_is_told_of_a_conversation_joined_or_not() {
    let server = TestServer::start().await;
    let (alice, greg) = (server.customer("alice").await, server.agent("greg").await);
    let (mut at_alice, mut at_greg) = (server.socket(&alice).await, server.socket(&greg).await);
    let mut at_carol = server.socket(&server.customer("carol").await).await;

    let conversation = alice.starts_conversation_with(&greg).await;
    for socket in [&mut at_alice, &mut at_greg] {
        let new = socket.next("conversation:new").await;
        assert_keys(&new, &["conversation"]);
        assert_keys(&new["conversation"], CONVERSATION);
        assert_eq!(new["conversation"]["id"], *conversation);
    }
    greg.delete(format!("/api/conversations/{conversation}")).await.expect(200);
    for socket in [&mut at_alice, &mut at_greg] {
        let closed = socket.next("conversation:closed").await;
        assert_eq!(closed["conversationId"], *conversation);
        assert_eq!(closed["conversation"]["status"], "CLOSED");
    }
    greg.post_nothing(format!("/api/conversations/{conversation}/reopen")).await.expect(200);
    for socket in [&mut at_alice, &mut at_greg] {
        let updated = socket.next("conversation:updated").await;
        assert_eq!(
            (&updated["conversationId"], &updated["conversation"]["status"]),
            (&json!(conversation), &json!("OPEN"))
        );
    }
    assert_eq!(at_carol.heard().await, []);
}

#[tokio::test]
async fn who_is_brought_in_is_told_of_a_new_one_and_the_others_of_a_change() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.customer("alice").await, server.customer("bob").await);
    let group = alice.starts_group_with(&[]).await;
    let (mut at_alice, mut at_bob) = (server.socket(&alice).await, server.socket(&bob).await);

    let path = format!("/api/conversations/{group}/participants");
    alice.post(&path, json!({"userIds": [bob.id]})).await.expect(200);

    assert_eq!(at_bob.next("conversation:new").await["conversation"]["id"], *group);
    let updated = at_alice.next("conversation:updated").await;
    assert_eq!(updated["conversation"]["participants"].as_array().unwrap().len(), 2);
    at_bob.must("conversation:join", group).await;
}

#[tokio::test]
async fn who_leaves_or_is_taken_out_hears_no_more_from_that_moment() {
    let server = TestServer::start().await;
    let (alice, bob, carol) =
        (server.customer("alice").await, server.customer("bob").await, server.customer("carol").await);
    let group = alice.starts_group_with(&[&bob, &carol]).await;
    let mut sockets = [server.socket(&bob).await, server.socket(&bob).await, server.socket(&carol).await];
    let mut at_alice = server.socket(&alice).await;
    for socket in sockets.iter_mut().chain([&mut at_alice]) {
        socket.must("conversation:join", group.clone()).await;
    }

    bob.post_nothing(format!("/api/conversations/{group}/leave")).await.expect(200);
    alice.delete(format!("/api/conversations/{group}/participants/{}", carol.id)).await.expect(200);
    alice.says(&group, "behind their backs").await;

    assert_eq!(at_alice.next("message:new").await["content"], "behind their backs");
    for socket in &mut sockets {
        let heard = socket.heard().await;
        assert!(heard.iter().all(|(name, _)| name != "message:new"), "{heard:?}");
        let gone = heard.iter().rfind(|(name, _)| name == "conversation:updated").expect("they are told");
        assert_eq!(gone.1["conversationId"], *group);
        let send = json!({"conversationId": group, "content": "x"});
        assert_eq!(socket.refused("message:send", send).await, "not_found");
        assert_eq!(socket.refused("conversation:join", group.clone()).await, "not_found");
        assert_eq!(socket.refused("typing:start", json!({ "conversationId": group })).await, "not_found");
    }
    assert_eq!(at_alice.heard_of("message:new").await, Vec::<Value>::new());
}
