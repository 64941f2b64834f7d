//! What carries requests over the network.

use std::fmt;

use async_trait::async_trait;

use super::{HttpRequest, HttpResponse};
use highwater_core::Result;

/// Sends single requests over the network. Credentials, retries and rate limits are the engine's work.
///
/// The engine comes with one over `ureq`; tests put their own in its place.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends a request once and returns the response, whatever its status.
    ///
    /// The request's `url` is a whole URL and its `query` is empty. Redirects are not followed.
    ///
    /// The body is returned as it came, with its `Content-Encoding` header: the engine decodes it and limits the size of
    /// the result. A transport that decodes bodies itself has to remove the header, must not decode where there is no
    /// body (204, 304, `HEAD`), and has to limit the result. At most [`HttpRequest::body_limit`] bytes of the body are
    /// wanted; without a limit, the engine refuses more than 64 MiB.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) without a response: the host cannot be resolved or
    ///   connected to, or closes the connection before it answers. It counts as being offline.
    /// * [`ErrorKind::Remote`](crate::ErrorKind::Remote) for a response that cannot be read: not HTTP, a header that is
    ///   too long, a body that breaks off.
    /// * [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a request that cannot be sent.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse>;
}
