//! Running the router on a socket: slow clients, and a clean end.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::http::request::Parts;
use highwater_core::Result;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};

use crate::server::Server;

/// How long accepting rests after the system refused it, such as for want of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Beyond the limits of headers and address, so that a request that is a little too large gets an answer in JSON.
const HEAD_ROOM: usize = 64 << 10;

impl Server {
    /// Answers requests on `listener` until `until` ends, then lets open requests end for at most
    /// [`Limits::stop_time`](crate::Limits::stop_time).
    ///
    /// Connections are served on the current runtime, and end when the returned future is dropped. A client that sends its headers
    /// or its body too slowly, or does not read its answer, is disconnected: see [`Limits`](crate::Limits).
    ///
    /// # Errors
    ///
    /// None at present: a connection that fails concerns nobody else.
    pub async fn serve(&self, listener: TcpListener, until: impl Future<Output = ()>) -> Result<()> {
        let router = self.router();
        let serve = |stream| {
            let stream = Patient::new(stream, self.state.limits.stall_time);
            self.clone().connection(stream, router.clone())
        };
        self.accept(listener, until, serve).await
    }

    /// Accepts connections until `until` ends, and lets those that are open end.
    pub(crate) async fn accept<C>(
        &self,
        listener: TcpListener,
        until: impl Future<Output = ()>,
        serve: impl Fn(TcpStream) -> C,
    ) -> Result<()>
    where
        C: Future<Output = ()> + Send + 'static,
    {
        let mut until = pin!(until);
        let mut connections = JoinSet::new();
        let most = self.state.limits.connections;
        loop {
            tokio::select! {
                () = &mut until => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept(), if connections.len() < most => match accepted {
                    Ok((stream, _)) => {
                        // Small answers leave at once.
                        let _ = stream.set_nodelay(true);
                        connections.spawn(serve(stream));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        self.stop();
        let ended = async { while connections.join_next().await.is_some() {} };
        // What is still open afterwards ends with the set.
        let _ = tokio::time::timeout(self.state.limits.stop_time, ended).await;
        Ok(())
    }

    /// Answers the requests of one connection.
    pub(crate) async fn connection<S>(self, stream: S, router: Router)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.state.limits;
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_time)
            .max_buf_size(limits.url_bytes + limits.header_bytes + HEAD_ROOM)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        let mut connection = pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = self.state.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// Returns how the client of a request reached this server: `https`, or `http`, also where a proxy in front ends TLS.
pub(crate) fn scheme(parts: &Parts) -> &'static str {
    #[cfg(feature = "tls")]
    if parts.extensions.get::<crate::tls::Encrypted>().is_some() {
        return "https";
    }
    let _ = parts;
    "http"
}

/// A connection that fails when its client does not read for too long.
pub(crate) struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// Runs while the client does not read.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    pub(crate) fn new(stream: TcpStream, patience: Duration) -> Self {
        Patient { stream, patience, waiting: None }
    }

    /// Passes on the outcome of a write, unless it has been pending for too long.
    fn watched<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watched(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watched(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
