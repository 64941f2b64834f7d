//! Variants of a sync: further copies of it for one connection, each with streams, a checkpoint and a schedule of its own.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use highwater_core::ErrorKind;
use highwater_engine::syncs::SyncSettings;
use highwater_engine::{DisableMode, SyncHandle, SyncOptions};
use serde::Deserialize;
use serde_json::json;

use crate::about::{About, schema};
use crate::call::{Call, MAX_NAME};
use crate::error::{ApiError, Place};
use crate::route::Answer;
use crate::routes::common::{BASE, MAX_SYNC, connection_id, integration_key, provider_of, split_name, sync_name, uuid};

/// The most variants of one sync for one connection.
const MOST: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    provider_config_key: String,
    connection_id: String,
}

fn about(summary: &'static str) -> About {
    let body =
        schema::closed([("provider_config_key", schema::name(MAX_NAME)), ("connection_id", schema::name(MAX_NAME))]);
    About::new(summary)
        .body(body, json!({ "provider_config_key": "demo-crm", "connection_id": "demo" }))
        .error(400, "invalid_variant")
        .error(400, "unknown_connection")
        .error(400, "unknown_provider_config")
}

pub(super) fn about_create() -> About {
    let made = schema::object([("id", schema::text()), ("name", schema::text()), ("variant", schema::text())]);
    about("Enables a copy of a sync, with the schedule of the sync itself.")
        .answer(200, "The copy.", made)
        .error(400, "unknown_sync")
        .error(400, "sync_variant_already_exists")
        .error(400, "resource_capped")
}

pub(super) fn about_delete() -> About {
    about("Disables a copy of a sync and removes its records.").success("It is gone.").error(400, "unknown_sync")
}

/// A variant that a request names.
struct Named {
    connection: String,
    /// The sync itself, and the variant of it.
    base: String,
    sync: String,
    name: String,
    variant: String,
}

async fn named(call: &mut Call) -> Result<Named, ApiError> {
    let body: Body = call.json().await?;
    let (name, variant) = (call.path("name", MAX_SYNC)?, call.path("variant", MAX_SYNC)?);
    let key = integration_key(&body.provider_config_key)?;
    let id = connection_id(&body.connection_id)?;
    if variant.eq_ignore_ascii_case(BASE) {
        let message = "the variant \"base\" is the sync itself: choose another name, or enable and disable the sync";
        return Err(ApiError::bad("invalid_variant", message));
    }
    let connection = call.connection_of(&key, &id).await?.id;
    let provider = provider_of(call, &key).await?;
    Ok(Named {
        base: sync_name(Place::Path, &provider, &name, BASE)?,
        sync: sync_name(Place::Path, &provider, &name, &variant)?,
        connection,
        name,
        variant,
    })
}

pub(super) async fn create(mut call: Call) -> Answer {
    let named = named(&mut call).await?;
    let engine = call.engine();
    let unknown = || ApiError::bad("unknown_sync", "the provider has no such sync: check its name");
    let sync = handle(&call, &named)?;
    match sync.state().await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(unknown()),
        Ok(state) if state.settings.is_some() => {
            let message = "the connection has this variant: choose another name";
            return Err(ApiError::bad("sync_variant_already_exists", message));
        }
        state => drop(state?),
    }
    let enabled = engine.enabled_syncs().await?;
    let of_sync = |settings: &&SyncSettings| {
        settings.connection == named.connection && settings.sync().split("::").next() == Some(named.base.as_str())
    };
    if enabled.iter().filter(of_sync).count() >= MOST {
        return Err(ApiError::bad("resource_capped", "a sync has at most 100 variants for a connection: delete some"));
    }
    // A copy runs as the sync itself does.
    let base = enabled.iter().filter(of_sync).find(|settings| settings.variant.is_none());
    let options = base.map_or_else(SyncOptions::default, |base| {
        let options = SyncOptions::default().schedule(base.schedule.clone()).jitter(base.jitter);
        options.deletes(base.deletes).timeout(base.timeout)
    });
    match sync.enable(options).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(unknown()),
        enabled => drop(enabled?),
    }
    let id = uuid(&[&named.connection, &named.sync]);
    let (name, _) = split_name(&named.sync);
    Ok(Json(json!({ "id": id, "name": name, "variant": named.variant })).into_response())
}

/// Disables the variant and removes its records.
pub(super) async fn delete(mut call: Call) -> Answer {
    let named = named(&mut call).await?;
    let missing =
        || ApiError::not_found(format!("the connection has no such variant of {}: check its name", named.name));
    let sync = handle(&call, &named)?;
    match sync.state().await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(missing()),
        Ok(state) if state.settings.is_none() && state.status.last_started_at.is_none() => return Err(missing()),
        state => drop(state?),
    }
    sync.disable(DisableMode::Clear).await?;
    Ok((StatusCode::OK, Json(json!({ "success": true }))).into_response())
}

fn handle(call: &Call, named: &Named) -> Result<SyncHandle, ApiError> {
    Ok(call.engine().sync(&named.connection, &named.sync)?)
}
