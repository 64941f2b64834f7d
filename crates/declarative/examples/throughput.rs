//! How fast the interpreter reads, and what it costs: `cargo run --release -p highwater-declarative --example throughput`.
//!
//! Reads 100,000 records of about 1 KB in pages of 100, once from an answer in memory and once from a server on this
//! machine (in a process of its own, so that its work is not counted), and loads a manifest of 5,000 lines.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use highwater_core::{Error, ErrorKind, Result, SystemEnvironment};
use highwater_declarative::{Exchange, Files, Manifest, Page, Request, Sink, Source, Value, json};
use highwater_template::HttpResponse;
use highwater_template::async_trait::async_trait;

const PAGES: usize = 1000;
const PER_PAGE: usize = 100;

const MANIFEST: &str = r#"
streams:
  - name: items
    primary_key: id
    incremental_sync:
      type: DatetimeBasedCursor
      cursor_field: updated_at
      datetime_format: "%Y-%m-%dT%H:%M:%SZ"
      start_datetime: "2026-01-01T00:00:00Z"
    retriever:
      requester:
        url_base: "{{ config['url'] }}"
        path: items
        authenticator: {type: BearerAuthenticator, api_token: "{{ config['token'] }}"}
      record_selector: {extractor: {field_path: [data, items]}}
      paginator:
        type: DefaultPaginator
        pagination_strategy: {type: PageIncrement, page_size: 100, start_from_page: 1}
        page_token_option: {type: RequestOption, inject_into: request_parameter, field_name: page}
"#;

fn page(number: usize) -> String {
    let filler = "x".repeat(840);
    let record = |at: usize| {
        let id = number * PER_PAGE + at;
        format!(
            r#"{{"id":{id},"name":"item {id}","updated_at":"2026-01-02T03:04:05Z","tags":["a","b"],"owner":{{"id":7,"login":"someone"}},"body":"{filler}"}}"#
        )
    };
    let records: Vec<String> = (0..if number < PAGES { PER_PAGE } else { 0 }).map(record).collect();
    format!(r#"{{"data":{{"items":[{}]}}}}"#, records.join(","))
}

/// One page in memory for everybody: what is measured is the interpreter.
struct InProcess {
    full: bytes::Bytes,
    asked: Mutex<usize>,
}

#[async_trait]
impl Exchange for InProcess {
    async fn send(&self, _request: Request) -> Result<HttpResponse> {
        let mut asked = self.asked.lock().unwrap();
        *asked += 1;
        // A copy, as a server's answer would be; one byte differs, as pages do.
        let mut body = self.full.to_vec();
        let length = body.len();
        body[length - 2000] = b'a' + u8::try_from(*asked % 26).unwrap();
        let body = if *asked > PAGES { br#"{"data":{"items":[]}}"#.to_vec() } else { body };
        Ok(HttpResponse::new(200, Vec::new(), body))
    }

    async fn sleep(&self, _duration: Duration) {}
}

/// A connection that is kept open.
struct Local {
    stream: Mutex<BufReader<TcpStream>>,
}

#[async_trait]
impl Exchange for Local {
    async fn send(&self, request: Request) -> Result<HttpResponse> {
        let failed = |source: std::io::Error| Error::new(ErrorKind::Unavailable, "the server is gone").because(source);
        let mut stream = self.stream.lock().unwrap();
        let query: Vec<String> = request.http.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let asked = format!("GET /items?{} HTTP/1.1\r\nhost: x\r\n\r\n", query.join("&"));
        stream.get_mut().write_all(asked.as_bytes()).map_err(failed)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).map_err(failed)?;
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).map_err(failed)?;
        Ok(HttpResponse::new(200, Vec::new(), body))
    }

    async fn sleep(&self, _duration: Duration) {}
}

fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap() == 0 {
            return;
        }
        let mut line = first.clone();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        let number =
            first.split("page=").nth(1).and_then(|rest| rest.split(' ').next()).map_or(1, |n| n.parse().unwrap());
        let body = page(number - 1);
        // In one piece: what is written bit by bit waits for the other side's acknowledgements.
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        reader.get_mut().write_all(answer.as_bytes()).unwrap();
    }
}

#[derive(Default)]
struct Count {
    records: usize,
    bytes: usize,
}

#[async_trait]
impl Sink for Count {
    async fn page(&mut self, page: Page) -> Result<()> {
        self.records += page.records.len();
        self.bytes += page.records.iter().map(bytes::Bytes::len).sum::<usize>();
        Ok(())
    }
}

/// CPU seconds of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

async fn measure(name: &str, exchange: &dyn Exchange) {
    let manifest = Manifest::parse(MANIFEST, &Files::new()).unwrap();
    let config = json!({"url": "https://x.example", "token": "t"});
    let source = Source::new(&manifest, config, Arc::new(SystemEnvironment)).unwrap();
    let mut sink = Count::default();
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    source.read("items", &Value::Null, exchange, &mut sink).await.unwrap();
    let (cpu, wall) = (cpu_seconds() - cpu, wall.elapsed().as_secs_f64());
    println!(
        "{name}: {} records, {:.0} MB, {:.0} records per CPU second, {:.0} per second, peak RSS {:.0} MB",
        sink.records,
        sink.bytes as f64 / 1e6,
        sink.records as f64 / cpu.max(0.01),
        sink.records as f64 / wall,
        peak_rss_mb(),
    );
}

fn long_manifest() -> String {
    let mut text = String::from(
        "definitions:\n  requester:\n    url_base: \"https://x.example/{{ config['site'] }}\"\n    authenticator: {type: BearerAuthenticator, api_token: \"{{ config['token'] }}\"}\nstreams:\n",
    );
    let mut number = 0;
    while text.lines().count() < 5000 {
        number += 1;
        text.push_str(&format!(
            "  - type: DeclarativeStream\n    name: stream_{number}\n    primary_key: id\n    $parameters:\n      path: /things/{number}\n    retriever:\n      type: SimpleRetriever\n      requester:\n        $ref: \"#/definitions/requester\"\n        request_parameters:\n          since: \"{{{{ config['start_date'] }}}}\"\n      record_selector:\n        extractor:\n          field_path:\n            - data\n      paginator:\n        type: DefaultPaginator\n        pagination_strategy:\n          type: CursorPagination\n          cursor_value: \"{{{{ response.next or '{number}' }}}}\"\n        page_token_option:\n          type: RequestPath\n    schema_loader:\n      type: InlineSchemaLoader\n      schema:\n        type: object\n        properties:\n          id:\n            type: integer\n"
        ));
    }
    text
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return serve();
    }
    measure("in process", &InProcess { full: page(0).into(), asked: Mutex::new(0) }).await;
    let program = std::env::current_exe().unwrap();
    let mut server = Command::new(program).arg("serve").stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let stream = TcpStream::connect(address.trim()).unwrap();
    measure("from a local server", &Local { stream: Mutex::new(BufReader::new(stream)) }).await;
    let _ = server.wait();
    let text = long_manifest();
    let begun = Instant::now();
    let manifest = Manifest::parse(&text, &Files::new()).unwrap();
    println!(
        "a manifest of {} lines, {} streams: read and checked in {:.1} ms",
        text.lines().count(),
        manifest.stream_names().len(),
        begun.elapsed().as_secs_f64() * 1000.0
    );
}
