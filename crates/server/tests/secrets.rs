//! No answer of the server, no page, no event and no log line holds a secret, whatever the API echoes.
#![allow(clippy::disallowed_methods)] // reads a socket as it is

#[path = "dashboard/browser.rs"]
mod browser;
mod support;
#[path = "../../vault/tests/support/told.rs"]
mod told;

use std::sync::{Arc, Mutex};

use browser::Browser;
use highwater_core::{Error, ErrorKind, MemoryStore, Result, Store};
use highwater_engine::runs::RunOptions;
use highwater_engine::webhooks::{Destination, Outbox, WebhookFormat};
use highwater_engine::{ConnectionSettings, Credentials, Engine, IntegrationSettings, Secret, SyncOptions};
use highwater_server::Scope;
use highwater_template::actions::{ActionContext, ActionInfo, ActionTemplate};
use highwater_template::async_trait::async_trait;
use highwater_template::auth::AuthKind;
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse, Provider, SyncContext, Template, TemplateInfo, Verification};
use serde_json::{Value, json};
use support::keychain::Keychain;
use support::{Answer, Running, start_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TOKEN: &str = "t0ken-4711-aaaabbbbcccc";
/// In a request that is refused before anybody uses it.
const UNUSED: &str = "t0ken-4712-ddddeeeeffff";
const CLIENT: &str = "cl1ent-4713-gggghhhhiiii";
const HOOK: &str = "h00k-4714-jjjjkkkkllll";
const SIGNING: &str = "whsec_c2lnbmluZy1zZWNyZXQtNDcxNS1tbW1t";

/// Where the API puts the secrets that it was sent, and others that it knows.
#[derive(Clone, Copy, Debug, Default)]
enum Echo {
    #[default]
    Nowhere,
    Refusal,
    Failure,
    Garbage,
    Header,
    Redirect,
    Transport,
    Account,
}

const ECHOES: [Echo; 7] =
    [Echo::Refusal, Echo::Failure, Echo::Garbage, Echo::Header, Echo::Redirect, Echo::Transport, Echo::Account];

/// An API that echoes, and a receiver of webhooks.
#[derive(Debug, Default)]
struct Api {
    echo: Mutex<Echo>,
    posted: Mutex<Vec<String>>,
}

#[async_trait]
impl Transport for Api {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        if request.url.starts_with("https://hooks.example") {
            let body = String::from_utf8_lossy(request.body.as_deref().unwrap_or_default()).into_owned();
            self.posted.lock().unwrap().push(body);
            return Ok(HttpResponse::new(200, Vec::new(), ""));
        }
        let secrets = format!("{TOKEN} {CLIENT} {HOOK}");
        let answer = |status, body: String| Ok(HttpResponse::new(status, Vec::new(), body));
        let echo = *self.echo.lock().unwrap();
        match echo {
            Echo::Nowhere => {}
            Echo::Refusal => return answer(401, json!({"error": "no", "message": secrets}).to_string()),
            Echo::Failure => return answer(422, json!({"error": secrets, "message": secrets}).to_string()),
            Echo::Garbage => return answer(200, format!("[{{\"id\": {secrets}")),
            Echo::Header => {
                let headers = vec![("www-authenticate".to_owned(), format!("Bearer error=\"{secrets}\""))];
                return Ok(HttpResponse::new(403, headers, secrets));
            }
            Echo::Redirect => {
                let to = format!("https://elsewhere.example/{TOKEN}?token={CLIENT}");
                return Ok(HttpResponse::new(302, vec![("location".to_owned(), to)], ""));
            }
            Echo::Transport => return Err(Error::new(ErrorKind::Io, format!("cannot send {secrets}"))),
            Echo::Account if request.url.ends_with("/me") => return answer(200, json!({"name": TOKEN}).to_string()),
            Echo::Account => {}
        }
        match request.url.rsplit('/').next() {
            Some("me") => answer(200, json!({"name": "ann"}).to_string()),
            _ => answer(200, json!([{"id": 1, "name": "Ann"}]).to_string()),
        }
    }
}

#[derive(Debug)]
struct Contacts(TemplateInfo);

#[async_trait]
impl Template for Contacts {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let page = context.send(HttpRequest::get("/contacts")).await?;
        context.save("Contact", page.elements()?).await?;
        context.complete("Contact").await
    }
}

#[derive(Debug)]
struct Create(ActionInfo);

#[async_trait]
impl ActionTemplate for Create {
    fn info(&self) -> &ActionInfo {
        &self.0
    }

    async fn run(&self, context: &ActionContext<'_>, input: Value) -> Result<Value> {
        context.send(HttpRequest::post_json("/contacts", &input)?.repeatable(false)).await?.json()
    }
}

async fn world() -> (Running, Arc<Api>, Outbox) {
    let api = Arc::new(Api::default());
    let provider = Provider::new("crm", "https://crm.example")
        .auth(AuthKind::bearer("a token"))
        .verification(Verification::get("/me").name("/name"));
    let info = provider.template("contacts").model("Contact", "a person");
    let action = provider.action("create").description("Creates a contact.").input(json!({"type": "object"}));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new().unwrap());
    let engine = Engine::builder(store)
        .transport(Arc::clone(&api) as _)
        .template(Arc::new(Contacts(info)))
        .actions([Arc::new(Create(action)) as Arc<dyn ActionTemplate>])
        .credential_store(Arc::new(Keychain::default()))
        .build()
        .unwrap();
    let crm = engine.create_integration(IntegrationSettings::new("crm", "crm").client_id("app")).await.unwrap();
    crm.set_client_secret(Some(Secret::new(CLIENT))).await.unwrap();
    crm.set_webhook_secret(Some(Secret::new(HOOK))).await.unwrap();
    crm.enable("contacts", SyncOptions::default()).await.unwrap();
    engine.connect(ConnectionSettings::of_integration("main", "crm")).await.unwrap();
    let outbox = Outbox::new(&engine);
    let destination =
        |id: &str| Destination::new(id, format!("https://hooks.example/{id}")).on_error(true).on_auth(true);
    for destination in [destination("own"), destination("nango").format(WebhookFormat::Nango)] {
        outbox.set_secrets(&destination.id, vec![Secret::new(SIGNING)]).unwrap();
        outbox.add(destination).await.unwrap();
    }
    engine.sign_in("main", Credentials::token(Secret::new(TOKEN))).await.unwrap();
    (start_with(engine, |server| server).await, api, outbox)
}

/// Routes that read. What shows credentials on purpose comes with a key that may not see them.
const READ: [&str; 19] = [
    "/health",
    "/providers",
    "/providers/crm",
    "/providers/crm/templates",
    "/scripts/config",
    "/environment-variables",
    "/integrations",
    "/integrations/crm",
    "/integrations/crm?include=webhook",
    "/integrations/crm/functions",
    "/connections",
    "/connections/main?provider_config_key=crm",
    "/connections/main?provider_config_key=crm&refresh_token=true",
    "/sync/status?syncs=*&provider_config_key=crm",
    "/records?model=Contact",
    "/consumers?model=Contact",
    "/action/none",
    "/no/such/route",
    "/proxy/contacts",
];

const PAGES: [&str; 10] = [
    "/dashboard",
    "/dashboard/integrations",
    "/dashboard/integrations/crm",
    "/dashboard/connections",
    "/dashboard/connections/main",
    "/dashboard/connect?integration=crm",
    "/dashboard/records?connection=main&model=Contact",
    "/dashboard/runs",
    "/dashboard/webhooks",
    "/dashboard/settings",
];

/// Everything that the server says while the API echoes.
async fn said(running: &Running, browser: &Browser<'_>, read_key: &str) -> Vec<(String, String)> {
    let mut said = Vec::new();
    let trigger = json!({"syncs": ["contacts"], "provider_config_key": "crm", "connection_id": "main"}).to_string();
    let action = json!({"action_name": "create", "input": {"name": "Bob"}}).to_string();
    let token = json!({"provider_config_key": "crm", "connection_id": "main",
        "credentials": {"type": "API_KEY", "apiKey": UNUSED}});
    for (method, path, body) in [
        ("POST", "/sync/trigger", Some(&*trigger)),
        ("POST", "/action/trigger", Some(&*action)),
        ("POST", "/proxy/contacts", Some(r#"{"a":1}"#)),
    ] {
        let answer = running.call(method, path, body).await;
        said.push((path.to_owned(), told_by(path, &answer)));
    }
    let wrong = running.call("POST", "/connections", Some(&format!("{token}x"))).await;
    said.push(("a body that is not JSON".to_owned(), told_by("", &wrong)));
    let error = running.engine.sync("main", "crm/contacts").unwrap().run_once(RunOptions::default()).await;
    said.push(("run".to_owned(), format!("{error:?}")));
    for path in READ {
        let answer = running.call_with("GET", path, None, &[("Authorization", &format!("Bearer {read_key}"))]).await;
        said.push((path.to_owned(), told_by(path, &answer)));
    }
    for path in PAGES {
        let answer = browser.get(path).await;
        said.push((path.to_owned(), told_by(path, &answer)));
    }
    said
}

/// Headers and body. The API's own answer to a request of the host's is passed on as it is.
fn told_by(path: &str, answer: &Answer) -> String {
    let is_error = |body: Value| body["error"]["code"].is_string();
    let ours = serde_json::from_slice(&answer.body).is_ok_and(is_error);
    if path.starts_with("/proxy") && !ours {
        return String::new();
    }
    format!("{} {:?} {}", answer.status, answer.headers, String::from_utf8_lossy(&answer.body))
}

/// What an event stream says until the first record.
async fn streamed(running: &Running, key: &str) -> String {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = format!(
        "GET /stream?model=Contact HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\nConnection-Id: main\r\n\
         Provider-Config-Key: crm\r\n\r\n",
        running.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut buffer) = (String::new(), [0; 4096]);
    while !read.contains("Ann") {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the stream ended: {read}");
        read.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_the_server_says_holds_a_secret() {
    let heard = told::Heard::default();
    tracing::subscriber::set_global_default(heard.clone()).unwrap();
    let (running, api, outbox) = world().await;
    let reader = running.server.keys().create("reader", Scope::Read).await.unwrap();
    let browser = Browser::signed_in(&running, Scope::Admin).await;
    let mut all = said(&running, &browser, reader.secret.expose()).await;
    all.push(("/stream".to_owned(), streamed(&running, reader.secret.expose()).await));
    for echo in ECHOES {
        *api.echo.lock().unwrap() = echo;
        let signed_in = running.engine.sign_in("main", Credentials::token(Secret::new(TOKEN))).await;
        all.push((format!("{echo:?}: sign-in"), format!("{signed_in:?}")));
        let found = said(&running, &browser, reader.secret.expose()).await;
        all.extend(found.into_iter().map(|(what, text)| (format!("{echo:?}: {what}"), text)));
        *api.echo.lock().unwrap() = Echo::Nowhere;
        // Syncs rest after a refusal, until somebody signs in.
        running.engine.sign_in("main", Credentials::token(Secret::new(TOKEN))).await.unwrap();
        outbox.deliver_due().await.unwrap();
    }
    let posted = api.posted.lock().unwrap().clone();
    assert!(posted.iter().any(|body| body.contains(r#""from":"nango""#)), "{posted:?}");
    all.extend(posted.into_iter().map(|body| ("webhook".to_owned(), body)));
    all.push(("log".to_owned(), heard.0.lock().unwrap().clone()));
    let keys = [running.key.as_str(), reader.secret.expose()];
    for secret in [TOKEN, UNUSED, CLIENT, HOOK, SIGNING].into_iter().chain(keys) {
        for (what, text) in &all {
            let part = &secret[..14];
            let line = text.lines().find(|line| line.contains(part));
            assert!(line.is_none(), "{what} holds {secret}: {line:?}");
        }
    }
}
