//! `/store` and `/doctor`: how large the store is, whether it is sound, and giving free space back.

use std::time::Duration;

use axum::Json;
use axum::response::IntoResponse;
use highwater_core::{Maintenance, MaintenanceReport};
use serde::Serialize;
use serde_json::{Value, json};

use crate::about::{About, schema};
use crate::call::Call;
use crate::error::ApiError;
use crate::keys::Scope;
use crate::route::{Answer, Route};

/// How long reading or rewriting the whole store may take.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

pub(crate) fn routes() -> Vec<Route> {
    let text = schema::text;
    let stream = schema::object([
        ("stream", schema::reference("Stream")),
        ("high_water", text()),
        ("horizon", text()),
        ("incarnation", schema::count()),
        ("live", schema::count()),
        ("deleted", schema::count()),
        ("bytes", schema::count()),
        ("checksum", text()),
        ("open_run", schema::nullable(text())),
        ("number", schema::count()),
    ]);
    let codec = schema::object([("needs", schema::array(text())), ("unfinished", schema::switch())]);
    let sizes = schema::object([("streams", schema::array(stream)), ("codec", schema::nullable(codec))]);
    let words = ["verification", "removal", "files", "clock", "codec"];
    let finding = schema::object([("type", schema::words(&words))]);
    let findings = schema::object([("sound", schema::switch()), ("findings", schema::array(finding))]);
    let compacted = schema::object([("compaction", schema::words(&["complete", "held", "automatic"]))]);
    vec![
        Route::get("/store", Scope::Admin, sizes_of).about(
            About::new("Returns the size of each stream, and what is needed to read the payloads.").answer(
                200,
                "The sizes.",
                sizes,
            ),
        ),
        Route::post("/store/compact", Scope::Admin, compact)
            .answer_time(PATIENCE)
            .about(About::new("Gives free space back to the file system.").answer(200, "How far it came.", compacted)),
        Route::get("/doctor", Scope::Admin, doctor).answer_time(PATIENCE).about(
            About::new(
                "Reads the whole store and compares it with its sums: the findings of `highwater doctor --json`.",
            )
            .answer(200, "What was found.", findings),
        ),
    ]
}

async fn sizes_of(call: Call) -> Answer {
    let streams = call.store().streams().await?;
    let codec = match call.store().maintain(Maintenance::CheckCodec).await? {
        MaintenanceReport::Codec(health) => Some(health),
        _ => None,
    };
    Ok(Json(json!({ "streams": streams, "codec": codec })).into_response())
}

async fn compact(call: Call) -> Answer {
    let compaction = match call.store().maintain(Maintenance::Compact).await? {
        MaintenanceReport::Compacted(compaction) => compaction,
        _ => highwater_core::Compaction::Automatic,
    };
    Ok(Json(json!({ "compaction": compaction })).into_response())
}

/// A finding as the command prints it, with its `type`.
fn finding(kind: &str, found: impl Serialize) -> Result<Value, ApiError> {
    let mut shown = serde_json::to_value(found).map_err(|source| {
        highwater_core::Error::new(highwater_core::ErrorKind::Internal, "a finding cannot be written").because(source)
    })?;
    shown["type"] = kind.into();
    Ok(shown)
}

async fn doctor(call: Call) -> Answer {
    let store = call.store();
    let (mut sound, mut findings) = (true, Vec::new());
    if let MaintenanceReport::Codec(health) = store.maintain(Maintenance::CheckCodec).await?
        && health.unfinished
    {
        findings.push(finding("codec", &health)?);
    }
    if let MaintenanceReport::Files(found) = store.maintain(Maintenance::CheckFiles).await? {
        sound &= found.problems.is_empty();
        findings.push(finding("files", &found)?);
    }
    for head in store.streams().await? {
        if let MaintenanceReport::Verified(found) = store.maintain(Maintenance::Verify(head.stream.clone())).await? {
            sound &= found.is_clean();
            let shown = json!({ "stream": head.stream, "entries": found.entries, "versions": found.versions, "problems": found.problems, "missing": found.missing });
            findings.push(finding("verification", shown)?);
        }
    }
    for removal in &call.engine().pending_removals().await? {
        findings.push(finding("removal", removal)?);
    }
    if let MaintenanceReport::Clock(health) = store.maintain(Maintenance::CheckClock).await? {
        sound &= !health.implausible;
        let lead_ms = u64::try_from(health.lead.as_millis()).unwrap_or(u64::MAX);
        let shown = json!({ "now": health.now, "last_position_at": health.last_position_at, "accepted_at": health.accepted_at, "lead_ms": lead_ms, "implausible": health.implausible });
        findings.push(finding("clock", shown)?);
    }
    Ok(Json(json!({ "sound": sound, "findings": findings })).into_response())
}
