//! Lists of connections.

use axum::Json;
use axum::response::IntoResponse;
use highwater_engine::connections::{ConnectionFilter, ConnectionOrder};
use serde_json::json;

use super::{notes, view};
use crate::call::{Call, MAX_NAME};
use crate::error::{ApiError, Place};
use crate::input::value;
use crate::route::Answer;

pub(super) const QUERY: &[&str] =
    &["connectionId", "search", "endUserId", "endUserOrganizationId", "integrationId", "tags[*]", "limit", "page"];

/// The longest text of a condition, in bytes.
const TEXT: usize = 255;

/// The most integrations of a condition.
const INTEGRATIONS: usize = 100;

/// Connections of a page that names no limit.
const UNLIMITED: usize = 10_000;

/// The newest first, a page at a time.
pub(super) async fn list(call: Call) -> Answer {
    let query = &call.query;
    let limit = query.optional("limit", value::number(1..=2000usize))?.unwrap_or(UNLIMITED);
    let page = query.optional("page", value::number(0..=1_000_000usize))?.unwrap_or(0);
    let mut filter = ConnectionFilter::default().order(ConnectionOrder::NewestFirst);
    filter = filter.limit(limit).skip(page.saturating_mul(limit));
    filter.id = query.optional("connectionId", value::text(TEXT))?;
    filter.text = query.optional("search", value::text(TEXT))?;
    filter.end_user = query.optional("endUserId", value::text(TEXT))?;
    filter.organisation = query.optional("endUserOrganizationId", value::text(TEXT))?;
    for key in query.optional("integrationId", value::list(value::text(MAX_NAME), INTEGRATIONS))?.unwrap_or_default() {
        filter = filter.integration(key);
    }
    for (name, value) in query.pairs().filter(|(name, _)| name.starts_with("tags[")) {
        let tag = notes::tag_name(Place::Query, name.trim_start_matches("tags[").trim_end_matches(']'))?;
        let value = value::read(Place::Query, name, value, value::text(TEXT))?;
        if filter.tags.insert(tag, value).is_some() {
            return Err(ApiError::parameter(Place::Query, name, "repeated", "was given twice: give it once"));
        }
    }
    let mut connections = Vec::new();
    for state in &call.engine().connection_states(&filter).await?.connections {
        connections.push(view::short(&call, state).await?);
    }
    Ok(Json(json!({ "connections": connections })).into_response())
}
