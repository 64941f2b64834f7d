//! Runs manifests of the declarative (low-code) connector language in process, unmodified.
//!
//! A [`Manifest`] is read and checked once; with a config it becomes a [`Source`], whose streams are read through an
//! [`Exchange`] (the one door to the network) into a [`Sink`], page by page. The `{{ }}` templates inside a manifest are
//! evaluated by [`highwater_interpolation`]; [`replay`] compares a manifest's behaviour with recorded exchanges.

#![deny(missing_docs)]

mod config;
mod dynamic;
mod exchange;
mod manifest;
mod model;
mod origins;
mod registry;
pub mod replay;
mod run;
mod schema;
mod source;
mod template;

pub use exchange::{ConfigRenewal, Exchange, Page, Purpose, Request, Sink, Summary};
pub use highwater_interpolation::{Map, Value, json};
pub use manifest::{Files, Finding, Manifest};
pub use registry::{CustomAuthenticator, CustomExtractor, CustomTransformation, Registry};
pub use source::{Source, StreamInfo};
pub use template::templates;
