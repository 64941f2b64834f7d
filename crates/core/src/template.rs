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

mod context;
mod http;
mod info;
mod window;

pub use context::{LogLevel, PageOfChanges, Progress, RunHost, RunSetup, SyncContext};
pub use http::{HttpRequest, HttpResponse, Transport};
pub use info::{ConfigKey, ModelInfo, TemplateInfo, TokenUse};
pub use window::Window;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;

/// A ready sync for an API.
#[async_trait]
pub trait Template: fmt::Debug + Send + Sync + 'static {
    /// What it is and what it needs.
    fn info(&self) -> &TemplateInfo;

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
}
