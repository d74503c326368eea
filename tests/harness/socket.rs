//! A small Socket.IO client (Engine.IO 4, Socket.IO 5) over WebSocket that can also misbehave.

use std::collections::VecDeque;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::PATIENCE;
use crate::packet::Packet;

/// A connected socket. It reads only while it is asked for something, so one that is left alone has stopped reading.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// Events that came while something else was waited for, in order.
    pending: VecDeque<(String, Value)>,
    /// Acknowledgements that came while something else was waited for.
    acks: Vec<(u64, Value)>,
    next_ack: u64,
    /// Whether the server said that the namespace was left.
    told_to_go: bool,
    /// Every text frame as it came, if it is asked for.
    tape: Option<Vec<String>>,
}

/// What is read at once, in bytes.
const READ_BUFFER: usize = 4 * 1024;

/// The server did not let a client in, and said this.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused(
    /// In these words.
    pub String,
);

/// One thing that came.
#[derive(Debug, Clone, PartialEq)]
pub enum Came {
    /// An event.
    Event(String, Value),
    /// The acknowledgement of this number.
    Ack(u64, Value),
    /// The end of the connection.
    End,
}

impl Socket {
    /// Connects with an access token.
    ///
    /// # Errors
    ///
    /// The text of the server's `connect_error`.
    pub async fn connect(addr: SocketAddr, token: &str) -> Result<Self, Refused> {
        Self::connect_with(addr, Some(json!({ "token": token }))).await
    }

    /// Connects with this `auth` object, or none.
    ///
    /// # Errors
    ///
    /// The text of the server's `connect_error`.
    pub async fn connect_with(addr: SocketAddr, auth: Option<Value>) -> Result<Self, Refused> {
        let mut socket = Self::open(addr, None).await;
        let auth = auth.map(|auth| auth.to_string()).unwrap_or_default();
        socket.send_text(&format!("40{auth}")).await;
        socket.welcome().await.map(|()| socket)
    }

    /// Connects with an access token through a network that may fail; `None` when it does, or when it takes longer
    /// than until the deadline.
    pub async fn try_connect(
        addr: SocketAddr,
        token: &str,
        deadline: Instant,
    ) -> Option<Result<Self, Refused>> {
        let connecting = async {
            let mut socket = Self::try_open(addr, None).await?;
            if !socket.try_send_text(&format!("40{}", json!({ "token": token }))).await {
                return None;
            }
            socket.try_welcome().await.map(|welcome| welcome.map(|()| socket))
        };
        timeout_at(deadline, connecting).await.ok().flatten()
    }

    /// Opens the WebSocket and takes the server's greeting, but does not connect to the namespace. A small
    /// `receive_buffer`, in bytes, makes a client that stops reading felt sooner.
    pub async fn open(addr: SocketAddr, receive_buffer: Option<u32>) -> Self {
        Self::try_open(addr, receive_buffer).await.expect("a connection, an upgrade and a greeting")
    }

    async fn try_open(addr: SocketAddr, receive_buffer: Option<u32>) -> Option<Self> {
        let tcp = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = receive_buffer {
            tcp.set_recv_buffer_size(bytes).unwrap();
        }
        let stream = tcp.connect(addr).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let url = format!("ws://{addr}/socket.io/?EIO=4&transport=websocket");
        let request = url.into_client_request().unwrap();
        // There may be thousands of them.
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
        let (stream, _) = client_async_with_config(request, stream, Some(config)).await.ok()?;
        let mut socket = Self {
            stream,
            pending: VecDeque::new(),
            acks: Vec::new(),
            next_ack: 0,
            told_to_go: false,
            tape: None,
        };
        let greeting = socket.raw().await?;
        assert!(greeting.starts_with("0{"), "{greeting}");
        Some(socket)
    }

    /// Waits until the namespace is entered, after a CONNECT packet was sent by hand.
    ///
    /// # Errors
    ///
    /// The text of the server's `connect_error`.
    pub async fn welcome(&mut self) -> Result<(), Refused> {
        self.try_welcome().await.expect("the server hung up instead of answering CONNECT")
    }

    async fn try_welcome(&mut self) -> Option<Result<(), Refused>> {
        loop {
            match self.packet().await? {
                Packet::Connected => return Some(Ok(())),
                Packet::Refused(why) => {
                    return Some(Err(Refused(why["message"].as_str().unwrap().to_owned())));
                }
                other => self.keep(other),
            }
        }
    }

    /// Emits an event without asking for an acknowledgement.
    pub async fn emit(&mut self, event: &str, argument: impl Into<Value>) {
        self.send_text(&format!("42{}", json!([event, argument.into()]))).await;
    }

    /// Emits an event and asks for an acknowledgement, but does not wait for it. Gives its number.
    pub async fn emit_asking(&mut self, event: &str, argument: impl Into<Value>) -> u64 {
        let number = self.next_ack;
        self.next_ack += 1;
        self.send_text(&format!("42{number}{}", json!([event, argument.into()]))).await;
        number
    }

    /// Emits an event and waits for its acknowledgement.
    pub async fn ask(&mut self, event: &str, argument: impl Into<Value>) -> Value {
        let number = self.emit_asking(event, argument).await;
        self.ack(number).await
    }

    /// Emits an event to a server that may drop it without a word; `None` when no acknowledgement comes soon.
    pub async fn ask_once(&mut self, event: &str, argument: impl Into<Value>) -> Option<Value> {
        let number = self.emit_asking(event, argument).await;
        tokio::time::timeout(std::time::Duration::from_millis(200), self.ack(number)).await.ok()
    }

    /// Emits an event and waits for its acknowledgement, which must be a good one.
    pub async fn must(&mut self, event: &str, argument: impl Into<Value>) -> Value {
        let answer = self.ask(event, argument).await;
        assert_eq!(answer["ok"], true, "{event}: {answer}");
        answer
    }

    /// Emits an event and waits for its acknowledgement, which must be a refusal; gives its code.
    pub async fn refused(&mut self, event: &str, argument: impl Into<Value>) -> String {
        let answer = self.ask(event, argument).await;
        assert_eq!(answer["ok"], false, "{event}: {answer}");
        answer["error"]["code"].as_str().unwrap_or_else(|| panic!("no code: {answer}")).to_owned()
    }

    /// Waits for the acknowledgement of this number.
    pub async fn ack(&mut self, number: u64) -> Value {
        self.try_ack(number).await.unwrap_or_else(|| panic!("hung up before acknowledgement {number}"))
    }

    /// Waits for the acknowledgement of this number; `None` when the connection ends before.
    pub async fn try_ack(&mut self, number: u64) -> Option<Value> {
        let deadline = Instant::now() + PATIENCE * 3;
        loop {
            if let Some(at) = self.acks.iter().position(|(n, _)| *n == number) {
                return Some(self.acks.swap_remove(at).1);
            }
            let packet = timeout_at(deadline, self.packet()).await.expect("no acknowledgement comes")?;
            self.keep(packet);
        }
    }

    /// Waits for the acknowledgement of this number; `None` when none comes until the deadline.
    pub async fn try_ack_by(&mut self, number: u64, deadline: Instant) -> Option<Value> {
        timeout_at(deadline, self.try_ack(number)).await.ok().flatten()
    }

    /// Waits for the next acknowledgement of any number.
    pub async fn any_ack(&mut self) -> (u64, Value) {
        let deadline = Instant::now() + PATIENCE * 3;
        loop {
            if !self.acks.is_empty() {
                return self.acks.remove(0);
            }
            let packet = timeout_at(deadline, self.packet()).await.expect("no acknowledgement comes");
            let packet = packet.expect("hung up before an acknowledgement");
            self.keep(packet);
        }
    }

    /// Waits for the next event of this name; others that come first are kept.
    pub async fn next(&mut self, name: &str) -> Value {
        self.next_by(name, Instant::now() + PATIENCE).await
    }

    /// Waits for the next event of this name until a deadline of the test's own.
    pub async fn next_by(&mut self, name: &str, deadline: Instant) -> Value {
        loop {
            if let Some(at) = self.pending.iter().position(|(n, _)| n == name) {
                return self.pending.remove(at).unwrap().1;
            }
            let Ok(packet) = timeout_at(deadline, self.packet()).await else {
                panic!("no {name} came, but {:?}", self.pending)
            };
            let packet = packet.unwrap_or_else(|| panic!("hung up before {name}; had {:?}", self.pending));
            self.keep(packet);
        }
    }

    /// Waits for the next thing that comes, if nothing is kept; `None` when nothing comes until the deadline.
    pub async fn came_by(&mut self, deadline: Instant) -> Option<Came> {
        loop {
            if !self.acks.is_empty() {
                let (number, answer) = self.acks.remove(0);
                return Some(Came::Ack(number, answer));
            }
            if let Some((name, payload)) = self.pending.pop_front() {
                return Some(Came::Event(name, payload));
            }
            // Only the wait is cut short: what has come in part is kept for the next call.
            match timeout_at(deadline, self.packet()).await.ok()? {
                Some(packet) => self.keep(packet),
                None => return Some(Came::End),
            }
        }
    }

    /// Waits until the server has handled something of this client.
    pub async fn settle(&mut self) {
        self.ask("tests:nothing", Value::Null).await;
    }

    /// The events that the server had sent by now, in order. Asks it something, so that what it sent before is here.
    pub async fn heard(&mut self) -> Vec<(String, Value)> {
        self.settle().await;
        self.pending.drain(..).collect()
    }

    /// The events of one name that the server had sent by now, in order; the others are forgotten.
    pub async fn heard_of(&mut self, name: &str) -> Vec<Value> {
        self.heard().await.into_iter().filter(|(n, _)| n == name).map(|(_, payload)| payload).collect()
    }

    /// The events that were read by now, in order. Reads nothing more, so the connection may be gone.
    pub fn taken(&mut self) -> Vec<(String, Value)> {
        self.pending.drain(..).collect()
    }

    /// Keeps every frame from now on.
    pub fn record(&mut self) {
        self.tape.get_or_insert_default();
    }

    /// The frames that came since they are kept, and were not asked for yet.
    pub fn recorded(&mut self) -> Vec<String> {
        self.tape.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether the server has reset the connection. Asks the kernel and reads nothing, so a client that has stopped
    /// reading can know. It is told once.
    pub fn was_reset(&self) -> bool {
        self.stream.get_ref().take_error().unwrap().is_some()
    }

    /// Waits until the server resets the connection; says whether it did in time. Reads nothing, as
    /// [`was_reset`](Self::was_reset).
    pub async fn is_reset_by(&self, deadline: Instant) -> bool {
        timeout_at(deadline, self.stream.get_ref().ready(Interest::ERROR)).await.is_ok()
    }

    /// Waits until the connection has ended, and keeps what comes before; says whether it did in time.
    pub async fn ends_by(&mut self, deadline: Instant) -> bool {
        let to_the_end = async {
            while let Some(packet) = self.packet().await {
                self.keep(packet);
            }
        };
        timeout_at(deadline, to_the_end).await.is_ok()
    }

    /// How many events of one name have come and were not asked for yet.
    pub fn kept(&self, name: &str) -> usize {
        self.pending.iter().filter(|(n, _)| n == name).count()
    }

    /// Whether the server took the client out of the namespace before it hung up.
    pub fn was_told_to_go(&self) -> bool {
        self.told_to_go
    }

    /// Sends a text frame as it is.
    pub async fn send_text(&mut self, frame: &str) {
        self.stream.send(Message::text(frame)).await.expect("the connection is open");
    }

    /// Sends text frames in one write.
    pub async fn send_burst(&mut self, frames: &[&str]) {
        for frame in frames {
            self.stream.feed(Message::text(*frame)).await.expect("the connection is open");
        }
        self.stream.flush().await.expect("the connection is open");
    }

    /// Sends text frames in one write to a server that may have hung up; says whether it could.
    pub async fn try_send_burst(&mut self, frames: &[&str]) -> bool {
        for frame in frames {
            if self.stream.feed(Message::text(*frame)).await.is_err() {
                return false;
            }
        }
        self.stream.flush().await.is_ok()
    }

    /// Emits an event to a server that may have hung up, and asks for an acknowledgement; gives its number, or
    /// `None` when it could not be sent.
    pub async fn try_emit_asking(&mut self, event: &str, argument: impl Into<Value>) -> Option<u64> {
        let number = self.next_ack;
        self.next_ack += 1;
        let frame = format!("42{number}{}", json!([event, argument.into()]));
        self.try_send_text(&frame).await.then_some(number)
    }

    /// Sends a text frame to a server that may have hung up; says whether it could.
    pub async fn try_send_text(&mut self, frame: &str) -> bool {
        self.stream.send(Message::text(frame)).await.is_ok()
    }

    /// Sends a binary frame as it is.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        assert!(self.try_send_binary(bytes).await, "the connection is open");
    }

    /// Sends a binary frame to a server that may have hung up; says whether it could.
    pub async fn try_send_binary(&mut self, bytes: &[u8]) -> bool {
        self.stream.send(Message::binary(bytes.to_vec())).await.is_ok()
    }

    /// Sends bytes that are no frame, or none that a WebSocket library would write; says whether it could.
    pub async fn try_send_bare(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).await.is_ok()
    }

    /// Hangs up, as a browser does when its page is closed.
    pub async fn hang_up(mut self) {
        let _ = self.stream.close(None).await;
    }

    /// The next text frame; `None` when the connection has ended.
    async fn raw(&mut self) -> Option<String> {
        loop {
            // More than from one ping of the server to the next.
            let deadline = Instant::now() + PATIENCE * 3;
            match timeout_at(deadline, self.stream.next()).await.expect("the server says nothing") {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => {
                    // A heartbeat. A server that has just gone need not hear the answer.
                    let _ = self.stream.send(Message::text("3")).await;
                }
                Some(Ok(Message::Text(text))) => {
                    if let Some(tape) = &mut self.tape {
                        tape.push(text.as_str().to_owned());
                    }
                    return Some(text.as_str().to_owned());
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    async fn packet(&mut self) -> Option<Packet> {
        loop {
            let frame = self.raw().await?;
            if let Some(packet) = Packet::parse(&frame) {
                return Some(packet);
            }
        }
    }

    fn keep(&mut self, packet: Packet) {
        match packet {
            Packet::Event(name, payload) => self.pending.push_back((name, payload)),
            Packet::Ack(number, answer) => self.acks.push((number, answer)),
            Packet::Disconnected => self.told_to_go = true,
            Packet::Connected | Packet::Refused(_) => {}
        }
    }
}
