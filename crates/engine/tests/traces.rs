//! The trace of a run: its requests with what became of them, its phases, and their limits.

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_core::{Error, ErrorKind, Store};
use highwater_engine::RunState;
use highwater_engine::logs::LogPolicy;
use highwater_engine::runs::{RunPhaseKind, RunTrace, WaitReason};
use scripted::{BASE, Scene, json, with};

/// Page after page of one item each: the next one while the page is below `pages`.
fn page(url: &str, pages: u32) -> highwater_template::HttpResponse {
    let number: u32 = url.split_once("page=").map_or(0, |(_, number)| number.parse().unwrap());
    let body = format!(r#"[{{"id":{number}}}]"#);
    let next = format!("<{BASE}/items?page={}>; rel=\"next\"", number + 1);
    if number + 1 < pages { with(200, &body, &[("link", &next)]) } else { json(200, &body) }
}

async fn trace_of_last(scene: &Scene) -> RunTrace {
    let run = scene.engine.sync("c", "acme/items").unwrap().runs().await.unwrap().remove(0);
    scene.engine.run_trace(run.id).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_run_keeps_its_requests_with_attempts_and_waits() {
    let mut asked = 0;
    let scene = Scene::new(move |request| {
        asked += 1;
        match asked {
            2 => Ok(with(429, "{}", &[("retry-after", "7")])),
            3 => Err(Error::new(ErrorKind::Unavailable, "the connection broke")),
            _ => Ok(page(&request.url, 2)),
        }
    })
    .await;
    let report = scene.run().await.unwrap();
    let trace = scene.engine.run_trace(report.id).await.unwrap();
    let told: Vec<_> = trace
        .requests
        .iter()
        .map(|request| (request.status, request.error, request.attempt, request.wait.map(|wait| wait.reason)))
        .collect();
    assert_eq!(
        told,
        [
            (Some(200), None, 1, None),
            (Some(429), None, 1, None),
            (None, Some(ErrorKind::Unavailable), 2, Some(WaitReason::RateLimit)),
            (Some(200), None, 3, Some(WaitReason::Retry)),
        ]
    );
    let first = &trace.requests[0];
    assert_eq!((&*first.method, &*first.url, first.bytes), ("GET", "https://api.acme.example/v3/items", 10));
    assert!(trace.requests.iter().all(|request| !request.url.contains('?')), "queries may have secrets");
    assert!(trace.requests[2].wait.unwrap().time >= Duration::from_secs(7));
    assert_eq!(trace.sent, 4);
    let phases: BTreeMap<RunPhaseKind, _> = trace.phases.iter().map(|phase| (phase.phase, phase)).collect();
    assert_eq!(phases[&RunPhaseKind::Fetch].count, 2, "a request and its retries count once");
    assert_eq!(phases[&RunPhaseKind::Wait].count, 2);
    assert!(phases[&RunPhaseKind::Wait].took >= Duration::from_secs(7));
    assert!(phases[&RunPhaseKind::Fetch].took < Duration::from_secs(7), "waits are no part of it");
    assert!(phases[&RunPhaseKind::Save].count >= 2, "a commit for each page");
    assert_eq!(phases[&RunPhaseKind::Deletes].count, 0);

    let counters = scene.engine.counters();
    assert_eq!(counters.requests, BTreeMap::from([(0, 1), (200, 2), (429, 1)]));
    assert_eq!(counters.runs, BTreeMap::from([(("acme/items".to_owned(), RunState::Success), 1)]));
    assert_eq!((counters.added, counters.updated, counters.deleted), (2, 0, 0));
    assert_eq!(counters.waits[&WaitReason::RateLimit].0, 1);

    // The second item is gone.
    scene.answer(|request| Ok(page(&request.url, 1)));
    scene.full().await.unwrap();
    let phases = trace_of_last(&scene).await.phases;
    let deletes = phases.iter().find(|phase| phase.phase == RunPhaseKind::Deletes).unwrap();
    assert_eq!(deletes.count, 1);
    assert_eq!(scene.engine.counters().deleted, 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_fails_has_its_requests_too_and_takes_them_along_when_it_goes() {
    let scene = Scene::new(|_| Ok(json(500, r#"{"message": "no"}"#))).await;
    scene.run().await.unwrap_err();
    let trace = trace_of_last(&scene).await;
    assert!(!trace.requests.is_empty() && trace.requests.iter().all(|request| request.status == Some(500)));
    let documents = scene.store.documents("trace/", "", 100).await.unwrap();
    assert_eq!(documents.len(), 1, "one document a run, whatever it sent");
    // Old runs go, and their traces with them.
    for _ in 0..60 {
        let _ = scene.run().await;
    }
    let runs = scene.engine.sync("c", "acme/items").unwrap().runs().await.unwrap().len();
    assert!(runs <= LogPolicy::default().runs_per_sync + 1, "{runs}");
    assert_eq!(scene.store.documents("trace/", "", 1000).await.unwrap().len(), runs);
    scene.clock.jump(365 * 24 * 3600 * 1000);
    scene.engine.accept_clock().await.unwrap();
    scene.engine.sweep_logs().await.unwrap();
    assert!(scene.store.documents("trace/", "", 1000).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_many_requests_the_first_and_the_last_are_kept() {
    let scene = Scene::new(|request| Ok(page(&request.url, 700))).await;
    let report = scene.run().await.unwrap();
    let trace = scene.engine.run_trace(report.id).await.unwrap();
    assert_eq!((trace.sent, trace.requests.len()), (700, 200));
    let documents = scene.store.documents("trace/", "", 100).await.unwrap();
    assert!(documents[0].value.as_str().len() < 60_000, "{}", documents[0].value.as_str().len());
}
