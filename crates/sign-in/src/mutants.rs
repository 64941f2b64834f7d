//! Rules of this crate that a test build can break on purpose; `mutants.txt` lists them.

pub(crate) use highwater_core::mutant;
