//! Webhooks: events that a provider sends, and what a template makes of them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::changes::{SourceDelete, SourceRecord};
use highwater_core::{Error, ErrorKind, Result, SourceVersion};

/// How a provider signs its webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WebhookScheme {
    /// `X-Hub-Signature-256`; the id is `X-GitHub-Delivery`. It contains no time, so a repetition is recognised by its id
    /// alone.
    #[serde(rename = "github")]
    GitHub,
    /// `Stripe-Signature`; the id is that of the event.
    Stripe,
    /// `X-Slack-Signature`; the id is that of the event, where it has one.
    Slack,
    /// The headers of Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`).
    Standard,
}

/// How an event that comes to the address of an integration tells for which of its connections it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WebhookRecipient {
    /// It does not: the address names the connection.
    #[default]
    Address,
    /// The templates compare it with the settings of a connection, such as a repository, and ignore what is for others.
    Settings,
    /// It names the account at this JSON pointer. That text is the first part of the account's id
    /// ([`Account::id`](super::Account::id)).
    Account(String),
}

impl WebhookRecipient {
    /// Returns whether the address names the connection.
    pub fn is_address(&self) -> bool {
        *self == WebhookRecipient::Address
    }
}

/// An event of a provider whose signature was verified.
///
/// ```
/// use std::collections::BTreeMap;
/// use highwater_template::webhooks::WebhookEvent;
/// let (config, metadata) = (BTreeMap::new(), serde_json::Map::new());
/// let body = br#"{"action": "closed"}"#;
/// let event = WebhookEvent::new("d-1", body, &config, &metadata).headers([("X-GitHub-Event", "issues")]);
/// assert_eq!(event.header("x-github-event"), Some("issues"));
/// assert_eq!(event.json::<serde_json::Value>()?["action"], "closed");
/// # Ok::<(), highwater_core::Error>(())
/// ```
pub struct WebhookEvent<'e> {
    id: &'e str,
    headers: Vec<(String, String)>,
    body: &'e [u8],
    config: &'e BTreeMap<String, String>,
    metadata: &'e Map<String, Value>,
}

impl<'e> WebhookEvent<'e> {
    /// Makes an event for a connection with these settings and this metadata.
    pub fn new(
        id: &'e str,
        body: &'e [u8],
        config: &'e BTreeMap<String, String>,
        metadata: &'e Map<String, Value>,
    ) -> Self {
        WebhookEvent { id, headers: Vec::new(), body, config, metadata }
    }

    /// Adds headers.
    #[must_use]
    pub fn headers<N: Into<String>, V: Into<String>>(mut self, headers: impl IntoIterator<Item = (N, V)>) -> Self {
        self.headers.extend(headers.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Returns the provider's id of the event, the same for every delivery of it.
    pub fn id(&self) -> &str {
        self.id
    }

    /// Returns the first value of a header. The name's case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns the body as it was sent.
    pub fn body(&self) -> &'e [u8] {
        self.body
    }

    /// Parses the body.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the body is not the JSON of a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(self.body).map_err(|source| {
            Error::new(ErrorKind::Invalid, "the event does not have the shape that was expected")
                .with("event", self.id)
                .because(source)
        })
    }

    /// Returns a setting of the sync, if it was given or has a default.
    pub fn config(&self, name: &str) -> Option<&str> {
        self.config.get(name).map(String::as_str)
    }

    /// Returns the connection's metadata: JSON of the host's, as it was when the event arrived. Empty where there is none.
    pub fn metadata(&self) -> &'e Map<String, Value> {
        self.metadata
    }
}

impl fmt::Debug for WebhookEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookEvent").field("id", &self.id).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// A change that an event brings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebhookChange {
    /// The record was added or changed: the whole record, as a page of the API has it.
    Save(SourceRecord),
    /// The same at a version that the event has and the record does not.
    SaveAt(SourceRecord, SourceVersion),
    /// The record was deleted.
    Delete(SourceDelete),
    /// The record was deleted. This is its last state, which has its id and its version.
    DeleteRecord(SourceRecord),
}

/// What an event means to a sync: changes to its models, a run, both, or nothing.
///
/// An event may come late, twice, or after a newer one. The engine drops repetitions, and older versions where the model has a
/// [`version`](super::ModelInfo::version_pointer) or the event gives one. Where an event does not carry the whole record, or its
/// order is not known, request a run.
///
/// ```
/// use highwater_template::webhooks::WebhookReaction;
/// use highwater_template::SourceRecord;
/// let nothing = WebhookReaction::new();
/// assert!(nothing.is_empty());
/// let saved = WebhookReaction::new().save("Issue", SourceRecord::with_id("7", r#"{"id": 7}"#));
/// let requested = WebhookReaction::new().request_run();
/// assert!(requested.requests_run() && saved.changes().count() == 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookReaction {
    changes: Vec<(String, WebhookChange)>,
    run: bool,
}

impl WebhookReaction {
    /// Makes a reaction that does nothing yet.
    pub fn new() -> Self {
        WebhookReaction::default()
    }

    /// Saves a record of `model`.
    #[must_use]
    pub fn save(mut self, model: impl Into<String>, record: impl Into<SourceRecord>) -> Self {
        self.changes.push((model.into(), WebhookChange::Save(record.into())));
        self
    }

    /// Saves a record of `model` at a version that the event gives, such as its time. A late change of this kind, or a late
    /// [delete](WebhookReaction::delete) with a version, never replaces a newer one. Records of pages have no version then,
    /// and replace both.
    #[must_use]
    pub fn save_at(
        mut self,
        model: impl Into<String>,
        record: impl Into<SourceRecord>,
        version: SourceVersion,
    ) -> Self {
        self.changes.push((model.into(), WebhookChange::SaveAt(record.into(), version)));
        self
    }

    /// Deletes a record of `model`: an id, or a [`SourceDelete`] with the version at which it was deleted, in the form of the
    /// model's versions.
    #[must_use]
    pub fn delete(mut self, model: impl Into<String>, deleted: impl Into<SourceDelete>) -> Self {
        self.changes.push((model.into(), WebhookChange::Delete(deleted.into())));
        self
    }

    /// Deletes a record of `model` whose last state the event carries. Where the model has a
    /// [`version`](super::ModelInfo::version_pointer), late news of that version or an older one do not restore the record:
    /// prefer this to [`delete`](WebhookReaction::delete).
    #[must_use]
    pub fn delete_record(mut self, model: impl Into<String>, record: impl Into<SourceRecord>) -> Self {
        self.changes.push((model.into(), WebhookChange::DeleteRecord(record.into())));
        self
    }

    /// Requests a run of the sync, as soon as one can begin.
    #[must_use]
    pub fn request_run(mut self) -> Self {
        self.run = true;
        self
    }

    /// Returns each change with its model, in order.
    pub fn changes(&self) -> impl Iterator<Item = (&str, &WebhookChange)> {
        self.changes.iter().map(|(model, change)| (model.as_str(), change))
    }

    /// Returns whether a run is requested.
    pub fn requests_run(&self) -> bool {
        self.run
    }

    /// Returns whether the event means nothing to the sync.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && !self.run
    }
}
