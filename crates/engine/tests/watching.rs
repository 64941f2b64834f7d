//! What those see who watch runs: events with their progress, and spans and events of `tracing` under stable names.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use highwater_core::{Error, ErrorKind, Inline, MemoryBackend, Result, Store, StoreOptions};
use highwater_engine::{ConnectionSettings, Engine, RunEvent, RunOptions, RunState, SyncOptions};
use highwater_template::host::{Counts, Progress};
use highwater_template::{LogLevel, SyncContext, Template, TemplateInfo};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const SYNC: &str = "watched/items";

/// Saves the pages it is given, and says how many records there will be; fails without any.
#[derive(Debug)]
struct Items(TemplateInfo, Mutex<Vec<Vec<&'static str>>>);

#[async_trait]
impl Template for Items {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let pages = self.1.lock().unwrap().clone();
        if pages.is_empty() {
            return Err(Error::new(ErrorKind::Remote, "the API is out of order"));
        }
        context.expect_total(pages.iter().map(Vec::len).sum::<usize>() as u64);
        context.log(LogLevel::Info, "begins to read");
        for page in pages {
            context.save("Item", page.into_iter().map(Into::into).collect()).await?;
        }
        context.complete("Item").await
    }
}

async fn watched() -> (Engine, Arc<Items>) {
    let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), StoreOptions::new()).unwrap());
    let info = TemplateInfo::new("watched", "items", "http://127.0.0.1:9").model("Item", "an item");
    let template = Arc::new(Items(info, Mutex::default()));
    let engine = Engine::builder(store).template(Arc::clone(&template) as Arc<dyn Template>).build().unwrap();
    engine.connect(ConnectionSettings::new("c", "watched")).await.unwrap();
    (engine, template)
}

fn full() -> RunOptions {
    RunOptions::default().full(true)
}

#[tokio::test(start_paused = true)]
async fn events_tell_how_far_a_run_has_come() {
    let (engine, template) = watched().await;
    let mut events = engine.events();
    let mut seen = || -> Vec<RunEvent> { std::iter::from_fn(|| events.try_recv().ok()).collect() };
    *template.1.lock().unwrap() = vec![vec![r#"{"id":1}"#, r#"{"id":2}"#], vec![r#"{"id":3}"#]];
    let report = engine.sync("c", SYNC).unwrap().run_once(full()).await.unwrap();
    let told = seen();
    assert!(told.iter().all(|event| (event.run, event.template.as_str()) == (Some(report.id), SYNC)));
    let counts = |progress: &Progress| {
        let Counts { added, updated, unchanged, deleted, .. } = progress.counts;
        [progress.pages, progress.fetched, added, updated, unchanged, deleted]
    };
    let half = told.iter().find(|event| event.progress.pages == 1).unwrap();
    assert_eq!((half.state, counts(&half.progress)), (RunState::Running, [1, 2, 2, 0, 0, 0]));
    assert_eq!(half.progress.total, Some(3), "how much there will be is told before it is there");
    assert!(told.iter().any(|event| event.message.as_deref() == Some("begins to read")));
    let last = told.last().unwrap();
    assert_eq!((last.state, counts(&last.progress)), (RunState::Success, [2, 3, 3, 0, 0, 0]));

    *template.1.lock().unwrap() = vec![vec![r#"{"id":1,"x":1}"#, r#"{"id":2}"#]];
    engine.sync("c", SYNC).unwrap().run_once(full()).await.unwrap();
    let last = seen().pop().unwrap();
    assert_eq!((last.state, counts(&last.progress)), (RunState::Success, [1, 2, 0, 1, 1, 1]));
    template.1.lock().unwrap().clear();
    engine.sync("c", SYNC).unwrap().run_once(full()).await.unwrap_err();
    let last = seen().pop().unwrap();
    assert_eq!(last.state, RunState::Error);
    assert!(last.error.unwrap().contains("out of order") && last.message.is_none());
    assert_eq!(last.error_kind, Some(ErrorKind::Remote));
}

/// Notes the spans that are opened, with their fields, and the targets of events.
#[derive(Debug, Default)]
struct Heard {
    spans: Mutex<BTreeSet<String>>,
    targets: Mutex<BTreeSet<String>>,
    ids: AtomicU64,
}

/// The fields of a span as `name=value`.
struct Fields(Vec<String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push(format!("{}={value:?}", field.name()));
    }
}

impl Subscriber for Heard {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields(Vec::new());
        attributes.record(&mut fields);
        self.spans.lock().unwrap().insert(format!("{}: {}", attributes.metadata().name(), fields.0.join(" ")));
        Id::from_u64(self.ids.fetch_add(1, Ordering::Relaxed) + 1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        self.targets.lock().unwrap().insert(event.metadata().target().to_owned());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn spans_and_events_have_stable_names() {
    let heard = Arc::new(Heard::default());
    let _guard = tracing::subscriber::set_default(Arc::clone(&heard));
    let (engine, template) = watched().await;
    *template.1.lock().unwrap() = vec![vec![r#"{"id":1}"#]];
    let report = engine.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
    let span = format!("highwater.run: run={} connection=c sync={SYNC} mode=Initial", report.id);
    assert_eq!(heard.spans.lock().unwrap().iter().collect::<Vec<_>>(), [&span]);
    assert!(heard.targets.lock().unwrap().contains("highwater::run"));
    // What cannot begin is told by the schedule.
    engine.sync("c", SYNC).unwrap().enable(SyncOptions::default()).await.unwrap();
    engine.connect(ConnectionSettings::new("c", "watched").base_url("nowhere")).await.unwrap();
    let _running = engine.start(&tokio::runtime::Handle::current());
    tokio::time::sleep(std::time::Duration::from_secs(7200)).await;
    assert!(heard.targets.lock().unwrap().contains("highwater::schedule"), "{:?}", heard.targets);
}
