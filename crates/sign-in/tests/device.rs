//! The device flow, in virtual time: what APIs answer while a user has not agreed yet, and in the end.
#![allow(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::time::Duration;

use highwater_core::{ErrorKind, Result, SystemEnvironment};
use highwater_engine::credentials::{DeviceSignIn, OAuthTokens};
use highwater_template::auth::{DesktopSignIn, OAuth2};
use highwater_template::{HttpResponse, Secret};
use highwater_testkit::{FakeApi, FakeRequest, FakeTransport, json};
use tokio::time::Instant;

/// RFC 8628 section 3.2's own example.
const CODE: &str = r#"{"device_code":"GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS","user_code":"WDJB-MJHT",
    "verification_uri":"https://example.com/device","verification_uri_complete":"https://example.com/device?user_code=WDJB-MJHT",
    "expires_in":1800,"interval":5}"#;
const TOKENS: &str = r#"{"access_token":"t","token_type":"bearer","scope":"read"}"#;
const PENDING: &str = r#"{"error":"authorization_pending"}"#;

/// Answers with one text for the code, then one for each question, and notes when it was asked.
struct Api {
    code: (u16, String),
    answers: VecDeque<(u16, &'static str)>,
    forms: Vec<String>,
    asked: Vec<Duration>,
    began: Instant,
}

impl FakeApi for Api {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        let form = request.form();
        self.forms.push(form.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"));
        if request.path == "/device" {
            return json(self.code.0, self.code.1.clone());
        }
        self.asked.push(self.began.elapsed());
        let (status, body) = self.answers.pop_front().unwrap_or((400, PENDING));
        json(status, body)
    }
}

fn api(code: (u16, &str), answers: &[(u16, &'static str)]) -> FakeTransport<Api> {
    let code = (code.0, code.1.to_owned());
    let answers = answers.iter().copied().collect();
    FakeTransport::new(Api { code, answers, forms: Vec::new(), asked: Vec::new(), began: Instant::now() })
}

fn oauth() -> OAuth2 {
    OAuth2::new("https://a.example/authorize", "https://a.example/token", DesktopSignIn::Device)
        .device_url("https://a.example/device")
        .scope("read")
}

async fn begin(api: &FakeTransport<Api>) -> Result<DeviceSignIn> {
    let client = OAuthTokens::new("the-id").client_secret(Secret::new("h4sh-of-the-app"));
    DeviceSignIn::begin(&oauth(), client, &["write", "read"], api, &SystemEnvironment).await
}

fn asked(api: &FakeTransport<Api>) -> Vec<u64> {
    api.with(|api| api.asked.iter().map(Duration::as_secs).collect())
}

#[tokio::test(start_paused = true)]
async fn the_user_agrees_after_a_while() {
    let answers = [(400, PENDING), (200, PENDING), (400, r#"{"error":"slow_down"}"#), (400, PENDING), (200, TOKENS)];
    let api = api((200, CODE), &answers);
    let sign_in = begin(&api).await.unwrap();
    assert_eq!((sign_in.user_code(), sign_in.verification_uri()), ("WDJB-MJHT", "https://example.com/device"));
    assert_eq!(sign_in.verification_uri_complete(), Some("https://example.com/device?user_code=WDJB-MJHT"));
    let tokens = sign_in.finish(&api, &SystemEnvironment).await.unwrap();
    assert_eq!(tokens.access_token.as_ref().unwrap().expose(), "t");
    assert_eq!(tokens.missing_scopes(), ["write"]);
    assert_eq!(asked(&api), [5, 10, 15, 25, 35], "five seconds more after `slow_down`, and from then on");
    let forms = api.with(|api| api.forms.clone());
    assert_eq!(forms[0], "client_id=the-id&scope=read write");
    assert!(forms[1].contains("grant_type=urn:ietf:params:oauth:grant-type:device_code"));
    assert!(!format!("{sign_in:?}").contains("GmRhm"));
}

#[tokio::test(start_paused = true)]
async fn failures_on_the_way_are_tried_again_with_longer_waits() {
    let api = api((200, CODE), &[(503, "<html>"), (502, ""), (429, "{}"), (400, PENDING), (200, TOKENS)]);
    begin(&api).await.unwrap().finish(&api, &SystemEnvironment).await.unwrap();
    assert_eq!(asked(&api), [5, 15, 35, 75, 115]);
}

#[tokio::test(start_paused = true)]
async fn refusals_and_expired_codes_say_what_to_do() {
    for (answer, word) in [
        (r#"{"error":"access_denied"}"#, "refused"),
        (r#"{"error":"expired_token"}"#, "expired"),
        (r#"{"error":"invalid_client"}"#, "client id"),
        (r#"{"error":"invalid_grant"}"#, "sign in"),
    ] {
        let api = api((200, CODE), &[(400, PENDING), (400, answer)]);
        let error = begin(&api).await.unwrap().finish(&api, &SystemEnvironment).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{answer}");
        assert!(error.to_string().contains(word), "{answer}: {error}");
        assert_eq!(asked(&api), [5, 10]);
    }
    // An API that never says so itself.
    let short = CODE.replace("1800", "\"60\"").replace(":5}", ":null}");
    let api = api((200, &short), &[]);
    let error = begin(&api).await.unwrap().finish(&api, &SystemEnvironment).await.unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
    assert_eq!(asked(&api).last(), Some(&60));
}

#[tokio::test(start_paused = true)]
async fn a_code_as_other_apis_give_it() {
    let google = CODE.replace("verification_uri", "verification_url").replace("\"interval\":5", "\"interval\":0");
    let github = "device_code=d&user_code=WDJB-MJHT&verification_uri=https%3A%2F%2Fgithub.com%2Flogin%2Fdevice&expires_in=899&interval=5";
    for text in [&*google, github] {
        let api = api((200, text), &[(200, TOKENS)]);
        let sign_in = begin(&api).await.unwrap();
        assert!(sign_in.verification_uri().starts_with("https://") && sign_in.user_code() == "WDJB-MJHT");
        sign_in.finish(&api, &SystemEnvironment).await.unwrap();
        assert_eq!(asked(&api), [5], "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_page_and_no_code_that_could_harm_the_user() {
    let with = |from: &str, to: &str| CODE.replace(from, to);
    for (status, text, kind) in [
        (200, "<html>".to_owned(), ErrorKind::Remote),
        (200, "{}".to_owned(), ErrorKind::Remote),
        (200, with("https://example.com/device\"", "http://example.com/device\""), ErrorKind::Remote),
        (200, with("https://example.com/device\"", "file:///etc/passwd\""), ErrorKind::Remote),
        (200, with("https://example.com/device\"", "javascript:alert(1)\""), ErrorKind::Remote),
        (200, with("https://example.com/device\"", "https://good.example:x@evil.example/\""), ErrorKind::Remote),
        (200, with("WDJB-MJHT\",", " \","), ErrorKind::Remote),
        (500, "{}".to_owned(), ErrorKind::Remote),
        (
            401,
            r#"{"error":"invalid_client","error_description":"h4sh-of-the-app is wrong"}"#.to_owned(),
            ErrorKind::Unauthorized,
        ),
    ] {
        let error = begin(&api((status, &text), &[])).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{text}: {error}");
        assert!(!format!("{error} {error:?}").contains("h4sh"), "{error:?}");
    }
    let sign_in = begin(&api((200, &with("WDJB-MJHT\",", "\\u001b[2J\\n\",")), &[])).await.unwrap();
    assert!(sign_in.user_code().chars().all(|character| !character.is_control()));
    let none = OAuth2::new("https://a.example/authorize", "https://a.example/token", DesktopSignIn::Broker);
    for (oauth, kind) in
        [(none, ErrorKind::Unsupported), (oauth().device_url("http://a.example/device"), ErrorKind::Invalid)]
    {
        let begun =
            DeviceSignIn::begin(&oauth, OAuthTokens::new("id"), &[], &api((200, CODE), &[]), &SystemEnvironment).await;
        assert_eq!(begun.unwrap_err().kind(), kind);
    }
}
