//! How applications name themselves at token endpoints.

use highwater_core::SystemEnvironment;
use highwater_engine::credentials::{OAuthTokens, SignIn};
use highwater_template::{Provider, Secret};
use highwater_templates::{airtable, jira, notion};
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
