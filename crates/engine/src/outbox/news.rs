//! What a run has to tell: the bodies of its deliveries, committed with its end.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use highwater_core::{Cursor, Environment, Error, Result, RunId, Store, WriteBatch};
use serde::Serialize;

use super::destination::{Destination, destinations};
use super::row::{OutboxRow, row_key};
use crate::run::RunMode;

/// What a run did to one model.
#[derive(Clone, Debug)]
pub(super) struct ModelNews {
    pub(super) added: u64,
    pub(super) updated: u64,
    pub(super) deleted: u64,
    /// The stream's end before the run's first commit and after its last.
    pub(super) from: Cursor,
    pub(super) to: Cursor,
}

/// A run that ended.
#[derive(Debug)]
pub(super) struct RunNews<'r> {
    pub(super) run: &'r str,
    pub(super) connection: &'r str,
    pub(super) integration: &'r str,
    pub(super) sync: &'r str,
    pub(super) variant: &'r str,
    pub(super) mode: RunMode,
    pub(super) started_ms: u64,
    pub(super) ended_ms: u64,
    pub(super) models: &'r BTreeMap<String, ModelNews>,
    pub(super) error: Option<&'r Error>,
}

/// Adds a row per destination and model to the batch that ends the run.
pub(super) async fn add_rows(
    store: &dyn Store,
    environment: &dyn Environment,
    news: &RunNews<'_>,
    batch: &mut WriteBatch,
) -> Result<()> {
    for destination in destinations(store).await? {
        if !destination.wants(news.connection, news.integration) || destination.disabled.is_some() {
            continue;
        }
        for body in bodies(&destination, news) {
            let id = new_id(environment, news.ended_ms).to_string();
            let row = OutboxRow::new(id, body, news.ended_ms);
            batch.put_document(row_key(&destination.id, &row.id), &row)?;
        }
    }
    Ok(())
}

fn bodies(destination: &Destination, news: &RunNews<'_>) -> Vec<String> {
    let body = |model: &str, found: Option<&ModelNews>| {
        let error = news.error.map(|error| Failure {
            description: error.to_string(),
            failed_at: iso(news.ended_ms),
            r#type: format!("{:?}", error.kind()),
        });
        // A plain structure of strings and numbers: writing it cannot fail.
        serde_json::to_string(&Body {
            connection_id: news.connection,
            cursor: found.map(|found| CursorRange { from: found.from.to_string(), to: found.to.to_string() }),
            error,
            from: "highwater",
            model,
            modified_after: iso(news.started_ms),
            provider_config_key: news.integration,
            response_results: found.map_or_else(Results::default, |found| Results {
                added: found.added,
                deleted: found.deleted,
                updated: found.updated,
            }),
            run_id: news.run,
            started_at: iso(news.started_ms),
            success: news.error.is_none(),
            sync_name: news.sync,
            sync_type: news.mode,
            sync_variant: news.variant,
            r#type: "sync",
        })
        .unwrap_or_default()
    };
    if news.error.is_some() {
        let models: Vec<&str> = news.models.keys().map(String::as_str).collect();
        return if destination.on_error { vec![body(&models.join(","), None)] } else { Vec::new() };
    }
    let told = news
        .models
        .iter()
        .filter(|(_, found)| destination.on_unchanged || found.added + found.updated + found.deleted > 0);
    told.map(|(model, found)| body(model, Some(found))).collect()
}

/// The members are in order of their names, so that the text is the same for the same facts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'n> {
    connection_id: &'n str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<CursorRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
    from: &'static str,
    model: &'n str,
    modified_after: String,
    provider_config_key: &'n str,
    response_results: Results,
    run_id: &'n str,
    started_at: String,
    success: bool,
    sync_name: &'n str,
    sync_type: RunMode,
    sync_variant: &'n str,
    r#type: &'static str,
}

#[derive(Serialize)]
struct CursorRange {
    from: String,
    to: String,
}

#[derive(Serialize, Default)]
struct Results {
    added: u64,
    deleted: u64,
    updated: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    description: String,
    failed_at: String,
    r#type: String,
}

fn iso(at_ms: u64) -> String {
    let time = i64::try_from(at_ms).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn new_id(environment: &dyn Environment, now_ms: u64) -> RunId {
    let mut random = [0; 16];
    environment.fill_random(&mut random[6..]);
    RunId::from_parts(now_ms, u128::from_be_bytes(random))
}
