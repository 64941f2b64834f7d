//! From a manifest's text to one tree without references, in which every component knows its type and its parameters.

mod files;
mod parameters;
mod references;
mod yaml;

pub use files::Files;
pub(crate) use parameters::{is_truthy, propagate};
pub(crate) use references::{SECTIONS, faults, lookup, resolve};
pub(crate) use yaml::read_value;
