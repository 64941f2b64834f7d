//! Lists of connections.

use axum::Json;
use axum::response::IntoResponse;
use highwater_engine::connections::{ConnectionFilter, ConnectionOrder};
use serde_json::json;

use super::{notes, view};
use crate::about::{About, Parameter, param, schema};
use crate::call::{Call, MAX_NAME};
use crate::error::{ApiError, Place};
use crate::input::value;
use crate::route::Answer;

pub(super) fn parameters() -> [Parameter; 8] {
    [
        param("connectionId", schema::name(TEXT), "Only the connection of this id."),
        param("search", schema::name(TEXT), "Only with this text in the id, the name or the mail address."),
        param("endUserId", schema::name(TEXT), "Only of this end user."),
        param("endUserOrganizationId", schema::name(TEXT), "Only of end users of this organisation."),
        param("integrationId", schema::name(MAX_NAME), "Only of these integrations, with commas between them."),
        param("tags[*]", notes::tags_schema(), "Only with these tags: `tags[plan]=team`."),
        param("limit", schema::integer(1, 2000), "At most this many; 10,000 by default."),
        param("page", schema::integer(0, 1_000_000), "Which page, from 0."),
    ]
}

pub(super) fn about() -> About {
    let page = schema::object([("connections", schema::array(view::short_schema()))]);
    About::new("Lists connections, newest first.").answer(200, "A page.", page)
}

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
