//! The default transport: ureq with rustls, on the runtime's blocking threads.

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse};
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::transport::DefaultConnector;

use super::answer::{MAX_BODY, fault};
use super::global::{GlobalResolver, NotGlobal};
use super::proxies::{self, Proxies, Setting};
use crate::reach::{self, Reach};
use crate::urls::Url;

/// The refusal of an address for a request that must not reach the host's own network.
const NOT_GLOBAL: &str = "refused an address that is not globally routable: the program that runs the engine can allow it, as the connection's base URL, \
    by PrivateAddresses::OfAnyone, or by a destination's allow_private";

/// Sends requests with ureq.
///
/// Proxies come from the environment, read once: `HTTPS_PROXY` for https, `HTTP_PROXY` for http, `ALL_PROXY` for either
/// (`http://` and `https://` proxies), except for the hosts in `NO_PROXY` (names including their subdomains, `.name`,
/// `*.name`, addresses, networks such as `10.0.0.0/8`, each with an optional port, or `*`). This machine's own addresses are
/// never reached through a proxy. An unusable setting, such as a SOCKS proxy, fails the requests that it applies to with
/// [`ErrorKind::Invalid`].
#[derive(Clone)]
pub struct UreqTransport {
    proxies: Proxies,
    direct: Agent,
    /// Direct, to globally routable addresses.
    global: Agent,
    http: Agent,
    https: Agent,
}

impl fmt::Debug for UreqTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UreqTransport")
    }
}

impl Default for UreqTransport {
    fn default() -> Self {
        UreqTransport::new()
    }
}

impl UreqTransport {
    /// Creates a transport with timeouts of 30 seconds to connect and two minutes for an answer.
    pub fn new() -> Self {
        UreqTransport::by(Proxies::new(|name| std::env::var_os(name)))
    }

    fn by(proxies: Proxies) -> Self {
        let (http, https) = (agent(&proxies.http), agent(&proxies.https));
        let global = Agent::with_parts(config(&Setting::None), DefaultConnector::default(), GlobalResolver::default());
        UreqTransport { proxies, direct: agent(&Setting::None), global, http, https }
    }

    fn agent(&self, request: &HttpRequest) -> Result<&Agent> {
        let url = Url::parse(&request.url)
            .map_err(|source| Error::new(ErrorKind::Invalid, "the request's URL is not a URL").because(source))?;
        // What is written as such an address is refused here: a proxy would not check it.
        if request.global_only && reach::of_url(&url) != Reach::Public {
            return Err(Error::new(ErrorKind::Invalid, NOT_GLOBAL).with("origin", url.origin()));
        }
        match self.proxies.for_url(&url) {
            None | Some(Setting::None) => Ok(if request.global_only { &self.global } else { &self.direct }),
            Some(Setting::Proxy(_)) => Ok(if url.is_https() { &self.https } else { &self.http }),
            Some(Setting::Unusable(name, why)) => Err(proxies::unusable(name, why)),
        }
    }
}

fn agent(setting: &Setting) -> Agent {
    config(setting).into()
}

fn config(setting: &Setting) -> Config {
    let proxy = match setting {
        Setting::Proxy(proxy) => Some(proxy.clone()),
        _ => None,
    };
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        // WebDAV has its own methods.
        .allow_non_standard_methods(true)
        .proxy(proxy)
        // The engine decodes it.
        .accept_encoding("gzip")
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_global(Some(Duration::from_secs(120)))
        .user_agent(concat!("highwater/", env!("CARGO_PKG_VERSION")))
        .build()
}

#[async_trait]
impl Transport for UreqTransport {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        let agent = self.agent(&request)?.clone();
        tokio::task::spawn_blocking(move || exchange(&agent, request))
            .await
            .map_err(|source| Error::new(ErrorKind::Internal, "the request's thread failed").because(source))?
    }
}

fn exchange(agent: &Agent, request: HttpRequest) -> Result<HttpResponse> {
    let mut builder = ureq::http::Request::builder().method(request.method.as_str()).uri(request.url.as_str());
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    let invalid = |source| Error::new(ErrorKind::Invalid, "the request is not valid HTTP").because(source);
    let outcome = match &request.body {
        Some(body) => agent.run(builder.body(body.as_ref()).map_err(invalid)?),
        // `Content-Length: 0` (RFC 9110, section 8.6): an empty body in chunks is more than some servers take.
        None if matches!(request.method.as_str(), "POST" | "PUT" | "PATCH") => {
            agent.run(builder.body(&[][..]).map_err(invalid)?)
        }
        None => agent.run(builder.body(()).map_err(invalid)?),
    };
    let mut answer = outcome.map_err(no_answer)?;
    let headers = answer.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes())));
    let headers: Vec<(String, String)> = headers.collect();
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    if request.method != "HEAD" && !matches!(status, 204 | 304) {
        // One byte too many shows that the body is too large.
        let wanted = request.body_limit.unwrap_or(MAX_BODY as u64 + 1);
        let read = answer.body_mut().as_reader().take(wanted).read_to_end(&mut body);
        // A caller that only needs the beginning gets what there is.
        if let (Err(source), None) = (read, request.body_limit) {
            return Err(Error::new(fault(), "the API's answer was cut off").with("status", status).because(source));
        }
    }
    Ok(HttpResponse::new(status, headers, body))
}

/// A header's value: UTF-8, or else ISO-8859-1, as browsers read it.
fn text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().copied().map(char::from).collect(),
    }
}

fn no_answer(source: ureq::Error) -> Error {
    let (kind, message) = match &source {
        ureq::Error::Protocol(_) => (fault(), "the API's answer is not valid HTTP"),
        ureq::Error::LargeResponseHeader(..) => (fault(), "the API answered with headers longer than 64 KiB"),
        ureq::Error::Timeout(_) => (ErrorKind::Unavailable, "the API did not answer in time"),
        ureq::Error::Other(source) if source.is::<NotGlobal>() => (ErrorKind::Invalid, NOT_GLOBAL),
        ureq::Error::HostNotFound => {
            (ErrorKind::Unavailable, "the API's host name is unknown: check the base URL and the network")
        }
        ureq::Error::ConnectProxyFailed(_) => (ErrorKind::Unavailable, "the proxy could not connect to the API"),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            (ErrorKind::Unavailable, "the API closed the connection without an answer")
        }
        _ => (ErrorKind::Unavailable, "the API could not be reached"),
    };
    Error::new(kind, message).because(source)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::sync::mpsc;

    use super::*;

    /// Accepts connections, reports each request, and answers `200`.
    fn listen() -> (u16, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                }
                if tell.send(String::from_utf8_lossy(&head).to_lowercase()).is_err() {
                    return;
                }
                let _ =
                    connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n[\"a\"");
            }
        });
        (port, told)
    }

    fn transport(variable: &'static str, value: String) -> UreqTransport {
        UreqTransport::by(Proxies::new(move |name| (name == variable).then(|| value.clone().into())))
    }

    #[tokio::test]
    async fn this_machine_is_reached_without_a_proxy_and_others_with_theirs() {
        let (proxy, asked_proxy) = listen();
        let (api, asked_api) = listen();
        for variable in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
            let by_proxy = transport(variable, format!("http://127.0.0.1:{proxy}"));
            let answer = by_proxy.send(HttpRequest::get(format!("http://127.0.0.1:{api}/items"))).await;
            assert_eq!(answer.unwrap().status, 200, "{variable}");
            assert!(asked_api.recv().unwrap().starts_with("get /items http/1.1\r\n"));
            assert!(asked_proxy.try_recv().is_err(), "{variable}");
        }
        let by_proxy = transport("HTTPS_PROXY", format!("http://127.0.0.1:{proxy}"));
        // The proxy answers, but has no TLS behind it.
        by_proxy.send(HttpRequest::get("https://api.acme.example/items")).await.unwrap_err();
        assert!(asked_proxy.recv().unwrap().starts_with("connect api.acme.example:443 http/1.1\r\n"));
        let socks = transport("HTTP_PROXY", format!("socks5://127.0.0.1:{proxy}"));
        let error = socks.send(HttpRequest::get("http://api.acme.example/items")).await.unwrap_err();
        assert_eq!((error.kind(), error.context("variable")), (ErrorKind::Invalid, Some("HTTP_PROXY")));
        assert!(asked_proxy.try_recv().is_err() && !format!("{socks:?}").contains("socks5"));
    }

    #[tokio::test]
    async fn what_has_no_body_says_so_by_its_length() {
        let (api, asked) = listen();
        let transport = UreqTransport::by(Proxies::default());
        for (method, length) in [("POST", true), ("PUT", true), ("PATCH", true), ("GET", false), ("DELETE", false)] {
            transport.send(HttpRequest::new(method, format!("http://127.0.0.1:{api}/"))).await.unwrap();
            let head = asked.recv().unwrap();
            assert_eq!(head.contains("content-length: 0\r\n"), length, "{method}: {head}");
            assert!(!head.contains("transfer-encoding"), "{method}: {head}");
        }
    }

    #[tokio::test]
    async fn as_much_of_a_body_as_is_wanted() {
        let (api, _asked) = listen();
        let request = || HttpRequest::get(format!("http://127.0.0.1:{api}/"));
        let transport = UreqTransport::by(Proxies::default());
        assert_eq!(transport.send(request()).await.unwrap().body, r#"["a""#);
        assert_eq!(transport.send(request().body_limit(2)).await.unwrap().body, "[\"");
        assert_eq!(transport.send(request().body_limit(0)).await.unwrap().body, "");
    }
}
