//! What a record's content is: identity, hashes, merging.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What counts as a change of content.
///
/// ```
/// use highwater_core::ContentRules;
/// let rules = ContentRules::new().ignoring("/fetched_at")?;
/// # Ok::<(), highwater_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRules {
    ignored: Vec<String>,
}

impl ContentRules {
    /// Everything counts.
    pub fn new() -> Self {
        ContentRules::default()
    }

    /// Leaves the value at a JSON pointer (RFC 6901) out of change detection.
    pub fn ignoring(mut self, pointer: impl Into<String>) -> Result<Self> {
        let pointer = pointer.into();
        if !pointer.starts_with('/') {
            return Err(Error::invalid("a JSON pointer begins with a slash").with("pointer", pointer));
        }
        self.ignored.push(pointer);
        self.ignored.sort();
        self.ignored.dedup();
        Ok(self)
    }

    /// The pointers that are left out, in order.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }
}
