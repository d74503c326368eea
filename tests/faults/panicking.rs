//! Parts of a host's own that panic: nobody else notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::routing::get;
use priyo_core::events::Revocation;
use priyo_core::model::{ConversationKind, HostUser, MessageRange, NewConversation, NewMessage, UserId};
use priyo_core::transport::http::with_request_ids;
use priyo_core::transport::socketio::SocketIoTransport;
use priyo_core::{Accounts, Audience, Authenticator, Caller, ChatEngine, Error, Event, Result, Transport};
use priyo_tests::{
    ACCESS_SECRET, Database, Hooked, REFRESH_SECRET, Recorder, Refused, Socket, Wire, uncounted,
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

/// Requests after a panic, to find what it left locked or half done.
const AFTERWARDS: usize = 1_000;

#[derive(Debug)]
struct Panics;

#[async_trait]
impl Transport for Panics {
    fn deliver(&self, _: &Audience, _: &Event) -> Vec<UserId> {
        panic!("this transport always does")
    }

    fn revoke(&self, _: &Revocation) {
        panic!("this transport always does")
    }

    async fn close(&self) {
        panic!("this transport always does")
    }
}

/// A host's user in a group of one.
async fn alone(engine: &ChatEngine) -> (Caller, priyo_core::model::ConversationId) {
    let alice = engine.users().upsert(HostUser::new("1", "alice")).await.unwrap();
    let caller = Caller::new(&alice);
    let new = NewConversation { participant_ids: vec![alice.id], kind: ConversationKind::Group, name: None };
    let conversation = engine.create_conversation(&caller, new).await.unwrap();
    (caller, conversation.id)
}

#[tokio::test]
async fn a_transport_that_panics_keeps_no_message_from_anybody_else() {
    let recorder = Arc::new(Recorder::default());
    let accounts = Accounts::new(ACCESS_SECRET, REFRESH_SECRET);
    let database = Database::new();
    let engine = database.engine(accounts).await;
    let engine = engine.transport(Arc::new(Panics)).transport(recorder.clone()).build().await.unwrap();
    let (caller, conversation) = alone(&engine).await;

    for seq in 1..=3 {
        let sent = engine.send_message(&caller, NewMessage::text(conversation, "hi")).await.unwrap();
        assert_eq!(sent.message.seq, seq);
    }
    let names: Vec<&str> = recorder.take().iter().map(|(_, event)| event.name()).collect();
    assert_eq!(names, ["conversation:new", "message:new", "message:new", "message:new"]);

    // The end of an access reaches the others too, and the engine can be closed.
    engine.disconnect_user(caller.user_id);
    assert_eq!(recorder.take_revoked(), [Revocation::User(caller.user_id)]);
    engine.close().await;
}

#[tokio::test]
async fn a_storage_that_panics_fails_the_call_and_nothing_after_it() {
    let database = Database::new();
    let panics = Arc::new(AtomicBool::new(false));
    let armed = panics.clone();
    let storage = Hooked::new(database.storage().await, move |call| {
        assert!(!armed.load(Ordering::SeqCst), "{call}, as it should");
        Ok(())
    });
    let mut limits = uncounted();
    (limits.presence_renewal, limits.typing_ttl) = (Duration::from_millis(50), Duration::from_millis(50));
    let accounts = Accounts::new(ACCESS_SECRET, REFRESH_SECRET);
    let engine = ChatEngine::builder(storage, accounts).limits(limits).build().await.unwrap();
    let (caller, conversation) = alone(&engine).await;
    let online = engine.connected(caller.clone(), None).unwrap();
    engine.send_message(&caller, NewMessage::text(conversation, "before")).await.unwrap();

    panics.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let failed = engine.send_message(&caller, NewMessage::text(conversation, "lost")).await;
        assert!(matches!(failed, Err(Error::Internal(_))), "{failed:?}");
    }
    // What goes on by itself meets it too: delivery marks each second, presence more often.
    sleep(Duration::from_millis(1_500)).await;
    engine.disconnected(&online);
    sleep(Duration::from_millis(100)).await;
    panics.store(false, Ordering::SeqCst);

    for _ in 0..AFTERWARDS {
        engine.send_message(&caller, NewMessage::text(conversation, "after")).await.unwrap();
    }
    let page = engine.messages(&caller, conversation, MessageRange::Page(1), Some(1)).await.unwrap();
    assert_eq!(page.last_seq, 1 + AFTERWARDS as u64);
    // The task that stores who is there goes on.
    let before = engine.now();
    let online = engine.connected(caller.clone(), None).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let storage = database.beside_server().await;
    while storage.user(caller.user_id).await.unwrap().unwrap().last_seen.is_none_or(|at| at < before) {
        assert!(Instant::now() < deadline, "it is not stored any more");
        sleep(Duration::from_millis(20)).await;
    }
    engine.disconnected(&online);
    timeout(Duration::from_secs(5), engine.close()).await.expect("it closes");
}

/// A host's login that panics for one token, and for every event of a socket once it is told to.
#[derive(Debug, Default)]
struct Moody {
    users: std::sync::Mutex<Vec<Caller>>,
    panics: AtomicBool,
}

#[async_trait]
impl Authenticator for Moody {
    async fn authenticate(&self, token: &str) -> Result<Caller> {
        assert_ne!(token, "panic", "as it should");
        self.users.lock().unwrap().first().cloned().ok_or(Error::UnknownUser)
    }

    async fn recheck(&self, caller: &Caller) -> Result<Caller> {
        assert!(!self.panics.load(Ordering::SeqCst), "as it should");
        Ok(caller.clone())
    }
}

#[tokio::test]
async fn what_panics_for_one_request_is_an_internal_error_and_the_next_is_served() {
    let login = Arc::new(Moody::default());
    let sockets = SocketIoTransport::default();
    let database = Database::new();
    let engine = ChatEngine::builder(Hooked::new(database.storage().await, |_| Ok(())), login.clone());
    let engine = engine.limits(uncounted()).transport(Arc::new(sockets.clone())).build().await.unwrap();
    let (caller, conversation) = alone(&engine).await;
    login.users.lock().unwrap().push(caller);
    let hosts_own = Router::new().route("/panic", get(async || -> () { panic!("as it should") }));
    let app = priyo_core::router(&engine, &sockets).merge(with_request_ids(hosts_own));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let _serving = tokio::spawn(axum::serve(listener, app).into_future());
    let wire = Wire::http(&format!("http://{addr}"));
    let get = async |path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        wire.send("GET", path, &[("authorization", &bearer)], Bytes::new()).await
    };
    let mut socket = Socket::connect(addr, "good").await.unwrap();

    assert_eq!(get("/panic", "good").await.refusal(), (500, "internal".to_owned()));
    assert_eq!(get("/api/conversations", "panic").await.refusal(), (500, "internal".to_owned()));
    let refused = Socket::connect(addr, "panic").await.unwrap_err();
    assert_eq!(refused, Refused("Service temporarily unavailable".to_owned()));
    login.panics.store(true, Ordering::SeqCst);
    let send = json!({"conversationId": conversation.to_string(), "content": "hi"});
    for event in ["message:send", "conversation:join", "typing:start", "message:read"] {
        assert_eq!(socket.refused(event, send.clone()).await, "internal", "{event}");
    }
    login.panics.store(false, Ordering::SeqCst);

    for _ in 0..AFTERWARDS {
        get("/api/conversations", "good").await.expect(200);
    }
    for _ in 0..AFTERWARDS {
        socket.must("message:send", send.clone()).await;
    }
}
