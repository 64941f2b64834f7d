//! Rules that a test build can break on purpose, one at a time, to prove that the suite notices.
//!
//! Without the `mutants` feature every `mutant!` is the constant `false`.

/// Whether the named rule is broken in this process.
#[cfg(feature = "mutants")]
pub(crate) fn active(name: &str) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("HIGHWATER_MUTANT").ok()).as_deref() == Some(name)
}

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
