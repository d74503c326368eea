//! Messages over sockets: every socket sends, and hears what the others of its conversation send.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use super::{Tasks, Window, drain};
use crate::Result;
use crate::account::{create_group, register};
use crate::http::{Client, number_after};
use crate::options::Options;
use crate::report::{Row, as_f64};
use crate::socket::{Packet, Socket, is_ok};

/// A conversation.
#[derive(Debug)]
pub struct Room {
    /// Its id.
    pub id: String,
    /// How many messages were acknowledged.
    acked: Cell<u64>,
}

impl Room {
    /// A conversation that nobody has sent to yet.
    #[must_use]
    pub fn new(id: String) -> Rc<Self> {
        Rc::new(Self { id, acked: Cell::new(0) })
    }
}

/// A socket that has joined a conversation.
#[derive(Debug)]
pub struct Seat {
    /// The socket.
    pub socket: Socket,
    /// The conversation.
    pub room: Rc<Room>,
    /// The newest `seq` that it has.
    pub seen: Rc<Cell<u64>>,
}

impl Seat {
    /// Joins.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn take(mut socket: Socket, room: &Rc<Room>) -> Result<Self> {
        let answer = socket.call(&format!("\"conversation:join\",\"{}\"", room.id)).await?;
        let last = number_after(&answer, b"\"lastSeq\":").unwrap_or(0);
        Ok(Self { socket, room: room.clone(), seen: Rc::new(Cell::new(last)) })
    }
}

/// The arguments of a send. The text is 60 bytes long and begins with `mark`.
#[must_use]
pub fn event(conversation: &str, client_id: &str, mark: &str) -> String {
    let rest = "the quick brown fox jumps over the lazy dog, and again......";
    format!(
        "\"message:send\",{{\"conversationId\":\"{conversation}\",\"clientMessageId\":\"{client_id}\",\
         \"content\":\"{mark}{}\"}}",
        &rest[mark.len().min(rest.len())..]
    )
}

/// Takes an event apart: the `seq` of a `message:new`, none for any other.
///
/// # Errors
///
/// When it has no number.
pub fn new_message(event: &[u8]) -> Result<Option<u64>> {
    match event.strip_prefix(b"[\"message:new\",") {
        Some(message) => Ok(Some(number_after(message, b"\"seq\":").ok_or("message:new without seq")?)),
        None => Ok(None),
    }
}

/// Checks that the next number of a conversation is the next.
///
/// # Errors
///
/// When it is not.
pub fn in_order(seen: &Cell<u64>, seq: u64) -> Result<()> {
    if seq != seen.get() + 1 {
        return Err(format!("message {seq} came after {}", seen.get()).into());
    }
    seen.set(seq);
    Ok(())
}

pub(super) async fn run(options: &Options) -> Result<Row> {
    let target = &options.base_url;
    let (sockets, conversations) = (options.sockets.unwrap_or(50), options.conversations.unwrap_or(10));
    eprintln!("send: {sockets} users in {conversations} conversations");
    let users = register(options, sockets).await?;
    let mut client = Client::connect(target).await?;
    let mut seats = Vec::new();
    for members in users.chunks(sockets.div_ceil(conversations.max(1)).max(1)) {
        let room = Room::new(create_group(&mut client, members).await?);
        for member in members {
            seats.push(Seat::take(Socket::connect(target, &member.token).await?, &room).await?);
        }
    }
    drive(options, seats).await
}

/// Lets every seat send one message after the other.
///
/// # Errors
///
/// When an answer is wrong, a message comes out of order, or the server goes away.
pub async fn drive(options: &Options, seats: Vec<Seat>) -> Result<Row> {
    let window = Window::new();
    let delivered = Rc::new(Cell::new(0));
    let mut tasks = Tasks::new();
    let ends: Vec<_> =
        seats.iter().map(|seat| (seat.room.clone(), seat.seen.clone(), seat.seen.get())).collect();
    let in_flight = options.in_flight.unwrap_or(1);
    for seat in seats {
        tasks.spawn_local(converse(seat, window.clone(), delivered.clone(), in_flight));
    }
    let usage = window.measure(options, &mut tasks).await?;
    let while_recording = delivered.get();
    let complete = || ends.iter().all(|(room, seen, start)| seen.get() == start + room.acked.get());
    let mut row = window.row("send", "sends", usage);
    if !drain(&mut tasks, complete).await? {
        for (room, seen, start) in
            ends.iter().filter(|(room, seen, start)| seen.get() != start + room.acked.get())
        {
            let (seen, acked) = (seen.get() - start, room.acked.get());
            row.faults
                .push(format!("{acked} messages were acknowledged in a conversation, a socket has {seen}"));
        }
    }
    row.more.push(("deliveriesPerSecond", as_f64(while_recording) / row.usage.elapsed.as_secs_f64()));
    Ok(row)
}

async fn converse(
    mut seat: Seat,
    window: Rc<Window>,
    delivered: Rc<Cell<u64>>,
    in_flight: usize,
) -> Result<()> {
    let mut waiting: VecDeque<(u64, Instant)> = VecDeque::with_capacity(in_flight);
    let mut sent = 0;
    loop {
        while waiting.len() < in_flight && !window.is_stopping() {
            sent += 1;
            let event = event(&seat.room.id, &sent.to_string(), "");
            waiting.push_back((seat.socket.emit(event.as_bytes()), Instant::now()));
        }
        seat.socket.flush().await?;
        seat.socket.fill().await?;
        let now = Instant::now();
        while let Some(packet) = seat.socket.packet()? {
            match packet {
                Packet::Ack { id, body } => {
                    if !is_ok(body) {
                        return Err(
                            format!("a send was answered by {}", String::from_utf8_lossy(body)).into()
                        );
                    }
                    let at = waiting.iter().position(|(waits, _)| *waits == id);
                    let at = at.ok_or("an acknowledgement that nobody waits for")?;
                    if let Some((_, began)) = waiting.remove(at) {
                        window.done(began, now);
                    }
                    seat.room.acked.set(seat.room.acked.get() + 1);
                }
                Packet::Event(event) => {
                    if let Some(seq) = new_message(event)? {
                        in_order(&seat.seen, seq)?;
                        if window.recording.get() {
                            delivered.set(delivered.get() + 1);
                        }
                    }
                }
                Packet::Connected | Packet::Other(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_and_a_repeated_message_are_noticed() {
        let seen = Cell::new(4);
        assert!(in_order(&seen, 5).is_ok());
        assert!(in_order(&seen, 5).is_err());
        assert!(in_order(&seen, 7).is_err());
        // Control: the one that is due.
        assert!(in_order(&seen, 6).is_ok());
    }

    #[test]
    fn a_message_is_told_from_other_events() {
        assert_eq!(new_message(br#"["message:new",{"id":"x","seq":9}]"#).unwrap(), Some(9));
        assert_eq!(new_message(br#"["message:delivered",{"seq":9}]"#).unwrap(), None);
        assert!(new_message(br#"["message:new",{"id":"x"}]"#).is_err());
    }

    #[test]
    fn every_text_is_as_long_as_the_others() {
        assert_eq!(event("c", "1", "").len(), event("c", "1", "12345 ").len());
    }
}
