//! The user's browser.

use highwater_core::{Error, ErrorKind, Result};

/// Opens a page in the user's default browser, and returns without waiting for the page to load.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if no browser can be started: show the user the address instead.
/// [`ErrorKind::Invalid`] for addresses other than `https` and `http`, for which the system might open any program.
pub fn open_browser(url: &str) -> Result<()> {
    let allowed = url::Url::parse(url).is_ok_and(|parsed| matches!(parsed.scheme(), "https" | "http"));
    if !allowed {
        return Err(Error::new(ErrorKind::Invalid, "not the address of a web page").with("url", url));
    }
    open::that_detached(url).map_err(|source| {
        Error::new(ErrorKind::NotFound, "no browser could be started: open the address yourself")
            .because(source)
            .with("url", url)
    })
}
