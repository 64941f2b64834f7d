//! The headers of a request.

use axum::http::HeaderMap;

use super::value::{self, Refused};
use crate::error::{ApiError, Place};

/// The headers of a request. Those that a route does not ask for are ignored.
#[derive(Debug)]
pub(crate) struct Headers<'h>(pub(super) &'h HeaderMap);

impl<'h> Headers<'h> {
    pub(crate) fn new(headers: &'h HeaderMap) -> Self {
        Headers(headers)
    }

    /// Reads a header that may be left out, and may not stand twice. `name` is how errors name it; its case does not matter.
    pub(crate) fn optional<T>(
        &self,
        name: &str,
        reader: impl FnOnce(&str) -> Result<T, Refused>,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        value::read(Place::Header, name, text, reader).map(Some)
    }

    /// Reads a header that must be there, once.
    pub(crate) fn required<T>(
        &self,
        name: &str,
        reader: impl FnOnce(&str) -> Result<T, Refused>,
    ) -> Result<T, ApiError> {
        self.optional(name, reader)?
            .ok_or_else(|| ApiError::parameter(Place::Header, name, "missing", "is missing: send it"))
    }

    /// Reads a header of which some clients send an empty one to say that they have none.
    pub(crate) fn optional_or_empty<T>(
        &self,
        name: &str,
        reader: impl FnOnce(&str) -> Result<T, Refused>,
    ) -> Result<Option<T>, ApiError> {
        if self.text(name)?.is_none_or(str::is_empty) { Ok(None) } else { self.optional(name, reader) }
    }

    fn text(&self, name: &str) -> Result<Option<&'h str>, ApiError> {
        let mut values = self.0.get_all(name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(ApiError::parameter(Place::Header, name, "repeated", "was sent twice: send it once"));
        }
        let text = std::str::from_utf8(value.as_bytes());
        text.map(Some).map_err(|_| ApiError::parameter(Place::Header, name, "invalid", "is not UTF-8"))
    }
}
