//! One attempt at a request: sent, logged, counted, and noted for the run's trace.

use std::sync::atomic::Ordering;
use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_template::{HttpResponse, LogLevel};
use tracing::Instrument;
use tracing::field::Empty;

use super::answer;
use super::client::Client;
use super::credentials::Credentials;
use super::redirect::Journey;
use crate::documents::{RequestWait, RunRequest, WaitReason};
use crate::urls::Url;

/// What a client tells while it sends a request.
pub(crate) trait Listener: Sync {
    /// Takes a log line. It may have secrets.
    fn line(&self, level: LogLevel, message: &str);

    /// Takes a request that was answered or failed. It has no secrets.
    fn exchanged(&self, request: RunRequest) {
        let _ = request;
    }
}

impl<F: Fn(LogLevel, &str) + Sync> Listener for F {
    fn line(&self, level: LogLevel, message: &str) {
        self(level, message);
    }
}

/// Receives what a client tells, for the run's log.
pub(crate) type Note<'n> = &'n dyn Listener;

/// Adds a wait to those since the last attempt.
pub(super) fn hold(held: &mut Option<RequestWait>, reason: WaitReason, time: Duration) {
    let known = held.get_or_insert(RequestWait { reason, time: Duration::ZERO });
    known.reason = known.reason.min(reason);
    known.time += time;
}

impl Client {
    /// Sends a request once, through the transport.
    pub(super) async fn attempt(
        &self,
        journey: &Journey,
        credentials: &Credentials,
        attempt: u32,
        wait: Option<RequestWait>,
        note: Note<'_>,
    ) -> Result<HttpResponse, answer::Unreadable> {
        let (request, url) = (&journey.request, &journey.url);
        let outgoing = self.outgoing(request, url, credentials);
        let (method, shown) = (&request.method, self.shown(url));
        // The names of OpenTelemetry's conventions.
        let span = tracing::info_span!(
            target: "highwater::http",
            "highwater.request",
            "otel.kind" = "client",
            "http.request.method" = %method,
            "url.full" = %shown,
            "http.request.resend_count" = attempt - 1,
            "http.response.status_code" = Empty,
            "error.type" = Empty,
        );
        let at = self.environment.now();
        let outcome = self.transport().send(outgoing).instrument(span.clone()).await;
        let took_ms = self.environment.now().unix_ms().saturating_sub(at.unix_ms());
        let answered = outcome.as_ref().ok().map(|response| response.status);
        match &outcome {
            Ok(response) => span.record("http.response.status_code", response.status),
            Err(error) => span.record("error.type", error.kind().as_str()),
        };
        let status = answered.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        tracing::debug!(target: "highwater::http", %method, url = %shown, %status, ms = took_ms, "request");
        note.line(LogLevel::Debug, &format!("{method} {shown}: {status}, {took_ms} ms"));
        self.counting.request(answered, wait);
        note.exchanged(RunRequest {
            at,
            method: self.session().redact(method),
            url: shown.clone(),
            status: answered,
            error: outcome.as_ref().err().map(|error| error.kind()),
            attempt,
            took: Duration::from_millis(took_ms),
            bytes: outcome.as_ref().map_or(0, |response| response.body.len() as u64),
            wait,
        });
        match outcome {
            Ok(mut response) => {
                self.answered.store(true, Ordering::Relaxed);
                response.url = shown;
                let response = response.redactor(self.session().redactor()).requested_url(url.as_str());
                answer::readable(response, method == "HEAD")
            }
            Err(error) => {
                let may_pass = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Remote);
                // An unreadable answer is an answer too.
                self.answered.fetch_or(error.kind() != ErrorKind::Unavailable, Ordering::Relaxed);
                Err(answer::Unreadable { error: error.with("url", shown), may_pass })
            }
        }
    }

    /// A URL without its query, and without any secret in its path.
    fn shown(&self, url: &Url) -> String {
        self.session().redact(&format!("{}{}", url.origin(), url.path()))
    }
}
