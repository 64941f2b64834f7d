//! What every request passes first, known route or not: Host, Origin, and the size of its head.
//!
//! A page on the internet can have a browser send requests to this machine. Two checks stop it. The name in `Host` must be one of
//! ours, so that a name of the attacker's that resolves to this machine (DNS rebinding) is refused; an address is always ours,
//! because no rebinding can forge it. And `Origin` must be our own, or one that the host listed.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL,
    CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use highwater_core::mutant;

use crate::error::{ApiError, shown};
use crate::state::State as Shared;

const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
const HEADERS: &str =
    "authorization, content-type, connection-id, provider-config-key, last-event-id, x-async, x-max-retries";
const EXPOSED: &str = "retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset";

/// Names and origins that are ours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    /// Names in `Host`, in lower case and without a port.
    hosts: Vec<String>,
    /// Origins such as `https://app.example.com`.
    origins: Vec<String>,
}

impl Guard {
    /// Adds a name; fails with a sentence if it is none.
    pub(crate) fn allow_host(&mut self, name: &str) -> Result<(), &'static str> {
        let known = authority(name).filter(|host| host.port().is_none() && !name.contains('*'));
        self.hosts.push(
            known
                .ok_or("an allowed host is a name without scheme, port or *, such as sync.example.com")?
                .host()
                .to_owned(),
        );
        Ok(())
    }

    /// Adds an origin; fails with a sentence if it is none.
    pub(crate) fn allow_origin(&mut self, origin: &str) -> Result<(), &'static str> {
        let origin = origin.strip_suffix('/').unwrap_or(origin);
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        if host.and_then(authority).is_none() || origin.contains('*') {
            return Err("an allowed origin is a scheme and a host, such as https://app.example.com; * is not one");
        }
        self.origins.push(origin.to_owned());
        Ok(())
    }

    /// Returns the listed origins.
    pub(crate) fn origins(&self) -> &[String] {
        &self.origins
    }

    /// Returns the listed origin of a request of a page elsewhere.
    fn check(&self, headers: &HeaderMap, uri: Option<&Authority>) -> Result<Option<HeaderValue>, ApiError> {
        let host = match one(headers, &HOST)? {
            Some(host) => Some(authority(host).ok_or_else(|| unknown_host(host))?),
            None => uri.cloned(),
        };
        let host = host.ok_or_else(|| ApiError::bad("missing_host", "the request has no Host header: send one"))?;
        if !self.is_ours(&host) && !mutant!("any-host-served") {
            return Err(unknown_host(host.as_str()));
        }
        let Some(origin) = one(headers, &ORIGIN)? else { return Ok(None) };
        let listed = self.origins.iter().any(|known| known.eq_ignore_ascii_case(origin));
        if listed {
            return Ok(HeaderValue::from_str(origin).ok());
        }
        let own = origin.split_once("://").and_then(|(scheme, rest)| Some((scheme, authority(rest)?)));
        match own {
            Some((scheme, from)) if is_same(scheme, &from, &host) => Ok(None),
            _ if mutant!("any-origin-served") => Ok(None),
            _ => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "origin_not_allowed",
                format!(
                    "pages of the origin `{}` may not use this server: add it to the allowed origins",
                    shown(origin)
                ),
            )),
        }
    }

    fn is_ours(&self, host: &Authority) -> bool {
        let name = host.host();
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        bare.parse::<std::net::IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

fn unknown_host(host: &str) -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "unknown_host",
        format!("this server does not answer under the name `{}`: add it to the allowed hosts", shown(host)),
    )
}

/// Reads an authority of host and port, without a user.
fn authority(text: &str) -> Option<Authority> {
    text.parse::<Authority>().ok().filter(|authority| !authority.as_str().contains('@'))
}

fn is_same(scheme: &str, from: &Authority, host: &Authority) -> bool {
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    // Behind a proxy that ends TLS the port in Host may be left out: its default is the origin's.
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
    from.host().eq_ignore_ascii_case(host.host()) && port(from) == port(host)
}

/// Reads a header that may stand once.
pub(crate) fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ApiError> {
    use crate::error::Place::Header;
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ApiError::parameter(Header, name.as_str(), "repeated", "was sent twice: send it once"));
    }
    value.to_str().map(Some).map_err(|_| ApiError::parameter(Header, name.as_str(), "invalid", "is not plain text"))
}

/// Refuses what is not ours, answers preflights, and marks every answer.
pub(crate) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let origin = match admit(&shared, &request) {
        Ok(origin) => origin,
        Err(error) => return marked(error.into_response(), None),
    };
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let response = match &origin {
        Some(_) if preflight => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    marked(response, origin.map(|origin| (origin, preflight)))
}

fn admit(shared: &Shared, request: &Request) -> Result<Option<HeaderValue>, ApiError> {
    let limits = &shared.limits;
    let url = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if url > limits.url_bytes {
        let message = format!("the address has {url} bytes, at most {} are read: shorten it", limits.url_bytes);
        return Err(ApiError::new(StatusCode::URI_TOO_LONG, "uri_too_long", message));
    }
    let size: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > limits.header_bytes {
        let message = format!("the headers have {size} bytes, at most {} are read: send less", limits.header_bytes);
        return Err(ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message));
    }
    shared.guard.check(request.headers(), request.uri().authority())
}

/// Adds the headers that every answer has. A route's own policy stays.
fn marked(mut response: Response, cors: Option<(HeaderValue, bool)>) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(policy);
    if let Some((origin, preflight)) = cors {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(VARY, HeaderValue::from_static("origin"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        if preflight {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, origin: Option<&str>) -> Result<Option<HeaderValue>, &'static str> {
        let mut guard = Guard::default();
        guard.allow_host("Sync.example.com").unwrap();
        guard.allow_origin("https://app.example.com/").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        origin.map(|origin| headers.insert(ORIGIN, origin.parse().unwrap()));
        guard.check(&headers, None).map_err(|error| if error.status() == 403 { "refused" } else { "bad" })
    }

    #[test]
    fn only_our_names_and_addresses_are_hosts() {
        for host in ["127.0.0.1:3003", "localhost:3003", "[::1]:3003", "LOCALHOST", "sync.example.com", "10.0.0.7:80"] {
            assert_eq!(check(host, None), Ok(None), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "user@localhost",
            "example.com",
            "localhost.",
            "",
            "sync.example.com.",
            "127.1",
            "0x7f.1",
            "2130706433",
            "[::1",
            "a b",
        ] {
            assert_eq!(check(host, None), Err("refused"), "{host}");
        }
    }

    #[test]
    fn only_our_own_and_listed_origins_are_served() {
        for (host, origin) in [
            ("127.0.0.1:3003", "http://127.0.0.1:3003"),
            ("localhost:3003", "http://localhost:3003"),
            ("sync.example.com", "https://sync.example.com"),
            ("sync.example.com:443", "https://sync.example.com"),
        ] {
            assert_eq!(check(host, Some(origin)), Ok(None), "{origin}");
        }
        assert!(check("localhost:3003", Some("https://app.example.com")).unwrap().is_some());
        for origin in [
            "null",
            "http://evil.example",
            "http://localhost:3004",
            "https://localhost",
            "http://app.example.com",
            "https://app.example.com.evil.example",
            "https://app.example.com@evil.example",
            "file://localhost:3003",
            "*",
        ] {
            assert_eq!(check("localhost:3003", Some(origin)), Err("refused"), "{origin}");
        }
    }
}
