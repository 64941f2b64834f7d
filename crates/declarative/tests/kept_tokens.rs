//! `refresh_token_updater`: tokens that the config keeps, at an API whose refresh tokens work once.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater_core::{Environment, ErrorKind, Inline, MemoryBackend, Result, Store, StoreOptions};
use highwater_declarative::{Files, Manifest, Value, json, templates};
use highwater_engine::transport::RequestLimits;
use highwater_engine::{ConnectionSettings, CredentialStore, Credentials, Engine, RunOptions, Secret};
use highwater_template::async_trait::async_trait;
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse};
use support::{Server, source};

const MANIFEST: &str = r##"
definitions:
  retriever:
    requester:
      url_base: https://api.test
      path: /items
      authenticator:
        type: OAuthAuthenticator
        token_refresh_endpoint: https://auth.test/token
        client_id: "{{ config.credentials.client_id }}"
        client_secret: "{{ config.credentials.client_secret }}"
        refresh_token: "{{ config.credentials.refresh_token }}"
        refresh_token_updater: {}
    record_selector: {extractor: {field_path: [data]}}
streams:
  - {name: s, primary_key: id, retriever: {$ref: "#/definitions/retriever"}}
  - {name: t, primary_key: id, retriever: {$ref: "#/definitions/retriever"}}
spec:
  type: Spec
  connection_specification:
    type: object
    required: [credentials]
    properties:
      credentials:
        type: object
        properties:
          client_id: {type: string}
          client_secret: {type: string, airbyte_secret: true}
          access_token: {type: string, airbyte_secret: true}
          refresh_token: {type: string, airbyte_secret: true}
          token_expiry_date: {type: string}
"##;

fn config() -> Value {
    json!({"credentials": {"client_id": "i", "client_secret": "h4sh-of-the-app", "refresh_token": "refresh-0"}})
}

/// What the API and the keychain have, and what was asked.
#[derive(Debug, Default)]
struct World {
    serial: u32,
    token_requests: u32,
    keychain: BTreeMap<String, Secret>,
    /// What the keychain had when records were asked for.
    kept_at_use: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<World>>);

impl World {
    fn kept(&self) -> String {
        self.keychain.get("c").map(|secret| secret.expose().to_owned()).unwrap_or_default()
    }
}

#[async_trait]
impl Transport for Shared {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        if request.url.ends_with("/token") {
            // Others that want a token ask for it meanwhile.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        }
        let mut world = self.0.lock().unwrap();
        if !request.url.ends_with("/token") {
            let kept = world.kept();
            world.kept_at_use.push(kept);
            let good = format!("Bearer access-{}", world.serial);
            let good = request.headers.iter().any(|(_, value)| *value == good);
            let status = if good { 200 } else { 401 };
            return Ok(HttpResponse::new(status, Vec::new(), r#"{"data":[{"id":1}]}"#));
        }
        world.token_requests += 1;
        let body = String::from_utf8_lossy(request.body.as_deref().unwrap_or_default()).into_owned();
        if !body.contains(&format!("refresh_token=refresh-{}", world.serial)) {
            return Ok(HttpResponse::new(400, Vec::new(), r#"{"error":"invalid_grant"}"#));
        }
        world.serial += 1;
        let answer = json!({"access_token": format!("access-{}", world.serial),
            "refresh_token": format!("refresh-{}", world.serial), "expires_in": 3600});
        Ok(HttpResponse::new(200, Vec::new(), answer.to_string()))
    }
}

#[async_trait]
impl CredentialStore for Shared {
    async fn load(&self, connection: &str) -> Result<Option<Credentials>> {
        self.0.lock().unwrap().keychain.get(connection).map(Credentials::from_secret).transpose()
    }

    async fn save(&self, connection: &str, credentials: &Credentials) -> Result<()> {
        self.0.lock().unwrap().keychain.insert(connection.to_owned(), credentials.to_secret()?);
        Ok(())
    }
}

/// A clock that stands until it is moved.
#[derive(Debug)]
struct Clock(Mutex<u64>);

impl Environment for Clock {
    fn now(&self) -> highwater_core::Timestamp {
        highwater_core::Timestamp::from_unix_ms(*self.0.lock().unwrap())
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        highwater_core::SystemEnvironment.fill_random(bytes);
    }
}

struct Bench {
    shared: Shared,
    clock: Arc<Clock>,
    store: Arc<dyn Store>,
}

impl Bench {
    async fn new() -> Self {
        let store = Arc::new(Inline::open(MemoryBackend::default(), StoreOptions::default()).unwrap());
        let bench = Bench { shared: Shared::default(), clock: Arc::new(Clock(Mutex::new(support::NOW_MS))), store };
        let credentials = Credentials::none().secret("credentials", Secret::new(config()["credentials"].to_string()));
        bench.shared.save("c", &credentials).await.unwrap();
        bench
    }

    /// As another process would have it.
    async fn engine(&self) -> Engine {
        let engine = Engine::builder(Arc::clone(&self.store))
            .templates(templates("example", &Manifest::parse(MANIFEST, &Files::new()).unwrap()).unwrap())
            .transport(Arc::new(self.shared.clone()))
            .credential_store(Arc::new(self.shared.clone()))
            .environment(Arc::clone(&self.clock) as Arc<dyn Environment>)
            .limits(RequestLimits::default().attempts(1).backoff(Duration::from_millis(1)))
            .build()
            .unwrap();
        engine.connect(ConnectionSettings::new("c", "example")).await.unwrap();
        engine
    }

    fn pass(&self, seconds: u64) {
        *self.clock.0.lock().unwrap() += seconds * 1000;
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.shared.0.lock().unwrap()
    }
}

async fn run(engine: &Engine, stream: &str) -> Result<()> {
    engine.sync("c", format!("example/{stream}")).unwrap().run_once(RunOptions::default()).await.map(drop)
}

#[tokio::test]
async fn new_tokens_are_kept_before_they_are_used_and_serve_the_next_process() {
    let bench = Bench::new().await;
    run(&bench.engine().await, "s").await.unwrap();
    run(&bench.engine().await, "t").await.unwrap();
    assert_eq!(bench.world().token_requests, 1, "the access token lives");
    bench.pass(4000);
    run(&bench.engine().await, "s").await.unwrap();
    let world = bench.world();
    assert_eq!((world.serial, world.token_requests), (2, 2));
    let serials = [1, 1, 2].map(|serial| format!("refresh-{serial}"));
    assert!(world.kept_at_use.iter().zip(&serials).all(|(kept, token)| kept.contains(token.as_str())));
    assert!(world.kept().contains("h4sh-of-the-app"), "the rest of the mapping stays");
}

#[tokio::test]
async fn streams_at_once_ask_for_one_token() {
    let bench = Bench::new().await;
    let (engine, other) = (bench.engine().await, bench.engine().await);
    let (s, t) = tokio::join!(run(&engine, "s"), run(&engine, "t"));
    s.and(t).unwrap();
    assert_eq!(bench.world().token_requests, 1);
    for round in 2..5 {
        bench.pass(4000);
        let (s, t) = tokio::join!(run(&engine, "s"), run(&other, "t"));
        s.and(t).unwrap();
        assert_eq!(bench.world().token_requests, round, "two processes");
    }
}

#[tokio::test]
async fn a_refused_refresh_token_is_told_without_itself() {
    let bench = Bench::new().await;
    bench.world().serial = 5;
    let error = run(&bench.engine().await, "s").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    assert!(error.to_string().contains("sign in again"), "{error}");
    assert!(!format!("{error:?}").contains("refresh-0"));
}

#[tokio::test]
async fn without_an_engine_the_tokens_last_as_long_as_the_read() {
    let token = |serial: u32| {
        let answer = format!(r#"{{"access_token":"a{serial}","refresh_token":"r{serial}","expires_in":60}}"#);
        HttpResponse::new(200, Vec::new(), answer)
    };
    let page = HttpResponse::new(200, Vec::new(), r#"{"data":[{"id":1}]}"#);
    let server = Server::of(vec![token(1), page]);
    let mut sink = support::Collected::default();
    source(MANIFEST, config()).unwrap().read("s", &Value::Null, &server, &mut sink).await.unwrap();
    assert_eq!(server.asked()[1], "GET https://api.test/items Authorization:Bearer a1");
}

#[tokio::test]
async fn a_token_that_the_api_ended_early_is_renewed_where_the_manifest_asks_for_it() {
    let with_handler = MANIFEST.replace(
        "      path: /items\n",
        "      path: /items\n      error_handler: {type: DefaultErrorHandler, response_filters: \
         [{type: HttpResponseFilter, http_codes: [401], action: REFRESH_TOKEN_THEN_RETRY}]}\n",
    );
    let token = |serial: u32| {
        let answer = format!(r#"{{"access_token":"a{serial}","refresh_token":"r{serial}","expires_in":3600}}"#);
        HttpResponse::new(200, Vec::new(), answer)
    };
    let page = HttpResponse::new(200, Vec::new(), r#"{"data":[{"id":1}]}"#);
    let server = Server::of(vec![token(1), HttpResponse::new(401, Vec::new(), "{}"), token(2), page]);
    let mut sink = support::Collected::default();
    source(&with_handler, config()).unwrap().read("s", &Value::Null, &server, &mut sink).await.unwrap();
    let asked = server.asked();
    assert!(asked[2].contains("refresh_token=r1"), "{asked:?}");
    assert_eq!(asked[3], "GET https://api.test/items Authorization:Bearer a2");
}

#[tokio::test]
async fn what_discovery_renewed_serves_the_reads_of_the_source() {
    let dynamic = r##"
dynamic_streams:
  - type: DynamicDeclarativeStream
    stream_template: {type: DeclarativeStream, name: "", primary_key: id, retriever: {$ref: "#/definitions/retriever"}}
    components_resolver:
      type: HttpComponentsResolver
      retriever: {$ref: "#/definitions/retriever"}
      components_mapping: [{type: ComponentMappingDefinition, field_path: [name], value: "board_{{ components_values.id }}"}]
"##;
    let token = HttpResponse::new(200, Vec::new(), r#"{"access_token":"a1","refresh_token":"r1","expires_in":3600}"#);
    let page = || HttpResponse::new(200, Vec::new(), r#"{"data":[{"id":1}]}"#);
    let server = Server::of(vec![token, page(), page()]);
    let mut source = source(&format!("{MANIFEST}{dynamic}"), config()).unwrap();
    source.discover(&server).await.unwrap();
    source.clone().read("board_1", &Value::Null, &server, &mut support::Collected::default()).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.iter().filter(|line| line.contains("/token")).count(), 1, "{asked:?}");
    assert_eq!(asked[2], "GET https://api.test/items Authorization:Bearer a1");
}
