//! `/api/widget`: visitors of websites.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{ACCEPT_LANGUAGE, HeaderMap};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::extract::{JsonBody, OptionalJsonBody};
use crate::auth::Caller;
use crate::engine::ChatEngine;
use crate::error::Result;
use crate::model::fields::{Fields, Unknown};
use crate::model::{Origin, Visit};
use crate::transport::wire::{ConversationView, VisitedView};

pub(super) async fn visit(
    State(engine): State<ChatEngine>,
    origin: Origin,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let visited = engine.visit(Visit::parse(body)?, &origin).await?;
    let widget = engine.widget()?;
    Ok(Json(VisitedView::new(&engine, widget, &visited)).into_response())
}

pub(super) async fn open(
    State(engine): State<ChatEngine>,
    caller: Caller,
    headers: HeaderMap,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Response> {
    Fields::new(body.unwrap_or_else(|| json!({})), Unknown::Refuse)?.finish()?;
    let wanted = headers.get(ACCEPT_LANGUAGE).and_then(|wanted| wanted.to_str().ok()).unwrap_or_default();
    let (conversation, is_new) = engine.open_support(&caller, &languages(wanted)).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let answer = json!({ "conversation": ConversationView::new(&engine, &conversation) });
    Ok((status, Json(answer)).into_response())
}

/// The languages of an `Accept-Language` in its order, which browsers write with the best one first.
fn languages(wanted: &str) -> Vec<&str> {
    wanted.split(',').take(10).map(|range| range.split(';').next().unwrap_or_default().trim()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_come_in_the_order_of_the_header() {
        assert_eq!(languages("de-AT, de;q=0.9 ,en;q=0.8,*"), ["de-AT", "de", "en", "*"]);
        assert_eq!(languages(""), [""]);
    }
}
