//! An engine that keeps its credentials in a vault of its own store: refresh tokens that work once, over restarts.

mod support;

use std::path::Path;
use std::sync::Arc;

use highwater_core::{ErrorKind, Result, Store};
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::{ConnectionSettings, Credentials, DisconnectMode, Engine, RunOptions, Secret};
use highwater_template::async_trait::async_trait;
use highwater_template::auth::{AuthKind, DesktopSignIn, OAuth2};
use highwater_template::{HttpRequest, HttpResponse, Provider, SyncContext, Template, TemplateInfo};
use highwater_testkit::{FakeApi, FakeRequest, FakeTransport, json};
use highwater_vault::{GivenKeys, Vault};
use support::{KINDS, block_on, given, open_file};

#[derive(Debug)]
struct Items(TemplateInfo);

#[async_trait]
impl Template for Items {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let page = context.send(HttpRequest::get("/items")).await?;
        context.save("Item", page.elements()?).await.map(drop)
    }
}

/// Each access token works for one request, each refresh token once; refusals echo what was sent.
#[derive(Default)]
struct OnceOnly {
    serial: u32,
}

impl FakeApi for OnceOnly {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        if request.path != "/token" {
            let sent = request.header("authorization").unwrap_or_default().to_owned();
            let good = sent == format!("Bearer ACCESS-secret-{}", self.serial);
            return if good {
                json(200, r#"[{"id":1}]"#)
            } else {
                json(401, format!(r#"{{"message":"bad token {sent}"}}"#))
            };
        }
        if request.form().get("refresh_token") != Some(&format!("REFRESH-secret-{}", self.serial)) {
            return json(400, r#"{"error":"invalid_grant"}"#);
        }
        self.serial += 1;
        let tokens = r#"{"access_token":"ACCESS-secret-#","refresh_token":"REFRESH-secret-#","expires_in":"1"}"#;
        json(200, tokens.replace('#', &self.serial.to_string()))
    }
}

async fn engine(kind: &str, folder: &Path, keys: &Arc<GivenKeys>, api: &FakeTransport<OnceOnly>) -> (Engine, Vault) {
    let store = open_file(kind, folder);
    let vault = Vault::open(Arc::clone(&store), Arc::clone(keys) as _).await.unwrap();
    let oauth = OAuth2::new("https://acme.example/authorize", "https://acme.example/token", DesktopSignIn::PkcePublic);
    let provider = Provider::new("acme", "https://api.acme.example").auth(AuthKind::OAuth2(oauth));
    let engine = Engine::builder(store)
        .template(Arc::new(Items(provider.template("items").model("Item", "an item"))))
        .transport(Arc::new(api.clone()))
        .credential_store(Arc::new(vault.clone()))
        .build()
        .unwrap();
    (engine, vault)
}

async fn run(engine: &Engine) -> Result<()> {
    engine.sync("c", "acme/items")?.run_once(RunOptions::default()).await.map(drop)
}

#[test]
fn a_sign_in_outlives_restarts_and_rotations_and_goes_with_its_connection() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let (keys, api) = (given(), FakeTransport::new(OnceOnly::default()));
        block_on(async {
            let (engine, _) = engine(kind, folder.path(), &keys, &api).await;
            engine.connect(ConnectionSettings::new("c", "acme")).await.unwrap();
            let tokens = OAuthTokens::new("app").refresh(Secret::new("REFRESH-secret-0"));
            engine.use_credentials("c", Credentials::oauth2(tokens));
            run(&engine).await.unwrap();
            engine.store().close().await.unwrap();
        });
        for restart in 0..3 {
            block_on(async {
                let (engine, vault) = engine(kind, folder.path(), &keys, &api).await;
                run(&engine).await.unwrap();
                vault.rotate().await.unwrap();
                run(&engine).await.unwrap();
                assert_eq!(vault.connections().await.unwrap(), ["c"], "{kind} {restart}");
                engine.store().close().await.unwrap();
            });
        }
        block_on(async {
            let (engine, vault) = engine(kind, folder.path(), &keys, &api).await;
            // Somebody else used the refresh token: a refusal that echoes tokens, and its run's log.
            api.with(|api| api.serial += 7);
            assert_eq!(run(&engine).await.unwrap_err().kind(), ErrorKind::Unauthorized);
            engine.disconnect("c", DisconnectMode::KeepRecords).await.unwrap();
            assert!(vault.connections().await.unwrap().is_empty());
            engine.store().close().await.unwrap();
        });
        let bytes = highwater_conformance::bytes_below(folder.path());
        for secret in ["ACCESS-secret", "REFRESH-secret"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{kind}: {secret}");
        }
    }
}
