//! What an engine with many schedules costs while nothing is due, and how soon it begins what is.
//!
//! `cargo run --release -p highwater-engine --example idle -- [connections] [seconds]`
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)] // a measurement looks at the clock and prints

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use highwater_core::{Result, Store, Timestamp};
use highwater_engine::{ConnectionSettings, Engine, Schedule, SyncOptions};
use highwater_store_sqlite::SqliteStore;
use highwater_template::{SyncContext, Template, TemplateInfo};

const SYNCS: [&str; 3] = ["idle/a", "idle/b", "idle/c"];

/// Notes when it began, and saves one record.
#[derive(Debug)]
struct Punctual {
    info: TemplateInfo,
    begun: Arc<Mutex<Vec<(String, u64)>>>,
}

#[async_trait]
impl Template for Punctual {
    fn info(&self) -> &TemplateInfo {
        &self.info
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let name = format!("{}/{}", context.connection(), self.info.id());
        self.begun.lock().unwrap().push((name, now_ms()));
        context.checkpoint(&1)?;
        context.save("Thing", vec![r#"{"id":1}"#.into()]).await.map(drop)
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Seconds of CPU this process used, and its resident memory in MiB (Linux).
fn used() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    let kib: f64 = resident.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0.0);
    ((ticks(11) + ticks(12)) / 100.0, kib / 1024.0)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let connections = arguments.next().unwrap_or(1000);
    let seconds = arguments.next().unwrap_or(30);
    let folder = std::env::temp_dir().join(format!("highwater-idle-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let store = Arc::new(SqliteStore::open(folder.join("idle.db"))?);
    let begun = Arc::new(Mutex::new(Vec::new()));
    let mut builder = Engine::builder(Arc::clone(&store) as Arc<dyn Store>);
    for name in ["a", "b", "c"] {
        let info = TemplateInfo::new("idle", name, "http://127.0.0.1:9").model("Thing", "a thing");
        builder = builder.template(Arc::new(Punctual { info, begun: Arc::clone(&begun) }));
    }
    let engine = builder.build()?;
    // Due on the first of January, so that nothing is due while we look.
    let far = SyncOptions::default().schedule(Schedule::cron("0 0 1 1 *")?);
    enable(&engine, connections, &far).await?;
    let schedules = connections * SYNCS.len() as u64;

    let running = engine.start(&tokio::runtime::Handle::current());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, _) = used();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (after, resident) = used();
    let share = (after - before) / seconds as f64 * 100.0;
    println!("idle: {schedules} schedules, {share:.2} % of a core over {seconds} s, RSS {resident:.1} MiB");
    running.shutdown(Duration::from_secs(5)).await?;

    // Now all of them become due within a minute and a half, at times of their own.
    let soon = SyncOptions::default().schedule(Duration::from_secs(24 * 3600)).jitter(Duration::from_secs(90));
    enable(&engine, connections, &soon).await?;
    let from = Timestamp::from_unix_ms(now_ms() + 1000);
    let mut due = HashMap::new();
    for settings in engine.enabled_syncs().await? {
        let name = format!("{}/{}", settings.connection, settings.template);
        let status = engine.sync(&settings.connection, &settings.template)?.state().await?.status;
        due.extend(status.next_due_at.filter(|at| *at >= from).map(|at| (name, at.unix_ms())));
    }
    let last_ms = due.values().copied().max().unwrap_or(from.unix_ms());
    let (before, begun_at) = (used().0, now_ms());
    let running = engine.start(&tokio::runtime::Handle::current());
    while now_ms() < last_ms + 2000 {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (after, resident) = used();
    let begun = std::mem::take(&mut *begun.lock().expect("nobody panicked"));
    let mut late: Vec<u64> =
        begun.iter().filter_map(|(name, at_ms)| due.get(name).map(|due_ms| at_ms.saturating_sub(*due_ms))).collect();
    late.sort_unstable();
    let at = |share: f64| late.get(((late.len() as f64 * share) as usize).min(late.len().saturating_sub(1))).copied();
    println!(
        "due to started: {} of {} runs, p50 {:?} ms, p99 {:?} ms, max {:?} ms; {:.1} % of a core, RSS {resident:.1} MiB",
        late.len(),
        due.len(),
        at(0.5).unwrap_or(0),
        at(0.99).unwrap_or(0),
        at(1.0).unwrap_or(0),
        (after - before) / ((now_ms() - begun_at) as f64 / 1000.0) * 100.0,
    );
    running.shutdown(Duration::from_secs(5)).await?;
    store.close().await?;
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    Ok(())
}

async fn enable(engine: &Engine, connections: u64, options: &SyncOptions) -> Result<()> {
    for n in 0..connections {
        let connection = format!("connection-{n}");
        engine.connect(ConnectionSettings::new(&connection, "idle")).await?;
        for sync in SYNCS {
            engine.sync(&connection, sync)?.enable(options.clone()).await?;
        }
    }
    Ok(())
}
