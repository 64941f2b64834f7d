//! Delays requests so that they stay within the manifest's `api_budget`.

use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::python_text;
use highwater_template::{HttpRequest, HttpResponse};

use super::context::Run;
use super::spent::Limit;
use crate::model::{Budget, Policy, Rule};

/// Whoever must wait longer ends with what was read, and comes again.
const MAX_WAIT_MS: u64 = 15 * 60_000;
impl Budget {
    /// Waits until a request may be made.
    pub(super) async fn acquire(&self, request: &HttpRequest, run: &Run<'_>) -> Result<()> {
        let Some((place, policy)) = self.policy_of(request) else { return Ok(()) };
        let located = |error: Error| error.with("at", &policy.path);
        let Some(limit) = policy.limit(run).map_err(located)? else { return Ok(()) };
        let matcher = policy.matchers.iter().find(|matcher| matcher.fits(request));
        let weight = matcher.map_or(Ok(1), |matcher| matcher.weight(&run.scope())).map_err(located)?;
        if weight > limit.lowest() {
            let message = format!("a request weighs {weight}, but the policy never allows so many calls");
            return Err(located(Error::new(ErrorKind::Invalid, message)));
        }
        let wait_ms = run.spent.with(place, run.environment.now().unix_ms(), |window, now_ms| {
            let mut booked = window.clone();
            let wait_ms = booked.book(&limit, weight, now_ms);
            if wait_ms <= MAX_WAIT_MS {
                *window = booked;
            }
            wait_ms
        });
        let wait_ms = wait_ms.unwrap_or_default();
        let wait = Duration::from_millis(wait_ms);
        if wait_ms > MAX_WAIT_MS {
            let message = "the manifest's `api_budget` is used up: what was read stays, come again later";
            return Err(located(Error::new(ErrorKind::RateLimited, message)).retry_in(wait));
        }
        if wait_ms > 0 {
            run.exchange.sleep(wait).await;
        }
        Ok(())
    }

    /// Takes over what an answer says about the calls that are left.
    pub(super) fn learn(&self, request: &HttpRequest, response: &HttpResponse, run: &Run<'_>) {
        let Some((place, policy)) = self.policy_of(request) else { return };
        let Ok(Some(limit)) = policy.limit(run) else { return };
        let number = |header: &str| response.header(header)?.trim().parse::<u64>().ok();
        let refused = self.refused.contains(&response.status).then_some(0);
        let left = number(&self.remaining_header).or(refused);
        let reset_ms = number(&self.reset_header).map(|seconds| seconds.saturating_mul(1000));
        run.spent.with(place, run.environment.now().unix_ms(), |window, now_ms| {
            window.learn(&limit, left, reset_ms, now_ms)
        });
    }

    fn policy_of(&self, request: &HttpRequest) -> Option<(usize, &Policy)> {
        let fits =
            |policy: &Policy| policy.matchers.is_empty() || policy.matchers.iter().any(|matcher| matcher.fits(request));
        self.policies.iter().enumerate().find(|(_, policy)| fits(policy))
    }
}

impl Policy {
    fn limit(&self, run: &Run<'_>) -> Result<Option<Limit>> {
        Ok(match &self.rule {
            Rule::Unlimited => None,
            Rule::Fixed { calls, period } => Some(Limit::Fixed { calls: *calls, period_ms: milliseconds(*period) }),
            Rule::Moving(rates) => {
                let mut limits = Vec::with_capacity(rates.len());
                for rate in rates {
                    let value = rate.limit.value(&run.scope())?;
                    let calls = python_text(&value).trim().parse().ok().filter(|calls| *calls > 0);
                    let calls = calls.ok_or_else(|| {
                        let message =
                            format!("the limit {} of a rate is not a whole number of at least 1", python_text(&value));
                        Error::new(ErrorKind::Invalid, message)
                    })?;
                    limits.push((calls, milliseconds(rate.interval)));
                }
                Some(Limit::Moving(limits))
            }
        })
    }
}

fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
