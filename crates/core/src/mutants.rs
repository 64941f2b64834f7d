//! Rules that a test build can break on purpose, one at a time, to prove that the suite notices.
//!
//! Without a crate's `mutants` feature every `mutant!` in it is the constant `false`. With it, the environment variable
//! `HIGHWATER_MUTANT` names the rule to break. Each crate lists its rules in its `mutants.txt`; `cargo xtask mutants` breaks
//! them all in turn.

/// Whether the named rule is broken in this process.
#[cfg(feature = "mutants")]
pub fn active(name: &str) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("HIGHWATER_MUTANT").ok()).as_deref() == Some(name)
}

/// Whether the named rule is broken in this process: never, where the calling crate is built without its feature `mutants`.
#[doc(hidden)]
#[macro_export]
macro_rules! mutant {
    ($name:literal) => {{
        #[cfg(feature = "mutants")]
        {
            $crate::mutants::active($name)
        }
        #[cfg(not(feature = "mutants"))]
        {
            false
        }
    }};
}
pub(crate) use mutant;
