//! Integrations, their endpoints, and the catalogue.

use std::collections::BTreeMap;

use highwater::engine::integrations::{DeleteMode, Endpoint};
use highwater::engine::{DisableMode, DisconnectMode};
use highwater::template::{Provider, TemplateInfo};
use highwater::{IntegrationSettings, Result, Secret};
use serde::Deserialize;

use super::syncs::SyncOptionsRead;
use super::{Done, Nothing, RecordsMode};
use crate::engine::Open;

pub(super) async fn providers(open: &Open, _: Nothing) -> Result<Vec<&Provider>> {
    Ok(open.engine.providers().collect())
}

pub(super) async fn templates(open: &Open, _: Nothing) -> Result<Vec<&TemplateInfo>> {
    Ok(open.engine.templates().collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    integration: String,
    provider: String,
    display_name: Option<String>,
    client_id: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    base_url: Option<String>,
    #[serde(default)]
    config: BTreeMap<String, String>,
    client_secret: Option<String>,
    webhook_secret: Option<String>,
}

pub(super) async fn create(open: &Open, given: Create) -> Result<IntegrationSettings> {
    let mut settings = IntegrationSettings::new(given.integration, given.provider).scopes(given.scopes);
    settings.display_name = given.display_name;
    settings.client_id = given.client_id;
    settings.config = given.config;
    if let Some(url) = given.base_url {
        settings = settings.base_url(url);
    }
    let integration = open.engine.create_integration(settings).await?;
    if let Some(secret) = given.client_secret.map(Secret::new) {
        match open.has_vault {
            true => integration.set_client_secret(Some(secret)).await?,
            false => integration.use_client_secret(secret),
        }
    }
    if let Some(secret) = given.webhook_secret.map(Secret::new) {
        match open.has_vault {
            true => integration.set_webhook_secret(Some(secret)).await?,
            false => integration.use_webhook_secret(secret),
        }
    }
    integration.settings().await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Update {
    integration: String,
    display_name: Option<String>,
    client_id: Option<String>,
    scopes: Option<Vec<String>>,
    base_url: Option<String>,
    config: Option<BTreeMap<String, String>>,
}

/// What is left out stays.
pub(super) async fn update(open: &Open, given: Update) -> Result<IntegrationSettings> {
    let change = |mut settings: IntegrationSettings| {
        if let Some(name) = &given.display_name {
            settings = settings.display_name(name);
        }
        if let Some(id) = &given.client_id {
            settings = settings.client_id(id);
        }
        if let Some(scopes) = &given.scopes {
            settings = settings.scopes(scopes);
        }
        if let Some(url) = &given.base_url {
            settings = settings.base_url(url);
        }
        if let Some(config) = &given.config {
            settings.config.clone_from(config);
        }
        settings
    };
    open.engine.integration(&given.integration)?.update(change).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Delete {
    integration: String,
    records: Option<RecordsMode>,
}

/// Returns the connections that were removed.
pub(super) async fn delete(open: &Open, given: Delete) -> Result<Vec<String>> {
    let mode = match given.records {
        None => DeleteMode::IfUnused,
        Some(RecordsMode::Keep) => DeleteMode::disconnect(DisconnectMode::KeepRecords),
        Some(RecordsMode::Clear) => DeleteMode::disconnect(DisconnectMode::ClearRecords),
    };
    let report = open.engine.integration(&given.integration)?.delete(mode).await?;
    Ok(report.disconnected.into_keys().collect())
}

pub(super) async fn list(open: &Open, _: Nothing) -> Result<Vec<IntegrationSettings>> {
    open.engine.integrations().await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    integration: String,
}

pub(super) async fn endpoints(open: &Open, given: Named) -> Result<Vec<Endpoint>> {
    open.engine.integration(&given.integration)?.endpoints().await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Enable {
    integration: String,
    sync: String,
    #[serde(default)]
    options: SyncOptionsRead,
}

pub(super) async fn enable(open: &Open, given: Enable) -> Done {
    open.engine.integration(&given.integration)?.enable(&given.sync, given.options.read()).await.map(drop)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disable {
    integration: String,
    sync: String,
    records: RecordsMode,
}

pub(super) async fn disable(open: &Open, given: Disable) -> Done {
    let mode = match given.records {
        RecordsMode::Keep => DisableMode::Keep,
        RecordsMode::Clear => DisableMode::Clear,
    };
    open.engine.integration(&given.integration)?.disable(&given.sync, mode).await.map(drop)
}
