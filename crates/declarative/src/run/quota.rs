//! Chooses the token of a request from a pool: one with something left of the quota that the request belongs to.

use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Value, datetime, duration, python_text};
use highwater_template::{HttpRequest, HttpResponse};

use super::auth::ask_patiently;
use super::context::Run;
use super::counters::{Counters, Left};
use crate::model::{Quota, TokenPool, Tokens};

/// A quota that should be full again is asked for no sooner than this.
const MIN_WAIT_SECONDS: f64 = 5.0;
/// Calls that are spread over the rest of a quota's time wait no longer than this.
const MAX_DELAY_SECONDS: f64 = 10.0;
/// Delays below are not worth it.
const MIN_DELAY_SECONDS: f64 = 0.1;
/// What to do about a call.
enum Step {
    /// Send it with this token, after a delay in seconds.
    Take(String, f64),
    /// Wait until a quota is full again.
    Wait(f64),
    /// It would take too long.
    Spent(f64),
}

impl TokenPool {
    /// Chooses the token of a request, waiting for its quota where it must.
    pub(super) async fn sign(&self, request: &mut HttpRequest, run: &Run<'_>) -> Result<()> {
        if !run.quotas.lock().contains_key(&self.key) {
            self.seed(run).await?;
        }
        let token = self.acquire(self.quota_of(request, run), run).await?;
        request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(&self.header));
        request.headers.push((self.header.clone(), self.value_of(&token)));
        Ok(())
    }

    fn value_of(&self, token: &str) -> String {
        format!("{} {token}", self.method).trim().to_owned()
    }

    /// The place of the quota that a request belongs to; without a matcher it is everybody's.
    fn quota_of(&self, request: &HttpRequest, run: &Run<'_>) -> usize {
        let fits = |quota: &Quota| quota.matchers.iter().any(|matcher| matcher.fits(request));
        let place = self.quotas.iter().position(fits);
        let place = place.or_else(|| self.quotas.iter().position(|quota| quota.matchers.is_empty()));
        place.unwrap_or_else(|| {
            let first = self.quotas.first().map(|quota| quota.name.as_str()).unwrap_or_default();
            let url = request.url.split('?').next().unwrap_or_default();
            run.notes.warn(format!(
                "{url} belongs to no quota and is counted to `{first}`: add one without matchers (at: {})",
                self.path
            ));
            0
        })
    }

    async fn acquire(&self, quota: usize, run: &Run<'_>) -> Result<String> {
        let max_wait = self.max_wait.text(&run.scope())?;
        let max_wait = duration::Duration::parse(&max_wait)?;
        if max_wait.months != 0 {
            return Err(self.invalid("`max_wait_time` has months or years: write it in days or hours"));
        }
        let max_wait = max_wait.microseconds as f64 / 1e6;
        let mut waited = 0.0;
        loop {
            let step = run
                .quotas
                .lock()
                .get_mut(&self.key)
                .map(|counters| self.step(counters, quota, max_wait - waited, run.now()));
            match step {
                None => return Err(Error::new(ErrorKind::Internal, "the quotas of the tokens are gone")),
                Some(Step::Take(token, delay)) => {
                    if delay >= MIN_DELAY_SECONDS {
                        run.exchange.sleep(Duration::from_secs_f64(delay)).await;
                    }
                    return Ok(token);
                }
                Some(Step::Wait(seconds)) => {
                    run.exchange.sleep(Duration::from_secs_f64(seconds)).await;
                    waited += seconds;
                    self.seed(run).await?;
                }
                Some(Step::Spent(seconds)) => {
                    let name = self.quotas.get(quota).map(|quota| quota.name.as_str()).unwrap_or_default();
                    let message =
                        format!("the quota `{name}` of every token is used up: add a token, or come again later");
                    let wait = Duration::from_secs_f64(seconds.clamp(MIN_WAIT_SECONDS, super::errors::MAX_WAIT));
                    return Err(Error::new(ErrorKind::RateLimited, message).with("at", &self.path).retry_in(wait));
                }
            }
        }
    }

    fn step(&self, counters: &mut Counters, quota: usize, may_wait: f64, now: DateTime<FixedOffset>) -> Step {
        for _ in 0..counters.tokens.len() {
            let token = counters.tokens.get(counters.active).cloned().unwrap_or_default();
            let Some(left) = counters.left.get_mut(counters.active).and_then(|left| left.get_mut(quota)) else { break };
            if !left.counted {
                // Nothing tells such tokens apart: they simply take turns.
                counters.turn();
                return Step::Take(token, 0.0);
            }
            if left.calls > 0 {
                left.calls -= 1;
                let reset_at = left.reset_at;
                return Step::Take(token, self.delay(counters, quota, reset_at, now));
            }
            counters.turn();
        }
        let seconds = |left: &Left| seconds_until(left.reset_at, now);
        let soonest = counters.of(quota).map(seconds).fold(f64::INFINITY, f64::min);
        match soonest >= may_wait || may_wait <= 0.0 {
            true => Step::Spent(soonest),
            false => Step::Wait(soonest.max(MIN_WAIT_SECONDS).min(may_wait)),
        }
    }

    /// Once every token is down to its reserve, the calls that are left are spread over the time until the reset.
    fn delay(
        &self,
        counters: &Counters,
        quota: usize,
        reset_at: DateTime<FixedOffset>,
        now: DateTime<FixedOffset>,
    ) -> f64 {
        let reserve = |left: &Left| (left.limit as f64 * self.reserve_fraction).max(self.min_reserve);
        if counters.of(quota).any(|left| !left.counted || left.calls as f64 > reserve(left)) {
            return 0.0;
        }
        let total: i64 = counters.of(quota).map(|left| left.calls.max(0)).sum();
        match total {
            0 => 0.0,
            total => (seconds_until(reset_at, now).max(0.0) / total as f64).min(MAX_DELAY_SECONDS),
        }
    }

    /// Asks for the quotas of every token.
    async fn seed(&self, run: &Run<'_>) -> Result<()> {
        let tokens = self.tokens(run)?;
        let mut left = Vec::with_capacity(tokens.len());
        for token in &tokens {
            left.push(self.ask(token, run).await?);
        }
        if left.iter().flatten().any(|left| !left.counted) {
            run.notes.warn(format!(
                "the API keeps no quotas for some tokens: they take turns without counting (at: {})",
                self.path
            ));
        }
        let mut all = run.quotas.lock();
        let active = all.get(&self.key).map_or(0, |counters| counters.active);
        all.insert(self.key.clone(), Counters { tokens, active, left });
        Ok(())
    }

    fn tokens(&self, run: &Run<'_>) -> Result<Vec<String>> {
        let scope = run.scope();
        let texts = match &self.tokens {
            Tokens::Joined(template, delimiter) => {
                template.text(&scope)?.split(delimiter.as_str()).map(ToOwned::to_owned).collect()
            }
            Tokens::Listed(templates) => {
                templates.iter().map(|template| template.text(&scope)).collect::<Result<Vec<_>>>()?
            }
        };
        let mut tokens: Vec<String> = Vec::new();
        for token in texts.iter().map(|token| token.trim()).filter(|token| !token.is_empty()) {
            if !tokens.iter().any(|known| known == token) {
                tokens.push(token.to_owned());
            }
        }
        match tokens.is_empty() {
            true => Err(self.invalid("the config has no tokens: give at least one")),
            false => Ok(tokens),
        }
    }

    async fn ask(&self, token: &str, run: &Run<'_>) -> Result<Vec<Left>> {
        let scope = run.scope();
        let status = &self.status;
        let mut request = HttpRequest::new(status.method.as_str(), status.url.text(&scope)?);
        for (name, value) in &status.headers {
            request.headers.push((name.clone(), value.text(&scope)?));
        }
        request.headers.push((self.header.clone(), self.value_of(token)));
        let response = ask_patiently(run, request, &status.unavailable, &self.path).await?;
        if status.unavailable.contains(&response.status) {
            let uncounted = Left { calls: 0, limit: 0, reset_at: run.now(), counted: false };
            return Ok(vec![uncounted; self.quotas.len()]);
        }
        if response.status >= 400 {
            let said = super::errors::message_of(&response).map(|said| format!(": {said}")).unwrap_or_default();
            let kind = if matches!(response.status, 401 | 403) { ErrorKind::Unauthorized } else { ErrorKind::Remote };
            let text = format!("the quotas of a token could not be asked for: status {}{said}", response.status);
            return Err(run.remote(kind, &text).with("at", &self.path));
        }
        let body: Value = serde_json::from_slice(&response.body).map_err(|_| {
            Error::new(ErrorKind::Remote, "the answer about quotas is not JSON: check `quota_status_source`")
                .with("at", &self.path)
        })?;
        self.quotas.iter().map(|quota| self.left_of(quota, &body)).collect()
    }

    fn left_of(&self, quota: &Quota, body: &Value) -> Result<Left> {
        let at = |path: &[String], field: &str| {
            let found = path.iter().try_fold(body, |value, name| value.as_object()?.get(name));
            found.ok_or_else(|| {
                let (path, name) = (path.join("."), &quota.name);
                Error::new(
                    ErrorKind::Remote,
                    format!("the answer about quotas has no `{path}`: check `{field}` of the quota `{name}`"),
                )
                .with("at", &self.path)
            })
        };
        let wrong = |field: &str, value: &Value| {
            let (value, name) = (crate::wording::shortened(&value.to_string()), &quota.name);
            Error::new(
                ErrorKind::Remote,
                format!("{value} is not a number or time: check `{field}` of the quota `{name}`"),
            )
            .with("at", &self.path)
        };
        let number = |path: &[String], field: &str| {
            let value = at(path, field)?;
            whole(&python_text(value)).ok_or_else(|| wrong(field, value))
        };
        let calls = number(&quota.remaining_path, "remaining_path")?;
        let limit = quota.limit_path.as_ref().map_or(Ok(calls), |path| number(path, "limit_path"))?;
        let reset = at(&quota.reset_path, "reset_path")?;
        let reset_at = instant(&python_text(reset)).ok_or_else(|| wrong("reset_path", reset))?;
        Ok(Left { calls, limit, reset_at, counted: true })
    }

    /// Takes over what an answer says about the quota of the token that its request was sent with.
    pub(super) fn learn(&self, request: &HttpRequest, response: &HttpResponse, run: &Run<'_>) {
        let place = self.quota_of(request, run);
        let Some(quota) = self.quotas.get(place).filter(|quota| quota.is_told()) else { return };
        let told = |header: &Option<String>| response.header(header.as_ref()?).map(|text| text.trim().to_owned());
        let exhausted = quota.exhausted.contains(&response.status);
        let calls = told(&quota.remaining_header).and_then(|text| whole(&text)).or(exhausted.then_some(0));
        let limit = told(&quota.limit_header).and_then(|text| whole(&text));
        let reset_at = told(&quota.reset_header).and_then(|text| instant(&text));
        let mut all = run.quotas.lock();
        let left = all.get_mut(&self.key).and_then(|counters| self.sender(counters, request, place));
        if let Some(left) = left.filter(|left| left.counted) {
            left.learn(calls, limit, reset_at, exhausted);
        }
    }

    /// Whether the token that a request was sent with is used up while another is not.
    pub(super) fn has_another(&self, request: &HttpRequest, run: &Run<'_>) -> bool {
        let place = self.quota_of(request, run);
        let mut all = run.quotas.lock();
        let Some(counters) = all.get_mut(&self.key) else { return false };
        let spent = self.sender(counters, request, place).is_some_and(|left| left.counted && left.calls <= 0);
        spent && counters.of(place).any(|left| left.calls > 0)
    }

    /// What is left of the quota for the token that a request was sent with.
    fn sender<'c>(&self, counters: &'c mut Counters, request: &HttpRequest, quota: usize) -> Option<&'c mut Left> {
        let (_, value) = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(&self.header))?;
        let token = counters.tokens.iter().position(|token| self.value_of(token) == *value)?;
        counters.left.get_mut(token)?.get_mut(quota)
    }

    fn invalid(&self, message: &'static str) -> Error {
        Error::new(ErrorKind::Invalid, message).with("at", &self.path)
    }
}

fn whole(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

/// Unix seconds, or an ISO 8601 time.
fn instant(text: &str) -> Option<DateTime<FixedOffset>> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse().ok().filter(|_| text.len() <= 10)?;
        return DateTime::from_timestamp(seconds, 0).map(|instant| instant.fixed_offset());
    }
    datetime::parse_iso(text)
        .or_else(|_| DateTime::parse_from_rfc2822(text).map_err(drop).map(|at| at.fixed_offset()))
        .ok()
}

fn seconds_until(instant: DateTime<FixedOffset>, now: DateTime<FixedOffset>) -> f64 {
    (instant - now).num_milliseconds() as f64 / 1000.0
}
