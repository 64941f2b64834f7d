//! What token endpoints answer, as runs see it: what may pass and what is over, short lifetimes, tokens that are over without
//! a 401, and a user's sign-in that never becomes the application's.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{Environment, ErrorKind, Result, Timestamp};
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::{ConnectionSettings, Credentials};
use highwater_template::auth::{AuthKind, CredentialUse, DesktopSignIn, OAuth2};
use highwater_template::{HttpRequest, HttpResponse, Provider, Secret, SyncContext, Template, TemplateInfo};
use highwater_testkit::{FakeApi, FakeRequest, Trial, json, with_header};

const SYNC: &str = "acme/items";

/// Reads the four pages of a list.
#[derive(Debug)]
struct Pages(TemplateInfo);

#[async_trait]
impl Template for Pages {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        for page in 1..=4 {
            let page = context.send(HttpRequest::get("/items").query("page", page.to_string())).await?;
            context.save("Item", page.elements()?).await?;
        }
        context.complete("Item").await
    }
}

/// An API whose access token is `access-N` after N answers of its token endpoint.
struct Api {
    given: u32,
    /// What the token endpoint answers first, in order.
    faults: Vec<HttpResponse>,
    /// What comes in place of a list under a token that is over.
    over: HttpResponse,
    expires_in: &'static str,
    /// The bodies of the requests for tokens.
    asked: Vec<String>,
}

impl Api {
    fn new() -> Self {
        Api { given: 0, faults: Vec::new(), over: json(401, "{}"), expires_in: "3600", asked: Vec::new() }
    }
}

impl FakeApi for Api {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        if request.path == "/token" {
            self.asked.push(String::from_utf8_lossy(&request.body).into_owned());
            if !self.faults.is_empty() {
                return self.faults.remove(0);
            }
            self.given += 1;
            return json(
                200,
                format!(r#"{{"access_token":"access-{}","expires_in":{}}}"#, self.given, self.expires_in),
            );
        }
        if request.header("authorization") != Some(&format!("Bearer access-{}", self.given)) {
            return self.over.clone();
        }
        json(200, format!(r#"[{{"id":{}}}]"#, request.number("page").unwrap_or(0)))
    }
}

fn provider() -> Provider {
    let oauth = OAuth2::new("https://acme.example/authorize", "https://acme.example/token", DesktopSignIn::PkcePublic);
    Provider::new("acme", "https://api.acme.example")
        .auth(AuthKind::OAuth2(oauth))
        .expired_token_text("/error", "token_expired")
        .expired_token_text("/error/code", "190")
}

async fn trial(api: Api) -> Trial<Api> {
    let info = provider().template("items").model("Item", "an item").credentials(CredentialUse::Required);
    let trial = Trial::new(Arc::new(Pages(info)), api).await.unwrap();
    trial.use_credentials(Credentials::oauth2(user(Some(Timestamp::from_unix_ms(1)))));
    trial
}

/// A user's sign-in, whose access token ends then.
fn user(end: Option<Timestamp>) -> OAuthTokens {
    OAuthTokens::new("app").access(Secret::new("access-0"), end).refresh(Secret::new("refresh-0"))
}

fn asked(trial: &Trial<Api>) -> usize {
    trial.api.with(|api| api.asked.len())
}

#[tokio::test(start_paused = true)]
async fn a_user_s_sign_in_never_becomes_the_application_s() {
    let trial = trial(Api::new()).await;
    let client = || OAuthTokens::new("app").client_secret(Secret::new("h4sh"));
    trial.use_credentials(Credentials::oauth2(client().access(Secret::new("access-0"), None)));
    trial.refresh().await.unwrap();
    assert_eq!(trial.ids("Item").await.unwrap().len(), 4);
    // The token is over, and there is nothing to renew it with.
    trial.api.with(|api| api.given = 7);
    for end in [None, Some(Timestamp::from_unix_ms(1))] {
        trial.use_credentials(Credentials::oauth2(client().access(Secret::new("access-0"), end)));
        let error = trial.refresh().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert_eq!(end.is_some(), error.message().contains("sign in again"), "{error}");
    }
    trial.use_credentials(Credentials::oauth2(client()));
    let error = trial.run().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unauthorized && error.message().contains("sign in"), "{error}");
    assert_eq!((asked(&trial), trial.ids("Item").await.unwrap().len()), (0, 4), "nobody was asked, nothing is deleted");
    // The application for itself, where the credentials say so.
    trial.use_credentials(Credentials::oauth2(OAuthTokens::client_credentials("app", Secret::new("h4sh"))));
    trial.run().await.unwrap();
    assert!(trial.api.with(|api| api.asked[0].contains("grant_type=client_credentials")));
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_ends_no_sign_in() {
    let over = r#"{"error":"invalid_grant"}"#;
    for fault in [
        json(503, over),
        json(500, ""),
        json(408, ""),
        json(400, "<html>a proxy in between</html>"),
        json(200, "<html>sign in to this network</html>"),
        json(302, ""),
        json(400, r#"{"error":"temporarily_unavailable"}"#),
        json(200, r#"{"ok":false,"error":"internal_error"}"#),
    ] {
        let shown = format!("{} {:?}", fault.status, fault.body);
        let trial = trial(Api { faults: vec![fault], ..Api::new() }).await;
        let error = trial.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Remote, "{shown}: {error}");
        let status = trial.engine.sync("trial", SYNC).unwrap().state().await.unwrap().status;
        assert_eq!((status.offline_since, status.failures), (None, 1), "{shown}: an answer is no silence");
        trial.run().await.unwrap_or_else(|error| panic!("{shown}: the sign-in was given up: {error}"));
        assert!(trial.api.with(|api| api.asked[1].contains("refresh-0")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_endpoint_that_asks_to_wait_is_left_alone() {
    let busy = with_header(json(429, ""), "Retry-After", "600");
    let trial = trial(Api { faults: vec![busy], ..Api::new() }).await;
    for _ in 0..3 {
        let error = trial.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert!(error.retry_after().is_some_and(|wait| wait > Duration::from_secs(590)), "{error:?}");
    }
    assert_eq!(asked(&trial), 1);
    trial.environment.skip(Duration::from_secs(600));
    trial.run().await.unwrap();
    assert_eq!(asked(&trial), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_still_lasts_is_used_while_its_endpoint_fails() {
    let trial = trial(Api { faults: vec![json(503, ""); 9], ..Api::new() }).await;
    let end = trial.environment.now() + Duration::from_secs(50);
    trial.use_credentials(Credentials::oauth2(user(Some(end))));
    trial.run().await.unwrap();
    assert!(asked(&trial) > 0);
}

#[tokio::test(start_paused = true)]
async fn short_lifetimes_cost_one_token() {
    for expires_in in ["60", "30", "0", "-1", "\"45\"", "null"] {
        let trial = trial(Api { expires_in, ..Api::new() }).await;
        trial.run().await.unwrap();
        assert_eq!(asked(&trial), 1, "expires_in {expires_in}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_over_without_a_401_is_renewed_once() {
    let challenge = |status, error: &str| {
        with_header(json(status, "{}"), "WWW-Authenticate", format!("Bearer realm=\"x\", error=\"{error}\""))
    };
    for (over, renewed) in [
        (json(200, r#"{"ok":false,"error":"token_expired"}"#), true),
        (json(400, r#"{"error":{"message":"expired","type":"OAuthException","code":190}}"#), true),
        (challenge(403, "invalid_token"), true),
        (challenge(400, "invalid_token"), true),
        (challenge(403, "insufficient_scope"), false),
        (json(400, r#"{"error":{"code":100}}"#), false),
        (json(200, r#"{"ok":false,"error":"not_in_channel"}"#), false),
    ] {
        let shown = format!("{} {:?} {:?}", over.status, over.headers, over.body);
        let trial = trial(Api { over, ..Api::new() }).await;
        trial.use_credentials(Credentials::oauth2(user(None)));
        trial.api.with(|api| api.given = 5);
        assert_eq!(trial.run().await.is_ok(), renewed, "{shown}");
        assert_eq!(asked(&trial), usize::from(renewed), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn scopes_that_were_not_granted_are_named_with_a_refusal() {
    let refused = json(403, r#"{"message":"you may not"}"#);
    let trial = trial(Api { over: refused, ..Api::new() }).await;
    let mut tokens = user(None);
    (tokens.scopes, tokens.granted) = (vec!["read".into(), "write".into()], vec!["read".into()]);
    trial.use_credentials(Credentials::oauth2(tokens));
    trial.api.with(|api| api.given = 5);
    let error = trial.run().await.unwrap_err();
    assert_eq!(error.context("scopes_not_granted"), Some("write"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn credentials_do_not_follow_a_connection_elsewhere() {
    let trial = trial(Api::new()).await;
    trial.use_credentials(Credentials::token(Secret::new("access-0")));
    trial.run().await.unwrap();
    let elsewhere = || ConnectionSettings::new("trial", "acme").base_url("https://elsewhere.example");
    trial.api.take_seen();
    trial.engine.connect(elsewhere()).await.unwrap();
    let error = trial.run().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.message().contains("supply them again"), "{error}");
    assert!(trial.api.seen().is_empty());
    trial.use_credentials(Credentials::token(Secret::new("access-0")));
    trial.run().await.unwrap();
    // Given before the connection moved and not used there, they are meant for where it goes.
    trial.use_credentials(Credentials::token(Secret::new("access-0")));
    trial.engine.connect(ConnectionSettings::new("trial", "acme")).await.unwrap();
    trial.run().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_base_url_with_a_password_is_not_stored_and_not_shown() {
    let trial = trial(Api::new()).await;
    let with_password = ConnectionSettings::new("other", "acme").base_url("https://somebody:p4ssw0rd@api.acme.example");
    let error = trial.engine.connect(with_password).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let stored = trial.store.documents("", "", 1000).await.unwrap();
    assert!(!format!("{error:?} {stored:?}").contains("p4ssw0rd"));
    // A link's name and password are not sent either.
    let link = highwater_template::HttpRequest::get("https://somebody:p4ssw0rd@api.acme.example/items");
    trial.use_credentials(Credentials::token(Secret::new("access-0")));
    assert_eq!(trial.engine.proxy("trial", link).await.unwrap().status, 200);
    let stored = trial.store.documents("", "", 1000).await.unwrap();
    assert!(!format!("{:?} {stored:?}", trial.api.seen()).contains("p4ssw0rd"));
}
