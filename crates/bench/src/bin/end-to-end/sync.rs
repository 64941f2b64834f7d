//! What is measured of the way: all of it, and the reading of pages by itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use highwater_core::Store;
use highwater_engine::transport::UreqTransport;
use highwater_engine::{ConnectionSettings, Engine, RunOptions};
use highwater_store_sqlite::SqliteStore;
use highwater_template::async_trait::async_trait;
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, SyncContext, Template, TemplateInfo};

use crate::measure::{Figures, peak_memory_mb, process_time, reset_peak_memory};
use crate::server::{change_records, first_page};
use crate::{Arguments, Outcome, progress};

/// The runs of a sync: their name in the figures and in the table.
pub(crate) const PHASES: [(&str, &str); 3] =
    [("first", "first sync"), ("unchanged", "unchanged"), ("changed1", "1 % changed")];

/// A first sync, one that finds nothing new, and one that finds a hundredth changed.
pub(crate) async fn run(arguments: &Arguments, folder: &Path) -> Outcome<Figures> {
    let store = Arc::new(SqliteStore::open(folder.join("bench.db"))?);
    let engine =
        Engine::builder(Arc::clone(&store) as Arc<dyn Store>).template(Arc::new(Items::new(arguments))).build()?;
    engine.connect(ConnectionSettings::new("bench", "bench").base_url(&arguments.url)).await?;
    let mut figures = Figures::new();
    for (name, phase) in PHASES {
        if name == "changed1" {
            change_records(&arguments.url)?;
        }
        progress(phase);
        let meter = Meter::start();
        let report = engine.sync("bench", "bench/items")?.run_once(RunOptions::default().full(true)).await?;
        meter.finish(&mut figures, name);
        let progress = report.progress;
        let written = progress.counts.added + progress.counts.updated;
        let expected = match name {
            "first" => arguments.records,
            "unchanged" => 0,
            _ => arguments.records.div_ceil(100),
        };
        if progress.fetched != arguments.records || written != expected || progress.counts.deleted > 0 {
            return Err(format!("{phase}: {progress:?}, expected {} records", arguments.records).into());
        }
        figures.insert(format!("{name}_written"), written as f64);
    }
    store.close().await?;
    Ok(figures)
}

/// The same pages by the same client, their bodies thrown away.
pub(crate) async fn pages(arguments: &Arguments) -> Outcome<Figures> {
    progress("pages alone");
    let client = UreqTransport::new();
    let mut figures = Figures::new();
    let mut next = Some(format!("{}{}", arguments.url, first_page(arguments)));
    let (mut pages, mut bytes) = (0_u64, 0_u64);
    let meter = Meter::start();
    while let Some(url) = next {
        let page = client.send(HttpRequest::get(url)).await?.error_for_status()?;
        next = page.next_link();
        pages += 1;
        bytes += page.body.len() as u64;
    }
    meter.finish(&mut figures, "pages");
    if pages != arguments.records.div_ceil(arguments.page) {
        return Err(format!("{pages} pages were read").into());
    }
    figures.insert("pages_bytes".into(), bytes as f64);
    Ok(figures)
}

/// Time and memory of this process, all its threads included.
struct Meter {
    began: Instant,
    processor: std::time::Duration,
}

impl Meter {
    fn start() -> Self {
        reset_peak_memory();
        Meter { began: Instant::now(), processor: process_time() }
    }

    fn finish(self, figures: &mut Figures, name: &str) {
        let processor = process_time().saturating_sub(self.processor);
        figures.insert(format!("{name}_wall_s"), self.began.elapsed().as_secs_f64());
        figures.insert(format!("{name}_cpu_s"), processor.as_secs_f64());
        figures.extend(peak_memory_mb().map(|peak| (format!("{name}_rss_mb"), peak)));
    }
}

/// Reads `/items` page by page, by the `Link` header.
#[derive(Debug)]
struct Items {
    info: TemplateInfo,
    first: String,
}

impl Items {
    fn new(arguments: &Arguments) -> Self {
        let info = TemplateInfo::new("bench", "items", "http://127.0.0.1").model("Item", "an item");
        Items { info, first: first_page(arguments) }
    }
}

#[async_trait]
impl Template for Items {
    fn info(&self) -> &TemplateInfo {
        &self.info
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> highwater_core::Result<()> {
        let mut next = Some(self.first.clone());
        while let Some(url) = next {
            let page = context.send(HttpRequest::get(url)).await?;
            next = page.next_link();
            context.save("Item", page.elements()?).await?;
        }
        context.complete("Item").await
    }
}
