//! The log from outside, on the memory store: what a batch does, what a page tells.

use std::time::Duration;

use highwater_core::{
    Action, ContentFilter, Cursor, DeleteGuard, ErrorKind, Maintenance, MaintenanceReport, MemoryStore, NetAction,
    PollOptions, PruneWhat, RunId, Store, StoreExt, StoreOptions, StreamKey, Timestamp, TypedPage, WriteBatch,
    WriteOutcome,
};

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

async fn save(store: &MemoryStore, payloads: &[&str]) -> Vec<WriteOutcome> {
    let mut batch = WriteBatch::new();
    let stream = notes();
    let target = batch.on(&stream);
    for payload in payloads {
        target.upsert(payload.to_string());
    }
    store.commit(batch).await.unwrap().streams.remove(0).outcomes
}

async fn delete(store: &MemoryStore, id: &str) -> WriteOutcome {
    let mut batch = WriteBatch::new();
    batch.on(&notes()).delete(id);
    store.commit(batch).await.unwrap().streams[0].outcomes[0]
}

async fn assert_clean(store: &MemoryStore) {
    match store.maintain(Maintenance::Verify(notes())).await.unwrap() {
        MaintenanceReport::Verified(found) => assert_eq!(found.problems, Vec::<String>::new()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn p07_every_row_of_the_truth_table() {
    let store = MemoryStore::new().unwrap();
    assert_eq!(delete(&store, "a").await, WriteOutcome::Missing);
    assert_eq!(save(&store, &[r#"{"id":"a","x":1}"#]).await, [WriteOutcome::Added]);
    assert_eq!(save(&store, &[r#"{"id":"a","x":1}"#]).await, [WriteOutcome::Unchanged]);
    assert_eq!(save(&store, &[r#"{"id":"a","x":2}"#]).await, [WriteOutcome::Updated]);
    assert_eq!(delete(&store, "a").await, WriteOutcome::Deleted);
    assert_eq!(delete(&store, "a").await, WriteOutcome::Missing);
    assert_eq!(save(&store, &[r#"{"id":"a","x":2}"#]).await, [WriteOutcome::Added]);
    assert_clean(&store).await;
}

/// What is to be removed has none, though its last content is kept.
#[tokio::test]
async fn a_typed_change_has_a_value_where_there_is_something_to_store() {
    let store = MemoryStore::new().unwrap();
    save(&store, &[r#"{"id":"a","x":1}"#, r#"{"id":"b","x":1}"#]).await;
    let open = ContentFilter::new().equals("/x", 1);
    let read = |cursor| store.records_as::<serde_json::Value>(&notes()).since(cursor);
    let all = read(Cursor::START).page().await.unwrap();
    let matching = read(Cursor::START).with(|records| records.matching(open.clone())).page().await.unwrap();
    assert!(all.changes.iter().chain(&matching.changes).all(|change| change.value.is_some()));
    delete(&store, "a").await;
    save(&store, &[r#"{"id":"b","x":2}"#, r#"{"id":"c","x":1}"#]).await;
    delete(&store, "c").await;
    assert!(
        store.get(&notes(), &["a"]).await.unwrap()[0].as_ref().unwrap().payload.is_some(),
        "the last content is kept"
    );
    let told = |page: TypedPage<serde_json::Value>| -> Vec<_> {
        page.changes.into_iter().map(|change| (change.id.to_string(), change.net, change.value.is_some())).collect()
    };
    assert_eq!(
        told(read(all.next_cursor).page().await.unwrap()),
        [
            ("a".to_owned(), NetAction::Deleted, false),
            ("b".to_owned(), NetAction::Updated, true),
            ("c".to_owned(), NetAction::Void, false)
        ]
    );
    let filtered = read(matching.next_cursor).with(|records| records.matching(open.clone())).page().await.unwrap();
    assert_eq!(
        told(filtered),
        [
            ("a".to_owned(), NetAction::Deleted, false),
            ("b".to_owned(), NetAction::Left, false),
            ("c".to_owned(), NetAction::Void, false)
        ]
    );
}

#[tokio::test]
async fn net_action_is_what_the_reader_needs() {
    let store = MemoryStore::new().unwrap();
    save(&store, &[r#"{"id":"a","x":1}"#, r#"{"id":"b","x":1}"#]).await;
    let before = store.records(&notes()).page().await.unwrap();
    assert!(before.caught_up && !before.has_more);
    assert_eq!(before.changes.len(), 2);
    delete(&store, "a").await;
    save(&store, &[r#"{"id":"a","x":1}"#, r#"{"id":"c","x":1}"#]).await;
    delete(&store, "b").await;
    delete(&store, "c").await;
    let page = store.records(&notes()).since(before.next_cursor).page().await.unwrap();
    let told: Vec<_> = page.changes.iter().map(|c| (&*c.record.id, c.net, c.record.metadata.last_action)).collect();
    assert_eq!(
        told,
        [
            ("a", NetAction::Updated, Action::Added),
            ("b", NetAction::Deleted, Action::Deleted),
            ("c", NetAction::Void, Action::Deleted)
        ]
    );
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_small_memory_budget_finds_everything_again() {
    let store = MemoryStore::with_options(StoreOptions::new().memory_budget(0)).unwrap();
    for round in 0..40 {
        let payloads: Vec<String> =
            (0..25).map(|n| format!(r#"{{"id":"{}","round":{round}}}"#, (n * 7 + round * 3) % 200)).collect();
        let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
        save(&store, &payloads).await;
        assert_clean(&store).await;
    }
    let found = store.get(&notes(), &["0", "199", "200"]).await.unwrap();
    assert!(found[0].is_some() && found[1].is_some() && found[2].is_none());
}

#[tokio::test]
async fn p26_a_run_deletes_only_what_it_did_not_see() {
    let store = MemoryStore::new().unwrap();
    let payloads: Vec<String> = (0..10).map(|n| format!(r#"{{"id":"{n}"}}"#)).collect();
    save(&store, &payloads.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let run = RunId::new(Timestamp::from_unix_ms(1), 1);
    let mut batch = WriteBatch::new();
    let stream = batch.on(&notes()).begin_run(run);
    for payload in &payloads[1..] {
        stream.upsert(payload.clone());
    }
    store.commit(batch).await.unwrap();
    save(&store, &[r#"{"id":"meanwhile"}"#]).await;
    let mut batch = WriteBatch::new();
    batch.on(&notes()).complete_run(run, DeleteGuard::default());
    assert_eq!(store.commit(batch).await.unwrap().streams[0].deleted, 1);
    assert_eq!(store.head(&notes()).await.unwrap().live, 10);
    assert_clean(&store).await;
}

#[tokio::test]
async fn p24_a_reader_behind_the_horizon_is_told() {
    let store = MemoryStore::new().unwrap();
    save(&store, &[r#"{"id":"a"}"#, r#"{"id":"b"}"#]).await;
    let early = store.records(&notes()).limit(1).page().await.unwrap().next_cursor;
    delete(&store, "a").await;
    let late = store.records(&notes()).page().await.unwrap().next_cursor;
    let prune = Maintenance::Prune { stream: notes(), what: PruneWhat::Tombstones, up_to: late };
    store.maintain(prune).await.unwrap();
    let error = store.records(&notes()).since(early).page().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CursorExpired);
    assert!(store.records(&notes()).since(late).page().await.unwrap().caught_up);
    assert_eq!(store.records(&notes()).since(Cursor::START).page().await.unwrap().changes.len(), 1);
    assert_clean(&store).await;
}

#[tokio::test]
async fn a_consumer_goes_on_where_it_acknowledged() {
    let store = MemoryStore::new().unwrap();
    save(&store, &[r#"{"id":"a"}"#, r#"{"id":"b"}"#, r#"{"id":"c"}"#]).await;
    let stream = notes();
    let at_once = PollOptions::default().limit(2).backoff(Duration::ZERO, Duration::ZERO);
    let reader = store.consumer(&stream, "index").options(at_once);
    let first = reader.poll().await.unwrap();
    assert_eq!(reader.poll().await.unwrap_err().kind(), ErrorKind::LeaseLost);
    reader.nack(first.token).await.unwrap();
    let again = reader.poll().await.unwrap();
    assert_eq!((again.attempt, again.page.changes.len()), (2, 1));
    reader.ack(again.token).await.unwrap();
    assert_eq!(reader.status().await.unwrap().lag, 2);
    let last = reader.poll().await.unwrap();
    assert_eq!((last.attempt, last.page.changes.len()), (1, 2));
    assert_eq!(reader.ack(first.token).await.unwrap_err().kind(), ErrorKind::LeaseLost);
    reader.ack(last.token).await.unwrap();
    assert!(reader.poll().await.unwrap().page.changes.is_empty());
}

#[tokio::test]
async fn a_bad_record_takes_its_batch_with_it() {
    let store = MemoryStore::new().unwrap();
    let mut batch = WriteBatch::new();
    batch.on(&notes()).upsert(r#"{"id":"a"}"#).upsert(r#"{"name":"nobody"}"#);
    batch.put_document("checkpoint", &1).unwrap();
    let error = store.commit(batch).await.unwrap_err();
    assert_eq!((error.kind(), error.context("record")), (ErrorKind::Invalid, Some("1")));
    assert_eq!(store.head(&notes()).await.unwrap().live, 0);
    assert!(store.document("checkpoint").await.unwrap().is_none());
}

/// P17, found by the simulation: a reader comes past the place where a record ended, when the record has already come back and
/// stands further on; then it goes again. The reader holds it from its first life and must be told.
#[tokio::test]
async fn p17_an_end_that_moved_on_before_the_reader_came_by_is_told_later() {
    let store = MemoryStore::new().unwrap();
    save(&store, &[r#"{"id":"a","x":1}"#]).await;
    let holding = store.records(&notes()).page().await.unwrap().next_cursor;
    delete(&store, "a").await;
    save(&store, &[r#"{"id":"b","x":1}"#, r#"{"id":"c","x":1}"#, r#"{"id":"a","x":2}"#]).await;
    // Past the first end of `a`, before its second life.
    let page = store.records(&notes()).since(holding).limit(1).page().await.unwrap();
    assert_eq!(&*page.changes[0].record.id, "b");
    let past = page.next_cursor;
    let filter = highwater_core::ContentFilter::new().equals("/x", 1);
    let filtered = store.records(&notes()).matching(filter.clone()).limit(1).page().await.unwrap().next_cursor;
    let filtered = store.records(&notes()).matching(filter).since(filtered).page().await.unwrap();
    assert!(filtered.changes.iter().all(|change| change.net != NetAction::Void));
    delete(&store, "a").await;
    let page = store.records(&notes()).since(past).page().await.unwrap();
    let told: Vec<_> = page.changes.iter().map(|change| (&*change.record.id, change.net)).collect();
    assert_eq!(told, [("c", NetAction::Added), ("a", NetAction::Deleted)]);
    // Also when the first end lies below a horizon by now: the reader does not.
    let mut batch = WriteBatch::new();
    batch.on(&notes()).upsert(r#"{"id":"a","x":3}"#);
    store.commit(batch).await.unwrap();
    let up_to = past;
    store.maintain(Maintenance::Prune { stream: notes(), what: PruneWhat::Tombstones, up_to }).await.unwrap();
    delete(&store, "a").await;
    let page = store.records(&notes()).since(past).page().await.unwrap();
    assert_eq!(page.changes.last().unwrap().net, NetAction::Deleted);
}

/// A lease that was given while the clock was wrong does not outlive the mistake. Found by the simulation.
#[tokio::test]
async fn a_consumers_lease_of_a_wrong_clock_is_over_when_the_clock_is_right() {
    #[derive(Debug)]
    struct Clock(std::sync::atomic::AtomicU64);
    impl highwater_core::Environment for Clock {
        fn now(&self) -> highwater_core::Timestamp {
            highwater_core::Timestamp::from_unix_ms(self.0.load(std::sync::atomic::Ordering::Relaxed))
        }
        fn fill_random(&self, bytes: &mut [u8]) {
            highwater_core::SystemEnvironment.fill_random(bytes);
        }
    }
    let now_ms = 1_790_000_000_000;
    let clock = std::sync::Arc::new(Clock(now_ms.into()));
    let options = StoreOptions::new().environment(std::sync::Arc::<Clock>::clone(&clock));
    let store = MemoryStore::with_options(options).unwrap();
    save(&store, &[r#"{"id":"a"}"#]).await;
    let set = |now_ms: u64| clock.0.store(now_ms, std::sync::atomic::Ordering::Relaxed);
    set(now_ms + 100 * 86_400_000);
    let reader = store.consumer(&notes(), "reader");
    let first = reader.poll().await.unwrap();
    assert_eq!(reader.poll().await.unwrap_err().kind(), ErrorKind::LeaseLost);
    set(now_ms + 100 * 86_400_000 - 2);
    assert_eq!(reader.poll().await.unwrap_err().kind(), ErrorKind::LeaseLost, "a clock set back a little");
    set(now_ms);
    assert!(!reader.status().await.unwrap().leased);
    assert_eq!(reader.poll().await.unwrap().page.changes.len(), 1);
    assert_eq!(reader.ack(first.token).await.unwrap_err().kind(), ErrorKind::LeaseLost);
}
