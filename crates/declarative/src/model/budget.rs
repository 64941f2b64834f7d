//! Limits on the rate of requests (`api_budget`).

use std::time::Duration;

use highwater_core::Result;
use highwater_interpolation::duration;

use super::decode::{Context, Node};
use super::quota::statuses;
use super::{Parameters, RequestMatcher, Template};

/// The first policy that fits a request counts it.
#[derive(Debug)]
pub(crate) struct Budget {
    pub policies: Vec<Policy>,
    pub reset_header: String,
    pub remaining_header: String,
    /// Statuses that say that nothing is left.
    pub refused: Vec<u16>,
}

#[derive(Debug)]
pub(crate) struct Policy {
    pub path: String,
    /// None: every request.
    pub matchers: Vec<RequestMatcher>,
    pub rule: Rule,
}

#[derive(Debug)]
pub(crate) enum Rule {
    Unlimited,
    /// So many calls until a moment that comes again and again.
    Fixed {
        calls: u64,
        period: Duration,
    },
    /// So many calls within any interval, for each of these.
    Moving(Vec<Rate>),
}

#[derive(Debug)]
pub(crate) struct Rate {
    pub limit: Template,
    pub interval: Duration,
}

impl Budget {
    pub(crate) fn of(root: &Node<'_>, context: &Context<'_>) -> Result<Option<Self>> {
        root.get("api_budget").map(|node| Budget::decode(&node, context)).transpose()
    }

    fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let header = |name: &str, usual: &str| -> Result<String> {
            let given = node.get(name).map(|node| node.text()).transpose()?;
            Ok(given.filter(|given| !given.is_empty()).unwrap_or_else(|| usual.to_owned()))
        };
        let refused = statuses(node, "status_codes_for_ratelimit_hit")?;
        let policies = node.require("policies", "list the policies")?.items()?;
        Ok(Budget {
            policies: policies.iter().map(|node| Policy::decode(node, context)).collect::<Result<_>>()?,
            reset_header: header("ratelimit_reset_header", "ratelimit-reset")?,
            remaining_header: header("ratelimit_remaining_header", "ratelimit-remaining")?,
            refused: if refused.is_empty() { vec![429] } else { refused },
        })
    }
}

impl Policy {
    fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let rule = match node.kind()? {
            "UnlimitedCallRatePolicy" => Rule::Unlimited,
            "FixedWindowCallRatePolicy" => Rule::Fixed {
                calls: node
                    .integer("call_limit")?
                    .and_then(|calls| u64::try_from(calls).ok())
                    .filter(|calls| *calls > 0)
                    .ok_or_else(|| node.invalid("`call_limit` is missing or 0: say how many calls a period has"))?,
                period: fixed_length(node, "period")?,
            },
            "MovingWindowCallRatePolicy" => {
                let rates = node.require("rates", "list the rates")?.items()?;
                if rates.is_empty() {
                    return Err(node.invalid("`rates` is empty: list at least one"));
                }
                let rate = |node: &Node<'_>| -> Result<Rate> {
                    let limit = node.require("limit", "say how many calls an interval has")?;
                    let limit = limit.template(context, &Parameters::default())?;
                    Ok(Rate { limit, interval: fixed_length(node, "interval")? })
                };
                Rule::Moving(rates.iter().map(rate).collect::<Result<_>>()?)
            }
            other => {
                let known = ["FixedWindowCallRatePolicy", "MovingWindowCallRatePolicy", "UnlimitedCallRatePolicy"];
                return Err(node.unknown(other, &known));
            }
        };
        Ok(Policy { path: node.path.clone(), matchers: RequestMatcher::list(node, context)?, rule })
    }
}

/// An ISO 8601 duration of a fixed length, in whole milliseconds.
fn fixed_length(node: &Node<'_>, name: &str) -> Result<Duration> {
    let text = node.require(name, "give an ISO 8601 duration, such as PT1M")?;
    let given = duration::Duration::parse(&text.text()?).map_err(|error| text.invalid(error.message().to_owned()))?;
    let milliseconds = u64::try_from(given.microseconds / 1000).ok().filter(|milliseconds| *milliseconds > 0);
    milliseconds
        .filter(|_| given.months == 0)
        .map(Duration::from_millis)
        .ok_or_else(|| text.invalid("a period of a fixed length is expected here: write it in days, hours or seconds"))
}
