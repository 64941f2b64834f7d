//! Stores that earlier formats wrote: what the code of now makes of them.
//!
//! `kept/FORMAT` has a store of each kind, made by the code of that format, and `facts.json`, what that code read from
//! them. To make those of the current format, before the next one comes:
//! `HIGHWATER_TEST_KEEP=tests/formats/kept/2 cargo test --test formats --features encryption,zstd -- --ignored make`
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod facts;
mod kept;
mod migration;
#[path = "../support/processes.rs"]
mod support;

use highwater::batch::DeleteGuard;
use highwater::consumer::PollOptions;
use highwater::maintenance::{Maintenance, MaintenanceReport};
use highwater::{ErrorKind, RunId, Store, StoreExt, WriteBatch};
use kept::{Kept, block_on, copies, environment, notes, tasks};

/// Not a test of its own: what the children of the others do.
#[test]
fn child() {
    if let Some(role) = support::role() {
        migration::act(&role);
    }
}

#[test]
#[ignore = "makes the files of the current format"]
fn make() {
    kept::make(std::path::Path::new(&std::env::var("HIGHWATER_TEST_KEEP").unwrap()));
}

#[test]
fn everything_that_was_kept_is_read() {
    for copy in copies() {
        let store = copy.open().unwrap();
        let read = block_on(facts::of(&*store));
        facts::compare(&copy.name(), &copy.facts(), &read);
        block_on(store.close()).unwrap();
        drop(store);
        // And once more, as what it was made into.
        let store = copy.open().unwrap();
        facts::compare(&copy.name(), &copy.facts(), &block_on(facts::of(&*store)));
    }
}

#[test]
fn the_log_goes_on_where_it_was() {
    for copy in copies() {
        block_on(goes_on(&copy));
    }
}

async fn goes_on(copy: &Kept) {
    let name = copy.name();
    let environment = environment(kept::LATER_MS);
    let store = copy.open_under(&environment).unwrap();
    let before = store.head(&notes()).await.unwrap();
    let mut batch = WriteBatch::new();
    batch.on(&notes()).upsert(kept::note("a", 9)).upsert(kept::note("new", 1)).upsert(kept::note("f", 2));
    let lease = batch.take_lease("run/a");
    lease.put_document("checkpoint/notes", &"later").unwrap();
    let commit = store.commit(batch).await.unwrap();
    let done = &commit.streams[0];
    assert_eq!((done.updated, done.added, done.unchanged), (1, 1, 1), "{name}");
    assert!(done.cursor > before.high_water, "{name}");
    assert_eq!(commit.leases[0].token(), 3, "{name}");

    // A cursor from then reads what came since, and only that.
    let page = store.records(&notes()).since(before.high_water).page().await.unwrap();
    let ids: Vec<&str> = page.changes.iter().map(|change| &*change.record.id).collect();
    assert_eq!(ids, ["a", "new"], "{name}");
    assert_eq!(store.versions(&notes(), "a").await.unwrap().len(), 4, "{name}: three are kept beside the present one");

    // The leased consumer's lease is over; it goes on with the batch that it did not acknowledge.
    let index = store.consumer(&notes(), "index");
    let mut ids = Vec::new();
    while ids.last().is_none_or(|id| id != "new") {
        let delivery = index.poll().await.unwrap();
        ids.extend(delivery.page.changes.iter().map(|change| change.record.id.to_string()));
        index.ack(delivery.token).await.unwrap();
    }
    assert_eq!(ids.first().map(String::as_str), Some("j"), "{name}");
    assert_eq!(index.status().await.unwrap().lag, 0, "{name}");
    assert_eq!(store.consumer(&notes(), "poison").status().await.unwrap().parked, ["j"], "{name}");
    let again = store.consumer(&tasks(), "gone").options(PollOptions::default().limit(1));
    assert_eq!(again.poll().await.unwrap().page.changes.len(), 1, "{name}");

    // The open run goes on: what it marked before is not deleted.
    let mut batch = WriteBatch::new();
    let target = batch.on(&tasks());
    target.in_run(RunId::from_u128(kept::RUN));
    for n in 21..=30 {
        target.seen(n.to_string());
    }
    target.complete_run(RunId::from_u128(kept::RUN), DeleteGuard::APPROVED);
    let commit = store.commit(batch).await.unwrap();
    assert_eq!(commit.streams[0].deleted, 5, "{name}: 1 to 5 were never seen");
    // A member that the stream's rules leave out is no change.
    let mut batch = WriteBatch::new();
    batch.on(&tasks()).upsert(kept::task(30).replace("etag-30", "another"));
    assert_eq!(store.commit(batch).await.unwrap().streams[0].unchanged, 1, "{name}");

    for stream in [notes(), tasks()] {
        match store.maintain(Maintenance::Verify(stream)).await.unwrap() {
            MaintenanceReport::Verified(found) => assert!(found.is_clean(), "{name}: {found:?}"),
            other => panic!("{other:?}"),
        }
    }
    let early: highwater::Cursor = copy.facts()["documents"]["bookmark/early"].as_str().unwrap().parse().unwrap();
    let expired = store.records(&notes()).since(early).page().await.unwrap_err();
    assert_eq!(expired.kind(), ErrorKind::CursorExpired, "{name}");
    store.close().await.unwrap();
}
