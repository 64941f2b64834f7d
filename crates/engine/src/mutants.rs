//! Rules of this crate that a test build can break on purpose; they are listed in [`highwater_core::mutants`].

/// Whether the named rule is broken in this process: never, in a build without the feature `mutants`.
macro_rules! mutant {
    ($name:literal) => {{
        #[cfg(feature = "mutants")]
        {
            highwater_core::mutants::active($name)
        }
        #[cfg(not(feature = "mutants"))]
        {
            false
        }
    }};
}
pub(crate) use mutant;
