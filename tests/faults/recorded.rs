//! People and clients whose doings are written down.

use std::net::SocketAddr;
use std::sync::Arc;

use priyo_tests::{Client, Outgoing, Person, Socket, Step, Told};
use serde_json::{Value, json};

use crate::history::{Door, History, Record, Send};

/// A client that writes down what it does and hears.
pub(crate) fn client(addr: SocketAddr, person: &Person, history: &Arc<History>) -> Client {
    let (history, id) = (history.clone(), person.id.clone());
    Client::new(addr, person).with_journal(move |step| {
        history.add(match step {
            Step::Sends(message) => Record::Invoke(send(&id, message), Door::Socket),
            Step::LostSightOf(message) => Record::Unknown(send(&id, message), Door::Socket),
            Step::Acknowledged(message, told) => Record::Ok(send(&id, message), told.clone()),
            Step::Refused(message, code) => Record::Fail(send(&id, message), code.to_owned()),
            Step::Hears(told) => Record::Heard { receiver: id.clone(), told: told.clone() },
        });
    })
}

/// A message as the history knows it.
pub(crate) fn send(sender: &str, message: &Outgoing) -> Arc<Send> {
    let Outgoing { conversation, content, client_message_id } = message.clone();
    let client_message_id = client_message_id.unwrap_or_else(|| content.clone());
    Arc::new(Send { sender: sender.to_owned(), conversation, client_message_id, content })
}

/// Sends a message and notes what came of it; says whether it was acknowledged.
pub(crate) async fn attempt(
    person: &Person,
    socket: &mut Socket,
    history: &History,
    send: &Arc<Send>,
    door: Door,
) -> bool {
    let body = json!({"conversationId": send.conversation, "content": send.content,
                      "clientMessageId": send.client_message_id});
    history.add(Record::Invoke(send.clone(), door));
    let outcome = match door {
        Door::Rest => by_rest(person, &body).await,
        Door::Socket => by_socket(socket, &body).await,
    };
    let record = match outcome {
        Some(Ok(message)) => Record::Ok(send.clone(), Told::of(&message)),
        Some(Err(code)) => Record::Fail(send.clone(), code),
        None => Record::Unknown(send.clone(), door),
    };
    let is_ok = matches!(record, Record::Ok(..));
    history.add(record);
    is_ok
}

/// The message, or the code of a refusal; `None` when nobody knows.
type Outcome = Option<Result<Value, String>>;

async fn by_rest(person: &Person, body: &Value) -> Outcome {
    match post(person, "/api/messages", body).await? {
        (200 | 201, answer) => Some(Ok(answer["data"].clone())),
        (400..500, answer) => Some(Err(answer["code"].as_str().unwrap().to_owned())),
        // The only one that a server may give that cannot keep a message.
        (503, _) => None,
        (status, answer) => panic!("{status}: {answer}"),
    }
}

/// Status and body of the answer to a POST; `None` when none came.
pub(crate) async fn post(person: &Person, path: &str, body: &Value) -> Option<(u16, Value)> {
    let bearer = format!("Bearer {}", person.token);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let answer = person.wire.try_send("POST", path, &headers, body.to_string().into()).await.ok()?;
    Some((answer.status, answer.json()))
}

async fn by_socket(socket: &mut Socket, body: &Value) -> Outcome {
    let answer = ask(socket, "message:send", body.clone()).await?;
    if answer["ok"] == true {
        return Some(Ok(answer["message"].clone()));
    }
    match answer["error"]["code"].as_str() {
        Some("unavailable" | "overloaded") => None,
        Some("internal") | None => panic!("{answer}"),
        Some(code) => Some(Err(code.to_owned())),
    }
}

/// The acknowledgement of an event; `None` when none came.
pub(crate) async fn ask(socket: &mut Socket, event: &str, argument: Value) -> Option<Value> {
    let number = socket.try_emit_asking(event, argument).await?;
    socket.try_ack(number).await
}
