//! The same API read twice: by the native template, and by a manifest of the declarative language. Both
//! must find the same records.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use highwater_core::MemoryStore;
use highwater_core::Store;
use highwater_declarative::{Files, Manifest, templates};
use highwater_engine::transport::PrivateAddresses;
use highwater_engine::{ConnectionSettings, Credentials, Engine, RunOptions};
use highwater_template::{HttpRequest, Secret};
use serde_json::{Value, json};

use super::server::{Server, npm};
use super::{Bench, live_records};

const SEED: &str = r"tokens:
  gh: {login: octocat, scopes: [repo, user]}
  sk_test_0: {login: developer, scopes: [repo]}
github:
  users: [{login: octocat, name: The Octocat, email: octocat@github.com}]
  repos: [{owner: octocat, name: hello-world, language: JavaScript, auto_init: true}]
slack:
  team: {name: W, domain: w}
  users: [{name: developer, real_name: Dev, email: dev@example.com}]
  channels: [{name: general}, {name: water}, {name: tides}]
  tokens: [{token: xoxb-local-test, user: developer, scopes: [channels:read, channels:history, chat:write, users:read]}]
linear:
  organization: {name: Acme, url_key: acme}
  users: [{email: admin@example.com, name: Admin, admin: true}]
  teams: [{key: ENG, name: Engineering, states: [{name: Todo, type: unstarted}]}, {key: OPS, name: Operations, states: [{name: Todo, type: unstarted}]}]
  tokens: [{token: lin_test_admin, user: admin@example.com, scopes: [read, write, admin]}]
";

const MANIFEST: &str = r##"
version: 6.0.0
type: DeclarativeSource
definitions:
  list:
    type: RecordSelector
    extractor: {type: DpathExtractor, field_path: []}
  github:
    type: HttpRequester
    url_base: "{{ config['github'] }}/repos/octocat/hello-world"
    authenticator: {type: BearerAuthenticator, api_token: "{{ config['github_token'] }}"}
    request_parameters: {state: all, sort: updated, direction: asc, per_page: "100"}
  pages_by_link:
    type: DefaultPaginator
    page_token_option: {type: RequestPath}
    pagination_strategy:
      type: CursorPagination
      cursor_value: "{{ headers['link']['next']['url'] }}"
      stop_condition: "{{ 'next' not in headers['link'] }}"
streams:
  - type: DeclarativeStream
    name: issues
    primary_key: id
    retriever:
      type: SimpleRetriever
      requester: {$ref: "#/definitions/github", path: /issues}
      paginator: {$ref: "#/definitions/pages_by_link"}
      record_selector:
        $ref: "#/definitions/list"
        record_filter: {type: RecordFilter, condition: "{{ 'pull_request' not in record }}"}
  - type: DeclarativeStream
    name: releases
    primary_key: id
    retriever:
      type: SimpleRetriever
      requester: {$ref: "#/definitions/github", path: /releases}
      paginator: {$ref: "#/definitions/pages_by_link"}
      record_selector: {$ref: "#/definitions/list"}
  - type: DeclarativeStream
    name: customers
    primary_key: id
    retriever:
      type: SimpleRetriever
      requester:
        type: HttpRequester
        url_base: "{{ config['stripe'] }}"
        path: /v1/customers
        authenticator: {type: BearerAuthenticator, api_token: "{{ config['stripe_token'] }}"}
      paginator:
        type: DefaultPaginator
        page_size_option: {type: RequestOption, inject_into: request_parameter, field_name: limit}
        page_token_option: {type: RequestOption, inject_into: request_parameter, field_name: starting_after}
        pagination_strategy:
          type: CursorPagination
          page_size: 100
          cursor_value: "{{ last_record['id'] }}"
          stop_condition: "{{ not response['has_more'] }}"
      record_selector: {type: RecordSelector, extractor: {type: DpathExtractor, field_path: [data]}}
  - type: DeclarativeStream
    name: channels
    primary_key: id
    retriever:
      type: SimpleRetriever
      requester:
        type: HttpRequester
        url_base: "{{ config['slack'] }}/api"
        path: /conversations.list
        http_method: POST
        authenticator: {type: BearerAuthenticator, api_token: "{{ config['slack_token'] }}"}
        request_body_data: {limit: "2", types: "public_channel,private_channel"}
      paginator:
        type: DefaultPaginator
        page_token_option: {type: RequestOption, inject_into: body_data, field_name: cursor}
        pagination_strategy: {type: CursorPagination, cursor_value: "{{ response.response_metadata.next_cursor }}"}
      record_selector: {type: RecordSelector, extractor: {type: DpathExtractor, field_path: [channels]}}
  - type: DeclarativeStream
    name: teams
    primary_key: id
    retriever:
      type: SimpleRetriever
      requester:
        type: HttpRequester
        url_base: "{{ config['linear'] }}"
        path: /graphql
        http_method: POST
        authenticator: {type: ApiKeyAuthenticator, api_token: "{{ config['linear_token'] }}", header: Authorization}
        request_body_json:
          query: "query($after: String) { teams(first: 1, after: $after) { nodes { id key name description createdAt updatedAt archivedAt } pageInfo { hasNextPage endCursor } } }"
      paginator:
        type: DefaultPaginator
        page_token_option: {type: RequestOption, inject_into: body_json, field_path: [variables, after]}
        pagination_strategy:
          type: CursorPagination
          cursor_value: "{{ response.data.teams.pageInfo.endCursor }}"
          stop_condition: "{{ not response.data.teams.pageInfo.hasNextPage }}"
      record_selector: {type: RecordSelector, extractor: {type: DpathExtractor, field_path: [data, teams, nodes]}}
spec:
  type: Spec
  connection_specification:
    type: object
    properties:
      github: {type: string}
      stripe: {type: string}
      slack: {type: string}
      linear: {type: string}
      github_token: {type: string, airbyte_secret: true}
      stripe_token: {type: string, airbyte_secret: true}
      slack_token: {type: string, airbyte_secret: true}
      linear_token: {type: string, airbyte_secret: true}
"##;

/// Each manifest's secret setting, and what goes there.
const TOKENS: [(&str, &str); 4] = [
    ("github_token", "gh"),
    ("slack_token", "xoxb-local-test"),
    ("stripe_token", "sk_test_0"),
    ("linear_token", "lin_test_admin"),
];

fn start() -> Result<Server, String> {
    let program = npm("emulate", "0.11.2", "emulate")?;
    Server::start(4, |folder, port| {
        let seed = folder.join("seed.yaml");
        std::fs::write(&seed, SEED).map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(["--service", "github,slack,stripe,linear", "--seed"]).arg(seed);
        command.args(["--port", &port.to_string()]);
        Ok(command)
    })
}

/// An engine whose only templates are the manifest's streams.
struct Declared {
    engine: Engine,
    store: Arc<MemoryStore>,
}

impl Declared {
    async fn new(server: &Server) -> Self {
        let store = Arc::new(MemoryStore::new().unwrap());
        let mut builder = Engine::builder(Arc::clone(&store) as Arc<dyn Store>);
        for template in templates("declared", &Manifest::parse(MANIFEST, &Files::new()).unwrap()).unwrap() {
            builder = builder.template(template);
        }
        // A setting names the server, and this test chose it.
        let engine = builder.private_addresses(PrivateAddresses::OfAnyone).build().unwrap();
        let urls = ["github", "slack", "stripe", "linear"].into_iter().zip(0..);
        let settings = urls.fold(ConnectionSettings::new("c", "declared"), |settings, (name, service)| {
            settings.config(name, server.base_url(service))
        });
        engine.connect(settings).await.unwrap();
        let credentials =
            TOKENS.iter().fold(Credentials::none(), |all, (name, token)| all.secret(*name, Secret::new(*token)));
        engine.use_credentials("c", credentials);
        Declared { engine, store }
    }

    async fn records(&self, stream: &str) -> BTreeMap<String, Value> {
        let sync = format!("declared/{stream}");
        self.engine.sync("c", &sync).unwrap().run_once(RunOptions::default().approve_deletes(true)).await.unwrap();
        live_records(&self.store, stream).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_finds_what_the_native_template_finds() {
    let server = match start() {
        Ok(server) => server,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let declared = Declared::new(&server).await;
    github(&server, &declared).await;
    stripe(&server, &declared).await;
    slack(&server, &declared).await;
    linear(&server, &declared).await;
}

/// Three pages of issues, some closed, some with comments; all of it made by the template's own actions.
async fn github(server: &Server, declared: &Declared) {
    let config = [("owner", "octocat"), ("repo", "hello-world")];
    let native = Bench::new("github", server.base_url(0), &config, Credentials::token(Secret::new("gh"))).await;
    let act = |action: &'static str, input: Value| {
        let engine = native.engine.clone();
        async move { engine.act("c", action, input).await.unwrap() }
    };
    for n in 0..230 {
        let made = act("github/create_issue", json!({"title": format!("Leak {n}"), "body": "water"})).await;
        assert_eq!(made["title"], format!("Leak {n}"));
    }
    for number in (1..=230).step_by(23) {
        let said = act("github/comment", json!({"number": number, "body": format!("On {number}")})).await;
        assert_eq!(said["body"], format!("On {number}"));
        assert_eq!(act("github/close_issue", json!({"number": number})).await["state"], "closed");
    }
    assert_eq!(native.run("github/issues").await.0, 230);
    let issues = native.records("Issue").await;
    assert_eq!(issues.values().filter(|issue| issue["state"] == "closed").count(), 10);
    assert_same("issues", &issues, &declared.records("issues").await);
    // This server lists comments of one issue only: the comments' sync cannot be tried against it.
    for n in 0..7 {
        let release = json!({"tag_name": format!("v{n}"), "name": format!("Version {n}"), "body": "drier"});
        native.ask(HttpRequest::post_json("/repos/octocat/hello-world/releases", &release).unwrap()).await;
    }
    assert_eq!(native.run("github/releases").await, (7, 0, 0));
    assert_same("releases", &native.records("Release").await, &declared.records("releases").await);
    assert_eq!(native.run("github/repositories").await.0, 1);
}

async fn stripe(server: &Server, declared: &Declared) {
    let native = Bench::new("stripe", server.base_url(2), &[], Credentials::token(Secret::new("sk_test_0"))).await;
    for n in 0..150 {
        let input = json!({"email": format!("c{n}@example.com"), "name": format!("Customer {n}")});
        native.engine.act("c", "stripe/create_customer", input).await.unwrap();
    }
    native.run("stripe/customers").await;
    let customers = native.records("Customer").await;
    assert!(customers.len() >= 150);
    assert_same("customers", &customers, &declared.records("customers").await);
}

async fn slack(server: &Server, declared: &Declared) {
    let url = format!("{}/api", server.base_url(1));
    let native = Bench::new("slack", url, &[], Credentials::token(Secret::new("xoxb-local-test"))).await;
    assert!(native.run("slack/channels").await.0 >= 3);
    assert_same("channels", &native.records("Channel").await, &declared.records("channels").await);
}

async fn linear(server: &Server, declared: &Declared) {
    let token = Credentials::token(Secret::new("lin_test_admin"));
    let native = Bench::new("linear", server.base_url(3), &[], token).await;
    assert_eq!(native.run("linear/teams").await, (2, 0, 0));
    assert_same("teams", &native.records("Team").await, &declared.records("teams").await);
}

fn assert_same(what: &str, native: &BTreeMap<String, Value>, declared: &BTreeMap<String, Value>) {
    assert!(!native.is_empty(), "{what}: nothing to compare");
    let (native_ids, declared_ids): (Vec<_>, Vec<_>) = (native.keys().collect(), declared.keys().collect());
    assert_eq!(native_ids, declared_ids, "{what}: other ids");
    for (id, record) in native {
        assert_eq!(record, &declared[id], "{what}: record {id}");
    }
}
