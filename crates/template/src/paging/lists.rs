//! How most lists of an API are read.

use serde::Serialize;

use super::Paging;

/// How most lists of an API are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Lists {
    /// How a response names the next page.
    pub paging: Paging,
    /// Where a response has its records, as a JSON pointer. Empty where the body is the array of them.
    pub records: String,
}

impl Lists {
    /// Describes lists whose pages are JSON arrays.
    pub fn new(paging: Paging) -> Self {
        Lists { paging, records: String::new() }
    }

    /// Sets where a response has its records, as a JSON pointer.
    #[must_use]
    pub fn records_at(mut self, pointer: impl Into<String>) -> Self {
        self.records = pointer.into();
        self
    }
}
