//! A store whose keys were damaged: a walk over the log meets rows that stand where they do not belong. It must end.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use highwater_core::backend::{Backend, BackendReader, VisitEntry};
use highwater_core::key_value::{Changes, KeyValueRead, KeyValueWrite, Map, Overlay};
use highwater_core::{
    Capabilities, Compaction, ErrorKind, History, Maintenance, PruneWhat, Result, Store, StoreExt, StoreOptions,
    StreamKey, StreamOptions, Threaded, WriteBatch,
};

type Maps = [BTreeMap<Vec<u8>, Vec<u8>>; 4];

/// Maps that, once broken, show each key of the log as that of the first row, and each of the history as the one
/// that was asked for.
#[derive(Clone, Debug, Default)]
struct Shelf {
    maps: Arc<Mutex<Arc<Maps>>>,
    broken: Arc<AtomicBool>,
}

#[derive(Debug)]
struct View {
    shelf: Shelf,
    maps: Arc<Maps>,
}

impl Shelf {
    fn view(&self) -> View {
        View { shelf: self.clone(), maps: Arc::clone(&self.maps.lock().unwrap()) }
    }
}

impl KeyValueRead for View {
    fn get(&self, map: Map, key: &[u8], visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.maps[map as usize].get(key).map_or(Ok(()), |value| visit(value))
    }

    fn range(&self, map: Map, from: &[u8], until: &[u8], visit: &mut VisitEntry<'_>) -> Result<()> {
        let broken = self.shelf.broken.load(Ordering::Relaxed);
        for (key, value) in self.maps[map as usize].range::<[u8], _>((Bound::Included(from), Bound::Excluded(until))) {
            let mut shown = key.clone();
            match map {
                Map::Log if broken => shown[4..].copy_from_slice(&1_u64.to_be_bytes()),
                Map::History if broken => shown = from.to_vec(),
                _ => {}
            }
            if visit(&shown, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl KeyValueWrite for View {
    fn apply(self, mut changes: Changes) -> Result<()> {
        let mut maps = Maps::clone(&self.maps);
        for map in Map::ALL {
            for (key, value) in changes.take(map) {
                match value {
                    Some(value) => maps[map as usize].insert(key, value),
                    None => maps[map as usize].remove(&key),
                };
            }
        }
        *self.shelf.maps.lock().unwrap() = Arc::new(maps);
        Ok(())
    }
}

impl Backend for Shelf {
    type Write<'a> = Overlay<View>;
    type Reader = Shelf;

    fn capabilities(&self) -> Capabilities {
        Capabilities::new("shelf")
    }

    fn begin(&mut self) -> Result<Overlay<View>> {
        Ok(Overlay::new(self.view()))
    }

    fn reader(&self) -> Result<Option<Shelf>> {
        Ok(Some(self.clone()))
    }

    fn compact(&mut self) -> Result<Compaction> {
        Ok(Compaction::Complete)
    }

    fn size(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn close(self) -> Result<()> {
        Ok(())
    }
}

impl BackendReader for Shelf {
    type Snapshot<'a> = Overlay<View>;

    fn snapshot(&mut self) -> Result<Overlay<View>> {
        Ok(Overlay::new(self.view()))
    }

    fn version(&mut self) -> Result<u64> {
        Ok(0)
    }
}

#[tokio::test]
async fn walks_over_damaged_keys_end() {
    let notes = StreamKey::new("demo", "Note");
    let shelf = Shelf::default();
    let store = Threaded::open(shelf.clone(), StoreOptions::new()).unwrap();
    let kept = |history| Maintenance::Configure(notes.clone(), StreamOptions::default().history(history));
    store.maintain(kept(History::Versions(5))).await.unwrap();
    let mut middle = None;
    for text in ["before", "behind"] {
        let mut batch = WriteBatch::new();
        for n in 0..2500 {
            batch.on(&notes).upsert(format!(r#"{{"id":"{n}","text":"{text}"}}"#));
        }
        store.commit(batch).await.unwrap();
        middle = Some(store.records(&notes).limit(1200).page().await.unwrap().next_cursor);
    }
    let mut batch = WriteBatch::new();
    for n in 0..2500 {
        batch.on(&notes).delete(n.to_string());
    }
    store.commit(batch).await.unwrap();
    let end = store.head(&notes).await.unwrap().high_water;
    store.close().await.unwrap();

    shelf.broken.store(true, Ordering::Relaxed);
    let prune = |what| Maintenance::Prune { stream: notes.clone(), what, up_to: end };
    for task in [
        Maintenance::Clear(notes.clone()),
        prune(PruneWhat::Tombstones),
        prune(PruneWhat::Payloads),
        Maintenance::RebaseClock,
        Maintenance::Recode,
        kept(History::Off),
    ] {
        let store = Threaded::open(shelf.clone(), StoreOptions::new()).unwrap();
        let error = store.maintain(task.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{task:?}: {error}");
    }
    // What a reader gets may be wrong; but it gets an answer.
    let store = Threaded::open(shelf, StoreOptions::new()).unwrap();
    let _ = store.records(&notes).since(middle.unwrap()).page().await;
    let _ = store.get(&notes, &["1", "2400"]).await;
    assert!(store.maintain(Maintenance::Verify(notes.clone())).await.is_ok());
}
