//! A server on a real socket, and a client that can also send what no library would.
#![allow(dead_code)] // each test file uses its own part

mod described;
pub(crate) mod keychain;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::{MemoryStore, Store, StreamKey, WriteBatch};
use highwater_engine::{ConnectionSettings, Engine};
use highwater_server::{Scope, Server, ServerBuilder};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A running server, which ends with it.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) engine: Engine,
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of an answer that must be a well-formed error.
    pub(crate) fn code(&self) -> String {
        let json = self.json();
        assert!(self.status >= 400, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        assert_eq!(json.as_object().unwrap().len(), 1, "{json}");
        let error = &json["error"];
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 15), "{json}");
        error["code"].as_str().unwrap_or_else(|| panic!("{json}")).to_owned()
    }

    /// The first parameter at fault, and what is wrong with it.
    pub(crate) fn fault(&self) -> (String, String) {
        let error = &self.json()["error"]["errors"][0];
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned();
        (text(&error["path"][0]), text(&error["code"]))
    }
}

/// A store with the connection `main` of the provider `crm`.
pub(crate) async fn engine() -> Engine {
    let provider = highwater_template::Provider::new("crm", "https://crm.example");
    let engine = Engine::builder(Arc::new(MemoryStore::new().unwrap())).provider(provider).build().unwrap();
    engine.connect(ConnectionSettings::new("main", "crm")).await.unwrap();
    engine
}

/// Saves records of a model of `main`.
pub(crate) async fn save(engine: &Engine, model: &str, records: impl IntoIterator<Item = String>) {
    let mut batch = WriteBatch::new();
    let stream = batch.on(&StreamKey::new("main", model));
    for record in records {
        stream.upsert(record);
    }
    engine.store().commit(batch).await.unwrap();
}

pub(crate) async fn start() -> Running {
    start_with(engine().await, |server| server).await
}

pub(crate) async fn start_with(engine: Engine, change: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Running {
    let server = change(Server::builder(engine.clone()).temporary_key(Scope::Admin)).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let key = server.temporary_key().unwrap().expose().to_owned();
    let running = server.clone();
    let task = tokio::spawn(async move { running.serve(listener, std::future::pending()).await.unwrap() });
    Running { server, engine, address, key, task }
}

/// A server whose router a host has mounted under `path`.
pub(crate) async fn start_mounted(engine: Engine, path: &str) -> Running {
    let server = Server::builder(engine.clone()).temporary_key(Scope::Admin).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let key = server.temporary_key().unwrap().expose().to_owned();
    let app = axum::Router::new().nest(path, server.router());
    let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Running { server, engine, address, key, task }
}

impl Running {
    /// Sends a request with the admin's key and the headers of the connection `main`.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.call_with(method, path, body, &[]).await
    }

    /// The same with further headers; one of the same name replaces ours, and an empty one removes it.
    pub(crate) async fn call_with(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
        further: &[(&str, &str)],
    ) -> Answer {
        let mut headers = vec![
            ("Host", self.address.to_string()),
            ("Authorization", format!("Bearer {}", self.key)),
            ("Connection-Id", "main".to_owned()),
            ("Provider-Config-Key", "crm".to_owned()),
        ];
        if body.is_some() {
            headers.push(("Content-Type", "application/json".to_owned()));
        }
        headers.retain(|(name, _)| !further.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)));
        headers.extend(further.iter().filter(|(_, value)| !value.is_empty()).map(|(n, v)| (*n, (*v).to_owned())));
        let body = body.unwrap_or_default();
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in &headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        let answer = self.send(format!("{head}\r\n{body}").as_bytes()).await;
        described::check(method, path, &answer);
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    /// Sends bytes as they are, and reads one answer and the end of the connection.
    pub(crate) async fn send(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        parse(&read_to_end(&mut stream).await)
    }
}

/// Reads until the server closes the connection. What comes before a reset counts.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            read.extend_from_slice(&buffer[..count]);
        }
    };
    tokio::time::timeout(Duration::from_secs(120), reading).await.expect("the server closes the connection");
    read
}

pub(crate) fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let rest = &bytes[end + 4..];
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    Answer { status, headers, body: if chunked { unchunked(rest) } else { rest.to_vec() } }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n").expect("a whole chunk");
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}
