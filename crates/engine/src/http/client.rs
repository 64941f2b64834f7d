//! The requests of one run: absolute URLs, credentials for the right origins only, retries, rate limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use highwater_core::locks::lock;
use highwater_core::{Environment, Error, ErrorKind, Result, Store};
use highwater_template::auth::{Placement, SecretRenewal};
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse, LogLevel, Provider, Secret};
use tokio::sync::watch;

use super::address::Address;
use super::attempt::{Note, hold};
use super::credentials::{Credentials, SignInMethod};
use super::limits::{RequestLimits, Verdict, passing, remaining, rest, server_ms, verdict};
use super::origins::Origins;
use super::redirect::{self, Journey};
use super::renewal::Way;
use super::session::Session;
use super::tokens;
use crate::counters::Counting;
use crate::documents::{RequestWait, WaitReason};
use crate::urls::Url;

/// The most rate limits in a row that are waited out for one request.
const MAX_WAITS: u32 = 20;

/// The attempts at a request without a response, until the client has had one: being offline is reported at once, and the
/// schedule retries.
const FIRST_TRIES: u32 = 2;

/// The shortest wait that an error reports. For shorter ones the schedule's own backoff applies.
const WORTH_TELLING: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Client {
    transport: Arc<dyn Transport>,
    pub(super) environment: Arc<dyn Environment>,
    store: Arc<dyn Store>,
    limits: RequestLimits,
    origins: Origins,
    provider: Provider,
    session: Arc<Session>,
    /// The origins that credentials may be sent to.
    address: Address,
    /// The engine's id.
    engine: String,
    /// The number of credential renewals in progress.
    renewals: watch::Sender<usize>,
    /// The API's clock at its latest answer, in Unix milliseconds; 0 before.
    server_ms: AtomicU64,
    /// Whether any request has been answered.
    pub(super) answered: AtomicBool,
    /// For monitoring.
    pub(super) counting: Arc<Counting>,
}

impl Client {
    /// Creates a client of `provider` for these origins, the base URL first.
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
        let origins = Origins::new(origins, secrets)?;
        let (provider, renewals) = (provider.clone(), watch::channel(0).0);
        let (engine, address, answered) = (String::new(), Address::default(), AtomicBool::new(false));
        Ok(Client {
            transport,
            environment,
            store,
            limits,
            origins,
            provider,
            session,
            address,
            engine,
            renewals,
            server_ms: AtomicU64::new(0),
            answered,
            counting: Arc::default(),
        })
    }

    /// The API's clock at its latest answer, in Unix milliseconds.
    pub(crate) fn server_ms(&self) -> Option<u64> {
        Some(self.server_ms.load(Ordering::Relaxed)).filter(|server_ms| *server_ms != 0)
    }

    /// For an existing connection.
    pub(crate) fn at(mut self, address: Address) -> Self {
        self.address = address;
        self
    }

    pub(super) fn origins(&self) -> &Origins {
        &self.origins
    }

    /// Whether the connection has not changed since the client was created.
    pub(super) fn check_address(&self) -> Result<()> {
        self.session.check_address(&self.address)
    }

    /// Sets the id by which its engine takes turns with others, and where it counts.
    pub(crate) fn of_engine(mut self, name: &str, counting: &Arc<Counting>) -> Self {
        name.clone_into(&mut self.engine);
        self.counting = Arc::clone(counting);
        self
    }

    /// Whether a request to this address carries the credentials.
    pub(super) fn owns(&self, url: &Url) -> bool {
        self.address.owns(url)
    }

    pub(super) fn provider(&self) -> &Provider {
        &self.provider
    }

    pub(super) fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Sends a request until it succeeds or no retry can help. One that accepts any status is sent until there is a response.
    pub(super) async fn send_until_answered(&self, request: HttpRequest, note: Note<'_>) -> Result<HttpResponse> {
        let url = self.origins.resolve(&request)?;
        let mut journey = Journey::new(request, url);
        let (mut failures, mut waits, mut refreshed) = (0, 0, false);
        let mut held = None;
        loop {
            self.await_leave(note, &mut held).await?;
            let credentials = self.credentials().await?;
            let may_retry = journey.request.repeatable && failures + 1 < self.limits.attempts;
            let attempt = 1 + failures + waits + u32::from(refreshed);
            let response = match self.attempt(&journey, &credentials, attempt, held.take(), note).await {
                Ok(response) => response,
                Err(failed) if failed.may_pass && may_retry && (failures + 1 < FIRST_TRIES || self.was_answered()) => {
                    failures += 1;
                    note.line(LogLevel::Warning, &format!("no readable answer ({}); retrying", failed.error));
                    self.pause(failures, Duration::ZERO, &mut held).await;
                    continue;
                }
                Err(failed) => return Err(failed.error),
            };
            let asked_to_wait = self.read_limits(&response);
            let may_pass = passing(&response, self.environment.now().unix_ms());
            match response.status {
                _ if redirect::concerns(&response, &journey.request) => {
                    let (status, method) = (response.status, journey.request.method.clone());
                    journey.follow(response, &self.origins)?;
                    if method != journey.request.method {
                        note.line(LogLevel::Warning, &redirect::changed(status, &method));
                    }
                }
                _ if !refreshed
                    && tokens::is_over(&response, &self.provider)
                    && self.refresh(&credentials, true).await? =>
                {
                    refreshed = true;
                }
                _ if journey.request.any_status => {
                    // Whoever takes any status judges a refusal too.
                    self.note_answer(&journey.url, &response, &credentials, false);
                    if let Verdict::Wait(wait) = asked_to_wait {
                        self.quiet_for(wait.time(1, &self.limits, self.random()));
                    }
                    return Ok(response);
                }
                304 => return Ok(response),
                status => match (asked_to_wait, may_pass) {
                    (Verdict::Wait(wait), _) => {
                        waits += 1;
                        if waits > MAX_WAITS {
                            let message = "the API keeps asking to slow down: try again later";
                            return Err(response.error(ErrorKind::RateLimited, message));
                        }
                        self.quiet_for(wait.time(waits, &self.limits, self.random()));
                    }
                    (Verdict::Pass, Some(wait)) if may_retry && wait <= self.limits.max_wait => {
                        failures += 1;
                        note.line(LogLevel::Warning, &format!("the API answered {status}; retrying"));
                        self.pause(failures, wait, &mut held).await;
                    }
                    _ if journey.request.accepted_statuses.contains(&status) => return Ok(response),
                    (Verdict::Pass, wait) => {
                        self.note_answer(&journey.url, &response, &credentials, true);
                        return Client::judged(response, wait);
                    }
                },
            }
        }
    }

    fn was_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// The response, or the error that it means, with the API's message and when to retry.
    fn judged(response: HttpResponse, wait: Option<Duration>) -> Result<HttpResponse> {
        response.error_for_status().map_err(|error| match wait.filter(|wait| *wait >= WORTH_TELLING) {
            Some(wait) => error.retry_in(wait),
            None => error,
        })
    }

    /// Records what a response says about time and limits, and returns whether to send the request again.
    fn read_limits(&self, response: &HttpResponse) -> Verdict {
        let now_ms = self.environment.now().unix_ms();
        if let Some(server_ms) = server_ms(response) {
            self.server_ms.store(server_ms, Ordering::Relaxed);
        }
        let limits = &self.provider.limits;
        if let Some(left) = remaining(response, limits) {
            lock(&self.session.budget).left(left);
        }
        if let Some(wait) = rest(response, limits, now_ms) {
            self.quiet_for(wait);
        }
        verdict(response, limits, now_ms)
    }

    pub(super) fn outgoing(&self, request: &HttpRequest, url: &Url, credentials: &Credentials) -> HttpRequest {
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
        match self.placement(credentials).filter(|_| self.owns(&url)) {
            Some(Placement::Header { name, value }) if !given(&headers, &name) => {
                headers.push((name, value.expose().to_owned()));
            }
            Some(Placement::Query { name, value }) => {
                // A link from the API may already contain the key.
                url.remove(&name);
                url.append([(&*name, value.expose())]);
            }
            Some(Placement::Header { .. }) | None => {}
        }
        let mut outgoing = HttpRequest::new(request.method.clone(), url.as_str());
        outgoing.headers = headers;
        outgoing.body.clone_from(&request.body);
        outgoing.body_limit = request.body_limit;
        outgoing.global_only = request.global_only;
        outgoing
    }

    /// Returns where a request carries the credentials.
    fn placement(&self, credentials: &Credentials) -> Option<Placement> {
        match &credentials.sign_in {
            SignInMethod::Nothing => None,
            SignInMethod::OAuth2(tokens) => tokens.access_token.as_ref().map(Placement::bearer),
            SignInMethod::Basic { username, password } => {
                let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
                let value = Secret::new(format!("Basic {pair}"));
                Some(Placement::Header { name: "authorization".to_owned(), value })
            }
            SignInMethod::Token(token) => {
                let by_kind = self.provider.auth.iter().find_map(|kind| kind.place_token(token));
                by_kind.or_else(|| Some(Placement::bearer(token)))
            }
        }
    }

    /// The credentials, refreshed if they are about to expire, and saved by the host before they are used.
    async fn credentials(&self) -> Result<Credentials> {
        self.check_address()?;
        self.session.save_late(&self.way()).await?;
        let credentials = self.session.credentials().await?;
        let SignInMethod::OAuth2(tokens) = &credentials.sign_in else { return Ok(credentials) };
        let now = self.environment.now();
        if !tokens.is_due(now) || !tokens.can_refresh() && tokens.access_token.is_some() {
            return Ok(credentials);
        }
        match self.refresh(&credentials, false).await {
            // The current token is still valid: the endpoint may work again before it expires.
            Err(error) if may_pass(&error) && tokens.lasts(now) => {
                let error = self.session.redact_error(error);
                tracing::debug!(target: "highwater::http", "a token could not be refreshed yet: {error}");
                Ok(credentials)
            }
            outcome => {
                outcome?;
                self.session.credentials().await
            }
        }
    }

    /// The credentials for the host itself; `renew` renews them even if they are not about to expire.
    pub(crate) async fn current_credentials(&self, renew: bool) -> Result<Credentials> {
        let credentials = self.credentials().await?;
        if renew && matches!(&credentials.sign_in, SignInMethod::OAuth2(tokens) if tokens.can_refresh()) {
            self.refresh(&credentials, true).await?;
            return self.session.credentials().await;
        }
        Ok(credentials)
    }

    async fn refresh(&self, used: &Credentials, refused: bool) -> Result<bool> {
        let _under_way = UnderWay::begin(&self.renewals);
        self.session.refresh(&self.way(), used, refused).await
    }

    /// See [`SyncContext::renew_secrets`](highwater_template::SyncContext::renew_secrets).
    pub(crate) async fn renew_secrets(&self, renewal: &mut dyn SecretRenewal) -> Result<()> {
        self.check_address()?;
        let _under_way = UnderWay::begin(&self.renewals);
        self.session.renew_secrets(&self.way(), renewal).await
    }

    /// Waits until this client has no renewal in progress.
    pub(crate) async fn renewed(&self) {
        let mut renewals = self.renewals.subscribe();
        // The sender lives in `self`: waiting cannot fail.
        let _ = renewals.wait_for(|renewals| *renewals == 0).await;
    }

    fn way(&self) -> Way<'_> {
        let (transport, environment, store) = (&self.transport, &self.environment, &self.store);
        Way {
            oauth: self.provider.oauth2(),
            base_url: self.origins.urls().first(),
            address: &self.address,
            transport,
            environment,
            store,
            engine: &self.engine,
        }
    }

    /// Waits for the connection's budget, or fails with the time to retry.
    async fn await_leave(&self, note: Note<'_>, held: &mut Option<RequestWait>) -> Result<()> {
        loop {
            let leave = lock(&self.session.budget).take(self.provider.limits.rate, self.environment.now().unix_ms());
            let Err(wait) = leave else { return Ok(()) };
            if wait > self.limits.max_wait {
                return Err(Error::new(
                    ErrorKind::RateLimited,
                    "the API's rate limit is used up: everything saved stays, run again later",
                )
                .with("seconds", wait.as_secs())
                .retry_in(wait));
            }
            if wait >= Duration::from_secs(1) {
                note.line(LogLevel::Warning, &format!("rate limit: waiting {} s", wait.as_secs()));
            }
            hold(held, WaitReason::RateLimit, wait);
            crate::timer::sleep(wait).await;
        }
    }

    fn quiet_for(&self, wait: Duration) {
        lock(&self.session.budget).quiet_for(wait, self.environment.now().unix_ms());
    }

    /// Waits between attempts, at least as long as the API asks for.
    async fn pause(&self, failures: u32, at_least: Duration, held: &mut Option<RequestWait>) {
        let time = self.limits.pause(failures, self.random()).max(at_least);
        hold(held, WaitReason::Retry, time);
        crate::timer::sleep(time).await;
    }

    fn random(&self) -> u32 {
        let mut bytes = [0; 4];
        self.environment.fill_random(&mut bytes);
        u32::from_le_bytes(bytes)
    }
}

/// Counts a renewal while it is in progress.
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

fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Remote | ErrorKind::RateLimited | ErrorKind::Unavailable)
}
