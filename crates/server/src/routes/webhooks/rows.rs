//! The deliveries of a destination: what waits, and what could not be delivered.

use axum::Json;
use axum::response::IntoResponse;
use highwater_core::ErrorKind;
use highwater_engine::webhooks::OutboxRow;
use serde::Deserialize;
use serde_json::json;

use super::{done, named};
use crate::about::{About, Parameter, param, schema};
use crate::call::Call;
use crate::error::ApiError;
use crate::input::value;
use crate::keys::Scope;
use crate::route::{Answer, Route};
use crate::routes::common::text;

/// The most deliveries of a page.
const MOST: usize = 1000;
/// The longest id of a delivery, in bytes.
const MAX_ROW: usize = 100;

pub(super) fn routes() -> Vec<Route> {
    let page = || {
        let rows = schema::array(schema::reference("Delivery"));
        schema::object([("deliveries", rows), ("next", schema::nullable(schema::text()))])
    };
    let replay = schema::closed([("id?", schema::nullable(schema::name(MAX_ROW)))]);
    vec![
        Route::get("/webhooks/{id}/waiting", Scope::Read, waiting).query(parameters()).about(
            About::new("Lists the deliveries that wait for a destination, oldest first.").answer(
                200,
                "A page.",
                page(),
            ),
        ),
        Route::get("/webhooks/{id}/dead", Scope::Read, dead).query(parameters()).about(
            About::new("Lists the deliveries that failed for three days, oldest first.").answer(200, "A page.", page()),
        ),
        Route::post("/webhooks/{id}/replay", Scope::Admin, replay_dead).about(
            About::new("Queues dead letters again: the one that `id` names, or all of them.")
                .body(replay, json!({}))
                .answer(200, "How many.", schema::object([("deliveries", schema::count())])),
        ),
        Route::delete("/webhooks/{id}/dead/{delivery}", Scope::Admin, discard)
            .about(About::new("Discards a dead letter: it is never delivered.").success("It is gone.")),
    ]
}

fn parameters() -> [Parameter; 2] {
    [
        param("after", schema::name(MAX_ROW), "Continue after a page: its `next`."),
        param("limit", schema::integer(1, MOST as u64), "At most this many; 25 by default."),
    ]
}

/// A page's position and size.
fn page_of(call: &Call) -> Result<(String, usize), ApiError> {
    let after = call.query.optional("after", value::text(MAX_ROW))?.unwrap_or_default();
    Ok((after, call.query.optional("limit", value::number(1..=MOST))?.unwrap_or(25)))
}

fn page(mut rows: Vec<OutboxRow>, limit: usize) -> Answer {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.id.clone());
    Ok(Json(json!({ "deliveries": rows, "next": next })).into_response())
}

async fn waiting(call: Call) -> Answer {
    let (after, limit) = page_of(&call)?;
    let id = named(&call).await?.id;
    page(call.state.outbox.waiting(&id, &after, limit + 1).await?, limit)
}

async fn dead(call: Call) -> Answer {
    let (after, limit) = page_of(&call)?;
    let id = named(&call).await?.id;
    page(call.state.outbox.dead_letters(&id, &after, limit + 1).await?, limit)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replay {
    id: Option<String>,
}

async fn replay_dead(mut call: Call) -> Answer {
    let body: Replay = call.json().await?;
    let row = body.id.as_deref().map(|id| text("id", id, MAX_ROW)).transpose()?;
    let id = named(&call).await?.id;
    let outbox = &call.state.outbox;
    let deliveries = match row {
        Some(row) => outbox.replay(&id, &row).await.map(|()| 1).map_err(no_letter)?,
        None => outbox.replay_all(&id).await?,
    };
    Ok(Json(json!({ "deliveries": deliveries })).into_response())
}

async fn discard(call: Call) -> Answer {
    let row = call.path("delivery", MAX_ROW)?;
    let id = named(&call).await?.id;
    call.state.outbox.discard(&id, &row).await.map_err(no_letter)?;
    done()
}

fn no_letter(error: highwater_core::Error) -> ApiError {
    match error.kind() {
        ErrorKind::NotFound => {
            ApiError::not_found("the destination has no such dead letter: GET /webhooks/ID/dead lists them")
        }
        _ => error.into(),
    }
}
