//! Deliveries that forward a provider's webhook.

use highwater_core::{Environment, Error, ErrorKind, Result, Store, WriteBatch};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::destinations::destinations;
use super::news::Ids;
use crate::documents::{Destination, OutboxRow, row_key};

/// A verified event of a provider.
pub(crate) struct ForwardNews<'n> {
    pub(crate) integration: &'n str,
    pub(crate) provider: &'n str,
    /// The connections that it is for. Without any, it is forwarded once, for the integration.
    pub(crate) connections: &'n [&'n str],
    /// JSON.
    pub(crate) payload: &'n [u8],
}

/// Adds a row per destination and connection to a batch. Returns those destinations, and how many rows there are.
pub(crate) async fn add_forward_rows(
    store: &dyn Store,
    environment: &dyn Environment,
    news: &ForwardNews<'_>,
    attempt: u32,
    batch: &mut WriteBatch,
) -> Result<(Vec<Destination>, usize)> {
    let (mut told, mut count) = (Vec::new(), 0);
    let now = environment.now();
    let mut ids = Ids::new(environment, now, attempt);
    let everybody = [None];
    let named: Vec<Option<&str>> = news.connections.iter().copied().map(Some).collect();
    let connections = if named.is_empty() { &everybody[..] } else { &named };
    for destination in destinations(store).await? {
        if destination.disabled.is_some() || !destination.on_forward {
            continue;
        }
        let before = count;
        for connection in connections {
            if !destination.wants_event(*connection, news.integration) {
                continue;
            }
            let row = OutboxRow::new(ids.next(), news.body(*connection)?, now);
            let key = row_key(&destination.id, &row.id);
            batch.expect_document(&*key, None).put_document(&*key, &row)?;
            count += 1;
        }
        if count > before {
            told.push(destination);
        }
    }
    Ok((told, count))
}

impl ForwardNews<'_> {
    fn body(&self, connection: Option<&str>) -> Result<String> {
        let unwritable =
            |source| Error::new(ErrorKind::Internal, "the body of a delivery cannot be written").because(source);
        let payload: &RawValue = serde_json::from_slice(self.payload).map_err(unwritable)?;
        let body = ForwardBody {
            connection_id: connection,
            from: self.provider,
            payload,
            provider_config_key: self.integration,
            r#type: "forward",
        };
        serde_json::to_string(&body).map_err(unwritable)
    }
}

/// The members are in order of their names. `from` is the provider, and the payload is what it sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ForwardBody<'b> {
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_id: Option<&'b str>,
    from: &'b str,
    payload: &'b RawValue,
    provider_config_key: &'b str,
    r#type: &'b str,
}

/// Returns whether the body of a row is one of these.
pub(super) fn is_forward(body: &str) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        r#type: String,
        #[serde(rename = "payload")]
        _payload: IgnoredAny,
    }
    serde_json::from_str::<Kind>(body).is_ok_and(|body| body.r#type == "forward")
}
