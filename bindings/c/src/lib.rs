//! Highwater for C, and for the languages that call C: `include/highwater.h`, and `docs/bindings.md`.
//!
//! The functions are in `abi`, reading and writing the caller's memory is in `text`, and everything else is safe: handles are numbers in a
//! table, so that no use of a closed one touches memory.
#![deny(missing_docs)]

pub mod abi;
mod fetch;
mod handles;
mod text;
mod watch;
