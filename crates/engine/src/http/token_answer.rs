//! Parses the answer of a token endpoint: tokens, or an error.
//!
//! A definite OAuth error code with a status below 500 is final. Everything else may be temporary: a failing server, a page of
//! a proxy in between, an unreadable body. The API's own message is reported, redacted.

use std::time::Duration;

use highwater_core::{Error, ErrorKind, Timestamp};
use highwater_template::redact::Redactor;
use highwater_template::{HttpResponse, Secret};
use serde_json::{Map, Value};

use super::assertion::JWT_BEARER;
use super::limits::time_until;
use super::oauth::{Refusal, over};
use super::skew::with_skew;
use super::tokens::OAuthTokens;

/// How much of the API's message is reported.
const WORDS: usize = 200;

/// Types of tokens that are sent as bearer tokens: the standard's own, and what Apigee, Slack and RFC 8693 call them.
const BEARER: [&str; 5] = ["bearer", "bearertoken", "bot", "user", "n_a"];

/// Parses the answer to a request of `grant` with the tokens `old`. `base_url` is the member that tells the base URL.
pub(super) fn read(
    response: &HttpResponse,
    old: &OAuthTokens,
    grant: &str,
    base_url: Option<&str>,
    hidden: &Redactor,
    now: Timestamp,
) -> Result<OAuthTokens, Refusal> {
    let body = parse(&response.body);
    let given = body.as_ref().filter(|_| (200..300).contains(&response.status)).and_then(holder);
    match given {
        Some(given) => {
            let mut tokens = tokens(given, old, hidden, now)?;
            if let Some(told) = base_url.and_then(|member| text(given, member)) {
                tokens.base_url = Some(told.to_owned());
            }
            Ok(tokens)
        }
        None => Err(refusal(response, body.as_ref(), old, grant, hidden, now)),
    }
}

/// The members of a body: a JSON object, or a form as GitHub writes it.
fn parse(body: &[u8]) -> Option<Map<String, Value>> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if let Ok(found) = serde_json::from_slice(body) {
        return if let Value::Object(members) = found { Some(members) } else { None };
    }
    let fields = form_urlencoded::parse(body.trim_ascii());
    let members: Map<String, Value> =
        fields.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect();
    (members.contains_key("access_token") || members.contains_key("error")).then_some(members)
}

/// The object that has the access token: the answer itself, or a user's part of it (Slack's user tokens).
fn holder(body: &Map<String, Value>) -> Option<&Map<String, Value>> {
    let has = |members: &Map<String, Value>| members.get("access_token").is_some_and(Value::is_string);
    let user = || body.get("authed_user").and_then(Value::as_object).filter(|user| has(user));
    if has(body) { Some(body) } else { user() }
}

/// The first text that there is among these members.
fn first<'m>(places: &[(Option<&'m Map<String, Value>>, &str)]) -> &'m str {
    places.iter().find_map(|(members, name)| text((*members)?, name)).unwrap_or_default()
}

fn text<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    members.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

fn tokens(
    given: &Map<String, Value>,
    old: &OAuthTokens,
    hidden: &Redactor,
    now: Timestamp,
) -> Result<OAuthTokens, Error> {
    let unusable = |message: &'static str| Error::new(ErrorKind::Remote, message);
    let kind = text(given, "token_type").unwrap_or("bearer");
    if !BEARER.iter().any(|known| kind.eq_ignore_ascii_case(known)) {
        return Err(unusable("the API returned a token of an unsupported type: a bearer token is needed")
            .with("token_type", hidden.redact(kind).chars().take(40).collect::<String>()));
    }
    let access =
        text(given, "access_token").ok_or_else(|| unusable("the API returned an empty token: try again later"))?;
    if !access.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unusable("the API returned a token with characters that cannot be sent"));
    }
    let mut tokens = old.clone();
    tokens.access_token = Some(Secret::new(access));
    // Some APIs write it as a string. Zero or less means no expiry.
    let seconds = given.get("expires_in").and_then(|value| {
        value.as_f64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok())).filter(|value| *value > 0.0)
    });
    tokens.lifetime = seconds.map(|seconds| Duration::from_millis((seconds * 1000.0) as u64));
    tokens.expires_at = tokens.lifetime.map(|lifetime| now + lifetime);
    if let Some(refresh) = text(given, "refresh_token") {
        tokens.refresh_token = Some(Secret::new(refresh));
    }
    let granted: Vec<String> = match given.get("scope") {
        Some(Value::String(scopes)) => scopes.split([' ', ',']).map(str::to_owned).collect(),
        Some(Value::Array(scopes)) => scopes.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let granted: Vec<String> = granted.into_iter().filter(|scope| !scope.is_empty()).collect();
    if !granted.is_empty() {
        tokens.granted = granted;
    }
    Ok(tokens)
}

/// The error of a token endpoint.
struct Complaint {
    /// Its code, if it has one.
    code: String,
    /// Its own message, redacted.
    words: String,
}

impl Complaint {
    fn of(body: Option<&Map<String, Value>>, hidden: &Redactor) -> Self {
        let Some(body) = body else { return Complaint { code: String::new(), words: String::new() } };
        // Some APIs have an object for it.
        let within = body.get("error").and_then(Value::as_object);
        let (body, number) = (Some(body), within.and_then(|error| error.get("code")).filter(|code| code.is_number()));
        let code = first(&[
            (body, "error"),
            (within, "status"),
            (within, "type"),
            (within, "code"),
            // HubSpot's name for it, and Notion's.
            (body, "status"),
            (body, "code"),
        ]);
        // Searched first: what is left of a secret without its signs would not be found.
        let code: String =
            hidden.redact(code).chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect();
        let code = if code.is_empty() { number.map(Value::to_string).unwrap_or_default() } else { code };
        let words = first(&[(body, "error_description"), (within, "message"), (body, "message"), (body, "detail")]);
        let words = hidden.redact(words).chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS).collect();
        Complaint { code, words }
    }

    fn is_any_of(&self, codes: &[&str]) -> bool {
        codes.iter().any(|code| self.code.eq_ignore_ascii_case(code))
    }

    /// The server says that the fault is its own, or that it is busy.
    fn may_pass(&self) -> bool {
        // RFC 6749 section 4.1.2.1; Slack's are in https://docs.slack.dev/reference/methods/oauth.v2.access.
        self.is_any_of(&[
            "",
            "temporarily_unavailable",
            "server_error",
            "internal_error",
            "internal_server_error",
            "fatal_error",
            "service_unavailable",
            "request_timeout",
        ])
    }

    fn asks_to_slow_down(&self) -> bool {
        self.is_any_of(&["slow_down", "ratelimited", "rate_limited", "rate_limit_exceeded", "too_many_requests"])
    }

    /// Whether the refresh token (or the code) was refused. The standard has one name for that, and APIs have more.
    fn is_over(&self) -> bool {
        let named = self.is_any_of(&[
            "invalid_grant",
            "bad_refresh_token",
            "invalid_refresh_token",
            "token_revoked",
            "token_expired",
            "bad_verification_code",
            "invalid_code",
            "code_already_used",
            "code_expired",
            // The user has to consent or authenticate again (Microsoft's, OpenID Connect's).
            "interaction_required",
            "login_required",
            "consent_required",
        ]);
        // Atlassian says this about the application, but means the token.
        let meant = self.is_any_of(&["unauthorized_client", "invalid_request"]);
        named || meant && self.words.contains("refresh_token is invalid")
    }

    /// The advice for a definite error code.
    fn advice(&self, grant: &str) -> &'static str {
        let is = |codes: &[&str]| self.is_any_of(codes);
        if is(&[
            "invalid_client",
            "unauthorized_client",
            "incorrect_client_credentials",
            "bad_client_secret",
            "invalid_client_id",
        ]) {
            return "the API does not accept the application: check client id and secret";
        }
        if is(&["redirect_uri_mismatch", "bad_redirect_uri", "invalid_redirect_uri"]) {
            return "the API does not know this redirect URI: register it with the application";
        }
        if is(&["invalid_scope"]) {
            return "the API does not grant these scopes: check them";
        }
        if is(&["access_denied"]) {
            return "the user or an administrator refused: sign in again";
        }
        if is(&["unsupported_grant_type"]) {
            return "the API does not issue tokens this way: check the token URL and how the application may sign in";
        }
        match grant {
            "authorization_code" => "the API returned no token for the sign-in: begin it again",
            _ => "the API returned no token: see its message",
        }
    }
}

fn refusal(
    response: &HttpResponse,
    body: Option<&Map<String, Value>>,
    old: &OAuthTokens,
    grant: &str,
    hidden: &Redactor,
    now: Timestamp,
) -> Refusal {
    let complaint = Complaint::of(body, hidden);
    let status = response.status;
    let passes = matches!(status, 300..=399 | 408 | 425 | 500..) || complaint.may_pass();
    let slow = status == 429 || complaint.asks_to_slow_down();
    let over = !passes && !slow && complaint.is_over();
    let mut error = match status {
        _ if slow => Error::new(ErrorKind::RateLimited, "the API asks to slow down: try again later"),
        300..=399 => {
            Error::new(ErrorKind::Remote, "the token endpoint redirects, which is not followed: check the token URL")
        }
        _ if passes && body.is_none() => {
            Error::new(ErrorKind::Remote, "the token endpoint's answer is not a token: try again later")
        }
        _ if passes => Error::new(ErrorKind::Remote, "the API's token endpoint fails: try again later"),
        _ if over && grant == "authorization_code" => {
            Error::new(ErrorKind::Unauthorized, "the sign-in's code has expired or was used: begin the sign-in again")
        }
        _ if over && grant == JWT_BEARER => Error::new(
            ErrorKind::Unauthorized,
            "the API refused the key's signature: check that the key still exists, whom it acts as, and this machine's clock",
        ),
        _ if over => self::over(),
        _ => Error::new(ErrorKind::Unauthorized, complaint.advice(grant)),
    };
    error = error.with("status", status);
    for (name, value) in [("error", hidden.redact(&complaint.code)), ("told", complaint.words)] {
        if !value.is_empty() {
            error = error.with(name, value);
        }
    }
    if error.kind() == ErrorKind::Unauthorized {
        error = with_skew(error, response, now);
    }
    if passes || slow {
        let wait = response.header("retry-after").and_then(|value| time_until(value, now.unix_ms()));
        error = match wait {
            Some(wait) => error.retry_in(wait),
            None => error,
        };
    }
    // Only a refresh token can expire for good: the application's own sign-in is retried.
    Refusal { error, over: over && old.refresh_token.is_some() }
}

#[cfg(test)]
#[path = "token_answer_tests.rs"]
mod tests;
