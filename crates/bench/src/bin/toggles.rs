//! What it costs to enable and disable an endpoint for many connections, beside SQLite's own price for the same documents, and what
//! the schedule costs then: `cargo run --release -p highwater-bench --bin toggles -- [connections]`.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods)] // a program: it prints, and looks at the clock

use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use highwater_core::{Result as CoreResult, Store};
use highwater_engine::integrations::DeleteMode;
use highwater_engine::{
    ConnectionSettings, DisableMode, DisconnectMode, Engine, IntegrationHandle, IntegrationSettings, Schedule,
    SyncOptions,
};
use highwater_store_sqlite::{SqliteStore, rusqlite};
use highwater_template::async_trait::async_trait;
use highwater_template::{SyncContext, Template, TemplateInfo};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const SYNCS: [&str; 3] = ["bench/a", "bench/b", "bench/c"];

/// The first argument of a process that measures memory.
const GROWTH: &str = "growth";

/// How long the idle schedule is watched.
const WATCHED: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Nothing(TemplateInfo);

#[async_trait]
impl Template for Nothing {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, _: &mut SyncContext<'_>) -> CoreResult<()> {
        Ok(())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Into::into).and_then(|runtime| match arguments[..] {
        [GROWTH, connections, cache_kib] => runtime.block_on(measure_growth(connections.parse()?, cache_kib.parse()?)),
        [connections] => runtime.block_on(measure(connections.parse()?)),
        _ => growth().and_then(|()| runtime.block_on(measure(10_000))),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("toggles: {error}");
            ExitCode::FAILURE
        }
    }
}

/// By how much memory grows at most, for few and many connections, with small and large page caches of SQLite: each in a process
/// of its own, because a process keeps what it once had.
fn growth() -> Outcome<()> {
    for cache_kib in [512, 16 * 1024] {
        for connections in [1_000, 10_000] {
            let mut measured = Command::new(std::env::current_exe()?);
            measured.args([GROWTH, &connections.to_string(), &cache_kib.to_string()]);
            if !measured.status()?.success() {
                return Err("the measurement of memory failed".into());
            }
        }
    }
    Ok(())
}

async fn measure_growth(connections: u64, cache_kib: u32) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("app.db");
    {
        let store = Arc::new(SqliteStore::open(&path)?);
        connect(&engine(&store)?, connections).await?;
        store.close().await?;
    }
    let store = Arc::new(SqliteStore::builder(&path).cache_kib(cache_kib).open()?);
    let integration = engine(&store)?.integration("main")?;
    // Once, so that what is needed for any number of connections is there.
    integration.endpoints().await?;
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before = memory("VmRSS:");
    integration.enable(SYNCS[0], far()?).await?;
    println!(
        "enable for {connections} connections, {cache_kib} KiB of page cache: memory grows by {:.1} MB at most",
        memory("VmHWM:") - before
    );
    store.close().await?;
    Ok(())
}

fn engine(store: &Arc<SqliteStore>) -> Outcome<Engine> {
    let mut builder = Engine::builder(Arc::clone(store) as Arc<dyn Store>);
    for name in ["a", "b", "c"] {
        let info = TemplateInfo::new("bench", name, "http://127.0.0.1:9").model(name, "a thing");
        builder = builder.template(Arc::new(Nothing(info)));
    }
    Ok(builder.build()?)
}

async fn connect(engine: &Engine, connections: u64) -> Outcome<IntegrationHandle> {
    let integration = engine.create_integration(IntegrationSettings::new("main", "bench")).await?;
    for number in 0..connections {
        engine.connect(ConnectionSettings::of_integration(format!("connection-{number:06}"), "main")).await?;
    }
    Ok(integration)
}

/// Due on the first of January, so that nothing is due while we look.
fn far() -> Outcome<SyncOptions> {
    Ok(SyncOptions::default().schedule(Schedule::cron("0 0 1 1 *")?))
}

async fn measure(connections: u64) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(folder.path().join("app.db"))?);
    let engine = engine(&store)?;
    let begun = Instant::now();
    let integration = connect(&engine, connections).await?;
    let each = begun.elapsed().as_secs_f64() * 1e6 / connections as f64;
    println!("{connections} connections, {each:.0} us each");

    let far = far()?;
    for sync in SYNCS {
        timed(&format!("enable {sync}"), integration.enable(sync, far.clone())).await?;
    }
    let documents = documents(&store, connections).await?;
    raw(&folder.path().join("raw.db"), &documents)?;
    timed("other options", integration.enable(SYNCS[0], far.clone().jitter(Duration::from_secs(60)))).await?;
    timed("the same again", integration.enable(SYNCS[0], far.clone().jitter(Duration::from_secs(60)))).await?;
    timed("endpoints", async { integration.endpoints().await.map(drop) }).await?;
    idle(&engine).await?;
    timed("disable, keep", integration.disable(SYNCS[0], DisableMode::Keep)).await?;
    timed("enable again", integration.enable(SYNCS[0], far)).await?;
    timed("disable, clear", integration.disable(SYNCS[0], DisableMode::Clear)).await?;
    delete(&integration).await?;
    store.close().await?;
    Ok(())
}

async fn timed(what: &str, work: impl Future<Output = CoreResult<()>>) -> Outcome<()> {
    // Linux: the peak is counted anew from here.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let (before, begun) = (memory("VmRSS:"), Instant::now());
    work.await?;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    println!(
        "{what}: {took:.0} ms, memory {before:.0} MB, at most {:.0} MB, then {:.0} MB",
        memory("VmHWM:"),
        memory("VmRSS:")
    );
    Ok(())
}

/// The documents that the last endpoint was enabled with.
async fn documents(store: &SqliteStore, connections: u64) -> Outcome<Vec<(String, String)>> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = store.documents("sync/", &after, 1000).await?;
        let Some(last) = page.last() else { break };
        after = last.key.to_string();
        let of_last = page.iter().filter(|document| document.key.ends_with(SYNCS[2]));
        found.extend(of_last.map(|document| (document.key.to_string(), document.value.to_string())));
    }
    if found.len() as u64 != connections {
        return Err(format!("{} of {connections} connections have it", found.len()).into());
    }
    Ok(found)
}

/// The ceiling: the same documents in one transaction of a bare table.
fn raw(path: &std::path::Path, documents: &[(String, String)]) -> Outcome<()> {
    let mut connection = rusqlite::Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE d (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID;",
    )?;
    let begun = Instant::now();
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare("INSERT INTO d VALUES (?1, ?2)")?;
        for (key, value) in documents {
            insert.execute((key.as_bytes(), value.as_bytes()))?;
        }
    }
    transaction.commit()?;
    println!("bare SQLite, the same {} documents: {:.0} ms", documents.len(), begun.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// What the schedule costs while nothing is due.
async fn idle(engine: &Engine) -> Outcome<()> {
    let schedules = engine.enabled_syncs().await?.len();
    let begun = (cpu_seconds(), Instant::now());
    let background = engine.start(&tokio::runtime::Handle::current());
    // A command is obeyed once everything is read.
    background.resume().await?;
    println!("{schedules} schedules: read in {:.0} ms", begun.1.elapsed().as_secs_f64() * 1e3);
    let before = cpu_seconds();
    tokio::time::sleep(WATCHED).await;
    let share = (cpu_seconds() - before) / WATCHED.as_secs_f64() * 100.0;
    println!("{schedules} schedules: {share:.2} % of a core while idle, memory {:.0} MB", memory("VmRSS:"));
    background.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

async fn delete(integration: &IntegrationHandle) -> Outcome<()> {
    let mode = DeleteMode::disconnect(DisconnectMode::KeepRecords);
    timed("delete with its connections", async { integration.delete(mode).await.map(drop) }).await
}

/// A line of `/proc/self/status`, in MB.
fn memory(line: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = status.lines().find_map(|found| found.strip_prefix(line)).unwrap_or("0");
    value.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Processor time of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
