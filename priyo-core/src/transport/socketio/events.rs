//! The table of events: each is parsed, handed to the engine, and answered.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use socketioxide::handler::Value as RawPacket;

use super::session::Session;
use super::sync::Synced;
use crate::auth::Caller;
use crate::engine::{ChatEngine, Joining, Sent, Submitted};
use crate::error::{Error, Result};
use crate::model::fields::{Fields, Unknown};
use crate::model::{ConversationId, Known, MarkRead, NewMessage};
use crate::transport::json;
use crate::transport::wire::{MessageView, seconds};

/// An event that a client sends, with its payload.
pub(super) struct SocketEvent {
    kind: Kind,
    payload: Value,
}

/// The events that a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Join,
    Leave,
    Send,
    TypingStart,
    TypingStop,
    Read,
    Sync,
    Refresh,
}

impl Kind {
    /// All of them, in the order to show them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Join,
        Self::Leave,
        Self::Send,
        Self::TypingStart,
        Self::TypingStop,
        Self::Read,
        Self::Sync,
        Self::Refresh,
    ];

    /// The event's name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Join => "conversation:join",
            Self::Leave => "conversation:leave",
            Self::Send => "message:send",
            Self::TypingStart => "typing:start",
            Self::TypingStop => "typing:stop",
            Self::Read => "message:read",
            Self::Sync => "sync",
            Self::Refresh => "auth:refresh",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl SocketEvent {
    /// Whether it is a send, of which the next may begin before the last is stored.
    pub(super) fn is_send(&self) -> bool {
        self.kind == Kind::Send
    }
}

/// What came of an event.
pub(super) enum Handling {
    /// It is done; this is the answer.
    Done(Done),
    /// A message has its place in line.
    Sending(Submitted),
    /// A conversation is about to be listened to.
    Joining(Box<Join>),
    /// What was missed was read.
    Synced(Synced),
    /// The socket has another token.
    Renewed(Renewed),
}

/// A conversation that is about to be listened to, and the answer to it.
pub(super) struct Join {
    pub(super) id: ConversationId,
    pub(super) joining: Joining,
    pub(super) answer: Joined,
}

/// The answer to most events.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Done {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<ConversationId>,
}

/// The answer to a send.
#[derive(Serialize)]
pub(super) struct Acknowledged {
    ok: bool,
    message: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

impl Acknowledged {
    pub(super) fn new(engine: &ChatEngine, sent: &Sent) -> Self {
        let message = to_raw_value(&MessageView::acknowledged(engine, sent)).ok();
        Self { ok: true, message, duplicate: sent.duplicate }
    }
}

/// The answer to a join.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Joined {
    ok: bool,
    conversation_id: ConversationId,
    last_seq: u64,
    messages: Vec<Box<RawValue>>,
    has_more: bool,
}

/// The answer to a fresh token.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Renewed {
    ok: bool,
    expires_in: Option<u64>,
}

/// Takes a packet apart: `["name", payload, …]`.
///
/// # Errors
///
/// - [`Error::UnknownEvent`] when there is no such event.
/// - [`Error::Validation`] when the payload is binary, nested too deep, or has a key twice.
pub(super) fn parse(packet: &RawPacket) -> Result<SocketEvent> {
    let RawPacket::Str(text, binaries) = packet else { return Err(payload_fault("must not be binary")) };
    let name = event_name(text).ok_or(Error::UnknownEvent)?;
    let kind = Kind::from_name(&name).ok_or(Error::UnknownEvent)?;
    if binaries.is_some() {
        return Err(payload_fault("must not be binary"));
    }
    match json::parse(text.as_bytes()) {
        Ok(Value::Array(mut parts)) if parts.len() == 2 => Ok(SocketEvent { kind, payload: parts.remove(1) }),
        Ok(_) => Err(payload_fault("must be exactly one argument")),
        Err(Error::MalformedJson) => Err(payload_fault("must be JSON that is not nested too deep")),
        Err(error) => Err(error),
    }
}

fn payload_fault(what: &str) -> Error {
    Error::field("payload", what)
}

/// The name of an event, without a look at its payload.
fn event_name(text: &str) -> Option<String> {
    let mut stream =
        serde_json::Deserializer::from_str(text.trim_start().strip_prefix('[')?).into_iter::<String>();
    stream.next()?.ok()
}

/// Begins to handle an event.
///
/// # Errors
///
/// Those of the engine's method for it.
pub(super) async fn begin(
    session: &Session,
    engine: &ChatEngine,
    caller: &Caller,
    event: SocketEvent,
) -> Result<Handling> {
    let SocketEvent { kind, payload } = event;
    let done = |conversation_id| Ok(Handling::Done(Done { ok: true, conversation_id }));
    match kind {
        Kind::Join => {
            join(session, engine, caller, payload).await.map(|join| Handling::Joining(Box::new(join)))
        }
        Kind::Leave => {
            let (id, _) = conversation(payload)?;
            if !session.hub().leave(session.connection_id(), id) {
                // Leaving a room that one is not in is fine, if it is one's own conversation.
                engine.check_visible(caller, id).await?;
            }
            done(Some(id))
        }
        Kind::Send => {
            let new = NewMessage::parse(payload, Unknown::Ignore)?;
            Ok(Handling::Sending(engine.submit_message(caller, new).await?))
        }
        Kind::TypingStart => {
            engine.start_typing(caller, typing(payload)?).await?;
            done(None)
        }
        Kind::TypingStop => {
            engine.stop_typing(caller, typing(payload)?).await?;
            done(None)
        }
        Kind::Read => {
            engine.mark_read(caller, MarkRead::parse_event(payload, engine.limits().read_ids)?).await?;
            done(None)
        }
        Kind::Sync => {
            let (known, nothing) = Known::parse_event(payload, engine.limits().sync_ids)?;
            let synced = engine.sync(caller, &known).await?;
            Synced::new(engine, &synced, nothing).map(Handling::Synced)
        }
        Kind::Refresh => {
            let fresh = engine.renew(caller, &token(payload)?).await?;
            let expires_in = fresh.expires_in(engine.now()).map(seconds);
            session.renewed(fresh);
            Ok(Handling::Renewed(Renewed { ok: true, expires_in }))
        }
    }
}

/// Begins to listen; the rest is in [`Session::answer_join`].
async fn join(session: &Session, engine: &ChatEngine, caller: &Caller, payload: Value) -> Result<Join> {
    let (id, after) = conversation(payload)?;
    let hub = session.hub();
    hub.check_room(session, id, engine.limits().rooms_per_socket)?;
    // One that listens already and asks for nothing goes on listening meanwhile.
    if after.is_some() {
        hub.leave(session.connection_id(), id);
    }
    let joining = match engine.join(caller, id, after).await {
        Ok(joining) => joining,
        Err(error) => {
            hub.leave(session.connection_id(), id);
            return Err(join_refusal(error));
        }
    };
    let message = |item| to_raw_value(&MessageView::history(engine, item)).map_err(Error::internal);
    let backlog = joining.backlog();
    let answer = Joined {
        ok: true,
        conversation_id: id,
        last_seq: backlog.last_seq,
        messages: backlog.messages.iter().map(message).collect::<Result<_>>()?,
        has_more: backlog.has_more,
    };
    Ok(Join { id, joining, answer })
}

/// What is said of a join that was refused.
pub(super) fn join_refusal(error: Error) -> Error {
    match error {
        // It is not there, or the caller may not know of it.
        Error::NotFound(_) => Error::NotFound("Access denied to conversation"),
        error => error,
    }
}

/// A conversation: its id, or an object with it, and perhaps the last `seq` that the client has.
fn conversation(payload: Value) -> Result<(ConversationId, Option<u64>)> {
    if let Value::String(id) = payload {
        return Ok((ConversationId::from_client(&id), None));
    }
    let mut fields = Fields::new(payload, Unknown::Ignore)
        .map_err(|_| Error::field("conversationId", "must be a string"))?;
    let id = fields.string("conversationId");
    let after = fields.optional_count("after");
    fields.finish()?;
    Ok((ConversationId::from_client(&id.unwrap_or_default()), after))
}

fn typing(payload: Value) -> Result<ConversationId> {
    let mut fields = Fields::new(payload, Unknown::Ignore)?;
    let id = fields.string("conversationId");
    fields.finish()?;
    Ok(ConversationId::from_client(&id.unwrap_or_default()))
}

fn token(payload: Value) -> Result<String> {
    let mut fields = Fields::new(payload, Unknown::Ignore)?;
    let token = fields.string("token");
    fields.finish()?;
    Ok(token.unwrap_or_default())
}
