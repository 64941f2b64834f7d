//! What a template author writes against: a description, and a fetch.
//!
//! ```
//! use highwater_core::async_trait::async_trait;
//! use highwater_core::template::{ConfigKey, HttpRequest, SyncContext, Template, TemplateInfo};
//!
//! #[derive(Debug)]
//! struct Notes(TemplateInfo);
//!
//! impl Notes {
//!     fn new() -> Self {
//!         let info = TemplateInfo::new("notes", "notes", "https://notes.example")
//!             .description("Notes of a folder")
//!             .model("Note", "A note")
//!             .config(ConfigKey::required("folder", "the folder's name"));
//!         Notes(info)
//!     }
//! }
//!
//! #[async_trait]
//! impl Template for Notes {
//!     fn info(&self) -> &TemplateInfo {
//!         &self.0
//!     }
//!
//!     async fn fetch(&self, context: &mut SyncContext<'_>) -> highwater_core::Result<()> {
//!         let folder = context.config("folder")?.to_owned();
//!         let request = HttpRequest::get(format!("/folders/{folder}/notes"));
//!         let page = context.send(request).await?;
//!         context.save("Note", page.elements()?).await?;
//!         context.complete("Note").await // everything there is was seen: what is missing was deleted
//!     }
//! }
//! ```

mod action;
mod context;
mod host;
mod http;
mod info;
mod link;
mod page;
mod paging;
mod provider;
mod records;
mod redact;
mod repeats;
mod response;
mod secret;
mod webhook;
mod window;
mod words;

pub use action::{ActionContext, ActionInfo, ActionTemplate, action_input};
pub use context::{RunSetup, SyncContext};
pub use host::{ApiHost, LogLevel, Progress, RunHost, SecretRenewal};
pub use http::{HttpRequest, Transport, escape};
pub use info::{ConfigKey, ModelInfo, SyncMode, TemplateInfo, TokenUse};
pub use page::{PageDelete, PageOfChanges, PageRecord, SetAside};
pub use paging::{FetchedPage, Pages, Paging, Place};
pub use provider::{
    AuthKind, ClientAuth, DesktopSignIn, LimitHabits, LimitStatus, LimitWords, OAuth2, Provider, Rate, TokenEnd,
};
pub use records::{composite_id, id_at, string_at, text_at, value_at};
pub use redact::{REDACTED, Redactor};
pub use repeats::RepeatGuard;
pub use response::{HttpResponse, Validator};
pub use secret::Secret;
pub use webhook::{WebhookChange, WebhookEvent, WebhookReaction, WebhookScheme};
pub use window::{Window, read_time};

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;

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
