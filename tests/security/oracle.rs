//! What nobody may receive, and the one way in which every case looks for it.

use priyo_tests::{Answer, Fingerprint, Person, Socket, Wire};

use crate::raw::{answer, exchange, request};
use crate::world::World;

/// Texts that are in no answer, whoever asks: they would show how the server is made or where it lives.
const INSIDES: [&str; 20] = [
    "SELECT ",
    "INSERT INTO",
    "UPDATE ",
    "SQLSTATE",
    "sqlx",
    "rusqlite",
    "no such table",
    "syntax error",
    "violates",
    "constraint failed",
    "panicked",
    "RUST_BACKTRACE",
    "src/",
    ".rs:",
    ".cargo",
    "$argon2",
    "postgresql:",
    "sqlite:",
    "priyo.db",
    "password_hash",
];

/// Something private: the text by which it is known, and the ids of those who may receive it.
#[derive(Debug, Clone)]
pub(crate) struct Secret {
    text: String,
    known_to: Vec<String>,
}

impl Secret {
    pub(crate) fn new(text: impl Into<String>, known_to: &[&Person]) -> Self {
        Self { text: text.into(), known_to: known_to.iter().map(|person| person.id.clone()).collect() }
    }

    /// A text that is nowhere else, to be put into a private object.
    pub(crate) fn canary(of: &str, known_to: &[&Person]) -> Self {
        let unique = priyo_core::model::SessionId::new();
        Self::new(format!("CNRY-{of}-{unique}"), known_to)
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// What one attacker must never receive.
#[derive(Debug)]
pub(crate) struct Oracle {
    forbidden: Vec<String>,
}

impl Oracle {
    /// For somebody signed in, or for nobody.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>, attacker: Option<&Person>) -> Self {
        let hidden = |secret: &&Secret| attacker.is_none_or(|person| !secret.known_to.contains(&person.id));
        let secrets = secrets.into_iter().filter(hidden).map(|secret| secret.text.clone());
        Self { forbidden: INSIDES.iter().map(|&text| text.to_owned()).chain(secrets).collect() }
    }

    /// What of it is in these bytes.
    pub(crate) fn finds(&self, bytes: &[u8]) -> Vec<&str> {
        let text = String::from_utf8_lossy(bytes);
        self.forbidden.iter().map(String::as_str).filter(|forbidden| text.contains(forbidden)).collect()
    }

    /// Fails when something of it is there.
    #[track_caller]
    pub(crate) fn inspect(&self, bytes: &[u8]) {
        let found = self.finds(bytes);
        assert!(found.is_empty(), "{found:?} leaked in {:.2000}", String::from_utf8_lossy(bytes));
    }
}

/// Everything of an answer that a client can read.
pub(crate) fn bytes_of(answer: &Answer) -> Vec<u8> {
    let mut all = Vec::new();
    for (name, value) in &answer.headers {
        all.extend_from_slice(name.as_str().as_bytes());
        all.extend_from_slice(b": ");
        all.extend_from_slice(value.as_bytes());
        all.extend_from_slice(b"\r\n");
    }
    all.extend_from_slice(&answer.body);
    all
}

/// One attacker at work. Every answer is searched; at the end it is looked what has become of the server and of what
/// it keeps. A watch that is not ended fails its test.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    world: &'a World,
    oracle: Oracle,
    person: Option<Person>,
    before: Fingerprint,
    ended: bool,
}

impl<'a> Watch<'a> {
    pub(crate) async fn begin(world: &'a World, oracle: Oracle, person: Option<&Person>) -> Self {
        let before = world.server.database().fingerprint().await;
        Self { world, oracle, person: person.cloned(), before, ended: false }
    }

    /// Sends a request as this attacker.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        media: Option<&str>,
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let bearer = self.person.as_ref().map(|person| format!("Bearer {}", person.token));
        let mut headers: Vec<(&str, &str)> = Vec::new();
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        headers.extend(media.map(|media| ("content-type", media)));
        self.send_with(method, path, &headers, body).await
    }

    /// Sends a request with just these headers.
    pub(crate) async fn send_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let answer = self.wire().send(method, path, headers, body.into().into()).await;
        self.inspect(&answer)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None, "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None, "").await
    }

    #[allow(clippy::needless_pass_by_value, reason = "so that a test can write `json!` in place")]
    pub(crate) async fn post(&self, path: &str, body: serde_json::Value) -> Answer {
        self.send("POST", path, Some("application/json"), body.to_string()).await
    }

    /// Sends something of which the server reads only a part: on a connection of its own, which ends with the answer.
    pub(crate) async fn post_far_too_much(&self, path: &str, media: &str, body: impl AsRef<[u8]>) -> Answer {
        let bearer = self.person.as_ref().map(|person| format!("Authorization: Bearer {}\r\n", person.token));
        let headers = format!("Content-Type: {media}\r\n{}", bearer.unwrap_or_default());
        let sent = request("POST", path.as_bytes(), headers.as_bytes(), body.as_ref());
        self.inspect(&answer(&exchange(self.world.server.addr, sent).await))
    }

    /// A socket of this attacker that keeps what it hears.
    pub(crate) async fn socket(&self) -> Socket {
        let person = self.person.as_ref().expect("nobody has no socket");
        let mut socket = self.world.server.socket(person).await;
        socket.record();
        socket
    }

    /// Searches an answer that was come by in another way; gives it back.
    #[track_caller]
    pub(crate) fn inspect(&self, answer: &Answer) -> Answer {
        self.oracle.inspect(&bytes_of(answer));
        assert!(answer.status < 500, "{} {}", answer.status, answer.text());
        answer.clone()
    }

    /// Searches what came over a connection of the test's own.
    #[track_caller]
    pub(crate) fn inspect_bytes(&self, bytes: &[u8]) {
        self.oracle.inspect(bytes);
        assert!(!bytes.starts_with(b"HTTP/1.1 5"), "{:.500}", String::from_utf8_lossy(bytes));
    }

    /// Searches all that a socket has heard by now.
    pub(crate) async fn inspect_socket(&self, socket: &mut Socket) {
        socket.settle().await;
        self.inspect_frames(socket);
    }

    /// The same for a socket that may have been closed: what was read by now.
    #[track_caller]
    pub(crate) fn inspect_frames(&self, socket: &mut Socket) {
        for frame in socket.recorded() {
            self.oracle.inspect(frame.as_bytes());
            assert!(!frame.contains("\"code\":\"internal\""), "{frame:.500}");
        }
    }

    /// The end of a case in which everything was refused: nothing has changed, and the server is well.
    pub(crate) async fn ends(self) {
        self.assert_unchanged().await;
        self.ends_changed().await;
    }

    /// Fails when something has changed since the watch began.
    pub(crate) async fn assert_unchanged(&self) {
        let after = self.world.server.database().fingerprint().await;
        let differences = self.before.differences(&after);
        assert!(differences.is_empty(), "what was refused has changed {differences:?}");
    }

    /// The end of a case in which something was allowed: the server is well.
    pub(crate) async fn ends_changed(mut self) {
        self.ended = true;
        self.world.assert_well().await;
    }

    fn wire(&self) -> &Wire {
        &self.world.server.wire
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        assert!(self.ended || std::thread::panicking(), "a watch must be ended, or it has watched nothing");
    }
}
