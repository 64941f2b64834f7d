//! A clock that is far ahead: whether it leapt or time passed, as the syncs find out.

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/world.rs"]
mod world;

use std::sync::Arc;
use std::time::Duration;

use highwater_core::{Cursor, ErrorKind, PageRequest, StreamKey};
use highwater_engine::RunOptions;
use scripted::{Scene, with};
use world::{Clock, World};

const DAY_MS: i64 = 24 * 3600 * 1000;

#[tokio::test(start_paused = true)]
async fn clock_a_year_without_a_change_holds_nothing_up() {
    let world = World::new(5).await;
    world.run(RunOptions::default()).await.unwrap();
    for _ in 0..390 {
        world.clock.jump(DAY_MS);
        assert_eq!(world.run(RunOptions::default()).await.unwrap().progress.fetched, 0);
    }
    world.clock.jump(10 * DAY_MS);
    world.api().put(6..=15);
    world.run(RunOptions::default()).await.unwrap();
    assert_eq!(world.live().await, 15);
}

#[tokio::test(start_paused = true)]
async fn clock_that_leapt_is_accepted_by_the_host_and_cursors_stay() {
    let world = World::new(5).await;
    world.run(RunOptions::default()).await.unwrap();
    let items = StreamKey::new("c", "Item");
    let read = |after: Cursor| world.store.page(PageRequest::new(items.clone()).since(after));
    let before = read(Cursor::START).await.unwrap().next_cursor;
    world.clock.jump(3 * 365 * DAY_MS);
    world.api().put(6..=7);
    for _ in 0..3 {
        let error = world.run(RunOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClockImplausible, "{error}");
        assert!(error.to_string().contains("accept it if it is right"), "{error}");
    }
    world.engine.accept_clock().await.unwrap();
    world.run(RunOptions::default()).await.unwrap();
    assert_eq!(read(before).await.unwrap().changes.len(), 2, "no cursor expired");
}

/// By a clock that leapt every run would be old: the lines that tell what happened would be gone when they are needed.
#[tokio::test(start_paused = true)]
async fn clock_that_leapt_sweeps_no_logs_out() {
    let world = World::new(5).await;
    for _ in 0..3 {
        world.run(RunOptions::default()).await.unwrap();
        world.clock.jump(DAY_MS);
    }
    world.clock.jump(3 * 365 * DAY_MS);
    world.api().put(6..=7);
    world.run(RunOptions::default()).await.unwrap_err();
    assert_eq!(world.engine.sweep_logs().await.unwrap(), 0);
    assert_eq!(world.engine.sync("c", world::SYNC).unwrap().runs().await.unwrap().len(), 4);
    world.engine.accept_clock().await.unwrap();
    assert_eq!(world.engine.sweep_logs().await.unwrap(), 3, "old by a clock that is right");
}

/// What the server says of the time decides, whether this process was asleep or its clock went wrong.
#[tokio::test(start_paused = true)]
async fn clock_of_the_api_tells_a_long_sleep_from_a_leap() {
    let server = |clock: Arc<Clock>, behind_days: i64| {
        move |_: &highwater_template::HttpRequest| {
            let now_ms =
                highwater_core::Environment::now(&*clock).unix_ms().saturating_add_signed(-behind_days * DAY_MS);
            let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_millis(now_ms));
            Ok(with(200, &format!(r#"[{{"id":1,"at":{now_ms}}}]"#), &[("Date", &date)]))
        }
    };
    let scene = Scene::new(|_| Ok(with(200, r#"[{"id":1}]"#, &[]))).await;
    scene.run().await.unwrap();
    scene.clock.jump(800 * DAY_MS);
    scene.answer(server(Arc::clone(&scene.clock), 800));
    let error = scene.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClockImplausible);
    assert!(error.to_string().contains("the clock of the API"), "{error}");
    scene.answer(server(Arc::clone(&scene.clock), 0));
    let slept = scene.run().await.unwrap();
    assert_eq!(slept.progress.counts.updated, 1, "asleep for 800 days, and all is well");
}
