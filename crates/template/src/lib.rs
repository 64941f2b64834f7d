//! What a template author writes against: a description, and a fetch.
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
//!         context.complete("Note").await // everything there is was seen: what is missing was deleted
//!     }
//! }
//! ```

#![deny(missing_docs)]

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
mod template;
mod webhook;
mod window;
mod words;

#[doc(hidden)]
pub use async_trait;
#[doc(no_inline)]
pub use highwater_core::{Error, ErrorKind, Json, Result, SourceVersion, StreamCommit};

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
pub use template::Template;
pub use webhook::{WebhookChange, WebhookEvent, WebhookReaction, WebhookScheme};
pub use window::{Window, read_time};
