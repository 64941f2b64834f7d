//! What a template is.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use highwater_core::{RecordId, Result};

use super::context::SyncContext;
use super::info::TemplateInfo;
use super::webhooks::{WebhookEvent, WebhookReaction};

/// A ready sync for an API. To extend one, wrap it: see `docs/write-a-template.md`.
#[async_trait]
pub trait Template: fmt::Debug + Send + Sync + 'static {
    /// Returns the template's description.
    fn info(&self) -> &TemplateInfo;

    /// Returns where the API answers under these settings: whole URLs, the base URL first. Requests and credentials go to
    /// these origins and nowhere else.
    ///
    /// Defaults to [the provider's URLs](crate::Provider::urls).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if a setting is missing or cannot be part of a URL.
    fn origins(&self, config: &BTreeMap<String, String>) -> Result<Vec<String>> {
        self.info().provider.urls(config)
    }

    /// Runs once: reads the API and saves what it finds, page by page.
    ///
    /// The future may be dropped at any await point. What was saved until then stays, and the next run continues from the last
    /// checkpoint.
    ///
    /// # Errors
    ///
    /// Any error fails the run, with [`ErrorKind::SourceReset`](crate::ErrorKind::SourceReset) also the checkpoint: the
    /// source no longer knows it, and a full refresh begins at once. Errors of the context are returned as they are.
    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()>;

    /// Looks up records that a complete run did not see, before they are deleted. Returns those that still exist, as
    /// [`SyncContext::save`] takes them, and `None` where the API has no look-up by id.
    ///
    /// Defaults to `None`.
    ///
    /// # Errors
    ///
    /// Any error fails the run, and nothing is deleted.
    async fn verify(&self, context: &mut SyncContext<'_>, model: &str, ids: &[RecordId]) -> Result<Option<Vec<Bytes>>> {
        let _ = (context, model, ids);
        Ok(None)
    }

    /// Returns what a verified event of the provider means to this sync under the connection's settings. It cannot send
    /// requests: for an event that needs one, it requests a run.
    ///
    /// Defaults to no reaction.
    ///
    /// # Errors
    ///
    /// Any error refuses the event, and the provider delivers it again.
    fn webhook(&self, event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
        let _ = event;
        Ok(WebhookReaction::new())
    }
}
