//! Sends a request of a requester: credentials, retries, and the cache of equal requests.

use highwater_core::Result;
use highwater_interpolation::python_text;
use highwater_template::{HttpRequest, HttpResponse};

use super::context::{RequestVariables, Run};
use super::errors;
use super::request::{Parts, url_of};
use super::slice::Slice;
use crate::exchange::{Purpose, Request};
use crate::model::{Requester, ResponseAction};

/// A response that the error handler let through.
pub(crate) struct Answer {
    pub response: HttpResponse,
    /// A success (2xx): there may be records in it.
    pub usable: bool,
    /// The manifest's error handler ignores it.
    pub passed_over: bool,
    /// What the API wants done before it answers.
    pub wish: Option<Wish>,
}

/// A way of asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Paging starts over.
    Reset,
    SmallerPage,
    ShorterWindow,
}

fn is_success(response: &HttpResponse) -> bool {
    matches!(response.status, 200..=299)
}

impl Answer {
    pub(crate) fn of(response: HttpResponse) -> Self {
        Answer { usable: is_success(&response), response, passed_over: false, wish: None }
    }
}

fn wish(response: HttpResponse, wish: Wish) -> Answer {
    Answer { usable: false, wish: Some(wish), ..Answer::of(response) }
}

const DEFAULT_RETRIES: u32 = 5;
/// Before the same request goes out with another token.
const ROTATION_SECONDS: f64 = 1.1;
/// A rate limit is waited out longer than a failure.
const RATE_LIMIT_RETRIES: u32 = 50;

impl Run<'_> {
    /// Sends what `requester` describes, with `extra` from paginator and slice. `path` replaces the requester's own.
    pub(crate) async fn send(
        &self,
        requester: &Requester,
        slice: &Slice,
        token: Option<&highwater_interpolation::Value>,
        path: Option<&str>,
        extra: Parts,
        purpose: Purpose,
    ) -> Result<Answer> {
        let variables = RequestVariables::new(slice, token);
        let scope = self.request_scope(&variables);
        let located = |error: highwater_core::Error| match error.context("at") {
            None => error.with("at", &requester.path),
            Some(_) => error,
        };
        let mut parts = Parts::of(requester, &scope).map_err(located)?;
        parts.merge(extra, &requester.path)?;
        let url = url_of(requester, path, &scope).map_err(located)?;
        let retries = match requester.errors.max_retries() {
            Some(template) => python_text(&template.value(&scope)?).trim().parse().unwrap_or(DEFAULT_RETRIES),
            None => DEFAULT_RETRIES,
        };
        let pool = requester.authenticator.pool(self).map_err(located)?;
        let mut credentials: Option<Parts> = None;
        let mut attempt = 0;
        let mut refreshed = false;
        loop {
            attempt += 1;
            let mut complete = parts.clone();
            // A further try has new headers; what else the credentials put into the request stays.
            let known = credentials.take().filter(|parts| parts.headers.is_empty());
            let parts = match known {
                Some(parts) => parts,
                None => requester.authenticator.parts(self).await.map_err(located)?,
            };
            complete.overlay(parts.clone());
            credentials = Some(parts);
            let mut request = complete.build(&requester.method, url.clone(), &requester.path)?;
            if let Some(pool) = pool {
                pool.sign(&mut request, self).await.map_err(located)?;
            }
            let key = requester.use_cache.then(|| key_of(&request));
            if let Some(response) = key.as_ref().and_then(|key| self.answers.get(key)) {
                return Ok(Answer::of(response));
            }
            let budget = self.manifest.model.budget.as_ref();
            if let Some(budget) = budget {
                budget.acquire(&request, self).await?;
            }
            let sent = (pool.is_some() || budget.is_some()).then(|| request.clone());
            let response = self.exchange.send(Request::new(request, purpose)).await.map_err(located)?;
            self.check_body(&response, &requester.path)?;
            if let Some(request) = &sent {
                pool.inspect(|pool| pool.learn(request, &response, self));
                budget.inspect(|budget| budget.learn(request, &response, self));
            }
            let verdict = errors::judge(&requester.errors, &response, self).map_err(located)?;
            let limit = match verdict.action {
                ResponseAction::Success => {
                    if let Some(key) = key.filter(|_| is_success(&response)) {
                        self.answers.keep(key, &response, self.limits.kept_bytes);
                    }
                    if !is_success(&response) {
                        self.pass_over(response.status, &url, slice, None);
                    }
                    return Ok(Answer::of(response));
                }
                ResponseAction::Ignore => {
                    self.pass_over(response.status, &url, slice, verdict.message.as_deref());
                    return Ok(Answer { passed_over: true, ..Answer::of(response) });
                }
                ResponseAction::ResetPagination => return Ok(wish(response, Wish::Reset)),
                ResponseAction::ReducePageSize => return Ok(wish(response, Wish::SmallerPage)),
                ResponseAction::SplitWindow => return Ok(wish(response, Wish::ShorterWindow)),
                ResponseAction::Fail => {
                    return Err(errors::failure(&response, &requester.method, &url, &verdict, self, &requester.path));
                }
                ResponseAction::Retry => retries,
                ResponseAction::RateLimited => retries.max(RATE_LIMIT_RETRIES),
                ResponseAction::RefreshToken if refreshed => {
                    return Err(errors::failure(&response, &requester.method, &url, &verdict, self, &requester.path));
                }
                ResponseAction::RefreshToken => {
                    refreshed = true;
                    self.drop_tokens();
                    retries
                }
            };
            let rotates = verdict.action == ResponseAction::RateLimited
                && pool.zip(sent.as_ref()).is_some_and(|(pool, request)| pool.has_another(request, self));
            let seconds = match rotates {
                // What the server asks to wait is about the token that it refused.
                true => ROTATION_SECONDS,
                false => errors::wait(&requester.errors, &response, attempt, self, &requester.path)?,
            };
            let wait = std::time::Duration::from_secs_f64(seconds);
            if attempt > limit {
                let failure = errors::failure(&response, &requester.method, &url, &verdict, self, &requester.path);
                return Err(failure.with("tries", attempt).retry_in(wait));
            }
            self.exchange.sleep(wait).await;
        }
    }
}

impl Run<'_> {
    /// That a partition is gone says that its records are. Every other response that is passed over may have had some.
    fn pass_over(&self, status: u16, url: &str, slice: &Slice, message: Option<&str>) {
        if matches!(status, 404 | 410) && !slice.partition.is_empty() {
            return;
        }
        let url = url.split('?').next().unwrap_or_default();
        let said = match message {
            Some(message) => message.to_owned(),
            None => format!("status {status} of {url} was passed over"),
        };
        self.notes.unsound(self.redacted(&said));
    }
}

/// Tells equal requests; whose token they carry makes no difference.
fn key_of(request: &HttpRequest) -> String {
    let headers: Vec<_> =
        request.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("authorization")).collect();
    format!("{} {} {:?} {headers:?} {:?}", request.method, request.url, request.query, request.body)
}
