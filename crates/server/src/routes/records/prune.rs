//! `PATCH /records/prune`: removes payloads that the host has stored.

use axum::Json;
use axum::response::IntoResponse;
use highwater_core::{Cursor, DEFAULT_VARIANT, MAX_NAME_BYTES, Maintenance, MaintenanceReport, PruneWhat, StreamKey};
use serde::Deserialize;
use serde_json::json;

use super::reading::MAX_LIMIT;
use crate::about::{About, schema};
use crate::call::Call;
use crate::error::{ApiError, Place};
use crate::input::value::{self, text};
use crate::route::Answer;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    model: String,
    until_cursor: String,
    variant: Option<String>,
    limit: Option<usize>,
}

pub(super) fn about() -> About {
    let body = schema::closed([
        ("model", schema::name(MAX_NAME_BYTES)),
        ("until_cursor", schema::text()),
        ("variant?", schema::name(MAX_NAME_BYTES)),
        ("limit?", schema::integer(1, MAX_LIMIT as u64)),
    ]);
    let answer = schema::object([
        ("count", schema::count()),
        ("has_more", schema::switch()),
        ("held_by", schema::nullable(schema::text())),
    ]);
    About::new("Removes the payloads of everything up to a cursor, that one included; `held_by` names the consumer that still needs some.")
        .of_connection()
        .body(body, json!({ "model": "Contact", "until_cursor": "01K…" }))
        .answer(200, "How many were removed.", answer)
        .error(400, "invalid_cursor")
        .error(410, "cursor_expired")
}

/// Removes the payloads of everything up to a cursor, that one included, in one step. Records that are still to be read by a named
/// consumer keep theirs: `held_by` names it.
pub(super) async fn prune(mut call: Call) -> Answer {
    let body: Body = call.json().await?;
    let name = |name, value: &str| value::read(Place::Body, name, value, text(MAX_NAME_BYTES));
    let model = name("model", &body.model)?;
    let variant = body.variant.as_deref().map(|variant| name("variant", variant)).transpose()?;
    if body.limit.is_some_and(|limit| !(1..=MAX_LIMIT).contains(&limit)) {
        let why = format!("must be a whole number from 1 to {MAX_LIMIT}");
        return Err(ApiError::parameter(Place::Body, "limit", "invalid", why));
    }
    let up_to: Cursor = body.until_cursor.parse()?;
    let connection = call.connection().await?;
    let stream = StreamKey::new(&connection.id, model).with_variant(variant.as_deref().unwrap_or(DEFAULT_VARIANT));
    let report = call.store().maintain(Maintenance::Prune { stream, what: PruneWhat::Payloads, up_to }).await?;
    let (count, held_by) = match report {
        MaintenanceReport::Pruned { removed, held_by, .. } => (removed, held_by),
        _ => (0, None),
    };
    // All of it was removed at once, whatever the limit: a client that goes on while there is more is done.
    Ok(Json(json!({ "count": count, "has_more": false, "held_by": held_by })).into_response())
}
