//! A fake API on a real socket, for real transports.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use highwater_core::{Error, ErrorKind, Result};
use highwater_template::HttpRequest;
use highwater_template::http::Transport;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::fake::{FakeApi, FakeTransport};

/// The largest body of a request that is read, in bytes.
const MAX_BODY: usize = 16 << 20;

/// A fake API that listens on the loopback interface until it is dropped.
#[derive(Debug)]
pub struct ServedApi {
    base_url: String,
    task: JoinHandle<()>,
}

impl ServedApi {
    /// Listens on a free port, in a task on the current runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if no port can be listened on.
    pub async fn new<A: FakeApi>(api: FakeTransport<A>) -> Result<Self> {
        let unable =
            |source| Error::new(ErrorKind::Unavailable, "cannot listen on the loopback interface").because(source);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(unable)?;
        let base_url = format!("http://{}", listener.local_addr().map_err(unable)?);
        let shared = Arc::new((base_url.clone(), api));
        let app = axum::Router::new().fallback(answer::<A>).with_state(shared);
        let task = tokio::spawn(async move {
            // The owner aborts the task.
            let _ = axum::serve(listener, app).await;
        });
        Ok(ServedApi { base_url, task })
    }

    /// Returns the base URL, such as `http://127.0.0.1:40123`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }
}

impl Drop for ServedApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer<A: FakeApi>(State(shared): State<Arc<(String, FakeTransport<A>)>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut asked = HttpRequest::new(parts.method.as_str(), format!("{}{path}", shared.0));
    asked.headers = parts
        .headers
        .iter()
        .map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
        .collect();
    asked.body = to_bytes(body, MAX_BODY).await.ok();
    let Ok(response) = shared.1.send(asked).await else {
        // A body that breaks off: the client sees a closed connection.
        let broken = Body::from_stream(axum::body::Body::empty().into_data_stream());
        return Response::builder().header("content-length", "1000").body(broken).unwrap_or_default();
    };
    let mut builder = Response::builder().status(response.status);
    for (name, value) in &response.headers {
        builder = builder.header(name, value);
    }
    builder.body(Body::from(response.body)).unwrap_or_default()
}
