//! The canonical encoding: equal for equal content however it is spelled, different otherwise.

use std::borrow::Cow;
use std::sync::Arc;

use super::encode::Encoder;
use super::scan::Scanner;
use super::{ContentRules, first_half};
use crate::error::Result;

/// What a full reading of a record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// The hash of its content.
    pub hash: [u8; 16],
    /// The top-level `id`, if it is a string, or an integer (as decimal text).
    pub id: Option<Arc<str>>,
}

/// Reads a record strictly (one JSON object, UTF-8, no key twice in an object, at most 128 deep)
/// and hashes its content.
///
/// # Errors
///
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for anything else.
pub fn canonical(rules: &ContentRules, payload: &[u8]) -> Result<Canonical> {
    Canonicalizer::new(rules).read(payload)
}

/// Reads one record after the other by the same rules: twice as fast as [`canonical`] where the records have the
/// same members in the same places, for it remembers what earlier ones looked like. The answers are the same.
///
/// It keeps some kilobytes of memory; after large records up to a few megabytes.
///
/// ```
/// use highwater_core::ContentRules;
/// use highwater_core::content::{Canonicalizer, record_checksum};
/// let mut canonicalizer = Canonicalizer::new(&ContentRules::new());
/// let mut checksum = 0_u128;
/// for (id, payload) in [("1", r#"{"id":1}"#), ("2", r#"{"id":2}"#)] {
///     let canonical = canonicalizer.read(payload.as_bytes())?;
///     checksum = checksum.wrapping_add(record_checksum(id, &canonical.hash));
/// }
/// # Ok::<(), highwater_core::Error>(())
/// ```
pub struct Canonicalizer {
    ignored: Vec<Vec<String>>,
    fingerprint: u32,
    encoder: Encoder,
}

impl Canonicalizer {
    /// A reader that has seen nothing yet.
    pub fn new(rules: &ContentRules) -> Self {
        let ignored = rules
            .ignored()
            .iter()
            .map(|pointer| segments(pointer).into_iter().map(Cow::into_owned).collect())
            .collect();
        Canonicalizer { ignored, fingerprint: rules.fingerprint(), encoder: Encoder::default() }
    }

    /// The fingerprint of the rules.
    pub(crate) fn fingerprint(&self) -> u32 {
        self.fingerprint
    }

    /// Reads a record as [`canonical`] does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with the `byte` at which the text is not such an object.
    pub fn read(&mut self, payload: &[u8]) -> Result<Canonical> {
        let ignored: Vec<&[String]> = self.ignored.iter().map(Vec::as_slice).collect();
        let (encoded, id) = self.encoder.record(payload, &ignored)?;
        Ok(Canonical { hash: first_half(&blake3::hash(encoded)), id: id.and_then(id_of) })
    }
}

impl std::fmt::Debug for Canonicalizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Canonicalizer").field("ignored", &self.ignored).finish_non_exhaustive()
    }
}

/// Whether two JSON texts have the same value. Texts that are not JSON equal nothing.
pub fn canonical_eq(a: &[u8], b: &[u8]) -> bool {
    match (encode(a), encode(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

fn encode(text: &[u8]) -> Result<Vec<u8>> {
    Encoder::default().any_value(text)
}

/// The steps of a JSON pointer.
pub(super) fn segments(pointer: &str) -> Vec<Cow<'_, str>> {
    pointer
        .split('/')
        .skip(1)
        .map(|segment| {
            if segment.contains('~') {
                Cow::Owned(segment.replace("~1", "/").replace("~0", "~"))
            } else {
                Cow::Borrowed(segment)
            }
        })
        .collect()
}

/// The id that a value is.
fn id_of(value: &[u8]) -> Option<Arc<str>> {
    let mut scanner = Scanner::new(value);
    if value.first() == Some(&b'"') {
        return std::str::from_utf8(&scanner.string().ok()?).ok().map(Arc::from);
    }
    let integer = value.iter().enumerate().all(|(place, byte)| byte.is_ascii_digit() || (place == 0 && *byte == b'-'));
    let text = std::str::from_utf8(value).ok().filter(|_| integer)?;
    Some(if text == "-0" { "0" } else { text }.into())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
