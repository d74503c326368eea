//! `conversation:join` and `conversation:leave`.

use futures_util::future::join_all;
use priyo_tests::{Person, Socket, assert_keys};
use serde_json::{Value, json};

use crate::pair;

const NOTHING: &str = "0199a000-0000-7000-8000-000000000000";

fn seqs(messages: &Value) -> Vec<u64> {
    messages.as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn joining_by_plain_id_brings_what_is_said_from_then_on() {
    let (server, alice, bob, conversation) = pair().await;
    alice.says(&conversation, "before").await;
    let mut socket = server.socket(&bob).await;
    alice.says(&conversation, "connected, not joined").await;
    assert_eq!(socket.heard_of("message:new").await, Vec::<Value>::new());

    let joined = socket.must("conversation:join", conversation.clone()).await;

    assert_keys(&joined, &["ok", "conversationId", "lastSeq", "messages", "hasMore"]);
    assert_eq!(
        joined,
        json!({"ok": true, "conversationId": conversation, "lastSeq": 2, "messages": [], "hasMore": false})
    );
    alice.says(&conversation, "after").await;
    let heard = socket.heard_of("message:new").await;
    assert_eq!((heard.len(), &heard[0]["content"]), (1, &json!("after")));
}

#[tokio::test]
async fn joining_after_a_seq_brings_what_was_missed_oldest_first() {
    let (server, alice, bob, conversation) = pair().await;
    for number in 1..=5 {
        alice.says(&conversation, &number.to_string()).await;
    }
    let mut socket = server.socket(&bob).await;
    for (after, expected) in [(0, vec![1, 2, 3, 4, 5]), (3, vec![4, 5]), (5, vec![]), (1000, vec![])] {
        let joined =
            socket.must("conversation:join", json!({"conversationId": conversation, "after": after})).await;
        assert_eq!((seqs(&joined["messages"]), &joined["lastSeq"]), (expected, &json!(5)), "{after}");
        assert_eq!(joined["hasMore"], false);
    }
    let joined = socket.must("conversation:join", json!({"conversationId": conversation})).await;
    assert_eq!(joined["messages"], json!([]));
    let history = bob.history(&conversation).await;
    let joined = socket.must("conversation:join", json!({"conversationId": conversation, "after": 4})).await;
    assert_eq!(joined["messages"], json!([history[4]]), "in the same shape as in history");
}

#[tokio::test]
async fn only_the_answer_that_says_there_is_no_more_lets_live_messages_through() {
    let (server, alice, bob, conversation) = pair().await;
    for _ in 0..201 {
        alice.says(&conversation, "x").await;
    }
    let mut socket = server.socket(&bob).await;
    let join = |after: u64| json!({"conversationId": conversation, "after": after});
    socket.must("conversation:join", conversation.clone()).await;

    let first = socket.must("conversation:join", join(0)).await;
    assert_eq!((seqs(&first["messages"]).len(), &first["hasMore"]), (200, &json!(true)));
    alice.says(&conversation, "while away").await;
    assert_eq!(socket.heard_of("message:new").await, Vec::<Value>::new(), "it was taken out first");

    let second = socket.must("conversation:join", join(200)).await;
    assert_eq!((seqs(&second["messages"]), &second["hasMore"]), (vec![201, 202], &json!(false)));
    alice.says(&conversation, "live").await;
    assert_eq!(socket.next("message:new").await["seq"], 203);
}

/// Joins until it is in, then listens until message `last`; gives every `seq` in the order in which it came.
async fn follow(mut socket: Socket, conversation: &str, last: u64) -> Vec<u64> {
    let mut seen: Vec<u64> = Vec::new();
    loop {
        let after = seen.last().copied().unwrap_or(0);
        let joined =
            socket.must("conversation:join", json!({"conversationId": conversation, "after": after})).await;
        assert_eq!(socket.kept("message:new"), 0, "no live message before its backlog");
        seen.extend(seqs(&joined["messages"]));
        if joined["hasMore"] == false {
            break;
        }
    }
    while seen.last().copied().unwrap_or(0) < last {
        seen.push(socket.next("message:new").await["seq"].as_u64().unwrap());
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_while_others_send_has_no_hole_and_no_repeat() {
    let (server, alice, bob, conversation) = pair().await;
    let (each, last) = (60, 240);
    let say = async |person: &Person| {
        for _ in 0..each {
            person.says(&conversation, "x").await;
        }
    };
    let people = [&alice, &bob, &alice, &bob];
    let sending = join_all(people.map(say));
    let joining = async {
        let mut all = Vec::new();
        for _ in 0..12 {
            let socket = server.socket(&bob).await;
            let conversation = conversation.clone();
            all.push(tokio::spawn(async move { follow(socket, &conversation, last).await }));
        }
        join_all(all).await
    };

    let (_, all) = tokio::join!(sending, joining);

    for seen in all {
        assert_eq!(seen.unwrap(), (1..=last).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_one_may_not_see_cannot_be_joined() {
    let (server, alice, _, conversation) = pair().await;
    let mut socket = server.socket(&server.customer("carol").await).await;
    let mut answers = Vec::new();
    for id in [&*conversation, NOTHING, "x", ""] {
        for argument in [json!(id), json!({"conversationId": id}), json!({"conversationId": id, "after": 0})]
        {
            let answer = socket.ask("conversation:join", argument.clone()).await;
            if id.is_empty() {
                assert_eq!(answer["ok"], false, "{argument}");
                continue;
            }
            assert_eq!(answer["error"]["code"], "not_found", "{argument}");
            assert_keys(&answer, &["ok", "error"]);
            assert_keys(&answer["error"], &["code", "message"]);
            answers.push(answer);
        }
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    assert_eq!(answers[0]["error"]["message"], "Access denied to conversation");
    alice.says(&conversation, "not for carol").await;
    assert_eq!(socket.heard().await, []);
}

#[tokio::test]
async fn an_admin_may_listen_anywhere_unannounced_and_say_nothing() {
    let (server, alice, bob, conversation) = pair().await;
    let mut at_bob = server.socket(&bob).await;
    let mut at_alice = server.socket(&alice).await;
    at_alice.must("conversation:join", conversation.clone()).await;
    let root = server.admin("root").await;
    let mut socket = server.socket(&root).await;

    socket.must("conversation:join", conversation.clone()).await;

    bob.says(&conversation, "hello").await;
    assert_eq!(at_bob.next("message:delivered").await["deliveredTo"], json!([alice.id]), "to Alice alone");
    assert_eq!(socket.next("message:new").await["content"], "hello");
    for (event, argument) in [
        ("message:send", json!({"conversationId": conversation, "content": "x"})),
        ("typing:start", json!({"conversationId": conversation})),
        ("typing:stop", json!({"conversationId": conversation})),
    ] {
        assert_eq!(socket.refused(event, argument).await, "forbidden", "{event}");
    }
    let id = bob.history(&conversation).await[0]["id"].clone();
    let read = json!({"messageId": id, "conversationId": conversation});
    assert_eq!(socket.refused("message:read", read).await, "forbidden");
    let heard = at_alice.heard().await;
    assert!(heard.iter().all(|(_, what)| !what.to_string().contains(&root.id)), "nobody was told: {heard:?}");
    let of_messages = heard.iter().filter(|(name, _)| name != "user:status").map(|(name, _)| name.as_str());
    assert_eq!(of_messages.collect::<Vec<_>>(), ["message:new"]);
    let seen = alice.get(format!("/api/conversations/{conversation}")).await.json();
    assert_eq!(seen["conversation"]["participants"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn leaving_the_room_is_not_leaving_the_conversation() {
    let (server, alice, bob, conversation) = pair().await;
    let mut socket = server.socket(&bob).await;
    socket.must("conversation:join", conversation.clone()).await;

    socket.must("conversation:leave", conversation.clone()).await;

    alice.says(&conversation, "unheard").await;
    assert_eq!(socket.heard_of("message:new").await, Vec::<Value>::new());
    socket.must("conversation:leave", conversation.clone()).await;
    let mut stranger = server.socket(&server.customer("carol").await).await;
    for id in [&*conversation, NOTHING, "x"] {
        assert_eq!(stranger.refused("conversation:leave", id).await, "not_found", "{id}");
    }
    bob.says(&conversation, "still in it").await;
    let joined = socket.must("conversation:join", json!({"conversationId": conversation, "after": 0})).await;
    assert_eq!(seqs(&joined["messages"]), [1, 2]);
}

#[tokio::test]
async fn a_socket_listens_to_at_most_two_hundred_conversations() {
    let (server, alice, _, _) = pair().await;
    let mut socket = server.socket(&alice).await;
    let mut groups = Vec::new();
    for _ in 0..201 {
        groups.push(alice.starts_group_with(&[]).await);
    }
    for group in &groups[..200] {
        socket.must("conversation:join", group.clone()).await;
    }
    assert_eq!(socket.ask("conversation:join", groups[200].clone()).await["ok"], false);
    socket.must("conversation:join", groups[0].clone()).await;
    socket.must("conversation:leave", groups[0].clone()).await;
    socket.must("conversation:join", groups[200].clone()).await;
}
