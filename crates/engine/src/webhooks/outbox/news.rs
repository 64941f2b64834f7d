//! The bodies of the deliveries about a run.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use highwater_core::{ChangeSummary, Cursor, Environment, Error, Json, Result, RunId, Store, Timestamp, WriteBatch};
use serde::{Deserialize, Serialize};

use crate::documents::{ConnectionSettings, Destination, Draft, OutboxRow, connection_key, row_key};
use crate::mutants::mutant;
use crate::webhooks::outbox::destinations::destinations;

/// A finished run, and its changes of each model.
#[derive(Debug)]
pub(super) struct RunNews<'r> {
    pub(super) draft: &'r Draft,
    pub(super) accounts: &'r BTreeMap<String, ChangeSummary>,
}

/// Adds a row per destination and model to the batch; returns those destinations.
pub(super) async fn add_rows(
    store: &dyn Store,
    environment: &dyn Environment,
    news: &RunNews<'_>,
    attempt: u32,
    batch: &mut WriteBatch,
) -> Result<Vec<Destination>> {
    let mut told = Vec::new();
    let mut ids = Ids::new(environment, news.draft.ended, attempt);
    let integration = integration_of(store, news.draft).await?;
    for destination in destinations(store).await? {
        if !destination.wants(&news.draft.connection, &integration) || destination.disabled.is_some() {
            continue;
        }
        let bodies = news.bodies(&destination, &integration);
        for body in &bodies {
            let row = OutboxRow::new(ids.next(), body.text()?, news.draft.ended);
            let key = row_key(&destination.id, &row.id);
            if !mutant!("row-ids-by-chance") {
                batch.expect_document(&*key, None);
            }
            batch.put_document(&*key, &row)?;
        }
        if !bodies.is_empty() {
            told.push(destination);
        }
    }
    Ok(told)
}

/// The key of the connection's integration; the provider for a connection without one, and for one that was removed.
async fn integration_of(store: &dyn Store, draft: &Draft) -> Result<String> {
    let connection = store.document(&connection_key(&draft.connection)).await?;
    let connection: Option<ConnectionSettings> = connection.as_ref().map(Json::to).transpose()?;
    let of_connection = connection.and_then(|connection| connection.integration);
    Ok(of_connection.unwrap_or_else(|| draft.names().0.to_owned()))
}

impl Draft {
    /// The provider and the name of its sync.
    fn names(&self) -> (&str, &str) {
        self.template.split_once('/').unwrap_or(("", &self.template))
    }
}

impl RunNews<'_> {
    fn bodies(&self, destination: &Destination, integration: &str) -> Vec<Body> {
        if self.draft.error.is_some() {
            let models: Vec<&str> = self.draft.accounts.keys().map(String::as_str).collect();
            return if destination.on_error {
                vec![self.body(models.join(","), None, destination, integration)]
            } else {
                Vec::new()
            };
        }
        let changes = |found: &ChangeSummary| found.added + found.updated + found.deleted + found.cleared;
        let told = self.accounts.iter().filter(|(_, found)| destination.on_unchanged || changes(found) > 0);
        told.map(|(model, found)| self.body(model.clone(), Some(found), destination, integration)).collect()
    }

    fn body(&self, model: String, found: Option<&ChangeSummary>, destination: &Destination, integration: &str) -> Body {
        let draft = self.draft;
        let (_, sync) = draft.names();
        let error = draft.error.as_ref().map(|failure| BodyError {
            description: failure.description.clone(),
            failed_at: iso(draft.ended),
            r#type: failure.kind.as_str().to_owned(),
        });
        Body {
            collapsed: None,
            connection_id: draft.connection.clone(),
            // After a clear everything has to be read again.
            cursor: found.map(|found| CursorRange {
                from: if draft.cleared { Cursor::START } else { found.from }.to_string(),
                to: found.to.to_string(),
            }),
            error,
            from: destination.format.sender().to_owned(),
            model,
            modified_after: iso(draft.started),
            provider_config_key: integration.to_owned(),
            response_results: found.map_or_else(Results::default, |found| Results {
                added: found.added,
                deleted: found.deleted + found.cleared,
                updated: found.updated,
            }),
            run_id: draft.run.to_string(),
            started_at: iso(draft.started),
            success: draft.error.is_none(),
            sync_name: sync.to_owned(),
            sync_type: draft.sync_type().to_owned(),
            sync_variant: draft.variant.clone().unwrap_or_else(|| highwater_core::DEFAULT_VARIANT.to_owned()),
            r#type: "sync".to_owned(),
        }
    }
}

/// The members are sorted by name, so that equal contents give equal text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body {
    /// How many deliveries were collapsed into this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) collapsed: Option<u64>,
    pub(super) connection_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cursor: Option<CursorRange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<BodyError>,
    pub(super) from: String,
    pub(super) model: String,
    pub(super) modified_after: String,
    pub(super) provider_config_key: String,
    pub(super) response_results: Results,
    pub(super) run_id: String,
    pub(super) started_at: String,
    pub(super) success: bool,
    pub(super) sync_name: String,
    pub(super) sync_type: String,
    pub(super) sync_variant: String,
    pub(super) r#type: String,
}

impl Body {
    pub(super) fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|source| {
            Error::new(highwater_core::ErrorKind::Internal, "the body of a delivery cannot be written").because(source)
        })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct CursorRange {
    pub(super) from: String,
    pub(super) to: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, Default)]
pub(super) struct Results {
    pub(super) added: u64,
    pub(super) deleted: u64,
    pub(super) updated: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BodyError {
    description: String,
    failed_at: String,
    r#type: String,
}

pub(super) fn iso(at: Timestamp) -> String {
    let time = i64::try_from(at.unix_ms()).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Ids for the rows of one batch: never the same twice, even if the random source repeats itself.
pub(super) struct Ids(u128);

impl Ids {
    /// Starts at a random number; another attempt starts at another.
    pub(super) fn new(environment: &dyn Environment, now: Timestamp, attempt: u32) -> Self {
        let mut random = [0; 16];
        environment.fill_random(&mut random[6..]);
        let first = RunId::new(now, u128::from_be_bytes(random)).as_u128();
        Ids(first.wrapping_add(u128::from(attempt) << 32))
    }

    pub(super) fn next(&mut self) -> String {
        let id = RunId::from_u128(self.0);
        self.0 = self.0.wrapping_add(1);
        id.to_string()
    }
}
