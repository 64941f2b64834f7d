//! The counts of a run: in its report, its models, its events and the sync's status.

#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use highwater_core::{ErrorKind, StoreExt, StreamKey};
use highwater_engine::runs::Counts;
use highwater_engine::{RunOptions, RunReport, RunState};
use world::{SYNC, World};

fn full() -> RunOptions {
    RunOptions::default().full(true)
}

/// What a report says of all its models together.
fn sum_of_models(report: &RunReport) -> Counts {
    report.models.values().fold(Counts::default(), |mut sum, counts| {
        sum += *counts;
        sum
    })
}

fn assert_agree(report: &RunReport) {
    let progress = report.progress;
    assert_eq!(progress.counts, sum_of_models(report), "{report:?}");
    let Counts { added, updated, unchanged, set_aside, .. } = progress.counts;
    assert_eq!(progress.fetched, added + updated + unchanged + set_aside, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn the_counts_agree_over_attempts_that_die_fail_and_succeed() {
    for page in 1..5 {
        // Each refresh is interrupted twice: its process dies, and then the API fails.
        let world = World::new(45).await;
        world.api().delay = Duration::from_millis(100);
        let dying =
            tokio::time::timeout(Duration::from_millis(100 * page + 50), world.run(RunOptions::default())).await;
        assert!(dying.is_err());
        world.clock.jump(100_000);
        let other = world.another();
        let sync = other.sync("c", SYNC).unwrap();
        world.api().faults.extend([None, Some(ErrorKind::Remote)]);
        let mut events = other.events();
        let failed = sync.run_once(RunOptions::default()).await;
        let report = match failed {
            Ok(report) => report,
            Err(_) => {
                let failed = sync.runs().await.unwrap().remove(0);
                assert_eq!(failed.state, RunState::Error);
                assert_agree(&failed);
                sync.run_once(RunOptions::default()).await.unwrap()
            }
        };
        assert_agree(&report);
        assert_eq!((report.resumed > 0, report.progress.counts.added), (true, 45 + 1), "died after page {page}");
        assert_eq!(report.progress.pages, 5 + 1, "no page is counted twice");
        assert_eq!(world.live().await, 45);
        let last = std::iter::from_fn(|| events.try_recv().ok()).last().unwrap();
        assert_eq!((last.state, last.progress), (RunState::Success, report.progress));
        assert_eq!(sync.state().await.unwrap().status.latest, report.models);
        assert_eq!(other.fetch_run(report.id).await.unwrap(), report);

        // The next refresh deletes at its end, and counts that once.
        world.api().items.remove(&3);
        world.api().items.remove(&4);
        let report = sync.run_once(full()).await.unwrap();
        assert_agree(&report);
        assert_eq!((report.progress.counts.unchanged, report.progress.counts.deleted), (43 + 1, 2));
        assert_eq!(other.fetch_run(report.id).await.unwrap(), report);
        let stream = StreamKey::new("c", "Item");
        let page = world.store.records(&stream).limit(1000).page().await.unwrap();
        let deleted = page.changes.iter().filter(|change| change.record.metadata.deleted_at.is_some()).count();
        assert_eq!(deleted, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn p29_the_counts_of_a_run_that_dies_are_those_of_its_pages() {
    let world = World::new(10).await;
    world.run(RunOptions::default()).await.unwrap();
    world.api().put(5..36);
    world.api().delay = Duration::from_millis(100);
    let dying = tokio::time::timeout(Duration::from_millis(250), world.run(RunOptions::default())).await;
    assert!(dying.is_err());
    world.clock.jump(100_000);
    let next = world.another().sync("c", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
    let dead = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().remove(1);
    let counts = |report: &highwater_engine::RunReport| {
        let progress = report.progress;
        [progress.pages, progress.fetched, progress.counts.added, progress.counts.updated, progress.counts.unchanged]
    };
    assert_eq!((dead.state, counts(&dead)), (RunState::Error, [2, 20, 14, 6, 0]));
    assert_eq!((dead.models["Item"].added, dead.models["Item"].updated), (14, 6));
    assert_eq!(counts(&next), [2, 11, 11, 0, 0]);

    // A refresh goes on with the counts of every page it saved, the last one too; one that cannot go on keeps them.
    let dying = tokio::time::timeout(Duration::from_millis(250), world.run(full())).await;
    assert!(dying.is_err());
    world.clock.jump(100_000);
    let resumed = world.another().sync("c", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
    assert_eq!((resumed.resumed, counts(&resumed)), (1, [5, 36, 0, 0, 36]));
    let dying = tokio::time::timeout(Duration::from_millis(250), world.run(full())).await;
    assert!(dying.is_err());
    world.clock.jump(100_000);
    world.another().sync("c", SYNC).unwrap().run_once(full()).await.unwrap();
    let dead = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().remove(1);
    assert_eq!((dead.state, counts(&dead)), (RunState::Error, [2, 20, 0, 0, 20]));
}
