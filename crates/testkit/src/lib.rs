//! What a template's author tests with.
//!
//! * [`Trial`]: a template, an engine and a store in memory, in a few lines; waits pass at once under tokio's paused time.
//! * [`FakeApi`]: an API as a Rust value, asked in process or over a real socket ([`ServedApi`]).
//! * [`Hostile`]: any such API, with faults in between.
//! * [`matrix`]: a template against every misbehaviour that APIs are known for, with what must hold then.
//! * [`Cassette`]: a real API's answers recorded to a file without secrets, and played again.
//! * [`fakes`]: stateful APIs after the documentation of providers that cannot be started here.
//!
//! ```
//! use std::sync::Arc;
//! use highwater_template::async_trait::async_trait;
//! use highwater_template::{HttpRequest, HttpResponse, Pages, Paging, SyncContext, Template, TemplateInfo};
//! use highwater_testkit::{FakeRequest, Trial, json};
//!
//! #[derive(Debug)]
//! struct Notes(TemplateInfo);
//!
//! #[async_trait]
//! impl Template for Notes {
//!     fn info(&self) -> &TemplateInfo {
//!         &self.0
//!     }
//!     async fn fetch(&self, context: &mut SyncContext<'_>) -> highwater_core::Result<()> {
//!         let mut pages = Pages::new(HttpRequest::get("/notes"), Paging::number("page", 1));
//!         while let Some(page) = pages.next(context).await? {
//!             context.save("Note", page.records).await?;
//!         }
//!         context.complete("Note").await
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> highwater_core::Result<()> {
//! let api = |request: &FakeRequest| match request.query("page") {
//!     Some("1") => json(200, r#"[{"id": 1}, {"id": 2}]"#),
//!     _ => json(200, "[]"),
//! };
//! let notes = Notes(TemplateInfo::new("notes", "notes", "https://notes.example").model("Note", "a note"));
//! let trial = Trial::new(Arc::new(notes), api).await?;
//! assert_eq!(trial.run().await?.progress.added, 2);
//! assert_eq!(trial.ids("Note").await?, ["1", "2"]);
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs)]
// It is made for tests: it speaks to tokio and panics where a test should fail.
#![allow(clippy::disallowed_methods)]

#[cfg(doctest)]
#[doc = include_str!("../../../docs/write-a-template.md")]
mod write_a_template {}

mod cassette;
mod clock;
mod fake;
pub mod fakes;
mod hostile;
pub mod matrix;
mod serve;
mod trial;

pub use cassette::Cassette;
pub use clock::TestEnvironment;
pub use fake::{FakeApi, FakeRequest, FakeTransport, json, with_header};
pub use hostile::{Fault, Hostile};
pub use serve::ServedApi;
pub use trial::Trial;
