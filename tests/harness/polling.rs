//! A small Socket.IO client over HTTP long polling.

use std::collections::VecDeque;

use axum::body::Bytes;
use serde_json::{Value, json};

use crate::{Answer, Wire};

/// What separates packets in one body (Engine.IO 4).
const RECORD: char = '\u{1e}';

/// A client that polls. It asks for what there is only when it is told to.
#[derive(Debug)]
pub struct Polling {
    wire: Wire,
    sid: String,
    packets: VecDeque<String>,
}

impl Polling {
    /// Opens an Engine.IO session, without connecting to the namespace.
    pub async fn open(wire: Wire) -> Self {
        let answer = wire.send("GET", &path(None), &[], Bytes::new()).await.expect(200);
        let text = answer.text();
        let greeting: Value = serde_json::from_str(text.strip_prefix('0').expect("a greeting")).unwrap();
        let sid = greeting["sid"].as_str().unwrap().to_owned();
        Self { wire, sid, packets: VecDeque::new() }
    }

    /// Connects with an access token; the server's answer is the packet after `40` or `44`.
    pub async fn connect(wire: Wire, token: &str) -> Self {
        let mut client = Self::open(wire).await;
        client.send(&format!("40{}", json!({ "token": token }))).await.expect(200);
        let answer = client.next().await;
        assert!(answer.starts_with("40"), "{answer}");
        client
    }

    /// The session id, which is a secret between this client and the server.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// Posts one packet.
    pub async fn send(&self, packet: &str) -> Answer {
        post(&self.wire, &self.sid, packet).await
    }

    /// The next packet that is not a heartbeat.
    pub async fn next(&mut self) -> String {
        self.try_next().await.expect("the session is not over")
    }

    /// The next packet that is not a heartbeat; `None` when the session is over.
    pub async fn try_next(&mut self) -> Option<String> {
        loop {
            if let Some(packet) = self.packets.pop_front() {
                return Some(packet);
            }
            let answer = self.wire.send("GET", &path(Some(&self.sid)), &[], Bytes::new()).await;
            if (400..500).contains(&answer.status) {
                return None;
            }
            let answer = answer.expect(200);
            for packet in answer.text().split(RECORD) {
                if packet == "2" {
                    self.send("3").await;
                } else {
                    self.packets.push_back(packet.to_owned());
                }
            }
        }
    }

    /// Emits an event and waits for the acknowledgement; other packets are kept for [`next`](Self::next).
    pub async fn ask(&mut self, event: &str, argument: impl Into<Value>) -> Value {
        self.send(&format!("427{}", json!([event, argument.into()]))).await.expect(200);
        let mut others = VecDeque::new();
        loop {
            let packet = self.next().await;
            if let Some(answer) = packet.strip_prefix("437") {
                others.append(&mut self.packets);
                self.packets = others;
                return serde_json::from_str::<Value>(answer).unwrap()[0].take();
            }
            others.push_back(packet);
        }
    }

    /// Waits for an event of this name.
    pub async fn event(&mut self, name: &str) -> Value {
        loop {
            let packet = self.next().await;
            let Some(body) = packet.strip_prefix("42") else { continue };
            let mut parts: Value = serde_json::from_str(body).unwrap();
            if parts[0] == name {
                return parts[1].take();
            }
        }
    }
}

async fn post(wire: &Wire, sid: &str, packet: &str) -> Answer {
    let headers = [("content-type", "text/plain;charset=UTF-8")];
    wire.send("POST", &path(Some(sid)), &headers, packet.to_owned().into()).await
}

fn path(sid: Option<&str>) -> String {
    let sid = sid.map(|sid| format!("&sid={sid}")).unwrap_or_default();
    format!("/socket.io/?EIO=4&transport=polling{sid}")
}
