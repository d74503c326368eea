//! `/api/users`: for administrators.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::extract::{JsonBody, Segments};
use super::query::Query;
use super::row_limit;
use crate::auth::Caller;
use crate::engine::ChatEngine;
use crate::error::Result;
use crate::model::{UserChange, UserCursor, UserId, UserOrder};
use crate::transport::wire::UserView;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListView<'a> {
    users: Vec<UserView<'a>>,
    next_cursor: Option<String>,
}

pub(super) async fn list(
    State(engine): State<ChatEngine>,
    caller: Caller,
    mut query: Query,
) -> Result<Response> {
    engine.require_admin(&caller, "list_users")?;
    let limit = row_limit(&engine, &mut query);
    let after = query.read("cursor", UserCursor::from_client);
    let text = query.text("q").unwrap_or_default();
    query.finish()?;
    let page = engine.list_users(&caller, &text, after, limit).await?;
    let last = page.items.last().filter(|_| page.has_more);
    let next_cursor = last.map(|user| UserCursor::of(user, UserOrder::for_query(&text)).to_string());
    let users = page.items.iter().map(|user| UserView::managed(&engine, user)).collect();
    Ok(Json(ListView { users, next_cursor }).into_response())
}

pub(super) async fn update(
    State(engine): State<ChatEngine>,
    caller: Caller,
    Segments(id): Segments<String>,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    engine.require_admin(&caller, "update_user")?;
    let user = engine.update_user(&caller, UserId::from_client(&id), UserChange::parse(body)?).await?;
    Ok(Json(json!({ "user": UserView::managed(&engine, &user) })).into_response())
}
