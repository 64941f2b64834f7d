//! `GET /records`: pages of a model's modification log, oldest first, and what removes their payloads.

mod cache;
mod follow;
pub(super) mod page;
mod prune;
pub(super) mod reading;
mod shared;
mod wait;
mod write;

use axum::response::Response;
use serde_json::json;

use crate::about::{About, param, schema};
use crate::call::Call;
use crate::keys::Scope;
use crate::route::{Answer, Route};
pub(crate) use cache::AnswerCache;
use reading::Reading;
pub(crate) use shared::Shared;
use wait::Read;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/records", Scope::Read, records).query(reading::page()).answer_time(wait::ANSWER_TIME).about(
            reads(About::new("Returns a page of a model's modification log, oldest first."))
                .answer(200, "A page.", schema::reference("RecordPage"))
                .like(json!({
                    "records": [{ "id": "7", "title": "Leak", "_highwater_metadata": {
                        "first_seen_at": "2026-11-30T12:00:00.000Z", "last_modified_at": "2026-11-30T12:00:00.000Z",
                        "last_action": "ADDED", "deleted_at": null, "pruned_at": null, "cursor": "01K…",
                    } }],
                    "next_cursor": null, "resume_cursor": "01K…",
                })),
        ),
        Route::patch("/records/prune", Scope::Write, prune::prune).about(prune::about()),
        Route::get("/stream", Scope::Read, follow::follow).query(reading::stream()).about(
            reads(About::new(
                "Follows a model's modifications as server-sent events, from a cursor on and without end.",
            ))
            .headers([param("Last-Event-ID", schema::name(1000), "Continue behind this event: its id is a cursor.")])
            .answer_as(200, "Events `record`, each with a record.", "text/event-stream"),
        ),
    ]
}

/// What every route has that reads from a cursor on.
fn reads(about: About) -> About {
    about.of_connection().error(400, "invalid_cursor").error(410, "cursor_expired")
}

async fn records(call: Call) -> Answer {
    let reading = Reading::of_page(&call).await?;
    let stream = reading.request.stream.clone();
    Ok::<Response, _>(match wait::page(&call, reading).await? {
        Read::Kept(body) => page::json(body),
        Read::Page(page, wanted) => page::answer(page, call.state.compat, |body| {
            // Only what was read of one version.
            if let Some(wanted) = wanted.filter(|wanted| call.store().stream_version(&stream) == Some(wanted.version)) {
                call.state.cache.keep(*wanted, body);
            }
        }),
    })
}
