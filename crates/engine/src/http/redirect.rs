//! Redirects (RFC 9110, 15.4): followed within the origins, as the method allows.

use highwater_core::{ErrorKind, Result};
use highwater_template::{HttpRequest, HttpResponse};
use url::Url;

use super::origins::Origins;
use crate::mutants::mutant;

/// Redirects followed for one request.
const MAX_REDIRECTS: usize = 10;

/// Headers that tell of a body: they go with it.
const OF_A_BODY: [&str; 5] =
    ["content-type", "content-length", "content-encoding", "content-language", "content-location"];

/// A request on its way: what is sent next, and where.
pub(super) struct Journey {
    pub(super) request: HttpRequest,
    pub(super) url: Url,
    been: Vec<(String, Url)>,
}

impl Journey {
    pub(super) fn new(request: HttpRequest, url: Url) -> Self {
        Journey { request, url, been: Vec::new() }
    }

    /// Goes where the response points to. 307 and 308 repeat the request as it is. 303 asks with `GET`, as do 301 and 302
    /// where it was a `POST`, without a body; other methods are kept. Nothing is attached before the origin was checked.
    ///
    /// # Errors
    ///
    /// Fails with [`ErrorKind::Remote`] where the response is no redirect that can be followed: also for a 301 or 302 of a
    /// `POST` that may be sent once only. It writes something, and the `GET` in its place would not.
    pub(super) fn follow(&mut self, response: HttpResponse, origins: &Origins) -> Result<()> {
        let refused = |message| Err(response.error(ErrorKind::Remote, message));
        if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
            return response.error_for_status().map(drop);
        }
        let Some(location) = response.header("location").filter(|location| !location.trim().is_empty()) else {
            return refused("the API redirects without saying where");
        };
        let mut url = match self.url.join(location.trim()) {
            Ok(url) => url,
            Err(source) => {
                let error = response.error(ErrorKind::Remote, "the API redirects to something that is no URL");
                return Err(error.because(source));
            }
        };
        // A name and a password in a link are not ours to send.
        if url.set_username("").and_then(|()| url.set_password(None)).is_err() {
            return refused("the API redirects to something that is no URL of a server");
        }
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

/// Whether a request is there to write: it may be sent once only, or says by a key that it may be sent again.
fn writes(request: &HttpRequest) -> bool {
    !request.repeatable || request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"))
}

/// What a log says of a redirect that changed the method: what was to be written was not, unless the API says otherwise.
pub(super) fn changed(status: u16, method: &str) -> String {
    format!("the API redirected {method} with {status}: asked on by GET, without the body")
}

/// Whether a response goes to [`Journey::follow`]: every 3xx but a 304 that was asked for.
pub(super) fn concerns(response: &HttpResponse, request: &HttpRequest) -> bool {
    let asked_for = request.is_conditional() || mutant!("unasked-unchanged");
    (300..400).contains(&response.status)
        && !(response.status == 304 && asked_for)
        && !(mutant!("redirect-is-success") && response.status != 304)
}
