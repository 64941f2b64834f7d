//! What a provider tells by itself: events, and what a template makes of them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::page::{PageDelete, PageRecord};
use highwater_core::SourceVersion;
use highwater_core::{Error, ErrorKind, Result};

/// How a provider signs its webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WebhookScheme {
    /// `X-Hub-Signature-256`; the id is `X-GitHub-Delivery`. It has no time: a repetition is known by its id alone.
    #[serde(rename = "github")]
    GitHub,
    /// `Stripe-Signature`; the id is the event's own.
    Stripe,
    /// `X-Slack-Signature`; the id is the event's own, where it has one.
    Slack,
    /// Standard Webhooks.
    Standard,
}

/// A genuine event of a provider, whose signature was checked.
///
/// ```
/// use std::collections::BTreeMap;
/// use highwater_template::WebhookEvent;
/// let config = BTreeMap::new();
/// let event = WebhookEvent::new("d-1", br#"{"action": "closed"}"#, &config).headers([("X-GitHub-Event", "issues")]);
/// assert_eq!(event.header("x-github-event"), Some("issues"));
/// assert_eq!(event.json::<serde_json::Value>()?["action"], "closed");
/// # Ok::<(), highwater_core::Error>(())
/// ```
pub struct WebhookEvent<'e> {
    id: &'e str,
    headers: Vec<(String, String)>,
    body: &'e [u8],
    config: &'e BTreeMap<String, String>,
}

impl<'e> WebhookEvent<'e> {
    /// An event for a connection with these settings.
    pub fn new(id: &'e str, body: &'e [u8], config: &'e BTreeMap<String, String>) -> Self {
        WebhookEvent { id, headers: Vec::new(), body, config }
    }

    /// With these headers.
    #[must_use]
    pub fn headers<N: Into<String>, V: Into<String>>(mut self, headers: impl IntoIterator<Item = (N, V)>) -> Self {
        self.headers.extend(headers.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// The provider's id of it: the same for every try.
    pub fn id(&self) -> &str {
        self.id
    }

    /// A header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as it came.
    pub fn body(&self) -> &'e [u8] {
        self.body
    }

    /// The body as `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(self.body).map_err(|source| {
            Error::new(ErrorKind::Invalid, "the event does not have the shape that was expected")
                .with("event", self.id)
                .because(source)
        })
    }

    /// A setting of the sync that was given or has a default.
    pub fn config(&self, name: &str) -> Option<&str> {
        self.config.get(name).map(String::as_str)
    }
}

impl fmt::Debug for WebhookEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookEvent").field("id", &self.id).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// One change that an event brings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebhookChange {
    /// This record was added or changed, and is now so: the whole record, as a page of the API has it.
    Save(PageRecord),
    /// The same, as of this version: where the event tells it and the record does not.
    SaveAt(PageRecord, SourceVersion),
    /// The record with this id is gone.
    Delete(String),
    /// The record is gone, as of this version.
    DeleteAt(PageDelete),
    /// This record is gone: as it was last, so that it tells its id and its version.
    Gone(PageRecord),
}

/// What an event means to a sync: changes to its models, a run, both, or nothing.
///
/// An event may come late, twice or after a younger one. The engine drops repetitions, and where a
/// [`ModelInfo`](super::ModelInfo) names its version, or the event tells one, also older ones. Where an event does not carry
/// the whole record, or its order cannot be told, ask for a run.
///
/// ```
/// use highwater_template::{PageRecord, WebhookReaction};
/// let nothing = WebhookReaction::new();
/// assert!(nothing.is_empty());
/// let saved = WebhookReaction::new().save("Issue", PageRecord::with_id("7", r#"{"id": 7}"#));
/// let asked = WebhookReaction::new().run();
/// assert!(asked.asks_for_run() && saved.changes().count() == 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookReaction {
    changes: Vec<(String, WebhookChange)>,
    run: bool,
}

impl WebhookReaction {
    /// Nothing.
    pub fn new() -> Self {
        WebhookReaction::default()
    }

    /// Saves a record of `model`.
    #[must_use]
    pub fn save(mut self, model: impl Into<String>, record: impl Into<PageRecord>) -> Self {
        self.changes.push((model.into(), WebhookChange::Save(record.into())));
        self
    }

    /// Saves a record of `model` as of a version that the event tells, such as its time. Of such changes, and of deletes
    /// [at a version](WebhookReaction::delete_at), a late one undoes no younger one; records of pages, which have no version
    /// then, replace them.
    #[must_use]
    pub fn save_at(mut self, model: impl Into<String>, record: impl Into<PageRecord>, version: SourceVersion) -> Self {
        self.changes.push((model.into(), WebhookChange::SaveAt(record.into(), version)));
        self
    }

    /// Deletes a record of `model`.
    #[must_use]
    pub fn delete(mut self, model: impl Into<String>, id: impl Into<String>) -> Self {
        self.changes.push((model.into(), WebhookChange::Delete(id.into())));
        self
    }

    /// Deletes a record of `model`, given as it was last. Where the [`ModelInfo`](super::ModelInfo) names its version, late news of
    /// that version or an older one do not bring it back: prefer this to [`delete`](WebhookReaction::delete) where the
    /// event carries the record.
    #[must_use]
    pub fn delete_record(mut self, model: impl Into<String>, record: impl Into<PageRecord>) -> Self {
        self.changes.push((model.into(), WebhookChange::Gone(record.into())));
        self
    }

    /// Deletes a record of `model` as of a version that the event tells, in the form of the model's versions.
    #[must_use]
    pub fn delete_at(mut self, model: impl Into<String>, deleted: PageDelete) -> Self {
        self.changes.push((model.into(), WebhookChange::DeleteAt(deleted)));
        self
    }

    /// Asks for a run of the sync, as soon as there is a place for it.
    #[must_use]
    pub fn run(mut self) -> Self {
        self.run = true;
        self
    }

    /// Each changed record's model, and the change, in order.
    pub fn changes(&self) -> impl Iterator<Item = (&str, &WebhookChange)> {
        self.changes.iter().map(|(model, change)| (model.as_str(), change))
    }

    /// Whether a run is wanted.
    pub fn asks_for_run(&self) -> bool {
        self.run
    }

    /// Whether the event means nothing to the sync.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && !self.run
    }
}
