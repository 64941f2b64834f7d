//! Reads providers from YAML files: an API's base URL, its sign-in methods, rate limits and paging.
//!
//! ```
//! let provider = highwater_provider_file::parse(
//!     "
//! name: acme
//! docs: https://docs.acme.example
//! base_url: https://{site}.acme.example/api
//! config:
//!   site: {help: 'the name in front of .acme.example'}
//! auth:
//!   - kind: header
//!     name: x-api-key
//!     help: an API key, from Settings > API
//! headers: {accept: application/json}
//! verification: {path: /me, names: [/email]}
//! ",
//! )?;
//! assert_eq!((provider.name.as_str(), provider.config[0].name.as_str()), ("acme", "site"));
//! # Ok::<(), highwater_core::Error>(())
//! ```
//!
//! `docs/providers.md` lists every key. An error is one line with its place and how to fix it:
//!
//! ```
//! let error = highwater_provider_file::parse("name: acme\nbase_ulr: https://api.acme.example").unwrap_err();
//! assert_eq!(error.to_string(), "line 2: unknown key `base_ulr`: did you mean `base_url`?");
//! ```

#![deny(missing_docs, clippy::missing_errors_doc)]

mod addresses;
mod auth;
mod fields;
mod provider;
mod tree;

use std::path::Path;

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::Provider;

/// The largest accepted file. The longest description that we know has 4 KiB.
const MAX_BYTES: usize = 256 * 1024;

/// Reads a provider from the text of a file: YAML, of which JSON is a part. At most 256 KiB.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] for a text that does not describe a provider. The message begins with the line.
pub fn parse(text: &str) -> Result<Provider> {
    if text.len() > MAX_BYTES {
        return Err(Error::new(
            ErrorKind::Invalid,
            "the file is larger than 256 KiB: a provider's description is short",
        )
        .with("bytes", text.len()));
    }
    provider::read(&tree::read(text.strip_prefix('\u{feff}').unwrap_or(text))?)
}

/// Reads a provider from a file.
///
/// # Errors
///
/// Those of [`parse`], with the file's path; [`ErrorKind::NotFound`] if it cannot be read, [`ErrorKind::Invalid`] if it is not
/// UTF-8.
pub fn read(path: impl AsRef<Path>) -> Result<Provider> {
    let path = path.as_ref();
    let named = |error: Error| error.with("file", path.display());
    let unreadable = |source: std::io::Error| {
        named(Error::new(ErrorKind::NotFound, "the provider's file cannot be read: check the path")).because(source)
    };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    // Looked at first: a path given by mistake may lead to gigabytes.
    if bytes > MAX_BYTES as u64 {
        let message = "the file is larger than 256 KiB: a provider's description is short";
        return Err(named(Error::new(ErrorKind::Invalid, message).with("bytes", bytes)));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        named(at(line, "the file is not UTF-8: save it as UTF-8"))
    })?;
    parse(text).map_err(named)
}

/// The error for a mistake in a line.
fn at(line: usize, message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Invalid, format!("line {line}: {message}"))
}
