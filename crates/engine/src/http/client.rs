//! Requests of one run: whole URLs, credentials for the right origin only, retries, limits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use highwater_core::template::{HttpRequest, HttpResponse, TemplateInfo, Transport};
use highwater_core::{Environment, Error, ErrorKind, Result};
use url::Url;

use super::limits::{RequestLimits, Verdict, rest, verdict};
use super::secret::Secret;

/// Redirects followed within the origin.
const MAX_REDIRECTS: usize = 5;

/// Rate limits waited out in a row for one request.
const MAX_WAITS: u32 = 20;

#[derive(Debug)]
pub(crate) struct Client {
    transport: Arc<dyn Transport>,
    environment: Arc<dyn Environment>,
    limits: RequestLimits,
    base: Url,
    headers: Vec<(String, String)>,
    token: Option<Secret>,
    /// Before this time (Unix milliseconds) the API does not want to be asked.
    quiet_until_ms: Mutex<u64>,
}

impl Client {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        environment: Arc<dyn Environment>,
        limits: RequestLimits,
        base_url: &str,
        info: &TemplateInfo,
        token: Option<Secret>,
    ) -> Result<Self> {
        let base = Url::parse(base_url).map_err(|source| {
            Error::new(ErrorKind::Invalid, "the base URL is not a URL").with("base_url", base_url).because(source)
        })?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(Error::new(ErrorKind::Invalid, "the base URL must begin with https:// (or http://)")
                .with("base_url", base_url));
        }
        if token.is_some() && base.scheme() == "http" && !is_loopback(&base) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a token is not sent over plain http: use an https:// base URL",
            )
            .with("base_url", base_url));
        }
        Ok(Client {
            transport,
            environment,
            limits,
            base,
            headers: info.headers.clone(),
            token,
            quiet_until_ms: Mutex::new(0),
        })
    }

    /// Sends a request until it is answered well or there is no hope.
    pub(crate) async fn send(&self, request: HttpRequest, note: &(dyn Fn(&str) + Sync)) -> Result<HttpResponse> {
        let mut url = self.resolve(&request)?;
        let (mut failures, mut waits, mut redirects) = (0, 0, 0);
        loop {
            self.keep_quiet(note).await?;
            let mut outgoing = HttpRequest::new(request.method.clone(), url.as_str());
            outgoing.headers = self.headers_of(&request);
            outgoing.body.clone_from(&request.body);
            let outcome = self.transport.send(outgoing).await.map(|mut response| {
                response.url = shown(&url);
                response
            });
            let now_ms = self.environment.now_ms();
            let response = match outcome {
                Ok(response) => response,
                Err(error) if error.kind() == ErrorKind::Unavailable && failures + 1 < self.limits.attempts => {
                    failures += 1;
                    note(&format!("no answer ({error}); trying again"));
                    self.pause(failures).await;
                    continue;
                }
                Err(error) => return Err(error.with("url", shown(&url))),
            };
            if let Some(wait) = rest(&response, now_ms) {
                self.quiet_for(wait);
            }
            if let Verdict::Wait(wait) = verdict(&response, now_ms) {
                waits += 1;
                if waits > MAX_WAITS {
                    return Err(refused(
                        &response,
                        ErrorKind::RateLimited,
                        "the API keeps asking to slow down: try again later",
                    ));
                }
                self.quiet_for(wait.unwrap_or_else(|| self.limits.pause(waits, self.random())));
                continue;
            }
            match response.status {
                301 | 302 | 303 | 307 | 308 if request.method == "GET" && redirects < MAX_REDIRECTS => {
                    redirects += 1;
                    let Some(target) = response.header("location") else { return Ok(response) };
                    let target = url.join(target).map_err(|source| {
                        refused(&response, ErrorKind::Remote, "the API redirects to something that is no URL")
                            .because(source)
                    })?;
                    self.check_origin(&target)?;
                    url = target;
                }
                500..=599 if failures + 1 < self.limits.attempts => {
                    failures += 1;
                    note(&format!("the API answered {}; trying again", response.status));
                    self.pause(failures).await;
                }
                status => return checked(response, status),
            }
        }
    }

    fn resolve(&self, request: &HttpRequest) -> Result<Url> {
        let invalid =
            |source| Error::new(ErrorKind::Invalid, "the template asks for something that is no URL").because(source);
        let mut url = match Url::parse(&request.url) {
            Ok(url) => url,
            // A path goes behind the base URL's own path, which `join` would replace.
            Err(_) => {
                let base = self.base.as_str().trim_end_matches('/');
                Url::parse(&format!("{base}/{}", request.url.trim_start_matches('/'))).map_err(invalid)?
            }
        };
        self.check_origin(&url)?;
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        Ok(url)
    }

    /// Credentials go to the API's own origin and nowhere else.
    fn check_origin(&self, url: &Url) -> Result<()> {
        if url.origin() == self.base.origin() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Remote,
            "the API names a page at another origin; it was not asked, for the token must not go there",
        )
        .with("origin", url.origin().ascii_serialization())
        .with("expected", self.base.origin().ascii_serialization()))
    }

    fn headers_of(&self, request: &HttpRequest) -> Vec<(String, String)> {
        let mut headers = request.headers.clone();
        for (name, value) in &self.headers {
            if !headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                headers.push((name.clone(), value.clone()));
            }
        }
        if let Some(token) = &self.token {
            headers.push(("authorization".to_owned(), format!("Bearer {}", token.expose())));
        }
        headers
    }

    async fn keep_quiet(&self, note: &(dyn Fn(&str) + Sync)) -> Result<()> {
        let until_ms = *self.quiet_until_ms.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = Duration::from_millis(until_ms.saturating_sub(self.environment.now_ms()));
        if wait > self.limits.max_wait {
            return Err(Error::new(
                ErrorKind::RateLimited,
                "the API's rate limit is used up: what was saved stays, run again later",
            )
            .with("seconds", wait.as_secs())
            .retry_in(wait));
        }
        if !wait.is_zero() {
            note(&format!("rate limit: waiting {} s", wait.as_secs().max(1)));
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    fn quiet_for(&self, wait: Duration) {
        let until = self.environment.now_ms().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let mut quiet = self.quiet_until_ms.lock().unwrap_or_else(PoisonError::into_inner);
        *quiet = until.max(*quiet);
    }

    async fn pause(&self, failures: u32) {
        tokio::time::sleep(self.limits.pause(failures, self.random())).await;
    }

    fn random(&self) -> u32 {
        let mut bytes = [0; 4];
        self.environment.fill_random(&mut bytes);
        u32::from_le_bytes(bytes)
    }
}

fn checked(response: HttpResponse, status: u16) -> Result<HttpResponse> {
    let (kind, message) = match status {
        0..=399 => return Ok(response),
        401 => (ErrorKind::Unauthorized, "the API refused the token: give the connection a valid one"),
        403 => (
            ErrorKind::Unauthorized,
            "the API does not allow this: check the token's scopes, and that it may see the resource",
        ),
        404 => {
            (ErrorKind::NotFound, "the API knows no such resource: check the settings, and that the token may see it")
        }
        410 => (ErrorKind::SourceReset, "the API forgot the checkpoint: a full refresh is needed"),
        500..=599 => (ErrorKind::Remote, "the API keeps failing: try again later; what was saved stays"),
        _ => (ErrorKind::Remote, "the API refused the request"),
    };
    Err(refused(&response, kind, message))
}

fn refused(response: &HttpResponse, kind: ErrorKind, message: &'static str) -> Error {
    Error::new(kind, message).with("url", &response.url).with("status", response.status)
}

/// A URL without its query, which may hold secrets.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
