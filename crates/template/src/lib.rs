//! Everything that a template is written against: the description of an API, and the context of a run that reads it.
//!
//! A template describes itself with a [`TemplateInfo`] and reads its API in [`Template::fetch`], which gets a
//! [`SyncContext`]: [`send`](SyncContext::send) goes to the API, [`save`](SyncContext::save) writes a page of records.
//!
//! ```
//! use highwater_template::async_trait::async_trait;
//! use highwater_template::{ConfigKey, HttpRequest, SyncContext, Template, TemplateInfo};
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
//!     async fn fetch(&self, context: &mut SyncContext<'_>) -> highwater_template::Result<()> {
//!         let folder = context.config("folder")?.to_owned();
//!         let request = HttpRequest::get(format!("/folders/{folder}/notes"));
//!         let page = context.send(request).await?;
//!         context.save("Note", page.elements()?).await?;
//!         context.complete("Note").await // every note was seen: the others were deleted at the source
//!     }
//! }
//! ```
//!
//! What most templates need is here at the root, with the types of `highwater-core` that they meet, so that a template
//! depends on this crate alone. The modules have the rest, by subject.

#![deny(missing_docs, clippy::missing_errors_doc)]

pub mod actions;
pub mod auth;
mod changes;
mod context;
pub mod host;
pub mod http;
mod info;
pub mod limits;
mod milliseconds;
pub mod paging;
mod provider;
pub mod records;
pub mod redact;
#[cfg(feature = "jwt")]
pub mod rsa;
mod secret;
mod template;
mod verification;
pub mod webhooks;
mod window;

#[doc(hidden)]
pub use async_trait;
#[doc(no_inline)]
pub use highwater_core::{Error, ErrorKind, Json, RecordId, Result, SourceVersion, StreamCommit, Timestamp};

pub use changes::{SourceDelete, SourceRecord};
pub use context::SyncContext;
pub use host::LogLevel;
pub use http::{HttpRequest, HttpResponse};
pub use info::{ConfigKey, ModelInfo, SyncMode, TemplateInfo};
pub use paging::{Lists, Pages, Paging};
pub use provider::Provider;
pub use secret::Secret;
pub use template::Template;
pub use verification::{Account, Verification};
pub use window::Window;
