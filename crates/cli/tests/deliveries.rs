//! Deliveries of a running `highwater serve`, verified by the published packages of Standard Webhooks.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]
#![cfg(unix)]

#[path = "../../server/tests/api/python.rs"]
mod python;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};
use support::npm;
use support::served::Served;

const NODE: &str = r#"
import { Webhook } from 'standardwebhooks';
import { readFileSync } from 'node:fs';
const headers = JSON.parse(readFileSync('headers.json', 'utf8'));
const body = readFileSync('body', 'utf8');
const accepts = (secret, text) => { try { new Webhook(secret).verify(text, headers); return true; } catch { return false; } };
const [right, wrong] = process.argv.slice(2);
console.log(JSON.stringify([accepts(right, body), accepts(right, `${body} `), accepts(wrong, body)]));
"#;

const PYTHON: &str = r#"
import json, sys
from standardwebhooks.webhooks import Webhook
headers, body = json.load(open('headers.json')), open('body', 'rb').read().decode()
def accepts(secret, text):
    try:
        Webhook(secret).verify(text, headers)
        return True
    except Exception:
        return False
right, wrong = sys.argv[1:]
print(json.dumps([accepts(right, body), accepts(right, body + ' '), accepts(wrong, body)]))
"#;

/// Accepts one request, answers with 204, and writes it into a folder; gives its body.
fn receive(listener: &TcpListener, folder: &Path) -> Value {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream);
    let (mut headers, mut line) = (Map::new(), String::new());
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("POST /hook "), "{line}");
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.into());
    }
    let mut body = vec![0; headers["content-length"].as_str().unwrap().parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    std::fs::write(folder.join("headers.json"), Value::from(headers).to_string()).unwrap();
    std::fs::write(folder.join("body"), &body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn the_published_verifiers_accept_what_a_running_server_delivers() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let served = Served::start(here, &["--demo", "--allow-private-addresses"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let made = served.call("POST", "/webhooks", &json!({ "id": "own", "url": url }).to_string());
    assert_eq!(made.status, 201, "{}", made.body);
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    let told = receive(&listener, here);
    assert_eq!(
        (&told["from"], &told["type"], &told["connectionId"]),
        (&json!("highwater"), &json!("sync"), &json!("demo"))
    );
    let wrong = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let mut verified = Vec::new();
    if npm::install(here, "standardwebhooks@1.1.1") {
        std::fs::write(here.join("verify.mjs"), NODE).unwrap();
        verified.push(npm::node(here, &["verify.mjs", &secret, wrong]));
    }
    if let Some(programs) = python::with("standardwebhooks==1.1.0") {
        let mut python = Command::new(programs.join("python"));
        let output = python.current_dir(here).args(["-c", PYTHON, &secret, wrong]).output().unwrap();
        verified.push(String::from_utf8(output.stdout).unwrap());
    }
    for checks in verified {
        let checks: Value = serde_json::from_str(&checks).unwrap_or_else(|error| panic!("{error}: {checks}"));
        assert_eq!(checks, json!([true, false, false]));
    }
}
