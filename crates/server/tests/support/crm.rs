//! A provider with a sync, an action and an API on this machine, and an integration and connections of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::any;
use highwater_core::{MemoryStore, Result};
use highwater_engine::{ConnectionSettings, Credentials, Engine, IntegrationSettings, Secret, SyncOptions};
use highwater_template::actions::{ActionContext, ActionInfo, ActionTemplate};
use highwater_template::async_trait::async_trait;
use highwater_template::auth::AuthKind;
use highwater_template::{HttpRequest, Provider, SyncContext, Template, TemplateInfo};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::keychain::Keychain;

/// The connection's token. No answer but that of the credentials may hold it.
pub(crate) const TOKEN: &str = "t0ken-nobody-may-see";

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
struct CreateContact(ActionInfo);

#[async_trait]
impl ActionTemplate for CreateContact {
    fn info(&self) -> &ActionInfo {
        &self.0
    }

    async fn run(&self, context: &ActionContext<'_>, input: Value) -> Result<Value> {
        let status = input["status"].as_u64().unwrap_or(201);
        context.send(HttpRequest::post_json(format!("/status/{status}"), &input)?.repeatable(false)).await?.json()
    }
}

/// What the API saw, and its address.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) url: String,
    /// Requests to `/flaky`, of which the first two fail.
    pub(crate) flaky: Arc<AtomicUsize>,
}

impl Api {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let api = Api { url, flaky: Arc::default() };
        let flaky = Arc::clone(&api.flaky);
        let app = Router::new()
            .route(
                "/contacts",
                any(|| async { json!([{"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}]).to_string() }),
            )
            .route("/away", any(|| async { Redirect::temporary("http://127.0.0.1:1/elsewhere") }))
            .route("/private", any(|| async { Redirect::temporary("http://169.254.169.254/latest") }))
            .route(
                "/status/{status}",
                any(|uri: Uri, body: Bytes| async move {
                    let status: u16 = uri.path().rsplit('/').next().unwrap().parse().unwrap();
                    (StatusCode::from_u16(status).unwrap(), body)
                }),
            )
            .route(
                "/flaky",
                any(move || async move {
                    match flaky.fetch_add(1, Ordering::Relaxed) {
                        0 | 1 => StatusCode::SERVICE_UNAVAILABLE,
                        _ => StatusCode::OK,
                    }
                }),
            )
            .fallback(echo);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        api
    }
}

/// Answers with what it was sent, and headers that must not be passed on.
async fn echo(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let headers: serde_json::Map<String, Value> =
        parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().into())).collect();
    let signed = headers.get("authorization").and_then(Value::as_str) == Some(&format!("Bearer {TOKEN}"));
    let mut shown = headers.clone();
    shown.remove("authorization");
    let seen = json!({
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "query": parts.uri.query(),
        "headers": shown,
        "signed": signed,
        "body": String::from_utf8_lossy(&body),
    });
    let kept = [("content-type", "application/json"), ("x-request-id", "r1"), ("link", "</next>; rel=\"next\"")];
    let dropped = [("set-cookie", "a=b"), ("access-control-allow-origin", "*"), ("connection", "close")];
    let headers: Vec<(&str, &str)> = kept.into_iter().chain(dropped).collect();
    let mut response = seen.to_string().into_response();
    for (name, value) in headers {
        response.headers_mut().insert(axum::http::HeaderName::from_static(name), value.parse().unwrap());
    }
    response
}

/// An engine with the integration `crm`, whose base URL the host set, its sync `contacts` enabled, and the connection `main`
/// signed in. A second provider `site` has an address that clients' settings are part of.
pub(crate) async fn crm() -> (Engine, Api) {
    let api = Api::start().await;
    let provider = Provider::new("crm", "https://crm.example").auth(AuthKind::bearer("a token"));
    let info = provider.template("contacts").model("Contact", "a person").interval(Duration::from_secs(3600));
    let schema = json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}});
    let action = provider.action("create_contact").description("Creates a contact.").input(schema);
    let site = Provider::new("site", "http://{host}/")
        .config(highwater_template::ConfigKey::required("host", "the host's name"));
    let engine = Engine::builder(Arc::new(MemoryStore::new().unwrap()))
        .template(Arc::new(Contacts(info)))
        .actions([Arc::new(CreateContact(action)) as Arc<dyn ActionTemplate>])
        .provider(site)
        .credential_store(Arc::new(Keychain::default()))
        .limits(highwater_engine::transport::RequestLimits::default().backoff(Duration::from_millis(10)))
        .build()
        .unwrap();
    let integration = IntegrationSettings::new("crm", "crm").base_url(&api.url);
    let integration = engine.create_integration(integration).await.unwrap();
    integration.enable("contacts", SyncOptions::default()).await.unwrap();
    engine.connect(ConnectionSettings::of_integration("main", "crm")).await.unwrap();
    engine.sign_in("main", Credentials::token(Secret::new(TOKEN))).await.unwrap();
    (engine, api)
}
