//! How applications name themselves at token endpoints.

use highwater_core::{ErrorKind, SystemEnvironment};
use highwater_engine::credentials::{OAuthTokens, SignIn};
use highwater_template::{HttpResponse, Provider, Secret};
use highwater_templates::{airtable, github, google, hubspot, jira, kinto, linear, notion, slack, stripe};
use highwater_testkit::{FakeRequest, FakeTransport, json};

/// What a token endpoint is sent: the header with the application's name, and the body.
async fn asked(provider: Provider) -> (Option<String>, String) {
    let client = OAuthTokens::new("app").client_secret(Secret::new("h4sh"));
    let oauth = provider.oauth2().unwrap();
    let sign_in = SignIn::begin(oauth, client, "http://127.0.0.1:9/", &[], &SystemEnvironment).unwrap();
    let query = sign_in.url().split_once('?').unwrap().1.to_owned();
    let state = query.split('&').find_map(|pair| pair.strip_prefix("state=")).unwrap().to_owned();
    let api = FakeTransport::new(|_: &FakeRequest| json(200, r#"{"access_token": "a", "refresh_token": "r"}"#));
    sign_in.finish("c0de", &state, &api, &SystemEnvironment).await.unwrap();
    let seen = api.seen().remove(0);
    (seen.header("authorization").map(str::to_owned), String::from_utf8_lossy(&seen.body).into_owned())
}

#[tokio::test]
async fn applications_name_themselves_as_the_provider_wants() {
    let basic = Some("Basic YXBwOmg0c2g=".to_owned());
    let (header, body) = asked(notion::provider()).await;
    assert!(header == basic && body.starts_with('{') && body.contains("\"code\":\"c0de\""), "{body}");
    let (header, body) = asked(airtable::provider()).await;
    assert!(header == basic && body.contains("code=c0de") && !body.contains("client_secret"), "{body}");
    let (header, body) = asked(jira::provider()).await;
    assert!(header.is_none() && body.contains("client_id=app") && body.contains("client_secret=h4sh"), "{body}");
}

#[test]
fn every_provider_says_how_one_signs_in() {
    let templates = highwater_templates::all();
    for provider in templates.iter().map(|template| &template.info().provider) {
        // Servers of one's own have no page that all of them share.
        let hosted = !matches!(provider.name.as_str(), "caldav" | "kinto");
        assert!(!provider.auth.is_empty(), "{}", provider.name);
        for kind in &provider.auth {
            assert!(kind.help().is_some(), "{}: {kind:?}", provider.name);
            assert_eq!(
                kind.page_url().is_some_and(|url| url.starts_with("https://")),
                hosted,
                "{}: {kind:?}",
                provider.name
            );
            for url in kind.oauth2().into_iter().flat_map(|oauth| oauth.endpoints()) {
                assert!(url.starts_with("https://"), "{}: {url}", provider.name);
            }
        }
        // A CalDAV server has no request that each of them answers alike.
        assert_eq!(provider.verification.is_some(), provider.name != "caldav", "{}", provider.name);
    }
}

#[test]
fn accounts_are_named_from_what_each_api_answers() {
    let name = |provider: Provider, body: &str| {
        let answer = HttpResponse::new(200, Vec::new(), body.to_owned());
        provider.verification.unwrap().account(&answer)
    };
    // Shortened from the documentation that lies beside each request.
    for (provider, body, expected) in [
        (github::provider(), r#"{"login":"octocat","id":1}"#, "octocat"),
        (airtable::provider(), r#"{"id":"usrL2PNC5o3H4lBEi","scopes":["data.records:read"]}"#, "usrL2PNC5o3H4lBEi"),
        (
            google::calendar::provider(),
            r#"{"kind":"calendar#calendarListEntry","id":"anna@acme.example"}"#,
            "anna@acme.example",
        ),
        (google::gmail::provider(), r#"{"emailAddress":"anna@acme.example","historyId":"5"}"#, "anna@acme.example"),
        (google::drive::provider(), r#"{"user":{"emailAddress":"anna@acme.example"}}"#, "anna@acme.example"),
        (hubspot::provider(), r#"{"portalId":1234567,"accountType":"STANDARD"}"#, "1234567"),
        (jira::provider(), r#"{"accountId":"5b10a2844c20165700ede21g","displayName":"Mia Krystof"}"#, "Mia Krystof"),
        (kinto::provider(), r#"{"project_name":"kinto","user":{"id":"account:anna"}}"#, "account:anna"),
        (linear::provider(), r#"{"data":{"viewer":{"email":"anna@acme.example","name":"Anna"}}}"#, "anna@acme.example"),
        (notion::provider(), r#"{"object":"user","name":"My bot","bot":{"workspace_name":"Acme"}}"#, "Acme"),
        (slack::provider(), r#"{"ok":true,"team":"Acme","user":"grace"}"#, "grace"),
        (
            stripe::provider(),
            r#"{"id":"acct_1","email":null,"settings":{"dashboard":{"display_name":"Acme"}}}"#,
            "Acme",
        ),
    ] {
        let told = format!("{}: {body}", provider.name);
        assert_eq!(name(provider, body).unwrap().name.as_deref(), Some(expected), "{told}");
    }
    for (provider, body) in [
        (slack::provider(), r#"{"ok":false,"error":"invalid_auth"}"#),
        (linear::provider(), r#"{"errors":[{"message":"Authentication required"}]}"#),
    ] {
        assert_eq!(name(provider, body).unwrap_err().kind(), ErrorKind::Unauthorized, "{body}");
    }
}

#[test]
fn accounts_are_known_by_what_does_not_change() {
    for (provider, body, expected) in [
        (github::provider(), r#"{"login":"octocat","id":1}"#, "1"),
        (airtable::provider(), r#"{"id":"usrL2PNC5o3H4lBEi","email":"a@acme.example"}"#, "usrL2PNC5o3H4lBEi"),
        (hubspot::provider(), r#"{"portalId":1234567}"#, "1234567"),
        (jira::provider(), r#"{"accountId":"5b10a2844c","displayName":"Mia Krystof"}"#, "5b10a2844c"),
        (linear::provider(), r#"{"data":{"viewer":{"id":"u-1","email":"anna@acme.example"}}}"#, "u-1"),
        // A user's id is one of its workspace.
        (slack::provider(), r#"{"ok":true,"user":"grace","team_id":"T1","user_id":"W1"}"#, "T1/W1"),
        (stripe::provider(), r#"{"id":"acct_1","email":"a@acme.example"}"#, "acct_1"),
    ] {
        let told = format!("{}: {body}", provider.name);
        let answer = HttpResponse::new(200, Vec::new(), body.to_owned());
        let account = provider.verification.unwrap().account(&answer).unwrap();
        assert_eq!(account.id.as_deref(), Some(expected), "{told}");
    }
}
