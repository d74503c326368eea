//! Sockets that are let in and whose clients have not been told so yet.
//!
//! Nothing can be sent to such a socket: the answer to its CONNECT comes first. But from that answer on its client
//! counts on hearing everything, and the socket is in the hub only a moment later. What is told in between waits here.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use socketioxide::extract::SocketRef;

use super::hub::Packet;
use super::session::Session;
use crate::model::{ConnectionId, SessionId, UserId};

/// The sockets of each user that are about to come in.
#[derive(Default)]
pub(super) struct Arrivals(Mutex<HashMap<UserId, Vec<Arrival>>>);

/// A socket, and what it has to be told.
pub(super) struct Arrival {
    connection_id: ConnectionId,
    session_id: Option<SessionId>,
    waiting: Vec<Packet>,
    /// How many may wait.
    max: usize,
    has_lost: bool,
    is_turned_out: bool,
}

/// How a socket came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrived {
    /// It has heard all that its user was told.
    WithAll,
    /// It could not take that.
    Lagging,
    /// Its access has ended meanwhile.
    TurnedOut,
}

impl Arrivals {
    /// Keeps what the user of this session is told from now on for its socket, at most `max` packets.
    pub(super) fn begin(&self, session: &Session, max: usize) {
        let arrival = Arrival {
            connection_id: session.connection_id(),
            session_id: session.session_id(),
            waiting: Vec::new(),
            max,
            has_lost: false,
            is_turned_out: false,
        };
        self.lock().entry(session.user_id()).or_default().push(arrival);
    }

    /// Keeps nothing more for a socket; gives what was kept, if anything was to be.
    pub(super) fn end(&self, session: &Session) -> Option<Arrival> {
        let (user, connection) = (session.user_id(), session.connection_id());
        let mut arrivals = self.lock();
        let of_user = arrivals.get_mut(&user)?;
        let place = of_user.iter().position(|arrival| arrival.connection_id == connection)?;
        let arrival = of_user.swap_remove(place);
        if of_user.is_empty() {
            arrivals.remove(&user);
        }
        Some(arrival)
    }

    /// Has the sockets of a user, or of one session, ended as soon as they come in.
    pub(super) fn turn_out(&self, whose: impl Fn(UserId, Option<SessionId>) -> bool) {
        for (user, of_user) in self.lock().iter_mut() {
            for arrival in of_user {
                arrival.is_turned_out |= whose(*user, arrival.session_id);
            }
        }
    }

    /// Keeps what `packet` gives for those of these users who are about to come in.
    pub(super) fn tell(&self, users: &[UserId], mut packet: impl FnMut() -> Option<Packet>) {
        let mut arrivals = self.lock();
        if arrivals.is_empty() {
            return;
        }
        for user in users {
            for arrival in arrivals.get_mut(user).into_iter().flatten() {
                match packet() {
                    Some(packet) if arrival.waiting.len() < arrival.max => arrival.waiting.push(packet),
                    Some(_) => arrival.has_lost = true,
                    None => {}
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Vec<Arrival>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrival {
    /// Tells the socket what has waited, if it is still welcome.
    pub(super) fn hand_to(self, socket: &SocketRef) -> Arrived {
        if self.is_turned_out {
            Arrived::TurnedOut
        } else if !self.has_lost && self.waiting.iter().all(|packet| packet.emit(socket)) {
            Arrived::WithAll
        } else {
            Arrived::Lagging
        }
    }
}
