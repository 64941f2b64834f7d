//! Follows redirects (RFC 9110, 15.4) within the origins, as far as the method allows.

use highwater_core::{ErrorKind, Result};
use highwater_template::{HttpRequest, HttpResponse};

use super::origins::Origins;
use crate::mutants::mutant;
use crate::urls::Url;

/// The most redirects that are followed for one request.
const MAX_REDIRECTS: usize = 10;

/// Headers that describe a body: they are dropped with it.
const OF_A_BODY: [&str; 5] =
    ["content-type", "content-length", "content-encoding", "content-language", "content-location"];

/// A request with its redirects so far: what is sent next, and where.
pub(super) struct Journey {
    pub(super) request: HttpRequest,
    pub(super) url: Url,
    been: Vec<(String, Url)>,
}

impl Journey {
    pub(super) fn new(request: HttpRequest, url: Url) -> Self {
        Journey { request, url, been: Vec::new() }
    }

    /// Follows the response's redirect. 307 and 308 repeat the request unchanged. 303 switches to `GET` without a body, as do 301
    /// and 302 for a `POST`; other methods are kept. Credentials are attached only after the origin was checked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Remote`] if the redirect cannot be followed. This includes a 301 or 302 of a `POST` that may be sent only
    /// once: it writes something, and the `GET` in its place would not.
    pub(super) fn follow(&mut self, response: HttpResponse, origins: &Origins) -> Result<()> {
        let refused = |message| Err(response.error(ErrorKind::Remote, message));
        if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
            return response.error_for_status().map(drop);
        }
        let Some(location) = response.header("location").filter(|location| !location.trim().is_empty()) else {
            return refused("the API redirects without a target");
        };
        let mut url = match self.url.join(location.trim()) {
            Ok(url) => url,
            Err(source) => {
                let error = response.error(ErrorKind::Remote, "the API redirects to an invalid URL");
                return Err(error.because(source));
            }
        };
        let admitted = origins.admit(&mut url, "refused a redirect to another origin: the token would leak");
        admitted.map_err(|error| error.with("url", &response.url).with("status", response.status))?;
        self.been.push((self.request.method.clone(), self.url.clone()));
        let by_get = match response.status {
            303 => !matches!(self.request.method.as_str(), "GET" | "HEAD"),
            301 | 302 => self.request.method == "POST",
            _ => false,
        };
        if by_get && response.status != 303 && writes(&self.request) && !mutant!("write-becomes-read") {
            let message = "the API moved what the request writes to, and a redirect of this kind loses the body: \
                           nothing was written; ask at the new address";
            return Err(response.error(ErrorKind::Remote, message).with("location", url));
        }
        if by_get {
            self.request.method = "GET".to_owned();
            self.request.body = None;
            self.request.repeatable = true;
            self.request.headers.retain(|(name, _)| !OF_A_BODY.iter().any(|known| name.eq_ignore_ascii_case(known)));
        }
        self.url = url;
        if self.been.iter().any(|(method, url)| *method == self.request.method && *url == self.url) {
            return refused("the API redirects in a circle");
        }
        if self.been.len() > MAX_REDIRECTS {
            let error = response.error(ErrorKind::Remote, "the API redirects again and again: check the base URL");
            return Err(error.with("redirects", self.been.len()));
        }
        Ok(())
    }
}

/// Whether a request writes: it may be sent only once, or has an idempotency key.
fn writes(request: &HttpRequest) -> bool {
    !request.repeatable || request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"))
}

/// The log line about a redirect that changed the method: the write probably did not happen.
pub(super) fn changed(status: u16, method: &str) -> String {
    format!("the API redirected {method} with {status}: following with GET, without the body")
}

/// Whether a response is passed to [`Journey::follow`]: every 3xx except a requested 304.
pub(super) fn concerns(response: &HttpResponse, request: &HttpRequest) -> bool {
    let asked_for = request.is_conditional() || mutant!("unasked-unchanged");
    (300..400).contains(&response.status)
        && !(response.status == 304 && asked_for)
        && !(mutant!("redirect-is-success") && response.status != 304)
}
