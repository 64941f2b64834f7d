//! Answers as providers document them, and as the net in between makes them.

use std::time::Duration;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

fn old() -> OAuthTokens {
    let tokens = OAuthTokens::new("app").access(Secret::new("access-0"), Some(NOW));
    OAuthTokens { scopes: vec!["read".into(), "write".into()], ..tokens.refresh(Secret::new("refresh-0-long")) }
}

fn hidden() -> Redactor {
    Redactor::new(&[Secret::new("refresh-0-long"), Secret::new("h4sh/of-app")])
}

fn answer(status: u16, body: &str) -> Result<OAuthTokens, Refusal> {
    let response = HttpResponse::new(status, vec![("Retry-After".into(), "600".into())], body.to_owned());
    read(&response, &old(), "refresh_token", None, &hidden(), NOW)
}

fn refused(status: u16, body: &str) -> Refusal {
    answer(status, body).err().unwrap_or_else(|| panic!("{status} {body} was taken"))
}

#[test]
fn what_may_pass_is_not_final() {
    let over = r#"{"error":"invalid_grant"}"#;
    for (status, body) in [
        (200, "<html>sign in to the wireless network</html>"),
        (400, "<html>bad gateway</html>"),
        (401, "<html></html>"),
        (403, "<html>blocked</html>"),
        (401, ""),
        (400, "{}"),
        (408, ""),
        (425, over),
        (302, ""),
        (307, over),
        (400, r#"{"error":"temporarily_unavailable"}"#),
        (400, r#"{"error":"server_error"}"#),
        (200, r#"{"ok":false,"error":"internal_error"}"#),
        (200, r#"{"ok":true}"#),
        (500, over),
        (503, over),
    ] {
        let refusal = refused(status, body);
        assert_eq!((refusal.error.kind(), refusal.over), (ErrorKind::Remote, false), "{status} {body}");
        assert_eq!(refusal.error.retry_after(), Some(Duration::from_secs(600)), "{status} {body}");
    }
    for (status, body) in
        [(429, ""), (429, over), (400, r#"{"error":"slow_down"}"#), (200, r#"{"ok":false,"error":"ratelimited"}"#)]
    {
        let refusal = refused(status, body);
        assert_eq!((refusal.error.kind(), refusal.over), (ErrorKind::RateLimited, false), "{status} {body}");
        assert_eq!(refusal.error.retry_after(), Some(Duration::from_secs(600)));
    }
}

#[test]
fn a_definite_code_is_final() {
    for (status, body) in [
        (400, r#"{"error":"invalid_grant"}"#),
        (401, r#"{"error":"invalid_grant"}"#),
        (
            200,
            r#"{"error":"bad_refresh_token","error_description":"The refresh token passed is incorrect or expired."}"#,
        ),
        (200, "error=bad_refresh_token&error_description=The+refresh+token+passed+is+incorrect"),
        (200, r#"{"ok":false,"error":"invalid_refresh_token"}"#),
        (400, r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or unknown refresh token"}"#),
        (403, r#"{"error":"unauthorized_client","error_description":"refresh_token is invalid"}"#),
        (400, r#"{"error":"interaction_required","error_description":"AADSTS50076: use multi-factor authentication"}"#),
    ] {
        let refusal = refused(status, body);
        assert!(refusal.over, "{status} {body}");
        assert!(refusal.error.message().contains("sign in again") && refusal.error.retry_after().is_none(), "{body}");
    }
}

#[test]
fn the_api_s_code_and_words_are_told_with_what_to_do() {
    for (status, body, grant, message, code, told) in [
        (401, r#"{"error":"invalid_client"}"#, "refresh_token", "check client id and secret", "invalid_client", None),
        (
            // https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors
            200,
            r#"{"error":"redirect_uri_mismatch","error_description":"The redirect_uri MUST match","error_uri":"x"}"#,
            "authorization_code",
            "register it",
            "redirect_uri_mismatch",
            Some("The redirect_uri MUST match"),
        ),
        (
            200,
            r#"{"error":"bad_verification_code","error_description":"The code passed is incorrect or expired."}"#,
            "authorization_code",
            "begin the sign-in again",
            "bad_verification_code",
            Some("The code passed is incorrect or expired."),
        ),
        (
            // https://developers.facebook.com/docs/graph-api/guides/error-handling
            400,
            r#"{"error":{"message":"Error validating the code","type":"OAuthException","code":100}}"#,
            "authorization_code",
            "begin it again",
            "OAuthException",
            Some("Error validating the code"),
        ),
        (400, r#"{"error":{"code":7}}"#, "refresh_token", "returned no token", "7", None),
        (
            400,
            r#"{"error":"invalid_scope","error_description":"no refresh-0-long and no h4sh\/of\u002dapp-\n"}"#,
            "refresh_token",
            "scopes",
            "invalid_scope",
            Some("no [secret] and no [secret]-"),
        ),
    ] {
        let response = HttpResponse::new(status, Vec::new(), body);
        let error = read(&response, &old(), grant, None, &hidden(), NOW).err().unwrap().error;
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert!(error.message().contains(message), "{error}");
        assert_eq!((error.context("error"), error.context("told")), (Some(code), told));
    }
    let long = format!(r#"{{"error":"invalid_scope","error_description":"{}refresh-0-long"}}"#, "x".repeat(190));
    let told = refused(400, &long).error.context("told").unwrap().to_owned();
    assert!(told.ends_with("x[secret]") && told.len() <= WORDS, "{told}");
}

#[test]
fn a_code_that_is_over_leaves_the_sign_in_of_before_alone() {
    let client = OAuthTokens::new("app");
    let response = HttpResponse::new(400, Vec::new(), r#"{"error":"invalid_grant"}"#);
    let refusal = read(&response, &client, "authorization_code", None, &hidden(), NOW).err().unwrap();
    assert!(!refusal.over && refusal.error.message().contains("begin the sign-in again"));
}

#[test]
fn odd_answers_are_read() {
    let access = |body: &str| {
        let tokens = answer(200, body).unwrap_or_else(|refusal| panic!("{body}: {}", refusal.error));
        tokens.access_token.unwrap().expose().to_owned()
    };
    assert_eq!(access("\u{feff}{\"access_token\":\"a1\"}"), "a1");
    assert_eq!(access("access_token=a1&scope=read%2Cwrite&token_type=bearer"), "a1");
    assert_eq!(access("{\"access_token\":\"a1\\n\"}"), "a1");
    assert_eq!(access(r#"{"access_token":"a1","token_type":"BearerToken"}"#), "a1");
    // https://docs.slack.dev/authentication/installing-with-oauth: an application that asks for user scopes alone.
    let slack = r#"{"ok":true,"app_id":"A1","authed_user":{"id":"U1","scope":"chat:write","access_token":"xoxp-1",
        "token_type":"user","refresh_token":"xoxe-1","expires_in":43200}}"#;
    let tokens = answer(200, slack).ok().unwrap();
    assert_eq!(tokens.access_token.unwrap().expose(), "xoxp-1");
    assert_eq!(
        (tokens.refresh_token.unwrap().expose(), tokens.lifetime),
        ("xoxe-1", Some(Duration::from_secs(43_200)))
    );
    for body in [
        r#"{"access_token":""}"#,
        r#"{"access_token":" \n"}"#,
        r#"{"access_token":"a 1"}"#,
        r#"{"access_token":"a1","token_type":"mac"}"#,
        r#"{"access_token":"a1","token_type":"DPoP"}"#,
    ] {
        let refusal = refused(200, body);
        assert!(refusal.error.kind() == ErrorKind::Remote && !refusal.over, "{body}");
    }
}

#[test]
fn an_answer_without_a_refresh_token_keeps_the_old_one() {
    for body in [
        r#"{"access_token":"a1"}"#,
        r#"{"access_token":"a1","refresh_token":null}"#,
        r#"{"access_token":"a1","refresh_token":""}"#,
    ] {
        let tokens = answer(200, body).ok().unwrap();
        assert_eq!(tokens.refresh_token.unwrap().expose(), "refresh-0-long", "{body}");
    }
}

#[test]
fn scopes_that_were_not_granted_are_known() {
    let missing = |body: &str| {
        let tokens = answer(200, body).ok().unwrap();
        tokens.missing_scopes().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(missing(r#"{"access_token":"a1","scope":"read"}"#), ["write"]);
    assert_eq!(missing(r#"{"access_token":"a1","scope":"read,write"}"#), [""; 0]);
    assert_eq!(missing(r#"{"access_token":"a1","scope":["write"]}"#), ["read"]);
    assert_eq!(missing(r#"{"access_token":"a1"}"#), [""; 0]);
}

#[test]
fn an_end_that_is_no_end() {
    let end = |expires_in: &str| {
        answer(200, &format!(r#"{{"access_token":"a1","expires_in":{expires_in}}}"#)).ok().unwrap().expires_at
    };
    for none in ["0", "-1", "null", "\"\"", "\"never\"", "\"0\""] {
        assert_eq!(end(none), None, "{none}");
    }
    for (text, ms) in [("60", 60_000), ("\"3600\"", 3_600_000), ("1.5", 1500), ("\" 30 \"", 30_000)] {
        assert_eq!(end(text), Some(NOW + Duration::from_millis(ms)), "{text}");
    }
    assert_eq!(end("1e300"), Some(Timestamp::from_unix_ms(u64::MAX)));
}
