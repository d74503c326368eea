//! `user:status`.

use priyo_tests::{Person, assert_keys};
use serde_json::{Value, json};

use crate::pair;

async fn sees_online(viewer: &Person, conversation: &str, who: &Person) -> bool {
    let seen = viewer.get(format!("/api/conversations/{conversation}")).await.expect(200).json();
    let participants = seen["conversation"]["participants"].as_array().unwrap().clone();
    participants.iter().find(|p| p["id"] == *who.id).unwrap()["isOnline"] == true
}

#[tokio::test]
async fn two_tabs_are_one_person() {
    let (server, alice, bob, conversation) = pair().await;
    let mut at_bob = server.socket(&bob).await;
    assert!(!sees_online(&bob, &conversation, &alice).await);

    let first = server.socket(&alice).await;
    let online = at_bob.next("user:status").await;
    assert_keys(&online, &["userId", "isOnline", "lastSeen"]);
    assert_eq!((&online["userId"], &online["isOnline"]), (&json!(alice.id), &json!(true)));
    assert!(sees_online(&bob, &conversation, &alice).await);
    assert_eq!(alice.get("/api/auth/me").await.json()["user"]["isOnline"], true);

    let second = server.socket(&alice).await;
    first.hang_up().await;
    second.hang_up().await;

    // The very next thing that Bob hears is the end of the last tab.
    let offline = at_bob.next("user:status").await;
    assert_eq!((&offline["userId"], &offline["isOnline"]), (&json!(alice.id), &json!(false)));
    assert!(offline["lastSeen"].is_string());
    assert!(!sees_online(&bob, &conversation, &alice).await);
    assert_eq!(alice.get("/api/auth/me").await.json()["user"]["lastSeen"], offline["lastSeen"]);
    let third = server.socket(&alice).await;
    assert_eq!(at_bob.next("user:status").await["isOnline"], true);
    third.hang_up().await;
    assert_eq!(at_bob.next("user:status").await["isOnline"], false);
    assert_eq!(at_bob.heard_of("user:status").await, Vec::<Value>::new());
}

#[tokio::test]
async fn each_who_shares_a_conversation_is_told_once_and_a_stranger_is_not() {
    let (server, alice, bob, _) = pair().await;
    alice.starts_group_with(&[&bob]).await;
    let mut at_bob = server.socket(&bob).await;
    let mut at_carol = server.socket(&server.customer("carol").await).await;

    let socket = server.socket(&alice).await;
    at_bob.next("user:status").await;
    socket.hang_up().await;
    at_bob.next("user:status").await;

    assert_eq!(at_bob.heard_of("user:status").await, Vec::<Value>::new(), "though they share two");
    assert_eq!(at_carol.heard().await, []);
}

#[tokio::test]
async fn logging_in_is_not_being_online() {
    let (server, alice, bob, conversation) = pair().await;
    let mut at_bob = server.socket(&bob).await;
    alice.get("/api/auth/me").await.expect(200);
    alice.says(&conversation, "hi").await;
    assert!(!sees_online(&bob, &conversation, &alice).await);
    assert_eq!(at_bob.heard_of("user:status").await, Vec::<Value>::new());
}
