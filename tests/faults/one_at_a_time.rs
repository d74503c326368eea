//! A socket whose client sends faster than anything can be handled: what is handled at once is one event.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use priyo_core::auth::Authenticator;
use priyo_core::model::{Origin, Role, UserId};
use priyo_core::transport::rest;
use priyo_core::{Caller, ChatEngine, Error};
use priyo_server::listen::Listen;
use priyo_tests::{Mounted, PATIENCE, Person, Served, Socket, uncounted};
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use tokio::time::Instant;

/// Far more than an inbox holds.
const EVENTS: usize = 5_000;

/// A login of a host's own, which is asked before each event is handled, and then lets others go first.
#[derive(Debug, Default)]
struct Doorman {
    guests: Mutex<HashMap<String, UserId>>,
    asked: AtomicUsize,
    inside: AtomicUsize,
    /// The most that were inside at once.
    most: AtomicUsize,
}

impl Doorman {
    fn knows(&self, person: &Person) {
        self.guests.lock().unwrap().insert(person.token.clone(), UserId::from_client(&person.id));
    }

    /// Waits until he has looked at the coming in, which is no event.
    async fn has_let_in(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.asked.load(Ordering::SeqCst) == 0 || self.inside.load(Ordering::SeqCst) > 0 {
            assert!(Instant::now() < deadline, "he was not asked");
            tokio::task::yield_now().await;
        }
    }

    /// How often he was asked, and by how many at once.
    fn has_seen(&self) -> (usize, usize) {
        (self.asked.load(Ordering::SeqCst), self.most.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl Authenticator for Doorman {
    async fn authenticate(&self, token: &str) -> Result<Caller, Error> {
        let user_id = self.guests.lock().unwrap().get(token).copied().ok_or(Error::InvalidToken)?;
        Ok(Caller {
            user_id,
            username: "somebody".into(),
            role: Role::Customer,
            session_id: None,
            expires_at: None,
            visitor: None,
            connection_id: None,
            origin: Origin::default(),
        })
    }

    async fn recheck(&self, caller: &Caller) -> Result<Caller, Error> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        self.inside.fetch_sub(1, Ordering::SeqCst);
        Ok(caller.clone())
    }
}

/// Sends all events without a look at the answers, and then waits for all of those; gives how many were handled.
async fn flood(mut socket: Socket, conversation: &str) -> usize {
    for number in 0..EVENTS {
        // Only sends may overlap, and they only once they are in line.
        let event = if number % 2 == 0 { "message:send" } else { "typing:stop" };
        let argument = json!({"conversationId": conversation, "content": "hello"});
        socket.emit_asking(event, argument).await;
    }
    let mut handled = 0;
    for _ in 0..EVENTS {
        let (_, answer) = socket.any_ack().await;
        handled += usize::from(answer["ok"] == true);
        assert!(answer["ok"] == true || answer["error"]["code"] == "overloaded", "{answer}");
    }
    handled
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn however_fast_its_events_come_one_of_a_socket_is_handled_at_a_time() {
    let doorman = Arc::new(Doorman::default());
    let server = Mounted::start_for(Served::Guarded(Listen::default()), uncounted(), doorman.clone()).await;
    let alice = server.customer("alice").await;
    doorman.knows(&alice);
    let conversation = alice.starts_group_with(&[]).await;
    let socket = server.socket(&alice).await;
    doorman.has_let_in().await;

    let handled = flood(socket, &conversation).await;

    let (asked, most) = doorman.has_seen();
    println!("{handled} of {EVENTS} were handled, {most} at once");
    assert!(handled >= 64 && asked >= handled, "{handled} were handled, he was asked {asked} times");
    assert_eq!(most, 1);
}

/// The control: handlers as one writes them for socketioxide.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ordinary_handlers_would_all_run_at_once() {
    let doorman = Arc::new(Doorman::default());
    let of_sockets = doorman.clone();
    let routes = |engine: &ChatEngine, _| with_plain_handlers(engine, of_sockets);
    let server = Mounted::start_with(Served::Plainly, uncounted(), routes).await;
    let alice = server.customer("alice").await;
    doorman.knows(&alice);
    let conversation = alice.starts_group_with(&[]).await;
    let mut socket = Socket::connect(server.addr, &alice.token).await.unwrap();
    // The handlers are there only after the client was let in.
    socket.next("ready").await;

    flood(socket, &conversation).await;

    let (_, most) = doorman.has_seen();
    println!("{most} at once");
    assert!(most > 1, "plain handlers take turns too: the test proves nothing");
}

fn with_plain_handlers(engine: &ChatEngine, doorman: Arc<Doorman>) -> Router {
    let (layer, io) = SocketIo::builder().max_buffer_size(2 * EVENTS).build_layer();
    io.ns("/", async move |socket: SocketRef, Data(auth): Data<Value>| {
        let caller = doorman.authenticate(auth["token"].as_str().unwrap()).await.unwrap();
        for event in ["message:send", "typing:stop"] {
            let (doorman, caller) = (doorman.clone(), caller.clone());
            socket.on(event, async move |ack: AckSender| {
                doorman.recheck(&caller).await.unwrap();
                ack.send(&json!({"ok": true})).unwrap();
            });
        }
        let _ = socket.emit("ready", &());
    });
    rest::router(engine.clone()).layer(layer)
}
