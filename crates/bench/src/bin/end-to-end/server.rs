//! The API: pages of records by the `Link` header, in a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};

use crate::records::{Ids, record};
use crate::{Arguments, Outcome, Subject, own_command, runtime};

/// The running server; it ends with this.
pub(crate) struct Server {
    process: Child,
    url: String,
}

impl Server {
    pub(crate) fn start(arguments: &Arguments) -> Outcome<Self> {
        let mut process = own_command(arguments, Subject::Serve)?.stdout(Stdio::piped()).spawn()?;
        let stdout = process.stdout.take();
        let mut server = Server { process, url: String::new() };
        BufReader::new(stdout.ok_or("the server has no output")?).read_line(&mut server.url)?;
        server.url.truncate(server.url.trim_end().len());
        Ok(server)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended by itself needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The path of the first page.
pub(crate) fn first_page(arguments: &Arguments) -> String {
    format!("/items?page=0&size={}", arguments.page)
}

/// Has the server at `url` change one record in a hundred.
pub(crate) fn change_records(url: &str) -> Outcome<()> {
    let host = url.strip_prefix("http://").ok_or("not http")?;
    let mut stream = TcpStream::connect(host)?;
    write!(stream, "GET /change HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err("the server did not answer".into()) }
}

#[derive(Clone)]
struct Api {
    records: u64,
    version: Arc<AtomicU64>,
    base: String,
}

#[derive(serde::Deserialize)]
struct Page {
    page: u64,
    size: u64,
}

pub(crate) fn serve(arguments: &Arguments) -> Outcome<()> {
    runtime()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        println!("{base}");
        let api = Api { records: arguments.records, version: Arc::default(), base };
        let routes = axum::Router::new()
            .route("/items", axum::routing::get(items))
            .route("/change", axum::routing::get(change))
            .with_state(api);
        Ok(axum::serve(listener, routes).await?)
    })
}

async fn items(State(api): State<Api>, Query(Page { page, size }): Query<Page>) -> Response {
    let version = api.version.load(Ordering::Relaxed);
    let (from, until) = (page * size, ((page + 1) * size).min(api.records));
    let mut body = Vec::with_capacity(1_200_000);
    body.push(b'[');
    for number in from..until {
        if number > from {
            body.push(b',');
        }
        let version = if number % 100 == 0 { version } else { 0 };
        body.extend_from_slice(&record(Ids::Time, number, version));
    }
    body.push(b']');
    let json = [("content-type", "application/json".to_owned())];
    if until >= api.records {
        return (json, body).into_response();
    }
    let next = format!("<{}/items?page={}&size={size}>; rel=\"next\"", api.base, page + 1);
    (json, [("link", next)], body).into_response()
}

async fn change(State(api): State<Api>) {
    api.version.fetch_add(1, Ordering::Relaxed);
}
