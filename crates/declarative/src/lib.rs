//! Runs manifests of the declarative (low-code) connector language in process, unmodified.
//!
//! A [`Manifest`] is read and checked once; with a config it becomes a [`Source`], whose streams are read through an
//! [`Exchange`] (the one door to the network) into a [`Sink`], page by page. [`interpolation`] evaluates the `{{ }}`
//! templates inside a manifest, [`replay`] compares a manifest's behaviour with recorded exchanges.

#![deny(missing_docs)]

mod config;
mod dynamic;
mod exchange;
pub mod interpolation;
mod manifest;
mod model;
mod origins;
mod registry;
pub mod replay;
mod run;
mod schema;
mod source;
mod template;
mod value;

pub use exchange::{ConfigRenewal, Exchange, Page, Purpose, Request, Sink, Summary};
pub use manifest::{Files, Finding, Manifest};
pub use registry::{CustomAuthenticator, CustomExtractor, CustomTransformation, Registry};
pub use source::{Source, StreamInfo};
pub use template::templates;
pub use value::{At, Map, Value};
