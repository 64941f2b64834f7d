//! The host's own calls: actions, requests, webhooks.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use highwater::engine::actions::QueuedAction;
use highwater::engine::transport::ProxyRetries;
use highwater::engine::webhooks::ReceivedWebhook;
use highwater::template::{HttpRequest, HttpResponse};
use highwater::{Result, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::refused;
use crate::engine::Open;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Act {
    connection: String,
    action: String,
    input: Value,
}

pub(super) async fn act(open: &Open, given: Act) -> Result<Value> {
    open.engine.act(&given.connection, &given.action, given.input).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Queue {
    connection: String,
    action: String,
    input: Value,
    #[serde(default)]
    retries: u32,
}

pub(super) async fn queue(open: &Open, given: Queue) -> Result<RunId> {
    open.engine.queue_action(&given.connection, &given.action, given.input, given.retries).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ById {
    id: RunId,
}

pub(super) async fn queued(open: &Open, given: ById) -> Result<QueuedAction> {
    open.engine.queued_action(given.id).await
}

/// A request to an API.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestOptions {
    method: Option<String>,
    path: String,
    #[serde(default)]
    query: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Box<RawValue>>,
    body: Option<String>,
    body_base64: Option<String>,
    #[serde(default)]
    accept_statuses: Vec<u16>,
    #[serde(default)]
    any_status: bool,
    repeatable: Option<bool>,
}

impl RequestOptions {
    pub(crate) fn read(self) -> Result<HttpRequest> {
        let method = self.method.unwrap_or_else(|| "GET".to_owned()).to_ascii_uppercase();
        let idempotent = matches!(method.as_str(), "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS");
        let mut request = HttpRequest::new(method, self.path).repeatable(self.repeatable.unwrap_or(idempotent));
        request.query.extend(self.query);
        request.headers.extend(self.headers);
        match (self.json, self.body, self.body_base64) {
            (None, None, None) => {}
            (Some(json), None, None) => {
                request.body = Some(json.get().to_owned().into());
                if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                    request = request.header("content-type", "application/json");
                }
            }
            (None, Some(text), None) => request.body = Some(text.into()),
            (None, None, Some(text)) => {
                let bytes = STANDARD
                    .decode(text)
                    .map_err(|_| refused("body_base64", "the body is not Base64: encode it so"))?;
                request.body = Some(bytes.into());
            }
            _ => return Err(refused("body", "a request has one body: give json, body or body_base64")),
        }
        request.accepted_statuses = self.accept_statuses;
        Ok(if self.any_status { request.any_status() } else { request })
    }
}

/// A response: its body is `body` if it is text, and `body_base64` otherwise.
#[derive(Serialize)]
pub(crate) struct Response {
    status: u16,
    headers: BTreeMap<String, String>,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

pub(crate) fn response(answer: HttpResponse) -> Response {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &answer.headers {
        let joined = headers.entry(name.to_ascii_lowercase()).or_default();
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(value);
    }
    let (body, body_base64) = match std::str::from_utf8(&answer.body) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(&answer.body))),
    };
    Response { status: answer.status, headers, url: answer.url, body, body_base64 }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Proxy {
    connection: String,
    request: RequestOptions,
    #[serde(default)]
    retries: u32,
    #[serde(default)]
    retry_statuses: Vec<u16>,
}

pub(super) async fn proxy(open: &Open, given: Proxy) -> Result<Response> {
    let retries = given.retry_statuses.into_iter().fold(ProxyRetries::new(given.retries), ProxyRetries::status);
    let answer = open.engine.proxy_with_retries(&given.connection, given.request.read()?, &retries).await?;
    Ok(response(answer))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Receive {
    connection: String,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_base64: Option<String>,
}

pub(super) async fn receive(open: &Open, given: Receive) -> Result<ReceivedWebhook> {
    let headers: Vec<(String, String)> = given.headers.into_iter().collect();
    let body = match (given.body, given.body_base64) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(text)) => {
            STANDARD.decode(text).map_err(|_| refused("body_base64", "the body is not Base64: encode it so"))?
        }
        _ => return Err(refused("body", "a webhook has one body, as it came: give body or body_base64")),
    };
    open.engine.receive(&given.connection, &headers, &body).await
}
