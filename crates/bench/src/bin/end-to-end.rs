//! The whole way: a local HTTP server, a template, the engine, SQLite.
//!
//! `cargo run --release -p highwater-bench --bin end-to-end -- [--records 100000] [--page 1000] [--json]`
//! The server runs in a process of its own: processor time and memory are the host's alone.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "../measure.rs"]
#[allow(dead_code)] // the stores' benchmark uses the rest
mod measure;
#[path = "../records.rs"]
#[allow(dead_code)]
mod records;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use clap::Parser;
use highwater_core::Store;
use highwater_core::async_trait::async_trait;
use highwater_core::template::{HttpRequest, SyncContext, Template, TemplateInfo};
use highwater_engine::{ConnectionSettings, Engine, RunOptions};
use highwater_store_sqlite::SqliteStore;
use measure::{peak_memory_mb, process_time, reset_peak_memory};
use records::{Ids, record};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Processor seconds that a sync of 100,000 records in pages of 1000 may take, and its memory.
const TARGET_SECONDS: f64 = 1.5;
const TARGET_MEMORY_MB: f64 = 80.0;

/// Sync records from a local HTTP server into SQLite, and say what it took.
#[derive(Debug, Parser)]
struct Arguments {
    /// Records of about 1 KB that the server has.
    #[arg(long, default_value_t = 100_000)]
    records: u64,
    /// Records in a page.
    #[arg(long, default_value_t = 1000)]
    page: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Be the server.
    #[arg(long, hide = true)]
    serve: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| {
        runtime
            .block_on(async { if arguments.serve { serve(&arguments).await } else { measure_all(&arguments).await } })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("end-to-end: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure_all(arguments: &Arguments) -> Outcome<()> {
    let (mut server, base_url) = start_server(arguments)?;
    let folder = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(folder.path().join("bench.db"))?);
    let engine =
        Engine::builder(Arc::clone(&store) as Arc<dyn Store>).template(Arc::new(Items::new(arguments))).build()?;
    engine.connect(ConnectionSettings::new("bench", "bench").base_url(&base_url)).await?;
    let mut phases = Vec::new();
    for phase in ["first sync", "unchanged", "1 % changed"] {
        if phase == "1 % changed" {
            get(&format!("{base_url}/change"))?;
        }
        eprintln!("  {phase}");
        reset_peak_memory();
        let (began, cpu) = (Instant::now(), process_time());
        let report = engine.run_once("bench", "bench/items", RunOptions::default().full(true)).await?;
        let (wall, cpu) = (began.elapsed().as_secs_f64(), (process_time() - cpu).as_secs_f64());
        let progress = report.progress;
        if progress.fetched != arguments.records || progress.deleted > 0 {
            return Err(format!("{phase}: {progress:?}, expected {} records", arguments.records).into());
        }
        phases.push((phase, wall, cpu, peak_memory_mb().unwrap_or(0.0), progress.added + progress.updated));
    }
    server.kill()?;
    server.wait()?;
    store.close().await?;
    print(arguments, &phases)
}

fn print(arguments: &Arguments, phases: &[(&str, f64, f64, f64, u64)]) -> Outcome<()> {
    let count = arguments.records as f64;
    if arguments.json {
        let phases: Vec<_> = phases
            .iter()
            .map(|(phase, wall, cpu, memory, written)| {
                json!({ "phase": phase, "wall_s": wall, "cpu_s": cpu, "rss_mb": memory, "written": written,
                    "records_per_wall_s": count / wall, "records_per_cpu_s": count / cpu })
            })
            .collect();
        println!("{}", json!({ "records": arguments.records, "page": arguments.page, "phases": phases }));
        return Ok(());
    }
    println!("{} records of about 1 KB, pages of {}, HTTP → template → SQLite:", arguments.records, arguments.page);
    println!(
        "{:12} {:>8} {:>8} {:>12} {:>12} {:>8} {:>9}",
        "", "wall s", "cpu s", "rec/wall s", "rec/cpu s", "RSS MB", "written"
    );
    for (phase, wall, cpu, memory, written) in phases {
        println!("{phase:12} {wall:8.2} {cpu:8.2} {:12.0} {:12.0} {memory:8.1} {written:9}", count / wall, count / cpu);
    }
    let (cpu, memory) = phases.first().map_or((0.0, 0.0), |first| (first.2, first.3));
    let scaled = TARGET_SECONDS * count / 100_000.0;
    let verdict = |met: bool| if met { "ok" } else { "miss" };
    println!(
        "target: first sync <= {scaled:.2} s CPU ({}), RSS < {TARGET_MEMORY_MB} MB ({})",
        verdict(cpu <= scaled),
        verdict(memory < TARGET_MEMORY_MB)
    );
    Ok(())
}

/// Reads `/items` page by page, by the `Link` header.
#[derive(Debug)]
struct Items {
    info: TemplateInfo,
    page: u64,
}

impl Items {
    fn new(arguments: &Arguments) -> Self {
        let info = TemplateInfo::new("bench", "items", "http://127.0.0.1").model("Item", "an item");
        Items { info, page: arguments.page }
    }
}

#[async_trait]
impl Template for Items {
    fn info(&self) -> &TemplateInfo {
        &self.info
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> highwater_core::Result<()> {
        let mut next = Some(format!("/items?page=0&size={}", self.page));
        while let Some(url) = next {
            let page = context.send(HttpRequest::get(url)).await?;
            next = page.next_link();
            context.save("Item", page.elements()?).await?;
        }
        context.complete("Item").await
    }
}

#[derive(Clone)]
struct Server {
    records: u64,
    version: Arc<AtomicU64>,
    base: String,
}

#[derive(serde::Deserialize)]
struct Page {
    page: u64,
    size: u64,
}

fn start_server(arguments: &Arguments) -> Outcome<(Child, String)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--serve", "--records", &arguments.records.to_string()]).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().ok_or("the server has no output")?;
    let mut url = String::new();
    BufReader::new(stdout).read_line(&mut url)?;
    Ok((child, url.trim().to_owned()))
}

async fn serve(arguments: &Arguments) -> Outcome<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    println!("{base}");
    let server = Server { records: arguments.records, version: Arc::default(), base };
    let routes = axum::Router::new()
        .route("/items", axum::routing::get(items))
        .route("/change", axum::routing::get(change))
        .with_state(server);
    Ok(axum::serve(listener, routes).await?)
}

async fn items(State(server): State<Server>, Query(Page { page, size }): Query<Page>) -> Response {
    let version = server.version.load(Ordering::Relaxed);
    let (from, until) = (page * size, ((page + 1) * size).min(server.records));
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
    if until >= server.records {
        return (json, body).into_response();
    }
    let next = format!("<{}/items?page={}&size={size}>; rel=\"next\"", server.base, page + 1);
    (json, [("link", next)], body).into_response()
}

async fn change(State(server): State<Server>) {
    server.version.fetch_add(1, Ordering::Relaxed);
}

/// One request, so that the server knows of the next phase.
fn get(url: &str) -> Outcome<()> {
    use std::io::{Read, Write};
    let rest = url.strip_prefix("http://").ok_or("not http")?;
    let (host, path) = rest.split_once('/').ok_or("no path")?;
    let mut stream = std::net::TcpStream::connect(host)?;
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err("the server did not answer".into()) }
}
