//! The state of a sync in the words of other programs.

use highwater_core::ErrorKind;
use highwater_engine::{Phase, SyncState};
use serde_json::{Map, Value, json};

use super::frequency;
use crate::about::schema;
use crate::call::Call;
use crate::error::ApiError;
use crate::routes::common::{iso, split_name, uuid};

/// The schema of a sync's state.
pub(super) fn schema() -> Value {
    let counts =
        schema::object([("added", schema::count()), ("updated", schema::count()), ("deleted", schema::count())]);
    schema::object([
        ("id", schema::text()),
        ("connection_id", schema::text()),
        ("name", schema::text()),
        ("variant", schema::text()),
        ("type", schema::words(&["INITIAL", "INCREMENTAL"])),
        ("status", schema::words(&["RUNNING", "STOPPED", "PAUSED", "ERROR", "SUCCESS"])),
        ("frequency", schema::nullable(schema::text())),
        ("nextScheduledSyncAt", schema::nullable(schema::time())),
        ("recordCount", schema::map(schema::count())),
        ("checkpoint", json!({ "type": "null" })),
        ("finishedAt?", schema::time()),
        ("latestExecutionStatus?", schema::words(&["RUNNING", "STOPPED", "SUCCESS"])),
        ("latestResult?", schema::map(counts)),
    ])
}

/// Returns the JSON of a sync's state.
pub(super) async fn report(call: &Call, state: &SyncState) -> Result<Value, ApiError> {
    let (name, variant) = split_name(&state.sync);
    let status = &state.status;
    let failed = status.last_error.is_some();
    let running = state.phase == Phase::Running;
    let execution = match (running, failed, status.last_started_at) {
        (true, ..) => Some("RUNNING"),
        (false, true, _) => Some("STOPPED"),
        (false, false, Some(_)) => Some("SUCCESS"),
        (false, false, None) => None,
    };
    let paused = state.settings.as_ref().is_some_and(|settings| settings.paused);
    let shown = match state.settings {
        _ if running => "RUNNING",
        None => "STOPPED",
        Some(_) if paused => "PAUSED",
        Some(_) if failed => "ERROR",
        Some(_) => "SUCCESS",
    };
    let mut finished = status.last_success_at.filter(|_| !failed);
    if let (true, Some(run)) = (failed, status.last_run) {
        finished = match call.engine().fetch_run(run).await {
            // No longer kept.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            run => run?.ended_at,
        };
    }
    let latest: Map<String, Value> = status
        .latest
        .iter()
        .map(|(model, counts)| {
            let counts = json!({ "added": counts.added, "updated": counts.updated, "deleted": counts.deleted });
            (model.clone(), counts)
        })
        .collect();
    let mut report = json!({
        "id": uuid(&[&state.connection, &state.sync]),
        "connection_id": state.connection,
        "name": name,
        "variant": variant,
        "type": if state.has_synced { "INCREMENTAL" } else { "INITIAL" },
        "status": shown,
        "frequency": state.settings.as_ref().map(|settings| frequency::text(&settings.schedule)),
        "nextScheduledSyncAt": status.next_due_at.filter(|_| !paused && state.settings.is_some()).map(iso),
        "recordCount": state.records,
        "checkpoint": null,
    });
    if let Some(members) = report.as_object_mut() {
        if let Some(finished) = finished.filter(|_| !running) {
            members.insert("finishedAt".to_owned(), iso(finished).into());
        }
        if let Some(execution) = execution {
            members.insert("latestExecutionStatus".to_owned(), execution.into());
        }
        if !latest.is_empty() {
            members.insert("latestResult".to_owned(), latest.into());
        }
    }
    Ok(report)
}
