//! Runs manifests of the declarative (low-code) connector language in process, unmodified.
//!
//! A [`Manifest`] is read and checked once; with a config it becomes a [`Source`], whose streams are read through an
//! [`Exchange`] (the one door to the network) into a [`Sink`], page by page. The `{{ }}` templates inside a manifest are
//! evaluated by [`highwater_interpolation`]; [`replay`] compares a manifest's behaviour with recorded exchanges.

#![deny(missing_docs)]

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
pub use template::templates;
