//! Who is connected, who listens where, and the way out to them.
//!
//! Not socketioxide's rooms: those drop a packet for a client whose buffer is full without saying whose, and cannot
//! let one in between two packets, after the answer that says that it is in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;

use super::arrivals::{Arrivals, Arrived};
use super::session::Session;
use crate::engine::{ChatEngine, Entry, Listening};
use crate::error::{Error, Result};
use crate::events::{Audience, Event, Revocation};
use crate::model::{ConnectionId, ConversationId, UserId};
use crate::telemetry;
use crate::transport::connection::Connection;
use crate::transport::wire;

/// Everyone who is connected. One lock, never held across an await: reaching a socket is putting a packet into its
/// outbox.
#[derive(Default)]
pub(super) struct Hub {
    state: Mutex<State>,
    /// Sockets that are about to come in. Locked after `state`, if both are.
    arrivals: Arrivals,
    /// Connections of sessions that have not said who they are yet, by the sessions' ids.
    upgrades: Mutex<HashMap<Sid, (Connection, Instant)>>,
}

#[derive(Default)]
struct State {
    peers: HashMap<ConnectionId, Peer>,
    by_user: HashMap<UserId, Vec<ConnectionId>>,
    rooms: HashMap<ConversationId, Vec<Member>>,
}

/// A connected socket.
struct Peer {
    socket: SocketRef,
    session: Arc<Session>,
    rooms: Vec<ConversationId>,
}

/// A socket that listens to a conversation.
struct Member {
    connection_id: ConnectionId,
    user_id: UserId,
    socket: SocketRef,
    session: Arc<Session>,
    /// What is handed to one who listens from outside is not delivered to anybody.
    is_participant: bool,
    /// Up to here it has every message from the answer that let it in.
    seq: u64,
    /// Says to the engine that it listens.
    _listening: Listening,
}

/// What a socket is about to listen to, and how it begins.
pub(super) struct NewRoom {
    pub(super) id: ConversationId,
    pub(super) is_participant: bool,
    pub(super) entry: Entry,
}

/// An event on its way to sockets, written once for all of them.
#[derive(Clone)]
pub(super) struct Packet {
    name: &'static str,
    payload: Arc<RawValue>,
    /// The number of a new message.
    seq: Option<u64>,
}

/// A peer that has not read for this long counts as gone, though its connection is not ended yet.
const STALLED: Duration = Duration::from_secs(1);

/// Unclaimed upgrades kept at most. A session has to say who it is within ten seconds.
const UPGRADES: usize = 4_096;
const UPGRADE_WITHIN: Duration = Duration::from_secs(30);

impl Hub {
    /// Keeps what is told to a user from now on for a socket of theirs whose client is about to be told that it is let
    /// in, until it [enters](Self::enter) or is [given up](Self::give_up): at most `max` packets.
    pub(super) fn arrive(&self, session: &Session, max: usize) {
        self.arrivals.begin(session, max);
    }

    /// Forgets a socket that did not enter.
    pub(super) fn give_up(&self, session: &Session) {
        self.arrivals.end(session);
    }

    /// Lets a socket in, after its client was told so, and hands it what its user was told meanwhile. One that cannot
    /// take that is ended.
    pub(super) fn enter(&self, session: &Arc<Session>, socket: &SocketRef) {
        let mut state = self.lock();
        state.by_user.entry(session.user_id()).or_default().push(session.connection_id());
        let peer = Peer { socket: socket.clone(), session: session.clone(), rooms: Vec::new() };
        state.peers.insert(session.connection_id(), peer);
        telemetry::sockets_connected(state.peers.len());
        let arrived = self.arrivals.end(session).map_or(Arrived::WithAll, |arrival| arrival.hand_to(socket));
        // It may be gone already, and its leaving noted before its coming.
        if !socket.connected() || session.is_ended() {
            state.remove(session.connection_id());
            return;
        }
        match arrived {
            Arrived::WithAll => {}
            Arrived::Lagging => state.evict(session),
            Arrived::TurnedOut => state.turn_out(|other| other.connection_id() == session.connection_id()),
        }
    }

    /// Forgets a socket that is gone.
    pub(super) fn remove(&self, connection: ConnectionId) {
        self.lock().remove(connection);
    }

    /// Refuses a socket that listens to `max_rooms` others already.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] when it does, [`Error::InvalidToken`] when it is gone.
    pub(super) fn check_room(&self, session: &Session, id: ConversationId, max_rooms: usize) -> Result<()> {
        let state = self.lock();
        let peer = state.peers.get(&session.connection_id()).ok_or(Error::InvalidToken)?;
        if peer.rooms.len() < max_rooms || peer.rooms.contains(&id) {
            return Ok(());
        }
        Err(Error::Refused("Too many conversations joined; leave some first"))
    }

    /// Takes a socket into a conversation's audience: by `answer` it is told so, and hears what it missed meanwhile.
    /// Says whether it took that. One that cannot is ended; one that is gone is told nothing.
    pub(super) fn enter_room(
        &self,
        engine: &ChatEngine,
        session: &Session,
        room: NewRoom,
        answer: impl FnOnce() -> bool,
    ) -> bool {
        let NewRoom { id, is_participant, entry: Entry { seq, missed, listening } } = room;
        let mut state = self.lock();
        let State { peers, rooms, .. } = &mut *state;
        let Some(peer) = peers.get_mut(&session.connection_id()) else { return false };
        let is_in = peer.rooms.contains(&id);
        // One that is in already has heard what others did.
        let mut missed = missed.iter().filter(|_| !is_in).filter_map(|event| Packet::new(engine, event));
        if !answer() || !missed.all(|packet| packet.emit(&peer.socket)) {
            state.evict(session);
            return false;
        }
        let members = rooms.entry(id).or_default();
        if is_in {
            let own = members.iter_mut().find(|member| member.connection_id == session.connection_id());
            if let Some(own) = own {
                // It may have come into the conversation since, or listen from outside now.
                (own.is_participant, own._listening) = (is_participant, listening);
            }
            return true;
        }
        peer.rooms.push(id);
        let is_new = members.is_empty();
        members.push(Member {
            connection_id: session.connection_id(),
            user_id: session.user_id(),
            socket: peer.socket.clone(),
            session: peer.session.clone(),
            is_participant,
            seq,
            _listening: listening,
        });
        if is_new {
            telemetry::conversations_listened_to(rooms.len());
        }
        true
    }

    /// Takes a socket out of a conversation's audience; says whether it was in it.
    pub(super) fn leave(&self, connection: ConnectionId, id: ConversationId) -> bool {
        self.lock().leave(connection, id)
    }

    /// Hands an event to an audience; gives the users who took it as participants, on a connection that is read from.
    pub(super) fn deliver(&self, engine: &ChatEngine, audience: &Audience, event: &Event) -> Vec<UserId> {
        let mut state = self.lock();
        let (mut handed_to, mut lagging, mut handed) = (Vec::new(), Vec::new(), 0);
        match audience {
            Audience::Conversation { id, except } => {
                let Some(room) = state.rooms.get(id) else { return handed_to };
                let Some(packet) = Packet::new(engine, event) else { return handed_to };
                let others = room.iter().filter(|member| Some(member.connection_id) != *except);
                for member in others.filter(|member| packet.seq.is_none_or(|seq| seq > member.seq)) {
                    if !packet.emit(&member.socket) {
                        lagging.push(member.session.clone());
                        continue;
                    }
                    handed += 1;
                    if member.is_participant && !member.session.is_stalled(STALLED) {
                        handed_to.push(member.user_id);
                    }
                }
            }
            Audience::Users(users) => {
                let mut packet = None;
                let mut written = || packet.get_or_insert_with(|| Packet::new(engine, event)).clone();
                self.arrivals.tell(users, &mut written);
                for user in users {
                    let Some(connections) = state.by_user.get(user) else { continue };
                    let Some(packet) = written() else { return handed_to };
                    for peer in connections.iter().filter_map(|id| state.peers.get(id)) {
                        if packet.emit(&peer.socket) {
                            handed += 1;
                            handed_to.push(*user);
                        } else {
                            lagging.push(peer.session.clone());
                        }
                    }
                }
            }
            Audience::Connection(id) => {
                let Some(peer) = state.peers.get(id) else { return handed_to };
                let Some(packet) = Packet::new(engine, event) else { return handed_to };
                if packet.emit(&peer.socket) {
                    handed += 1;
                    handed_to.push(peer.session.user_id());
                } else {
                    lagging.push(peer.session.clone());
                }
            }
        }
        for session in lagging {
            state.evict(&session);
        }
        telemetry::event_handed(event.name(), handed);
        handed_to
    }

    /// Ends what rests on an access that has ended.
    pub(super) fn revoke(&self, revocation: &Revocation) {
        let mut state = self.lock();
        match revocation {
            Revocation::Session(ended) => {
                self.arrivals.turn_out(|_, session| session == Some(*ended));
                state.turn_out(|session| session.session_id() == Some(*ended));
            }
            Revocation::User(user) => {
                self.arrivals.turn_out(|of, _| of == *user);
                state.turn_out(|session| session.user_id() == *user);
            }
            Revocation::Expired(connection) => state.expire(*connection),
            Revocation::Membership { user_id, conversation_id } => {
                for connection in state.by_user.get(user_id).cloned().unwrap_or_default() {
                    state.leave(connection, *conversation_id);
                }
            }
        }
    }

    /// Ends a socket that cannot keep up. Its client comes back and asks for what it missed.
    pub(super) fn evict(&self, session: &Session) {
        self.lock().evict(session);
    }

    /// Ends a socket that goes on sending more than it may. Its client is told, and does not come back by itself.
    pub(super) fn turn_out_flooding(&self, connection: ConnectionId) {
        let Some(Peer { socket, session, .. }) = self.lock().remove(connection) else { return };
        telemetry::socket_flooded();
        tracing::info!(user.id = %session.user_id(), "a socket sent far too much and was closed");
        session.end_soon(&socket);
        let _ = socket.disconnect();
    }

    /// Ends every connection at once.
    pub(super) fn end_all(&self) {
        let peers: Vec<Peer> = {
            let mut state = self.lock();
            state.rooms.clear();
            state.by_user.clear();
            state.peers.drain().map(|(_, peer)| peer).collect()
        };
        for peer in peers {
            peer.session.end(&peer.socket);
        }
    }

    /// Notes the connection that a session, which has not said who it is, goes on over; gives the one before.
    pub(super) fn upgrading(&self, sid: Sid, connection: Connection) -> Option<Connection> {
        let mut upgrades = self.upgrades.lock().unwrap_or_else(PoisonError::into_inner);
        if upgrades.len() >= UPGRADES {
            upgrades.retain(|_, (connection, at)| !connection.is_ended() && at.elapsed() < UPGRADE_WITHIN);
        }
        if upgrades.len() >= UPGRADES {
            return None;
        }
        upgrades.insert(sid, (connection, Instant::now())).map(|(before, _)| before)
    }

    /// Forgets that a session goes on over this connection: it does over the one before.
    pub(super) fn not_upgraded(&self, sid: Sid, refused: &Connection, before: Option<Connection>) {
        let mut upgrades = self.upgrades.lock().unwrap_or_else(PoisonError::into_inner);
        if upgrades.get(&sid).is_some_and(|(connection, _)| connection.is(refused)) {
            upgrades.remove(&sid);
            upgrades.extend(before.map(|connection| (sid, (connection, Instant::now()))));
        }
    }

    /// The connection that a session went on over before it said who it is.
    pub(super) fn upgraded(&self, sid: Sid) -> Option<Connection> {
        self.upgrades
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&sid)
            .map(|(connection, _)| connection)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, connection: ConnectionId) -> Option<Peer> {
        let peer = self.peers.remove(&connection)?;
        telemetry::sockets_connected(self.peers.len());
        for id in &peer.rooms {
            self.drop_member(connection, *id);
        }
        let user = peer.session.user_id();
        if let Some(connections) = self.by_user.get_mut(&user) {
            connections.retain(|one| *one != connection);
            if connections.is_empty() {
                self.by_user.remove(&user);
            }
        }
        Some(peer)
    }

    fn leave(&mut self, connection: ConnectionId, id: ConversationId) -> bool {
        let Some(peer) = self.peers.get_mut(&connection) else { return false };
        let before = peer.rooms.len();
        peer.rooms.retain(|room| *room != id);
        let was_in = peer.rooms.len() < before;
        self.drop_member(connection, id);
        was_in
    }

    fn drop_member(&mut self, connection: ConnectionId, id: ConversationId) {
        if let Some(room) = self.rooms.get_mut(&id) {
            room.retain(|member| member.connection_id != connection);
            if room.is_empty() {
                self.rooms.remove(&id);
                telemetry::conversations_listened_to(self.rooms.len());
            }
        }
    }

    /// Ends a socket's connection without a word, so that its client comes back by itself.
    fn evict(&mut self, session: &Session) {
        let Some(Peer { socket, session, .. }) = self.remove(session.connection_id()) else { return };
        if socket.connected() {
            telemetry::socket_lagged();
            tracing::info!(user.id = %session.user_id(), "a socket could not keep up and was closed; it will resume");
        }
        session.end(&socket);
        let _ = socket.disconnect();
    }

    /// Ends a socket whose token has expired. Its client is not taken out of the namespace, after which it would not
    /// come back by itself; but that is still better than a transport that stays and says nothing.
    fn expire(&mut self, connection: ConnectionId) {
        let Some(Peer { socket, session, .. }) = self.remove(connection) else { return };
        session.close(&socket);
        if !session.can_end(&socket) {
            let _ = socket.disconnect();
        }
    }

    /// Tells sockets that they are no longer welcome, and ends their connections.
    fn turn_out(&mut self, whose: impl Fn(&Session) -> bool) {
        let ended = self.peers.values().filter(|peer| whose(&peer.session));
        let ended: Vec<ConnectionId> = ended.map(|peer| peer.session.connection_id()).collect();
        for Peer { socket, session, .. } in ended.into_iter().filter_map(|connection| self.remove(connection))
        {
            session.end_soon(&socket);
            let _ = socket.disconnect();
        }
    }
}

impl Packet {
    fn new(engine: &ChatEngine, event: &Event) -> Option<Self> {
        let seq = if let Event::MessageNew(message) = event { Some(message.seq) } else { None };
        match wire::event_payload(engine, event) {
            Ok(payload) => Some(Self { name: event.name(), payload: payload.into(), seq }),
            Err(error) => {
                tracing::error!(%error, event = event.name(), "an event could not be written");
                None
            }
        }
    }

    pub(super) fn emit(&self, socket: &SocketRef) -> bool {
        socket.emit(self.name, &*self.payload).is_ok()
    }
}
