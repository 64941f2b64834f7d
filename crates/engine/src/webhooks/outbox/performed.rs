//! Deliveries about queued actions that have ended.

use highwater_core::{Environment, Error, ErrorKind, Result, Store, WriteBatch};
use serde::{Deserialize, Serialize};

use super::destinations::destinations;
use super::news::Ids;
use crate::documents::{ConnectionSettings, Destination, OutboxRow, PerformedAction, WebhookFormat, row_key};
use crate::mutants::mutant;

/// Adds a row per destination to the batch that ends a queued action. Returns those destinations.
pub(crate) async fn add_action_rows(
    store: &dyn Store,
    environment: &dyn Environment,
    settings: &ConnectionSettings,
    done: &PerformedAction,
    attempt: u32,
    batch: &mut WriteBatch,
) -> Result<Vec<Destination>> {
    let mut told = Vec::new();
    if mutant!("action-untold") {
        return Ok(told);
    }
    let integration = settings.integration_key();
    let mut ids = Ids::new(environment, done.ended_at, attempt);
    for destination in destinations(store).await? {
        if destination.disabled.is_some() || !destination.on_action || !destination.wants(&settings.id, integration) {
            continue;
        }
        let row = OutboxRow::new(ids.next(), body(integration, done, destination.format)?, done.ended_at);
        let key = row_key(&destination.id, &row.id);
        batch.expect_document(&*key, None).put_document(&*key, &row)?;
        told.push(destination);
    }
    Ok(told)
}

fn body(integration: &str, done: &PerformedAction, format: WebhookFormat) -> Result<String> {
    let error = done
        .error
        .as_ref()
        .map(|error| ActionFailure { description: error.message.clone(), r#type: error.kind.as_str().to_owned() });
    let body = ActionBody {
        action_name: done.action.clone(),
        connection_id: done.connection.clone(),
        success: error.is_none(),
        error,
        from: format.sender().to_owned(),
        payload: ActionPlace { id: done.id.to_string(), status_url: format!("/action/{}", done.id) },
        provider_config_key: integration.to_owned(),
        r#type: "async_action".to_owned(),
    };
    serde_json::to_string(&body)
        .map_err(|source| Error::new(ErrorKind::Internal, "the body of a delivery cannot be written").because(source))
}

/// The members are in order of their names, so that the text is the same for the same facts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ActionBody {
    action_name: String,
    connection_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ActionFailure>,
    from: String,
    payload: ActionPlace,
    provider_config_key: String,
    success: bool,
    r#type: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ActionFailure {
    description: String,
    r#type: String,
}

/// Where the outcome can be read: it is not part of the delivery.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActionPlace {
    id: String,
    status_url: String,
}
