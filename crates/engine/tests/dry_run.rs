//! Dry runs: they read as a first run would, stop early, and store nothing.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater_core::{ErrorKind, MemoryStore, StreamKey};
use highwater_engine::{ConnectionSettings, Engine, RunOptions};
use highwater_template::async_trait::async_trait;
use highwater_template::auth::CredentialUse;
use highwater_template::{LogLevel, SyncContext, Template, TemplateInfo};

/// Saves pages of ten records of one model, then all of another.
#[derive(Debug)]
struct Pages {
    info: TemplateInfo,
    pages: u64,
    read: AtomicU64,
}

#[async_trait]
impl Template for Pages {
    fn info(&self) -> &TemplateInfo {
        &self.info
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> highwater_core::Result<()> {
        context.log(LogLevel::Info, "begins");
        assert_eq!(context.last_checkpoint::<u64>()?, None, "a dry run begins at the start");
        for page in 0..self.pages {
            self.read.fetch_add(1, Ordering::Relaxed);
            let records = (0..10).map(|place| format!(r#"{{"id":"{page}-{place}"}}"#).into()).collect();
            context.save("Note", records).await?;
            context.checkpoint(&page)?;
        }
        context.save("Tag", vec![r#"{"id":"t"}"#.into()]).await?;
        context.complete("Note").await
    }
}

async fn engine(pages: u64, credentials: CredentialUse) -> (Engine, Arc<Pages>) {
    let info = TemplateInfo::new("shop", "notes", "https://shop.example").model("Note", "A note").model("Tag", "A tag");
    let template = Arc::new(Pages { info: info.credentials(credentials), pages, read: AtomicU64::new(0) });
    let store = Arc::new(MemoryStore::new().unwrap());
    let engine = Engine::builder(store).template(Arc::clone(&template) as Arc<dyn Template>).build().unwrap();
    engine.connect(ConnectionSettings::new("main", "shop")).await.unwrap();
    (engine, template)
}

#[tokio::test]
async fn a_dry_run_reads_a_few_records_and_stores_nothing() {
    let (engine, _) = engine(2, CredentialUse::Unused).await;
    let sync = engine.sync("main", "shop/notes").unwrap();
    // Also where the sync has run before: its checkpoint is not read.
    for ran in [false, true] {
        if ran {
            sync.run_once(RunOptions::default()).await.unwrap();
        }
        let before = engine.store().documents("", "", 1000).await.unwrap();
        let head = engine.store().head(&StreamKey::new("main", "Note")).await.unwrap();
        let found = sync.dry_run(3).await.unwrap();
        assert_eq!((found.records["Note"].len(), found.records["Tag"].len()), (3, 1));
        assert_eq!(found.records["Note"][0].payload.as_ref().unwrap().as_str(), r#"{"id":"0-0"}"#);
        assert_eq!((found.progress.fetched, found.complete), (21, true));
        assert_eq!(found.lines[0].message, "begins");
        assert_eq!(engine.store().documents("", "", 1000).await.unwrap(), before);
        assert_eq!(engine.store().head(&StreamKey::new("main", "Note")).await.unwrap(), head);
    }
}

#[tokio::test]
async fn a_dry_run_of_a_long_list_stops_after_ten_pages() {
    let (engine, template) = engine(1_000_000, CredentialUse::Unused).await;
    let found = engine.sync("main", "shop/notes").unwrap().dry_run(5).await.unwrap();
    assert_eq!((found.records["Note"].len(), found.records["Tag"].len(), found.complete), (5, 0, false));
    assert_eq!((template.read.load(Ordering::Relaxed), found.progress.pages), (10, 10));
}

#[tokio::test]
async fn a_dry_run_needs_what_a_run_needs() {
    let (engine, template) = engine(1, CredentialUse::Required).await;
    let kind = |error: highwater_core::Error| error.kind();
    let sync = engine.sync("main", "shop/notes").unwrap();
    assert_eq!(sync.dry_run(5).await.map_err(kind), Err(ErrorKind::Unauthorized));
    assert_eq!(template.read.load(Ordering::Relaxed), 0);
    for (connection, name) in [("nobody", "shop/notes"), ("main", "shop/none")] {
        let sync = engine.sync(connection, name).unwrap();
        assert_eq!(sync.dry_run(5).await.map_err(kind), Err(ErrorKind::NotFound));
    }
}
