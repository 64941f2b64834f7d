//! What the other processes do.

use std::io::{BufRead, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use axum::response::IntoResponse;
use highwater_core::{Cursor, Store, StoreExt, StreamKey, WriteBatch};
use highwater_engine::{ConnectionSettings, Engine};
use highwater_server::{Limits, Scope, Server};
use highwater_store_sqlite::SqliteStore;
use highwater_template::Provider;
use rustix::time::{ClockId, clock_gettime};

use crate::records::{Ids, record};
use crate::{Arguments, Outcome, Role};

/// Records of a batch and of a page.
pub(crate) const PAGE: usize = 1000;
pub(crate) const CONNECTION: &str = "bench";
pub(crate) const MODEL: &str = "Issue";
/// The model that event streams follow.
pub(crate) const TICK: &str = "Tick";
/// How often the store is drained: once to warm up, then measured.
pub(crate) const DRAINS: u64 = 5;

pub(crate) fn run(role: Role, arguments: &Arguments) -> Outcome<()> {
    let file = arguments.file.as_deref().ok_or("no file")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match role {
            Role::Load => load(file, arguments.records).await,
            Role::Server => serve(file).await,
            Role::Bare => bare(file).await,
            Role::Drain => drain(file, &arguments.address).await,
        }
    })
}

/// Nanoseconds by a clock that all processes share.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

fn processor_time() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

async fn load(file: &Path, records: u64) -> Outcome<()> {
    let store = SqliteStore::open(file)?;
    let stream = StreamKey::new(CONNECTION, MODEL);
    for first in (0..records).step_by(PAGE) {
        let mut batch = WriteBatch::new();
        for number in first..records.min(first + PAGE as u64) {
            batch.on(&stream).upsert(record(Ids::Time, number, 0));
        }
        store.commit(batch).await?;
    }
    Ok(store.close().await?)
}

/// Serves until its input ends; `change` there makes a change.
async fn serve(file: &Path) -> Outcome<()> {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(file)?);
    let provider = Provider::new("bench", "https://bench.example");
    let engine = Engine::builder(Arc::clone(&store)).provider(provider).build()?;
    engine.connect(ConnectionSettings::new(CONNECTION, "bench")).await?;
    let limits = Limits::default().requests_per_minute(u32::MAX);
    let server = Server::builder(engine).limits(limits).build()?;
    let key = server.keys().create("bench", Scope::Admin).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let link = server.dashboard_link(Scope::Admin);
    println!("{} {} {}", listener.local_addr()?, key.secret.expose(), link.expose());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let handle = tokio::runtime::Handle::current();
    let input = std::thread::spawn(move || -> Outcome<()> {
        let _stop = stop;
        for (number, line) in std::io::stdin().lock().lines().enumerate() {
            let mut batch = WriteBatch::new();
            let tick = format!(r#"{{"id":"tick","number":{number},"line":"{}","at":{}}}"#, line?, now());
            batch.on(&StreamKey::new(CONNECTION, TICK)).upsert(tick);
            handle.block_on(store.commit(batch))?;
            println!("{number}");
        }
        Ok(())
    });
    server.serve(listener, async { drop(stopped.await) }).await?;
    input.join().map_err(|_| "the input's thread failed")?
}

/// Answers every request with the bytes of a file.
async fn bare(file: &Path) -> Outcome<()> {
    let body = bytes::Bytes::from(std::fs::read(file)?);
    let answer = move || async move { ([("content-type", "application/json")], body).into_response() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let router = axum::Router::new().route("/records", axum::routing::get(answer));
    Ok(axum::serve(listener, router).await?)
}

/// Drains the store, and copies each page's payloads to the socket. Prints nanoseconds of processor time per record, for each pass.
async fn drain(file: &Path, address: &str) -> Outcome<()> {
    let store = SqliteStore::open(file)?;
    let stream = StreamKey::new(CONNECTION, MODEL);
    let mut socket = TcpStream::connect(address)?;
    let mut piece = Vec::with_capacity(80 << 10);
    for pass in 0..=DRAINS {
        let (mut cursor, mut records, begun) = (Cursor::START, 0_u64, processor_time());
        loop {
            let page = store.records(&stream).since(cursor).limit(PAGE).page().await?;
            for change in &page.changes {
                piece.extend_from_slice(change.record.payload.as_ref().map_or(b"", |payload| payload.as_bytes()));
                if piece.len() >= 64 << 10 {
                    socket.write_all(&piece)?;
                    piece.clear();
                }
            }
            records += page.changes.len() as u64;
            cursor = page.next_cursor;
            if !page.has_more {
                break;
            }
        }
        socket.write_all(&piece)?;
        piece.clear();
        if pass > 0 {
            println!("{}", (processor_time() - begun) as f64 / records as f64);
        }
    }
    Ok(store.close().await?)
}
