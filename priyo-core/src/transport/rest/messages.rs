//! `/api/messages`.

use std::collections::BTreeMap;

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
use crate::engine::ChatEngine;
use crate::error::Result;
use crate::model::fields::Unknown;
use crate::model::{ConversationId, MarkRead, MessageRange, NewMessage};
use crate::transport::wire::MessageView;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageView<'a> {
    messages: Vec<MessageView<'a>>,
    has_more: bool,
}

pub(super) async fn list(
    State(engine): State<ChatEngine>,
    caller: Caller,
    Segments(id): Segments<String>,
    mut query: Query,
) -> Result<Response> {
    let limit = row_limit(&engine, &mut query);
    query.at_most_one(&["page", "before", "after"]);
    let page = query.number_from("page", 1).map(MessageRange::Page);
    let before = query.number_from("before", 0).map(MessageRange::Before);
    let after = query.number_from("after", 0).map(MessageRange::After);
    query.finish()?;
    let range = page.or(before).or(after).unwrap_or(MessageRange::Page(1));
    let page = engine.messages(&caller, ConversationId::from_client(&id), range, limit).await?;
    let messages = page.items.iter().map(|item| MessageView::history(&engine, item)).collect();
    Ok(Json(PageView { messages, has_more: page.has_more }).into_response())
}

pub(super) async fn send(
    State(engine): State<ChatEngine>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let sent = engine.send_message(&caller, NewMessage::parse(body, Unknown::Refuse)?).await?;
    let mut answer =
        json!({ "message": "Message sent successfully", "data": MessageView::sent(&engine, &sent) });
    if sent.duplicate {
        answer["duplicate"] = true.into();
        return Ok(Json(answer).into_response());
    }
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

pub(super) async fn mark_read(
    State(engine): State<ChatEngine>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let read = MarkRead::parse_body(body, engine.limits().read_ids)?;
    engine.mark_read(&caller, read).await?;
    Ok(Json(json!({ "message": "Messages marked as read" })).into_response())
}

pub(super) async fn unread_count(State(engine): State<ChatEngine>, caller: Caller) -> Result<Response> {
    let counts: BTreeMap<String, u64> = engine
        .unread_counts(&caller)
        .await?
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(id, count)| (id.to_string(), count))
        .collect();
    let total: u64 = counts.values().sum();
    Ok(Json(json!({ "unreadCount": total, "conversations": counts })).into_response())
}
