//! The default transport: ureq with rustls, on the runtime's blocking threads.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::template::{HttpRequest, HttpResponse, Transport};
use highwater_core::{Error, ErrorKind, Result};

/// The largest body that is read, in bytes, after decompression.
const MAX_BODY: u64 = 64 * 1024 * 1024;

/// Sends requests with ureq.
#[derive(Clone, Debug)]
pub struct UreqTransport {
    agent: ureq::Agent,
}

impl Default for UreqTransport {
    fn default() -> Self {
        UreqTransport::new()
    }
}

impl UreqTransport {
    /// With 30 seconds to connect and two minutes for an answer.
    pub fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // WebDAV has methods of its own.
            .allow_non_standard_methods(true)
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_global(Some(Duration::from_secs(120)))
            .user_agent(concat!("highwater/", env!("CARGO_PKG_VERSION")))
            .build();
        UreqTransport { agent: config.into() }
    }
}

#[async_trait]
impl Transport for UreqTransport {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        let agent = self.agent.clone();
        tokio::task::spawn_blocking(move || exchange(&agent, request))
            .await
            .map_err(|source| Error::new(ErrorKind::Internal, "the request's thread failed").because(source))?
    }
}

fn exchange(agent: &ureq::Agent, request: HttpRequest) -> Result<HttpResponse> {
    let mut builder = ureq::http::Request::builder().method(request.method.as_str()).uri(request.url.as_str());
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    let invalid = |source| Error::new(ErrorKind::Invalid, "the request is not valid HTTP").because(source);
    let outcome = match request.body {
        Some(body) => agent.run(builder.body(body.as_ref()).map_err(invalid)?),
        None => agent.run(builder.body(()).map_err(invalid)?),
    };
    let mut answer = outcome.map_err(no_answer)?;
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let headers: Vec<(String, String)> = headers.collect();
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(MAX_BODY).read_to_vec().map_err(no_answer)?;
    Ok(HttpResponse::new(status, headers, body))
}

fn no_answer(source: ureq::Error) -> Error {
    let message = match &source {
        ureq::Error::BodyExceedsLimit(_) => {
            return Error::new(ErrorKind::Remote, "the API's answer is larger than 64 MiB: ask for smaller pages");
        }
        ureq::Error::Timeout(_) => "the API did not answer in time",
        ureq::Error::HostNotFound => "the API's host name is unknown: check the base URL and the network",
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => "the API's answer broke off",
        _ => "the API could not be reached",
    };
    Error::new(ErrorKind::Unavailable, message).because(source)
}
