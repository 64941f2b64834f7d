//! The allowed origins of requests: the base URL and the other origins of a provider. Credentials are sent nowhere else.

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::HttpRequest;

use crate::reach::{self, Reach};
use crate::urls::{NotUrl, Url, credentials_in_url};

/// The origins of a connection; the first is its base URL.
#[derive(Debug)]
pub(super) struct Origins(Vec<Url>);

impl Origins {
    /// Creates them from absolute URLs, the base URL first. `secrets` says that there are credentials to protect.
    pub(super) fn new(urls: &[String], secrets: bool) -> Result<Self> {
        urls.iter().map(|url| origin(url, secrets)).collect::<Result<_>>().map(Origins)
    }

    /// The absolute URL of a request.
    pub(super) fn resolve(&self, request: &HttpRequest) -> Result<Url> {
        let invalid = |source| Error::new(ErrorKind::Invalid, "the template's URL is not a URL").because(source);
        let mut url = match (Url::parse(&request.url), self.0.first()) {
            (Ok(url), _) => url,
            // A path is appended to the base URL's own path, which `join` would replace.
            (Err(NotUrl::Relative), Some(base)) => {
                let base = base.as_str().trim_end_matches('/');
                Url::parse(&format!("{base}/{}", request.url.trim_start_matches('/'))).map_err(invalid)?
            }
            (Err(source), _) => return Err(invalid(source)),
        };
        self.admit(&mut url, "refused a link to another origin: the token would leak")?;
        if !request.query.is_empty() {
            url.append(request.query.iter().map(|(name, value)| (&**name, &**value)));
        }
        Ok(url)
    }

    /// Accepts a URL with one of the origins. A link to the same host without TLS, as servers behind a proxy write it, is
    /// requested with TLS.
    pub(super) fn admit(&self, url: &mut Url, refusal: &'static str) -> Result<()> {
        if let Some(safe) = url.with_tls().filter(|safe| self.has(safe) && !self.has(url)) {
            *url = safe;
        }
        if self.has(url) {
            return Ok(());
        }
        let expected: Vec<&str> = self.0.iter().map(Url::origin).collect();
        Err(Error::new(ErrorKind::Remote, refusal).with("origin", url.origin()).with("expected", expected.join(", ")))
    }

    pub(super) fn urls(&self) -> &[Url] {
        &self.0
    }

    fn has(&self, url: &Url) -> bool {
        self.0.iter().any(|known| known.origin() == url.origin())
    }
}

fn origin(url: &str, secrets: bool) -> Result<Url> {
    // The part after a `?` or `#` may be a key, so it is not shown.
    let shown = url.split(['?', '#']).next().unwrap_or_default();
    let invalid = |message| Error::new(ErrorKind::Invalid, message).with("base_url", shown);
    let parsed = Url::parse(url).map_err(|source| match source {
        // It may be a password, so the text is not shown.
        _ if shown.contains('@') => credentials_in_url(),
        NotUrl::Scheme => invalid("the base URL must begin with https:// (or http://)"),
        _ => invalid("the base URL is not a URL").because(source),
    })?;
    if parsed.has_credentials() {
        return Err(credentials_in_url());
    }
    if shown.len() != url.len() {
        return Err(invalid("the base URL has a query or a fragment, which requests would drop: remove it"));
    }
    if secrets && !parsed.is_https() && !is_loopback(&parsed) {
        return Err(invalid("a token is not sent over plain http: use an https:// base URL"));
    }
    Ok(parsed)
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    reach::of_url(url) == Reach::Loopback
}
