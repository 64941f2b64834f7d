//! Session tokens: tokens from a login request.

use highwater_core::{Error, ErrorKind, Result};
use highwater_interpolation::{duration, python_text};
use highwater_template::HttpRequest;

use super::auth::ask;
use super::context::Run;
use super::request::Parts;
use super::slice::Slice;
use super::tokens::Token;
use crate::exchange::{Purpose, Request};
use crate::model::{LegacySession, Session, Template, path_of};

impl Session {
    pub(super) async fn token(&self, run: &Run<'_>) -> Result<String> {
        let key = format!("session {}", self.path);
        if let Some(token) = run.tokens.get(&key).filter(|token| token.expires.is_none_or(|at| at >= run.now())) {
            return Ok(token.text);
        }
        let answer =
            Box::pin(run.send(&self.login, &Slice::whole(), None, None, Parts::default(), Purpose::Authentication))
                .await?;
        let failed = |message: &'static str| Error::new(ErrorKind::Unauthorized, message).with("at", &self.path);
        if !answer.usable {
            return Err(failed("the login's answer was passed over: check the credentials"));
        }
        let bodies = super::body::decode(&self.decoder, &answer.response.body, run.limits.body_bytes)?;
        let body = bodies.first().ok_or_else(|| failed("the login's answer is empty"))?;
        let path = path_of(&self.token_path, &run.scope())?;
        let token = crate::dpath::dpath_get(body, &path).map(python_text);
        let token = token.ok_or_else(|| failed("the login's answer has no token: check `session_token_path`"))?;
        let expires = match &self.expiration {
            Some(text) => Some(duration::Duration::parse(text)?.after(run.now())?),
            None => None,
        };
        // Without a duration the session may end at any time: each request gets its own.
        if expires.is_some() {
            run.tokens.set(key, Token { text: token.clone(), expires });
        }
        Ok(token)
    }
}

impl LegacySession {
    /// The config's own session if it is still good, or a new one.
    pub(super) async fn token(&self, run: &Run<'_>) -> Result<String> {
        let key = format!("session {}", self.header.source());
        if let Some(token) = run.tokens.get(&key) {
            return Ok(token.text);
        }
        let scope = run.scope();
        let text = |template: &Option<Template>| -> Result<String> {
            match template {
                Some(template) if !template.source().is_empty() => template
                    .value(&scope)
                    .map(|value| if value.is_null() { String::new() } else { python_text(&value) }),
                _ => Ok(String::new()),
            }
        };
        let base = text(&self.api_url)?;
        let given = text(&self.token)?;
        if !given.is_empty() {
            let request = HttpRequest::get(format!("{base}{}", self.validate_url.text(&scope)?))
                .header(self.header.text(&scope)?, given.clone());
            let response = run.exchange.send(Request::new(request, Purpose::Authentication)).await?;
            match response.status {
                200..=299 => {
                    run.tokens.set(key, Token { text: given.clone(), expires: None });
                    return Ok(given);
                }
                // A page to log in at is not a session either.
                300..=399 | 401 => {}
                status => {
                    let message = format!("the session could not be checked: status {status}");
                    return Err(Error::new(ErrorKind::Remote, message).with("at", &self.path));
                }
            }
        }
        let (username, password) = (text(&self.username)?, text(&self.password)?);
        if username.is_empty() || password.is_empty() {
            let message = "the session is no longer good: give a new one, or username and password";
            return Err(Error::new(ErrorKind::Unauthorized, message).with("at", &self.path));
        }
        let credentials = crate::json!({"username": username, "password": password});
        let request = HttpRequest::post_json(format!("{base}{}", self.login_url.text(&scope)?), &credentials)?;
        let answer = ask(run, request, &self.path).await?;
        let name = self.response_key.text(&scope)?;
        let token = answer.get(&name).map(python_text).ok_or_else(|| {
            Error::new(ErrorKind::Unauthorized, format!("the login's answer has no `{name}`")).with("at", &self.path)
        })?;
        run.tokens.set(key, Token { text: token.clone(), expires: None });
        Ok(token)
    }
}
