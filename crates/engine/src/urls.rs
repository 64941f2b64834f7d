//! Names and passwords in URLs.

use highwater_core::{Error, ErrorKind};
use url::Url;

/// Whether a URL has a name or a password in front of its host.
pub(crate) fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Removes them.
pub(crate) fn without_credentials(url: &mut Url) {
    if has_credentials(url) {
        // Fails only for a URL without a host, which has none.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
    }
}

/// The refusal of a base URL with a name or a password, without showing it: settings are stored and printed.
pub(crate) fn credentials_in_url() -> Error {
    Error::new(ErrorKind::Invalid, "the base URL has a name or a password: pass them as the connection's credentials")
}

/// Removes a parameter from a URL's query; the others stay unchanged.
pub(crate) fn without_parameter(url: &mut Url, name: &str) {
    let is_other = |pair: &&str| url::form_urlencoded::parse(pair.as_bytes()).all(|(known, _)| known != name);
    let Some(query) = url.query() else { return };
    let kept: Vec<&str> = query.split('&').filter(is_other).collect();
    if kept.len() < query.split('&').count() {
        let kept = kept.join("&");
        url.set_query(Some(&*kept).filter(|query| !query.is_empty()));
    }
}
