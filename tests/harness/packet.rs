//! What a server says to a Socket.IO client, read from its frames.

use serde_json::Value;

/// One thing that the server said.
pub(crate) enum Packet {
    Connected,
    Refused(Value),
    Event(String, Value),
    Ack(u64, Value),
    Disconnected,
}

impl Packet {
    /// Reads a text frame; `None` for what only the Engine.IO layer is concerned with, or another namespace.
    pub(crate) fn parse(frame: &str) -> Option<Self> {
        let body = frame.strip_prefix('4')?;
        let (kind, body) = body.split_at_checked(1)?;
        // Some servers name the namespace also when it is the root.
        let body = body.strip_prefix("/,").unwrap_or(body);
        if body.starts_with('/') {
            return None;
        }
        let json = |text: &str| -> Value {
            serde_json::from_str(text).unwrap_or_else(|e| panic!("bad JSON ({e}) in {frame}"))
        };
        Some(match kind {
            "0" => Self::Connected,
            "1" => Self::Disconnected,
            "2" => {
                let mut parts = json(body);
                let payload = parts.get_mut(1).map(Value::take).unwrap_or_default();
                Self::Event(parts[0].as_str().expect("an event has a name").to_owned(), payload)
            }
            "3" => {
                let digits = body.find(|c: char| !c.is_ascii_digit()).unwrap_or(body.len());
                let mut parts = json(&body[digits..]);
                let answer = parts.get_mut(0).map(Value::take).unwrap_or_default();
                Self::Ack(body[..digits].parse().expect("an acknowledgement has a number"), answer)
            }
            "4" => Self::Refused(json(body)),
            other => panic!("unexpected packet type {other}: {frame}"),
        })
    }
}
