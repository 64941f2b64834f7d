//! `GET /metrics`: numbers for Prometheus, in its text format (version 0.0.4).
//!
//! What happens is counted by this process; what is stored is read when it is asked for. The number of lines is bounded, whatever
//! names there are: no label names a record or a connection, and only the first hundred models, readers and destinations have lines of
//! their own.

mod family;
mod served;

pub(crate) use served::Served;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use highwater_core::{ErrorKind, StoreExt, Timestamp};
use highwater_engine::EngineCounters;

use crate::about::About;
use crate::call::Call;
use crate::error::ApiError;
use crate::keys::Scope;
use crate::route::{Answer, Route};
use family::{Family, Kind, Known, MOST};

/// The most deliveries that are counted for each destination.
const MOST_ROWS: usize = 1000;
/// The most streams whose readers are looked at.
const MOST_STREAMS: usize = 1000;

pub(crate) fn routes() -> Vec<Route> {
    let about = About::new(
        "Returns numbers for Prometheus: records, runs, requests to providers, webhooks, readers, and this server's own requests.",
    );
    let about = about.answer_as(200, "The text format of Prometheus.", "text/plain");
    vec![Route::get("/metrics", Scope::Read, metrics).about(about)]
}

async fn metrics(call: Call) -> Answer {
    let mut text = String::new();
    of_engine(&call.engine().counters(), &mut text);
    call.state.served.write(&mut text);
    of_streams(&call, &mut text).await?;
    of_webhooks(&call, &mut text).await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// What the engine of this process has done since it began.
fn of_engine(counters: &EngineCounters, text: &mut String) {
    let help = "Runs that ended or were parked, by sync and state.";
    let mut runs = Family::new("highwater_runs_total", Kind::Counter, help);
    let (mut known, mut summed) = (Known::default(), BTreeMap::<(String, String), u64>::new());
    for ((sync, state), count) in &counters.runs {
        let state = serde_json::to_value(state).ok().and_then(|state| state.as_str().map(str::to_owned));
        *summed.entry((known.label(sync), state.unwrap_or_default())).or_default() += count;
    }
    for ((sync, state), count) in &summed {
        runs.add(&[("sync", sync), ("state", state)], *count as f64);
    }
    runs.write(text);
    let help = "Requests to providers, by the status of the answer; 0 stands for no answer.";
    let mut requests = Family::new("highwater_provider_requests_total", Kind::Counter, help);
    for (status, count) in &counters.requests {
        requests.add(&[("status", &status.to_string())], *count as f64);
    }
    requests.write(text);
    let help = "How often requests to providers were held back, by the reason.";
    let mut waits = Family::new("highwater_provider_waits_total", Kind::Counter, help);
    let help = "How long requests to providers were held back, by the reason.";
    let mut seconds = Family::new("highwater_provider_wait_seconds_total", Kind::Counter, help);
    for (reason, (count, time)) in &counters.waits {
        waits.add(&[("reason", reason.as_str())], *count as f64);
        seconds.add(&[("reason", reason.as_str())], time.as_secs_f64());
    }
    waits.write(text);
    seconds.write(text);
    let mut changes =
        Family::new("highwater_record_changes_total", Kind::Counter, "Records that runs changed, by action.");
    for (action, count) in [("added", counters.added), ("updated", counters.updated), ("deleted", counters.deleted)] {
        changes.add(&[("action", action)], count as f64);
    }
    changes.write(text);
}

#[derive(Default)]
struct OfModel {
    live: u64,
    deleted: u64,
    bytes: u64,
    last: Timestamp,
}

#[derive(Default)]
struct OfReader {
    lag: u64,
    lag_time: Duration,
    parked: u64,
}

/// A gauge: its name, what it is, and its number.
type Gauge<T> = (&'static str, &'static str, fn(&T) -> f64);

/// What the store has, by model: there may be many connections.
async fn of_streams(call: &Call, text: &mut String) -> Result<(), ApiError> {
    let store = call.store();
    let (mut models, mut readers) = (Known::default(), Known::default());
    let mut of_models: BTreeMap<String, OfModel> = BTreeMap::new();
    let mut of_readers: BTreeMap<(String, String), OfReader> = BTreeMap::new();
    for (place, head) in store.streams().await?.into_iter().enumerate() {
        let label = models.label(head.stream.model());
        let model = of_models.entry(label.clone()).or_default();
        model.live += head.live;
        model.deleted += head.deleted;
        model.bytes += head.bytes;
        model.last = model.last.max(head.high_water.time());
        if place >= MOST_STREAMS {
            continue;
        }
        for name in store.consumers(&head.stream).await? {
            let status = match store.consumer(&head.stream, &*name).status().await {
                // Removed in the meantime.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                status => status?,
            };
            // A pair of names is one value: there are no more of them than of each.
            let reader = match readers.label(&format!("{name} {label}")).as_str() {
                "other" => ("other".to_owned(), "other".to_owned()),
                _ => (name.chars().take(MOST).collect(), label.clone()),
            };
            let reader = of_readers.entry(reader).or_default();
            reader.lag += status.lag;
            reader.lag_time = reader.lag_time.max(status.lag_time.unwrap_or_default());
            reader.parked += status.parked.len() as u64;
        }
    }
    let gauges: [Gauge<OfModel>; 4] = [
        ("highwater_records", "Live records, by model.", |model| model.live as f64),
        ("highwater_deleted_records", "Deleted records that are still listed, by model.", |model| model.deleted as f64),
        ("highwater_payload_bytes", "Payload bytes of live records, by model.", |model| model.bytes as f64),
        (
            "highwater_log_last_change_timestamp_seconds",
            "The time of the modification log's last position, by model.",
            |model| model.last.unix_ms() as f64 / 1000.0,
        ),
    ];
    for (name, help, number) in gauges {
        let mut family = Family::new(name, Kind::Gauge, help);
        for (model, of) in &of_models {
            family.add(&[("model", model)], number(of));
        }
        family.write(text);
    }
    let gauges: [Gauge<OfReader>; 3] = [
        ("highwater_consumer_lag_records", "Entries that a consumer has not acknowledged.", |of| of.lag as f64),
        ("highwater_consumer_lag_seconds", "The age of the oldest of them.", |of| of.lag_time.as_secs_f64()),
        ("highwater_consumer_parked_records", "Records that a consumer set aside.", |of| of.parked as f64),
    ];
    for (name, help, number) in gauges {
        let mut family = Family::new(name, Kind::Gauge, help);
        for ((consumer, model), of) in &of_readers {
            family.add(&[("consumer", consumer), ("model", model)], number(of));
        }
        family.write(text);
    }
    Ok(())
}

async fn of_webhooks(call: &Call, text: &mut String) -> Result<(), ApiError> {
    let outbox = &call.state.outbox;
    let help = "Webhooks that wait or could not be delivered, up to 1,000 of each.";
    let mut rows = Family::new("highwater_outbox_rows", Kind::Gauge, help);
    for destination in outbox.destinations().await?.into_iter().take(MOST) {
        let waiting = outbox.waiting(&destination.id, "", MOST_ROWS).await?.len();
        let dead = outbox.dead_letters(&destination.id, "", MOST_ROWS).await?.len();
        for (state, count) in [("waiting", waiting), ("dead", dead)] {
            rows.add(&[("destination", &destination.id), ("state", state)], count as f64);
        }
    }
    rows.write(text);
    Ok(())
}
