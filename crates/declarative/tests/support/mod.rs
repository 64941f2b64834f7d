//! A server made of a list: each request is looked up and answered.

#![allow(dead_code, unreachable_pub)]

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater_core::{Environment, Error, ErrorKind, Result, Timestamp};
use highwater_declarative::{Exchange, Files, Manifest, Page, Request, Sink, Source, Summary, Value};
use highwater_template::HttpResponse;
use highwater_template::async_trait::async_trait;

/// 2026-01-31T12:00:00Z
pub const NOW_MS: u64 = 1_769_860_800_000;

#[derive(Debug)]
pub struct Clock;

impl Environment for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(NOW_MS)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// Answers in order; remembers what was asked.
#[derive(Default)]
pub struct Server {
    answers: Mutex<VecDeque<HttpResponse>>,
    forever: Option<HttpResponse>,
    pub asked: Mutex<Vec<String>>,
    pub slept: Mutex<Vec<Duration>>,
}

impl Server {
    pub fn new(answers: impl IntoIterator<Item = &'static str>) -> Self {
        let answers = answers.into_iter().map(|body| HttpResponse::new(200, Vec::new(), body)).collect();
        Server { answers: Mutex::new(answers), ..Server::default() }
    }

    pub fn of(answers: Vec<HttpResponse>) -> Self {
        Server { answers: Mutex::new(answers.into()), ..Server::default() }
    }

    /// The same answer to everything.
    pub fn always(body: &'static str) -> Self {
        Server { forever: Some(HttpResponse::new(200, Vec::new(), body)), ..Server::default() }
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Exchange for Server {
    async fn send(&self, request: Request) -> Result<HttpResponse> {
        let http = &request.http;
        let query: Vec<String> = http.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let auth = http.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        let auth: Vec<String> = auth.map(|(name, value)| format!("{name}:{value}")).collect();
        let body = http.body.as_ref().map(|body| String::from_utf8_lossy(body).into_owned());
        let mut line = format!("{} {}", http.method, http.url);
        if !query.is_empty() {
            line.push_str(&format!("?{}", query.join("&")));
        }
        for part in auth.into_iter().chain(body) {
            line.push_str(&format!(" {part}"));
        }
        self.asked.lock().unwrap().push(line);
        if let Some(answer) = &self.forever {
            return Ok(answer.clone());
        }
        self.answers.lock().unwrap().pop_front().ok_or_else(|| Error::new(ErrorKind::Unavailable, "no more answers"))
    }

    async fn sleep(&self, duration: Duration) {
        self.slept.lock().unwrap().push(duration);
    }
}

#[derive(Default)]
pub struct Collected {
    pub records: Vec<Value>,
    pub states: Vec<Value>,
    /// What was no record.
    pub aside: Vec<String>,
    /// Fails after so many pages.
    pub fail_after: Option<usize>,
}

#[async_trait]
impl Sink for Collected {
    async fn page(&mut self, page: Page) -> Result<()> {
        if self.fail_after == Some(self.states.len()) {
            return Err(Error::new(ErrorKind::Full, "no space"));
        }
        self.records.extend(page.records.iter().map(|record| serde_json::from_slice::<Value>(record).unwrap()));
        self.states.push(page.state);
        Ok(())
    }

    async fn set_aside(&mut self, payload: bytes::Bytes, _reason: &Error) -> Result<()> {
        self.aside.push(String::from_utf8_lossy(&payload).into_owned());
        Ok(())
    }
}

pub fn source(manifest: &str, config: Value) -> Result<Source> {
    Source::new(&Manifest::parse(manifest, &Files::new())?, config, Arc::new(Clock))
}

pub async fn read(manifest: &str, config: Value, state: Value, server: &Server) -> (Result<Summary>, Collected) {
    let mut sink = Collected::default();
    let summary = match source(manifest, config) {
        Ok(source) => source.read("s", &state, server, &mut sink).await,
        Err(error) => Err(error),
    };
    (summary, sink)
}

/// A manifest of one stream `s`, with more members for the stream, the retriever and the requester.
pub fn manifest(stream: &str, retriever: &str, requester: &str) -> String {
    let indent = |text: &str, depth: usize| {
        text.lines().map(|line| format!("{}{line}\n", " ".repeat(depth))).collect::<String>()
    };
    format!(
        "streams:\n  - name: s\n    primary_key: id\n{}    retriever:\n{}      requester:\n        url_base: https://x.example/v1\n{}{}",
        indent(stream, 4),
        indent(retriever, 6),
        if requester.lines().any(|line| line.starts_with("path:")) { "" } else { "        path: /items\n" },
        indent(requester, 8),
    ) + if retriever.contains("record_selector") {
        ""
    } else {
        "      record_selector: {extractor: {field_path: [items]}}\n"
    }
}

/// The real manifests and the recorded exchanges of their APIs, where they are at hand.
pub fn shared() -> Option<PathBuf> {
    let named = std::env::var_os("HIGHWATER_SHARED").map(PathBuf::from);
    let beside = || {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        here.ancestors().map(|folder| folder.join("shared")).find(|folder| folder.is_dir())
    };
    named.or_else(beside).map(|folder| folder.join("reference/manifests")).filter(|folder| folder.is_dir())
}
