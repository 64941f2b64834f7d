//! `/proxy/*`: a client's own requests to a provider, with a connection's credentials.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use highwater_core::{Error, ErrorKind};
use highwater_engine::transport::ProxyRetries;
use highwater_template::{HttpRequest, HttpResponse};

use super::common::SWITCH;
use crate::about::{About, param, schema};
use crate::call::Call;
use crate::error::{ApiError, Place};
use crate::input::value::{self, Refused};
use crate::keys::Scope;
use crate::route::{Answer, Route};

/// The largest body of a request, in bytes.
const BODY: usize = 64 << 20;

/// How long an answer may take, with its retries.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// The most retries.
const RETRIES: u32 = 10;

/// What the headers for the provider begin with.
const PREFIX: &str = "nango-proxy-";

/// Headers about one connection (RFC 9110, 7.6.1), and those that are made anew.
const OF_A_CONNECTION: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers of a provider's answer that would speak for this server.
const OF_A_SITE: [&str; 8] = [
    "alt-svc",
    "clear-site-data",
    "content-encoding",
    "content-security-policy",
    "service-worker-allowed",
    "set-cookie",
    "strict-transport-security",
    "www-authenticate",
];

pub(crate) fn routes() -> Vec<Route> {
    let methods = [Route::get, Route::post, Route::put, Route::patch, Route::delete];
    let paths = ["/proxy", "/proxy/{*path}"];
    let all = paths.into_iter().flat_map(|path| methods.map(|method| method(path, Scope::Write, proxy)));
    all.map(|route| route.foreign_query().answer_time(PATIENCE).about(about())).collect()
}

fn about() -> About {
    let headers = [
        param(
            "Retries",
            schema::integer(0, RETRIES.into()),
            "How often the request is sent again where that is sensible.",
        ),
        param("Retry-On", schema::text(), "Statuses that are tried again too, with commas between them."),
        param("Base-Url-Override", schema::text(), "Another origin of the provider."),
    ];
    About::new(
        "Sends a request to the provider with the connection's credentials; headers `Nango-Proxy-X` are sent as `X`.",
    )
    .of_connection()
    .headers(headers)
    .any_body()
    .foreign_answers()
}

async fn proxy(mut call: Call) -> Answer {
    let headers = call.headers();
    let retries = headers.optional("Retries", value::number(0..=RETRIES))?.unwrap_or(0);
    let statuses = headers.optional("Retry-On", value::list(value::number(100..=599u16), 100))?.unwrap_or_default();
    let base = headers.optional_or_empty("Base-Url-Override", base_url)?;
    for switch in ["Decompress", "Forward-Headers-On-Redirect", "Nango-Is-Sync", "Nango-Is-Dry-Run"] {
        headers.optional_or_empty(switch, value::word(SWITCH))?;
    }
    headers.optional_or_empty("Nango-Activity-Log-Id", value::text(255))?;
    let connection = call.connection().await?;
    let body = call.bytes(BODY).await?;
    let endpoint = endpoint(&call);
    let url =
        base.as_ref().map_or_else(|| endpoint.clone(), |base| format!("{}{endpoint}", base.trim_end_matches('/')));
    let method = call.parts.method.as_str();
    let mut request = HttpRequest::new(method, url);
    request.headers = forwarded(&call.parts.headers)?;
    if !body.is_empty() {
        let kind = |headers: &[(String, String)]| headers.iter().any(|(name, _)| name == "content-type");
        if let (false, Some(kind)) = (kind(&request.headers), text_of(&call.parts.headers, "content-type")) {
            request.headers.push(("content-type".to_owned(), kind));
        }
        request.body = Some(body);
    }
    // What may be sent twice is sent twice only if it was asked for, or if twice is as once.
    request = request.repeatable(retries > 0 || matches!(method, "GET" | "HEAD" | "PUT" | "DELETE"));
    let retries = statuses.into_iter().fold(ProxyRetries::new(retries), ProxyRetries::status);
    match call.engine().proxy_with_retries(&connection.id, request, &retries).await {
        Ok(answer) => passed_on(answer),
        Err(error) => Err(refused(error, base.is_some())),
    }
}

/// The path and the query as they were sent.
fn endpoint(call: &Call) -> String {
    let uri = &call.parts.uri;
    let path = uri.path().strip_prefix("/proxy").unwrap_or_default();
    let path = if path.is_empty() { "/" } else { path };
    uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

fn base_url(text: &str) -> Result<String, Refused> {
    let url = value::text(2048)(text)?;
    let http = url.starts_with("https://") || url.starts_with("http://");
    if http && !url.contains(['?', '#', '@', '\\']) {
        Ok(url)
    } else {
        Err(Refused::expected("a URL of https://", text))
    }
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The headers for the provider: those with the prefix, without it.
fn forwarded(headers: &HeaderMap) -> Result<Vec<(String, String)>, ApiError> {
    let mut found = Vec::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(PREFIX) else { continue };
        // The transport chooses which encodings it can read.
        if name.is_empty() || name == "accept-encoding" || OF_A_CONNECTION.contains(&name) {
            continue;
        }
        let value = value.to_str().map_err(|_| {
            ApiError::parameter(Place::Header, &format!("{PREFIX}{name}"), "invalid", "has bytes outside ASCII")
        })?;
        found.push((name.to_owned(), value.to_owned()));
    }
    Ok(found)
}

/// The provider's answer, with its status and body.
fn passed_on(answer: HttpResponse) -> Answer {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = Response::builder().status(status);
    for (name, value) in &answer.headers {
        let name = name.to_ascii_lowercase();
        let kept = !OF_A_CONNECTION.contains(&name.as_str())
            && !OF_A_SITE.contains(&name.as_str())
            && !name.starts_with("access-control-");
        if let (true, Ok(name), Ok(value)) =
            (kept, HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        {
            response = response.header(name, value);
        }
    }
    response.body(Body::from(answer.body)).map_err(|_| {
        ApiError::new(
            StatusCode::BAD_GATEWAY,
            "upstream_failed",
            "the provider's answer could not be passed on: try again",
        )
    })
}

fn refused(error: Error, overridden: bool) -> ApiError {
    let elsewhere = error.context("origin").is_some() && error.context("status").is_none();
    match error.kind() {
        ErrorKind::Remote if elsewhere && overridden => {
            let message = "the base URL is of no origin of the provider, and the credentials would leak: leave Base-Url-Override out, or \
                           name an origin of the provider";
            ApiError::new(StatusCode::FORBIDDEN, "base_url_override_not_allowed", message)
        }
        ErrorKind::Invalid if elsewhere || error.message().contains("globally routable") => {
            let message =
                "the provider's address is of a private network: only the program that runs this server can allow that";
            ApiError::new(StatusCode::FORBIDDEN, "address_not_allowed", message)
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_for_the_provider_lose_their_prefix_and_what_is_about_a_connection() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("nango-proxy-x-one", "1"),
            ("nango-proxy-accept", "text/plain"),
            ("nango-proxy-host", "evil.example"),
            ("nango-proxy-content-length", "7"),
            ("nango-proxy-transfer-encoding", "chunked"),
            ("nango-proxy-accept-encoding", "br"),
            ("nango-proxy-", "x"),
            ("authorization", "Bearer ours"),
            ("cookie", "ours"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let found = forwarded(&headers).unwrap();
        let expected = [("x-one", "1"), ("accept", "text/plain")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_base_url_is_a_plain_one() {
        assert!(base_url("https://api.example/v2").is_ok());
        for url in
            ["", "api.example", "ftp://a", "https://a@b", "https://a?b", "https://a#b", "javascript:1", "https://a\\b"]
        {
            assert!(base_url(url).is_err(), "{url}");
        }
    }
}
