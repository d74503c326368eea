//! One event is not kept waiting by another one.

use std::sync::Arc;

use priyo_core::model::{ConversationKind, NewConversation, Origin, Registration, Role};
use priyo_core::transport::socketio::SocketIoTransport;
use priyo_core::{Accounts, ChatEngine};
use priyo_tests::{ACCESS_SECRET, Database, Gate, Hooked, REFRESH_SECRET, Socket, uncounted};
use serde_json::json;
use tokio::net::TcpListener;

#[tokio::test]
async fn a_message_is_answered_while_the_one_after_it_is_looked_at() {
    let database = Database::new();
    let gate = Arc::<Gate>::default();
    // A message with a file is looked at more closely than one without.
    let storage = Hooked::new(database.storage().await, |_| Ok(())).holding("file", gate.clone());
    let sockets = SocketIoTransport::default();
    let engine = ChatEngine::builder(storage, Accounts::new(ACCESS_SECRET, REFRESH_SECRET));
    let engine = engine.limits(uncounted()).transport(Arc::new(sockets.clone())).build().await.unwrap();
    let (email, username) = ("alice@example.com".to_owned(), "alice".to_owned());
    let alice = Registration { email, username, password: "correct horse".into(), role: Role::Customer };
    let token = engine.register(None, alice, &Origin::default()).await.unwrap().tokens.access_token;
    let caller = engine.authenticate(&token).await.unwrap();
    let new =
        NewConversation { participant_ids: vec![caller.user_id], kind: ConversationKind::Group, name: None };
    let conversation = engine.create_conversation(&caller, new).await.unwrap().id.to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let _serving = tokio::spawn(axum::serve(listener, priyo_core::router(&engine, &sockets)).into_future());
    let mut socket = Socket::connect(addr, &token).await.unwrap();

    let plain = json!({"conversationId": conversation, "content": "plain"});
    let first = socket.emit_asking("message:send", plain).await;
    let with_file = json!({"conversationId": conversation, "type": "FILE", "content": "",
                           "fileId": "01890000-0000-7000-8000-000000000000"});
    let second = socket.emit_asking("message:send", with_file).await;

    let (number, answer) = socket.any_ack().await;
    assert_eq!((number, &answer["ok"]), (first, &json!(true)), "{answer}");
    // The control: the other one was held up until now.
    gate.let_one_go();
    let (number, answer) = socket.any_ack().await;
    assert_eq!((number, &answer["error"]["code"]), (second, &json!("not_found")), "{answer}");
}
