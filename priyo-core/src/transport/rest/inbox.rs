//! `/api/inbox`: the support conversations, for those who answer them.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::extract::Segments;
use super::query::Query;
use super::row_limit;
use crate::auth::Caller;
use crate::engine::ChatEngine;
use crate::error::Result;
use crate::model::{ConversationCursor, ConversationId, InboxItem, InboxState};
use crate::transport::wire::{InboxItemView, ParticipantView};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListView<'a> {
    conversations: Vec<InboxItemView<'a>>,
    next_cursor: Option<String>,
}

pub(super) async fn list(
    State(engine): State<ChatEngine>,
    caller: Caller,
    mut query: Query,
) -> Result<Response> {
    let limit = row_limit(&engine, &mut query);
    let after = query.read("cursor", ConversationCursor::from_client);
    let state = query.read("state", InboxState::from_name);
    query.finish()?;
    let page = engine.inbox(&caller, state.unwrap_or(InboxState::Unassigned), after, limit).await?;
    let last = page.items.last().filter(|_| page.has_more);
    let next = last.map(|last| ConversationCursor::of(&last.summary.conversation).to_string());
    let conversations = page.items.iter().map(|item| InboxItemView::new(&engine, item)).collect();
    Ok(Json(ListView { conversations, next_cursor: next }).into_response())
}

pub(super) async fn people(
    State(engine): State<ChatEngine>,
    caller: Caller,
    mut query: Query,
) -> Result<Response> {
    let part = query.text("q");
    query.finish()?;
    let agents = engine.agents(&caller, &part.unwrap_or_default()).await?;
    let users: Vec<_> = agents.iter().map(|user| ParticipantView::of(&engine, user)).collect();
    Ok(Json(json!({ "users": users })).into_response())
}

pub(super) async fn claim(
    State(engine): State<ChatEngine>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Response> {
    let item = engine.claim_conversation(&caller, ConversationId::from_client(&id)).await?;
    Ok(answer(&engine, &item))
}

pub(super) async fn release(
    State(engine): State<ChatEngine>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Response> {
    let item = engine.release_conversation(&caller, ConversationId::from_client(&id)).await?;
    Ok(answer(&engine, &item))
}

fn answer(engine: &ChatEngine, item: &InboxItem) -> Response {
    Json(json!({ "conversation": InboxItemView::new(engine, item) })).into_response()
}
