//! The dashboard: what its buttons do.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "dashboard/browser.rs"]
mod browser;
mod support;

use browser::{Browser, MODEL, SYNC, filled, run, shop};
use highwater_core::StreamKey;
use highwater_engine::Phase;
use highwater_engine::runs::RunState;
use highwater_server::Scope;

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
    let page = "/dashboard/environment";
    let action = "/dashboard/environment/key";
    let made = browser.submit(page, action, &[("do", "create"), ("name", "<b>"), ("scope", "read")]).await;
    assert_eq!(made.status, 200, "{made:?}");
    let (_, secret) = made.text().split_once(r#"<pre data-copy="the key">"#).unwrap();
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
    let sound = browser.submit(page, "/dashboard/environment/doctor", &[]).await;
    assert!(sound.status == 200 && sound.text().contains("30 entries read"), "{sound:?}");
}
