//! Opening a store: P40 and P41.

use std::sync::Arc;

use highwater_core::{
    Error, ErrorKind, Maintenance, MaintenanceReport, PayloadCodec, PayloadContext, PruneWhat, Result, Seek, Store,
    StoreExt, StoreOptions, StreamKey, StreamOptions, WriteBatch,
};

use crate::rig::wait;
use crate::subject::Subject;

/// A codec that flips bits, under a name: sufficient for these checks.
#[derive(Debug)]
struct Turning {
    writes: u8,
    reads: Vec<u8>,
}

impl Turning {
    fn options(keys: &[u8]) -> StoreOptions {
        StoreOptions::new().codec(Arc::new(Turning { writes: keys[0], reads: keys.to_vec() }))
    }

    fn name(key: u8) -> String {
        format!("key {key}")
    }
}

impl PayloadCodec for Turning {
    fn encode(&self, _: &PayloadContext<'_>, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.push(self.writes);
        out.extend(payload.iter().map(|byte| byte ^ self.writes));
        Ok(())
    }

    fn decode(&self, _: &PayloadContext<'_>, stored: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match stored.split_first() {
            Some((key, payload)) if self.reads.contains(key) => out.extend(payload.iter().map(|byte| byte ^ key)),
            _ => return Err(Error::new(ErrorKind::WrongKey, "no such key")),
        }
        Ok(())
    }

    fn needs(&self) -> Vec<String> {
        vec![Turning::name(self.writes)]
    }

    fn need_of(&self, stored: &[u8]) -> Option<String> {
        stored.first().map(|key| Turning::name(*key))
    }

    fn has(&self, need: &str) -> bool {
        self.reads.iter().any(|key| Turning::name(*key) == need)
    }
}

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

async fn save(store: &dyn Store, id: &str) -> Result<()> {
    let mut batch = WriteBatch::new();
    batch.on(&notes()).upsert(format!(r#"{{"id":"{id}"}}"#));
    store.commit(batch).await.map(drop)
}

async fn count(store: &dyn Store) -> usize {
    let page = store.records(&notes()).page().await.unwrap();
    assert!(page.changes.iter().all(|change| change.record.payload.is_some()));
    page.changes.len()
}

/// A store's codec changes only where the host says so: neither reading nor a refused opening leaves a trace. While it
/// changes, everything that payloads need must be available, and is named.
pub fn p40_codec_changes_only_where_the_host_says_so<S: Subject>() {
    let refused = |subject: &S, options: StoreOptions, named: &str| {
        let error = subject.open(options).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongKey, "{error}");
        assert!(error.to_string().contains(named), "{error}");
    };
    if !S::REOPENS {
        return;
    }
    wait(async {
        let subject = S::new();
        let store = subject.open(StoreOptions::new()).unwrap();
        save(&*store, "a").await.unwrap();
        store.close().await.unwrap();
        drop(store);
        refused(&subject, Turning::options(&[1]), "key 1");
        refused(&subject, Turning::options(&[1]).read_only(), "key 1");
        let store = subject.open(StoreOptions::new()).unwrap();
        save(&*store, "b").await.unwrap();
        store.close().await.unwrap();
        drop(store);

        let store = subject.open(Turning::options(&[1]).recoding()).unwrap();
        store.maintain(Maintenance::Recode).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        refused(&subject, StoreOptions::new(), "key 1");
        refused(&subject, Turning::options(&[2, 1]), "key 2");
        // A change that has begun, and some records under the new key.
        let store = subject.open(Turning::options(&[2, 1]).recoding()).unwrap();
        save(&*store, "c").await.unwrap();
        store.close().await.unwrap();
        drop(store);
        refused(&subject, Turning::options(&[1]), "key 2");
        refused(&subject, Turning::options(&[2]), "key 1");
        let store = subject.open(Turning::options(&[2, 1])).unwrap();
        assert_eq!(count(&*store).await, 3);
        let health = |report| match report {
            MaintenanceReport::Codec(health) => health,
            other => panic!("{other:?}"),
        };
        let before = health(store.maintain(Maintenance::CheckCodec).await.unwrap());
        assert!(before.unfinished && before.needs == ["key 1", "key 2"], "{before:?}");
        store.maintain(Maintenance::Recode).await.unwrap();
        let after = health(store.maintain(Maintenance::CheckCodec).await.unwrap());
        assert!(!after.unfinished && after.needs == ["key 2"], "{after:?}");
        store.close().await.unwrap();
        drop(store);
        let store = subject.open(Turning::options(&[2])).unwrap();
        assert_eq!(count(&*store).await, 3);
    });
}

/// A handle whose codec was replaced through another handle can no longer write.
pub fn p40_codec_changes_stop_earlier_handles<S: Subject>() {
    if !S::SHARES {
        return;
    }
    wait(async {
        let subject = S::new();
        let plain = subject.open(StoreOptions::new()).unwrap();
        save(&*plain, "a").await.unwrap();
        let mut before = plain;
        for key in [1, 2] {
            let store = subject.open(Turning::options(&[key, 1]).recoding()).unwrap();
            store.maintain(Maintenance::Recode).await.unwrap();
            let error = save(&*before, "b").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongKey, "{error}");
            assert!(error.to_string().contains("open it with those it has now"), "{error}");
            save(&*store, &format!("of {key}")).await.unwrap();
            before = store;
        }
        assert_eq!(count(&*before).await, 3);
    });
}

/// A read-only store reads everything and refuses every write, saying why.
pub fn p41_reading_only_writes_nothing<S: Subject>() {
    if !S::REOPENS {
        return;
    }
    wait(async {
        let subject = S::new();
        let error = subject.open(StoreOptions::new().read_only()).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        let store = subject.open(StoreOptions::new()).unwrap();
        save(&*store, "a").await.unwrap();
        store.consumer(&notes(), "reader").poll().await.unwrap();
        store.close().await.unwrap();
        drop(store);
        let store = subject.open(StoreOptions::new().read_only()).unwrap();
        assert_eq!(count(&*store).await, 1);
        let up_to = store.head(&notes()).await.unwrap().high_water;
        let prune = Maintenance::Prune { stream: notes(), what: PruneWhat::Payloads, up_to };
        let configure = Maintenance::Configure(notes(), StreamOptions::default());
        let reader = store.consumer(&notes(), "reader");
        let mut refused = vec![
            save(&*store, "b").await,
            store.lease("run").await.map(drop),
            reader.poll().await.map(drop),
            reader.seek(Seek::Start).await,
            reader.evict().await,
            reader.remove().await,
        ];
        for task in [
            configure,
            prune,
            Maintenance::Clear(notes()),
            Maintenance::RebaseClock,
            Maintenance::Recode,
            Maintenance::Compact,
        ] {
            refused.push(store.maintain(task).await.map(drop));
        }
        for (place, outcome) in refused.into_iter().enumerate() {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{place}: {error}");
            assert!(error.to_string().contains("reading only"), "{place}: {error}");
        }
        store.maintain(Maintenance::Verify(notes())).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        let store = subject.open(StoreOptions::new()).unwrap();
        assert_eq!(count(&*store).await, 1);
        assert_eq!(store.consumers(&notes()).await.unwrap(), ["reader"]);
    });
}
