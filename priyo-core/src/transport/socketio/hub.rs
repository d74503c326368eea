//! Who is connected, who listens where, and the way out to them.
//!
//! Not socketioxide's rooms: those drop a packet for a client whose buffer is full without saying whose, and cannot
//! hold events back for one that is still being told what it missed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;

use super::inbox::Session;
use crate::engine::ChatEngine;
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
    phase: Phase,
}

enum Phase {
    /// It is being told what it missed; what happens meanwhile is held back.
    Joining(Vec<Packet>),
    /// It has everything up to `seen`.
    Live { seen: u64 },
}

/// An event on its way to sockets, written once for all of them.
#[derive(Clone)]
struct Packet {
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
    /// Lets a socket in, after its client was told so.
    pub(super) fn enter(&self, session: &Arc<Session>, socket: &SocketRef) {
        let mut state = self.lock();
        state.by_user.entry(session.user_id()).or_default().push(session.connection_id());
        let peer = Peer { socket: socket.clone(), session: session.clone(), rooms: Vec::new() };
        state.peers.insert(session.connection_id(), peer);
        telemetry::sockets_connected(state.peers.len());
        drop(state);
        // It may be gone already, and its leaving noted before its coming.
        if !socket.connected() || session.is_ended() {
            self.remove(session.connection_id());
        }
    }

    /// Forgets a socket that is gone.
    pub(super) fn remove(&self, connection: ConnectionId) {
        self.lock().remove(connection);
    }

    /// Takes a socket into a conversation's audience, but holds back what it is to hear until
    /// [`finish_join`](Self::finish_join).
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] when it listens to `max_rooms` already, [`Error::InvalidToken`] when it is gone.
    pub(super) fn begin_join(
        &self,
        session: &Session,
        id: ConversationId,
        is_participant: bool,
        max_rooms: usize,
    ) -> Result<()> {
        let mut state = self.lock();
        let State { peers, rooms, .. } = &mut *state;
        let peer = peers.get_mut(&session.connection_id()).ok_or(Error::InvalidToken)?;
        let room = rooms.entry(id).or_default();
        let phase = Phase::Joining(Vec::new());
        if let Some(member) = room.iter_mut().find(|m| m.connection_id == session.connection_id()) {
            (member.phase, member.is_participant) = (phase, is_participant);
            return Ok(());
        }
        if peer.rooms.len() >= max_rooms {
            if room.is_empty() {
                rooms.remove(&id);
            }
            return Err(Error::Refused("Too many conversations joined; leave some first"));
        }
        peer.rooms.push(id);
        room.push(Member {
            connection_id: session.connection_id(),
            user_id: session.user_id(),
            socket: peer.socket.clone(),
            session: peer.session.clone(),
            is_participant,
            phase,
        });
        Ok(())
    }

    /// Whether a socket listens to a conversation.
    pub(super) fn is_live(&self, session: &Session, id: ConversationId) -> bool {
        self.lock().rooms.get(&id).is_some_and(|room| {
            room.iter()
                .any(|m| m.connection_id == session.connection_id() && matches!(m.phase, Phase::Live { .. }))
        })
    }

    /// Answers a join by `answer`, and after it lets the socket hear what comes after `last_seq`: first what was
    /// held back. Does not answer when it was taken out meanwhile; ends it when it cannot take even the answer.
    pub(super) fn finish_join(
        &self,
        session: &Session,
        id: ConversationId,
        is_participant: bool,
        last_seq: u64,
        answer: impl FnOnce() -> bool,
    ) {
        let mut state = self.lock();
        let member = state
            .rooms
            .get_mut(&id)
            .and_then(|room| room.iter_mut().find(|member| member.connection_id == session.connection_id()));
        let Some(member) = member else { return };
        member.is_participant = is_participant;
        let held = match std::mem::replace(&mut member.phase, Phase::Live { seen: last_seq }) {
            Phase::Joining(held) => held,
            Phase::Live { seen } => {
                member.phase = Phase::Live { seen };
                Vec::new()
            }
        };
        let reached = answer() && held.into_iter().all(|packet| member.hand(packet));
        if !reached {
            let lagging = member.session.clone();
            state.evict(&lagging);
        }
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
                let Some(room) = state.rooms.get_mut(id) else { return handed_to };
                let Some(packet) = Packet::new(engine, event) else { return handed_to };
                for member in room.iter_mut().filter(|member| Some(member.connection_id) != *except) {
                    if !member.hand(packet.clone()) {
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
                for user in users {
                    let Some(connections) = state.by_user.get(user) else { continue };
                    if packet.is_none() {
                        packet = Packet::new(engine, event);
                    }
                    let Some(packet) = &packet else { return handed_to };
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
                state.turn_out(|session| session.session_id() == Some(*ended));
            }
            Revocation::User(user) => state.turn_out(|session| session.user_id() == *user),
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

    /// Ends every connection at once.
    pub(super) fn end_all(&self) {
        let peers: Vec<Peer> = {
            let mut state = self.lock();
            state.rooms.clear();
            state.by_user.clear();
            state.peers.drain().map(|(_, peer)| peer).collect()
        };
        for peer in peers {
            peer.session.end();
        }
    }

    /// Notes the connection that a session, which has not said who it is, goes on over.
    pub(super) fn upgrading(&self, sid: Sid, connection: Connection) {
        let mut upgrades = self.upgrades.lock().unwrap_or_else(PoisonError::into_inner);
        if upgrades.len() >= UPGRADES {
            upgrades.retain(|_, (connection, at)| !connection.is_ended() && at.elapsed() < UPGRADE_WITHIN);
        }
        if upgrades.len() < UPGRADES {
            upgrades.insert(sid, (connection, Instant::now()));
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
        session.end();
        let _ = socket.disconnect();
    }

    /// Tells sockets that they are no longer welcome, and ends their connections.
    fn turn_out(&mut self, whose: impl Fn(&Session) -> bool) {
        let ended = self.peers.values().filter(|peer| whose(&peer.session));
        let ended: Vec<ConnectionId> = ended.map(|peer| peer.session.connection_id()).collect();
        for Peer { socket, session, .. } in ended.into_iter().filter_map(|connection| self.remove(connection))
        {
            let _ = socket.disconnect();
            session.end_soon();
        }
    }
}

impl Member {
    /// Hands a packet over, now or when it has joined. `false` when the socket cannot take it.
    fn hand(&mut self, packet: Packet) -> bool {
        match (&mut self.phase, packet.seq) {
            (Phase::Joining(held), _) => {
                held.push(packet);
                held.len() <= self.session.outbox()
            }
            (Phase::Live { seen }, Some(seq)) if seq <= *seen => true,
            (Phase::Live { seen }, seq) => {
                *seen = seq.unwrap_or(*seen);
                packet.emit(&self.socket)
            }
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

    fn emit(&self, socket: &SocketRef) -> bool {
        socket.emit(self.name, &*self.payload).is_ok()
    }
}
