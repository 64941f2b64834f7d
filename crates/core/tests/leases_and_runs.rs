//! What the engine builds its runs on: leases, expected documents, what a run has not seen.

use highwater_core::{
    DeleteGuard, Error, ErrorKind, MemoryStore, RunId, Store, StreamKey, Timestamp, UnseenRecords, WriteBatch,
    WriteOutcome,
};

fn notes() -> StreamKey {
    StreamKey::new("demo", "Note")
}

async fn ten(store: &MemoryStore) {
    let mut batch = WriteBatch::new();
    for n in 0..10 {
        batch.on(&notes()).upsert(format!(r#"{{"id":"{n}"}}"#));
    }
    store.commit(batch).await.unwrap();
}

#[tokio::test]
async fn h49_a_lease_taken_in_a_batch_shuts_earlier_holders_out() {
    let store = MemoryStore::new().unwrap();
    let mut take = WriteBatch::new();
    take.take_lease("run/a").take_lease("run/b").put_document("holder", &"one").unwrap();
    let leases = store.commit(take).await.unwrap().leases;
    assert_eq!((leases[0].name(), leases[1].name()), ("run/a", "run/b"));
    let write = |fence| {
        let mut batch = WriteBatch::new();
        batch.fence(fence).put_document("page", &1).unwrap();
        batch
    };
    store.commit(write(leases[0].clone())).await.unwrap();
    let mut again = WriteBatch::new();
    again.take_lease("run/a");
    let later = store.commit(again).await.unwrap().leases.remove(0);
    assert!(later.token() > leases[0].token());
    assert_eq!(store.commit(write(leases[0].clone())).await.unwrap_err().kind(), ErrorKind::Fenced);
    store.commit(write(leases[1].clone())).await.unwrap();
    store.commit(write(later)).await.unwrap();
}

#[tokio::test]
async fn a_batch_based_on_an_old_document_does_nothing() {
    let store = MemoryStore::new().unwrap();
    let set = |expected: Option<highwater_core::Json>, value: i32| {
        let mut batch = WriteBatch::new();
        batch.expect_document("counter", expected.as_ref()).put_document("counter", &value).unwrap();
        batch.put_document("witness", &value).unwrap();
        batch.take_lease("counter");
        batch
    };
    store.commit(set(None, 1)).await.unwrap();
    let refused: Error = store.commit(set(None, 2)).await.unwrap_err();
    assert_eq!((refused.kind(), refused.context("key")), (ErrorKind::Conflict, Some("counter")));
    let read = store.document("counter").await.unwrap();
    // Two writers with the same knowledge, whose batches share a commit: one wins.
    let (first, second) = tokio::join!(store.commit(set(read.clone(), 3)), store.commit(set(read, 4)));
    assert_eq!(first.unwrap().leases[0].token(), 2, "a refused batch takes no lease");
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(store.document("witness").await.unwrap().unwrap().as_str(), "3");
}

#[tokio::test]
async fn what_a_run_has_not_seen_is_told_and_can_be_spared() {
    let store = MemoryStore::new().unwrap();
    ten(&store).await;
    let run = RunId::new(Timestamp::from_unix_ms(1), 1);
    let mut batch = WriteBatch::new();
    batch.on(&notes()).begin_run(run);
    for n in 0..7 {
        batch.on(&notes()).upsert(format!(r#"{{"id":"{n}"}}"#));
    }
    store.commit(batch).await.unwrap();

    let mut ask = WriteBatch::new();
    ask.on(&notes()).upsert(r#"{"id":"new"}"#).list_unseen(run, 2);
    let UnseenRecords { missing, live, ids, .. } = store.commit(ask).await.unwrap().streams.remove(0).unseen.unwrap();
    assert_eq!((missing, live), (3, 11));
    assert_eq!(ids.iter().map(|id| &**id).collect::<Vec<_>>(), ["7", "8"]);

    let mut spare = WriteBatch::new();
    spare.on(&notes()).in_run(run).seen("8").seen("nobody").complete_run(run, DeleteGuard::default());
    let commit = store.commit(spare).await.unwrap().streams.remove(0);
    assert_eq!(commit.outcomes, [WriteOutcome::Unchanged, WriteOutcome::Missing]);
    assert_eq!(commit.deleted, 2);
    let kept = store.get(&notes(), &["7", "8", "9", "new"]).await.unwrap();
    let live: Vec<bool> = kept.iter().flatten().map(|record| record.metadata.deleted_at.is_none()).collect();
    assert_eq!(live, [false, true, false, true]);

    let mut ended = WriteBatch::new();
    ended.on(&notes()).list_unseen(run, 2);
    assert_eq!(store.commit(ended).await.unwrap_err().kind(), ErrorKind::Fenced);
}

#[tokio::test]
async fn h38_the_guard_holds_a_run_back_and_what_it_saw_stays_known() {
    let store = MemoryStore::new().unwrap();
    ten(&store).await;
    let run = RunId::new(Timestamp::from_unix_ms(1), 1);
    let mut batch = WriteBatch::new();
    batch.on(&notes()).begin_run(run).upsert(r#"{"id":"0"}"#);
    store.commit(batch).await.unwrap();
    let complete = |guard| {
        let mut batch = WriteBatch::new();
        batch.on(&notes()).complete_run(run, guard);
        batch
    };
    let strict = DeleteGuard::new().count(3).fraction(0.5);
    let refused = store.commit(complete(strict)).await.unwrap_err();
    assert_eq!((refused.kind(), refused.context("deletes")), (ErrorKind::AwaitingApproval, Some("9")));
    assert_eq!(store.head(&notes()).await.unwrap().live, 10);
    assert_eq!(store.commit(complete(DeleteGuard::APPROVED)).await.unwrap().streams[0].deleted, 9);
}

#[tokio::test]
async fn p26_what_is_missing_is_found_wherever_it_stands() {
    let store = MemoryStore::new().unwrap();
    let save = |numbers: Vec<u32>, text: &'static str| {
        let mut batch = WriteBatch::new();
        for n in numbers {
            batch.on(&notes()).upsert(format!(r#"{{"id":"{n}","text":"{text}"}}"#));
        }
        batch
    };
    store.commit(save((0..600).collect(), "one")).await.unwrap();
    // Some rows are gone, some are tombstones, others stand at the end.
    store.commit(save((100..140).collect(), "two")).await.unwrap();
    let mut gone = WriteBatch::new();
    gone.on(&notes()).delete("300").delete("130");
    store.commit(gone).await.unwrap();

    let missing = [0, 1, 17, 18, 40, 99, 100, 139, 141, 250, 267, 284, 302, 303, 450, 598];
    let run = RunId::new(Timestamp::from_unix_ms(1), 1);
    let mut begin = WriteBatch::new();
    begin.on(&notes()).begin_run(run);
    for n in (0..600).filter(|n| !missing.contains(n) && ![300, 130].contains(n)) {
        let text = if (100..140).contains(&n) { "two" } else { "one" };
        begin.on(&notes()).upsert(format!(r#"{{"id":"{n}","text":"{text}"}}"#));
    }
    begin.on(&notes()).upsert(r#"{"id":"new"}"#);
    store.commit(begin).await.unwrap();

    let mut ask = WriteBatch::new();
    ask.on(&notes()).in_run(run).list_unseen(run, 14);
    let unseen = store.commit(ask).await.unwrap().streams.remove(0).unseen.unwrap();
    let ids: Vec<u32> = unseen.ids.iter().map(|id| id.parse().unwrap()).collect();
    assert_eq!(ids, [0, 1, 17, 18, 40, 99, 141, 250, 267, 284, 302, 303, 450, 598]);

    let mut end = WriteBatch::new();
    end.on(&notes()).complete_run(run, DeleteGuard::default());
    assert_eq!(store.commit(end).await.unwrap().streams[0].deleted, missing.len() as u64);
    for n in 0..600 {
        let found = store.get(&notes(), &[&n.to_string()]).await.unwrap().remove(0).unwrap();
        let live = found.metadata.deleted_at.is_none();
        assert_eq!(live, !missing.contains(&n) && ![300, 130].contains(&n), "{n}");
    }
}
