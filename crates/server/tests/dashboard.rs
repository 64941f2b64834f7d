//! The dashboard: who gets in, what each page answers, and what it never does.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "dashboard/browser.rs"]
mod browser;
mod support;

use browser::{Browser, MODEL, SYNC, csrf, filled, shop};
use highwater_core::{StreamKey, WriteBatch};
use highwater_engine::runs::RunState;
use highwater_engine::webhooks::{Destination, Outbox};
use highwater_engine::{ConnectionSettings, IntegrationSettings, Phase};
use highwater_server::Scope;
use support::{Running, start_mounted, start_with};

const PAGES: [&str; 9] = [
    "/dashboard",
    "/dashboard/integrations",
    "/dashboard/connections",
    "/dashboard/connect",
    "/dashboard/records",
    "/dashboard/runs",
    "/dashboard/webhooks",
    "/dashboard/settings",
    "/dashboard/connect?provider=shop",
];

/// Pages about the things of [`filled`].
const THINGS: [&str; 8] = [
    "/dashboard/integrations/shop-main",
    "/dashboard/connections/ann",
    "/dashboard/connections/ann/delete",
    "/dashboard/connect?integration=shop-main",
    "/dashboard/records?connection=ann&model=Note",
    "/dashboard/records?connection=ann&model=Note&action=added&since=24h&columns=name,amount",
    "/dashboard/record?connection=ann&model=Note&id=7",
    "/dashboard/runs?state=success&connection=ann&sync=shop/notes",
];

async fn run(engine: highwater_engine::Engine) -> Running {
    start_with(engine, |server| server).await
}

#[tokio::test]
async fn a_link_signs_in_once_and_the_cookie_is_for_this_site_alone() {
    let running = run(shop().0).await;
    for page in PAGES.into_iter().chain(["/dashboard/no/such/page"]) {
        let answer = Browser::new(&running).get(page).await;
        assert_eq!(answer.status, 303, "{page}: {answer:?}");
        assert!(answer.header("location").unwrap().starts_with("/dashboard/sign-in?next=%2Fdashboard"), "{answer:?}");
    }
    assert_eq!(Browser::new(&running).get("/").await.header("location"), Some("/dashboard"));
    assert_eq!(Browser::new(&running).get("/dashboard/").await.header("location"), Some("/dashboard"));

    let link = running.server.dashboard_link(Scope::Write).expose().to_owned();
    let token = link.split_once("link=").unwrap().1;
    // Whatever opens the link does not use it up.
    let browser = Browser::new(&running);
    for _ in 0..2 {
        assert!(browser.page(&link).await.contains("signs you in once"));
    }
    let next = "/dashboard/records?connection=a";
    let answer = browser.send_form("/dashboard/sign-in", &[("link", token), ("next", next)]).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some(next)), "{answer:?}");
    let cookie = answer.header("set-cookie").unwrap();
    let flags: Vec<&str> = cookie.split("; ").skip(1).collect();
    assert_eq!(flags, ["Path=/", "HttpOnly", "SameSite=Strict"], "{cookie}");
    assert!(browser.page("/dashboard").await.contains(">write<"), "the scope is shown");
    let again = Browser::new(&running).send_form("/dashboard/sign-in", &[("link", token)]).await;
    assert_eq!((again.status, again.header("set-cookie")), (401, None));
    assert!(again.text().contains("used already"));

    let out = browser.submit("/dashboard", "/dashboard/sign-out", &[]).await;
    assert_eq!((out.status, out.header("location")), (303, Some("/dashboard/sign-in")));
    assert_eq!(browser.get("/dashboard").await.status, 303);
}

#[tokio::test]
async fn a_key_signs_in_until_it_is_revoked_and_leads_nowhere_else() {
    let running = run(shop().0).await;
    let key = running.server.keys().create("ann", Scope::Read).await.unwrap();
    for (wrong, next) in [("", ""), ("hwk_1", ""), (running.key.trim_end_matches(char::is_alphanumeric), "/dashboard")]
    {
        let answer = Browser::new(&running).send_form("/dashboard/sign-in", &[("key", wrong), ("next", next)]).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (401, None), "{wrong}");
        assert!(answer.text().contains("role=\"alert\""), "{}", answer.text());
    }
    for next in [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/dashboardevil",
        "/dashboard\r\nX: 1",
        "/records",
        "",
    ] {
        let browser = Browser::new(&running);
        let answer = browser.send_form("/dashboard/sign-in", &[("key", key.secret.expose()), ("next", next)]).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/dashboard")), "{next}");
    }
    let browser = Browser::new(&running);
    browser.send_form("/dashboard/sign-in", &[("key", key.secret.expose())]).await;
    browser.page("/dashboard").await;
    running.server.keys().revoke(&key.key.id).await.unwrap();
    assert_eq!(browser.get("/dashboard").await.status, 303, "a revoked key ends its sessions");
    // The server's own temporary key is stored nowhere, and gets in.
    let browser = Browser::new(&running);
    browser.send_form("/dashboard/sign-in", &[("key", &running.key)]).await;
    browser.page("/dashboard").await;
}

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

/// Where a form of the dashboard goes, its fields, and the scope that it needs.
type Form = (&'static str, &'static [(&'static str, &'static str)], Scope);

const FORMS: [Form; 17] = [
    ("/dashboard/integrations", &[("key", "other"), ("provider", "shop")], Scope::Admin),
    ("/dashboard/integrations/shop-main/endpoint", &[("sync", SYNC), ("turn", "on")], Scope::Admin),
    ("/dashboard/integrations/shop-main/settings", &[("display_name", "New")], Scope::Admin),
    ("/dashboard/integrations/shop-main/secret", &[("which", "client"), ("secret", "s")], Scope::Admin),
    ("/dashboard/integrations/shop-main/delete", &[], Scope::Admin),
    ("/dashboard/connections", &[("id", "bob"), ("provider", "shop")], Scope::Write),
    ("/dashboard/connect/sign-in", &[("connection", "ann")], Scope::Write),
    ("/dashboard/connections/ann/sync", &[("sync", SYNC), ("do", "enable")], Scope::Write),
    ("/dashboard/connections/ann/sync", &[("sync", SYNC), ("do", "run")], Scope::Write),
    ("/dashboard/connections/ann/metadata", &[("metadata", "{\"a\":1}")], Scope::Write),
    ("/dashboard/connections/ann/token", &[("token", "t")], Scope::Write),
    ("/dashboard/connections/ann/delete", &[("records", "clear")], Scope::Write),
    ("/dashboard/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV/decision", &[("decision", "approve")], Scope::Write),
    ("/dashboard/webhooks", &[("do", "add"), ("id", "b"), ("url", "https://b.example/")], Scope::Admin),
    ("/dashboard/settings/key", &[("do", "create"), ("name", "n"), ("scope", "admin")], Scope::Admin),
    ("/dashboard/settings/doctor", &[], Scope::Read),
    ("/dashboard/sign-out", &[], Scope::Read),
];

async fn documents(running: &Running) -> Vec<String> {
    let documents = running.engine.store().documents("", "", 10_000).await.unwrap();
    let documents = documents.into_iter().filter(|document| !document.key.starts_with("api_key/"));
    documents.map(|document| format!("{} {}", document.key, document.value)).collect()
}

#[tokio::test]
async fn a_form_without_the_sessions_own_token_changes_nothing() {
    let running = run(filled().await.0).await;
    let (browser, other) =
        (Browser::signed_in(&running, Scope::Admin).await, Browser::signed_in(&running, Scope::Admin).await);
    let foreign = csrf(&other.page("/dashboard").await);
    let before = documents(&running).await;
    let keys = running.server.keys().list().await.unwrap().len();
    for (action, fields, _) in FORMS {
        for token in [None, Some(""), Some("0"), Some(foreign.as_str())] {
            let token: Vec<(&str, &str)> = token.map(|token| ("csrf", token)).into_iter().collect();
            let answer = browser.send_form(action, &[fields, &token].concat()).await;
            assert_eq!(answer.status, 403, "{action}");
            assert!(answer.text().contains("invalid_csrf_token"), "{action}");
        }
        let answer = Browser::new(&running).send_form(action, fields).await;
        assert_eq!(answer.status, 303, "without a session {action}");
        assert!(answer.header("location").unwrap().starts_with("/dashboard/sign-in"), "{action}");
        // A page elsewhere is refused before anything is read.
        let answer = running.call_with("POST", action, Some("csrf=1"), &[("Origin", "http://evil.example")]).await;
        assert_eq!((answer.status, answer.code()), (403, "origin_not_allowed".to_owned()), "{action}");
        assert_eq!(
            browser.get(&format!("{action}?csrf={foreign}")).await.header("location"),
            None,
            "a link changes nothing"
        );
    }
    assert_eq!(documents(&running).await, before);
    assert_eq!(running.server.keys().list().await.unwrap().len(), keys);
}

#[tokio::test]
async fn a_narrow_key_sees_no_button_and_changes_nothing() {
    let running = run(filled().await.0).await;
    for scope in [Scope::Read, Scope::Write] {
        let browser = Browser::signed_in(&running, scope).await;
        let token = csrf(&browser.page("/dashboard").await);
        let before = documents(&running).await;
        for (action, fields, needed) in FORMS.into_iter().filter(|(_, _, needed)| *needed > scope) {
            let answer = browser.send_form(action, &[fields, &[("csrf", &*token)]].concat()).await;
            assert_eq!(answer.status, 403, "{action}");
            assert!(answer.text().contains(&format!("a key of the scope {needed}")), "{action}: {}", answer.text());
        }
        assert_eq!(documents(&running).await, before);
        for page in PAGES.into_iter().chain(THINGS) {
            let answer = browser.get(page).await;
            if answer.status == 403 {
                assert!(page.starts_with("/dashboard/connect?") || page == "/dashboard/connect", "{page}");
                continue;
            }
            for action in answer.text().split("method=\"post\" action=\"").skip(1) {
                let action = action.split('"').next().unwrap();
                let form = FORMS.iter().find(|(known, ..)| *known == action);
                assert!(form.is_some_and(|(_, _, needed)| *needed <= scope), "{scope} {page}: {action}");
            }
        }
    }
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
    pages.push(format!(
        "/dashboard/records?connection={connection}&model={model}&columns={}",
        encode(&format!("name,{evil}"))
    ));
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
async fn a_toggle_survives_a_reload_and_a_restart() {
    let (engine, _) = filled().await;
    let running = run(engine.clone()).await;
    let browser = Browser::signed_in(&running, Scope::Admin).await;
    let page = "/dashboard/integrations/shop-main";
    let state = |text: &str| text.contains(r#"aria-checked="true""#);
    assert!(!state(&browser.page(page).await));
    let text = browser.change(page, &format!("{page}/endpoint"), &[("sync", SYNC), ("turn", "on")]).await;
    assert!(state(&text) && text.contains(r#"role="status""#), "{text}");
    let text = browser.page(page).await;
    assert!(state(&text) && !text.contains("is on for every connection"), "the notice is said once");
    assert_eq!(engine.sync("ann", SYNC).unwrap().state().await.unwrap().phase, Phase::Waiting);
    drop(running);
    let running = run(engine.clone()).await;
    let browser = Browser::signed_in(&running, Scope::Admin).await;
    assert!(state(&browser.page(page).await));
    browser.change(page, &format!("{page}/endpoint"), &[("sync", SYNC), ("turn", "off")]).await;
    assert!(!state(&browser.page(page).await));
    // The connection decides for itself.
    let page = "/dashboard/connections/ann";
    for (what, phase) in
        [("enable", Phase::Waiting), ("pause", Phase::Paused), ("resume", Phase::Waiting), ("disable", Phase::Disabled)]
    {
        browser.change(page, &format!("{page}/sync"), &[("sync", SYNC), ("do", what)]).await;
        assert_eq!(engine.sync("ann", SYNC).unwrap().state().await.unwrap().phase, phase, "{what}");
    }
}

#[tokio::test]
async fn an_account_is_connected_by_forms_alone_and_deleted_after_a_question() {
    let (engine, notes) = shop();
    notes.lock().unwrap().push(r#"{"id":"1","name":"First"}"#.to_owned());
    let running = run(engine.clone()).await;
    let browser = Browser::signed_in(&running, Scope::Admin).await;
    let integrations = "/dashboard/integrations";
    let text = browser
        .change(integrations, integrations, &[("key", "shop-eu"), ("provider", "shop"), ("display_name", "Shop (EU)")])
        .await;
    assert!(text.contains("<h1>Shop (EU)</h1>"), "{text}");
    let form = "/dashboard/connect?provider=shop";
    assert!(browser.page(form).await.contains("config.shelf"));
    let fields = [("provider", "shop"), ("id", "bob"), ("config.shelf", "low"), ("sync.", SYNC)];
    let text = browser.change(form, "/dashboard/connections", &fields).await;
    assert!(text.contains("Connected.") && text.contains("low"), "{text}");
    assert_eq!(browser.submit(form, "/dashboard/connections", &fields).await.status, 400, "the id is taken");
    let settings = engine.connection("bob").await.unwrap();
    assert_eq!(settings.config["shelf"], "low");
    engine.sync("bob", SYNC).unwrap().run_once(Default::default()).await.unwrap();
    assert!(browser.page("/dashboard/records?connection=bob&model=Note").await.contains("First"));

    let page = "/dashboard/connections/bob";
    browser.change(page, &format!("{page}/metadata"), &[("metadata", r#"{"plan":"team"}"#)]).await;
    assert_eq!(engine.connection("bob").await.unwrap().metadata["plan"], "team");
    for wrong in ["{", "[]", ""] {
        let answer = browser.submit(page, &format!("{page}/metadata"), &[("metadata", wrong)]).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }
    let question = format!("{page}/delete");
    let text = browser.page(&question).await;
    assert!(text.contains("It has 1 record"), "{text}");
    assert_eq!(browser.submit(&question, &question, &[]).await.status, 400, "without an answer");
    browser.change(&question, &question, &[("records", "clear")]).await;
    assert_eq!(engine.store().head(&StreamKey::new("bob", MODEL)).await.unwrap().live, 0);
    assert_eq!(browser.get(page).await.status, 404);
}

#[tokio::test]
async fn held_deletes_are_shown_on_the_home_page_and_decided_by_a_button() {
    for (decision, left) in [("reject", 30), ("approve", 1)] {
        let (engine, notes) = filled().await;
        notes.lock().unwrap().truncate(1);
        let sync = engine.sync("ann", SYNC).unwrap();
        let held = sync.run_once(Default::default()).await;
        let runs = engine.runs_matching(&Default::default()).await.unwrap().runs;
        let parked = runs.iter().find(|run| run.state == RunState::AwaitingApproval);
        let parked = parked.unwrap_or_else(|| panic!("{held:?} {runs:?}")).id;
        let running = run(engine.clone()).await;
        let browser = Browser::signed_in(&running, Scope::Write).await;
        let home = browser.page("/dashboard").await;
        let page = format!("/dashboard/runs/{parked}");
        assert!(
            home.contains("deletes held") && home.contains(&page) && home.contains("One thing needs you"),
            "{home}"
        );
        let text = browser.page(&page).await;
        assert!(text.contains("29 of 30 records") && text.contains("<code>30</code>"), "{text}");
        let text = browser.change(&page, &format!("{page}/decision"), &[("decision", decision)]).await;
        assert!(!text.contains("wait for you"), "{text}");
        assert_eq!(engine.store().head(&StreamKey::new("ann", MODEL)).await.unwrap().live, left);
        assert!(browser.page("/dashboard").await.contains("Nothing needs you"));
    }
}

#[tokio::test]
async fn keys_are_made_shown_once_and_revoked() {
    let running = run(filled().await.0).await;
    let browser = Browser::signed_in(&running, Scope::Admin).await;
    let page = "/dashboard/settings";
    let action = "/dashboard/settings/key";
    let made = browser.submit(page, action, &[("do", "create"), ("name", "<b>"), ("scope", "read")]).await;
    assert_eq!(made.status, 200, "{made:?}");
    let (_, secret) = made.text().split_once("<pre data-copy>").unwrap();
    let secret = secret.split('<').next().unwrap();
    let reads = running.call_with("GET", "/providers", None, &[("Authorization", &format!("Bearer {secret}"))]).await;
    assert_eq!(reads.status, 200, "{reads:?}");
    let text = browser.page(page).await;
    assert!(!text.contains(secret) && text.contains("&lt;b&gt;"), "{text}");
    let keys = running.server.keys().list().await.unwrap();
    let id = &keys.iter().find(|key| key.name == "<b>").unwrap().id;
    browser.change(page, action, &[("do", "revoke"), ("id", id)]).await;
    assert_eq!(
        running.call_with("GET", "/providers", None, &[("Authorization", &format!("Bearer {secret}"))]).await.status,
        401
    );
    let sound = browser.submit(page, "/dashboard/settings/doctor", &[]).await;
    assert!(sound.status == 200 && sound.text().contains("30 entries read"), "{sound:?}");
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
