//! The table of events: each is parsed, handed to the engine, and answered.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use socketioxide::handler::Value as RawPacket;

use super::inbox::Session;
use crate::auth::Caller;
use crate::engine::{ChatEngine, Sent, Submitted};
use crate::error::{Error, Result};
use crate::model::fields::{Fields, Unknown};
use crate::model::{ConversationId, MarkRead, NewMessage};
use crate::transport::json;
use crate::transport::wire::MessageView;

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
}

impl Kind {
    /// All of them, in the order to show them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Join, Self::Leave, Self::Send, Self::TypingStart, Self::TypingStop, Self::Read];

    /// The event's name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Join => "conversation:join",
            Self::Leave => "conversation:leave",
            Self::Send => "message:send",
            Self::TypingStart => "typing:start",
            Self::TypingStop => "typing:stop",
            Self::Read => "message:read",
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
    Joined(Joined),
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
    #[serde(skip)]
    is_participant: bool,
}

impl Joined {
    pub(super) fn conversation_id(&self) -> ConversationId {
        self.conversation_id
    }

    /// Whether what is handed to the socket from now on is delivered to a participant.
    pub(super) fn is_participant(&self) -> bool {
        self.is_participant
    }

    /// Up to where the client has everything with this answer, unless there is more.
    pub(super) fn last_seq_if_complete(&self) -> Option<u64> {
        (!self.has_more).then_some(self.last_seq)
    }
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
        Kind::Join => join(session, engine, caller, payload).await.map(Handling::Joined),
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
    }
}

/// Begins to listen: in the audience first, and deaf; then what was missed is read; the rest is in
/// [`Session::answer_join`].
async fn join(session: &Session, engine: &ChatEngine, caller: &Caller, payload: Value) -> Result<Joined> {
    let (id, after) = conversation(payload)?;
    // One that listens already and asks for nothing stays as it is.
    if after.is_some() || !session.hub().is_live(session, id) {
        // Only an administrator may listen from outside; the answer says who does.
        let is_participant = !caller.is_admin();
        session.hub().begin_join(session, id, is_participant, engine.limits().rooms_per_socket)?;
    }
    let backlog = match engine.backlog(caller, id, after).await {
        Ok(backlog) => backlog,
        Err(error) => {
            session.hub().leave(session.connection_id(), id);
            return Err(match error {
                Error::NotFound(_) => access_denied(),
                error => error,
            });
        }
    };
    let message = |item| to_raw_value(&MessageView::history(engine, item)).map_err(Error::internal);
    Ok(Joined {
        ok: true,
        conversation_id: id,
        last_seq: backlog.last_seq,
        messages: backlog.messages.iter().map(message).collect::<Result<_>>()?,
        has_more: backlog.has_more,
        is_participant: backlog.is_participant,
    })
}

/// What is said of a conversation that is not there, or that the caller may not know of.
pub(super) fn access_denied() -> Error {
    Error::NotFound("Access denied to conversation")
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
