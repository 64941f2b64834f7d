//! Where the tokens of a sign-in to Jira are valid. The fake answers as Atlassian documents it:
//! <https://developer.atlassian.com/cloud/oauth/getting-started/making-calls-to-api/>: requests with tokens of OAuth go to
//! `https://api.atlassian.com/ex/jira/{cloudid}`, not to the site; the cloud id is the `id` of the site in
//! `/oauth/token/accessible-resources`, which names a site once for each product, in no order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use highwater_core::{ErrorKind, MemoryStore, Result};
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::{ConnectionSettings, CredentialStore, Credentials, Engine, Secret};
use highwater_template::async_trait::async_trait;
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse};
use highwater_templates::jira;
use highwater_testkit::json;

const SITES: &str = r#"[
    {"id": "8f3c2d4e-1111-4bf4-9e99-aaaaaaaaaaaa", "name": "Other", "url": "https://other.atlassian.net", "scopes": ["read:jira-work"],
     "avatarUrl": "https:\/\/site-admin-avatar-cdn.prod.public.atl-paas.net\/avatars\/240\/flag.png"},
    {"id": "1324a887-45db-1bf4-1e99-ef0ff456d421", "name": "Site name", "url": "https://your-domain.atlassian.net",
     "scopes": ["write:confluence-content"], "avatarUrl": "https:\/\/avatar.example\/flag.png"},
    {"id": "1324a887-45db-1bf4-1e99-ef0ff456d421", "name": "Site name", "url": "https://your-domain.atlassian.net",
     "scopes": ["write:jira-work", "read:jira-user"], "avatarUrl": "https:\/\/avatar.example\/flag.png"}
]"#;

const OF_SITE: &str = "https://api.atlassian.com/ex/jira/1324a887-45db-1bf4-1e99-ef0ff456d421/rest/api/3/myself";
const USUAL: &str = "https://your-domain.atlassian.net/rest/api/3/myself";

#[derive(Debug, Default)]
struct Atlassian(Mutex<Vec<String>>);

impl Atlassian {
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[async_trait]
impl Transport for Atlassian {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        self.0.lock().unwrap().push(request.url.clone());
        let signed = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let by_token = signed.is_some_and(|(_, value)| value == "Bearer at-1");
        let by_password = signed.is_some_and(|(_, value)| value.starts_with("Basic "));
        let mia = r#"{"accountId": "5b10a2844c20165700ede21g", "displayName": "Mia Krystof"}"#;
        Ok(match request.url.as_str() {
            "https://api.atlassian.com/oauth/token/accessible-resources" if by_token => json(200, SITES),
            OF_SITE if by_token => json(200, mia),
            USUAL if by_password => json(200, mia),
            _ => json(401, r#"{"code": 401, "message": "Unauthorized"}"#),
        })
    }
}

#[derive(Debug, Default)]
struct Keychain(Mutex<BTreeMap<String, Credentials>>);

#[async_trait]
impl CredentialStore for Keychain {
    async fn load(&self, connection: &str) -> Result<Option<Credentials>> {
        Ok(self.0.lock().unwrap().get(connection).cloned())
    }

    async fn save(&self, connection: &str, credentials: &Credentials) -> Result<()> {
        self.0.lock().unwrap().insert(connection.to_owned(), credentials.clone());
        Ok(())
    }
}

fn tokens() -> Credentials {
    Credentials::oauth2(OAuthTokens::new("app").access(Secret::new("at-1"), None).refresh(Secret::new("rt-1")))
}

fn work(site: &str) -> ConnectionSettings {
    ConnectionSettings::new("work", "jira").config("site", site)
}

fn engine() -> (Engine, Arc<Atlassian>, Arc<Keychain>) {
    let (atlassian, keychain) = (Arc::new(Atlassian::default()), Arc::new(Keychain::default()));
    let builder = Engine::builder(Arc::new(MemoryStore::new().unwrap())).template(Arc::new(jira::Issues::new()));
    let builder = builder.transport(Arc::clone(&atlassian) as _).credential_store(Arc::clone(&keychain) as _);
    (builder.build().unwrap(), atlassian, keychain)
}

#[tokio::test]
async fn tokens_go_to_the_site_that_the_connection_names() {
    let (engine, atlassian, keychain) = engine();
    let myself = || engine.proxy("work", HttpRequest::get("/rest/api/3/myself"));
    engine.connect(work("your-domain")).await.unwrap();
    engine.sign_in("work", tokens()).await.unwrap();
    assert_eq!(atlassian.asked(), ["https://api.atlassian.com/oauth/token/accessible-resources", OF_SITE]);
    let state = engine.connection_state("work").await.unwrap();
    assert_eq!(state.account.name.as_deref(), Some("Mia Krystof"));
    assert_eq!(myself().await.unwrap().status, 200);

    // A host connects with the same settings at each start.
    engine.connect(work("your-domain")).await.unwrap();
    assert_eq!(myself().await.unwrap().status, 200);
    assert_eq!(atlassian.asked(), [OF_SITE, OF_SITE]);
    engine.sign_in("work", tokens()).await.unwrap();
    assert_eq!(atlassian.asked(), ["https://api.atlassian.com/oauth/token/accessible-resources", OF_SITE]);

    // An API token is one of the site itself.
    engine.sign_in("work", Credentials::basic("mia@example.com", Secret::new("api-t0ken"))).await.unwrap();
    assert_eq!(myself().await.unwrap().status, 200);
    assert_eq!(atlassian.asked(), [USUAL, USUAL]);
    assert_eq!(engine.connection("work").await.unwrap().found_base_url, None);

    // Another site than those that the user allowed: nothing changes.
    engine.connect(work("third")).await.unwrap();
    let error = engine.sign_in("work", tokens()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let told = error.to_string();
    for part in ["site: https://third.atlassian.net", "https://other.atlassian.net, https://your-domain.atlassian.net"]
    {
        assert!(told.contains(part), "{told}");
    }
    assert!(!told.contains("at-1") && !told.contains("api-t0ken"), "{told}");
    let kept = keychain.0.lock().unwrap()["work"].to_secret().unwrap();
    assert!(kept.expose().contains("api-t0ken"));
}

#[tokio::test]
async fn another_site_of_the_connection_does_not_get_requests_of_the_former() {
    let (engine, atlassian, _) = engine();
    engine.connect(work("your-domain")).await.unwrap();
    engine.sign_in("work", tokens()).await.unwrap();
    engine.connect(work("other")).await.unwrap();
    atlassian.asked();
    let _ = engine.proxy("work", HttpRequest::get("/rest/api/3/myself")).await;
    assert!(!atlassian.asked().contains(&OF_SITE.to_owned()));
    engine.connect(work("your-domain").base_url("https://jira.acme.example")).await.unwrap();
    let _ = engine.sign_in("work", tokens()).await;
    let asked = atlassian.asked();
    assert!(asked.iter().any(|url| url.starts_with("https://jira.acme.example/")), "{asked:?}");
    assert!(
        !asked.iter().any(|url| url.starts_with("https://api.atlassian.com/")),
        "its own base URL counts: {asked:?}"
    );
}
