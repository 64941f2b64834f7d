//! The dashboard: who gets in, and how.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "dashboard/browser.rs"]
mod browser;
mod support;

use browser::{Browser, PAGES, run, shop};
use highwater_server::Scope;

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
