//! One sender, many listeners.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::send::{Room, Seat, event, in_order, new_message};
use super::{Tasks, Window, drain};
use crate::Result;
use crate::account::{create_group, register};
use crate::http::{Client, number_after};
use crate::options::Options;
use crate::report::{Row, as_f64};
use crate::socket::{Packet, Socket, is_ok};

/// Sockets of one user; the server allows 20.
const SOCKETS_EACH: usize = 20;

pub(super) async fn run(options: &Options) -> Result<Row> {
    let target = &options.base_url;
    let sockets = options.sockets.unwrap_or(200);
    let users = register(options, 1 + sockets.div_ceil(SOCKETS_EACH)).await?;
    eprintln!("fanout: 1 sender, {sockets} sockets of {} users", users.len() - 1);
    let mut client = Client::connect(target).await?;
    let room = Room::new(create_group(&mut client, &users).await?);
    let (sender, listeners) = users.split_first().ok_or("no sender")?;
    let mut seats = Vec::new();
    for listener in 0..sockets {
        let token = &listeners[listener / SOCKETS_EACH].token;
        seats.push(Seat::take(Socket::connect(target, token).await?, &room).await?);
    }
    let sender = Socket::connect(target, &sender.token).await?;
    drive(options, sender, room, seats).await
}

/// How far a message has come.
struct Progress {
    window: Rc<Window>,
    listeners: u64,
    sent: Cell<u64>,
    acked: Cell<u64>,
    delivered: Cell<u64>,
    /// Another message has reached everyone.
    arrived: Notify,
}

impl Progress {
    /// How many messages are not everywhere yet.
    fn on_the_way(&self) -> u64 {
        let everywhere = self.delivered.get() / self.listeners.max(1);
        self.sent.get() - everywhere.min(self.acked.get())
    }
}

/// Lets `sender` send as fast as the listeners hear. Latencies are those from a send to a delivery.
///
/// # Errors
///
/// When an answer is wrong, a message comes out of order, or the server goes away.
pub async fn drive(options: &Options, sender: Socket, room: Rc<Room>, seats: Vec<Seat>) -> Result<Row> {
    let progress = Rc::new(Progress {
        window: Window::new(),
        listeners: seats.len() as u64,
        sent: Cell::new(0),
        acked: Cell::new(0),
        delivered: Cell::new(0),
        arrived: Notify::new(),
    });
    let mut tasks = Tasks::new();
    let ends: Vec<_> = seats.iter().map(|seat| (seat.seen.clone(), seat.seen.get())).collect();
    for seat in seats {
        tasks.spawn_local(listen(seat, progress.clone()));
    }
    let in_flight = options.in_flight.unwrap_or(8) as u64;
    tasks.spawn_local(speak(sender, room, progress.clone(), in_flight));

    let window = &progress.window;
    let usage = window.measure(options, &mut tasks).await?;
    let complete = || {
        progress.acked.get() == progress.sent.get()
            && ends.iter().all(|(seen, start)| seen.get() == start + progress.acked.get())
    };
    let mut row = window.row("fanout", "deliveries", usage);
    if !drain(&mut tasks, complete).await? {
        let behind = ends.iter().filter(|(seen, start)| seen.get() != start + progress.acked.get()).count();
        let (sent, acked) = (progress.sent.get(), progress.acked.get());
        row.faults
            .push(format!("of {sent} messages {acked} were acknowledged; {behind} sockets do not have all"));
    }
    row.more.push(("sendsPerSecond", row.rate() / as_f64(progress.listeners)));
    Ok(row)
}

async fn speak(mut socket: Socket, room: Rc<Room>, progress: Rc<Progress>, in_flight: u64) -> Result<()> {
    loop {
        while progress.on_the_way() < in_flight && !progress.window.is_stopping() {
            let number = progress.sent.get() + 1;
            progress.sent.set(number);
            // When it was sent travels with it, in microseconds.
            let mark = format!("{} ", progress.window.epoch.elapsed().as_micros());
            socket.emit(event(&room.id, &number.to_string(), &mark).as_bytes());
        }
        socket.flush().await?;
        tokio::select! {
            filled = socket.fill() => filled?,
            () = progress.arrived.notified() => {}
        }
        while let Some(packet) = socket.packet()? {
            if let Packet::Ack { body, .. } = packet {
                if !is_ok(body) {
                    return Err(format!("a send was answered by {}", String::from_utf8_lossy(body)).into());
                }
                progress.acked.set(progress.acked.get() + 1);
            }
        }
    }
}

async fn listen(mut seat: Seat, progress: Rc<Progress>) -> Result<()> {
    let window = &progress.window;
    loop {
        seat.socket.flush().await?;
        seat.socket.fill().await?;
        let now = Instant::now();
        while let Some(packet) = seat.socket.packet()? {
            let Packet::Event(event) = packet else { continue };
            let Some(seq) = new_message(event)? else { continue };
            in_order(&seat.seen, seq)?;
            let sent = number_after(event, b"\"content\":\"").ok_or("message:new without its text")?;
            window.done(window.epoch + Duration::from_micros(sent), now);
            let delivered = progress.delivered.get() + 1;
            progress.delivered.set(delivered);
            if delivered.is_multiple_of(progress.listeners) {
                progress.arrived.notify_one();
            }
        }
    }
}
