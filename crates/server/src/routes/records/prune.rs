//! `PATCH /records/prune`: removes payloads that the host has stored.

use axum::Json;
use axum::response::IntoResponse;
use highwater_core::{
    Cursor, DEFAULT_VARIANT, MAX_NAME_BYTES, Maintenance, MaintenanceReport, PruneWhat, Store, StoreExt, StreamKey,
};
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
    About::new("Removes the payloads of everything up to a cursor, that one included, or of the first `limit` of them; `held_by` names the consumer that still needs some.")
        .of_connection()
        .body(body, json!({ "model": "Contact", "until_cursor": "01K…" }))
        .answer(200, "How many were removed.", answer)
        .error(400, "invalid_cursor")
        .error(410, "cursor_expired")
}

/// Removes the payloads of everything up to a cursor, that one included, or of the first `limit` of them, in one step. Records that
/// are still to be read by a named consumer keep theirs: `held_by` names it.
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
    let (up_to, has_more) = match body.limit {
        Some(limit) => first(&**call.store(), &stream, limit, up_to).await?,
        None => (up_to, false),
    };
    let report = call.store().maintain(Maintenance::Prune { stream, what: PruneWhat::Payloads, up_to }).await?;
    let (count, held_by) = match report {
        MaintenanceReport::Pruned { removed, held_by, .. } => (removed, held_by),
        _ => (0, None),
    };
    // What a consumer holds stays, however often the client goes on.
    let has_more = has_more && held_by.is_none();
    Ok(Json(json!({ "count": count, "has_more": has_more, "held_by": held_by })).into_response())
}

/// Finds where the first `limit` payloads of a stream end that are still there, `up_to` at the latest, and whether more follow before
/// `up_to`.
async fn first(store: &dyn Store, stream: &StreamKey, limit: usize, up_to: Cursor) -> Result<(Cursor, bool), ApiError> {
    let (mut found, mut end, mut from) = (0, None, Cursor::START);
    loop {
        let page = store.records(stream).since(from).limit(MAX_LIMIT).metadata_only().page().await?;
        for change in &page.changes {
            let metadata = &change.record.metadata;
            if metadata.cursor.position() > up_to.position() {
                return Ok((end.unwrap_or(up_to), false));
            }
            if metadata.pruned_at.is_some() {
                continue;
            }
            if found == limit {
                return Ok((end.unwrap_or(up_to), true));
            }
            found += 1;
            end = Some(metadata.cursor);
        }
        if page.caught_up {
            return Ok((up_to, false));
        }
        from = page.next_cursor;
    }
}
