//! A transport that watches: who gets the secret, how many requests there are, how long they take.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use highwater_core::locks::lock;
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse};
use serde_json::json;
use url::Url;

use super::faults::Switch;
use super::hostile::Hostile;
use super::subject::{REFRESH, RENEWED, SECRET, Subject};
use super::wire::Wired;
use crate::clock::TestEnvironment;
use crate::fake::NO_ANSWER;

/// The most requests of one run. Further ones get no response, so that a run without an end does end.
const STOP: u32 = 400;

/// A transport that sees every request.
#[derive(Debug)]
pub(super) struct Watched {
    route: Route,
    environment: Arc<TestEnvironment>,
    origins: Vec<String>,
    token_url: Option<String>,
    requests: AtomicU32,
    leaks: Mutex<Vec<String>>,
}

enum Route {
    Memory(Arc<Hostile>),
    Socket(Box<Wired>),
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Route::Memory(_)) { "Memory" } else { "Socket" })
    }
}

impl Watched {
    pub(super) fn new(
        subject: &Subject,
        switch: Switch,
        hostile: &Arc<Hostile>,
        environment: &Arc<TestEnvironment>,
    ) -> Result<Self> {
        let route = match switch {
            Switch::Wire(wire) => {
                let (hostile, environment) = (Arc::clone(hostile), Arc::clone(environment));
                let answers = Arc::new(move |request| answer(&hostile, request, environment.true_ms()));
                Route::Socket(Box::new(Wired::new(wire, answers)?))
            }
            _ => Route::Memory(Arc::clone(hostile)),
        };
        let urls = subject.provider().urls(&subject.settings())?;
        let origins = urls.iter().chain(&subject.origins).filter_map(|url| origin(url)).collect();
        Ok(Watched {
            route,
            environment: Arc::clone(environment),
            origins,
            token_url: subject.token_url().map(str::to_owned),
            requests: AtomicU32::new(0),
            leaks: Mutex::default(),
        })
    }

    /// Returns the number of requests since the last call.
    pub(super) fn take_requests(&self) -> u32 {
        self.requests.swap(0, Ordering::Relaxed)
    }

    /// Returns the requests that carried a secret to another origin.
    pub(super) fn leaks(&self) -> Vec<String> {
        lock(&self.leaks).clone()
    }

    fn look(&self, request: &HttpRequest) {
        let to = origin(&request.url).unwrap_or_default();
        let token_origin = self.token_url.as_deref().and_then(origin);
        if self.origins.contains(&to) || token_origin.as_ref() == Some(&to) {
            return;
        }
        let headers = request.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>();
        let body = request.body.as_ref().map(|body| String::from_utf8_lossy(body)).unwrap_or_default();
        if holds_secret(&format!("{}\n{headers}{body}", request.url)) {
            let mut leaks = lock(&self.leaks);
            leaks.push(format!("{} {to}", request.method));
        }
    }
}

#[async_trait]
impl Transport for Watched {
    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse> {
        self.look(&request);
        if self.token_url.as_deref().is_some_and(|url| request.url.starts_with(url)) {
            let body = json!({"access_token": RENEWED, "token_type": "Bearer", "expires_in": 3600});
            let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
            return Ok(HttpResponse::new(200, headers, body.to_string()));
        }
        if self.requests.fetch_add(1, Ordering::Relaxed) >= STOP {
            return Err(Error::new(ErrorKind::Invalid, "the trial stopped a run that did not end"));
        }
        for (_, value) in &mut request.headers {
            *value = value.replace(SECRET, "token").replace(RENEWED, "token");
        }
        match &self.route {
            Route::Memory(hostile) => {
                let response = answer(hostile, request, self.environment.true_ms());
                if response.status == NO_ANSWER {
                    return Err(Error::new(ErrorKind::Unavailable, "the API did not answer in time"));
                }
                Ok(response)
            }
            Route::Socket(wired) => wired.send(request).await,
        }
    }
}

fn answer(hostile: &Hostile, request: HttpRequest, now_ms: u64) -> HttpResponse {
    hostile.answer(request, now_ms)
}

fn origin(url: &str) -> Option<String> {
    Url::parse(url).ok().map(|url| url.origin().ascii_serialization())
}

/// Returns whether a text contains a secret of the trial, plain or encoded.
pub(super) fn holds_secret(text: &str) -> bool {
    let pair = format!("trial:{SECRET}");
    [SECRET, RENEWED, REFRESH].iter().any(|secret| {
        let encoded = [STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret), STANDARD.encode(&pair)];
        text.contains(secret) || encoded.iter().any(|form| text.contains(form.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Faults;

    /// The engine sends no secret to another origin, so no template can show this. The request is passed to the watch directly.
    #[tokio::test]
    async fn a_secret_on_its_way_to_a_stranger_is_seen() {
        let template = highwater_templates::all().into_iter().find(|template| template.info().id() == "jira/issues");
        let subject = crate::matrix::natives::subject(template.unwrap()).unwrap();
        let faults = Faults::named("lost-once");
        let hostile = Arc::new(Hostile::new(&subject, faults.iter().next().unwrap(), (subject.make)()));
        let environment = Arc::new(TestEnvironment::new(0));
        let watched = Watched::new(&subject, Switch::Lost, &hostile, &environment).unwrap();
        let basic = format!("Basic {}", STANDARD.encode(format!("trial:{SECRET}")));
        let ask = |url: &str| HttpRequest::get(url).header("authorization", basic.as_str());
        let _ = watched.send(ask("https://acme.atlassian.net/rest")).await;
        let _ = watched.send(HttpRequest::get("https://stranger.example/").header("accept", "*/*")).await;
        assert_eq!(watched.leaks(), [""; 0]);
        let _ = watched.send(ask("https://stranger.example/")).await;
        let _ = watched.send(HttpRequest::get(format!("https://stranger.example/?k={SECRET}"))).await;
        let body = STANDARD.encode(RENEWED);
        let _ = watched.send(HttpRequest::new("POST", "http://acme.atlassian.net/").body("text/plain", body)).await;
        assert_eq!(
            watched.leaks(),
            ["GET https://stranger.example", "GET https://stranger.example", "POST http://acme.atlassian.net"]
        );
    }
}
