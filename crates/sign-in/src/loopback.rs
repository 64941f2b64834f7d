//! A server on the loopback interface that accepts one redirect (RFC 8252 section 7.3).

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use highwater_core::{Error, ErrorKind, Result};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::mutants::mutant;
use crate::page::Page;
use crate::redirect::{Received, Redirect, RedirectStrategy};
use crate::request;

/// The number of connections served at a time, the newest ones. Browsers open some in advance and send nothing on them.
const CONNECTIONS: usize = 32;

/// The name of this machine in the redirect URI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoopbackHost {
    /// `127.0.0.1`: what RFC 8252 asks providers to accept with any port.
    #[default]
    V4,
    /// `[::1]`.
    V6,
    /// `localhost`, for providers that accept no addresses. Listens on both addresses, if the machine has them.
    Localhost,
}

/// Where a [`LoopbackRedirect`] listens.
#[derive(Clone, Debug)]
pub struct LoopbackBuilder {
    application: String,
    host: LoopbackHost,
    ports: Vec<u16>,
    path: String,
}

impl LoopbackBuilder {
    /// Sets the machine's name in the redirect URI. Defaults to `127.0.0.1`.
    #[must_use]
    pub fn host(mut self, host: LoopbackHost) -> Self {
        self.host = host;
        self
    }

    /// Sets the ports to try in turn, for providers that accept only registered redirect URIs. Defaults to any free port (0).
    #[must_use]
    pub fn ports(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.ports = ports.into_iter().collect();
        self
    }

    /// Sets the path of the redirect URI, with its slash. Defaults to `/callback`.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Starts to listen.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] if every port is in use, [`ErrorKind::Invalid`] for a path that does not begin with a slash or
    /// contains a question mark, otherwise the kind of the I/O error.
    pub async fn bind(self) -> Result<LoopbackRedirect> {
        if !self.path.starts_with('/') || self.path.contains(['?', '#', ' ', '\r', '\n']) {
            let message =
                "not the path of a redirect URI: begin it with a slash, and leave out queries, fragments and spaces";
            return Err(Error::new(ErrorKind::Invalid, message).with("path", &self.path));
        }
        let ports = if self.ports.is_empty() { vec![0] } else { self.ports };
        let mut last = None;
        for port in &ports {
            match listen(self.host, *port).await {
                Ok((listeners, port)) => {
                    let host = match self.host {
                        LoopbackHost::V4 => "127.0.0.1",
                        LoopbackHost::V6 => "[::1]",
                        LoopbackHost::Localhost => "localhost",
                    };
                    let authority = format!("{host}:{port}");
                    let redirect_uri = format!("http://{authority}{}", self.path);
                    let expected = Expected { authority, path: self.path, application: self.application };
                    return Ok(LoopbackRedirect { listeners, redirect_uri, expected });
                }
                Err(error) => last = Some(error),
            }
        }
        let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        Err(match last {
            Some(source) if source.kind() == io::ErrorKind::AddrInUse => Error::new(
                ErrorKind::Busy,
                "another program uses the port for the redirect: close it, or register and configure more ports",
            )
            .because(source),
            Some(source) => Error::new(ErrorKind::of_io(&source), "cannot listen for the redirect").because(source),
            None => Error::new(ErrorKind::Internal, "no port was tried"),
        }
        .with("ports", ports))
    }
}

async fn listen(host: LoopbackHost, port: u16) -> io::Result<(Vec<TcpListener>, u16)> {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let v6 = |port| SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let first = TcpListener::bind(if host == LoopbackHost::V6 { v6(port) } else { v4 }).await?;
    let port = first.local_addr()?.port();
    let mut listeners = vec![first];
    if host == LoopbackHost::Localhost {
        match TcpListener::bind(v6(port)).await {
            Ok(second) => listeners.push(second),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            // The machine has no IPv6.
            Err(_) => {}
        }
    }
    Ok((listeners, port))
}

/// Receives the redirect on the loopback interface, which no other machine can reach.
///
/// It waits for one request at its path with the sign-in's state, answers it with a plain page that says that the window
/// can be closed, and then stops listening. All other requests get an error page and change nothing: other paths and
/// methods, a `Host` that is not this address (DNS rebinding), another state.
#[derive(Debug)]
pub struct LoopbackRedirect {
    listeners: Vec<TcpListener>,
    redirect_uri: String,
    expected: Expected,
}

#[derive(Clone, Debug)]
struct Expected {
    authority: String,
    path: String,
    application: String,
}

impl LoopbackRedirect {
    /// Names the application on the page that the user sees at the end.
    pub fn builder(application: impl Into<String>) -> LoopbackBuilder {
        LoopbackBuilder {
            application: application.into(),
            host: LoopbackHost::default(),
            ports: Vec::new(),
            path: "/callback".to_owned(),
        }
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let [first, rest @ ..] = self.listeners.as_slice() else { return std::future::pending().await };
        match rest {
            [second, ..] => tokio::select! {
                accepted = first.accept() => accepted,
                accepted = second.accept() => accepted,
            },
            [] => first.accept().await,
        }
        .map(|(stream, _)| stream)
    }
}

#[async_trait]
impl RedirectStrategy for LoopbackRedirect {
    fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    async fn receive(&mut self, state: &str) -> Result<Redirect> {
        if self.listeners.is_empty() {
            let message = "this listener has already received its redirect: bind a new one for another sign-in";
            return Err(Error::new(ErrorKind::Cancelled, message));
        }
        let expected = Arc::new((self.expected.clone(), state.to_owned()));
        let (mut serving, mut begun) = (JoinSet::new(), VecDeque::new());
        let outcome = loop {
            tokio::select! {
                accepted = self.accept() => if let Ok(stream) = accepted {
                    let expected = Arc::clone(&expected);
                    begun.push_back(serving.spawn(async move { serve(stream, &expected.0, &expected.1).await }));
                    // The oldest is closed, so that held connections cannot block the redirect.
                    while begun.len() > CONNECTIONS {
                        begun.pop_front().as_ref().map(AbortHandle::abort);
                    }
                } else {
                    // A connection that was closed before it was accepted, or no file descriptor left: others may still come.
                    tokio::task::yield_now().await;
                },
                Some(served) = serving.join_next() => if let Ok(Some(outcome)) = served {
                    break outcome;
                },
            }
        };
        if !mutant!("second-request") {
            self.listeners.clear();
        }
        outcome
    }
}

/// Answers one connection; returns the redirect, if that was it.
async fn serve(mut stream: TcpStream, expected: &Expected, state: &str) -> Option<Result<Redirect>> {
    let request = request::read(&mut stream).await?;
    let is_here = mutant!("any-host") || request.host.as_deref() == Some(&*expected.authority);
    let (page, outcome) = if !is_here || request.path != expected.path {
        (Page::NotFound, None)
    } else if request.method != "GET" && !mutant!("any-method") {
        (Page::WrongMethod, None)
    } else {
        match Received::of_query(&request.query, state) {
            Received::Ours(Ok(redirect)) => (Page::Done, Some(Ok(redirect))),
            Received::Ours(Err(error)) => (Page::Refused, Some(Err(error))),
            Received::Stranger if mutant!("success-before-state") => (Page::Done, None),
            Received::Stranger => (Page::Stranger, None),
            Received::Malformed => (Page::Malformed, None),
        }
    };
    let response = page.response(&expected.application);
    // The redirect has come, whether or not its page can be shown.
    if stream.write_all(response.as_bytes()).await.is_ok() {
        let _ = stream.shutdown().await;
    }
    outcome
}
