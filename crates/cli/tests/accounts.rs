//! Signing in by the command, and everything that uses what it stored.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Output, Stdio};

use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use support::{failure, highwater, one_line, run, text};

const TOKEN: &str = "ghp-4711-never-in-a-file";

/// An API that takes one token, with a token endpoint that gives it.
async fn answer(uri: Uri, headers: HeaderMap, body: String) -> (StatusCode, String) {
    if uri.path() == "/token" {
        let good = body.contains("code=the-code") && body.contains("code_verifier=");
        return match (good, body.contains("code=page")) {
            (true, _) => {
                let here = base(&headers);
                let tokens =
                    format!(r#"{{"access_token":"{TOKEN}","refresh_token":"ref-4711-never","instance_url":"{here}"}}"#);
                (StatusCode::OK, tokens)
            }
            (_, true) => (StatusCode::OK, "<html>Please log in to the proxy</html>".to_owned()),
            _ => (StatusCode::BAD_REQUEST, r#"{"error":"invalid_grant"}"#.to_owned()),
        };
    }
    if uri.path() == "/device" {
        let code = r#"{"device_code":"d","user_code":"AB-CD","verification_uri":"https://a.example/d","interval":1,"expires_in":1}"#;
        return (StatusCode::OK, code.to_owned());
    }
    if uri.path() == "/sites" && authorized(&headers) {
        let sites =
            format!(r#"[{{"url":"{0}/usual/other","id":"1"}},{{"url":"{0}/usual/acme","id":"7"}}]"#, base(&headers));
        return (StatusCode::OK, sites);
    }
    if uri.path() == "/page" {
        return (StatusCode::OK, "<html>Please log in to the proxy</html>".to_owned());
    }
    if !authorized(&headers) {
        return (StatusCode::UNAUTHORIZED, r#"{"message":"Bad credentials"}"#.to_owned());
    }
    let time = "2026-01-01T00:00:00Z";
    match uri.path() {
        "/user" | "/at/7/user" => (StatusCode::OK, r#"{"login":"octocat","id":1}"#.to_owned()),
        "/repos/o/r/issues" => (
            StatusCode::OK,
            format!(
                r#"[{{"id":1,"number":1,"title":"x","state":"open","created_at":"{time}","updated_at":"{time}"}}]"#
            ),
        ),
        _ => (StatusCode::NOT_FOUND, r#"{"message":"Not Found"}"#.to_owned()),
    }
}

fn authorized(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|sent| sent.to_str().unwrap() == format!("Bearer {TOKEN}"))
}

fn base(headers: &HeaderMap) -> String {
    format!("http://{}", headers["host"].to_str().unwrap())
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

fn with_token(folder: &Path, arguments: &[&str], token: &str) -> Output {
    highwater(folder, arguments).env("THE_TOKEN", token).output().unwrap()
}

fn files_below(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            bytes.extend(std::fs::read(entry.path()).unwrap());
        }
    }
    bytes
}

#[test]
fn a_token_is_given_once_and_used_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let url = serve();
    let connect = ["connect", "github", "--config", "owner=o,repo=r", "--base-url", &url, "--token-env", "THE_TOKEN"];
    let connect: Vec<&str> = connect.into_iter().chain(["--db", "app.db"]).collect();
    let output = with_token(here, &connect, TOKEN);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.starts_with("github-o-r: signed in") && told.contains("highwater enable github-o-r github/"),
        "{told}"
    );

    text(here, &["sync", "github", "issues", "--db", "app.db"]);
    text(here, &["sync", "github", "issues", "--db", "app.db", "--connection", "github-o-r"]);
    assert_eq!(support::record_count(here), 1);
    text(here, &["enable", "github-o-r", "github/issues", "--db", "app.db"]);
    let user = text(here, &["proxy", "github", "GET", "/user", "--connection", "github-o-r", "--db", "app.db"]);
    assert!(user.contains("octocat"));

    let listed = text(here, &["connections", "--db", "app.db", "--json"]);
    let listed: Value = serde_json::from_str(listed.trim()).unwrap();
    assert_eq!((&listed["type"], &listed["id"]), (&"connection".into(), &"github-o-r".into()));
    text(here, &["connections", "metadata", "github-o-r", r#"{"team":"a"}"#, "--db", "app.db"]);
    let shown = text(here, &["connections", "metadata", "github-o-r", r#"{"size":2}"#, "--merge", "--db", "app.db"]);
    assert_eq!(shown.trim(), r#"{"size":2,"team":"a"}"#);
    assert!(text(here, &["connections", "show", "github-o-r", "--db", "app.db"]).contains("github/issues"));

    let doctor = text(here, &["doctor", "--db", "app.db"]);
    assert!(doctor.contains("credentials: 1, all well"), "{doctor}");
    let bytes = files_below(here);
    assert!(!bytes.windows(10).any(|part| part == &TOKEN.as_bytes()[..10]), "a token is only stored encrypted");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(here.join("app.db.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    let removed = text(here, &["connections", "delete", "github-o-r", "--db", "app.db", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(removed.trim()).unwrap()["done"], "disconnected");
    assert_eq!(text(here, &["connections", "--db", "app.db"]), "");
}

#[test]
fn credentials_that_could_not_be_removed_are_shown_until_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let url = serve();
    let connect = ["connect", "github", "--config", "owner=o,repo=r", "--base-url", &url, "--token-env", "THE_TOKEN"];
    let connect: Vec<&str> = connect.into_iter().chain(["--db", "app.db"]).collect();
    assert!(with_token(here, &connect, TOKEN).status.success());
    assert!(vault_has(here, "github-o-r"));
    assert!(!text(here, &["doctor", "--db", "app.db", "--json"]).contains("removal"));
    // As a process leaves it whose credential store failed.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = highwater::SqliteStore::open(here.join("app.db")).unwrap();
        let mut batch = highwater::WriteBatch::new();
        let error = serde_json::json!({"kind": "permission_denied", "message": "the keychain is locked"});
        let removal = serde_json::json!({"since_ms": 1, "tries": 2, "next_ms": 1, "pause_ms": 0, "error": error});
        batch.remove_document("connection/github-o-r").put_document("removal/github-o-r", &removal).unwrap();
        highwater::Store::commit(&store, batch).await.unwrap();
        highwater::Store::close(&store).await.unwrap();
    });
    let listed = text(here, &["connections", "--db", "app.db"]);
    assert_eq!(listed.trim(), "github-o-r is removed, its credentials are not yet: the keychain is locked");
    for command in [&["connections", "--json"][..], &["doctor", "--json"]] {
        let told = text(here, &[command, &["--db", "app.db"]].concat());
        let removal = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let removal = removal.into_iter().find(|line| line["type"] == "removal").unwrap();
        assert_eq!((&removal["connection"], &removal["tries"]), (&"github-o-r".into(), &2.into()));
        assert_eq!(removal["error"]["kind"], "permission_denied");
    }
    text(here, &["connections", "delete", "github-o-r", "--db", "app.db"]);
    assert_eq!(text(here, &["connections", "--db", "app.db"]), "");
    assert!(!vault_has(here, "github-o-r"));
    assert!(failure(here, &["connections", "delete", "github-o-r", "--db", "app.db"]).contains("no such connection"));
}

/// Whether the vault in the store has a row for a connection.
fn vault_has(folder: &Path, connection: &str) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = highwater::SqliteStore::open(folder.join("app.db")).unwrap();
        let all = highwater::Store::documents(&store, "", "", 1000).await.unwrap();
        let found = all.iter().any(|document| *document.key == *format!("vault/credentials/{connection}"));
        highwater::Store::close(&store).await.unwrap();
        found
    })
}

/// The file of a provider at this address.
fn provider_file(folder: &Path, name: &str, url: &str, verification: &str) {
    let text = format!(
        "name: acme\nbase_url: {url}\nauth:\n  - kind: oauth2\n    authorize_url: {url}/agree\n    token_url: {url}/token\n    \
         device_url: {url}/device\n    desktop: pkce_public\n  - kind: bearer\nverification:\n  path: {verification}\n  names: [/login]\n"
    );
    std::fs::write(folder.join(name), text).unwrap();
}

/// A sign-in in the browser, up to its address.
struct SigningIn {
    child: Child,
    url: String,
    stdout: BufReader<std::process::ChildStdout>,
}

fn begin(folder: &Path, account: &[&str]) -> SigningIn {
    let arguments = [account, &["--client-id", "Iv1.1", "--db", "app.db", "--json"]].concat();
    let mut child = highwater(folder, &arguments)
        .env("PATH", "/nonexistent")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(told["type"], "sign_in");
    SigningIn { child, url: told["url"].as_str().unwrap().to_owned(), stdout }
}

impl SigningIn {
    fn parameter(&self, name: &str) -> String {
        let query = self.url.split_once('?').unwrap().1;
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap();
        value.replace("%3A", ":").replace("%2F", "/")
    }

    /// What the browser does at the end.
    fn redirect(&self, query: &str) -> String {
        let uri = self.parameter("redirect_uri");
        let (address, path) = uri.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /{path}?{query} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        let output = self.child.wait_with_output().unwrap();
        (output.status.code(), format!("{rest}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

#[test]
fn a_refused_sign_in_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    // There is no browser either: the address is printed, and the sign-in goes on.
    let signing_in = begin(folder.path(), &["connect", "github"]);
    assert!(signing_in.redirect("code=x&state=another").starts_with("HTTP/1.1 400"));
    let answer = signing_in.redirect(&format!("error=access_denied&state={}", signing_in.parameter("state")));
    assert!(answer.contains("refused"), "{answer}");
    let (code, told) = signing_in.end();
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(r#""kind":"unauthorized""#) && told.contains("Open this address"), "{told}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no store and no key");
}

#[test]
fn what_cannot_sign_in_is_told_in_one_line_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let connect = |further: &[&str]| {
        let arguments = [&["connect", "--db", "app.db"][..], further].concat();
        let line = one_line(with_token(here, &arguments, "wrong"), 1);
        assert_eq!(std::fs::read_dir(here).unwrap().count(), 0, "{line}");
        line
    };
    let line = connect(&["githab", "--token-env", "THE_TOKEN"]);
    assert!(line.contains("no such provider") && line.contains("github"), "{line}");
    let line = connect(&["github"]);
    assert!(line.contains("--client-id") && line.contains("--token-env"), "{line}");
    let line = connect(&["stripe", "--device"]);
    assert!(line.contains("no sign-in by code") && line.contains("--token-env"), "{line}");
    let line = connect(&["github", "--client-id", "Iv1.1", "--port", &port]);
    assert!(line.contains(&port) && line.contains("another program"), "{line}");
    let line = connect(&["github", "--token-env", "NOT_SET_AT_ALL"]);
    assert!(line.contains("export NOT_SET_AT_ALL"), "{line}");
    let line = connect(&["github", "--token-env", "THE_TOKEN", "--vault-key", "env:NOT_SET_AT_ALL"]);
    assert!(line.contains("openssl rand"), "{line}");
}

#[test]
fn a_user_signs_in_by_the_browser_and_reconnects() {
    let (folder, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let here = folder.path();
    let url = serve();
    provider_file(files.path(), "acme.yaml", &url, "/user");
    let file = files.path().join("acme.yaml");
    let file = ["--provider-file", file.to_str().unwrap()];
    for account in [&["connect", "acme"][..], &["connections", "reconnect", "acme"]] {
        let signing_in = begin(here, &[account, &file].concat());
        let answer = signing_in.redirect(&format!("code=the-code&state={}", signing_in.parameter("state")));
        assert!(answer.contains("close this window"), "{answer}");
        let (code, told) = signing_in.end();
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains(r#""account":"octocat""#) && !told.contains(TOKEN), "{told}");
    }
    let get = ["proxy", "acme", "GET", "/user", "--connection", "acme", "--db", "app.db"];
    assert!(text(here, &[&get[..], &file].concat()).contains("octocat"));
    let bytes = files_below(here);
    for secret in [TOKEN, "ref-4711-never"] {
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret} is in a file");
    }
}

#[test]
fn a_sign_in_finds_out_where_it_is_valid() {
    let (folder, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let here = folder.path();
    let url = serve();
    let text_of_file = format!(
        "name: acme\nbase_url: '{url}/usual/{{site}}'\nconfig:\n  site: {{help: the site}}\nauth:\n  - kind: oauth2\n    \
         authorize_url: {url}/agree\n    token_url: {url}/token\n    desktop: pkce_public\n    base_url_lookup:\n      url: {url}/sites\n      \
         site: /url\n      id: /id\n      base_url: '{url}/at/{{id}}'\nverification:\n  path: /user\n  names: [/login]\n"
    );
    let file = files.path().join("acme.yaml");
    std::fs::write(&file, text_of_file).unwrap();
    let file = ["--provider-file", file.to_str().unwrap()];
    let sign_in = |account: &[&str]| {
        let signing_in = begin(here, &[account, &file].concat());
        signing_in.redirect(&format!("code=the-code&state={}", signing_in.parameter("state")));
        signing_in.end()
    };
    let (code, told) = sign_in(&["connect", "acme", "--connection", "work", "--config", "site=third"]);
    assert!(code == Some(1) && told.contains("usual/other, ") && told.contains("usual/acme"), "{told}");
    assert_eq!(std::fs::read_dir(here).unwrap().count(), 0, "no store and no key");
    for account in [
        &["connect", "acme", "--connection", "work", "--config", "site=acme"][..],
        &["connections", "reconnect", "work"],
    ] {
        let (code, told) = sign_in(account);
        assert!(code == Some(0) && told.contains(r#""account":"octocat""#), "{told}");
        let get = ["proxy", "acme", "GET", "/user", "--connection", "work", "--db", "app.db"];
        assert!(text(here, &[&get[..], &file].concat()).contains("octocat"));
    }
}

#[test]
fn a_sign_in_is_valid_where_its_tokens_say() {
    let (folder, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let here = folder.path();
    let url = serve();
    let text_of_file = format!(
        "name: acme\nbase_url: '{url}/login'\nauth:\n  - kind: oauth2\n    authorize_url: {url}/agree\n    token_url: {url}/token\n    \
         desktop: pkce_public\n    token_base_url: {{member: instance_url, path: /at/7}}\nverification:\n  path: /user\n  names: [/login]\n"
    );
    let file = files.path().join("acme.yaml");
    std::fs::write(&file, text_of_file).unwrap();
    let file = ["--provider-file", file.to_str().unwrap()];
    let signing_in = begin(here, &[&["connect", "acme", "--connection", "work"], &file[..]].concat());
    signing_in.redirect(&format!("code=the-code&state={}", signing_in.parameter("state")));
    let (code, told) = signing_in.end();
    assert!(code == Some(0) && told.contains(r#""account":"octocat""#), "{told}");
    let get = ["proxy", "acme", "GET", "/user", "--connection", "work", "--db", "app.db"];
    assert!(text(here, &[&get[..], &file].concat()).contains("octocat"));
}

#[test]
fn a_sign_in_reaches_no_private_address_that_a_setting_names() {
    let (folder, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let here = folder.path();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let file = files.path().join("acme.yaml");
    let url = format!("https://{{host}}:{port}");
    let text = format!(
        "name: acme\nbase_url: 'https://acme.example/{{host}}'\nconfig:\n  host: {{help: the host}}\nauth:\n  - kind: oauth2\n    \
         token_url: '{url}/token'\n    device_url: '{url}/device'\n    desktop: device\n"
    );
    std::fs::write(&file, text).unwrap();
    let device = ["connect", "acme", "--config", "host=127.0.0.1", "--device", "--client-id", "a", "--db", "app.db"];
    let arguments = [&device[..], &["--provider-file", file.to_str().unwrap()]].concat();
    let line = one_line(run(here, &arguments), 1);
    assert!(line.contains("globally routable"), "{line}");
    assert!(listener.accept().is_err(), "the request was sent");
    assert_eq!(std::fs::read_dir(here).unwrap().count(), 0, "no store and no key");
}

#[test]
fn what_goes_wrong_at_the_provider_leaves_nothing_behind() {
    let (folder, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let here = folder.path();
    let url = serve();
    provider_file(files.path(), "acme.yaml", &url, "/user");
    provider_file(files.path(), "page.yaml", &url, "/page");
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let file = |name: &str| vec!["connect".to_owned(), "acme".to_owned(), "--provider-file".to_owned(), path(name)];
    // A code that the provider does not take, and a proxy between that answers with its own page.
    for (code, words) in [("another", "invalid_grant"), ("page", "remote")] {
        let arguments = file("acme.yaml");
        let signing_in = begin(here, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        signing_in.redirect(&format!("code={code}&state={}", signing_in.parameter("state")));
        let (code, told) = signing_in.end();
        assert!(code == Some(1) && told.contains(words), "{told}");
    }
    for (name, further, token, words) in [
        ("acme.yaml", "--token-env THE_TOKEN", "wrong", "Bad credentials"),
        ("page.yaml", "--token-env THE_TOKEN", TOKEN, "a web page answered in place of the API"),
        ("acme.yaml", "--device --client-id x", "", "expired"),
    ] {
        let mut arguments = file(name);
        arguments.extend(further.split(' ').chain(["--db", "app.db"]).map(str::to_owned));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let line = one_line(with_token(here, &arguments, token), 1);
        assert!(line.contains(words), "{line}");
    }
    assert_eq!(std::fs::read_dir(here).unwrap().count(), 0, "no store and no key");
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused_before_anybody_signs_in() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let key = here.join("app.db.key");
    std::fs::write(&key, "0".repeat(64)).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = with_token(here, &["connect", "github", "--token-env", "THE_TOKEN", "--db", "app.db"], TOKEN);
    let line = one_line(output, 1);
    assert!(line.contains("chmod 600"), "{line}");
    assert!(!here.join("app.db").exists());
}

#[test]
fn usage_that_contradicts_itself_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["connect"][..],
        &["connect", "github", "--device", "--token-stdin"],
        &["connect", "github", "--integration", "work"],
        &["connect", "github", "--manifest", "manifest.yaml"],
    ] {
        assert_eq!(run(folder.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn an_integration_syncs_for_its_connections() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let url = serve();
    let create =
        ["integrations", "create", "work", "github", "--display-name", "GitHub (work)", "--client-id", "Iv1.1"];
    let create: Vec<&str> = create.into_iter().chain(["--base-url", &url, "--db", "app.db"]).collect();
    assert!(text(here, &create).contains("Next: highwater integrations enable work"));
    let enabled = text(here, &["integrations", "enable", "work", "issues", "--every", "5m", "--db", "app.db"]);
    assert!(enabled.contains("Next: highwater connect --integration work --db app.db"), "{enabled}");
    let update =
        ["integrations", "update", "work", "--display-name", "", "--scope", "repo", "--db", "app.db", "--json"];
    let updated: Value = serde_json::from_str(text(here, &update).trim()).unwrap();
    assert_eq!((&updated["display_name"], &updated["scopes"][0]), (&Value::Null, &"repo".into()));
    let line = failure(here, &["integrations", "enable", "work", "isues", "--db", "app.db"]);
    assert!(line.contains("github issues") && !line.contains("stripe"), "{line}");
    let connect = ["connect", "--integration", "work", "--config", "owner=o,repo=r", "--token-stdin", "--db", "app.db"];
    let mut child = highwater(here, &connect).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(TOKEN.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let shown = text(here, &["integrations", "show", "work", "--db", "app.db"]);
    assert!(shown.contains("enabled for 1 connection") && shown.contains("github-o-r"), "{shown}");
    let status = text(here, &["status", "--db", "app.db", "--json"]);
    assert!(status.contains(r#""every_ms":300000"#), "{status}");
    text(here, &["sync", "github", "issues", "--db", "app.db"]);
    text(here, &["integrations", "disable", "work", "issues", "--db", "app.db"]);
    assert!(failure(here, &["integrations", "delete", "work", "--db", "app.db"]).contains("connections"));
    text(here, &["integrations", "delete", "work", "--disconnect", "--db", "app.db"]);
    assert_eq!(text(here, &["integrations", "--db", "app.db"]), "");
    assert_eq!(text(here, &["connections", "--db", "app.db"]), "");
}
