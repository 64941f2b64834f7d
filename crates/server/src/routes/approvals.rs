//! `/approvals`: deletes that a run holds back until somebody decides.

use axum::Json;
use axum::response::IntoResponse;
use highwater_core::{Error, ErrorKind};
use highwater_engine::{RunReport, RunState};

use super::runs::{After, page_filter, page_parameters, run_id};
use crate::about::{About, schema};
use crate::call::Call;
use crate::error::ApiError;
use crate::keys::Scope;
use crate::route::{Answer, Route};

/// The conditions that make no sense here.
const OF_ALL_RUNS: [&str; 2] = ["state", "type"];

pub(crate) fn routes() -> Vec<Route> {
    let parameters = page_parameters().into_iter().filter(|parameter| !OF_ALL_RUNS.contains(&parameter.name));
    let decided =
        |about: About| about.answer(200, "The run.", schema::reference("Run")).error(409, "not_awaiting_approval");
    vec![
        Route::get("/approvals", Scope::Read, list).query(parameters).about(
            About::new(
                "Lists the runs that hold deletes back, newest first: `held` says what would go, with the first ids.",
            )
            .answer(200, "A page.", schema::reference("RunPage")),
        ),
        Route::post("/approvals/{id}/approve", Scope::Write, approve)
            .about(decided(About::new("Deletes what a run holds back, except records written since."))),
        Route::post("/approvals/{id}/reject", Scope::Write, reject)
            .about(decided(About::new("Drops the deletes that a run holds back: the records stay."))),
    ]
}

async fn list(call: Call) -> Answer {
    let filter = page_filter(&call, After::Run)?.state(RunState::AwaitingApproval);
    Ok(Json(call.engine().runs_matching(&filter).await?).into_response())
}

async fn approve(call: Call) -> Answer {
    answer(call.engine().approve(run_id(&call)?).await)
}

async fn reject(call: Call) -> Answer {
    answer(call.engine().reject(run_id(&call)?).await)
}

fn answer(decided: Result<RunReport, Error>) -> Answer {
    match decided {
        Ok(run) => Ok(Json(run).into_response()),
        Err(error) if error.kind() == ErrorKind::Invalid => {
            let message = "the run holds no deletes back: it was decided on, or a later run took its place";
            Err(ApiError::new(axum::http::StatusCode::CONFLICT, "not_awaiting_approval", message))
        }
        Err(error) => Err(error.into()),
    }
}
