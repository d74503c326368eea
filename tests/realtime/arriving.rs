//! What is told to one who is just being let in.

use std::net::Ipv4Addr;
use std::sync::Arc;

use async_trait::async_trait;
use priyo_core::auth::{Authenticator, Identity};
use priyo_core::events::Revocation;
use priyo_core::model::{Origin, Role, UserId};
use priyo_core::transport::socketio::SocketIoTransport;
use priyo_core::{Audience, Caller, ChatEngine, Error, Event, Transport};
use priyo_tests::Socket;
use serde_json::json;
use tokio::net::TcpListener;

use crate::memory::MemoryStorage;

/// A login of a host's own, which lets everybody in.
#[derive(Debug)]
struct Everybody;

#[async_trait]
impl Authenticator for Everybody {
    async fn authenticate(&self, token: &str) -> Result<Caller, Error> {
        Ok(Caller {
            user_id: UserId::new(),
            username: token.into(),
            role: Role::Customer,
            session_id: None,
            expires_at: None,
            visitor: None,
            connection_id: None,
            origin: Origin::default(),
        })
    }
}

/// When a user has come, tells them at once of somebody else.
#[derive(Debug)]
struct Herald {
    sockets: SocketIoTransport,
    somebody: UserId,
}

#[async_trait]
impl Transport for Herald {
    fn deliver(&self, _: &Audience, event: &Event) -> Vec<UserId> {
        if let Event::UserStatus { user_id, is_online: true, .. } = event {
            let news = Event::UserStatus { user_id: self.somebody, is_online: true, last_seen: None };
            self.sockets.deliver(&Audience::Users(vec![*user_id]), &news);
        }
        Vec::new()
    }

    fn revoke(&self, _: &Revocation) {}

    async fn close(&self) {}
}

/// The engine notices that a user has come while the answer to the CONNECT is on its way. All is done by one thread,
/// and by a storage that never waits, so that what is told then always falls into the gap before the socket is in.
#[tokio::test]
async fn what_is_told_between_the_connect_and_the_coming_in_is_heard_after_the_connect() {
    let (storage, sockets) = (MemoryStorage::new(), SocketIoTransport::default());
    let somebody = UserId::new();
    let engine = ChatEngine::builder(storage, Identity::Host(Arc::new(Everybody)))
        .transport(Arc::new(sockets.clone()))
        .transport(Arc::new(Herald { sockets: sockets.clone(), somebody }))
        .build()
        .await
        .unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let app = priyo_core::router(&engine, &sockets);
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });

    for round in 0..5 {
        let mut socket = Socket::connect(addr, "bob").await.unwrap();
        let news = socket.next("user:status").await;
        assert_eq!(news["userId"], json!(somebody), "round {round}");
        assert_eq!(socket.heard().await, [], "it is heard once");
    }
    serving.abort();
}
