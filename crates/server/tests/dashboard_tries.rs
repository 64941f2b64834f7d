//! The dashboard: dry runs and actions against an API, and what a person may change about connections and webhooks.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "dashboard/browser.rs"]
mod browser;
#[path = "support/crm.rs"]
mod crm;
mod support;

use browser::{Browser, SYNC, filled, run};
use crm::{TOKEN, crm};
use highwater_core::StreamKey;
use highwater_engine::webhooks::Outbox;
use highwater_server::Scope;

#[tokio::test]
async fn a_dry_run_shows_records_and_stores_none() {
    let (engine, notes) = filled().await;
    let running = run(engine.clone()).await;
    let browser = Browser::signed_in(&running, Scope::Write).await;
    let page = "/dashboard/integrations/shop-main/endpoint?sync=shop%2Fnotes";
    let text = browser.page(page).await;
    assert!(text.contains("Notes of the shop, all of them") && text.contains("Setting shelf"), "{text}");
    notes.lock().unwrap()[0] = r#"{"id":"1","name":"Never seen before"}"#.to_owned();
    let action = "/dashboard/integrations/shop-main/try";
    let fields = [("sync", SYNC), ("connection", "ann")];
    let tried = browser.submit(page, action, &fields).await;
    assert!(tried.status == 200 && tried.text().contains("Never seen before"), "{tried:?}");
    assert!(tried.text().contains("Nothing was stored"), "{tried:?}");
    let stored = engine.store().get(&StreamKey::new("ann", "Note"), &["1"]).await.unwrap();
    assert!(stored[0].as_ref().unwrap().payload.as_ref().unwrap().as_str().contains("Note 1"));
    notes.lock().unwrap().push("fail: the shop is closed".to_owned());
    let tried = browser.submit(page, action, &fields).await;
    assert!(tried.text().contains("The shop is closed") && tried.text().contains("role=\"alert\""), "{tried:?}");
    for (connection, status) in [("nobody", 404), ("", 404)] {
        let answer = browser.submit(page, action, &[("sync", SYNC), ("connection", connection)]).await;
        assert_eq!(answer.status, status, "{connection}");
    }
    assert_eq!(browser.get("/dashboard/integrations/shop-main/endpoint?sync=shop%2Fnone").await.status, 404);
}

#[tokio::test]
async fn an_action_runs_with_the_input_of_its_form() {
    let (engine, _api) = crm().await;
    let running = run(engine).await;
    let browser = Browser::signed_in(&running, Scope::Write).await;
    let page = "/dashboard/integrations/crm/actions";
    let text = browser.page(page).await;
    assert!(text.contains("crm/create_contact") && text.contains("&quot;name&quot;: &quot;&quot;"), "{text}");
    let act = |input: &'static str| {
        let fields = [("action", "crm/create_contact"), ("connection", "main"), ("input", input)];
        let browser = &browser;
        async move { browser.submit(page, "/dashboard/integrations/crm/act", &fields).await }
    };
    let done = act(r#"{"name":"Ann"}"#).await;
    assert!(done.text().contains("is done") && done.text().contains("role=\"status\""), "{done:?}");
    for (input, says) in [("{", "is not JSON"), ("{}", "lacks a member"), (r#"{"name":"A","status":422}"#, "422")] {
        let refused = act(input).await;
        assert!(refused.status == 200 && refused.text().contains("role=\"alert\""), "{input}: {refused:?}");
        let kept = input.replace('"', "&quot;");
        assert!(refused.text().contains(says) && refused.text().contains(&kept), "{input}: {}", refused.text());
        assert!(!refused.text().contains(TOKEN));
    }
}

#[tokio::test]
async fn name_end_user_and_tags_of_a_connection_are_changed_together() {
    let (engine, _) = filled().await;
    let running = run(engine.clone()).await;
    let browser = Browser::signed_in(&running, Scope::Write).await;
    let (page, action) = ("/dashboard/connections/ann", "/dashboard/connections/ann/about");
    let fields = [
        ("display_name", "Ann's shop"),
        ("user", "u-7"),
        ("email", "ann@example.com"),
        ("tags", "plan=team\r\nurl = a=b\r\n"),
    ];
    let text = browser.change(page, action, &fields).await;
    assert!(text.contains("<h1>Ann's shop</h1>") && text.contains("ann@example.com"), "{text}");
    let settings = engine.connection("ann").await.unwrap();
    assert_eq!((settings.tags["plan"].as_str(), settings.tags["url"].as_str()), ("team", "a=b"));
    for wrong in [("tags", "plan"), ("email", "a@b.example"), ("tags", "=x")] {
        assert_eq!(browser.submit(page, action, &[wrong]).await.status, 400, "{wrong:?}");
    }
    assert_eq!(engine.connection("ann").await.unwrap(), settings);
    browser.change(page, action, &[]).await;
    let settings = engine.connection("ann").await.unwrap();
    assert!(settings.tags.is_empty() && settings.end_user.is_none() && settings.display_name.is_none());
}

#[tokio::test]
async fn a_destination_is_added_tested_changed_and_its_secret_is_shown_once() {
    let (engine, _api) = crm().await;
    let running = run(engine.clone()).await;
    let browser = Browser::signed_in(&running, Scope::Admin).await;
    let page = "/dashboard/webhooks";
    let url = "https://backend.invalid/hook";
    let made = browser.submit(page, page, &[("do", "add"), ("id", "backend"), ("url", url), ("on_error", "yes")]).await;
    let secret = |text: &str| {
        text.split_once(r#"<pre data-copy="the secret">"#).map(|(_, rest)| rest.split('<').next().unwrap().to_owned())
    };
    let first = secret(made.text()).unwrap_or_else(|| panic!("{made:?}"));
    assert!(first.starts_with("whsec_"), "{first}");
    let one = "/dashboard/webhooks/backend";
    assert!(secret(&browser.page(one).await).is_none(), "it is shown once");
    let second = secret(browser.submit(one, page, &[("do", "secret"), ("id", "backend")]).await.text()).unwrap();
    assert_ne!(first, second);
    let text = browser.change(one, page, &[("do", "test"), ("id", "backend")]).await;
    assert!(text.contains("The test was not delivered"), "{text}");
    let fields = [("do", "update"), ("id", "backend"), ("url", url), ("connection", "main"), ("on_unchanged", "yes")];
    browser.change(one, page, &fields).await;
    let known = Outbox::new(&engine).destination("backend").await.unwrap();
    assert_eq!((known.connection.as_deref(), known.on_error, known.on_unchanged), (Some("main"), false, true));
    for wrong in ["http://example.com/", "https://10.0.0.1/", "nonsense", ""] {
        let fields = [("do", "update"), ("id", "backend"), ("url", wrong)];
        assert_eq!(browser.submit(one, page, &fields).await.status, 400, "{wrong}");
    }
    browser.change(one, page, &[("do", "remove"), ("id", "backend")]).await;
    assert_eq!(browser.get(one).await.status, 404);
}
