//! The dashboard: what each page answers, and what none ever does.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "dashboard/browser.rs"]
mod browser;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use browser::{Browser, PAGES, THINGS, filled, run, shop};
use highwater_core::{MemoryStore, StreamKey, WriteBatch};
use highwater_engine::webhooks::{Destination, Outbox};
use highwater_engine::{ConnectionSettings, Engine, IntegrationSettings};
use highwater_server::Scope;
use highwater_template::async_trait::async_trait;
use highwater_template::auth::{AuthKind, CredentialUse};
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse, Provider, SyncContext, Template, TemplateInfo};
use support::start_mounted;

#[tokio::test]
async fn pages_without_anything_say_the_next_step_and_pages_of_nothing_are_not_found() {
    let running = run(shop().0).await;
    let browser = Browser::signed_in(&running, Scope::Admin).await;
    for page in PAGES {
        let text = browser.page(page).await;
        assert!(text.contains("<h1>") && text.contains(r#"class="lead""#), "{page}");
    }
    for (page, says) in [
        ("/dashboard", "No sync is on"),
        ("/dashboard/integrations", "Add one below"),
        ("/dashboard/connections", "Connect an account"),
        ("/dashboard/records", "No record has arrived yet"),
        ("/dashboard/runs", "Nothing has run yet"),
        ("/dashboard/webhooks", "Add one below"),
        ("/dashboard/records?connection=x&model=Y", "The model has no records"),
    ] {
        assert!(browser.page(page).await.contains(says), "{page}");
    }
    for (page, status) in [
        ("/dashboard/no/such/page", 404),
        ("/dashboard/integrations/unknown", 404),
        ("/dashboard/connections/unknown", 404),
        ("/dashboard/connections/a%2Fb", 404),
        ("/dashboard/connect?provider=unknown", 404),
        ("/dashboard/record?connection=x&model=Y&id=1", 404),
        ("/dashboard/record", 404),
        ("/dashboard/runs/x", 400),
        ("/dashboard/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV", 404),
        ("/dashboard/webhooks/unknown", 404),
        ("/dashboard/runs?state=odd", 400),
        ("/dashboard/connections?health=odd", 400),
        ("/dashboard/records?connection=x&model=Y&cursor=odd", 400),
        ("/dashboard/records?connection=x&model=Y&action=odd", 400),
        ("/dashboard/export?connection=x&model=Y&format=odd", 400),
    ] {
        let answer = browser.get(page).await;
        assert_eq!(answer.status, status, "{page}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(answer.text().contains(r#"role="alert""#) && answer.text().contains("<code>"), "{page}");
    }
}

#[tokio::test]
async fn every_page_is_small_runs_no_foreign_code_and_leads_nowhere_else() {
    let running = run(filled().await.0).await;
    Outbox::new(&running.engine).add(Destination::new("backend", "https://backend.example/hook")).await.unwrap();
    let browser = Browser::signed_in(&running, Scope::Admin).await;
    let run = running.engine.runs_matching(&Default::default()).await.unwrap().runs[0].id.to_string();
    let run = format!("/dashboard/runs/{run}");
    let (mut largest, mut assets) = (0, 0);
    for page in PAGES.into_iter().chain(THINGS).chain([
        &*run,
        "/dashboard/webhooks/backend",
        "/dashboard/sign-in",
        "/dashboard/nothing",
    ]) {
        let answer = browser.get(page).await;
        let text = answer.text();
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe") && !policy.contains('*'),
            "{policy}"
        );
        for part in
            ["script-src 'self'", "style-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"]
        {
            assert!(policy.contains(part), "{policy}");
        }
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{page}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{page}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{page}");
        // What the policy would refuse is not even tried.
        for inline in [" style=", " onclick=", " onload=", "javascript:", "<style"] {
            assert!(!text.contains(inline), "{page}: {inline}");
        }
        assert_eq!(text.matches("<script").count(), 1, "{page}");
        for attribute in [" href=\"", " src=\"", " action=\""] {
            for address in text.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                let own = address.starts_with('/') && !address.starts_with("//") || address == "#main";
                assert!(own, "{page}: {attribute}{address}");
            }
        }
        largest = largest.max(text.len());
    }
    for (asset, kind) in [
        ("style.css", "text/css; charset=utf-8"),
        ("live.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ] {
        let path = format!("/dashboard/{asset}");
        let answer = running.call_with("GET", &path, None, &[("Authorization", "")]).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)));
        let text = answer.text().replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("//") || !text.contains("http"), "{asset} names another origin");
        assert!(!text.contains("url(") && !text.contains("@import") && !text.contains("import "), "{asset}");
        assets += answer.body.len();
        let tag = answer.header("etag").unwrap();
        let again = running.call_with("GET", &path, None, &[("If-None-Match", tag)]).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{asset}");
    }
    println!("assets {assets} bytes, the largest page {largest} bytes");
    assert!(assets + largest < 200_000, "{assets} + {largest}");
}

#[tokio::test]
async fn whatever_a_record_says_is_text() {
    let evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'\u{202e}";
    let (engine, _) = shop();
    engine.create_integration(IntegrationSettings::new("<script>alert(3)", "shop").display_name(evil)).await.unwrap();
    let connection = ConnectionSettings::new("<script>alert(4)", "shop").config("shelf", evil).display_name(evil);
    let connection =
        connection.tag(evil.chars().take(20).collect::<String>(), evil).metadata(evil, serde_json::json!(evil));
    engine.connect(connection).await.unwrap();
    let stream = StreamKey::new("<script>alert(4)", "<script>alert(5)");
    for (id, text) in [(evil, "first"), (evil, evil), ("</pre><script>alert(6)</script>", evil)] {
        let mut batch = WriteBatch::new();
        batch
            .on(&stream)
            .upsert(serde_json::json!({ "id": id, evil: text, "name": evil, "nested": { evil: [evil] } }).to_string());
        engine.store().commit(batch).await.unwrap();
    }
    let running = run(engine).await;
    let browser = Browser::signed_in(&running, Scope::Admin).await;
    let mut pages: Vec<String> = PAGES.map(str::to_owned).to_vec();
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let (connection, model) = (encode(stream.connection()), encode(stream.model()));
    pages.push(format!("/dashboard/connections/{connection}"));
    pages.push(format!("/dashboard/connections/{connection}/delete"));
    pages.push(format!("/dashboard/integrations/{}", encode("<script>alert(3)")));
    pages.push(format!("/dashboard/records?connection={connection}&model={model}&column=name&column={}", encode(evil)));
    pages.push(format!("/dashboard/record?connection={connection}&model={model}&id={}", encode(evil)));
    pages.push(format!("/dashboard/records?connection={connection}&model={model}&id={}", encode(evil)));
    pages.push(format!("/dashboard/runs?connection={0}&sync={0}&text={0}", encode("<script>alert(7)")));
    pages.push(format!("/dashboard/connections?text={0}&integration={0}", encode(evil)));
    pages.push(format!("/dashboard/sign-in?link={0}&next={0}", encode(evil)));
    let mut shown = 0;
    for page in pages {
        let text = browser.page(&page).await;
        assert_eq!(text.matches("<script").count(), 1, "{page}: only the page's own");
        assert!(!text.contains("<img src=x") && !text.contains("alert(6)</script>"), "{page}");
        assert!(!text.contains("\"'\u{202e}"), "{page}: turns the direction of what follows");
        shown += text.matches("&lt;script&gt;alert").count();
    }
    assert!(shown > 20, "{shown}");
    let lines = browser.get(&format!("/dashboard/export?connection={connection}&model={model}&format=jsonl")).await;
    assert_eq!(lines.text().lines().count(), 2);
    assert!(
        lines.header("content-disposition").unwrap().starts_with("attachment; filename=\"_script_alert_5_"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_mounted_dashboard_leads_to_its_own_pages() {
    let running = start_mounted(filled().await.0, "/sync").await;
    let browser = Browser::new(&running);
    assert_eq!(browser.get("/sync").await.header("location"), Some("/sync/dashboard"));
    let answer = browser.send_form("/sync/dashboard/sign-in", &[("key", &running.key)]).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/sync/dashboard")), "{answer:?}");
    assert!(answer.header("set-cookie").unwrap().contains("; Path=/sync/; "), "{answer:?}");
    for page in PAGES.into_iter().chain(THINGS) {
        let text = browser.page(&format!("/sync{page}")).await;
        for attribute in [" href=\"", " src=\"", " action=\""] {
            for address in text.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                assert!(address.starts_with("/sync/dashboard") || address == "#main", "{page}: {attribute}{address}");
            }
        }
    }
}

/// Sends three requests, of which the second is answered with an error at first.
#[derive(Debug)]
struct Asking(TemplateInfo);

#[async_trait]
impl Template for Asking {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> highwater_core::Result<()> {
        for page in ["one", "two", "three"] {
            context.send(HttpRequest::get(page)).await?;
        }
        context.complete("Note").await
    }
}

#[derive(Debug, Default)]
struct Api(AtomicU32);

#[async_trait]
impl Transport for Api {
    async fn send(&self, _: HttpRequest) -> highwater_core::Result<HttpResponse> {
        let status = if self.0.fetch_add(1, Ordering::SeqCst) == 1 { 503 } else { 200 };
        Ok(HttpResponse::new(status, Vec::new(), "{}"))
    }
}

#[tokio::test]
async fn a_run_shows_its_requests_with_attempts_and_waits() {
    let provider = Provider::new("shop", "https://shop.example").auth(AuthKind::bearer("A key of the shop."));
    let info = provider.template("notes").credentials(CredentialUse::Unused).model("Note", "A note");
    let engine = Engine::builder(Arc::new(MemoryStore::new().unwrap()))
        .template(Arc::new(Asking(info)))
        .transport(Arc::new(Api::default()))
        .build()
        .unwrap();
    engine.connect(ConnectionSettings::new("ann", "shop")).await.unwrap();
    let report = engine.sync("ann", "shop/notes").unwrap().run_once(Default::default()).await.unwrap();
    let running = run(engine).await;
    let browser = Browser::signed_in(&running, Scope::Read).await;
    let page = browser.page(&format!("/dashboard/runs/{}", report.id)).await;
    for shown in ["<h2>Requests</h2>", "GET https://shop.example/two", ">503<", ">200<", "title=\"retry\"", "answers "]
    {
        assert!(page.contains(shown), "{shown}: {page}");
    }
}
