//! The command's whole story with a provider that this project did not write: npm's `oidc-provider`, described by a YAML file, its
//! API by a manifest. `cargo xtask acceptance sign-in` runs it; skipped, and said so, where npm cannot be had.
#![cfg(unix)] // signals
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "../../../tests/sign_in/provider.rs"]
mod provider;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use highwater::engine::CredentialStore;
use highwater::vault::{KeyFile, Vault};
use highwater::{SqliteStore, Store};
use provider::{Provider, rounds};
use serde_json::{Value, json};
use support::served::Served;
use support::{failure, highwater, one_line, text};

const SECRET: &str = "registered-secret";

/// A folder of a user of the command, with the files that describe the API.
struct Desk {
    store: tempfile::TempDir,
    files: tempfile::TempDir,
}

impl Desk {
    fn new(provider: &Provider) -> Self {
        let desk = Desk { store: tempfile::tempdir().unwrap(), files: tempfile::tempdir().unwrap() };
        let url = &provider.issuer;
        let about = format!(
            "name: acme\nbase_url: {url}/api\norigins: ['{url}']\nauth:\n  - kind: oauth2\n    authorize_url: {url}/auth\n    \
             token_url: {url}/token\n    device_url: {url}/device/auth\n    revocation_url: {url}/token/revocation\n    \
             scopes: [openid, offline_access]\n    desktop: pkce_public\n    authorize_parameters: {{prompt: consent}}\n  \
             - kind: bearer\nverification: {{path: /items, names: [/0/account]}}\n"
        );
        std::fs::write(desk.files.path().join("acme.yaml"), about).unwrap();
        let stream = |name: &str, further: &str| {
            format!(
                "  - name: {name}\n    primary_key: id\n    retriever:\n      requester:\n        url_base: {url}/api\n        path: /items\n        \
                 {further}      record_selector: {{extractor: {{field_path: []}}}}\n"
            )
        };
        let slow = "request_parameters: {wait: '1200'}\n      partition_router:\n        type: ListPartitionRouter\n        \
                    values: ['1', '2', '3', '4']\n        cursor_field: id\n        \
                    request_option: {type: RequestOption, inject_into: request_parameter, field_name: id}\n";
        let manifest = format!("streams:\n{}{}", stream("item", "http_method: GET\n"), stream("slow", slow));
        std::fs::write(desk.files.path().join("manifest.yaml"), manifest).unwrap();
        desk
    }

    fn here(&self) -> &Path {
        self.store.path()
    }

    /// A command with the store and the files.
    fn arguments(&self, command: &[&str]) -> Vec<String> {
        let path = |name: &str| self.files.path().join(name).display().to_string();
        let files = ["--provider-file", &path("acme.yaml"), "--manifest", &path("manifest.yaml"), "--db", "app.db"];
        command.iter().chain(&files).map(|&argument| argument.to_owned()).collect()
    }

    fn text(&self, command: &[&str]) -> String {
        let arguments = self.arguments(command);
        text(self.here(), &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn spawn(&self, command: &[&str]) -> Child {
        let arguments = self.arguments(command);
        highwater(self.here(), &arguments.iter().map(String::as_str).collect::<Vec<_>>())
            .env("THE_SECRET", SECRET)
            .env("PATH", "/nonexistent") // no browser
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Signs in; `user` opens what the command printed. Returns its last line.
    fn sign_in(&self, command: &[&str], user: impl FnOnce(&Value)) -> Value {
        let mut child = self.spawn(&[command, &["--json"]].concat());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let begun: Value = serde_json::from_str(&lines.next().unwrap_or_default()).unwrap_or_default();
        if begun["type"] == "sign_in" {
            user(&begun);
        }
        let last = lines.last().unwrap_or_default();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&last).unwrap()
    }

    /// What the vault has of a connection: its tokens, in the form for a keychain.
    fn tokens(&self, connection: &str) -> Option<Value> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store: Arc<dyn Store> = Arc::new(SqliteStore::open(self.here().join("app.db")).unwrap());
            let key = KeyFile::new(self.here().join("app.db.key"));
            let vault = Vault::open(Arc::clone(&store), Arc::new(key)).await.unwrap();
            let found = vault.load(connection).await.unwrap();
            store.close().await.unwrap();
            found.map(|credentials| {
                serde_json::from_str::<Value>(credentials.to_secret().unwrap().expose()).unwrap()["oauth2"].take()
            })
        })
    }

    fn assert_no_file_has(&self, secret: &str) {
        for entry in std::fs::read_dir(self.here()).unwrap().map(Result::unwrap) {
            let bytes = std::fs::read(entry.path()).unwrap();
            let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "{} has a secret", entry.path().display());
        }
    }
}

#[test]
fn an_integration_syncs_through_expiring_tokens_until_its_connection_is_deleted() {
    let Some(provider) = Provider::start(3) else { return };
    let desk = Desk::new(&provider);
    let create = ["integrations", "create", "work", "acme", "--client-id", "registered", "--scope", "read"];
    let created =
        desk.spawn(&[&create[..], &["--client-secret-env", "THE_SECRET"]].concat()).wait_with_output().unwrap();
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    desk.text(&["integrations", "enable", "work", "slow", "--every", "5m"]);
    let told = desk.sign_in(&["connect", "--integration", "work", "--connection", "anna"], |begun| {
        provider.agree_later(begun["url"].as_str().unwrap());
    });
    assert_eq!((&told["done"], &told["account"]), (&"connected".into(), &"anna".into()));
    let first = desk.tokens("anna").unwrap();

    // Four requests of more than a second, with tokens of three.
    desk.text(&["sync", "acme", "slow", "--connection", "anna"]);
    assert!(provider.refreshes() >= 1 && provider.errors().is_empty(), "{:?}", provider.errors());
    let records = desk.text(&["records", "slow", "--json"]);
    assert_eq!(records.lines().filter(|line| line.contains(r#""account":"anna""#)).count(), 4, "{records}");
    let shown = desk.text(&["connections", "show", "anna"]);
    assert!(shown.contains("of integration work") && shown.contains("acme/slow"), "{shown}");

    let last = desk.tokens("anna").unwrap();
    let secrets: Vec<String> = [&first, &last]
        .into_iter()
        .flat_map(|tokens| [&tokens["access_token"], &tokens["refresh_token"]])
        .map(|secret| secret.as_str().unwrap().to_owned())
        .chain([SECRET.to_owned()])
        .collect();
    assert_eq!(secrets.len(), 5);
    secrets.iter().for_each(|secret| desk.assert_no_file_has(secret));

    let deleted: Value = serde_json::from_str(desk.text(&["connections", "delete", "anna", "--json"]).trim()).unwrap();
    assert_eq!((&deleted["done"], &deleted["revoked"]), (&"disconnected".into(), &true.into()));
    assert!(desk.tokens("anna").is_none());
    assert_eq!(desk.text(&["connections"]), "");
    let (status, _) = provider.request("GET /api/items", &format!("Authorization: Bearer {}\r\n", secrets[2]), "");
    assert_eq!(status, 401, "the access token is over");
    let body =
        format!("grant_type=refresh_token&client_id=registered&client_secret={SECRET}&refresh_token={}", secrets[3]);
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let (status, answer) = provider.request("POST /token", form, &body);
    assert!(status == 400 && answer.contains("invalid_grant"), "{status} {answer}");
}

#[test]
fn a_user_signs_in_by_a_code_and_by_a_token() {
    let Some(provider) = Provider::start(3600) else { return };
    let desk = Desk::new(&provider);
    let told = desk.sign_in(&["connect", "acme", "--client-id", "desktop", "--device"], |begun| {
        let (url, code) = (begun["url"].as_str().unwrap(), begun["user_code"].as_str().unwrap());
        provider.agree_later(&format!("{url}?user_code={code}"));
    });
    assert_eq!((&told["connection"], &told["account"]), (&"acme".into(), &"anna".into()));
    let tokens = desk.tokens("acme").unwrap();
    let token = tokens["access_token"].as_str().unwrap();
    desk.text(&["enable", "acme", "acme/item"]);
    desk.text(&["sync", "acme", "item"]);
    assert!(desk.text(&["records", "item"]).contains("anna"));

    let by_token = ["connect", "acme", "--connection", "by-token", "--token-stdin"];
    for (given, outcome) in [(token, Ok("signed in as anna")), ("another", Err("Unauthorized"))] {
        let mut child = desk.spawn(&by_token);
        child.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        match outcome {
            Ok(words) => assert!(String::from_utf8_lossy(&output.stdout).contains(words)),
            Err(_) => assert!(!one_line(output, 1).contains(given)),
        }
    }
    desk.assert_no_file_has(token);
    let arguments = desk.arguments(&["connections", "show", "nobody"]);
    failure(desk.here(), &arguments.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn two_commands_that_refresh_at_once_keep_the_connection() {
    let Some(provider) = Provider::start(1) else { return };
    let desk = Desk::new(&provider);
    desk.sign_in(&["connect", "acme", "--client-id", "desktop"], |begun| {
        provider.agree_later(begun["url"].as_str().unwrap());
    });
    let before = provider.refreshes();
    for round in 0..rounds() {
        // Until the token has ended.
        std::thread::sleep(Duration::from_millis(1_100));
        let asked = [0, 1].map(|_| desk.spawn(&["proxy", "acme", "GET", "/items", "--connection", "acme"]));
        for mut child in asked {
            let mut answer = String::new();
            child.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
            let output = child.wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(answer.contains("anna"), "round {round}: {answer} {told}");
        }
    }
    let refreshes = provider.refreshes() - before;
    println!("{} rounds of two commands, {refreshes} refreshes, errors {:?}", rounds(), provider.errors());
    assert_eq!(provider.errors(), Vec::<String>::new());
    assert!((1..=2 * rounds()).contains(&refreshes));
}

/// A running server with an integration of the provider.
fn serve(desk: &Desk) -> Served {
    desk.text(&["integrations", "create", "work", "acme", "--client-id", "desktop"]);
    desk.text(&["integrations", "enable", "work", "item", "--every", "5m"]);
    let arguments = desk.arguments(&["serve", "--json", "--listen", "127.0.0.1:0"]);
    Served::run(highwater(desk.here(), &arguments.iter().map(String::as_str).collect::<Vec<_>>()))
}

fn link(served: &Served, path: &str, body: &Value) -> String {
    let answer = served.call("POST", path, &body.to_string());
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()["data"]["connect_link"].as_str().unwrap().to_owned()
}

/// The ids of the connections.
fn connected(served: &Served) -> Vec<String> {
    let found = served.call("GET", "/connections", "").json();
    let found = found["connections"].as_array().unwrap().iter();
    found.map(|connection| connection["connection_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_user_with_a_link_connects_at_a_running_server() {
    let Some(provider) = Provider::start(3) else { return };
    let desk = Desk::new(&provider);
    let served = serve(&desk);
    let any = || link(&served, "/connect/sessions", &json!({"end_user": {"id": "u-1"}}));

    for way in ["browser", "code"] {
        let told = provider.connect(&any(), way, "refuse");
        assert!(!told.contains("Connected") && told.contains("refused"), "{way}: {told}");
        assert_eq!(connected(&served), Vec::<String>::new(), "{way}");
    }
    let used = any();
    let told = provider.connect(&used, "browser", "agree");
    assert!(told.starts_with("200 Connected"), "{told}");
    let ids = connected(&served);
    assert_eq!(ids.len(), 1);
    // Its sync runs by itself.
    while !desk.text(&["records", "item"]).contains("anna") {
        std::thread::sleep(Duration::from_millis(100));
    }
    // Its first access token ends after three seconds.
    std::thread::sleep(Duration::from_millis(3_100));
    assert!(desk.text(&["proxy", "acme", "GET", "/items", "--connection", &ids[0]]).contains("anna"));
    assert!(provider.refreshes() >= 1);
    let tokens = desk.tokens(&ids[0]).unwrap();
    for kind in ["access_token", "refresh_token"] {
        desk.assert_no_file_has(tokens[kind].as_str().unwrap());
    }

    let told = provider.connect(&any(), "code", "agree");
    assert!(told.starts_with("200 Connected"), "{told}");
    assert_eq!(connected(&served).len(), 2);

    let again = json!({"connection_id": ids[0], "integration_id": "work"});
    let told = provider.connect(&link(&served, "/connect/sessions/reconnect", &again), "browser", "agree");
    assert!(told.starts_with("200 Connected"), "{told}");
    assert_eq!(connected(&served).len(), 2);
    assert_ne!(desk.tokens(&ids[0]).unwrap()["refresh_token"], tokens["refresh_token"]);
    assert_eq!(provider.errors().iter().filter(|error| !error.contains("access_denied")).count(), 0);
}

#[test]
fn a_code_that_nobody_enters_connects_nobody() {
    let Some(provider) = Provider::start_with(3600, 2) else { return };
    let desk = Desk::new(&provider);
    let served = serve(&desk);
    let told = provider.connect(&link(&served, "/connect/sessions", &json!({})), "code", "never");
    assert!(told.contains("expired") && !told.contains("Connected"), "{told}");
    assert_eq!(connected(&served), Vec::<String>::new());
}
