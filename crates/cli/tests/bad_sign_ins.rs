//! A sign-in that fails prints one line that says what to do, and leaves nothing half-made behind.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use support::{highwater, one_line};

const PAGE: &str = "<html>Please log in to the proxy</html>";
const TOKEN: &str = "ghs-4711-never-in-a-file";

/// The `Date` of a clock that is off by so many hours.
fn date(hours: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now.checked_add_signed(hours * 3600).unwrap()))
}

/// GitHub with Apps, and a provider whose token endpoint fails in the way that its path says.
async fn answer(uri: Uri, headers: HeaderMap) -> Response {
    let dated = |status: StatusCode, body: &'static str, hours: i64| {
        let mut response = (status, body).into_response();
        response.headers_mut().insert(header::DATE, HeaderValue::from_str(&date(hours)).unwrap());
        response
    };
    let sent = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let device = |further: &str| {
        format!(
            r#"{{"device_code":"d","user_code":"AB-CD","verification_uri":"https://a.example/d","interval":1{further}}}"#
        )
    };
    match uri.path() {
        "/app/installations/12/access_tokens" if sent.starts_with("Bearer ey") => {
            (StatusCode::CREATED, format!(r#"{{"token":"{TOKEN}","expires_at":"2099-01-01T00:00:00Z"}}"#))
                .into_response()
        }
        "/app/installations/13/access_tokens" => dated(
            StatusCode::UNAUTHORIZED,
            r#"{"message":"'Expiration time' claim ('exp') is too far in the future"}"#,
            -3,
        ),
        "/app/installations/14/access_tokens" => (StatusCode::NOT_FOUND, r#"{"message":"Not Found"}"#).into_response(),
        "/installation/repositories" if sent == format!("Bearer {TOKEN}") => {
            (StatusCode::OK, r#"{"total_count":1,"repositories":[]}"#).into_response()
        }
        "/expired/device" => (StatusCode::OK, device(r#","expires_in":1"#)).into_response(),
        "/denied/device" => (StatusCode::OK, device(r#","expires_in":60"#)).into_response(),
        "/page/device" => (StatusCode::OK, device(r#","expires_in":1"#)).into_response(),
        "/web/device" => (StatusCode::OK, PAGE).into_response(),
        "/expired/token" => (StatusCode::BAD_REQUEST, r#"{"error":"expired_token"}"#).into_response(),
        "/denied/token" => (StatusCode::BAD_REQUEST, r#"{"error":"access_denied"}"#).into_response(),
        "/page/token" => (StatusCode::FORBIDDEN, PAGE).into_response(),
        "/robots/token" => {
            dated(StatusCode::BAD_REQUEST, r#"{"error":"invalid_grant","error_description":"Invalid JWT"}"#, 50)
        }
        _ => (StatusCode::NOT_FOUND, r#"{"message":"Not Found"}"#).into_response(),
    }
}

fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let app = axum::Router::new().fallback(answer);
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), app).await.unwrap();
        });
    });
    url
}

/// Files that a user has: providers, keys.
struct Files(tempfile::TempDir);

impl Files {
    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.path().join(name), text).unwrap();
        self.path(name)
    }

    fn provider(&self, url: &str, which: &str) {
        let text = format!(
            "name: acme\nbase_url: {url}\nauth:\n  - kind: oauth2\n    authorize_url: {url}/agree\n    token_url: {url}/{which}/token\n    \
             device_url: {url}/{which}/device\n    desktop: pkce_public\n  - kind: service_account\nverification: {{path: /me}}\n"
        );
        self.write(&format!("{which}.yaml"), &text);
    }

    /// A private key that OpenSSL made; `None`, and said so, where there is none.
    fn private_key(&self) -> Option<String> {
        let made = Command::new("openssl")
            .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "app.pem"])
            .current_dir(self.0.path())
            .output();
        if made.is_err() {
            println!("skipped in part: there is no openssl on this machine");
        }
        made.is_ok().then(|| self.path("app.pem"))
    }

    fn service_account(&self, name: &str, key: &str, token_uri: &str) -> String {
        let text = serde_json::json!({
            "type": "service_account", "client_email": "robot@project.example",
            "private_key": std::fs::read_to_string(key).unwrap(), "token_uri": token_uri,
        });
        self.write(name, &text.to_string())
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().count() == 0
}

#[test]
fn one_line_says_what_to_do_and_nothing_is_left_behind() {
    let (folder, files) = (tempfile::tempdir().unwrap(), Files(tempfile::tempdir().unwrap()));
    let url = serve();
    ["expired", "denied", "page", "web", "robots"].iter().for_each(|which| files.provider(&url, which));
    let broken = files.write("broken.yaml", "name: acme\nbase_ulr: https://a.example\n");
    let not_a_key = files.write("not-a-key.pem", "never-printed");
    let by_code = |which: &str| format!("connect acme --provider-file {} --client-id x --device", files.path(which));
    let app = |further: &str| format!("connect github --base-url {url} --app-id 5 {further}");
    let mut table: Vec<(String, &[&str])> = vec![
        ("connect githab --token-env A_TOKEN".to_owned(), &["no such provider", "highwater providers"]),
        ("connect github".to_owned(), &["--client-id", "--token-env", "https://github.com/settings"]),
        ("connect github --token-env NOT_SET_AT_ALL".to_owned(), &["export NOT_SET_AT_ALL"]),
        ("connect github --token-stdin".to_owned(), &["no token on standard input"]),
        ("connect github --token-env A_TORN_TOKEN".to_owned(), &["a line break", "copy it again"]),
        ("connect github --token-env A_MARKED_TOKEN".to_owned(), &["an invisible character", "copy it again"]),
        ("connect github --client-id x --client-secret-stdin".to_owned(), &["no client secret on standard input"]),
        (by_code("expired.yaml"), &["the code expired", "begin the sign-in again"]),
        (by_code("denied.yaml"), &["refused", "sign in again"]),
        (by_code("page.yaml"), &["the code expired", "the token endpoint's answer is not a token"]),
        (by_code("web.yaml"), &["check its device authorization endpoint"]),
        (by_code("none.yaml"), &["check the path"]),
        (format!("connect acme --provider-file {broken} --token-env A_TOKEN"), &["line 2", "base_url"]),
        (format!("{} --manifest none.yaml", by_code("web.yaml")), &["the manifest cannot be read", "none.yaml"]),
        ("connect github --token-env A_TOKEN --vault-key c2VjcmV0".to_owned(), &["file:PATH, env:NAME or keychain"]),
        ("connect github --token-env A_TOKEN --vault-key env:NOT_SET_AT_ALL".to_owned(), &["openssl rand"]),
        (app("--installation 12 --private-key-file none.pem"), &["check the path", "none.pem"]),
        (app(&format!("--installation 12 --private-key-file {not_a_key}")), &["give the file as it was downloaded"]),
        (format!("connect stripe --installation 12 --private-key-file {not_a_key}"), &["has no GitHub Apps"]),
        (format!("connect github --service-account-file {not_a_key}"), &["has no service accounts"]),
        (format!("connect gmail --service-account-file {not_a_key}"), &["the JSON file that was downloaded"]),
        ("integrations create work githab".to_owned(), &["no such provider", "highwater providers"]),
        ("integrations create a/b github".to_owned(), &["a/b"]),
        ("integrations create work github --config ownr=x".to_owned(), &["ownr", "owner"]),
        ("integrations create work github --client-secret-env NOT_SET_AT_ALL".to_owned(), &["export NOT_SET_AT_ALL"]),
        ("integrations create work github --client-secret-stdin --vault-key file:".to_owned(), &["standard input"]),
        ("integrations".to_owned(), &["the store does not exist", "highwater connect"]),
        ("connections delete nobody".to_owned(), &["the store does not exist"]),
    ];
    if let Some(key) = files.private_key() {
        table.push((
            app(&format!("--installation 13 --private-key-file {key}")),
            &["does not accept the App's signature", "this machine's clock is ", " ahead of the API's: correct it"],
        ));
        table.push((app(&format!("--installation 14 --private-key-file {key}")), &["no such installation"]));
        table.push((
            app(&format!("--installation twelve --private-key-file {key}")),
            &["installation's id is a number"],
        ));
        table.push((format!("connect github --installation 12 --private-key-file {key}"), &["add --app-id ID"]));
        let here = files.service_account("here.json", &key, &format!("{url}/robots/token"));
        let robots = files.path("robots.yaml");
        table.push((
            format!("connect acme --provider-file {robots} --service-account-file {here}"),
            &["refused the key's signature", "this machine's clock is 2 days behind the API's: correct it"],
        ));
        let elsewhere = files.service_account("elsewhere.json", &key, "https://evil.example/token");
        table.push((
            format!("connect acme --provider-file {robots} --service-account-file {elsewhere}"),
            &["evil.example"],
        ));
    }
    for (command, words) in table {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.extend(["--db", "app.db"]);
        let output = highwater(folder.path(), &arguments)
            .env("A_TOKEN", "a-token-4711")
            .env("A_TORN_TOKEN", "a-token-\r\n4711")
            .env("A_MARKED_TOKEN", "\u{feff}a-token-4711\u{200b}")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let line = one_line(output, 1);
        assert!(words.iter().all(|word| line.contains(word)), "{command}\n{line}");
        for secret in ["a-token-4711", "never-printed", "c2VjcmV0", "PRIVATE KEY"] {
            assert!(!line.contains(secret), "{command}\n{line}");
        }
        assert!(is_empty(folder.path()), "{command} left something behind");
    }
}

#[test]
fn an_installation_of_a_github_app_signs_in_with_a_key_file() {
    let (folder, files) = (tempfile::tempdir().unwrap(), Files(tempfile::tempdir().unwrap()));
    let url = serve();
    let Some(key) = files.private_key() else { return };
    let create =
        ["integrations", "create", "work", "github", "--client-id", "Iv1.5", "--base-url", &url, "--db", "app.db"];
    support::text(folder.path(), &create);
    let connect =
        ["connect", "--integration", "work", "--installation", "12", "--private-key-file", &key, "--db", "app.db"];
    let told = support::text(folder.path(), &connect);
    assert!(told.contains("signed in") && told.contains("Next: highwater integrations enable work"), "{told}");
    let request = ["proxy", "github", "GET", "/installation/repositories", "--connection", "github", "--db", "app.db"];
    assert!(support::text(folder.path(), &request).contains("total_count"));
    let text = std::fs::read_to_string(&key).unwrap();
    let line = text.lines().nth(2).unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        let bytes = std::fs::read(entry.path()).unwrap();
        for secret in [line, TOKEN] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{}", entry.path().display());
        }
    }
}

#[test]
fn an_integration_whose_secret_cannot_be_kept_is_not_created() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    // The store has a vault whose key is gone.
    let create = |key: &str| {
        let arguments = ["integrations", "create", key, "github", "--client-secret-stdin", "--db", "app.db"];
        let mut child = highwater(here, &arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"sesame\n").unwrap();
        child.wait_with_output().unwrap()
    };
    let output = create("first");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::remove_file(here.join("app.db.key")).unwrap();
    let line = one_line(create("second"), 1);
    assert!(line.contains("the key of the stored credentials is not here") && line.contains("app.db.key"), "{line}");
    assert_eq!(support::text(here, &["integrations", "--db", "app.db"]).trim(), "first: github");
}
