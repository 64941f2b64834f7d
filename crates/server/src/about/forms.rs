//! The JSON forms that several routes answer with: those of `docs/json.md`, and of records.

use serde_json::{Value, json};

use super::schema::{any, array, count, map, ms, nullable, object, reference, switch, text, time, words};

/// The states of a run.
pub(crate) const RUN_STATES: &[&str] =
    &["queued", "running", "success", "error", "cancelled", "timed_out", "awaiting_approval"];
/// The kinds of a run.
pub(crate) const RUN_MODES: &[&str] = &["initial", "incremental", "webhook", "action", "proxy"];
/// The levels of a log line.
pub(crate) const LEVELS: &[&str] = &["debug", "info", "warning", "error"];

/// Returns the named schemas.
pub(crate) fn all() -> Vec<(&'static str, Value)> {
    let mut forms = vec![
        ("Error", error()),
        ("Success", object([("success", json!({ "const": true }))])),
        ("Stream", object([("connection", text()), ("model", text()), ("variant", text())])),
    ];
    forms.extend(records());
    forms.extend(runs());
    forms.extend(webhooks());
    forms
}

fn error() -> Value {
    let fault = object([
        ("code", words(&["missing", "empty", "invalid", "too_long", "repeated", "unknown"])),
        ("message", text()),
        ("path", array(text())),
    ]);
    let error = object([("code", text()), ("message", text()), ("errors?", array(fault)), ("payload?", any())]);
    object([("error", error)])
}

fn records() -> Vec<(&'static str, Value)> {
    let metadata = object([
        ("first_seen_at", time()),
        ("last_modified_at", time()),
        ("last_action", words(&["ADDED", "UPDATED", "DELETED"])),
        ("deleted_at", nullable(time())),
        ("pruned_at", nullable(time())),
        ("cursor", text()),
    ]);
    let members = [("id", text()), ("_highwater_metadata?", metadata)];
    let page = [("records", array(reference("Record"))), ("next_cursor", nullable(text())), ("resume_cursor", text())];
    let consumer = object([
        ("name", text()),
        ("acknowledged", nullable(text())),
        ("lag", count()),
        ("lag_ms", nullable(ms())),
        ("leased", switch()),
        ("backoff_ms", nullable(ms())),
        ("parked", array(text())),
        ("evicted", switch()),
    ]);
    let delivery =
        page.clone().into_iter().chain([("token", text()), ("attempt", count())]).collect::<Vec<(&str, Value)>>();
    vec![("Record", object(members)), ("RecordPage", object(page)), ("Consumer", consumer), ("Batch", object(delivery))]
}

fn runs() -> Vec<(&'static str, Value)> {
    let counts = || {
        vec![
            ("added", count()),
            ("updated", count()),
            ("unchanged", count()),
            ("deleted", count()),
            ("set_aside?", count()),
        ]
    };
    let progress = [("pages", count()), ("fetched", count()), ("total?", nullable(count()))];
    let progress = progress.into_iter().chain(counts()).chain([("rate_limited_until_ms?", nullable(ms()))]);
    let progress = object(progress.collect::<Vec<_>>());
    let held = object([
        ("model", text()),
        ("deletes", count()),
        ("live", count()),
        ("unidentified", count()),
        ("ids", array(text())),
    ]);
    let aside = object([("model", text()), ("id", nullable(text())), ("reason", text())]);
    let run = || {
        vec![
            ("id", text()),
            ("connection", text()),
            ("template", text()),
            ("variant?", text()),
            ("mode", words(RUN_MODES)),
            ("state", words(RUN_STATES)),
            ("started_ms", ms()),
            ("ended_ms", nullable(ms())),
            ("resumed", count()),
            ("progress", progress.clone()),
            ("models", map(object(counts()))),
            ("error", nullable(text())),
            ("error_kind?", text()),
            ("held?", array(held.clone())),
            ("set_aside?", array(aside.clone())),
            ("incomplete?", map(text())),
        ]
    };
    let line = || [("at_ms", ms()), ("level", words(LEVELS)), ("message", text())];
    let of_run = [("run", text()), ("connection", text()), ("sync", text())].into_iter().chain(line());
    let phase =
        object([("phase", words(&["fetch", "wait", "save", "deletes"])), ("count", count()), ("took_ms", ms())]);
    let wait = object([("reason", words(&["rate_limit", "retry"])), ("time_ms", ms())]);
    let request = object([
        ("at_ms", ms()),
        ("method", text()),
        ("url", text()),
        ("status", nullable(count())),
        ("error?", text()),
        ("attempt", count()),
        ("took_ms", ms()),
        ("bytes", count()),
        ("wait?", wait),
    ]);
    let trace = [("phases", array(phase)), ("requests", array(request)), ("sent", count())];
    vec![
        ("RunDetails", object(run().into_iter().chain(trace))),
        ("Run", object(run())),
        ("RunPage", object([("runs", array(reference("Run"))), ("next", nullable(text()))])),
        ("LogLine", object(line())),
        ("RunLogLine", object(of_run.collect::<Vec<_>>())),
    ]
}

fn webhooks() -> Vec<(&'static str, Value)> {
    let destination = object([
        ("id", text()),
        ("url", text()),
        ("connection?", text()),
        ("integration?", text()),
        ("on_unchanged", switch()),
        ("on_error", switch()),
        ("on_auth", switch()),
        ("on_action", switch()),
        ("on_forward?", switch()),
        ("allow_private", switch()),
        ("max_rows", count()),
        ("format?", words(&["highwater", "nango"])),
        ("disabled?", text()),
        ("waiting", count()),
        ("dead", count()),
    ]);
    let delivery = object([
        ("id", text()),
        ("body", text()),
        ("created_ms", ms()),
        ("attempts", count()),
        ("next_ms", ms()),
        ("pause_ms", ms()),
        ("waited_ms", ms()),
        ("last_error?", text()),
    ]);
    vec![("Destination", destination), ("Delivery", delivery)]
}
