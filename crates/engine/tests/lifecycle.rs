//! Starting and stopping: on a thread of its own, on any runtime, with nothing acknowledged lost.
#![allow(clippy::disallowed_methods)]

use std::sync::{Arc, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{Result, Store, StreamKey};
use highwater_engine::{ConnectionSettings, Engine, Phase, RunOptions, SyncOptions, TriggerMode, blocking};
use highwater_store_sqlite::SqliteStore;
use highwater_template::{SyncContext, Template, TemplateInfo};

/// Saves a record a millisecond, for as long as it is let.
#[derive(Debug)]
struct Endless {
    info: TemplateInfo,
    thread: std::sync::Mutex<mpsc::Sender<Option<String>>>,
}

#[async_trait]
impl Template for Endless {
    fn info(&self) -> &TemplateInfo {
        &self.info
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let name = std::thread::current().name().map(ToOwned::to_owned);
        self.thread.lock().unwrap().send(name).unwrap();
        let from: u64 = context.last_checkpoint()?.unwrap_or(0);
        for n in from.. {
            context.checkpoint(&(n + 1))?;
            context.save("Tick", vec![format!(r#"{{"id":{n}}}"#).into()]).await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

fn endless(db: &std::path::Path) -> (Arc<SqliteStore>, Engine, mpsc::Receiver<Option<String>>) {
    let store = Arc::new(SqliteStore::open(db).unwrap());
    let (thread, began) = mpsc::channel();
    let info = TemplateInfo::new("endless", "ticks", "http://127.0.0.1:9").model("Tick", "a tick");
    let template = Arc::new(Endless { info, thread: thread.into() });
    let engine = Engine::builder(Arc::clone(&store) as Arc<dyn Store>).template(template).build().unwrap();
    (store, engine, began)
}

fn ticks() -> StreamKey {
    StreamKey::new("c", "Tick")
}

#[test]
fn an_engine_on_its_own_thread_is_paused_resumed_and_shut_down() {
    let folder = tempfile::tempdir().unwrap();
    let (store, engine, began) = endless(&folder.path().join("app.db"));
    let engine = blocking::Engine::new(engine).unwrap();
    let store = highwater_core::blocking::Store::new(store);
    engine.connect(ConnectionSettings::new("c", "endless")).unwrap();
    let options = SyncOptions::default().schedule(Duration::from_secs(3600));
    engine.sync("c", "endless/ticks").unwrap().enable(options).unwrap();
    engine.start();
    assert_eq!(began.recv_timeout(Duration::from_secs(20)).unwrap().as_deref(), Some("highwater"));
    let mut wakeups = store.subscribe();
    while store.head(&ticks()).unwrap().live < 10 {
        highwater_core::blocking::changed(&mut wakeups).unwrap();
    }
    assert_eq!(engine.sync("c", "endless/ticks").unwrap().state().unwrap().phase, Phase::Running);
    engine.pause().unwrap();
    let paused = store.head(&ticks()).unwrap().live;
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(store.head(&ticks()).unwrap().live, paused);
    engine.resume().unwrap();
    began.recv_timeout(Duration::from_secs(20)).unwrap();
    engine.sync("c", "endless/ticks").unwrap().pause().unwrap();
    engine.sync("c", "endless/ticks").unwrap().trigger(TriggerMode::Plain).unwrap();
    began.recv_timeout(Duration::from_secs(20)).unwrap();
    engine.shutdown(Duration::from_secs(10)).unwrap();
    let stopped = store.head(&ticks()).unwrap().live;
    assert!(stopped >= paused);
    drop(engine);
    assert_eq!(store.head(&ticks()).unwrap().live, stopped);
    store.close().unwrap();
}

#[test]
fn what_was_acknowledged_survives_the_handle_and_the_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("app.db");
    let (store, engine, _began) = endless(&db);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let acknowledged = runtime.block_on(async {
        engine.connect(ConnectionSettings::new("c", "endless")).await.unwrap();
        engine.sync("c", "endless/ticks").unwrap().enable(SyncOptions::default()).await.unwrap();
        let running = engine.start(&tokio::runtime::Handle::current());
        let mut wakeups = store.subscribe();
        loop {
            wakeups.changed().await.unwrap();
            let live = store.head(&ticks()).await.unwrap().live;
            if live >= 10 {
                drop(running);
                return live;
            }
        }
    });
    runtime.shutdown_background();
    drop((engine, store));
    let (store, engine, _began) = endless(&db);
    let engine = blocking::Engine::new(engine).unwrap();
    // Before anything is asked of any network.
    let state = engine.sync("c", "endless/ticks").unwrap().state().unwrap();
    assert!(state.records["Tick"] >= acknowledged);
    assert!(state.settings.is_some() && !state.has_synced);
    let store = highwater_core::blocking::Store::new(store);
    let cancel = highwater_engine::CancelToken::new();
    cancel.cancel();
    let stopped =
        engine.sync("c", "endless/ticks").unwrap().run_once(RunOptions::default().cancel(cancel)).unwrap_err();
    assert!(matches!(stopped.kind(), highwater_core::ErrorKind::Cancelled | highwater_core::ErrorKind::Busy));
    assert!(store.head(&ticks()).unwrap().live >= acknowledged);
}

#[tokio::test]
async fn the_background_is_shut_down_through_a_shared_reference() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, engine, _began) = endless(&folder.path().join("app.db"));
    engine.connect(ConnectionSettings::new("c", "endless")).await.unwrap();
    engine.sync("c", "endless/ticks").unwrap().enable(SyncOptions::default()).await.unwrap();
    let background = Arc::new(engine.start(&tokio::runtime::Handle::current()));
    let other = background.as_ref().clone();
    let second = Duration::from_secs(10);
    let (first, second) = tokio::join!(background.shutdown(second), other.shutdown(second));
    first.and(second).unwrap();
    background.shutdown(Duration::ZERO).await.unwrap();
    assert_eq!(other.pause().await.unwrap_err().kind(), highwater_core::ErrorKind::Closed);
}
