//! Ten thousand messages that were missed in three hundred conversations, by each of the three ways to catch up: in
//! each conversation exactly what was said, in order and none twice, while more is being said.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use priyo_core::model::{ConversationId, ConversationKind, NewConversation, NewMessage, UserId};
use priyo_core::{Caller, ChatEngine, Limits};
use priyo_server::listen::Listen;
use priyo_tests::{Mounted, Person, Served, Socket};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const CONVERSATIONS: usize = 300;
const MISSED: usize = 10_000;
/// What is said meanwhile.
const LIVE: usize = 600;

/// What a client has of each conversation: the numbers and the words, as they came.
type Have = BTreeMap<String, Vec<(u64, String)>>;

struct Scene {
    server: Mounted,
    alice: Caller,
    bob: Person,
    conversations: Vec<ConversationId>,
}

impl Scene {
    async fn new() -> Self {
        let server = Mounted::start(Served::Guarded(Listen::default()), Limits::default()).await;
        let (alice, bob) = (server.customer("alice").await, server.customer("bob").await);
        let alice = server.engine.authenticate(&alice.token).await.unwrap();
        let mut conversations = Vec::new();
        for _ in 0..CONVERSATIONS {
            let participant_ids = vec![UserId::from_client(&bob.id)];
            let new = NewConversation { participant_ids, kind: ConversationKind::Group, name: None };
            conversations.push(server.engine.create_conversation(&alice, new).await.unwrap().id);
        }
        // One long one, of many pages; some of more than one page together; many of a few.
        let shares = conversations.iter().enumerate().flat_map(|(at, id)| {
            let count = match at {
                0 => 2_600,
                1..=20 => 300,
                21..=200 => 7,
                _ => 0,
            };
            std::iter::repeat_n(*id, count)
        });
        let all: Vec<ConversationId> = shares.chain(conversations.iter().copied().skip(160)).collect();
        assert_eq!(all.len(), MISSED);
        say(&server.engine, &alice, all).await;
        Self { server, alice, bob, conversations }
    }

    /// Goes on talking, here and there.
    fn keep_talking(&self) -> JoinHandle<()> {
        let (engine, alice) = (self.server.engine.clone(), self.alice.clone());
        let places = self.conversations.clone();
        tokio::spawn(async move {
            for begin in (0..LIVE).step_by(20) {
                let some = (begin..begin + 20).map(|number| places[number * 7 % places.len()]);
                say(&engine, &alice, some.collect()).await;
            }
        })
    }

    /// Fails unless a client has everything there is, once and in order.
    async fn has_everything(&self, have: &Have) {
        for id in &self.conversations {
            let history = self.bob.history(&id.to_string()).await;
            let there = history.iter().map(place);
            let have = have.get(&id.to_string()).cloned().unwrap_or_default();
            assert_eq!(have, there.collect::<Vec<_>>(), "{id}");
        }
        let count: usize = have.values().map(Vec::len).sum();
        assert!(count >= MISSED, "{count}");
    }
}

/// Says something in each of these places; the words are not the same twice.
async fn say(engine: &ChatEngine, alice: &Caller, places: Vec<ConversationId>) {
    for part in places.chunks(500) {
        let sends = part.iter().enumerate().map(|(at, id)| {
            let text = format!("{at} {}", ConversationId::new());
            engine.send_message(alice, NewMessage::text(*id, text))
        });
        for sent in join_all(sends).await {
            sent.unwrap();
        }
    }
}

fn place(message: &Value) -> (u64, String) {
    (message["seq"].as_u64().unwrap(), message["content"].as_str().unwrap().to_owned())
}

fn take(have: &mut Have, conversation: &str, messages: &Value) {
    have.entry(conversation.to_owned()).or_default().extend(messages.as_array().unwrap().iter().map(place));
}

fn last(have: &Have, conversation: &str) -> u64 {
    have.get(conversation).and_then(|messages| messages.last()).map_or(0, |(seq, _)| *seq)
}

/// Asks until there is nothing more; gives how often it asked.
async fn sync(socket: &mut Socket, have: &mut Have) -> usize {
    let mut asked = 0;
    loop {
        let known: BTreeMap<&String, u64> = have.keys().map(|id| (id, last(have, id))).collect();
        let answer = socket.must("sync", json!({ "conversations": known })).await;
        asked += 1;
        let mut has_more = answer["hasMoreNew"] == true;
        for (id, missed) in answer["conversations"].as_object().unwrap() {
            take(have, id, &missed["messages"]);
            has_more |= missed["hasMore"] == true;
        }
        for new in answer["new"].as_array().unwrap() {
            // From now on it is named; what was said in it comes with the next answer.
            has_more |= new["lastSeq"] != 0;
            have.insert(new["id"].as_str().unwrap().to_owned(), Vec::new());
        }
        if !has_more {
            return asked;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_missed_messages_come_by_sync() {
    let scene = Scene::new().await;
    let mut socket = scene.server.socket(&scene.bob).await;
    let mut have = Have::new();

    let talking = scene.keep_talking();
    let mut asked = sync(&mut socket, &mut have).await;
    talking.await.unwrap();
    asked += sync(&mut socket, &mut have).await;

    assert_eq!(have.len(), CONVERSATIONS);
    scene.has_everything(&have).await;
    println!("asked {asked} times");
    assert!(asked < 2 * (MISSED + LIVE) / 200, "{asked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_missed_messages_come_by_joining() {
    let scene = Scene::new().await;
    let mut have = Have::new();
    let talking = scene.keep_talking();
    // A socket listens to two hundred conversations.
    let mut sockets = [scene.server.socket(&scene.bob).await, scene.server.socket(&scene.bob).await];
    for (at, id) in scene.conversations.iter().map(ToString::to_string).enumerate() {
        let socket = &mut sockets[at % 2];
        loop {
            let join = json!({"conversationId": id, "after": last(&have, &id)});
            let answer = socket.must("conversation:join", join).await;
            take(&mut have, &id, &answer["messages"]);
            if answer["hasMore"] == false {
                break;
            }
        }
    }
    talking.await.unwrap();

    for socket in &mut sockets {
        for message in socket.heard_of("message:new").await {
            let id = message["conversationId"].as_str().unwrap().to_owned();
            take(&mut have, &id, &json!([message]));
        }
    }
    scene.has_everything(&have).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_missed_messages_come_over_rest() {
    let scene = Scene::new().await;
    let mut have = Have::new();
    let talking = scene.keep_talking();
    for is_over in [false, true] {
        for id in scene.conversations.iter().map(ToString::to_string) {
            loop {
                let path = format!("/api/messages/{id}?after={}&limit=200", last(&have, &id));
                let page = scene.bob.get(&path).await.expect(200).json();
                take(&mut have, &id, &page["messages"]);
                if page["hasMore"] == false {
                    break;
                }
            }
        }
        if !is_over {
            while !talking.is_finished() {
                tokio::task::yield_now().await;
            }
        }
    }
    talking.await.unwrap();
    scene.has_everything(&have).await;
}
