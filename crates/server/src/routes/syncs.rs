//! `/sync/*`: triggers, pauses, states, frequencies and variants of syncs.

mod frequency;
mod report;
mod variants;

use std::collections::BTreeSet;

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use highwater_core::ErrorKind;
use highwater_engine::{SyncHandle, TriggerMode};
use serde::Deserialize;
use serde_json::json;

use super::common::{
    SyncName, connection_id, connections_of, integration_key, provider_of, sync_name, sync_name_schema,
};
use crate::about::{About, param, schema};
use crate::call::{Call, MAX_NAME};
use crate::error::{ApiError, Place};
use crate::input::{Object, value};
use crate::keys::Scope;
use crate::route::{Answer, Route};

/// The most syncs that one request names.
const MOST: usize = 256;

pub(crate) fn routes() -> Vec<Route> {
    let named = || {
        vec![
            ("syncs", schema::array_of(sync_name_schema(), MOST)),
            ("provider_config_key", schema::name(MAX_NAME)),
            ("connection_id?", schema::nullable(schema::name(MAX_NAME))),
        ]
    };
    let example = || json!({ "syncs": ["records"], "provider_config_key": "demo-crm", "connection_id": "demo" });
    let of_syncs = |about: About| {
        about
            .success("It is done.")
            .error(400, "no_syncs_found")
            .error(400, "unknown_provider_config")
            .error(404, "unknown_connection")
    };
    let switch = || schema::nullable(schema::switch());
    let options = schema::object([("reset?", switch()), ("emptyCache?", switch())]);
    let trigger_body = [
        ("syncs", schema::array_of(sync_name_schema(), MOST)),
        ("provider_config_key?", schema::nullable(schema::text())),
        ("connection_id?", schema::nullable(schema::text())),
        ("opts?", schema::nullable(options)),
        ("sync_mode?", schema::words(&["incremental", "full_refresh", "full_refresh_and_clear_cache"])),
        ("full_resync?", schema::nullable(schema::switch())),
    ];
    let of_trigger = [
        param("Provider-Config-Key", schema::text(), "The integration, if the body does not name it."),
        param("Connection-Id", schema::text(), "The connection, if the body does not name it."),
    ];
    let status_query = [
        param("syncs", schema::name(4096), "`*`, or names with commas between them.").required().example("*"),
        param("provider_config_key", schema::name(MAX_NAME), "The integration.").required().example("demo-crm"),
        param("connection_id", schema::name(MAX_NAME), "Only of this connection."),
    ];
    let states = schema::object([("syncs", schema::array(report::schema()))]);
    vec![
        Route::post("/sync/trigger", Scope::Write, trigger).about(of_syncs(
            About::new("Requests runs of enabled syncs; without names, of all of the connection or the integration.")
                .headers(of_trigger)
                .body(schema::closed(trigger_body), example())
                .error(400, "missing_provider_config_key"),
        )),
        Route::post("/sync/start", Scope::Write, start)
            .about(of_syncs(About::new("Resumes enabled syncs.").body(schema::closed(named()), example()))),
        Route::post("/sync/pause", Scope::Write, pause)
            .about(of_syncs(About::new("Pauses enabled syncs.").body(schema::closed(named()), example()))),
        Route::get("/sync/status", Scope::Read, status).query(status_query).about(
            About::new("Returns how syncs stand. Names that are unknown are left out.")
                .answer(200, "The syncs.", states)
                .error(400, "unknown_provider_config")
                .error(400, "invalid_body"),
        ),
        Route::put("/sync/update-connection-frequency", Scope::Write, frequency::update).about(frequency::about()),
        Route::post("/sync/{name}/variant/{variant}", Scope::Write, variants::create).about(variants::about_create()),
        Route::delete("/sync/{name}/variant/{variant}", Scope::Write, variants::delete).about(variants::about_delete()),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trigger {
    syncs: Vec<SyncName>,
    provider_config_key: Option<String>,
    connection_id: Option<String>,
    opts: Option<Object<TriggerOptions>>,
    sync_mode: Option<SyncMode>,
    full_resync: Option<bool>,
}

#[derive(Deserialize)]
struct TriggerOptions {
    reset: Option<bool>,
    #[serde(rename = "emptyCache")]
    empty_cache: Option<bool>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SyncMode {
    Incremental,
    FullRefresh,
    FullRefreshAndClearCache,
}

impl Trigger {
    fn mode(&self) -> Result<TriggerMode, ApiError> {
        let Some(options) = &self.opts else {
            return Ok(match self.sync_mode {
                Some(SyncMode::Incremental) => TriggerMode::Plain,
                Some(SyncMode::FullRefresh) => TriggerMode::Reset,
                Some(SyncMode::FullRefreshAndClearCache) => TriggerMode::ResetAndClear,
                None if self.full_resync == Some(true) => TriggerMode::Reset,
                None => TriggerMode::Plain,
            });
        };
        if self.sync_mode.is_some() || self.full_resync.is_some() {
            let message = "opts stands for sync_mode and full_resync: send opts alone";
            return Err(ApiError::bad("invalid_body", message));
        }
        // Records that were cleared have to be read again, whatever was asked of the checkpoint.
        Ok(match (options.reset.unwrap_or(false), options.empty_cache.unwrap_or(false)) {
            (_, true) => TriggerMode::ResetAndClear,
            (true, false) => TriggerMode::Reset,
            (false, false) => TriggerMode::Plain,
        })
    }
}

async fn trigger(mut call: Call) -> Answer {
    let body: Trigger = call.json().await?;
    let mode = body.mode()?;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let key = match given(&body.provider_config_key) {
        Some(key) => Some(integration_key(&key)?),
        None => call.headers().optional_or_empty("Provider-Config-Key", value::text(MAX_NAME))?,
    };
    let key = key.ok_or_else(|| {
        let message = "name the integration: provider_config_key in the body, or the header Provider-Config-Key";
        ApiError::bad("missing_provider_config_key", message)
    })?;
    let connection = match given(&body.connection_id) {
        Some(id) => Some(connection_id(&id)?),
        None => call.headers().optional_or_empty("Connection-Id", value::text(MAX_NAME))?,
    };
    for sync in targets(&call, &key, connection.as_deref(), &body.syncs).await? {
        sync.trigger(mode).await?;
    }
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    syncs: Vec<SyncName>,
    provider_config_key: String,
    connection_id: Option<String>,
}

impl Named {
    async fn targets(&self, call: &Call) -> Result<Vec<SyncHandle>, ApiError> {
        let key = integration_key(&self.provider_config_key)?;
        let connection = self.connection_id.as_deref().map(connection_id).transpose()?;
        targets(call, &key, connection.as_deref(), &self.syncs).await
    }
}

async fn start(mut call: Call) -> Answer {
    let body: Named = call.json().await?;
    for sync in body.targets(&call).await? {
        sync.resume().await?;
    }
    done()
}

async fn pause(mut call: Call) -> Answer {
    let body: Named = call.json().await?;
    for sync in body.targets(&call).await? {
        sync.pause().await?;
    }
    done()
}

fn done() -> Answer {
    Ok(Json(json!({ "success": true })).into_response())
}

/// The enabled syncs that a request names; without names, all of the connection, or of all connections of the integration.
async fn targets(
    call: &Call,
    key: &str,
    connection: Option<&str>,
    names: &[SyncName],
) -> Result<Vec<SyncHandle>, ApiError> {
    if names.len() > MOST {
        return Err(ApiError::parameter(Place::Body, "syncs", "too_long", "names more than 256 syncs: name fewer"));
    }
    let provider = provider_of(call, key).await?;
    let names = names.iter().map(|name| name.of(&provider)).collect::<Result<BTreeSet<String>, ApiError>>()?;
    let connections = match connection {
        Some(id) => BTreeSet::from([existing(call, key, id).await?]),
        None => connections_of(call, key).await?,
    };
    let (mut found, mut met) = (Vec::new(), BTreeSet::new());
    for settings in call.engine().enabled_syncs().await? {
        let sync = settings.sync();
        if connections.contains(&settings.connection) && (names.is_empty() || names.contains(&sync)) {
            found.push(call.engine().sync(&settings.connection, &sync)?);
            met.insert(sync);
        }
    }
    let complete = if connection.is_some() { names.is_subset(&met) } else { !found.is_empty() };
    if complete { Ok(found) } else { Err(no_syncs()) }
}

fn no_syncs() -> ApiError {
    ApiError::bad("no_syncs_found", "no such sync is enabled there: check the names, or enable it first")
}

async fn existing(call: &Call, key: &str, id: &str) -> Result<String, ApiError> {
    match call.connection_of(key, id).await {
        Ok(settings) => Ok(settings.id),
        Err(_) => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "unknown_connection",
            "no connection has this connection_id at this provider_config_key: check both, or connect it first",
        )),
    }
}

async fn status(call: Call) -> Answer {
    let names = call.query.required("syncs", value::text(64 * MOST))?;
    let key = call.query.required("provider_config_key", value::text(MAX_NAME))?;
    let connection = call.query.optional("connection_id", value::text(MAX_NAME))?;
    let provider = provider_of(&call, &key).await?;
    let connections = match &connection {
        Some(id) => match existing(&call, &key, id).await {
            Ok(id) => BTreeSet::from([id]),
            Err(_) => return Err(ApiError::bad("invalid_body", "Connection not found: check the connection_id")),
        },
        None => connections_of(&call, &key).await?,
    };
    let mut syncs: BTreeSet<(String, String)> = BTreeSet::new();
    if names == "*" {
        for settings in call.engine().enabled_syncs().await? {
            if connections.contains(&settings.connection) {
                syncs.insert((settings.connection.clone(), settings.sync()));
            }
        }
    } else {
        for name in names.split(',') {
            let (name, variant) = name.trim().split_once("::").unwrap_or((name.trim(), super::common::BASE));
            let sync = sync_name(Place::Query, &provider, name, variant)?;
            syncs.extend(connections.iter().map(|connection| (connection.clone(), sync.clone())));
        }
    }
    let mut reports = Vec::new();
    for (connection, sync) in syncs {
        let state = match call.engine().sync(&connection, &sync)?.state().await {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            state => state?,
        };
        // One that was never enabled is no sync of the connection.
        if state.settings.is_some() || state.status.last_started_at.is_some() {
            reports.push(report::report(&call, &state).await?);
        }
    }
    Ok(Json(json!({ "syncs": reports })).into_response())
}
