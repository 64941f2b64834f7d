//! What a host learns of its syncs: the kind of an error beside its text, once and at once; and errors in the place of an
//! endless wait for what does not exist.
#![allow(clippy::disallowed_methods)]

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use highwater_core::{Error, ErrorKind, Json, Store, StoreExt, StreamKey, WriteBatch};
use highwater_engine::logs::LogFilter;
use highwater_engine::runs::RunMode;
use highwater_engine::{DisableMode, Phase, RunEvent, RunOptions, RunState, SyncOptions, TriggerMode};
use scripted::Scene;
use tokio::runtime::Handle;
use world::{SYNC, World, sleep};

#[tokio::test(start_paused = true)]
async fn the_kind_stands_beside_the_text_wherever_an_error_is_told() {
    let world = World::new(3).await;
    let mut events = world.engine.events();
    for (kind, state, needs_action) in [
        (ErrorKind::Unauthorized, RunState::Error, true),
        (ErrorKind::Remote, RunState::Error, false),
        (ErrorKind::TimedOut, RunState::TimedOut, false),
    ] {
        world.api().faults = [Some(kind)].into();
        world.engine.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap_err();
        let told: Vec<RunEvent> = std::iter::from_fn(|| events.try_recv().ok()).collect();
        let with_text = |event: &&RunEvent| {
            event.error.iter().chain(&event.message).any(|text| text.contains("the API was told to fail"))
        };
        assert_eq!(told.iter().filter(with_text).count(), 1, "told once: {told:?}");
        let last = told.last().unwrap();
        assert_eq!((last.state, last.error_kind, last.needs_action()), (state, Some(kind), needs_action));
        let report = world.engine.sync("c", SYNC).unwrap().runs().await.unwrap().remove(0);
        assert_eq!((report.error_kind, report.needs_action()), (Some(kind), needs_action));
        let status = world.engine.sync("c", SYNC).unwrap().state().await.unwrap().status;
        assert_eq!((status.last_error_kind, status.needs_action()), (Some(kind), needs_action));
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["last_error_kind"], kind.as_str());
        let json = serde_json::to_value(last).unwrap();
        assert_eq!(json["error_kind"], kind.as_str());
    }
    let report = world.engine.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["mode"], &json["state"]), (&"initial".into(), &"success".into()));
    assert!(json.get("error_kind").is_none());
    assert_eq!(world.engine.sync("c", SYNC).unwrap().state().await.unwrap().status.last_error_kind, None);
}

#[tokio::test(start_paused = true)]
async fn what_earlier_versions_wrote_is_read() {
    let world = World::new(3).await;
    let run = "01KBX5T6Q0000000000000000A";
    let report = format!(
        r#"{{"id":"{run}","connection":"c","template":"shop/items","mode":"INCREMENTAL","state":"error","started_ms":1795000000000,"ended_ms":1795000000001,"resumed":0,"progress":{{"pages":0,"fetched":0,"added":0,"updated":0,"unchanged":0,"deleted":0,"set_aside":0,"total":null,"rate_limited_until_ms":null}},"models":{{}},"error":"the API answered 500"}}"#
    );
    let status = format!(
        r#"{{"last_started_ms":1795000000000,"last_success_ms":null,"last_error":"the API answered 500","failures":1,"not_before_ms":null,"next_due_ms":null,"offline_since_ms":null,"offline_tries":0,"current_run":null,"last_run":"{run}","parked_run":null,"latest":{{}}}}"#
    );
    let backwards = format!("{:032x}", !run.parse::<highwater_core::RunId>().unwrap().as_u128());
    let mut batch = WriteBatch::new();
    batch.put_document(format!("run/c/shop/items/{backwards}"), &Json::parse(&report).unwrap()).unwrap();
    batch.put_document(format!("op/{backwards}"), "c/shop/items").unwrap();
    batch.put_document("status/c/shop/items", &Json::parse(&status).unwrap()).unwrap();
    world.store.commit(batch).await.unwrap();
    let report = world.engine.fetch_run(run.parse().unwrap()).await.unwrap();
    assert_eq!((report.mode, report.state, report.error_kind), (RunMode::Incremental, RunState::Error, None));
    let status = world.engine.sync("c", SYNC).unwrap().state().await.unwrap().status;
    assert_eq!((status.failures, status.last_error_kind, status.needs_action()), (1, None, false));
    assert_eq!(world.engine.runs_matching(&LogFilter::default()).await.unwrap().runs, [report]);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_offline_learns_it_once_and_within_a_second() {
    let scene = Scene::new(|_| Err(Error::new(ErrorKind::Unavailable, "nobody there"))).await;
    let mut events = scene.engine.events();
    let mut wakeups = scene.store.subscribe();
    let every = SyncOptions::default().schedule(Duration::from_secs(3600));
    scene.engine.sync("c", scripted::SYNC).unwrap().enable(every).await.unwrap();
    let began = tokio::time::Instant::now();
    let running = scene.engine.start(&Handle::current());
    // The loop of the README: wait for news, then look.
    let status = loop {
        wakeups.changed().await.unwrap();
        let status = scene.engine.sync("c", scripted::SYNC).unwrap().state().await.unwrap().status;
        if status.last_error.is_some() {
            break status;
        }
    };
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "learned after {took:?}");
    assert_eq!(status.last_error_kind, Some(ErrorKind::Unavailable));
    let state = scene.engine.sync("c", scripted::SYNC).unwrap().state().await.unwrap();
    assert_eq!((state.phase, state.has_synced, state.status.failures), (Phase::Offline, false, 0));
    sleep(900.0).await;
    let told: Vec<RunEvent> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    assert_eq!(told.iter().filter(|event| event.error.is_some()).count(), 1, "once, not at each look");
    assert_eq!(told.last().unwrap().error_kind, Some(ErrorKind::Unavailable));
    running.shutdown(Duration::from_secs(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_blip_in_the_middle_of_a_run_is_waited_out_as_ever() {
    let mut asked = 0;
    let scene = Scene::new(move |_| {
        asked += 1;
        match asked {
            1 => Ok(scripted::with(200, r#"[{"id":1}]"#, &[("link", "</v3/items?page=2>; rel=\"next\"")])),
            2..=4 => Err(Error::new(ErrorKind::Unavailable, "nobody there")),
            _ => Ok(scripted::json(200, r#"[{"id":2}]"#)),
        }
    })
    .await;
    let report = scene.engine.sync("c", scripted::SYNC).unwrap().run_once(RunOptions::default()).await.unwrap();
    assert_eq!(report.progress.counts.added, 2);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_is_an_error_and_no_state() {
    let world = World::new(3).await;
    let engine = &world.engine;
    for (connection, sync) in [("nobody", SYNC), ("c", "shop/nope"), ("c", "notes/nope"), ("nobody", "notes/nope")] {
        let sync = engine.sync(connection, sync).unwrap();
        let kinds = [
            sync.enable(SyncOptions::default()).await.map(drop),
            sync.disable(DisableMode::Keep).await,
            sync.disable(DisableMode::Clear).await,
            sync.pause().await,
            sync.resume().await,
            sync.trigger(TriggerMode::Plain).await,
            sync.set_schedule(None).await.map(drop),
            sync.cancel().await.map(drop),
            sync.run_once(RunOptions::default()).await.map(drop),
            sync.state().await.map(drop),
            sync.runs().await.map(drop),
            sync.set_aside().await.map(drop),
            sync.streams().await.map(drop),
            sync.stream("Item").await.map(drop),
        ]
        .map(|outcome| outcome.map_err(|error| error.kind()));
        assert_eq!(kinds, [Err(ErrorKind::NotFound); 14], "{sync:?}");
    }
    for name in ["c/d", ""] {
        assert_eq!(engine.sync(name, SYNC).unwrap_err().kind(), ErrorKind::Invalid);
    }
    let items = engine.sync("c", SYNC).unwrap();
    assert_eq!(items.state().await.unwrap().phase, Phase::Disabled, "it exists, and is not enabled");
    for outcome in [items.pause().await, items.resume().await, items.trigger(TriggerMode::Plain).await] {
        let error = outcome.unwrap_err();
        assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("not enabled"), "{error}");
    }
    // A reader of these would wait for ever.
    let error = engine.sync("c", SYNC).unwrap().stream("Item").await.unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("not enabled"), "{error}");
    engine.sync("c", SYNC).unwrap().enable(SyncOptions::default()).await.unwrap();
    let error = engine.sync("c", SYNC).unwrap().stream("Itme").await.unwrap_err();
    assert_eq!((error.kind(), error.context("known")), (ErrorKind::NotFound, Some("Item, Shelf")));
    let items = engine.sync("c", SYNC).unwrap().stream("Item").await.unwrap();
    assert_eq!(items.to_string(), "c/Item");
    // Named readers of a stream that a sync writes, of one with a slip of the pen, and of the host's own.
    let (slip, own) = (StreamKey::new("c", "Itme"), StreamKey::new("mine", "Note"));
    for stream in [&items, &slip, &own] {
        world.store.consumer(stream, "index").poll().await.unwrap();
    }
    let idle = engine.idle_readers().await.unwrap();
    let idle: Vec<_> = idle.iter().map(|reader| (&reader.stream, reader.name.as_str())).collect();
    assert_eq!(idle, [(&slip, "index")]);
    engine.sync("c", SYNC).unwrap().disable(DisableMode::Keep).await.unwrap();
    assert_eq!(engine.idle_readers().await.unwrap().len(), 2);
}
