//! No text leaves the engine with a secret in it: whatever the API echoes, wherever, and whoever gets to see it.
//!
//! Each case takes one secret of one way to sign in, writes it in one form into one part of an answer, and looks at every
//! exit: stored rows, reports, status, events, webhooks, errors with their causes, `Debug`, `tracing`.

#[path = "support/forms.rs"]
mod forms;
#[path = "support/world.rs"]
mod world;

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use forms::{FORMS, Form, KEPT, Kept, SIGNING, TOKEN};
use highwater_core::{Environment, Error, ErrorKind, Inline, MemoryBackend, Result, Store, StoreOptions};
use highwater_engine::transport::RequestLimits;
use highwater_engine::webhooks::{Destination, Outbox};
use highwater_engine::{ConnectionSettings, Engine, IntegrationSettings, RunOptions, Secret, SyncOptions};
use highwater_template::actions::{ActionContext, ActionInfo, ActionTemplate};
use highwater_template::auth::{AuthKind, CredentialUse, DesktopSignIn, OAuth2};
use highwater_template::http::{Transport, escape};
use highwater_template::webhooks::{WebhookEvent, WebhookReaction, WebhookScheme};
use highwater_template::{HttpRequest, HttpResponse, LogLevel, Provider, SyncContext, Template, Verification};
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;
use world::Clock;

const SYNC: &str = "echo/items";

/// Where the API writes it.
#[derive(Clone, Copy, Debug)]
enum Part {
    Message,
    ErrorObject,
    NoJson,
    /// The cut of what an error quotes falls into the secret.
    Long,
    /// Where a list was expected.
    WrongShape,
    /// A record that cannot be saved.
    Record,
    NextLink,
    Location,
    RetryAfter,
    /// What the transport says when there is no answer.
    NoAnswer,
    /// A template's own words, in the log and in its error.
    Template,
    /// An event that a template refuses.
    Webhook,
    /// The URL that the template itself asks for.
    Path,
    /// The API takes the credentials no longer: the connection's health says why.
    Refused,
    /// The token endpoint refuses, in its code and in its words.
    Tokens,
    /// So does the revocation endpoint.
    Revocation,
}

const PARTS: [Part; 16] = [
    Part::Message,
    Part::ErrorObject,
    Part::NoJson,
    Part::Long,
    Part::WrongShape,
    Part::Record,
    Part::NextLink,
    Part::Location,
    Part::RetryAfter,
    Part::NoAnswer,
    Part::Template,
    Part::Webhook,
    Part::Path,
    Part::Refused,
    Part::Tokens,
    Part::Revocation,
];

/// The JSON text of a string that may hold escapes already.
fn json_string(text: &str) -> String {
    if serde_json::from_str::<String>(&format!("\"{text}\"")).is_ok() {
        return format!("\"{text}\"");
    }
    serde_json::to_string(text).unwrap()
}

/// An API that echoes; and a receiver of webhooks.
#[derive(Debug, Default)]
struct Echo {
    part: Mutex<Option<Part>>,
    echoed: Mutex<String>,
    posted: Mutex<Vec<String>>,
}

#[async_trait]
impl Transport for Echo {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        if request.url.contains("crm.example") {
            let body = request.body.as_ref().map(|body| String::from_utf8_lossy(body).into_owned());
            self.posted.lock().unwrap().push(body.unwrap_or_default());
            return Ok(HttpResponse::new(200, Vec::new(), ""));
        }
        let secret = self.echoed.lock().unwrap().clone();
        let text = json_string(&format!("bad token {secret}, give another"));
        let header = |name: &str, value: String| vec![(name.to_owned(), value)];
        let answer = |status, headers, body: String| Ok(HttpResponse::new(status, headers, body));
        let part = self.part.lock().unwrap().unwrap_or(Part::Message);
        let refusal = format!(r#"{{"error":{},"error_description":{text},"message":{text}}}"#, json_string(&secret));
        if request.url.ends_with("/token") || request.url.ends_with("/access_tokens") {
            let token = r#"{"access_token":"access-new-2","expires_in":3600,"token":"access-new-3","expires_at":"2100-01-01T00:00:00Z"}"#;
            return match part {
                Part::Tokens => answer(400, Vec::new(), refusal),
                _ => answer(200, Vec::new(), token.to_owned()),
            };
        }
        if request.url.ends_with("/revoke") {
            let status = if matches!(part, Part::Revocation) { 400 } else { 200 };
            return answer(status, Vec::new(), refusal);
        }
        match part {
            Part::Message => answer(400, Vec::new(), format!(r#"{{"message":{text}}}"#)),
            Part::ErrorObject => answer(403, Vec::new(), format!(r#"{{"error":{{"message":{text}}}}}"#)),
            Part::NoJson => answer(200, Vec::new(), format!("<p>{secret}</p>")),
            Part::Long => {
                let text = json_string(&format!("{}{secret} and more", "x".repeat(190)));
                answer(400, Vec::new(), format!(r#"{{"message":{text}}}"#))
            }
            Part::WrongShape => answer(200, Vec::new(), format!(r#"{{"told":{text}}}"#)),
            Part::Record => answer(200, Vec::new(), format!(r#"[{{"id":{{"token":{text}}}}}]"#)),
            Part::NextLink => {
                let link = format!("<https://{}.example/?{}>; rel=\"next\"", "other", secret.replace('\n', " "));
                answer(200, header("Link", link), "[]".to_owned())
            }
            Part::Location => answer(302, header("Location", format!("https://other.example/{secret}")), String::new()),
            Part::RetryAfter => answer(400, header("Retry-After", secret), "{}".to_owned()),
            Part::NoAnswer => {
                let cause = std::io::Error::other(format!("no route for {secret}"));
                Err(Error::new(ErrorKind::Unavailable, format!("no answer to {secret}")).because(cause))
            }
            Part::Path => answer(404, Vec::new(), String::new()),
            Part::Refused | Part::Tokens => answer(401, Vec::new(), refusal),
            Part::Revocation | Part::Template | Part::Webhook => answer(200, Vec::new(), "[]".to_owned()),
        }
    }
}

#[derive(Debug)]
struct Items(highwater_template::TemplateInfo, Arc<Echo>);

impl Items {
    fn complain(&self) -> Result<()> {
        let secret = self.1.echoed.lock().unwrap().clone();
        let cause = Error::new(ErrorKind::Remote, "deeper").with("said", &secret);
        Err(Error::new(ErrorKind::Remote, format!("the API said {secret}")).with("words", &secret).because(cause))
    }
}

#[async_trait]
impl Template for Items {
    fn info(&self) -> &highwater_template::TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        if matches!(*self.1.part.lock().unwrap(), Some(Part::Path)) {
            let path = format!("/bot{}/me?key={}", escape(TOKEN), escape(TOKEN));
            return context.send(HttpRequest::get(path)).await.map(drop);
        }
        let page = context.send(HttpRequest::get("/items").query("q", "1")).await?;
        if matches!(*self.1.part.lock().unwrap(), Some(Part::Template)) {
            context.log(LogLevel::Info, format!("it said {}", self.1.echoed.lock().unwrap()));
            return self.complain();
        }
        if let Some(next) = page.next_link() {
            context.send(HttpRequest::get(next)).await?;
        }
        context.save("Item", page.elements()?).await?;
        context.complete("Item").await
    }

    fn webhook(&self, _: &WebhookEvent<'_>) -> Result<WebhookReaction> {
        self.complain().map(|()| WebhookReaction::new())
    }
}

#[derive(Debug)]
struct AddItem(ActionInfo);

#[async_trait]
impl ActionTemplate for AddItem {
    fn info(&self) -> &ActionInfo {
        &self.0
    }

    async fn run(&self, context: &ActionContext<'_>, input: Value) -> Result<Value> {
        let answer = context.send(HttpRequest::post_json("/items", &input)?).await?;
        answer.elements().map(|_| Value::Null)
    }
}

/// Every text that `tracing` is given.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<String>>);

impl tracing::field::Visit for Heard {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        let _ = writeln!(self.0.lock().unwrap(), "{field}: {value:?}");
    }

    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        let _ = writeln!(self.0.lock().unwrap(), "{field}: {value}");
    }
}

impl tracing::Subscriber for Heard {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("highwater")
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut self.clone());
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

fn tell(told: &mut String, place: &str, text: &str) {
    let _ = writeln!(told, "{place}: {text}");
}

/// An error as a host may print it: plainly, for developers, with every cause.
fn tell_error(told: &mut String, place: &str, error: &Error) {
    tell(told, place, &format!("{error} {error:?} {error:#?}"));
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        tell(told, place, &format!("{next} {next:?}"));
        cause = next.source();
    }
}

async fn all_told(kept: Kept, part: Part, echoed: &str) -> String {
    let clock = Clock::new();
    let options = StoreOptions::new().environment(Arc::clone(&clock) as Arc<dyn Environment>);
    let store: Arc<dyn Store> = Arc::new(Inline::open(MemoryBackend::default(), options).unwrap());
    let api = Arc::new(Echo::default());
    (*api.part.lock().unwrap(), *api.echoed.lock().unwrap()) = (Some(part), echoed.to_owned());
    let auth = match kept {
        Kept::Header => AuthKind::header("X-Key", "Key ", ""),
        Kept::Query => AuthKind::query("key", ""),
        Kept::Basic | Kept::BasicPair | Kept::KeyAsUser => AuthKind::basic(""),
        _ => AuthKind::bearer(""),
    };
    let oauth = OAuth2::new("https://echo.example/agree", "https://echo.example/token", DesktopSignIn::PkcePublic)
        .revocation_url("https://echo.example/revoke");
    let provider = Provider::new("echo", "https://echo.example").auth(auth).auth(AuthKind::OAuth2(oauth));
    let provider = provider.webhooks(WebhookScheme::GitHub).verification(Verification::get("/who").name("/name"));
    let action: Arc<dyn ActionTemplate> = Arc::new(AddItem(provider.action("add")));
    let info = provider.template("items").model("Item", "an item").credentials(CredentialUse::Optional);
    let engine = Engine::builder(Arc::clone(&store))
        .environment(Arc::clone(&clock) as Arc<dyn Environment>)
        .transport(Arc::clone(&api) as Arc<dyn Transport>)
        .template(Arc::new(Items(info, Arc::clone(&api))))
        .actions([action])
        .limits(RequestLimits::default().attempts(2).backoff(Duration::from_millis(1)))
        .build()
        .unwrap();
    let integration =
        engine.create_integration(IntegrationSettings::new("main", "echo").client_id("app")).await.unwrap();
    let (mut integrations, mut connections) = (engine.integration_events(), engine.connection_events());
    match kept {
        Kept::IntegrationClientSecret => integration.use_client_secret(Secret::new(TOKEN)),
        Kept::IntegrationWebhookSecret => integration.use_webhook_secret(Secret::new(TOKEN)),
        _ => {}
    }
    engine.connect(ConnectionSettings::of_integration("c", "main")).await.unwrap();
    engine.use_credentials("c", kept.credentials());
    engine.sync("c", SYNC).unwrap().enable(SyncOptions::default()).await.unwrap();
    let outbox = Outbox::new(&engine);
    outbox.add(Destination::new("crm", "https://crm.example/hook").on_error(true)).await.unwrap();
    outbox.set_secrets("crm", vec![Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]).unwrap();
    let mut events = engine.events();

    let mut told = String::new();
    match engine.sync("c", SYNC).unwrap().run_once(RunOptions::default()).await {
        Ok(report) => tell(&mut told, "report", &format!("{report:?}")),
        Err(error) => tell_error(&mut told, "run_once", &error),
    }
    if let Err(error) = engine.act("c", "echo/add", json!({})).await {
        tell_error(&mut told, "act", &error);
    }
    match engine.proxy("c", HttpRequest::get("/me")).await {
        Ok(answer) => {
            tell(&mut told, "proxy", &format!("{answer:?}"));
            if let Err(error) = answer.clone().error_for_status() {
                tell_error(&mut told, "the proxied answer", &error);
            }
            if let Err(error) = answer.elements() {
                tell_error(&mut told, "the proxied answer", &error);
            }
        }
        Err(error) => tell_error(&mut told, "proxy", &error),
    }
    match engine.verify_connection("c").await {
        Ok(name) => tell(&mut told, "verify", &format!("{name:?}")),
        Err(error) => tell_error(&mut told, "verify", &error),
    }
    match engine.revoke_credentials("c").await {
        Ok(outcome) => tell(&mut told, "revoke", &format!("{outcome:?}")),
        Err(error) => tell_error(&mut told, "revoke", &error),
    }
    let signing = if matches!(kept, Kept::IntegrationWebhookSecret) { TOKEN } else { SIGNING };
    let mut mac = Hmac::<Sha256>::new_from_slice(signing.as_bytes()).unwrap();
    mac.update(b"{}");
    let hex = hex::encode(mac.finalize().into_bytes());
    let headers = [("x-hub-signature-256", format!("sha256={hex}")), ("x-github-delivery", "d".to_owned())];
    if let Err(error) = engine.receive("c", &headers, b"{}").await {
        tell_error(&mut told, "receive", &error);
    }
    tell(&mut told, "status", &format!("{:?}", engine.sync("c", SYNC).unwrap().state().await.unwrap().status));
    tell(&mut told, "state", &format!("{:?}", engine.sync("c", SYNC).unwrap().state().await.unwrap()));
    outbox.deliver_due().await.unwrap();
    for row in outbox.waiting("crm", "", 100).await.unwrap() {
        tell(&mut told, "row", &format!("{row:?}"));
    }
    for body in api.posted.lock().unwrap().iter() {
        tell(&mut told, "posted", body);
    }
    while let Ok(event) = events.try_recv() {
        tell(&mut told, "event", &format!("{event:?} {}", serde_json::to_string(&event).unwrap()));
    }
    while let Ok(event) = connections.try_recv() {
        tell(&mut told, "connection event", &format!("{event:?} {}", serde_json::to_string(&event).unwrap()));
    }
    while let Ok(event) = integrations.try_recv() {
        tell(&mut told, "integration event", &format!("{event:?} {}", serde_json::to_string(&event).unwrap()));
    }
    tell(&mut told, "connection state", &format!("{:?}", engine.connection_state("c").await.unwrap()));
    tell(&mut told, "integration", &format!("{integration:?} {:?}", integration.settings().await.unwrap()));
    for document in store.documents("", "", 10_000).await.unwrap() {
        let mut value: Value = document.value.to().unwrap();
        // A record that was set aside is the API's data as it came, like one that was saved.
        if document.key.starts_with("quarantine/") {
            value["payload"] = Value::Null;
        }
        tell(&mut told, "stored", &format!("{} {value}", document.key));
    }
    tell(&mut told, "debug", &format!("{engine:?} {:?}", kept.credentials()));
    if matches!(part, Part::Refused) && kept.credentials().can_sign_in() {
        assert!(told.contains(r#""type":"auth""#) && told.contains("health/c"), "{kept:?}: the health is told: {told}");
    }
    assert!(!api.posted.lock().unwrap().is_empty() || !told.contains("run_once"), "a failed run is told");
    told
}

/// What would give a secret away: as it was echoed, as it is, and a good part of its beginning.
fn traces(kept: Kept, echoed: &str) -> Vec<String> {
    let mut traces = vec![TOKEN.to_owned(), kept.text(), echoed.to_owned()];
    if kept.is_key() {
        // A good part of each line.
        let lines =
            kept.text().lines().map(|line| line.chars().skip(4).take(24).collect::<String>()).collect::<Vec<_>>();
        traces.extend(lines.into_iter().filter(|line| !line.contains('-') && line.len() == 24));
    }
    let begin = |text: &str| text.chars().take(12).collect::<String>();
    traces.extend([begin(TOKEN), begin(&kept.text()), begin(echoed)]);
    let quoted: Vec<String> =
        traces.iter().flat_map(|text| [format!("{text:?}"), serde_json::to_string(text).unwrap()]).collect();
    traces.extend(quoted.iter().map(|quoted| quoted[1..quoted.len() - 1].to_owned()));
    traces
}

fn check(kept: Kept, form: Form, part: Part) -> std::result::Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let echoed = form.of(&kept.text());
    let heard = Heard::default();
    let told = tracing::subscriber::with_default(heard.clone(), || runtime.block_on(all_told(kept, part, &echoed)));
    let told = format!("{told}{}", heard.0.lock().unwrap());
    for trace in traces(kept, &echoed) {
        // What stands in front of the secret in the encoded text is not its own.
        if matches!(form, Form::WithinBase64) && echoed.starts_with(&trace) && trace.len() < 20 {
            continue;
        }
        if let Some(line) = told.lines().find(|line| line.contains(&trace)) {
            return Err(format!("{trace:?} got out: {line}"));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn redaction_holds_for_every_secret_form_part_and_exit(kept in 0..KEPT.len(), form in 0..FORMS.len(), part in 0..PARTS.len()) {
        let (kept, form, part) = (KEPT[kept], FORMS[form], PARTS[part]);
        if let Err(leak) = check(kept, form, part) {
            return Err(TestCaseError::fail(format!("{kept:?} as {form:?} in {part:?}: {leak}")));
        }
    }
}

#[test]
fn redaction_covers_each_part_of_an_answer() {
    for part in PARTS {
        check(Kept::Bearer, Form::Raw, part).unwrap_or_else(|leak| panic!("{part:?}: {leak}"));
    }
}
