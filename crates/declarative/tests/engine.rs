//! A manifest's streams as templates of the engine: a real server, a store, several runs.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use highwater_core::{ErrorKind, MemoryStore, NetAction, Result, Store, StoreExt, StreamKey};
use highwater_declarative::{Files, Manifest, json, templates};
use highwater_engine::runs::RunMode;
use highwater_engine::transport::{PrivateAddresses, RequestLimits};
use highwater_engine::{ConnectionSettings, Credentials, Engine, RunOptions, RunReport, Secret};
use highwater_template::Template;
use serde::Deserialize;

const MANIFEST: &str = r##"
version: 1.0.0
type: DeclarativeSource
definitions:
  requester:
    type: HttpRequester
    url_base: "{{ config['base_url'] }}"
    http_method: GET
    authenticator: {type: BearerAuthenticator, api_token: "{{ config['api_key'] }}"}
streams:
  - type: DeclarativeStream
    name: items
    primary_key: id
    retriever:
      type: SimpleRetriever
      requester: {$ref: "#/definitions/requester", path: /items}
      record_selector: {type: RecordSelector, extractor: {type: DpathExtractor, field_path: [data]}}
      paginator:
        type: DefaultPaginator
        page_token_option: {type: RequestOption, inject_into: request_parameter, field_name: offset}
        page_size_option: {type: RequestOption, inject_into: request_parameter, field_name: limit}
        pagination_strategy: {type: OffsetIncrement, page_size: 10}
  - type: DeclarativeStream
    name: events
    primary_key: [kind, number]
    incremental_sync:
      type: DatetimeBasedCursor
      cursor_field: at
      datetime_format: "%Y-%m-%dT%H:%M:%SZ"
      start_datetime: "2026-01-01T00:00:00Z"
      start_time_option: {type: RequestOption, inject_into: request_parameter, field_name: since}
    retriever:
      type: SimpleRetriever
      requester: {$ref: "#/definitions/requester", path: /events}
      record_selector: {type: RecordSelector, extractor: {type: DpathExtractor, field_path: []}}
spec:
  type: Spec
  connection_specification:
    type: object
    required: [base_url, api_key]
    properties:
      base_url: {type: string, title: Where the API is}
      api_key: {type: string, airbyte_secret: true}
"##;

#[derive(Debug, Default)]
struct World {
    items: Vec<u32>,
    /// Minutes of the hour at which an event happened.
    events: Vec<u32>,
    /// Requests for items from this one on are refused with 400.
    fails_from: Option<usize>,
    requests: usize,
    /// The page at this offset is refused with 400 once.
    refused: Option<usize>,
    /// What is answered from this offset on, with 200.
    instead: Option<(usize, &'static str)>,
    boards: highwater_declarative::Value,
    sinces: Vec<String>,
}

type Shared = Arc<Mutex<World>>;

#[derive(Deserialize)]
struct Window {
    #[serde(default)]
    offset: usize,
    #[serde(default)]
    limit: usize,
    #[serde(default)]
    since: String,
}

async fn items(State(world): State<Shared>, Query(window): Query<Window>, headers: HeaderMap) -> Response {
    let mut world = world.lock().unwrap();
    world.requests += 1;
    if headers.get("authorization").is_none_or(|value| value != "Bearer good") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if world.fails_from.is_some_and(|from| world.requests >= from) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    if world.refused.take_if(|offset| *offset == window.offset).is_some() {
        return StatusCode::BAD_REQUEST.into_response();
    }
    if let Some((_, body)) = world.instead.filter(|(from, _)| window.offset >= *from) {
        return body.into_response();
    }
    let page = world.items.iter().skip(window.offset).take(window.limit);
    axum::Json(json!({ "data": page.map(|id| json!({ "id": id, "name": format!("item {id}") })).collect::<Vec<_>>() }))
        .into_response()
}

async fn events(State(world): State<Shared>, Query(window): Query<Window>) -> Response {
    let mut world = world.lock().unwrap();
    world.sinces.push(window.since.clone());
    let events = world.events.iter().map(|minute| (minute, format!("2026-01-02T10:{minute:02}:00Z")));
    let wanted = events.filter(|(_, at)| *at >= window.since);
    let wanted: Vec<_> = wanted.map(|(number, at)| json!({ "kind": "tick", "number": number, "at": at })).collect();
    axum::Json(wanted).into_response()
}

async fn boards(State(world): State<Shared>) -> Response {
    axum::Json(world.lock().unwrap().boards.clone()).into_response()
}

struct Bench {
    world: Shared,
    engine: Engine,
    store: Arc<MemoryStore>,
}

impl Bench {
    async fn new(world: World) -> Self {
        Bench::with(MANIFEST, world).await
    }

    async fn with(manifest: &str, world: World) -> Self {
        let manifest = Manifest::parse(manifest, &Files::new()).unwrap();
        Bench::of(templates("example", &manifest).unwrap(), world).await
    }

    async fn of(templates: Vec<Arc<dyn Template>>, world: World) -> Self {
        let world = Arc::new(Mutex::new(world));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let routes = axum::Router::new()
            .route("/items", axum::routing::get(items))
            .route("/events", axum::routing::get(events))
            .route("/boards", axum::routing::get(boards))
            .with_state(Arc::clone(&world));
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let store = Arc::new(MemoryStore::new().unwrap());
        let limits = RequestLimits::default().attempts(1).backoff(Duration::from_millis(1));
        let builder = Engine::builder(Arc::clone(&store) as Arc<dyn Store>).limits(limits);
        // The manifest's API is where a setting says.
        let builder = builder.private_addresses(PrivateAddresses::OfAnyone);
        let engine = builder.templates(templates).build().unwrap();
        engine.connect(ConnectionSettings::new("c", "example").config("base_url", base_url)).await.unwrap();
        engine.use_credentials("c", Credentials::none().secret("api_key", Secret::new("good")));
        Bench { world, engine, store }
    }

    async fn run(&self, stream: &str) -> Result<RunReport> {
        self.engine.sync("c", format!("example/{stream}")).unwrap().run_once(RunOptions::default()).await
    }

    async fn live(&self, stream: &str) -> u64 {
        self.store.head(&StreamKey::new("c", stream)).await.unwrap().live
    }
}

#[tokio::test]
async fn a_stream_without_a_cursor_is_read_whole_and_what_is_missing_was_deleted() {
    let bench = Bench::new(World { items: (0..25).collect(), ..World::default() }).await;
    let first = bench.run("items").await.unwrap();
    assert_eq!((first.mode, first.progress.counts.added), (RunMode::Initial, 25));
    bench.world.lock().unwrap().items.retain(|id| *id != 7);
    bench.world.lock().unwrap().items.push(99);
    let second = bench.run("items").await.unwrap();
    assert_eq!(second.mode, RunMode::Initial, "without a cursor every run reads everything");
    assert_eq!((second.progress.counts.added, second.progress.counts.unchanged), (1, 24));
    assert_eq!(bench.live("items").await, 25);
    let record = &bench.store.get(&StreamKey::new("c", "items"), &["7"]).await.unwrap()[0];
    assert!(record.as_ref().unwrap().metadata.deleted_at.is_some());
}

#[tokio::test]
async fn a_run_that_breaks_off_keeps_its_pages_deletes_nothing_and_goes_on() {
    let bench = Bench::new(World { items: (0..25).collect(), fails_from: Some(3), ..World::default() }).await;
    let error = bench.run("items").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Remote | ErrorKind::Invalid), "{error}");
    assert_eq!(bench.live("items").await, 20, "two pages were saved");
    bench.world.lock().unwrap().fails_from = None;
    let asked = bench.world.lock().unwrap().requests;
    bench.run("items").await.unwrap();
    assert_eq!(bench.live("items").await, 25);
    assert_eq!(bench.world.lock().unwrap().requests - asked, 1, "it went on at the page that failed");
}

#[tokio::test]
async fn an_answer_that_is_no_list_of_records_deletes_nothing_and_is_told() {
    let bench = Bench::new(World { items: (0..300).collect(), ..World::default() }).await;
    bench.run("items").await.unwrap();
    for (body, why) in [
        (r#"{"data":"maintenance"}"#, "`\"maintenance\"` where records are due"),
        (r#"{"data":[null,"x"]}"#, "`\"x\"` where records are due"),
        ("<html>back soon</html>", "cannot be read"),
    ] {
        bench.world.lock().unwrap().instead = Some((290, body));
        let error = bench.run("items").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Remote, "{error}");
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(bench.live("items").await, 300, "{body}");
    }
    bench.world.lock().unwrap().instead = None;
    bench.run("items").await.unwrap();
    for body in [r#"{"message":"maintenance"}"#, r#"{"data":[{"id":290,"name":"item 290"},"x"]}"#, r#"{"data":false}"#]
    {
        bench.world.lock().unwrap().instead = Some((290, body));
        bench.run("items").await.unwrap();
        assert_eq!(bench.live("items").await, 300, "{body}");
    }
    bench.world.lock().unwrap().instead = Some((290, r#"{"data":null}"#));
    bench.run("items").await.unwrap();
    assert_eq!(bench.live("items").await, 290, "null is an empty list");
}

#[tokio::test]
async fn a_list_whose_next_page_expired_meanwhile_begins_anew() {
    let bench = Bench::new(World { items: (0..25).collect(), fails_from: Some(3), ..World::default() }).await;
    bench.run("items").await.unwrap_err();
    {
        let mut world = bench.world.lock().unwrap();
        (world.refused, world.fails_from) = (Some(20), None);
    }
    let report = bench.run("items").await.unwrap();
    assert_eq!((report.resumed, bench.live("items").await), (1, 25), "{report:?}");
    assert_eq!(bench.world.lock().unwrap().requests, 3 + 4);
}

#[tokio::test]
async fn what_an_interrupted_run_passed_over_is_not_deleted_by_the_one_that_goes_on() {
    let bench = Bench::new(World { items: (0..30).collect(), ..World::default() }).await;
    bench.run("items").await.unwrap();
    let odd = r#"{"data":[{"id":0,"name":"item 0"},1,2,3,4,5,6,7,8,9]}"#;
    {
        let mut world = bench.world.lock().unwrap();
        (world.instead, world.fails_from) = (Some((0, odd)), Some(world.requests + 2));
    }
    bench.run("items").await.unwrap_err();
    {
        let mut world = bench.world.lock().unwrap();
        (world.instead, world.fails_from) = (None, None);
    }
    bench.run("items").await.unwrap();
    assert_eq!(bench.live("items").await, 30);
}

#[tokio::test]
async fn a_stream_with_a_cursor_asks_for_what_is_new() {
    let bench = Bench::new(World { events: vec![1, 2, 3], ..World::default() }).await;
    bench.run("events").await.unwrap();
    bench.world.lock().unwrap().events.push(9);
    let second = bench.run("events").await.unwrap();
    assert_eq!((second.mode, second.progress.counts.added), (RunMode::Incremental, 1));
    assert_eq!(bench.world.lock().unwrap().sinces, ["2026-01-01T00:00:00Z", "2026-01-02T10:03:00Z"]);
    let page = bench.store.records(&StreamKey::new("c", "events")).page().await.unwrap();
    let last = page.changes.last().unwrap();
    assert_eq!((&*last.record.id, last.net), ("tick|9", NetAction::Added), "a key of two members");
}

#[tokio::test]
async fn a_secret_that_is_missing_or_wrong_is_named_and_never_shown() {
    let bench = Bench::new(World::default()).await;
    bench.engine.use_credentials("c", Credentials::none());
    let error = bench.run("items").await.unwrap_err().to_string();
    assert!(error.contains("api_key"), "{error}");
    bench.engine.use_credentials("c", Credentials::none().secret("api_key", Secret::new("hunter2")));
    let error = bench.run("items").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[tokio::test]
async fn the_streams_of_a_connection_share_the_manifests_budget() {
    let budget = "
api_budget:
  type: HTTPAPIBudget
  policies: [{type: FixedWindowCallRatePolicy, period: P1D, call_limit: 4, matchers: []}]
";
    let world = World { items: (0..25).collect(), events: vec![1], ..World::default() };
    let bench = Bench::with(&format!("{MANIFEST}{budget}"), world).await;
    bench.run("items").await.unwrap();
    bench.run("events").await.unwrap();
    let error = bench.run("events").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited, "{error}");
    assert_eq!(bench.world.lock().unwrap().sinces.len(), 1, "the fifth request was not sent");
}

#[tokio::test]
async fn streams_that_the_api_lists_are_templates_once_they_were_found() {
    let dynamic = r##"
dynamic_streams:
  - type: DynamicDeclarativeStream
    stream_template:
      type: DeclarativeStream
      name: ""
      primary_key: id
      retriever:
        type: SimpleRetriever
        requester: {$ref: "#/definitions/requester", path: ""}
        record_selector: {type: RecordSelector, extractor: {type: DpathExtractor, field_path: [data]}}
        paginator:
          type: DefaultPaginator
          page_size_option: {type: RequestOption, inject_into: request_parameter, field_name: limit}
          pagination_strategy: {type: OffsetIncrement, page_size: 10}
    components_resolver:
      type: HttpComponentsResolver
      retriever:
        type: SimpleRetriever
        requester: {$ref: "#/definitions/requester", path: /boards}
        record_selector: {type: RecordSelector, extractor: {type: DpathExtractor, field_path: []}}
      components_mapping:
        - {type: ComponentMappingDefinition, field_path: [name], value: "board_{{ components_values.name }}"}
        - {type: ComponentMappingDefinition, field_path: [retriever, requester, path], value: "{{ components_values.path }}"}
"##;
    let manifest = format!("{MANIFEST}{dynamic}");
    let boards = json!([{"name": "north", "path": "items"}, {"name": "south", "path": "nowhere"}]);
    let config = json!({"base_url": "https://x.example", "api_key": "good"});
    let mut source = support::source(&manifest, config).unwrap();
    let ids = |source: &highwater_declarative::Source| -> Vec<String> {
        source.templates("example").unwrap().iter().map(|template| template.info().name.clone()).collect()
    };
    assert_eq!(ids(&source), ["items", "events"]);
    let list = highwater_template::HttpResponse::new(200, Vec::new(), boards.to_string());
    source.discover(&support::Server::of(vec![list])).await.unwrap();
    assert_eq!(ids(&source), ["items", "events", "board_north", "board_south"]);

    let world = World { items: (0..3).collect(), boards, ..World::default() };
    let bench = Bench::of(source.templates("example").unwrap(), world).await;
    bench.run("board_north").await.unwrap();
    assert_eq!(bench.live("board_north").await, 3);
    bench.world.lock().unwrap().boards = json!([]);
    let error = bench.run("board_north").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(bench.live("board_north").await, 3, "a stream that is gone deletes nothing");
}

/// A server that nobody named, and how often it was asked.
async fn stranger() -> (String, Arc<std::sync::atomic::AtomicUsize>) {
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::clone(&asked);
    let answer = move || {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async { axum::Json(json!({"data": [{"id": 2}]})) }
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap() });
    (url, asked)
}

#[tokio::test]
async fn no_template_sends_the_secrets_to_an_origin_that_the_manifest_does_not_name() {
    let (stranger, asked) = stranger().await;
    let stream = |name: &str, url: &str, more: &str| {
        format!(
            "  - type: DeclarativeStream\n    name: {name}\n    primary_key: id\n    retriever:\n      type: SimpleRetriever\n      requester: {{$ref: \"#/definitions/requester\", {url}}}\n      record_selector: {{type: RecordSelector, extractor: {{type: DpathExtractor, field_path: [data]}}}}\n{more}"
        )
    };
    let link = "      paginator: {type: DefaultPaginator, page_token_option: {type: RequestPath}, pagination_strategy: {type: CursorPagination, cursor_value: \"{{ response.next }}\"}}\n";
    let router =
        format!("      partition_router: {{type: ListPartitionRouter, cursor_field: u, values: [\"{stranger}\"]}}\n");
    let whole = "url_base: \"{{ stream_partition.u }}\", path: x";
    let streams = stream("by_link", "path: boards", link)
        + &stream("by_path", "path: \"{{ stream_partition.u }}/x\"", &router)
        + &stream("by_base", whole, &router);
    let manifest = MANIFEST.replace("spec:\n", &format!("{streams}spec:\n"));
    let boards = json!({"data": [{"id": 1}], "next": format!("{stranger}/page")});
    let bench = Bench::with(&manifest, World { boards, ..World::default() }).await;
    for name in ["by_link", "by_path", "by_base"] {
        let error = bench.run(name).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("Bearer"), "{error}");
        assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 0, "{name}: {error}");
    }
    assert_eq!(bench.live("by_link").await, 1, "the page before was saved");
}

#[tokio::test]
async fn a_record_without_its_key_is_set_aside_and_nothing_is_deleted() {
    let bench = Bench::new(World { items: (0..25).collect(), ..World::default() }).await;
    bench.run("items").await.unwrap();
    bench.world.lock().unwrap().instead = Some((20, r#"{"data":[{"id":20,"name":"item 20"},{"name":"no id"},7]}"#));
    let report = bench.run("items").await.unwrap();
    assert_eq!((report.set_aside.len(), report.is_clean(), bench.live("items").await), (2, false, 25), "{report:?}");
}

#[tokio::test]
async fn an_error_in_the_place_of_a_page_does_not_move_the_cursor_past_it() {
    let counted = "  - type: DeclarativeStream\n    name: counted\n    primary_key: id\n    incremental_sync: {type: IncrementingCountCursor, cursor_field: id, start_value: 0}\n    retriever:\n      type: SimpleRetriever\n      requester: {$ref: \"#/definitions/requester\", path: /items}\n      record_selector: {type: RecordSelector, extractor: {type: DpathExtractor, field_path: [data]}}\n      paginator: {$ref: \"#/streams/0/retriever/paginator\"}\n";
    let manifest = MANIFEST.replace("spec:\n", &format!("{counted}spec:\n"));
    let world = World { items: (0..25).collect(), instead: Some((20, r#"{"error":"busy"}"#)), ..World::default() };
    let bench = Bench::with(&manifest, world).await;
    let report = bench.run("counted").await.unwrap();
    assert!(report.incomplete["counted"].contains("reports an error"), "{report:?}");
    bench.world.lock().unwrap().instead = None;
    let report = bench.run("counted").await.unwrap();
    assert_eq!((report.mode, bench.live("counted").await), (RunMode::Initial, 25));
    assert_eq!(bench.run("counted").await.unwrap().mode, RunMode::Incremental);
}
