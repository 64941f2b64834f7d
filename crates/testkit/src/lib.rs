//! Tools to test templates with.
//!
//! * [`Trial`]: a template with an engine and a store in memory, in a few lines. Under tokio's paused time, waits take no time.
//! * [`FakeApi`]: an API as a Rust value, reached within the process or over a real socket ([`ServedApi`]).
//! * [`Hostile`]: any such API, with faults in between.
//! * [`matrix`]: a template against every known misbehaviour of APIs, with checks of the invariants.
//! * [`Cassette`]: responses of a real API, recorded to a file without secrets, and replayed.
//! * [`demo`]: a small API on this machine, with its template: what `highwater demo` syncs.
//! * [`fakes`]: stateful fakes of real providers, built after their documentation.
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
//! assert_eq!(trial.run().await?.progress.counts.added, 2);
//! assert_eq!(trial.ids("Note").await?, ["1", "2"]);
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs, clippy::missing_errors_doc)]
// Made for tests: it uses tokio's clock and panics where a test should fail.
#![allow(clippy::disallowed_methods)]

#[cfg(doctest)]
#[doc = include_str!("../../../docs/write-a-template.md")]
mod write_a_template {}

mod cassette;
mod clock;
pub mod demo;
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
