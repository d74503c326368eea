//! How often a client may do what, over sockets.

use priyo_tests::{Came, Person, Socket, TestServer, assert_keys};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::within;

const NOTHING: &str = "0199a000-0000-7000-8000-000000000000";

/// A server where only these are counted, Alice and Bob, and their conversation.
async fn counting(rates: &[(&str, &str)]) -> (TestServer, Person, Person, String) {
    let server = TestServer::start_with(rates).await;
    let (alice, bob) = (server.customer("alice").await, server.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    (server, alice, bob, conversation)
}

/// Fails unless an acknowledgement says that there were too many.
#[track_caller]
fn assert_limited(answer: &Value) {
    assert_keys(answer, &["ok", "error"]);
    assert_keys(&answer["error"], &["code", "message", "retryAfter"]);
    assert_eq!((&answer["ok"], &answer["error"]["code"]), (&json!(false), &json!("rate_limited")));
    assert_eq!(answer["error"]["message"], "Too many requests, please try again later");
    assert!(answer["error"]["retryAfter"].as_u64().unwrap() >= 1);
}

#[tokio::test]
async fn sends_of_a_user_are_counted_together_whatever_door_they_come_by() {
    let (server, alice, bob, conversation) = counting(&[("RATE_LIMIT_SENDS", "4/1h")]).await;
    let message = json!({"conversationId": conversation, "content": "hello"});
    let (mut tab, mut other) = (server.socket(&alice).await, server.socket(&alice).await);
    alice.post("/api/messages", message.clone()).await.expect(201);
    alice.post("/api/messages", message.clone()).await.expect(201);
    tab.must("message:send", message.clone()).await;
    other.must("message:send", message.clone()).await;

    assert_limited(&tab.ask("message:send", message.clone()).await);
    assert_limited(&other.ask("message:send", message.clone()).await);
    alice.post("/api/messages", message.clone()).await.expect(429);
    // Without an acknowledgement the failure is an event.
    tab.emit("message:send", message.clone()).await;
    let heard = tab.next("error").await;
    assert_keys(&heard, &["code", "message", "retryAfter"]);
    assert_eq!(heard["code"], "rate_limited");

    server.socket(&bob).await.must("message:send", message).await;
    assert_eq!(alice.history(&conversation).await.len(), 5);
}

#[tokio::test]
async fn a_flood_of_typing_is_heard_once() {
    let (server, alice, bob, conversation) = counting(&[("RATE_LIMIT_TYPING", "1/1h")]).await;
    let (mut at_alice, mut at_bob) = (server.socket(&alice).await, server.socket(&bob).await);
    at_bob.must("conversation:join", conversation.clone()).await;
    let argument = json!({ "conversationId": conversation });
    at_alice.must("typing:start", argument.clone()).await;
    for _ in 0..200 {
        assert_limited(&at_alice.ask("typing:start", argument.clone()).await);
        at_alice.must("typing:stop", argument.clone()).await;
    }
    let heard = at_bob.heard().await;
    let count = |name: &str| heard.iter().filter(|(known, _)| known == name).count();
    assert_eq!((count("typing:start"), count("typing:stop")), (1, 1));
    // Elsewhere they may type.
    let group = alice.starts_group_with(&[&bob]).await;
    at_alice.must("typing:start", json!({ "conversationId": group })).await;
}

#[tokio::test]
async fn joins_and_syncs_are_counted_for_each_socket() {
    let rates = [("RATE_LIMIT_JOINS", "3/1h"), ("RATE_LIMIT_SYNCS", "2/1h"), ("RATE_LIMIT_READS", "1/1h")];
    let (server, alice, _, conversation) = counting(&rates).await;
    let mut socket = server.socket(&alice).await;
    for _ in 0..3 {
        assert_eq!(socket.refused("conversation:join", NOTHING).await, "not_found");
    }
    assert_limited(&socket.ask("conversation:join", conversation.clone()).await);
    let sync = json!({ "conversations": {} });
    for _ in 0..2 {
        socket.must("sync", sync.clone()).await;
    }
    assert_limited(&socket.ask("sync", sync.clone()).await);
    let read = json!({"conversationId": conversation, "messageIds": [NOTHING]});
    assert_eq!(socket.refused("message:read", read.clone()).await, "validation_failed");
    assert_limited(&socket.ask("message:read", read).await);

    let mut another = server.socket(&alice).await;
    another.must("conversation:join", conversation).await;
    another.must("sync", sync).await;
}

/// What became of a flood: acknowledgements by code, and whether the connection ended.
async fn flood(socket: &mut Socket, conversation: &str, events: usize) -> (Vec<String>, bool) {
    let message = json!({"conversationId": conversation, "content": "flood"});
    let (mut codes, mut sent) = (Vec::new(), 0);
    loop {
        for _ in 0..200 {
            sent += 1;
            if sent > events || socket.try_emit_asking("message:send", message.clone()).await.is_none() {
                break;
            }
        }
        // All that is there, and at the end all that comes.
        let deadline = if sent > events { within(5) } else { Instant::now() };
        loop {
            match socket.came_by(deadline).await {
                Some(Came::Ack(_, answer)) => {
                    codes.push(answer["error"]["code"].as_str().unwrap_or("ok").to_owned());
                    if codes.len() == events {
                        return (codes, false);
                    }
                }
                Some(Came::End) => return (codes, true),
                Some(Came::Event(..)) => {}
                None => break,
            }
        }
        if sent > events && codes.len() < events {
            return (codes, false);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_events_is_refused_and_then_ended_and_nobody_else_is() {
    let server = TestServer::start_with(&[("RATE_LIMITS", "on")]).await;
    let (alice, bob) = (server.customer("alice").await, server.customer("bob").await);
    let conversation = alice.starts_conversation_with(&bob).await;
    let (mut flooding, mut quiet) = (server.socket(&alice).await, server.socket(&alice).await);

    let (codes, ended) = flood(&mut flooding, &conversation, 50_000).await;

    let count = |code: &str| codes.iter().filter(|known| *known == code).count();
    assert!(ended, "{} answers, none the last", codes.len());
    assert!(flooding.was_told_to_go());
    // What is refused is answered at once: those that a slow disk keeps waiting may be behind the end.
    assert!(count("ok") <= 200, "{} were sent", count("ok"));
    assert!(count("rate_limited") >= 900, "{}", count("rate_limited"));
    assert!(codes.len() < 5_000, "{}: it went on too long", codes.len());
    assert!(server.measured("priyo_sockets_flooding_total").await >= 1.0);

    // The same user's other socket goes on, and they may come back.
    quiet.must("conversation:join", conversation.clone()).await;
    server.socket(&alice).await.must("conversation:join", conversation.clone()).await;
    // Control: what is not counted is not ended.
    let free = TestServer::start().await;
    let carol = free.customer("carol").await;
    let group = carol.starts_group_with(&[]).await;
    let (codes, ended) = flood(&mut free.socket(&carol).await, &group, 3_000).await;
    assert!(!ended && codes.iter().all(|code| code != "rate_limited"), "{}", codes.len());
}
