//! The dashboard: which forms are taken, and from whom.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "dashboard/browser.rs"]
mod browser;
mod support;

use browser::{Browser, PAGES, SYNC, THINGS, csrf, filled, run};
use highwater_server::Scope;
use support::Running;

/// Where a form of the dashboard goes, its fields, and the scope that it needs.
type Form = (&'static str, &'static [(&'static str, &'static str)], Scope);

const FORMS: [Form; 24] = [
    ("/dashboard/integrations", &[("key", "other"), ("provider", "shop")], Scope::Admin),
    ("/dashboard/integrations/shop-main/endpoint", &[("sync", SYNC), ("turn", "on")], Scope::Admin),
    ("/dashboard/integrations/shop-main/try", &[("sync", SYNC), ("connection", "ann")], Scope::Write),
    ("/dashboard/integrations/shop-main/act", &[("action", "shop/add_note"), ("connection", "ann")], Scope::Write),
    ("/dashboard/integrations/shop-main/settings", &[("display_name", "New")], Scope::Admin),
    ("/dashboard/integrations/shop-main/secret", &[("which", "client"), ("secret", "s")], Scope::Admin),
    ("/dashboard/integrations/shop-main/delete", &[], Scope::Admin),
    ("/dashboard/connections", &[("id", "bob"), ("provider", "shop")], Scope::Write),
    ("/dashboard/connect/sign-in", &[("connection", "ann")], Scope::Write),
    ("/dashboard/connections/ann/sync", &[("sync", SYNC), ("do", "enable")], Scope::Write),
    ("/dashboard/connections/ann/sync", &[("sync", SYNC), ("do", "run")], Scope::Write),
    ("/dashboard/connections/ann/about", &[("tags", "plan=team")], Scope::Write),
    ("/dashboard/connections/ann/metadata", &[("metadata", "{\"a\":1}")], Scope::Write),
    ("/dashboard/connections/ann/token", &[("token", "t")], Scope::Write),
    ("/dashboard/connections/ann/delete", &[("records", "clear")], Scope::Write),
    ("/dashboard/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV/decision", &[("decision", "approve")], Scope::Write),
    ("/dashboard/webhooks", &[("do", "secret"), ("id", "b")], Scope::Admin),
    ("/dashboard/webhooks", &[("do", "add"), ("id", "b"), ("url", "https://b.example/")], Scope::Admin),
    ("/dashboard/environment/key", &[("do", "create"), ("name", "n"), ("scope", "admin")], Scope::Admin),
    ("/dashboard/environment/compact", &[], Scope::Admin),
    ("/dashboard/environment/backup", &[], Scope::Admin),
    ("/dashboard/environment/prune", &[("connection", "ann"), ("model", "Note")], Scope::Admin),
    ("/dashboard/environment/doctor", &[], Scope::Read),
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
