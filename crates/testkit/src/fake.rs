//! An API as a Rust value.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use highwater_core::Result;
use highwater_core::locks::lock;
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse};
use serde_json::Value;
use url::Url;

/// A request, as a fake API gets it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FakeRequest {
    /// The method, such as `GET`.
    pub method: String,
    /// The path, decoded.
    pub path: String,
    /// The query's parameters, decoded, in order.
    pub query: Vec<(String, String)>,
    /// Headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Bytes,
}

impl FakeRequest {
    /// Returns the first value of a query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns a query parameter as a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.query(name)?.parse().ok()
    }

    /// Returns a header. Its name has to be in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Returns the body as JSON; `null` where it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Returns the fields of a body that is a form.
    pub fn form(&self) -> BTreeMap<String, String> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// Returns the segments of the path that are not empty.
    pub fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|segment| !segment.is_empty()).collect()
    }

    pub(crate) fn of(request: &HttpRequest) -> Self {
        let url = Url::parse(&request.url).expect("a transport gets whole URLs");
        let decoded = url::form_urlencoded::parse(format!("p={}", url.path().replace('+', "%2B")).as_bytes())
            .next()
            .map_or_else(String::new, |(_, value)| value.into_owned());
        FakeRequest {
            method: request.method.clone(),
            path: decoded,
            query: url.query_pairs().into_owned().collect(),
            headers: request.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect(),
            body: request.body.clone().unwrap_or_default(),
        }
    }
}

/// A fake API. A closure from [`FakeRequest`] to [`HttpResponse`] is one, and so is any type with state.
pub trait FakeApi: Send + 'static {
    /// Returns the response to a request.
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse;
}

impl<F: FnMut(&FakeRequest) -> HttpResponse + Send + 'static> FakeApi for F {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        self(request)
    }
}

/// The transport to a fake API. Records the requests. Clones share the API and the record.
pub struct FakeTransport<A> {
    api: Arc<Mutex<A>>,
    seen: Arc<Mutex<Vec<FakeRequest>>>,
}

impl<A> Clone for FakeTransport<A> {
    fn clone(&self) -> Self {
        FakeTransport { api: Arc::clone(&self.api), seen: Arc::clone(&self.seen) }
    }
}

impl<A: FakeApi> FakeTransport<A> {
    /// Makes the transport to `api`.
    pub fn new(api: A) -> Self {
        FakeTransport { api: Arc::new(Mutex::new(api)), seen: Arc::default() }
    }

    /// Calls `look` with the API, to read or change its state.
    pub fn with<T>(&self, look: impl FnOnce(&mut A) -> T) -> T {
        look(&mut lock(&self.api))
    }

    /// Returns every request so far, in order.
    pub fn seen(&self) -> Vec<FakeRequest> {
        lock(&self.seen).clone()
    }

    /// Returns the requests since the last call, and forgets them.
    pub fn take_seen(&self) -> Vec<FakeRequest> {
        std::mem::take(&mut lock(&self.seen))
    }
}

impl<A> fmt::Debug for FakeTransport<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeTransport").finish_non_exhaustive()
    }
}

/// The status by which a fake gives no response at all.
pub(crate) const NO_ANSWER: u16 = 0;

#[async_trait]
impl<A: FakeApi> Transport for FakeTransport<A> {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        let request = FakeRequest::of(&request);
        let response = self.with(|api| api.answer(&request));
        lock(&self.seen).push(request);
        if response.status == NO_ANSWER {
            return Err(highwater_core::Error::new(
                highwater_core::ErrorKind::Unavailable,
                "the API's answer broke off",
            ));
        }
        Ok(response)
    }
}

/// Makes a response with a JSON body.
pub fn json(status: u16, body: impl Into<String>) -> HttpResponse {
    HttpResponse::new(status, vec![("content-type".to_owned(), "application/json".to_owned())], body.into())
}

/// Adds a header to a response.
pub fn with_header(mut response: HttpResponse, name: &str, value: impl Into<String>) -> HttpResponse {
    response.headers.push((name.to_owned(), value.into()));
    response
}
