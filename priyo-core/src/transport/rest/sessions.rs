//! `/api/auth/sessions` and `/api/auth/password`: what a user does with their own account.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::extract::{JsonBody, Segments};
use crate::auth::Caller;
use crate::engine::ChatEngine;
use crate::error::Result;
use crate::model::{NewPassword, SessionId};
use crate::transport::wire::SessionView;

pub(super) async fn list(State(engine): State<ChatEngine>, caller: Caller) -> Result<Response> {
    let sessions = engine.sessions(&caller).await?;
    let sessions: Vec<_> = sessions.iter().map(|session| SessionView::new(session, &caller)).collect();
    Ok(Json(json!({ "sessions": sessions })).into_response())
}

pub(super) async fn end(
    State(engine): State<ChatEngine>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Response> {
    engine.end_session(&caller, SessionId::from_client(&id)).await?;
    Ok(Json(json!({ "message": "Session ended successfully" })).into_response())
}

pub(super) async fn change_password(
    State(engine): State<ChatEngine>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    engine.change_password(&caller, NewPassword::parse(body)?).await?;
    Ok(Json(json!({ "message": "Password changed successfully" })).into_response())
}
