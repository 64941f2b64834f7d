//! Findings: what is odd in a manifest.

use std::fmt;

/// Something odd in a manifest, with its place and what to do about it.
///
/// ```
/// use highwater_declarative::{Files, Manifest};
/// let manifest = r##"
/// definitions: {old: {type: NoAuth}}
/// streams:
///   - name: things
///     retriever:
///       requester: {url_base: "https://api.example", path: "{{ confg.path }}"}
///       record_selector: {extractor: {field_path: [things]}}
/// "##;
/// let findings = Manifest::parse(manifest, &Files::new())?.findings();
/// let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
/// assert_eq!(
///     told,
///     [
///         "streams[0].retriever.requester.path: no template ever sees `confg`: did you mean `config`?",
///         "note: definitions.old: nothing refers to it: remove it, or use it with $ref",
///     ]
/// );
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Where in the manifest, references resolved.
    pub at: String,
    /// What it is, and what to do.
    pub message: String,
    /// Whether it fails once it is used; otherwise it is only a note.
    pub is_fault: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}: {}", if self.is_fault { "" } else { "note: " }, self.at, self.message)
    }
}
