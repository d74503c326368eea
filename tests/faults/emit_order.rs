//! A client that does not wait for one answer before it sends the next message.

use axum::Router;
use priyo_core::model::NewMessage;
use priyo_core::model::fields::Unknown;
use priyo_core::transport::rest;
use priyo_core::{ChatEngine, Limits};
use priyo_server::listen::Listen;
use priyo_tests::{Mounted, Person, Served, Socket};
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};

const SENDS: usize = 20_000;

/// Enough for all sends at once, so that none is refused.
fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.socket_inbox, limits.socket_outbox, limits.append_queue) = (2 * SENDS, 4 * SENDS, 2 * SENDS);
    limits
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pipelined_sends_of_one_socket_are_stored_in_the_order_they_were_emitted() {
    let server = Mounted::start(Served::Guarded(Listen::default()), limits()).await;
    let person = server.customer("someone").await;
    let conversation = person.starts_group_with(&[]).await;

    pipeline(server.socket(&person).await, &conversation).await;

    assert_eq!(inversions(&person, &conversation).await, 0);
}

/// The control: handlers as one writes them for socketioxide.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ordinary_handlers_would_let_pipelined_sends_overtake_each_other() {
    let server =
        Mounted::start_with(Served::Plainly, limits(), |engine, _| with_plain_handlers(engine)).await;
    let person = server.customer("someone").await;
    let conversation = person.starts_group_with(&[]).await;

    let mut socket = Socket::connect(server.addr, &person.token).await.unwrap();
    // The handler is there only after the client was let in.
    socket.next("ready").await;
    pipeline(socket, &conversation).await;

    let inversions = inversions(&person, &conversation).await;
    assert!(inversions > 0, "plain handlers keep the order too: the test proves nothing");
    println!("{inversions} of {SENDS} overtook another");
}

fn with_plain_handlers(engine: &ChatEngine) -> Router {
    let (layer, io) = SocketIo::builder().max_buffer_size(4 * SENDS).build_layer();
    let engine_of_sockets = engine.clone();
    io.ns("/", async move |socket: SocketRef, Data(auth): Data<Value>| {
        let engine = engine_of_sockets.clone();
        let caller = engine.authenticate(auth["token"].as_str().unwrap()).await.unwrap();
        socket.on("message:send", async move |Data(payload): Data<Value>, ack: AckSender| {
            let new = NewMessage::parse(payload, Unknown::Ignore).unwrap();
            engine.send_message(&caller, new).await.unwrap();
            ack.send(&json!({"ok": true})).unwrap();
        });
        let _ = socket.emit("ready", &());
    });
    rest::router(engine.clone()).layer(layer)
}

/// Sends every message without a look at the answers, and then waits for all of those.
async fn pipeline(mut socket: Socket, conversation: &str) {
    for number in 0..SENDS {
        let message = json!({"conversationId": conversation, "content": number.to_string()});
        socket.emit_asking("message:send", message).await;
    }
    for _ in 0..SENDS {
        let (_, answer) = socket.any_ack().await;
        assert_eq!(answer["ok"], true, "{answer}");
    }
}

/// How many messages are stored before one that was sent before them.
async fn inversions(person: &Person, conversation: &str) -> usize {
    let history = person.history(conversation).await;
    let sent = |message: &Value| message["content"].as_str().unwrap().parse().unwrap();
    let order: Vec<usize> = history.iter().map(sent).collect();
    assert_eq!(order.len(), SENDS);
    order.windows(2).filter(|pair| pair[0] > pair[1]).count()
}
