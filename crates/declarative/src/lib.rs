//! Runs manifests of the declarative (low-code) connector language in process, unmodified.
//!
//! [`templates`] makes templates of the engine out of a [`Manifest`], one for each stream. That is all that most hosts need:
//!
//! ```
//! use highwater_declarative::{Files, Manifest, templates};
//!
//! let manifest = r#"
//! streams:
//!   - name: things
//!     primary_key: id
//!     retriever:
//!       requester: {url_base: "https://api.example", path: things}
//!       record_selector: {extractor: {field_path: [things]}}
//! "#;
//! let manifest = Manifest::parse(manifest, &Files::new())?;
//! assert_eq!(templates("example", &manifest)?.len(), 1);
//! # Ok::<(), highwater_core::Error>(())
//! ```
//!
//! # Without the engine
//!
//! A [`Manifest`] with a config is a [`Source`]. [`Source::read`] reads one of its streams, page by page, into a [`Sink`]; it
//! sends its requests through an [`Exchange`] and knows no other way to the network. `docs/bring-a-manifest.md` says where the
//! results differ from those of the reference implementation, and [`replay`] compares the two.
//!
//! The `{{ }}` templates inside a manifest are the language of [`highwater_interpolation`].

#![deny(missing_docs, clippy::missing_errors_doc)]

mod config;
mod document;
mod dpath;
mod dynamic;
mod exchange;
mod finding;
mod form;
mod manifest;
mod model;
mod origins;
mod registry;
pub mod replay;
mod run;
mod schema;
mod source;
mod template;
mod wording;

pub use document::Files;
pub use exchange::{ConfigRenewal, Exchange, Page, Purpose, Request, Sink, Summary};
pub use finding::Finding;
pub use highwater_interpolation::{Map, Value, json};
pub use manifest::Manifest;
pub use registry::{CustomAuthenticator, CustomExtractor, CustomTransformation, Registry};
pub use source::{Source, StreamInfo};
pub use template::{templates, templates_for};
