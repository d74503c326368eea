//! Frames that no client of ours would send: real ones, changed by chance.

use serde_json::{Value, json};

use crate::chance::Dice;

/// One frame, by how it goes out.
#[derive(Debug, Clone)]
pub(crate) enum Frame {
    /// The text of a WebSocket message, or of the body of a poll.
    Text(String),
    /// The bytes of a WebSocket message.
    Binary(Vec<u8>),
    /// Bytes where a WebSocket message should begin.
    Bare(Vec<u8>),
}

/// What frames are made from.
#[derive(Debug, Clone)]
pub(crate) struct Corpus(Vec<String>);

/// What readers of packets and of JSON stumble over.
const PIECES: [&str; 32] = [
    "\0",
    "\u{1e}",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "-",
    "/",
    "/admin,",
    "/?token=x,",
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "1e309",
    "9007199254740993",
    "9223372036854775808",
    "99999999999999999999999",
    "{\"_placeholder\":true,\"num\":0}",
    "{\"_placeholder\":true,\"num\":-1}",
    "\\ud800",
    "\u{1d11e}",
    "\u{feff}",
    "\u{202e}",
    "\"__proto__\"",
    "\r\n",
    "b4AAAA",
];

/// Longest text that is repeated, and how often at most: beyond what one frame may have.
const SPAN: u64 = 40;
const REPEATS: u64 = 2_000;

impl Corpus {
    /// What a client may send who knows of this conversation and of a message in it.
    pub(crate) fn of(token: &str, conversation: &str, message: &str) -> Self {
        let at = json!({ "conversationId": conversation });
        let with = |name: &str, value: Value| {
            let mut payload = at.clone();
            payload[name] = value;
            payload
        };
        let placeholder = json!({ "_placeholder": true, "num": 0 });
        let events = [
            ("conversation:join", json!(conversation)),
            ("conversation:join", with("after", json!(0))),
            ("conversation:leave", json!(conversation)),
            ("message:send", with("content", json!("hello"))),
            ("message:send", json!({"conversationId": conversation, "content": "a", "clientMessageId": "1"})),
            ("message:send", json!({"conversationId": conversation, "type": "IMAGE", "fileId": message})),
            ("message:send", with("content", placeholder.clone())),
            ("message:read", with("messageId", json!(message))),
            ("message:read", json!({ "messageIds": [message, message] })),
            ("typing:start", at.clone()),
            ("typing:stop", at.clone()),
            ("sync", json!({ "conversations": { conversation: 0 } })),
            ("auth:refresh", json!({ "token": token })),
        ];
        let mut frames: Vec<String> = Vec::new();
        for (number, (event, payload)) in events.into_iter().enumerate() {
            let body = json!([event, payload]);
            frames.extend([format!("42{body}"), format!("42{number}{body}"), format!("42/,{number}{body}")]);
        }
        let binary = json!(["message:send", placeholder.clone(), placeholder]);
        frames.extend([
            format!("40{}", json!({ "token": token })),
            format!("40/admin,{}", json!({ "token": token })),
            format!("451-{binary}"),
            format!("452-7{binary}"),
            format!("461-7[{}]", json!({ "_placeholder": true, "num": 0 })),
            "437[{\"ok\":true}]".to_owned(),
            "44{\"message\":\"no\"}".to_owned(),
            "0{\"sid\":\"x\",\"upgrades\":[],\"pingInterval\":1,\"pingTimeout\":1}".to_owned(),
        ]);
        frames.extend(
            ["41", "41/admin,", "1", "2", "2probe", "3", "3probe", "5", "6", "bAAEC"].map(str::to_owned),
        );
        Self(frames)
    }

    /// A frame, changed a few times or, rarely, not at all.
    pub(crate) fn frame(&self, dice: &mut Dice) -> Frame {
        let mut bytes = self.any(dice).to_vec();
        for _ in 0..dice.between(0, 5) {
            self.change(&mut bytes, dice);
        }
        match dice.between(0, 10) {
            0 => Frame::Binary(bytes),
            1 => Frame::Bare(bare(bytes, dice)),
            _ => Frame::Text(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    fn any(&self, dice: &mut Dice) -> &[u8] {
        self.0[dice.place(self.0.len())].as_bytes()
    }

    fn change(&self, bytes: &mut Vec<u8>, dice: &mut Dice) {
        let (from, to) = span(bytes, dice);
        match dice.between(0, 9) {
            0 => drop(bytes.splice(from..to, [dice.next().to_le_bytes()[0]])),
            1 => drop(bytes.drain(from..to)),
            2 => bytes.truncate(from),
            3 => {
                let times = usize::try_from(dice.between(1, 4)).unwrap();
                bytes.splice(to..to, bytes[from..to].repeat(times));
            }
            // Rarely, since each of these costs as much as many others.
            4 if dice.between(0, 20) == 0 => {
                let times = usize::try_from(dice.between(1, REPEATS)).unwrap();
                bytes.splice(to..to, bytes[from..to].repeat(times));
            }
            4 | 5 => drop(bytes.splice(from..from, PIECES[dice.place(PIECES.len())].bytes())),
            // Another kind of packet.
            6 => {
                let kind = dice.between(0, 60).to_string();
                bytes.splice(..bytes.len().min(2), kind.bytes());
            }
            // The end of another frame.
            7 => {
                let other = self.any(dice);
                bytes.truncate(from);
                bytes.extend(&other[dice.place(other.len())..]);
            }
            // Another value, where there is one.
            _ => {
                let Some(colon) = bytes[from..].iter().position(|byte| *byte == b':') else { return };
                let value = from + colon + 1;
                let end = bytes[value..].iter().position(|byte| b",}]".contains(byte));
                let end = end.map_or(bytes.len(), |end| value + end);
                bytes.splice(value..end, PIECES[dice.place(PIECES.len())].bytes());
            }
        }
    }
}

/// A part of them, perhaps an empty one.
fn span(bytes: &[u8], dice: &mut Dice) -> (usize, usize) {
    let from = dice.place(bytes.len() + 1);
    let length = usize::try_from(dice.between(0, SPAN)).unwrap();
    (from, bytes.len().min(from + length))
}

/// These bytes behind the head of a WebSocket frame, in which anything may be wrong: its kind, its length, its mask,
/// whether it is the last part.
fn bare(bytes: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    let [kind, length, odd, _, mask @ ..] = dice.next().to_le_bytes();
    let said = match odd % 8 {
        0 => u64::MAX >> (length % 64),
        1 => u64::from(length),
        _ => bytes.len() as u64,
    };
    // A text in one part, as it should be, most of the time.
    let kind = if odd & 0x20 == 0 { kind } else { 0x81 };
    let is_masked = if odd & 0xC0 == 0 { 0 } else { 0x80 };
    let mut frame = vec![kind];
    match said {
        0..126 => frame.push(is_masked | said.to_le_bytes()[0]),
        126..65_536 => {
            frame.push(is_masked | 126);
            frame.extend(&said.to_be_bytes()[6..]);
        }
        _ => {
            frame.push(is_masked | 127);
            frame.extend(said.to_be_bytes());
        }
    }
    if is_masked == 0 {
        frame.extend(bytes);
    } else {
        frame.extend(mask);
        frame.extend(bytes.into_iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
    frame
}

#[test]
fn a_seed_makes_the_same_frames_again_and_few_of_them_alike() {
    let corpus = Corpus::of("token", "conversation", "message");
    let frames = |seed| {
        let mut dice = Dice::new(seed);
        (0..1_000).map(|_| format!("{:?}", corpus.frame(&mut dice))).collect::<Vec<_>>()
    };
    let (once, mut unlike) = (frames(1), frames(1));
    assert_eq!(once, unlike);
    assert_ne!(once, frames(2));
    unlike.sort_unstable();
    unlike.dedup();
    assert!(unlike.len() > 700, "{}", unlike.len());
}
