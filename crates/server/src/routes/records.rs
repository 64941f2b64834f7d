//! `GET /records`: pages of a model's modification log, oldest first, and what removes their payloads.

mod follow;
pub(super) mod page;
mod prune;
pub(super) mod reading;
mod wait;
mod write;

use axum::response::Response;

use crate::call::Call;
use crate::keys::Scope;
use crate::route::{Answer, Route};
use page::answer;
use reading::Reading;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/records", Scope::Read, records).query(reading::PAGE).answer_time(wait::ANSWER_TIME),
        Route::patch("/records/prune", Scope::Write, prune::prune),
        Route::get("/stream", Scope::Read, follow::follow).query(reading::STREAM),
    ]
}

async fn records(call: Call) -> Answer {
    let reading = Reading::of_page(&call).await?;
    let page = wait::page(&call, reading).await?;
    Ok::<Response, _>(answer(page, call.state.compat))
}
