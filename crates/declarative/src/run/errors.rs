//! Decides what a response means, and how long to wait before a retry.

use chrono::DateTime;
use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{Map, Value, python_text};
use highwater_template::HttpResponse;

use super::context::Run;
use crate::model::{Backoff, DefaultHandler, ErrorHandler, ResponseAction, ResponseFilter, Scope, Template};

/// What to do with a response, and what to say about it.
pub(crate) struct Verdict {
    pub action: ResponseAction,
    pub message: Option<String>,
}

pub(crate) fn judge(handler: &ErrorHandler, response: &HttpResponse, run: &Run<'_>) -> Result<Verdict> {
    match handler {
        ErrorHandler::Default(handler) => judge_one(handler, response, run),
        ErrorHandler::Composite(handlers) => {
            let mut last = Verdict { action: default_action(response.status), message: None };
            for handler in handlers {
                let verdict = judge(handler, response, run)?;
                let decided = matches!(
                    verdict.action,
                    ResponseAction::Success
                        | ResponseAction::Retry
                        | ResponseAction::Ignore
                        | ResponseAction::ResetPagination
                        | ResponseAction::ReducePageSize
                        | ResponseAction::SplitWindow
                );
                last = verdict;
                if decided {
                    break;
                }
            }
            Ok(last)
        }
    }
}

fn judge_one(handler: &DefaultHandler, response: &HttpResponse, run: &Run<'_>) -> Result<Verdict> {
    let mut seen = Seen::new(response);
    for filter in &handler.filters {
        let Some(action) = filter.action else { continue };
        if matches(filter, response, run, &mut seen)? {
            let message = match &filter.message {
                Some(template) if !template.source().is_empty() => {
                    let (body, headers) = seen.values();
                    let scope = run.scope().with("response", body).with("headers", headers);
                    Some(template.text(&scope)?).filter(|text| !text.is_empty())
                }
                _ => None,
            };
            return Ok(Verdict { action, message });
        }
    }
    Ok(Verdict { action: default_action(response.status), message: None })
}

fn default_action(status: u16) -> ResponseAction {
    match status {
        200..=299 => ResponseAction::Success,
        // What could be followed was; a redirect that is left over has no records, and 304 was not asked for.
        0..=199 | 300..=399 => ResponseAction::Fail,
        400 | 401 | 403 | 404 | 405 => ResponseAction::Fail,
        429 => ResponseAction::RateLimited,
        _ => ResponseAction::Retry,
    }
}

fn matches(filter: &ResponseFilter, response: &HttpResponse, run: &Run<'_>, seen: &mut Seen<'_>) -> Result<bool> {
    if filter.codes.contains(&response.status) {
        return Ok(true);
    }
    if let Some(predicate) = &filter.predicate {
        let (body, headers) = seen.values();
        let url = Value::String(response.url.clone());
        let scope = run.scope().with("response", body).with("headers", headers).with("request_url", &url);
        if predicate.holds(&scope)? {
            return Ok(true);
        }
    }
    Ok(match &filter.contains {
        Some(wanted) => message_of(response).is_some_and(|message| message.contains(wanted)),
        None => false,
    })
}

/// Body and headers as values, parsed on first use.
struct Seen<'s> {
    response: &'s HttpResponse,
    values: Option<(Value, Value)>,
}

impl<'s> Seen<'s> {
    fn new(response: &'s HttpResponse) -> Self {
        Seen { response, values: None }
    }

    fn values(&mut self) -> (&Value, &Value) {
        let response = self.response;
        let (body, headers) = self.values.get_or_insert_with(|| {
            let body = serde_json::from_slice(&response.body).unwrap_or_else(|_| Value::Object(Map::new()));
            (body, headers_value(response))
        });
        (body, headers)
    }
}

/// The headers by name, in each of the usual spellings.
pub(crate) fn headers_value(response: &HttpResponse) -> Value {
    let mut headers = Map::new();
    for (name, value) in &response.headers {
        let value = Value::String(value.clone());
        let title = name.split('-').map(capitalised).collect::<Vec<_>>().join("-");
        headers.insert(name.to_ascii_lowercase(), value.clone());
        headers.insert(title, value.clone());
        headers.insert(name.clone(), value);
    }
    Value::Object(headers)
}

fn capitalised(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut characters = lower.chars();
    characters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + characters.as_str())
}

/// What a response says about its failure.
pub(crate) fn message_of(response: &HttpResponse) -> Option<String> {
    match serde_json::from_slice::<Value>(&response.body) {
        Ok(body) => error_text(&body, 0),
        Err(_) => std::str::from_utf8(&response.body).ok().map(ToOwned::to_owned),
    }
}

fn error_text(value: &Value, depth: usize) -> Option<String> {
    const NAMES: [&str; 12] = [
        "message",
        "messages",
        "error",
        "errors",
        "failures",
        "failure",
        "detail",
        "err",
        "error_message",
        "msg",
        "reason",
        "status_message",
    ];
    if depth > 8 {
        return None;
    }
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let texts: Vec<_> = items.iter().filter_map(|item| error_text(item, depth + 1)).collect();
            Some(texts.join(", "))
        }
        Value::Object(members) => {
            let named = NAMES.iter().filter_map(|name| members.get(name));
            named
                .into_iter()
                .find(|value| crate::document::is_truthy(value))
                .and_then(|value| error_text(value, depth + 1))
        }
        _ => None,
    }
}

/// The error that a failing response becomes.
pub(crate) fn failure(
    response: &HttpResponse,
    method: &str,
    url: &str,
    verdict: &Verdict,
    run: &Run<'_>,
    at: &str,
) -> Error {
    let kind = match response.status {
        401 | 403 => ErrorKind::Unauthorized,
        429 => ErrorKind::RateLimited,
        _ => ErrorKind::Remote,
    };
    let url = url.split('?').next().unwrap_or_default();
    let said = verdict.message.clone().or_else(|| message_of(response)).unwrap_or_default();
    let said: String = said.chars().take(300).collect();
    let hint = if said.is_empty() { String::new() } else { format!(": {said}") };
    run.remote(kind, &format!("{method} {url} failed with status {}{hint}", response.status)).with("at", at)
}

/// Seconds that the server asks to wait.
pub(crate) fn retry_after(response: &HttpResponse, run: &Run<'_>) -> Option<f64> {
    let text = response.header("retry-after")?.trim();
    let seconds = match text.parse::<f64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let at = DateTime::parse_from_rfc2822(text).ok()?;
            (at.fixed_offset() - run.now()).num_milliseconds() as f64 / 1000.0
        }
    };
    (seconds.is_finite() && seconds >= 0.0).then(|| seconds.min(MAX_WAIT))
}

/// Nobody waits longer than a day.
pub(crate) const MAX_WAIT: f64 = 86_400.0;

/// Seconds to wait before attempt number `attempt` + 1: the manifest's backoff, but never less than the server asks for.
pub(crate) fn wait(
    handler: &ErrorHandler,
    response: &HttpResponse,
    attempt: u32,
    run: &Run<'_>,
    at: &str,
) -> Result<f64> {
    let mut asked = None;
    for backoff in handler.backoffs() {
        if let Some(seconds) = backoff_seconds(backoff, response, attempt, run, at)?.filter(|seconds| *seconds > 0.0) {
            asked = Some(seconds);
            break;
        }
    }
    let server = retry_after(response, run).unwrap_or(0.0);
    let seconds = asked.unwrap_or_else(|| if server > 0.0 { server } else { 2f64.powi(attempt.min(12).cast_signed()) });
    Ok(seconds.max(server).clamp(0.0, MAX_WAIT))
}

fn backoff_seconds(
    backoff: &Backoff,
    response: &HttpResponse,
    attempt: u32,
    run: &Run<'_>,
    at: &str,
) -> Result<Option<f64>> {
    let scope = run.scope();
    let number = |template: &Template, scope: &Scope<'_>| -> Result<Option<f64>> {
        let value = template.value(scope)?;
        Ok(value.as_f64().or_else(|| python_text(&value).trim().parse().ok()).filter(|number: &f64| number.is_finite()))
    };
    let (seconds, max) = match backoff {
        Backoff::Constant { seconds } => (number(seconds, &scope)?, &None),
        Backoff::Exponential { factor } => {
            let factor = number(factor, &scope)?.unwrap_or(5.0);
            (Some(factor * 2f64.powi(attempt.min(16).cast_signed())), &None)
        }
        Backoff::Header { header, regex, max } => (header_number(response, header, regex.as_ref(), &scope)?, max),
        Backoff::Until { header, regex, min, max } => {
            let min = match min {
                Some(min) => number(min, &scope)?.filter(|min| *min > 0.0),
                None => None,
            };
            let until = header_number(response, header, regex.as_ref(), &scope)?.filter(|until| *until > 0.0);
            let wait = until.map(|until| until - run.now().timestamp_millis() as f64 / 1000.0);
            let seconds = match (wait, min) {
                (Some(wait), Some(min)) => Some(wait.max(min)),
                (Some(wait), None) => Some(wait).filter(|wait| *wait >= 0.0),
                (None, min) => min,
            };
            (seconds, max)
        }
        Backoff::Response { seconds, max } => {
            let mut seen = Seen::new(response);
            let (body, headers) = seen.values();
            (number(seconds, &scope.with("response", body).with("headers", headers)).unwrap_or(None), max)
        }
    };
    if let (Some(seconds), Some(max)) = (seconds, max)
        && let Some(max) = number(max, &scope)?.filter(|max| seconds >= *max)
    {
        let message = format!("the API asks to wait {seconds} s, the manifest waits less than {max} s");
        return Err(Error::new(ErrorKind::RateLimited, message)
            .with("at", at)
            .retry_in(std::time::Duration::from_secs_f64(seconds.clamp(0.0, MAX_WAIT))));
    }
    Ok(seconds)
}

fn header_number(
    response: &HttpResponse,
    header: &Template,
    regex: Option<&Template>,
    scope: &Scope<'_>,
) -> Result<Option<f64>> {
    let Some(mut text) = response.header(&header.text(scope)?).map(ToOwned::to_owned) else { return Ok(None) };
    if let Some(regex) = regex {
        let pattern = regex.text(scope)?;
        let compiled = fancy_regex::Regex::new(&format!("^(?:{pattern})"))
            .map_err(|error| Error::new(ErrorKind::Invalid, format!("the regex {pattern} does not parse: {error}")))?;
        if let Ok(Some(found)) = compiled.find(&text) {
            text = found.as_str().to_owned();
        }
    }
    Ok(text.trim().parse().ok().filter(|number: &f64| number.is_finite()))
}
