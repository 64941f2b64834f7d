//! A person's side of the dashboard without a browser: a cookie, links and forms.
#![allow(dead_code)] // each test file uses its own part

use std::sync::{Arc, Mutex};

use highwater_core::MemoryStore;
use highwater_engine::{ConnectionSettings, Engine, IntegrationSettings};
use highwater_server::Scope;
use highwater_template::async_trait::async_trait;
use highwater_template::auth::{AuthKind, CredentialUse};
use highwater_template::{ConfigKey, LogLevel, Provider, SyncContext, Template, TemplateInfo};

use crate::support::{Answer, Running, start_with};

pub(crate) const PAGES: [&str; 10] = [
    "/dashboard",
    "/dashboard/integrations",
    "/dashboard/connections",
    "/dashboard/connect",
    "/dashboard/records",
    "/dashboard/runs",
    "/dashboard/webhooks",
    "/dashboard/environment",
    "/dashboard/lines",
    "/dashboard/connect?provider=shop",
];

/// Pages about the things of [`filled`].
pub(crate) const THINGS: [&str; 11] = [
    "/dashboard/integrations/shop-main",
    "/dashboard/integrations/shop-main/actions",
    "/dashboard/integrations/shop-main/settings",
    "/dashboard/integrations/shop-main/endpoint?sync=shop%2Fnotes",
    "/dashboard/connections/ann",
    "/dashboard/connections/ann/delete",
    "/dashboard/connect?integration=shop-main",
    "/dashboard/records?connection=ann&model=Note",
    "/dashboard/records?connection=ann&model=Note&action=added&since=24h&column=name&column=amount",
    "/dashboard/record?connection=ann&model=Note&id=7",
    "/dashboard/runs?state=success&connection=ann&sync=shop/notes",
];

pub(crate) const MODEL: &str = "Note";
pub(crate) const SYNC: &str = "shop/notes";

/// What the API of the tests holds.
pub(crate) type Notes = Arc<Mutex<Vec<String>>>;

#[derive(Debug)]
struct Reader(TemplateInfo, Notes);

#[async_trait]
impl Template for Reader {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> highwater_core::Result<()> {
        let notes = self.1.lock().unwrap().clone();
        let model = self.0.models[0].name.clone();
        // What an API and a template may say, in a log and in an error.
        if let Some(said) = notes.iter().find_map(|note| note.strip_prefix("fail: ")) {
            context.log(LogLevel::Warning, said);
            return Err(highwater_core::Error::new(highwater_core::ErrorKind::Unavailable, said.to_owned()));
        }
        context.save(&model, notes.into_iter().map(Into::into).collect()).await?;
        context.complete(&model).await
    }
}

/// An engine with the templates `shop/notes` and `shop/orders`, and what its API holds.
pub(crate) fn shop() -> (Engine, Notes) {
    let notes = Notes::default();
    let provider = Provider::new("shop", "https://shop.example").auth(AuthKind::bearer("A key of the shop."));
    let info = provider
        .template("notes")
        .credentials(CredentialUse::Unused)
        .description("Notes of the shop, all of them")
        .model(MODEL, "A note")
        .config(ConfigKey::optional("shelf", "Which shelf"));
    let reader = Reader(info, Arc::clone(&notes));
    let store = Arc::new(MemoryStore::new().unwrap());
    let orders = provider
        .template("orders")
        .credentials(CredentialUse::Unused)
        .description("Orders of the last 90 days, with their lines")
        .model("Order", "An order");
    let orders = Reader(orders, Notes::default());
    (Engine::builder(store).template(Arc::new(reader)).template(Arc::new(orders)).build().unwrap(), notes)
}

/// The same with the integration `shop-main`, its connection `ann`, and one run of its sync.
pub(crate) async fn filled() -> (Engine, Notes) {
    let (engine, notes) = shop();
    engine.create_integration(IntegrationSettings::new("shop-main", "shop")).await.unwrap();
    engine.connect(ConnectionSettings::of_integration("ann", "shop-main")).await.unwrap();
    let records = (1..=30).map(|id| format!(r#"{{"id":"{id}","name":"Note {id}","amount":{id}}}"#));
    notes.lock().unwrap().extend(records);
    engine.sync("ann", SYNC).unwrap().run_once(Default::default()).await.unwrap();
    (engine, notes)
}

pub(crate) async fn run(engine: Engine) -> Running {
    start_with(engine, |server| server).await
}

pub(crate) struct Browser<'r> {
    running: &'r Running,
    cookie: Mutex<String>,
}

impl<'r> Browser<'r> {
    pub(crate) fn new(running: &'r Running) -> Self {
        Browser { running, cookie: Mutex::default() }
    }

    /// Signs in with a new key of the scope.
    pub(crate) async fn signed_in(running: &'r Running, scope: Scope) -> Self {
        let key = running.server.keys().create("tester", scope).await.unwrap();
        let browser = Browser::new(running);
        let answer = browser.send_form("/dashboard/sign-in", &[("key", key.secret.expose())]).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/dashboard")), "{answer:?}");
        browser
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    /// Returns the text of a page that must be there.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text().to_owned()
    }

    /// Sends a form of the page `from`, with its token.
    pub(crate) async fn submit(&self, from: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let token = csrf(&self.page(from).await);
        self.send_form(action, &[fields, &[("csrf", &token)]].concat()).await
    }

    /// Sends a form that must be taken, and returns the page that follows.
    pub(crate) async fn change(&self, from: &str, action: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.submit(from, action, fields).await;
        assert_eq!(answer.status, 303, "{action}: {}", answer.text());
        self.page(answer.header("location").unwrap()).await
    }

    /// Sends a form as it is.
    pub(crate) async fn send_form(&self, action: &str, fields: &[(&str, &str)]) -> Answer {
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let pairs: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        self.send("POST", action, Some(&pairs.join("&"))).await
    }

    async fn send(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let cookie = self.cookie.lock().unwrap().clone();
        let headers = [
            ("Authorization", ""),
            ("Connection-Id", ""),
            ("Provider-Config-Key", ""),
            ("Cookie", &cookie),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let answer = self.running.call_with(method, path, body, &headers).await;
        if let Some(set) = answer.header("set-cookie") {
            *self.cookie.lock().unwrap() = set.split(';').next().unwrap().to_owned();
        }
        answer
    }
}

/// The token of a page's first form.
pub(crate) fn csrf(page: &str) -> String {
    let (_, rest) = page.split_once(r#"name="csrf" value=""#).unwrap_or_else(|| panic!("no form: {page}"));
    rest.split('"').next().unwrap().to_owned()
}
