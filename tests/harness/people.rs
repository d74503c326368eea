//! People who talk to the chat.

use std::sync::Arc;

use axum::body::Bytes;
use priyo_core::model::{Clock, Role, SessionId, User, UserId};
use priyo_core::storage::{NewSession, RefreshToken, Storage};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{Answer, Database, Forged, Wire};

/// Makes users and their sessions right in the database: hashing a password for each would be most of a test's time.
#[derive(Debug)]
pub struct Registry {
    storage: Arc<dyn Storage>,
    clock: Clock,
}

impl Registry {
    /// For a database that a server has open and has brought up to date.
    pub async fn beside(database: &Database, clock: Clock) -> Self {
        Self { storage: database.beside_server().await, clock }
    }

    /// A user with a session. Nobody knows the password: who wants to log in must register.
    pub async fn person(&self, wire: Wire, name: &str, role: Role) -> Person {
        let now = self.clock.now();
        let user = User {
            id: UserId::new(),
            external_id: None,
            email: Some(format!("{name}@example.com")),
            username: name.to_owned(),
            avatar: None,
            role,
            disabled: false,
            created_at: now,
            last_seen: None,
        };
        assert!(self.storage.create_account(&user, NO_PASSWORD).await.unwrap(), "{name} is there already");
        self.signed_in(wire, &user).await
    }

    /// The same person, signed in on another device.
    pub async fn another_device(&self, of: &Person) -> Person {
        let user = self.storage.user(UserId::from_client(&of.id)).await.unwrap().unwrap();
        self.signed_in(of.wire.clone(), &user).await
    }

    async fn signed_in(&self, wire: Wire, user: &User) -> Person {
        let now = self.clock.now();
        let id = SessionId::new();
        let (user_id, session) = (user.id.to_string(), id.to_string());
        let claims = Forged::access(&user_id, &user.username, user.role.as_str(), &session, now);
        let refresh_token = claims.clone().into_refresh().sign();
        let week = now.after(std::time::Duration::from_hours(7 * 24));
        let stored = RefreshToken {
            hash: Sha256::digest(refresh_token.as_bytes()).into(),
            created_at: now,
            expires_at: week,
        };
        let row = NewSession {
            id,
            user_id: user.id,
            created_at: now,
            expires_at: now.after(std::time::Duration::from_hours(30 * 24)),
            user_agent: None,
        };
        assert!(
            self.storage.create_session(&row, &stored, None).await.unwrap(),
            "{} is disabled",
            user.username
        );
        Person {
            id: user_id,
            name: user.username.clone(),
            role: user.role,
            session,
            token: claims.sign(),
            refresh_token,
            wire,
        }
    }
}

/// The right form, and the hash of nothing.
const NO_PASSWORD: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                           AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Someone who is signed in, and can ask for things.
#[derive(Debug, Clone)]
pub struct Person {
    /// Their user id.
    pub id: String,
    /// Their user name.
    pub name: String,
    /// Their role.
    pub role: Role,
    /// Their session.
    pub session: String,
    /// Their access token.
    pub token: String,
    /// Their refresh token.
    pub refresh_token: String,
    /// The way their requests take.
    pub wire: Wire,
}

impl Person {
    /// A visitor of a website, by the answer to their visit.
    pub fn visiting(wire: Wire, visited: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{visited}")).to_owned();
        Self {
            id: text(&visited["user"]["id"]),
            name: text(&visited["user"]["username"]),
            role: Role::Customer,
            session: String::new(),
            token: text(&visited["token"]),
            refresh_token: String::new(),
            wire,
        }
    }

    /// The same person with another token.
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self { token: token.into(), ..self.clone() }
    }

    /// Claims for an access token of this person's session, to be spoiled.
    pub fn claims(&self, now: priyo_core::model::Timestamp) -> Forged {
        Forged::access(&self.id, &self.name, self.role.as_str(), &self.session, now)
    }

    /// GET.
    pub async fn get(&self, path: impl AsRef<str>) -> Answer {
        self.send("GET", path.as_ref(), None, Bytes::new()).await
    }

    /// DELETE.
    pub async fn delete(&self, path: impl AsRef<str>) -> Answer {
        self.send("DELETE", path.as_ref(), None, Bytes::new()).await
    }

    /// POST with a JSON body.
    #[allow(clippy::needless_pass_by_value, reason = "so that a test can write `json!` in place")]
    pub async fn post(&self, path: impl AsRef<str>, body: Value) -> Answer {
        let body = body.to_string();
        self.send("POST", path.as_ref(), Some("application/json"), body.into()).await
    }

    /// PATCH with a JSON body.
    #[allow(clippy::needless_pass_by_value, reason = "so that a test can write `json!` in place")]
    pub async fn patch(&self, path: impl AsRef<str>, body: Value) -> Answer {
        self.send("PATCH", path.as_ref(), Some("application/json"), body.to_string().into()).await
    }

    /// POST without a body.
    pub async fn post_nothing(&self, path: impl AsRef<str>) -> Answer {
        self.send("POST", path.as_ref(), None, Bytes::new()).await
    }

    /// POST with these bytes as the body, called JSON.
    pub async fn post_bytes(&self, path: impl AsRef<str>, body: impl Into<Bytes>) -> Answer {
        self.send("POST", path.as_ref(), Some("application/json"), body.into()).await
    }

    /// Any request of this person.
    pub async fn send(&self, method: &str, path: &str, content_type: Option<&str>, body: Bytes) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(content_type.map(|value| ("content-type", value)));
        self.wire.send(method, path, &headers, body).await
    }

    /// Begins a direct conversation; gives its id.
    pub async fn starts_conversation_with(&self, other: &Self) -> String {
        let body = json!({"participantIds": [other.id], "type": "DIRECT"});
        let made = self.post("/api/conversations", body).await.expect(201).json();
        made["conversation"]["id"].as_str().unwrap().to_owned()
    }

    /// Begins a group, of one if there are no others; gives its id.
    pub async fn starts_group_with(&self, others: &[&Self]) -> String {
        let ids: Vec<&str> = [self].iter().chain(others).map(|one| one.id.as_str()).collect();
        let body = json!({"participantIds": ids, "type": "GROUP", "name": "group"});
        let made = self.post("/api/conversations", body).await.expect(201).json();
        made["conversation"]["id"].as_str().unwrap().to_owned()
    }

    /// Sends a text over REST; gives the message.
    pub async fn says(&self, conversation: &str, text: &str) -> Value {
        let body = json!({"conversationId": conversation, "content": text});
        self.post("/api/messages", body).await.expect(201).json()["data"].clone()
    }

    /// Uploads a file.
    pub async fn uploads(&self, name: &str, bytes: &[u8]) -> Answer {
        self.uploads_as("file", name, None, bytes).await
    }

    /// Uploads a file in a multipart field of this name and with this media type.
    pub async fn uploads_as(&self, field: &str, name: &str, media: Option<&str>, bytes: &[u8]) -> Answer {
        let mut body = Vec::new();
        let head = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        if let Some(media) = media {
            body.extend_from_slice(format!("content-type: {media}\r\n").as_bytes());
        }
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(bytes);
        body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        self.send("POST", "/api/upload", Some(&content_type), body.into()).await
    }

    /// The whole history of a conversation as this person sees it, oldest first.
    pub async fn history(&self, conversation: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let after = all.last().map_or(0, |message: &Value| message["seq"].as_u64().unwrap());
            let path = format!("/api/messages/{conversation}?after={after}&limit=200");
            let page = self.get(path).await.expect(200).json();
            all.extend(page["messages"].as_array().unwrap().iter().cloned());
            if page["hasMore"] == false {
                return all;
            }
        }
    }
}

const BOUNDARY: &str = "----tests-boundary-5f0c";
