//! Runs that did not see everything: they delete nothing, say why, and a later run makes up for it.

#[path = "support/things.rs"]
mod things;

use highwater_engine::runs::RunMode;
use highwater_engine::{RunOptions, RunState};
use highwater_template::LogLevel;
use things::{Things, World, full, good};

fn list(ids: &[&str]) -> Vec<Vec<String>> {
    ids.iter().zip(1..).map(|(id, at)| vec![good(id, at)]).collect()
}

#[tokio::test(start_paused = true)]
async fn incomplete_refreshes_delete_nothing_and_the_next_run_reads_everything_again() {
    let world = World::new(Things { times: true, ..Things::default() }).await;
    world.api().pages = list(&["a", "b"]);
    world.api().incomplete_at = Some(1);
    let report = world.run(RunOptions::default()).await.unwrap();
    assert_eq!((report.state, report.progress.counts.added, report.is_clean()), (RunState::Success, 2, false));
    assert_eq!(report.incomplete["Thing"], "the list ends at 10,000");
    let lines = world.engine.run_log(report.id).await.unwrap();
    let told = lines.iter().find(|line| line.message.contains("the list ends at 10,000")).unwrap();
    assert!(told.level == LogLevel::Warning && told.message.contains("Thing"), "{told:?}");
    assert_eq!(world.checkpoint().await, None, "what is missing lies before any checkpoint");
    assert_eq!(world.status().await.incomplete["Thing"].run, report.id);

    // Everything was read once; later a refresh is cut short, and misses b and c.
    world.api().pages = list(&["a", "b", "c"]);
    world.api().incomplete_at = None;
    let report = world.run(RunOptions::default()).await.unwrap();
    assert_eq!((report.mode, report.progress.counts.added, report.is_clean()), (RunMode::Initial, 1, true));
    assert!(world.status().await.is_clean());
    assert!(world.checkpoint().await.is_some());
    world.api().pages = list(&["a"]);
    world.api().incomplete_at = Some(0);
    let report = world.run(full().approve_deletes(true)).await.unwrap();
    assert_eq!((report.state, report.progress.counts.deleted), (RunState::Success, 0));
    assert_eq!(world.live().await, ["a", "b", "c"]);
    assert!(world.checkpoint().await.is_none() && !world.status().await.is_clean());

    // The next run reads everything, and knows what is gone.
    world.api().incomplete_at = None;
    world.api().pages = list(&["a", "b"]);
    let report = world.run(RunOptions::default()).await.unwrap();
    assert_eq!((report.mode, report.progress.counts.deleted), (RunMode::Initial, 1));
    assert_eq!(world.live().await, ["a", "b"]);
    assert!(world.status().await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn incomplete_incremental_runs_do_not_move_the_checkpoint() {
    let world = World::new(Things { times: true, ..Things::default() }).await;
    world.api().pages = list(&["a", "b"]);
    world.run(RunOptions::default()).await.unwrap();
    world.api().pages = vec![vec![good("c", 3)], vec![good("e", 5)], vec![good("f", 6)]];
    world.api().incomplete_at = Some(1);
    let report = world.run(RunOptions::default()).await.unwrap();
    assert_eq!((report.mode, report.progress.counts.added), (RunMode::Incremental, 3), "what there is, is saved");
    let checkpoint = world.checkpoint().await;
    assert_eq!(checkpoint.as_deref(), Some("\"2026-01-01T00:00:03Z\""), "d lies behind c");
    assert!(!world.status().await.is_clean());
    world.api().pages = vec![vec![good("d", 4), good("e", 5), good("f", 6)]];
    world.api().incomplete_at = None;
    assert!(world.run(RunOptions::default()).await.unwrap().is_clean());
    assert!(world.status().await.is_clean());
    assert_eq!(world.checkpoint().await.as_deref(), Some("\"2026-01-01T00:00:06Z\""));
    assert_eq!(world.live().await, ["a", "b", "c", "d", "e", "f"]);
}

#[tokio::test(start_paused = true)]
async fn incomplete_stays_a_refresh_that_is_interrupted() {
    let world = World::new(Things { times: true, ..Things::default() }).await;
    world.api().pages = list(&["a", "b", "c"]);
    world.run(RunOptions::default()).await.unwrap();
    world.api().pages = list(&["a", "c"]);
    (world.api().incomplete_at, world.api().fails_at) = (Some(1), Some(2));
    world.api().pages.push(Vec::new());
    world.run(full()).await.unwrap_err();
    // It goes on from its first page: behind that it reads everything, but not what was cut off before.
    (world.api().incomplete_at, world.api().fails_at) = (None, None);
    world.api().pages = vec![vec![good("c", 2)]];
    let report = world.run(RunOptions::default()).await.unwrap();
    assert_eq!((report.resumed, report.state, report.progress.counts.deleted), (1, RunState::Success, 0));
    assert_eq!(report.incomplete["Thing"], "the list ends at 10,000");
    assert_eq!(world.live().await, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn incomplete_for_good_deletes_nothing_and_goes_on() {
    let world = World::new(Things { times: true, ..Things::default() }).await;
    world.api().pages = list(&["a", "b"]);
    world.run(RunOptions::default()).await.unwrap();
    world.api().pages = list(&["a"]);
    world.api().uncertain_at = Some(0);
    let report = world.run(full()).await.unwrap();
    assert_eq!((report.progress.counts.deleted, report.is_clean()), (0, false));
    assert_eq!(report.incomplete["Thing"], "a part is closed");
    assert!(world.checkpoint().await.is_some());
    assert_eq!(world.live().await, ["a", "b"]);
    world.api().pages = vec![vec![good("c", 3)]];
    let report = world.run(RunOptions::default()).await.unwrap();
    assert_eq!(report.mode, RunMode::Incremental);
    assert_eq!(world.checkpoint().await.as_deref(), Some("\"2026-01-01T00:00:03Z\""), "to read it again is of no use");
    // What a refresh did not see, only another one can.
    world.api().uncertain_at = None;
    assert!(world.run(RunOptions::default()).await.unwrap().is_clean());
    assert!(!world.status().await.is_clean());
    world.api().pages = list(&["a", "c"]);
    assert_eq!(world.run(full()).await.unwrap().progress.counts.deleted, 1);
    assert!(world.status().await.is_clean());
}
