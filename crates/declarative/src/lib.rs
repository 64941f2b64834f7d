//! Runs manifests of the declarative (low-code) connector language in process, unmodified.
//!
//! [`interpolation`] evaluates the `{{ }}` templates inside a manifest.

#![deny(missing_docs)]

pub mod interpolation;
