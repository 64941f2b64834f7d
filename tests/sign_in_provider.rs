//! Sign-in against a provider that this project did not write: npm's `oidc-provider`, a certified OpenID provider, by HTTP and
//! by a real browser. `cargo xtask acceptance sign-in` runs it; skipped, and said so, where npm or the browser cannot be had.
#![cfg(all(feature = "sign-in", feature = "vault", feature = "http", feature = "sqlite"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "sign_in/support.rs"]
mod support;

use std::time::Duration;

use highwater::engine::RunOptions;
use highwater::engine::credentials::{CredentialStore, Credentials, DeviceSignIn, OAuthTokens, Revocation};
use highwater::engine::transport::UreqTransport;
use highwater::sign_in::{LoopbackRedirect, RedirectStrategy, sign_in};
use highwater::store::SystemEnvironment;
use highwater::{ErrorKind, Secret, Store, StoreExt, StreamKey};
use support::{App, Provider, block_on, browser, rounds};

fn items() -> StreamKey {
    StreamKey::new("c", "Item")
}

/// Signs in at the provider as a desktop application does; `user` is what the user does with the address.
async fn desktop(provider: &Provider, user: impl FnOnce(&str) + Send) -> highwater::Result<OAuthTokens> {
    let mut redirect = LoopbackRedirect::builder("this test").bind().await?;
    let client = OAuthTokens::new("desktop");
    let (transport, oauth) = (UreqTransport::new(), provider.oauth());
    let show = |url: &str| {
        user(url);
        Ok(())
    };
    let scopes = ["openid", "offline_access", "read"];
    let signing_in = sign_in(&oauth, client, &scopes, &mut redirect, show, &transport, &SystemEnvironment);
    // A user's script that failed would leave the test waiting for ever.
    tokio::time::timeout(Duration::from_secs(150), signing_in).await.expect("the user never came back")
}

async fn accounts(app: &App) -> Vec<String> {
    let page = app.store.records(&items()).page().await.unwrap();
    let account =
        |record: &highwater::Record| record.to::<serde_json::Value>().unwrap()["account"].as_str().unwrap().to_owned();
    page.changes.iter().map(|change| account(&change.record)).collect()
}

#[test]
fn a_user_signs_in_by_loopback_with_pkce_and_the_engine_syncs() {
    let Some(provider) = Provider::start(3600) else { return };
    block_on(async {
        let tokens = desktop(&provider, |url| provider.agree_later(url)).await.unwrap();
        assert!(tokens.refresh_token.is_some() && tokens.missing_scopes().is_empty(), "{tokens:?}");
        let folder = tempfile::tempdir().unwrap();
        let app = App::open(&provider, folder.path()).await;
        app.engine.use_credentials("c", Credentials::oauth2(tokens));
        app.run().await.unwrap();
        assert_eq!(accounts(&app).await, ["anna"]);
    });
}

#[test]
fn a_user_signs_in_on_another_device() {
    let Some(provider) = Provider::start(3600) else { return };
    block_on(async {
        let transport = UreqTransport::new();
        let client = OAuthTokens::new("desktop");
        let oauth = provider.oauth();
        let begun = DeviceSignIn::begin(&oauth, client, &["openid", "read"], &transport, &SystemEnvironment);
        let begun = begun.await.unwrap();
        provider.agree_later(begun.verification_uri_complete().unwrap());
        let tokens = begun.finish(&transport, &SystemEnvironment).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let app = App::open(&provider, folder.path()).await;
        app.engine.use_credentials("c", Credentials::oauth2(tokens));
        app.run().await.unwrap();
        assert_eq!(accounts(&app).await, ["anna"]);
    });
}

#[test]
fn an_application_asks_for_itself() {
    let Some(provider) = Provider::start(1) else { return };
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let app = App::open(&provider, folder.path()).await;
        let service = |secret| Credentials::oauth2(OAuthTokens::client_credentials("service", Secret::new(secret)));
        app.engine.use_credentials("c", service("service-secret"));
        for _ in 0..3 {
            app.run().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
        assert_eq!(accounts(&app).await, ["service"]);
        app.engine.use_credentials("c", service("another"));
        let error = app.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        assert!(error.to_string().contains("client id and secret"), "{error}");
    });
}

#[test]
fn a_sign_in_that_was_revoked_is_over_at_the_provider() {
    let Some(provider) = Provider::start(3600) else { return };
    block_on(async {
        let tokens = desktop(&provider, |url| provider.agree_later(url)).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let app = App::open(&provider, folder.path()).await;
        app.engine.use_credentials("c", Credentials::oauth2(tokens));
        app.run().await.unwrap();
        assert_eq!(app.engine.revoke_credentials("c").await.unwrap(), Revocation::Revoked);
        let error = app.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        assert!(error.to_string().contains("sign in again"), "{error}");
        // Once more is no mistake.
        assert_eq!(app.engine.revoke_credentials("c").await.unwrap(), Revocation::Revoked);

        let service = OAuthTokens::client_credentials("service", Secret::new("service-secret"));
        app.engine.use_credentials("c", Credentials::oauth2(service));
        assert_eq!(
            app.engine.revoke_credentials("c").await.unwrap(),
            Revocation::NothingToRevoke,
            "it has no token yet"
        );
        app.run().await.unwrap();
        assert_eq!(app.engine.revoke_credentials("c").await.unwrap(), Revocation::Revoked);
        let service = OAuthTokens::client_credentials("service", Secret::new("another"));
        app.engine.use_credentials("c", Credentials::oauth2(service.access(Secret::new("a-token"), None)));
        let error = app.engine.revoke_credentials("c").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        assert!(error.to_string().contains("check client id and secret"), "{error}");
    });
}

#[test]
fn refresh_tokens_rotate_over_restarts_and_one_that_was_used_ends_the_sign_in() {
    let Some(provider) = Provider::start(1) else { return };
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let tokens = desktop(&provider, |url| provider.agree_later(url)).await.unwrap();
        let app = App::open(&provider, folder.path()).await;
        app.vault.save("c", &Credentials::oauth2(tokens)).await.unwrap();
        app.run().await.unwrap();
        app.store.close().await.unwrap();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            let app = App::open(&provider, folder.path()).await;
            app.run().await.unwrap();
            app.store.close().await.unwrap();
        }
        assert!(provider.refreshes() >= 3 && provider.errors().is_empty(), "{:?}", provider.errors());

        let app = App::open(&provider, folder.path()).await;
        let before = app.vault.load("c").await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        app.run().await.unwrap();
        // A backup of the program's folder, say: its refresh token was used since. The provider ends the whole sign-in.
        let elsewhere = tempfile::tempdir().unwrap();
        let restored = App::open(&provider, elsewhere.path()).await;
        restored.engine.use_credentials("c", before);
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        for app in [&restored, &app] {
            let error = app.run().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
            assert!(error.to_string().contains("sign in again"), "{error}");
        }
        let again = desktop(&provider, |url| provider.agree_later(url)).await.unwrap();
        app.engine.use_credentials("c", Credentials::oauth2(again));
        app.run().await.unwrap();
    });
}

#[test]
fn a_token_that_ends_in_the_middle_of_a_run_is_renewed_there() {
    let Some(provider) = Provider::start(3) else { return };
    block_on(async {
        let tokens = desktop(&provider, |url| provider.agree_later(url)).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let app = App::open(&provider, folder.path()).await;
        app.engine.use_credentials("c", Credentials::oauth2(tokens));
        app.engine.sync("c", "acme/slow").unwrap().run_once(RunOptions::default()).await.unwrap();
        assert!(provider.refreshes() >= 1 && provider.errors().is_empty(), "{:?}", provider.errors());
        // The provider counts whole seconds, and looks at a token after it has waited: some are refused, and asked for again.
        assert_eq!(app.store.head(&StreamKey::new("c", "Slow")).await.unwrap().live, 4);
    });
}

/// Not a test of its own: a process of the next one.
#[test]
fn child_that_refreshes() {
    let Some((provider, folder)) = support::child() else { return };
    block_on(async {
        let app = App::open(&provider, &folder).await;
        for round in 0..rounds() {
            app.run().await.unwrap_or_else(|error| panic!("round {round}: {error}"));
            tokio::time::sleep(Duration::from_millis(1_000)).await;
        }
        println!("child done");
    });
}

#[test]
fn two_processes_that_refresh_at_once_keep_the_connection() {
    let Some(provider) = Provider::start(1) else { return };
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let tokens = desktop(&provider, |url| provider.agree_later(url)).await.unwrap();
        let app = App::open(&provider, folder.path()).await;
        app.vault.save("c", &Credentials::oauth2(tokens)).await.unwrap();
        app.store.close().await.unwrap();
    });
    let children = [0, 1].map(|_| provider.spawn_child("child_that_refreshes", folder.path()));
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("child done"), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    println!(
        "{} rounds in two processes, {} refreshes, errors {:?}",
        rounds(),
        provider.refreshes(),
        provider.errors()
    );
    assert_eq!(provider.errors(), Vec::<String>::new());
    // A token lasts for a second and a round takes a little more: two rounds at most share one.
    assert!((1..=2 * rounds()).contains(&provider.refreshes()));
}

#[test]
fn a_user_in_a_real_browser_signs_in_refuses_and_walks_away() {
    let Some(provider) = Provider::start(3600) else { return };
    let Some(browser) = browser() else { return };
    block_on(async {
        let last = provider.browse_later(&browser, "agree");
        let tokens = desktop(&provider, |url| last.begin(url)).await.unwrap();
        assert!(tokens.access_token.is_some());
        let page = last.page();
        assert!(page.contains("Signed in") && page.contains("close this window and go back to this test"), "{page}");

        let last = provider.browse_later(&browser, "refuse");
        let error = desktop(&provider, |url| last.begin(url)).await.unwrap_err();
        assert_eq!((error.kind(), error.context("error")), (ErrorKind::Unauthorized, Some("access_denied")), "{error}");
        let page = last.page();
        assert!(page.contains("The sign-in was refused"), "{page}");

        // The window is closed: nothing comes, and a program that gives up can begin again on the same port.
        let mut redirect = LoopbackRedirect::builder("this test").bind().await.unwrap();
        let port: u16 = redirect.redirect_uri().split([':', '/']).nth(4).unwrap().parse().unwrap();
        let last = provider.browse_later(&browser, "close");
        let show = |url: &str| {
            last.begin(url);
            Ok(())
        };
        let transport = UreqTransport::new();
        let oauth = provider.oauth();
        let signing_in = sign_in(
            &oauth,
            OAuthTokens::new("desktop"),
            &["openid"],
            &mut redirect,
            show,
            &transport,
            &SystemEnvironment,
        );
        tokio::select! {
            outcome = signing_in => panic!("{outcome:?}"),
            page = async { tokio::task::block_in_place(|| last.page()) } => assert_eq!(page, ""),
        }
        drop(redirect);
        LoopbackRedirect::builder("this test").ports([port]).bind().await.unwrap();
    });
}
