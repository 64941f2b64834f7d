//! A manifest for a provider that is described elsewhere: the connection signs in as that provider says.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_core::MemoryStore;
use highwater_declarative::{Files, Manifest, templates_for};
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::{ConnectionSettings, Credentials, Engine, RunOptions, Secret};
use highwater_template::auth::{AuthKind, DesktopSignIn, OAuth2};
use highwater_template::{ConfigKey, Provider};
use highwater_testkit::{FakeRequest, FakeTransport, json};

const MANIFEST: &str = r#"
streams:
  - name: things
    primary_key: id
    retriever:
      requester: {url_base: "https://forge.example/api", path: things}
      record_selector: {extractor: {field_path: [things]}}
"#;

#[tokio::test]
async fn a_stream_is_read_with_tokens_that_the_engine_refreshes() {
    let oauth =
        OAuth2::new("https://forge.example/authorize", "https://forge.example/token", DesktopSignIn::PkcePublic);
    let provider = Provider::new("forge", "https://{host}/api")
        .config(ConfigKey::with_default("host", "the server's name", "forge.example"))
        .auth(AuthKind::OAuth2(oauth))
        .header("x-version", "7");
    let manifest = Manifest::parse(MANIFEST, &Files::new()).unwrap();
    let templates = templates_for(&provider, &manifest).unwrap();
    let api = Arc::new(FakeTransport::new(|request: &FakeRequest| match request.path.as_str() {
        "/token" => json(200, r#"{"access_token":"fresh","expires_in":3600}"#),
        _ => json(200, r#"{"things":[{"id":1},{"id":2}]}"#),
    }));
    let builder = Engine::builder(Arc::new(MemoryStore::new().unwrap())).provider(provider).templates(templates);
    let engine = builder.transport(Arc::clone(&api) as _).build().unwrap();
    engine.connect(ConnectionSettings::new("c", "forge")).await.unwrap();
    engine.use_credentials("c", Credentials::oauth2(OAuthTokens::new("app").refresh(Secret::new("r1"))));
    let report = engine.sync("c", "forge/things").unwrap().run_once(RunOptions::default()).await.unwrap();
    assert_eq!(report.progress.counts.added, 2);
    let seen: Vec<BTreeMap<String, Option<String>>> = api
        .seen()
        .iter()
        .map(|request| {
            ["authorization", "x-version"].map(|name| (name.to_owned(), request.header(name).map(str::to_owned))).into()
        })
        .collect();
    assert_eq!(seen[1]["authorization"].as_deref(), Some("Bearer fresh"));
    assert_eq!(seen[1]["x-version"].as_deref(), Some("7"));
}
