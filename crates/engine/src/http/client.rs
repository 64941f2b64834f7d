//! Requests of one run: whole URLs, credentials for the right origins only, retries, limits.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use highwater_core::template::{
    AuthKind, HttpRequest, HttpResponse, LogLevel, OAuth2, Provider, Secret, SecretRenewal, Transport,
};
use highwater_core::{Environment, Error, ErrorKind, Result, Store};
use tokio::sync::watch;
use url::Url;

use super::address::Address;
use super::credentials::{Credentials, Means};
use super::limits::{RequestLimits, Verdict, remaining, rest, verdict};
use super::renewal::Way;
use super::session::{Session, lock};
use super::tokens;

/// Redirects followed within the origins.
const MAX_REDIRECTS: usize = 5;

/// Rate limits waited out in a row for one request.
const MAX_WAITS: u32 = 20;

/// Where the client's news go: the run's log.
pub(crate) type Note<'n> = &'n (dyn Fn(LogLevel, &str) + Sync);

#[derive(Debug)]
pub(crate) struct Client {
    transport: Arc<dyn Transport>,
    environment: Arc<dyn Environment>,
    store: Arc<dyn Store>,
    limits: RequestLimits,
    /// The first is the base URL.
    origins: Vec<Url>,
    provider: Provider,
    session: Arc<Session>,
    /// Where credentials may go.
    address: Address,
    /// The engine's name among others.
    engine: String,
    /// How many renewals of credentials are under way.
    renewals: watch::Sender<usize>,
}

impl Client {
    /// A client of `provider` for the origins given, the base URL first.
    pub(crate) async fn new(
        transport: Arc<dyn Transport>,
        environment: Arc<dyn Environment>,
        store: Arc<dyn Store>,
        limits: RequestLimits,
        origins: &[String],
        provider: &Provider,
        session: Arc<Session>,
    ) -> Result<Self> {
        let secrets = !session.credentials().await?.all_secrets().is_empty();
        let origins = origins.iter().map(|url| origin(url, secrets)).collect::<Result<Vec<_>>>()?;
        let (provider, renewals) = (provider.clone(), watch::channel(0).0);
        let (engine, address) = (String::new(), Address::default());
        Ok(Client { transport, environment, store, limits, origins, provider, session, address, engine, renewals })
    }

    /// For a connection that is there.
    pub(super) fn at(mut self, address: Address) -> Self {
        self.address = address;
        self
    }

    pub(super) fn origins(&self) -> &[Url] {
        &self.origins
    }

    /// Whether the connection is still the one that the client was made for.
    pub(super) fn check_address(&self) -> Result<()> {
        self.session.check_address(&self.address)
    }

    /// With the name by which its engine takes turns with others.
    pub(crate) fn of_engine(mut self, name: &str) -> Self {
        name.clone_into(&mut self.engine);
        self
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Sends a request until it is answered well or there is no hope; one that takes any status, until it is answered.
    pub(super) async fn send(&self, request: HttpRequest, note: Note<'_>) -> Result<HttpResponse> {
        let mut url = self.resolve(&request)?;
        let (mut failures, mut waits, mut redirects, mut refreshed) = (0, 0, 0, false);
        loop {
            self.await_leave(note).await?;
            let credentials = self.credentials().await?;
            let outgoing = self.outgoing(&request, &url, &credentials);
            let response = match self.exchange(outgoing, &url, note).await {
                Ok(response) => response,
                Err(error) if self.may_retry(&error, &request, failures) => {
                    failures += 1;
                    note(LogLevel::Warning, &format!("no answer ({error}); trying again"));
                    self.pause(failures).await;
                    continue;
                }
                Err(error) => return Err(error.with("url", self.shown(&url))),
            };
            let asked_to_wait = self.read_limits(&response);
            match response.status {
                301 | 302 | 303 | 307 | 308 if request.method == "GET" && redirects < MAX_REDIRECTS => {
                    redirects += 1;
                    let Some(target) = response.header("location") else { return Ok(response) };
                    url = url.join(target).map_err(|source| {
                        response
                            .refusal(ErrorKind::Remote, "the API redirects to something that is no URL")
                            .because(source)
                    })?;
                    self.check_origin(&url)?;
                }
                _ if !refreshed
                    && tokens::is_over(&response, &self.provider)
                    && self.refresh(&credentials, true).await? =>
                {
                    refreshed = true;
                }
                _ if request.any_status => {
                    if let Verdict::Wait(wait) = asked_to_wait {
                        self.quiet_for(wait.unwrap_or(Duration::ZERO));
                    }
                    return Ok(response);
                }
                _ if asked_to_wait != Verdict::Pass => {
                    waits += 1;
                    if waits > MAX_WAITS {
                        let message = "the API keeps asking to slow down: try again later";
                        return Err(response.refusal(ErrorKind::RateLimited, message));
                    }
                    let wait = if let Verdict::Wait(Some(wait)) = asked_to_wait {
                        wait
                    } else {
                        self.limits.pause(waits, self.random())
                    };
                    self.quiet_for(wait);
                }
                500..=599 if request.repeatable && failures + 1 < self.limits.attempts => {
                    failures += 1;
                    note(LogLevel::Warning, &format!("the API answered {}; trying again", response.status));
                    self.pause(failures).await;
                }
                _ => return response.successful(),
            }
        }
    }

    /// One exchange, and its line in the log.
    async fn exchange(&self, outgoing: HttpRequest, url: &Url, note: Note<'_>) -> Result<HttpResponse> {
        let method = outgoing.method.clone();
        let began_ms = self.environment.now_ms();
        let outcome = self.transport.send(outgoing).await;
        let took_ms = self.environment.now_ms().saturating_sub(began_ms);
        let shown = self.shown(url);
        let answer = match &outcome {
            Ok(response) => response.status.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        tracing::debug!(target: "highwater::http", %method, url = %shown, status = %answer, ms = took_ms, "request");
        note(LogLevel::Debug, &format!("{method} {shown}: {answer}, {took_ms} ms"));
        outcome.map(|mut response| {
            response.url = shown;
            response.hiding(self.session.redactor())
        })
    }

    fn may_retry(&self, error: &Error, request: &HttpRequest, failures: u32) -> bool {
        error.kind() == ErrorKind::Unavailable && request.repeatable && failures + 1 < self.limits.attempts
    }

    /// Keeps what a response says about limits, and tells whether the request is to be sent again for it.
    fn read_limits(&self, response: &HttpResponse) -> Verdict {
        let now_ms = self.environment.now_ms();
        let habits = &self.provider.limits;
        if let Some(left) = remaining(response, habits) {
            lock(&self.session.budget).left(left);
        }
        if let Some(wait) = rest(response, habits, now_ms) {
            self.quiet_for(wait);
        }
        verdict(response, habits, now_ms)
    }

    fn resolve(&self, request: &HttpRequest) -> Result<Url> {
        let invalid =
            |source| Error::new(ErrorKind::Invalid, "the template asks for something that is no URL").because(source);
        let mut url = match (Url::parse(&request.url), self.origins.first()) {
            (Ok(url), _) => url,
            // A path goes behind the base URL's own path, which `join` would replace.
            (Err(_), Some(base)) => {
                let base = base.as_str().trim_end_matches('/');
                Url::parse(&format!("{base}/{}", request.url.trim_start_matches('/'))).map_err(invalid)?
            }
            (Err(source), None) => return Err(invalid(source)),
        };
        self.check_origin(&url)?;
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        Ok(url)
    }

    /// Credentials go to the template's own origins and nowhere else.
    fn check_origin(&self, url: &Url) -> Result<()> {
        if self.origins.iter().any(|known| known.origin() == url.origin()) {
            return Ok(());
        }
        let expected: Vec<String> = self.origins.iter().map(|known| known.origin().ascii_serialization()).collect();
        Err(Error::new(
            ErrorKind::Remote,
            "the API names a page at another origin; it was not asked, for the token must not go there",
        )
        .with("origin", url.origin().ascii_serialization())
        .with("expected", expected.join(", ")))
    }

    fn outgoing(&self, request: &HttpRequest, url: &Url, credentials: &Credentials) -> HttpRequest {
        let mut url = url.clone();
        let mut headers = request.headers.clone();
        let given = |headers: &[(String, String)], name: &str| {
            headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        for (name, value) in &self.provider.headers {
            if !given(&headers, name) {
                headers.push((name.clone(), value.clone()));
            }
        }
        match self.placed(credentials).filter(|_| self.address.owns(&url)) {
            Some(Place::Header(name, value)) if !given(&headers, &name) => headers.push((name, value)),
            Some(Place::Query(name, value)) => {
                url.query_pairs_mut().append_pair(&name, value.expose().trim());
            }
            _ => {}
        }
        let mut outgoing = HttpRequest::new(request.method.clone(), url.as_str());
        outgoing.headers = headers;
        outgoing.body.clone_from(&request.body);
        outgoing
    }

    /// Where the credentials go in a request.
    fn placed(&self, credentials: &Credentials) -> Option<Place> {
        // A token that was read from a file may have brought its newline.
        let bearer =
            |token: &Secret| Place::Header("authorization".to_owned(), format!("Bearer {}", token.expose().trim()));
        match &credentials.sign_in {
            Means::Nothing => None,
            Means::OAuth2(tokens) => tokens.access_token.as_ref().map(bearer),
            Means::Basic { username, password } => {
                let pair = format!("{username}:{}", password.expose());
                Some(Place::Header("authorization".to_owned(), format!("Basic {}", STANDARD.encode(pair))))
            }
            Means::Token(token) => Some(
                self.provider
                    .auth
                    .iter()
                    .find_map(|kind| match kind {
                        AuthKind::Bearer { .. } => Some(bearer(token)),
                        AuthKind::Header { name, prefix, .. } => {
                            Some(Place::Header(name.clone(), format!("{prefix}{}", token.expose().trim())))
                        }
                        AuthKind::Query { name, .. } => Some(Place::Query(name.clone(), token.clone())),
                        _ => None,
                    })
                    .unwrap_or_else(|| bearer(token)),
            ),
        }
    }

    /// The credentials, refreshed where they are about to end, and kept by the host before they are used.
    async fn credentials(&self) -> Result<Credentials> {
        self.check_address()?;
        self.session.save().await?;
        let credentials = self.session.credentials().await?;
        let Means::OAuth2(tokens) = &credentials.sign_in else { return Ok(credentials) };
        let now_ms = self.environment.now_ms();
        if !tokens.is_due(now_ms) || !tokens.can_refresh() && tokens.access_token.is_some() {
            return Ok(credentials);
        }
        match self.refresh(&credentials, false).await {
            // The token at hand is still good: the endpoint may work again before it ends.
            Err(error) if may_pass(&error) && tokens.lasts(now_ms) => {
                tracing::debug!(target: "highwater::http", "a token could not be renewed yet: {}", self.session.redact_error(error));
                Ok(credentials)
            }
            outcome => {
                outcome?;
                self.session.credentials().await
            }
        }
    }

    async fn refresh(&self, used: &Credentials, refused: bool) -> Result<bool> {
        let _under_way = UnderWay::begin(&self.renewals);
        self.session.refresh(&self.way(), used, refused).await
    }

    /// See [`SyncContext::renew_secrets`](highwater_core::template::SyncContext::renew_secrets).
    pub(crate) async fn renew_secrets(&self, renewal: &mut dyn SecretRenewal) -> Result<()> {
        self.check_address()?;
        let _under_way = UnderWay::begin(&self.renewals);
        self.session.renew_secrets(&self.way(), renewal).await
    }

    /// Waits until no renewal of this client's is under way.
    pub(crate) async fn renewed(&self) {
        let mut renewals = self.renewals.subscribe();
        // The sender lives in `self`: waiting cannot fail.
        let _ = renewals.wait_for(|renewals| *renewals == 0).await;
    }

    fn way(&self) -> Way<'_> {
        let (transport, environment, store) = (&self.transport, &self.environment, &self.store);
        Way { oauth: self.oauth2(), transport, environment, store, engine: &self.engine }
    }

    fn oauth2(&self) -> Option<&OAuth2> {
        self.provider.auth.iter().find_map(|kind| match kind {
            AuthKind::OAuth2(oauth) => Some(oauth),
            _ => None,
        })
    }

    /// Waits for the connection's budget, or says when to come again.
    async fn await_leave(&self, note: Note<'_>) -> Result<()> {
        loop {
            let leave = lock(&self.session.budget).take(self.provider.limits.rate, self.environment.now_ms());
            let Err(wait) = leave else { return Ok(()) };
            if wait > self.limits.max_wait {
                return Err(Error::new(
                    ErrorKind::RateLimited,
                    "the API's rate limit is used up: what was saved stays, run again later",
                )
                .with("seconds", wait.as_secs())
                .retry_in(wait));
            }
            if wait >= Duration::from_secs(1) {
                note(LogLevel::Warning, &format!("rate limit: waiting {} s", wait.as_secs()));
            }
            crate::timer::sleep(wait).await;
        }
    }

    fn quiet_for(&self, wait: Duration) {
        lock(&self.session.budget).quiet_for(wait, self.environment.now_ms());
    }

    async fn pause(&self, failures: u32) {
        crate::timer::sleep(self.limits.pause(failures, self.random())).await;
    }

    fn random(&self) -> u32 {
        let mut bytes = [0; 4];
        self.environment.fill_random(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// A URL without its query, and without any secret that stands in its path.
    fn shown(&self, url: &Url) -> String {
        self.session.redact(&format!("{}{}", url.origin().ascii_serialization(), url.path()))
    }
}

/// Counts a renewal while it lasts.
struct UnderWay<'c>(&'c watch::Sender<usize>);

impl<'c> UnderWay<'c> {
    fn begin(renewals: &'c watch::Sender<usize>) -> Self {
        renewals.send_modify(|renewals| *renewals += 1);
        UnderWay(renewals)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|renewals| *renewals -= 1);
    }
}

enum Place {
    Header(String, String),
    Query(String, Secret),
}

fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Remote | ErrorKind::RateLimited | ErrorKind::Unavailable)
}

fn origin(url: &str, secrets: bool) -> Result<Url> {
    let parsed = Url::parse(url).map_err(|source| {
        Error::new(ErrorKind::Invalid, "the base URL is not a URL").with("base_url", url).because(source)
    })?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(
            Error::new(ErrorKind::Invalid, "the base URL must begin with https:// (or http://)").with("base_url", url)
        );
    }
    if secrets && parsed.scheme() == "http" && !is_loopback(&parsed) {
        return Err(Error::new(ErrorKind::Invalid, "a token is not sent over plain http: use an https:// base URL")
            .with("base_url", url));
    }
    Ok(parsed)
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
