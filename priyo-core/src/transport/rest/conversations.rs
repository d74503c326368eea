//! `/api/conversations`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::extract::{JsonBody, Segments};
use super::query::Query;
use super::row_limit;
use crate::auth::Caller;
use crate::engine::{ChatEngine, ListConversations};
use crate::error::Result;
use crate::model::fields::{Fields, Unknown};
use crate::model::{Conversation, ConversationCursor, ConversationId, NewConversation, UserId};
use crate::transport::wire::ConversationView;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListView<'a> {
    conversations: Vec<ConversationView<'a>>,
    next_cursor: Option<String>,
}

pub(super) async fn list(
    State(engine): State<ChatEngine>,
    caller: Caller,
    mut query: Query,
) -> Result<Response> {
    let limit = row_limit(&engine, &mut query);
    let after = query.read("cursor", ConversationCursor::from_client);
    let own = query.read("scope", |scope| match scope {
        "own" => Some(true),
        "all" => Some(false),
        _ => None,
    });
    query.finish()?;
    let list = ListConversations { limit, after, own: own.unwrap_or(false) };
    let page = engine.conversations(&caller, list).await?;
    let last = page.items.last().filter(|_| page.has_more);
    let next = last.map(|last| ConversationCursor::of(&last.conversation).to_string());
    let conversations = page.items.iter().map(|item| ConversationView::listed(&engine, item)).collect();
    Ok(Json(ListView { conversations, next_cursor: next }).into_response())
}

pub(super) async fn create(
    State(engine): State<ChatEngine>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let new = NewConversation::parse(body, engine.limits().participants)?;
    let conversation = engine.create_conversation(&caller, new).await?;
    let answer = json!({
        "message": "Conversation created successfully",
        "conversation": ConversationView::new(&engine, &conversation),
    });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

pub(super) async fn get(
    State(engine): State<ChatEngine>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Response> {
    let conversation = engine.conversation(&caller, ConversationId::from_client(&id)).await?;
    Ok(answer(&engine, &conversation))
}

pub(super) async fn close(
    State(engine): State<ChatEngine>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Response> {
    engine.close_conversation(&caller, ConversationId::from_client(&id)).await?;
    Ok(Json(json!({ "message": "Conversation closed successfully" })).into_response())
}

pub(super) async fn reopen(
    State(engine): State<ChatEngine>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Response> {
    let conversation = engine.reopen_conversation(&caller, ConversationId::from_client(&id)).await?;
    Ok(answer(&engine, &conversation))
}

pub(super) async fn leave(
    State(engine): State<ChatEngine>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Response> {
    engine.leave_conversation(&caller, ConversationId::from_client(&id)).await?;
    Ok(Json(json!({ "message": "Left conversation successfully" })).into_response())
}

pub(super) async fn add_participants(
    State(engine): State<ChatEngine>,
    caller: Caller,
    Segments(id): Segments<String>,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let mut fields = Fields::new(body, Unknown::Refuse)?;
    let users = fields.strings("userIds", engine.limits().participants);
    fields.finish()?;
    let users = users.unwrap_or_default().iter().map(|id| UserId::from_client(id)).collect();
    let conversation = engine.add_participants(&caller, ConversationId::from_client(&id), users).await?;
    Ok(answer(&engine, &conversation))
}

pub(super) async fn remove_participant(
    State(engine): State<ChatEngine>,
    caller: Caller,
    Segments((id, user)): Segments<(String, String)>,
) -> Result<Response> {
    let (id, user) = (ConversationId::from_client(&id), UserId::from_client(&user));
    let conversation = engine.remove_participant(&caller, id, user).await?;
    Ok(answer(&engine, &conversation))
}

fn answer(engine: &ChatEngine, conversation: &Conversation) -> Response {
    Json(json!({ "conversation": ConversationView::new(engine, conversation) })).into_response()
}
