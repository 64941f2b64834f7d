//! Runs against a server that does everything wrong. Real sockets, real requests.
#![allow(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use highwater_core::{ErrorKind, MemoryStore, Result, Store, StreamKey};
use highwater_engine::logs::LogPolicy;
use highwater_engine::transport::RequestLimits;
use highwater_engine::{
    CancelToken, ConnectionSettings, DisableMode, Engine, RunOptions, RunState, Secret, SyncOptions,
};
use highwater_template::auth::CredentialUse;
use highwater_template::{ConfigKey, HttpRequest, LogLevel, SyncContext, Template, TemplateInfo};

/// Reads `/items?page=n` until a page names no next one.
#[derive(Debug)]
struct Items(TemplateInfo);

#[async_trait]
impl Template for Items {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let mut request =
            HttpRequest::get(context.last_checkpoint::<String>()?.unwrap_or_else(|| "/items?page=1".to_owned()));
        loop {
            let page = context.send(request).await?;
            let next = page.next_link();
            if let Some(next) = &next {
                context.checkpoint(next)?;
            }
            context.save("Item", page.elements()?).await?;
            match next {
                Some(next) => request = HttpRequest::get(next),
                None => break,
            }
        }
        if context.is_full_refresh() { context.complete("Item").await } else { Ok(()) }
    }
}

#[derive(Clone)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, headers: Vec::new(), body: body.into() }
}

fn with(status: u16, body: &str, name: &'static str, value: impl Into<String>) -> Answer {
    Answer { headers: vec![(name, value.into())], ..answer(status, body) }
}

/// A request's URI and its `authorization`.
type Seen = (String, Option<String>);

#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

async fn play(State(script): State<Script>, headers: HeaderMap, request: Request) -> impl IntoResponse {
    let token = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    script.seen.lock().unwrap().push((request.uri().to_string(), token));
    let answer = script.answers.lock().unwrap().pop_front().unwrap_or_else(|| answer(200, "[]"));
    let mut headers = HeaderMap::new();
    for (name, value) in answer.headers {
        headers.insert(name, value.parse().unwrap());
    }
    (StatusCode::from_u16(answer.status).unwrap(), headers, answer.body)
}

struct World {
    script: Script,
    engine: Engine,
    store: Arc<MemoryStore>,
    base: String,
}

impl World {
    async fn new(answers: Vec<Answer>) -> Self {
        let script = Script { answers: Arc::new(Mutex::new(answers.into())), ..Script::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().fallback(play).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let store = Arc::new(MemoryStore::new().unwrap());
        let info = TemplateInfo::new("hostile", "items", &base)
            .credentials(CredentialUse::Optional)
            .model("Item", "an item")
            .config(ConfigKey::with_default("unused", "nothing", "x"));
        let limits =
            RequestLimits::default().attempts(3).backoff(Duration::from_millis(5)).max_wait(Duration::from_secs(5));
        let engine = Engine::builder(Arc::clone(&store) as Arc<dyn Store>)
            .template(Arc::new(Items(info)))
            .limits(limits)
            .logs(LogPolicy::default().level(LogLevel::Debug))
            .build()
            .unwrap();
        engine.connect(ConnectionSettings::new("c", "hostile")).await.unwrap();
        engine.use_token("c", Secret::new("s3cret"));
        World { script, engine, store, base }
    }

    async fn run(&self) -> Result<highwater_engine::RunReport> {
        self.engine.sync("c", "hostile/items").unwrap().run_once(RunOptions::default()).await
    }

    async fn live(&self) -> u64 {
        self.store.head(&StreamKey::new("c", "Item")).await.unwrap().live
    }

    fn asked(&self) -> Vec<String> {
        self.script.seen.lock().unwrap().iter().map(|(uri, _)| uri.clone()).collect()
    }
}

const NEXT: &str = r#"</items?page=2>; rel="next""#;

fn relative(base: &str) -> String {
    format!("<{base}/items?page=2>; rel=\"next\"")
}

#[tokio::test]
async fn refusals_have_their_own_kinds() {
    for (status, kind) in [
        (401, ErrorKind::Unauthorized),
        (403, ErrorKind::Unauthorized),
        (404, ErrorKind::NotFound),
        (410, ErrorKind::NotFound),
        (422, ErrorKind::Remote),
    ] {
        let world = World::new(vec![answer(status, "{}")]).await;
        let error = world.run().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.context("status"), Some(status.to_string().as_str()));
        assert!(!format!("{error:?} {error}").contains("s3cret"));
        let status = world.engine.sync("c", "hostile/items").unwrap().state().await.unwrap().status;
        assert_eq!((status.failures, status.last_error.is_some()), (1, true));
    }
}

#[tokio::test]
async fn every_request_has_its_line_in_the_log() {
    let world = World::new(vec![
        answer(500, "s3cret"),
        with(429, "", "retry-after", "0"),
        with(302, "", "location", "/items?page=1&token=s3cret"),
        with(200, "[]", "link", NEXT),
        answer(404, "{}"),
    ])
    .await;
    world.run().await.unwrap_err();
    let run = &world.engine.sync("c", "hostile/items").unwrap().runs().await.unwrap()[0].id;
    let lines = world.engine.run_log(*run).await.unwrap();
    assert!(!format!("{lines:?}").contains("s3cret"));
    let told =
        |line: &&highwater_engine::logs::LogLine| line.message.starts_with("GET ") && line.message.ends_with(" ms");
    let told: Vec<&str> = lines.iter().filter(told).map(|line| line.message.as_str()).collect();
    assert_eq!(told.len(), world.asked().len(), "{told:#?}");
    for (line, status) in told.iter().zip([500, 429, 302, 200, 404]) {
        assert!(line.contains(&format!(": {status}, ")), "{line}");
    }
}

#[tokio::test]
async fn failures_in_the_middle_keep_what_was_saved_and_the_next_run_resumes() {
    let world = World::new(Vec::new()).await;
    {
        let mut answers = world.script.answers.lock().unwrap();
        answers.push_back(with(200, r#"[{"id":1},{"id":2}]"#, "link", relative(&world.base)));
        answers.extend([answer(500, "oops"), answer(502, ""), answer(503, "")]);
    }
    let error = world.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Remote, "{error}");
    assert_eq!(world.live().await, 2);
    assert_eq!(world.asked().len(), 4);
    world.script.answers.lock().unwrap().extend([answer(500, ""), answer(200, r#"[{"id":3}]"#)]);
    let report = world.run().await.unwrap();
    assert_eq!((report.state, report.progress.counts.added, report.resumed), (RunState::Success, 3, 1));
    assert_eq!(world.live().await, 3, "h39: what the run saw before it was interrupted is not missing");
    assert_eq!(world.asked()[4..], ["/items?page=2", "/items?page=2"]);
}

#[tokio::test]
async fn bodies_that_are_no_records_are_refused_whole() {
    for (body, kind) in [
        ("<html>sorry</html>", ErrorKind::Remote),
        (r#"{"message":"not a list"}"#, ErrorKind::Remote),
        (r#"[{"id":1},{"id""#, ErrorKind::Remote),
    ] {
        let world = World::new(vec![answer(200, body)]).await;
        let error = world.run().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{body}: {error}");
        assert_eq!(world.live().await, 0);
        assert!(!error.to_string().contains('\n'));
    }
    // Of a list that reads, only what is no record is left out.
    for body in [r#"[{"id":1},{"name":"no id"}]"#, r#"[{"id":1},[2]]"#, r#"[null,{"id":1}]"#] {
        let world = World::new(vec![answer(200, body)]).await;
        let report = world.run().await.unwrap();
        assert_eq!(
            (report.progress.counts.added, report.progress.counts.set_aside, report.is_clean()),
            (1, 1, false),
            "{body}"
        );
        assert_eq!(world.live().await, 1);
    }
}

#[tokio::test]
async fn answers_are_bounded_in_bytes_once_unpacked_and_in_depth() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..66 {
        bomb.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let bomb = Answer { body: bomb.finish().unwrap(), ..with(200, "", "content-encoding", "gzip") };
    assert!(bomb.body.len() < 1 << 20, "{}", bomb.body.len());
    let world = World::new(vec![bomb]).await;
    let error = world.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Remote);
    assert!(error.to_string().contains("64 MiB"), "{error}");
    for depth in [200, 100_000] {
        let deep = format!(r#"[{{"id":1,"d":{}{}}}]"#, "[".repeat(depth), "]".repeat(depth));
        let world = World::new(vec![answer(200, &deep)]).await;
        let error = world.run().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Remote | ErrorKind::Invalid), "{error}");
        assert_eq!(world.live().await, 0);
    }
}

#[tokio::test]
async fn limits_are_waited_out_or_told() {
    let date = |seconds| httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(seconds));
    let reset = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut used_up = with(403, "{}", "x-ratelimit-remaining", "0");
    used_up.headers.push(("x-ratelimit-reset", reset.to_string()));
    let world = World::new(vec![
        with(429, "", "retry-after", "1"),
        with(429, "", "retry-after", date(1)),
        used_up,
        answer(429, ""),
        answer(200, r#"[{"id":1}]"#),
    ])
    .await;
    let mut events = world.engine.events();
    assert_eq!(world.run().await.unwrap().progress.counts.added, 1);
    assert_eq!(world.asked().len(), 5);
    let mut waits = Vec::new();
    while let Ok(event) = events.try_recv() {
        waits.extend(event.progress.rate_limited_until.filter(|_| event.message.is_some()));
    }
    assert!(waits.len() >= 2, "watchers are told until when: {waits:?}");

    let world = World::new(vec![with(429, "", "retry-after", "3600")]).await;
    let error = world.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(error.retry_after().unwrap() > Duration::from_secs(3000));
    let status = world.engine.sync("c", "hostile/items").unwrap().state().await.unwrap().status;
    assert!(status.not_before.unwrap() > status.last_started_at.unwrap() + Duration::from_secs(3000));
}

#[tokio::test]
async fn a_token_never_leaves_its_origin() {
    let elsewhere = World::new(Vec::new()).await;
    let link = format!("<{}/items?page=2>; rel=\"next\"", elsewhere.base);
    let world = World::new(vec![with(200, r#"[{"id":1}]"#, "link", link)]).await;
    let error = world.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Remote);
    assert!(error.context("origin").is_some());
    assert!(elsewhere.asked().is_empty());

    let world = World::new(vec![with(302, "", "location", format!("{}/items", elsewhere.base))]).await;
    assert_eq!(world.run().await.unwrap_err().kind(), ErrorKind::Remote);
    assert!(elsewhere.asked().is_empty());

    let world = World::new(vec![with(302, "", "location", "/moved"), answer(200, r#"[{"id":1}]"#)]).await;
    assert_eq!(world.run().await.unwrap().progress.counts.added, 1);
    let seen = world.script.seen.lock().unwrap().clone();
    assert!(seen.iter().all(|(_, token)| token.as_deref() == Some("Bearer s3cret")));

    world.engine.connect(ConnectionSettings::new("plain", "hostile").base_url("http://api.example.com")).await.unwrap();
    world.engine.use_token("plain", Secret::new("s3cret"));
    let error = world.engine.sync("plain", "hostile/items").unwrap().run_once(RunOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn nobody_there() {
    let world = World::new(Vec::new()).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    world.engine.connect(ConnectionSettings::new("c", "hostile").base_url(format!("http://{closed}"))).await.unwrap();
    let error = world.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn p26_a_failed_full_refresh_deletes_nothing_and_a_whole_one_does() {
    let world = World::new(vec![answer(200, r#"[{"id":1},{"id":2},{"id":3}]"#)]).await;
    world.run().await.unwrap();
    let items = world.engine.sync("c", "hostile/items").unwrap();
    let full = || items.run_once(RunOptions::default().full(true));
    {
        let mut answers = world.script.answers.lock().unwrap();
        answers.push_back(with(200, r#"[{"id":1}]"#, "link", relative(&world.base)));
        answers.push_back(answer(404, ""));
    }
    full().await.unwrap_err();
    assert_eq!(world.live().await, 3);
    world.script.answers.lock().unwrap().push_back(answer(200, r#"[{"id":1},{"id":3}]"#));
    assert_eq!(full().await.unwrap().progress.counts.deleted, 1);
    world.script.answers.lock().unwrap().push_back(answer(200, "[]"));
    let error = full().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AwaitingApproval, "{error}");
    assert_eq!(world.live().await, 2);
    world.script.answers.lock().unwrap().push_back(answer(200, "[]"));
    let approved = RunOptions::default().full(true).approve_deletes(true);
    assert_eq!(
        world.engine.sync("c", "hostile/items").unwrap().run_once(approved).await.unwrap().progress.counts.deleted,
        2
    );
}

#[tokio::test]
async fn a_run_stops_when_asked_and_the_next_goes_on() {
    let world = World::new(Vec::new()).await;
    {
        let mut answers = world.script.answers.lock().unwrap();
        answers.push_back(with(200, r#"[{"id":1}]"#, "link", NEXT));
        answers.push_back(with(429, "", "retry-after", "1"));
    }
    let cancel = CancelToken::new();
    let options = RunOptions::default().cancel(cancel.clone());
    let items = world.engine.sync("c", "hostile/items").unwrap();
    let (outcome, ()) = tokio::join!(items.run_once(options), async {
        while world.asked().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(world.run().await.unwrap_err().kind(), ErrorKind::Busy);
        cancel.cancel();
    });
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(world.live().await, 1);
    world.script.answers.lock().unwrap().push_back(answer(200, r#"[{"id":2}]"#));
    world.run().await.unwrap();
    assert_eq!(world.live().await, 2);
    let runs = world.engine.sync("c", "hostile/items").unwrap().runs().await.unwrap();
    let states: Vec<_> = runs.iter().map(|run| (run.state, run.resumed)).collect();
    assert_eq!(states, [(RunState::Success, 1)], "the same run went on");
}

#[tokio::test]
async fn the_background_runs_what_is_enabled_until_it_is_stopped() {
    let world = World::new(vec![answer(200, r#"[{"id":1}]"#), answer(200, r#"[{"id":1},{"id":2}]"#)]).await;
    world
        .engine
        .sync("c", "hostile/items")
        .unwrap()
        .enable(SyncOptions::default().schedule(Duration::from_millis(100)))
        .await
        .unwrap();
    let running = world.engine.start(&tokio::runtime::Handle::current());
    let mut wakeups = world.store.subscribe();
    while world.live().await < 2 {
        wakeups.changed().await.unwrap();
    }
    world.engine.sync("c", "hostile/items").unwrap().disable(DisableMode::Clear).await.unwrap();
    running.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_eq!(world.live().await, 0);
    assert!(world.engine.enabled_syncs().await.unwrap().is_empty());
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let world = World::new(Vec::new()).await;
    let error = world.engine.sync("c", "hostile/other").unwrap().run_once(RunOptions::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.context("known")), (ErrorKind::NotFound, Some("hostile/items")));
    let error =
        world.engine.connect(ConnectionSettings::new("c", "hostile").config("colour", "red")).await.unwrap_err();
    assert_eq!((error.kind(), error.context("setting")), (ErrorKind::Invalid, Some("colour")));
    let error = world.engine.connect(ConnectionSettings::new("d", "nobody")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(world.engine.connection("nope").await.unwrap_err().kind(), ErrorKind::NotFound);
}
