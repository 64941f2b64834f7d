//! Reads a manifest's text into one tree, in which references are resolved and every component has its type and parameters.

mod files;
mod parameters;
mod references;
mod yaml;

pub use files::Files;
pub(crate) use parameters::{is_truthy, propagate};
pub(crate) use references::{SECTIONS, faults, lookup, resolve};
pub(crate) use yaml::read_value;
