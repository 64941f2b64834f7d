//! Adds credentials to requests, and gets the tokens for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Duration, FixedOffset};
use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{LiteralTypes, Map, Value, datetime, python_text};
use highwater_template::{HttpRequest, HttpResponse};

use super::context::Run;
use super::request::{Parts, pairs};
use super::tokens::Token;
use crate::exchange::{Purpose, Request};
use crate::form::form_text;
use crate::model::decode::again;
use crate::model::{Authenticator, OAuth, Template, TokenPool};

impl Authenticator {
    /// What the authenticator adds to a request.
    pub(crate) async fn parts(&self, run: &Run<'_>) -> Result<Parts> {
        let scope = run.scope();
        let mut parts = Parts::default();
        match self {
            // A pool chooses its token once the request is complete.
            Authenticator::None | Authenticator::Pool(_) => {}
            Authenticator::ApiKey { option, token } => {
                parts.inject(option, Value::String(token.text(&scope)?), &scope)?;
            }
            Authenticator::Bearer { token } => {
                header(&mut parts, "Authorization", format!("Bearer {}", token.text(&scope)?))
            }
            Authenticator::Basic { username, password } => {
                let pair = format!("{}:{}", username.text(&scope)?, password.text(&scope)?);
                header(&mut parts, "Authorization", format!("Basic {}", STANDARD.encode(pair)));
            }
            Authenticator::OAuth(oauth) => {
                header(&mut parts, "Authorization", format!("Bearer {}", oauth.token(run).await?));
            }
            Authenticator::Session(session) => {
                let token = Value::String(session.token(run).await?);
                match &session.api_key {
                    None => header(&mut parts, "Authorization", format!("Bearer {}", python_text(&token))),
                    Some((option, template)) => {
                        let text = template.text(&scope.with("session_token", &token))?;
                        parts.inject(option, Value::String(text), &scope)?;
                    }
                }
            }
            Authenticator::LegacySession(session) => {
                let token = session.token(run).await?;
                header(&mut parts, &session.header.text(&scope)?, token);
            }
            Authenticator::Jwt(jwt) => {
                let token = jwt.sign(run)?;
                let token = match &jwt.prefix {
                    Some(prefix) => format!("{} {token}", prefix.text(&scope)?),
                    None => token,
                };
                match &jwt.option {
                    Some(option) => parts.inject(option, Value::String(token), &scope)?,
                    None => header(&mut parts, "Authorization", token),
                }
            }
            Authenticator::Selective { path, choices } => {
                return Box::pin(selected(path, choices, run)?.parts(run)).await;
            }
            Authenticator::Custom(custom) => {
                for (name, value) in custom.headers(run.config)? {
                    header(&mut parts, &name, value);
                }
            }
        }
        Ok(parts)
    }

    /// The tokens to choose from, where there are several.
    pub(crate) fn pool(&self, run: &Run<'_>) -> Result<Option<&TokenPool>> {
        match self {
            Authenticator::Pool(pool) => Ok(Some(pool)),
            Authenticator::Selective { path, choices } => selected(path, choices, run)?.pool(run),
            _ => Ok(None),
        }
    }
}

fn header(parts: &mut Parts, name: &str, value: String) {
    parts.headers.insert(name.to_owned(), Value::String(value));
}

fn selected<'a>(
    path: &[String],
    choices: &'a std::collections::BTreeMap<String, Result<Authenticator>>,
    run: &Run<'_>,
) -> Result<&'a Authenticator> {
    let place = path.join(".");
    let chosen = crate::dpath::dpath_get(run.config, path).map(python_text).ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("the config does not say how to authenticate: set `{place}`"))
    })?;
    let choice = choices.get(&chosen).ok_or_else(|| {
        let known = choices.keys().cloned().collect::<Vec<_>>().join(", ");
        Error::new(
            ErrorKind::Invalid,
            format!("the config's `{place}` is not a way to authenticate: use one of {known}"),
        )
    })?;
    choice.as_ref().map_err(again)
}

impl OAuth {
    async fn token(&self, run: &Run<'_>) -> Result<String> {
        if let Some(kept) = &self.kept {
            return self.kept_token(kept, run).await;
        }
        let scope = run.scope();
        let given = match &self.access_token {
            Some(template) => Some(template.text(&scope)?).filter(|token| !token.is_empty() && token != "None"),
            None => None,
        };
        let Some(endpoint) = &self.endpoint else {
            return given.ok_or_else(|| self.no_token());
        };
        let until = self.expiry.as_ref().map_or(Ok(String::new()), |expiry| expiry.text(&scope))?;
        if let Some(token) = given
            && self.instant(&until)?.is_some_and(|until| until >= run.now())
        {
            return Ok(token);
        }
        let request = self.token_request(endpoint, run.config, run)?;
        let key = format!("oauth {request:?}");
        if let Some(token) = run.tokens.get(&key).filter(|token| token.expires.is_none_or(|at| at >= run.now())) {
            return Ok(token.text);
        }
        let (token, _) = self.ask_token(request, run).await?;
        run.tokens.set(key, token.clone());
        Ok(token.text)
    }

    /// Asks for a token; the token, and the whole answer.
    pub(super) async fn ask_token(&self, request: HttpRequest, run: &Run<'_>) -> Result<(Token, Value)> {
        let scope = run.scope();
        let answer = ask(run, request, &self.path).await?;
        let name = self.access_token_name.text(&scope)?;
        let token = find_deep(&answer, &name, 0).map(python_text).filter(|token| !token.is_empty());
        let text = token.ok_or_else(|| {
            Error::new(
                ErrorKind::Unauthorized,
                format!("the token endpoint's answer has no `{name}`: check the credentials"),
            )
            .with("at", &self.path)
        })?;
        let expires = match find_deep(&answer, &self.expires_in_name.text(&scope)?, 0) {
            Some(value) if self.expiry_format.is_some() => datetime::parse_iso(&python_text(value)).ok(),
            Some(value) => python_text(value).parse::<f64>().ok().and_then(|seconds| after(run, seconds)),
            None => after(run, 3600.0),
        };
        Ok((Token { text, expires }, answer))
    }

    /// The request for a token, with what `config` keeps.
    pub(super) fn token_request(&self, endpoint: &Template, config: &Value, run: &Run<'_>) -> Result<HttpRequest> {
        let scope = run.scope();
        let arguments = self.arguments(config, run)?;
        let headers = run.interpolator.evaluate_mapping(
            &self.headers,
            &scope.with_parameters(&self.parameters),
            LiteralTypes::ALL,
        )?;
        let mut request = HttpRequest::new("POST", endpoint.text(&scope)?);
        for (name, value) in &headers {
            request.headers.push((name.clone(), python_text(value)));
        }
        if self.as_query {
            request.query = pairs(&arguments, &self.path)?;
        } else {
            if !headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
                request.headers.push(("Content-Type".into(), "application/x-www-form-urlencoded".into()));
            }
            request.body = Some(form_text(&pairs(&arguments, &self.path)?).into());
        }
        Ok(request)
    }

    /// When a token ends, as a config tells it.
    pub(super) fn instant(&self, text: &str) -> Result<Option<DateTime<FixedOffset>>> {
        if text.is_empty() || text == "None" {
            return Ok(None);
        }
        if let Ok(seconds) = text.parse::<i64>() {
            return Ok(DateTime::from_timestamp(seconds, 0).map(|instant| instant.fixed_offset()));
        }
        datetime::parse_iso(text).map(Some).map_err(|_| self.invalid("`token_expiry_date` is not a date or time"))
    }

    pub(super) fn no_token(&self) -> Error {
        self.invalid("the config has no access token: connect the account again")
    }

    fn arguments(&self, config: &Value, run: &Run<'_>) -> Result<Map> {
        let scope = run.scope();
        let variables = scope.with_parameters(&self.parameters);
        let text = |template: &Template| template.text(&scope);
        let mut arguments = Map::new();
        if let Some(assertion) = &self.assertion {
            arguments.insert(text(&self.grant_type_name)?, "urn:ietf:params:oauth:grant-type:jwt-bearer".into());
            arguments.insert("assertion".into(), assertion.sign(run)?.into());
            return Ok(arguments);
        }
        let grant_type = text(&self.grant_type)?;
        arguments.insert(text(&self.grant_type_name)?, grant_type.clone().into());
        if !self.headers.contains_key("Authorization") {
            for (name, value, what) in [
                (&self.client_id_name, &self.client_id, "client_id"),
                (&self.client_secret_name, &self.client_secret, "client_secret"),
            ] {
                let value = value.as_ref().ok_or_else(|| self.invalid(format!("`{what}` is missing: give it")))?;
                arguments.insert(text(name)?, value.value(&scope)?);
            }
        }
        let kept = self.kept.as_ref().and_then(|kept| configured(&kept.refresh_token, config));
        let refresh_token = match (kept, &self.refresh_token) {
            (Some(token), _) => Some(token),
            (None, Some(template)) => Some(template.text(&scope)?),
            (None, None) => None,
        };
        match refresh_token {
            Some(token) => drop(arguments.insert(text(&self.refresh_token_name)?, token.into())),
            None if grant_type == "refresh_token" => {
                return Err(self.invalid("`refresh_token` is missing: give it, or another grant type"));
            }
            None => {}
        }
        if !self.scopes.is_empty() {
            arguments.insert("scopes".into(), self.scopes.clone().into());
        }
        for (name, value) in run.interpolator.evaluate_mapping(&self.body, &variables, LiteralTypes::ALL)? {
            if !arguments.contains_key(&name) {
                arguments.insert(name, value);
            }
        }
        Ok(arguments)
    }

    fn invalid(&self, message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        Error::new(ErrorKind::Invalid, message).with("at", &self.path)
    }
}

/// A text of the config; none where it is empty or missing.
pub(super) fn configured(path: &[String], config: &Value) -> Option<String> {
    let value = crate::dpath::dpath_get(config, path).filter(|value| !value.is_null())?;
    Some(python_text(value)).filter(|text| !text.is_empty())
}

fn after(run: &Run<'_>, seconds: f64) -> Option<DateTime<FixedOffset>> {
    // A float to integer conversion saturates.
    run.now().checked_add_signed(Duration::try_seconds(seconds as i64)?)
}

/// The first value under `name`, however deep (to a bound).
pub(super) fn find_deep<'v>(value: &'v Value, name: &str, depth: usize) -> Option<&'v Value> {
    if depth > 5 {
        return None;
    }
    match value {
        Value::Object(members) => match members.get(name) {
            Some(found) => Some(found).filter(|found| !found.is_null()),
            None => members.values().find_map(|member| find_deep(member, name, depth + 1)),
        },
        Value::Array(items) => items.iter().find_map(|item| find_deep(item, name, depth + 1)),
        _ => None,
    }
}

/// Sends a request of an authenticator; its answer is JSON.
pub(super) async fn ask(run: &Run<'_>, request: HttpRequest, at: &str) -> Result<Value> {
    let response = ask_patiently(run, request, &[], at).await?;
    if !matches!(response.status, 200..=299) {
        let message = super::errors::message_of(&response);
        // The standard's word for a refresh token (or an assertion) that is no longer taken.
        let over = message.as_ref().is_some_and(|message| message.contains("invalid_grant"));
        let advice = if over { "sign in again" } else { "check the credentials" };
        let message = message.map(|message| format!(": {message}")).unwrap_or_default();
        let text = format!("the token endpoint refused with status {}{message}; {advice}", response.status);
        return Err(run.remote(ErrorKind::Unauthorized, &text).with("at", at));
    }
    serde_json::from_slice(&response.body).map_err(|_| {
        Error::new(ErrorKind::Remote, "the token endpoint's answer is not JSON: check its URL").with("at", at)
    })
}

/// The answer to a request, once the server is neither busy nor broken; statuses of `known` are answers in any case.
pub(super) async fn ask_patiently(
    run: &Run<'_>,
    request: HttpRequest,
    known: &[u16],
    at: &str,
) -> Result<HttpResponse> {
    let mut waited = 1;
    loop {
        let response = run.exchange.send(Request::new(request.clone(), Purpose::Authentication)).await?;
        run.check_body(&response, at)?;
        let status = response.status;
        if known.contains(&status) || !(status == 429 || status >= 500) || waited > 16 {
            return Ok(response);
        }
        let seconds = super::errors::retry_after(&response, run).unwrap_or(f64::from(waited));
        run.exchange.sleep(std::time::Duration::from_secs_f64(seconds)).await;
        waited *= 2;
    }
}
