//! Metadata of one connection, or of several in one commit.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use highwater_core::ErrorKind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::notes::in_body;
use crate::about::{About, schema};
use crate::call::{Call, MAX_NAME};
use crate::error::{ApiError, Place};
use crate::route::Answer;
use crate::routes::common::{connection_id, integration_key};

/// The most connections of one request.
const MOST: usize = 1000;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Body {
    connection_id: OneOrMany,
    provider_config_key: String,
    metadata: Map<String, Value>,
}

#[derive(Deserialize, Serialize)]
#[serde(untagged, expecting = "a connection's id, or an array of them")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Body {
    /// The connections, each of which must exist.
    async fn connections(&self, call: &Call) -> Result<Vec<String>, ApiError> {
        let key = integration_key(&self.provider_config_key)?;
        let ids = match &self.connection_id {
            OneOrMany::One(id) => std::slice::from_ref(id),
            OneOrMany::Many(ids) => ids,
        };
        if ids.len() > MOST {
            let why = "names more than 1,000 connections: name fewer at a time";
            return Err(ApiError::parameter(Place::Body, "connection_id", "too_long", why));
        }
        let mut found = Vec::new();
        for id in ids {
            let id = connection_id(id)?;
            found.push(call.connection_of(&key, &id).await.map_err(|_| unknown(&id))?.id);
        }
        Ok(found)
    }
}

fn unknown(id: &str) -> ApiError {
    let id = crate::error::shown(id);
    let message = format!("no connection `{id}` is at this provider_config_key: nothing was changed; check both");
    ApiError::new(StatusCode::NOT_FOUND, "unknown_connection", message)
}

pub(super) fn about(status: u16) -> About {
    let ids = json!({ "anyOf": [schema::name(MAX_NAME), schema::array_of(schema::name(MAX_NAME), MOST)] });
    let body = || {
        schema::closed([
            ("connection_id", ids.clone()),
            ("provider_config_key", schema::name(MAX_NAME)),
            ("metadata", schema::map(schema::any())),
        ])
    };
    let summary = match status {
        201 => "Replaces the metadata of one or up to 1,000 connections, all or none.",
        _ => "Replaces members of the metadata of one or up to 1,000 connections, all or none.",
    };
    let example = json!({ "connection_id": "demo", "provider_config_key": "demo-crm", "metadata": { "team": "blue" } });
    About::new(summary).body(body(), example).answer(status, "What was sent.", body()).error(404, "unknown_connection")
}

/// Replaces the metadata.
pub(super) async fn set(mut call: Call) -> Answer {
    let body: Body = call.json().await?;
    let connections = body.connections(&call).await?;
    let changed = call.engine().set_metadata_of(&connections, body.metadata.clone().into()).await;
    answer(StatusCode::CREATED, changed, &body)
}

/// Replaces the members that it names.
pub(super) async fn update(mut call: Call) -> Answer {
    let body: Body = call.json().await?;
    let connections = body.connections(&call).await?;
    let changed = call.engine().update_metadata_of(&connections, body.metadata.clone().into()).await;
    answer(StatusCode::OK, changed, &body)
}

fn answer(status: StatusCode, changed: highwater_core::Result<()>, body: &Body) -> Answer {
    match changed {
        // It was removed at this moment.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(unknown(error.context("connection").unwrap_or_default()))
        }
        Err(error) => Err(in_body(error)),
        Ok(()) => Ok((status, Json(body)).into_response()),
    }
}
