//! A Socket.IO client: protocol 5 over Engine.IO 4 over WebSocket (RFC 6455), as far as a load program needs it.

use std::io::Write as _;
use std::ops::Range;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;
use crate::http::find;
use crate::target::Target;

/// A connected socket.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    input: Vec<u8>,
    /// What is in `input` and not taken out yet.
    unread: Range<usize>,
    output: Vec<u8>,
    next_ack: u64,
}

/// A packet, which lies in the socket's buffer.
#[derive(Debug, Clone, Copy)]
pub enum Packet<'a> {
    /// The answer to the event that was sent with `id`: a JSON array.
    Ack {
        /// What [`Socket::emit`] gave.
        id: u64,
        /// The array.
        body: &'a [u8],
    },
    /// An event: a JSON array that begins with the name.
    Event(&'a [u8]),
    /// CONNECT was accepted.
    Connected,
    /// Anything else, such as a refused CONNECT.
    Other(&'a [u8]),
}

/// Few bytes at first, since there may be many idle sockets.
const ROOM: usize = 2 * 1024;
const MOST_ROOM: usize = 1024 * 1024;

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Every frame of a client must be masked (RFC 6455, 5.3). This key leaves the bytes as they are.
const MASK: [u8; 4] = [0; 4];

impl Socket {
    /// Connects and says who it is.
    ///
    /// # Errors
    ///
    /// When the server is away or refuses.
    pub async fn connect(target: &Target, token: &str) -> Result<Self> {
        let stream = target.connect().await?;
        let mut socket = Self { stream, input: vec![0; ROOM], unread: 0..0, output: Vec::new(), next_ack: 0 };
        socket.upgrade(target).await?;
        let auth = format!("40{{\"token\":\"{token}\"}}");
        socket.text(|output| output.extend_from_slice(auth.as_bytes()));
        socket.flush().await?;
        loop {
            while let Some(packet) = socket.packet()? {
                match packet {
                    Packet::Connected => return Ok(socket),
                    Packet::Other(text) if text.starts_with(b"0") => {}
                    Packet::Other(text) | Packet::Event(text) | Packet::Ack { body: text, .. } => {
                        return Err(
                            format!("CONNECT was answered by {}", String::from_utf8_lossy(text)).into()
                        );
                    }
                }
            }
            socket.fill().await?;
        }
    }

    async fn upgrade(&mut self, target: &Target) -> Result<()> {
        let Target { authority, prefix } = target;
        write!(
            self.output,
            "GET {prefix}/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {authority}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: cHJpeW8tbG9hZC1jbGllbg==\r\n\r\n"
        )?;
        self.flush().await?;
        loop {
            self.fill().await?;
            let got = &self.input[self.unread.clone()];
            if let Some(head) = find(got, b"\r\n\r\n") {
                if !got.starts_with(b"HTTP/1.1 101") {
                    return Err(format!("no WebSocket: {}", String::from_utf8_lossy(&got[..head])).into());
                }
                self.unread.start += head + 4;
                return Ok(());
            }
        }
    }

    /// Reads what there is, at least one byte.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub async fn fill(&mut self) -> Result<()> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.unread.end == self.input.len() {
            if self.unread.start > 0 {
                self.input.copy_within(self.unread.clone(), 0);
                self.unread = 0..self.unread.len();
            }
            if self.unread.len() * 2 > self.input.len() && self.input.len() < MOST_ROOM {
                self.input.resize(self.input.len() * 2, 0);
            }
        }
        match self.stream.read(&mut self.input[self.unread.end..]).await? {
            0 => Err("the server closed a socket".into()),
            more => {
                self.unread.end += more;
                // A busy socket: fewer, longer reads.
                if self.unread.end == self.input.len() && self.input.len() < 64 * 1024 {
                    self.input.resize(self.input.len() * 2, 0);
                }
                Ok(())
            }
        }
    }

    /// The next packet that is there in full. Pings are answered with the next [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// When the server closes the connection or sends what it must not.
    pub fn packet(&mut self) -> Result<Option<Packet<'_>>> {
        loop {
            let Some((kind, payload)) = self.frame()? else { return Ok(None) };
            match kind {
                TEXT if self.input[payload.clone()] == *b"2" => self.text(|output| output.push(b'3')),
                TEXT => return Ok(Some(classify(&self.input[payload]))),
                PING => {
                    let Self { input, output, .. } = self;
                    frame_head(output, PONG, payload.len());
                    output.extend_from_slice(&input[payload]);
                }
                CLOSE => return Err("the server closed a socket".into()),
                _ => {}
            }
        }
    }

    /// Takes a frame out: its kind, and where its payload is.
    fn frame(&mut self) -> Result<Option<(u8, Range<usize>)>> {
        let got = &self.input[self.unread.clone()];
        let [first, second, ..] = *got else { return Ok(None) };
        let (head, length) = match second {
            126 if got.len() >= 4 => (4, usize::from(u16::from_be_bytes([got[2], got[3]]))),
            127 if got.len() >= 10 => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&got[2..10]);
                (10, usize::try_from(u64::from_be_bytes(bytes))?)
            }
            126 | 127 => return Ok(None),
            short if short < 126 => (2, usize::from(short)),
            _ => return Err("a frame of the server is masked".into()),
        };
        if got.len() < head + length {
            if head + length > self.input.len() {
                self.input.resize((head + length).next_power_of_two() * 2, 0);
            }
            return Ok(None);
        }
        if first & FINAL == 0 {
            return Err("a message came in several frames".into());
        }
        let start = self.unread.start + head;
        self.unread.start = start + length;
        Ok(Some((first & 0x0F, start..start + length)))
    }

    /// Puts an event that asks for an acknowledgement into the buffer, to be sent by [`flush`](Self::flush); gives
    /// the number of the acknowledgement. `arguments` is what follows the opening bracket, such as `"name",{}`.
    pub fn emit(&mut self, arguments: &[u8]) -> u64 {
        let id = self.next_ack;
        self.next_ack += 1;
        self.text(|output| {
            // Writing to a buffer can't fail.
            let _ = write!(output, "42{id}[");
            output.extend_from_slice(arguments);
            output.push(b']');
        });
        id
    }

    /// Sends an event and waits for its acknowledgement, which must say that it is well. Other packets are passed over.
    ///
    /// # Errors
    ///
    /// When it is refused or the connection ends.
    pub async fn call(&mut self, arguments: &str) -> Result<Vec<u8>> {
        let sent = self.emit(arguments.as_bytes());
        self.flush().await?;
        loop {
            while let Some(packet) = self.packet()? {
                match packet {
                    Packet::Ack { id, body } if id == sent && is_ok(body) => return Ok(body.to_vec()),
                    Packet::Ack { id, body } if id == sent => {
                        let text = String::from_utf8_lossy(body);
                        return Err(format!("{arguments} was answered by {text}").into());
                    }
                    _ => {}
                }
            }
            self.flush().await?;
            self.fill().await?;
        }
    }

    /// Sends what is in the buffer.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub async fn flush(&mut self) -> Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output).await?;
            self.output.clear();
        }
        Ok(())
    }

    fn text(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        // The head is written for a short text, and moved when the text turns out longer.
        let at = self.output.len();
        frame_head(&mut self.output, TEXT, 0);
        let start = self.output.len();
        write(&mut self.output);
        let length = self.output.len() - start;
        if length < 126 {
            self.output[at + 1] |= u8::try_from(length).unwrap_or(0);
        } else {
            let mut head = Vec::with_capacity(14);
            frame_head(&mut head, TEXT, length);
            self.output.splice(at..start, head);
        }
    }
}

fn frame_head(output: &mut Vec<u8>, kind: u8, length: usize) {
    output.push(FINAL | kind);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => output.push(MASKED | short),
        (_, Ok(medium)) => {
            output.push(MASKED | 126);
            output.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            output.push(MASKED | 127);
            output.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    output.extend_from_slice(&MASK);
}

/// Whether an acknowledgement says that it is well.
#[must_use]
pub fn is_ok(body: &[u8]) -> bool {
    // Mostly it comes first. Inside a text the quotes would have backslashes.
    body.starts_with(b"[{\"ok\":true") || find(body, b"\"ok\":true").is_some()
}

fn classify(text: &[u8]) -> Packet<'_> {
    match text {
        [b'4', b'2', event @ ..] => Packet::Event(event),
        [b'4', b'3', rest @ ..] => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let id = rest[..digits].iter().fold(0, |id: u64, digit| id * 10 + u64::from(digit - b'0'));
            Packet::Ack { id, body: &rest[digits..] }
        }
        [b'4', b'0', ..] => Packet::Connected,
        _ => Packet::Other(text),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A socket whose server has sent these bytes and then gone.
    async fn after(bytes: &[u8]) -> Socket {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (stream, mut server) = (client.await.unwrap(), listener.accept().await.unwrap().0);
        server.write_all(bytes).await.unwrap();
        Socket { stream, input: vec![0; 8], unread: 0..0, output: Vec::new(), next_ack: 0 }
    }

    #[tokio::test]
    async fn packets_are_found_however_the_bytes_come() {
        let long = format!("42[\"{}\"]", "x".repeat(122));
        let bytes = [b"\x81\x012\x81\x0f43[{\"ok\":true}]\x81\x7e\x00\x80", long.as_bytes()].concat();
        let mut socket = after(&bytes).await;
        let mut kinds = Vec::new();
        while kinds.len() < 2 {
            socket.fill().await.unwrap();
            while let Some(packet) = socket.packet().unwrap() {
                kinds.push(match packet {
                    Packet::Ack { body, .. } if is_ok(body) => "ack",
                    Packet::Event(event) if event.len() == 126 => "event",
                    _ => "other",
                });
            }
        }
        assert_eq!(kinds, ["ack", "event"]);
        // The ping is answered.
        assert_eq!(socket.output, b"\x81\x81\0\0\0\x003");
        assert!(socket.fill().await.is_err());
    }
}
