//! What a template is.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use highwater_core::Result;

use super::context::SyncContext;
use super::info::TemplateInfo;
use super::webhook::{WebhookEvent, WebhookReaction};

/// A ready sync for an API. To extend one, wrap it: see `docs/write-a-template.md`.
#[async_trait]
pub trait Template: fmt::Debug + Send + Sync + 'static {
    /// What it is and what it needs.
    fn info(&self) -> &TemplateInfo;

    /// Where the API answers under these settings: whole URLs, the base URL first. Requests and credentials go to
    /// these origins alone. Unless told otherwise, the provider's, with `{setting}` filled in.
    fn origins(&self, config: &BTreeMap<String, String>) -> Result<Vec<String>> {
        self.info().provider.urls(config)
    }

    /// One run: reads the API and saves what it finds, page by page. It may be dropped at any await
    /// point; what was saved until then stays, and the next run goes on from the last checkpoint.
    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()>;

    /// Asks the API for records that a complete run did not see, before they are deleted. Returns
    /// those that still exist, as [`SyncContext::save`] takes them; `None` if the API cannot be
    /// asked by id. An error fails the run, and nothing is deleted.
    async fn verify(&self, context: &mut SyncContext<'_>, model: &str, ids: &[String]) -> Result<Option<Vec<Bytes>>> {
        let _ = (context, model, ids);
        Ok(None)
    }

    /// What a genuine event of the provider means to this sync under the connection's settings. Without
    /// requests: an event that needs one asks for a run. An error refuses the event, and the provider
    /// tries again.
    fn webhook(&self, event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
        let _ = event;
        Ok(WebhookReaction::new())
    }
}
