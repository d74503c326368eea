//! `/api/auth`: the engine's own accounts.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::extract::{JsonBody, OptionalJsonBody};
use crate::auth::Caller;
use crate::engine::ChatEngine;
use crate::error::Result;
use crate::model::fields::{Fields, Unknown};
use crate::model::{Login, Origin, Registration};
use crate::transport::wire::{TokensView, UserView};

pub(super) async fn register(
    State(engine): State<ChatEngine>,
    caller: Option<Caller>,
    origin: Origin,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let signed_in = engine.register(caller.as_ref(), Registration::parse(body)?, &origin).await?;
    let answer = json!({
        "message": "User registered successfully",
        "user": UserView::new(&signed_in.user),
        "tokens": TokensView::new(&signed_in),
    });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

pub(super) async fn login(
    State(engine): State<ChatEngine>,
    origin: Origin,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let signed_in = engine.login(Login::parse(body)?, &origin).await?;
    let user = UserView::with_presence(&engine, &signed_in.user);
    Ok(Json(json!({ "user": user, "tokens": TokensView::new(&signed_in) })).into_response())
}

pub(super) async fn refresh(
    State(engine): State<ChatEngine>,
    origin: Origin,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let mut fields = Fields::new(body, Unknown::Refuse)?;
    let token = fields.string("refreshToken");
    fields.finish()?;
    let signed_in = engine.refresh(&token.unwrap_or_default(), &origin).await?;
    let tokens = TokensView::new(&signed_in);
    Ok(Json(json!({ "message": "Tokens refreshed successfully", "tokens": tokens })).into_response())
}

pub(super) async fn logout(
    State(engine): State<ChatEngine>,
    caller: Caller,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response> {
    let mut fields = Fields::new(body.unwrap_or_else(|| json!({})), Unknown::Refuse)?;
    let all = fields.optional_bool("all");
    // Clients of old send it along; the access token says which session it is.
    fields.ignore("refreshToken");
    fields.finish()?;
    engine.logout(&caller, all.unwrap_or(false)).await?;
    Ok(Json(json!({ "message": "Logout successful" })).into_response())
}

pub(super) async fn me(State(engine): State<ChatEngine>, caller: Caller) -> Result<Response> {
    let user = engine.me(&caller).await?;
    Ok(Json(json!({ "user": UserView::with_presence(&engine, &user) })).into_response())
}
