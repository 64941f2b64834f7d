//! The host's own requests with a connection's credentials.

use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::{HttpRequest, HttpResponse, LogLevel};

use crate::calls::{Call, asked};
use crate::documents::RunMode;
use crate::engine::Engine;
use crate::http::{Client, Note, passing};
use crate::timer;

/// How often, and after which answers, a host's own request is sent again. By default it is sent once.
///
/// ```
/// use highwater_engine::transport::ProxyRetries;
/// let retries = ProxyRetries::new(3).status(404);
/// assert_eq!(retries.retries, 3);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyRetries {
    /// The most tries after the first one.
    pub retries: u32,
    /// Statuses to try again after, beside 429 and those from 500 on.
    pub statuses: Vec<u16>,
}

impl ProxyRetries {
    /// Returns as many retries, after 429 and statuses from 500 on.
    pub fn new(retries: u32) -> Self {
        ProxyRetries { retries, statuses: Vec::new() }
    }

    /// Adds a status to try again after.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.statuses.push(status);
        self
    }

    fn concern(&self, status: u16) -> bool {
        status == 429 || status >= 500 || self.statuses.contains(&status)
    }
}

impl Engine {
    /// Sends any request with a connection's credentials: only to the provider's origins, and within the connection's rate
    /// limit. The answer is returned whatever its status. The log keeps method, path and status
    /// ([`RunMode::Proxy`](crate::runs::RunMode::Proxy)).
    ///
    /// ```no_run
    /// # async fn example(engine: highwater_engine::Engine) -> highwater_core::Result<()> {
    /// use highwater_template::HttpRequest;
    /// let answer = engine.proxy("github-main", HttpRequest::get("/rate_limit")).await?;
    /// println!("{} {}", answer.status, answer.body.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an unknown connection, [`ErrorKind::Remote`] for a URL of another origin, and those of sending.
    pub async fn proxy(&self, connection: &str, request: HttpRequest) -> Result<HttpResponse> {
        self.proxy_with_retries(connection, request, &ProxyRetries::default()).await
    }

    /// Sends a request as [`proxy`](Engine::proxy) does, and again after a failure that may pass, with growing pauses or as long
    /// as the API asks for. A wait that is longer than [`RequestLimits::max_wait`](crate::transport::RequestLimits::max_wait) ends
    /// the retries. The log keeps one entry with a line for each try.
    ///
    /// # Errors
    ///
    /// Those of [`proxy`](Engine::proxy), of the last try.
    pub async fn proxy_with_retries(
        &self,
        connection: &str,
        request: HttpRequest,
        retries: &ProxyRetries,
    ) -> Result<HttpResponse> {
        let settings = self.connection(connection).await?;
        let (client, met) = self.provider_client(&settings, self.parts().provider_of(&settings)?).await?;
        let call = Call::begin(self, connection, &format!("{}/proxy", settings.provider), RunMode::Proxy).await?;
        let asked = asked(&request);
        let note = |level: LogLevel, message: &str| call.line(level, &client.session().redact(message));
        let answer = call.during(self.send_again(&client, request.any_status(), retries, &note)).await;
        self.settle_health(connection, &met, answer.as_ref().err()).await;
        call.note_exchange(&client, &asked, &answer);
        let failed = match &answer {
            Ok(answer) if answer.status >= 400 => {
                Some(Error::new(ErrorKind::Remote, "the API refused the request").with("status", answer.status))
            }
            Ok(_) => None,
            Err(error) => Some(Error::new(error.kind(), "the request failed").with("reason", error)),
        };
        call.end(failed.as_ref()).await;
        answer
    }

    async fn send_again(
        &self,
        client: &Client,
        request: HttpRequest,
        retries: &ProxyRetries,
        note: Note<'_>,
    ) -> Result<HttpResponse> {
        let (environment, limits) = (&self.parts().environment, &self.parts().limits);
        let mut failures = 0;
        loop {
            let outcome = client.send(request.clone(), note).await;
            let (what, wait) = match &outcome {
                Ok(response) if retries.concern(response.status) => {
                    let asked = passing(response, environment.now().unix_ms());
                    (format!("the API answered {}", response.status), asked.unwrap_or_default())
                }
                Err(error) if error.kind() == ErrorKind::Unavailable => (error.to_string(), Duration::ZERO),
                _ => return outcome,
            };
            if failures >= retries.retries || wait > limits.max_wait {
                return outcome;
            }
            failures += 1;
            note.line(LogLevel::Warning, &format!("{what}; retrying"));
            let mut random = [0; 4];
            environment.fill_random(&mut random);
            timer::sleep(limits.pause(failures, u32::from_le_bytes(random)).max(wait)).await;
        }
    }
}
