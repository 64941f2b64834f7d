//! The store without threads; writers that keep out of each other's way.

use std::task::Poll;
use std::time::Duration;

use highwater_core::{
    Inline, Maintenance, MemoryBackend, MemoryStore, Merging, PageRequest, Store, StoreExt, StoreOptions, StreamKey,
    Threaded, WriteBatch, WriteOutcome,
};

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

async fn commit(store: &dyn Store, batch: WriteBatch) -> Vec<WriteOutcome> {
    store.commit(batch).await.unwrap().streams.remove(0).outcomes
}

/// What a script of calls does to a store, as text.
async fn script(store: &dyn Store) -> String {
    let stream = notes();
    let mut told = Vec::new();
    for round in 0..20 {
        let mut batch = WriteBatch::new();
        batch.put_document("round", &round).unwrap();
        for id in 0..10 {
            let target = batch.on(&stream);
            if (id + round) % 7 == 0 {
                target.delete(id.to_string());
            } else {
                target.upsert(format!(r#"{{"id":{id},"n":{}}}"#, (round * id) % 3));
            }
        }
        told.push(format!("{:?}", commit(store, batch).await));
    }
    let page = store.records(&stream).limit(4).page().await.unwrap();
    let rest = store.records(&stream).since(page.next_cursor).page().await.unwrap();
    for change in page.changes.iter().chain(&rest.changes) {
        told.push(format!("{} {} {:?}", change.record.id, change.net as u8, change.record.payload));
    }
    let delivery = store.consumer(&stream, "reader").poll().await.unwrap();
    store.consumer(&stream, "reader").ack(delivery.token).await.unwrap();
    told.push(format!("{} {:?}", delivery.page.changes.len(), store.document("round").await.unwrap()));
    told.join("\n")
}

#[tokio::test]
async fn the_same_calls_have_the_same_effect_without_threads() {
    let inline = Inline::open(MemoryBackend::default(), StoreOptions::new()).unwrap();
    let threaded = MemoryStore::new().unwrap();
    assert_eq!(script(&inline).await, script(&threaded).await);
}

#[tokio::test]
async fn an_inline_store_wakes_and_closes_and_opens_again() {
    let backend = MemoryBackend::default();
    let store = Inline::open(backend.clone(), StoreOptions::new()).unwrap();
    let mut wakeups = store.subscribe();
    let mut batch = WriteBatch::new();
    batch.on(&notes()).upsert(r#"{"id":"a"}"#);
    commit(&store, batch).await;
    wakeups.changed().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(store.head(&notes()).await.unwrap_err().kind(), highwater_core::ErrorKind::Closed);
    assert!(wakeups.changed().await.is_err());
    let store = Inline::open(backend, StoreOptions::new()).unwrap();
    assert_eq!(store.head(&notes()).await.unwrap().live, 1);
}

/// P28: what a page brings does not undo what a webhook brought while the page was on its way.
#[tokio::test]
async fn p28_a_page_does_not_undo_a_fresher_webhook() {
    let store = MemoryStore::new().unwrap();
    let stream = notes();
    let mut batch = WriteBatch::new();
    batch.on(&stream).upsert(r#"{"id":"a","v":1}"#).upsert(r#"{"id":"b","v":1}"#).upsert(r#"{"id":"c","v":1}"#);
    commit(&store, batch).await;
    let asked_at = store.head(&stream).await.unwrap().high_water;
    let mut batch = WriteBatch::new();
    batch.on(&stream).origin("webhook").upsert(r#"{"id":"a","v":2}"#).delete("b");
    commit(&store, batch).await;
    // An own change since then is none of anybody else.
    let mut batch = WriteBatch::new();
    batch.on(&stream).upsert(r#"{"id":"c","v":2}"#);
    commit(&store, batch).await;
    let page = |merging: Merging| {
        let mut batch = WriteBatch::new();
        let target = batch.on(&notes());
        target.merging(merging);
        target.upsert(r#"{"id":"a","v":1}"#).upsert(r#"{"id":"b","v":1}"#).upsert(r#"{"id":"c","v":3}"#);
        batch
    };
    let outcomes = commit(&store, page(Merging::KeepOthersAfter(asked_at))).await;
    assert_eq!(outcomes, [WriteOutcome::Kept, WriteOutcome::Kept, WriteOutcome::Updated]);
    // Asked for afterwards, the page knows better.
    let asked_at = store.head(&stream).await.unwrap().high_water;
    let outcomes = commit(&store, page(Merging::KeepOthersAfter(asked_at))).await;
    assert_eq!(outcomes, [WriteOutcome::Updated, WriteOutcome::Added, WriteOutcome::Unchanged]);
    let mut batch = WriteBatch::new();
    batch.on(&stream).merging(Merging::IgnoreIfModifiedAfter(asked_at)).delete("a");
    assert_eq!(commit(&store, batch).await, [WriteOutcome::Kept]);
}

/// P13: a page for no record at all, in a transaction of the host's, takes nothing from anybody.
#[tokio::test]
async fn p13_a_limit_of_nothing_is_one_and_hides_nothing() {
    let store = Threaded::open(MemoryBackend::default(), StoreOptions::new()).unwrap();
    let mut batch = WriteBatch::new();
    for id in 0..4 {
        batch.on(&notes()).upsert(format!(r#"{{"id":{id}}}"#));
    }
    commit(&store, batch).await;
    let first = store.records(&notes()).limit(1).page().await.unwrap().next_cursor;
    let mut request = PageRequest::new(notes()).since(first);
    request.limit = 0;
    let page = store.transaction(move |transaction| transaction.page(&request)).await.unwrap();
    assert_eq!((page.changes.len(), page.has_more), (1, true));
    assert_eq!(store.records(&notes()).since(first).page().await.unwrap().changes.len(), 3);
}

/// P31: a stream that is made while the clock is about to be rebased is rebased too.
#[tokio::test]
async fn p31_no_stream_is_left_behind_by_a_rebase() {
    let store = MemoryStore::new().unwrap();
    let mut batch = WriteBatch::new();
    batch.on(&notes()).upsert(r#"{"id":1}"#);
    commit(&store, batch).await;
    let mut rebase = std::pin::pin!(store.maintain(Maintenance::RebaseClock));
    let begun = std::future::poll_fn(|context| Poll::Ready(rebase.as_mut().poll(context))).await;
    // Whatever it does first, it has done by now.
    std::thread::sleep(Duration::from_millis(50));
    let new = StreamKey::new("demo", "New");
    let mut batch = WriteBatch::new();
    batch.on(&new).upsert(r#"{"id":1}"#);
    commit(&store, batch).await;
    if begun.is_pending() {
        rebase.await.unwrap();
    }
    for stream in [notes(), new] {
        let page = store.records(&stream).page().await.unwrap();
        assert_eq!(page.changes.len(), 1);
        let mut batch = WriteBatch::new();
        batch.on(&stream).upsert(r#"{"id":2}"#);
        commit(&store, batch).await;
        let page = store.records(&stream).since(page.next_cursor).page().await.unwrap();
        assert_eq!(page.changes.len(), 1, "{stream}");
    }
}
