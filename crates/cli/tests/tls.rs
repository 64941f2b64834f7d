//! `highwater serve` with a certificate of its own: curl and OpenSSL are the clients.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]
#![cfg(unix)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::failure;
use support::served::Served;

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    Command::new(program).current_dir(folder).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Makes `NAME.pem` and `NAME.key`, for this machine; false, with a line that says so, where there is no OpenSSL or curl.
fn make_certificate(folder: &Path, name: &str) -> bool {
    for program in ["openssl", "curl"] {
        if Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            println!("skipped: there is no {program}");
            return false;
        }
    }
    let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
    let fixed = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1";
    let arguments: Vec<&str> = fixed.split(' ').chain(["-keyout", &key, "-out", &certificate]).collect();
    let made = run(folder, "openssl", &arguments);
    assert!(made.status.success(), "{made:?}");
    std::fs::set_permissions(folder.join(&key), std::fs::Permissions::from_mode(0o600)).unwrap();
    true
}

fn start(folder: &Path) -> Served {
    let served = Served::start(folder, &["--demo", "--tls-cert", "own.pem", "--tls-key", "own.key"]);
    assert!(served.url.starts_with("https://127.0.0.1:"), "{}", served.line);
    assert!(served.line["dashboard"].as_str().unwrap().starts_with("https://"), "{}", served.line);
    served
}

#[test]
fn a_client_that_trusts_the_certificate_reads_records() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    if !make_certificate(here, "own") {
        return;
    }
    let served = start(here);
    let (url, key) =
        (format!("{}/records?model=Deal&limit=2", served.url), format!("Authorization: Bearer {}", served.key));
    let headers = ["-H", &key, "-H", "Connection-Id: demo", "-H", "Provider-Config-Key: demo-crm"];
    let curl = |further: &[&str]| run(here, "curl", &[&["-sS", &url], &headers[..], further].concat());
    let trusting = curl(&["--cacert", "own.pem"]);
    let page: Value = serde_json::from_slice(&trusting.stdout).unwrap_or_else(|error| panic!("{error}: {trusting:?}"));
    assert_eq!(page["records"].as_array().unwrap().len(), 2);
    assert!(!curl(&[]).status.success(), "a client that does not know the certificate refuses it");

    // What its links begin with.
    let sessions = format!("{}/connect/sessions", served.url);
    let made = run(
        here,
        "curl",
        &["-sS", &sessions, "--cacert", "own.pem", "-H", &key, "-H", "Content-Type: application/json", "-d", "{}"],
    );
    let made: Value = serde_json::from_slice(&made.stdout).unwrap_or_else(|error| panic!("{error}: {made:?}"));
    assert!(made["data"]["connect_link"].as_str().unwrap().starts_with(&served.url), "{made}");

    // Neither older versions, nor another protocol than HTTP/1.1.
    let shake = |version: &str| {
        let arguments =
            ["s_client", "-connect", &served.address, "-CAfile", "own.pem", "-alpn", "h2,http/1.1", version];
        String::from_utf8_lossy(&run(here, "openssl", &arguments).stdout).into_owned()
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let told = shake(version);
        assert!(
            told.contains("ALPN protocol: http/1.1") && told.contains("Verify return code: 0"),
            "{version}: {told}"
        );
    }
    let old = shake("-tls1_1");
    assert!(!old.contains("ALPN protocol"), "{old}");

    // A client that speaks no TLS gets no answer, and keeps nobody else from one.
    let mut plain = TcpStream::connect(&served.address).unwrap();
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // What comes is the alert, or a reset.
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert!(curl(&["--cacert", "own.pem"]).status.success());
}

#[test]
fn a_server_with_a_certificate_ends_its_streams_when_it_is_asked_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    if !make_certificate(here, "own") {
        return;
    }
    let served = start(here);
    let (url, key) = (format!("{}/stream?model=Deal", served.url), format!("Authorization: Bearer {}", served.key));
    let mut stream = Command::new("curl")
        .current_dir(here)
        .args(["-sSN", &url, "--cacert", "own.pem", "-H", &key])
        .args(["-H", "Connection-Id: demo", "-H", "Provider-Config-Key: demo-crm"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut read = stream.stdout.take().unwrap();
    let mut first = [0; 64];
    read.read_exact(&mut first).unwrap();
    served.signal("TERM");
    let mut rest = Vec::new();
    read.read_to_end(&mut rest).unwrap();
    assert!(stream.wait().unwrap().success(), "the stream has an end");
    assert_eq!(served.ended().code(), Some(0));
}

/// Of the certificate that a server answers with.
fn fingerprint(here: &Path, served: &Served) -> String {
    let script = format!(
        "openssl s_client -connect {} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint",
        served.address
    );
    String::from_utf8(run(here, "sh", &["-c", &script]).stdout).unwrap()
}

#[test]
fn a_renewed_certificate_is_taken_without_a_restart_and_one_that_cannot_be_used_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    if !(make_certificate(here, "own") && make_certificate(here, "next")) {
        return;
    }
    let arguments = [
        "serve",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--db",
        "app.db",
        "--demo",
        "--tls-cert",
        "own.pem",
        "--tls-key",
        "own.key",
    ];
    let mut command = support::highwater(here, &arguments);
    command.stderr(std::fs::File::create(here.join("told")).unwrap());
    let served = Served::run_told(command);
    let (told, first) = (|| std::fs::read_to_string(here.join("told")).unwrap(), fingerprint(here, &served));
    assert!(first.contains("Fingerprint"), "{first}");
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        for _ in 0..600 {
            if holds() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        panic!("{what}: {}", told());
    };
    // One file without the other is not used, and is told.
    std::fs::copy(here.join("next.pem"), here.join("own.pem")).unwrap();
    until("the key of another is told", &|| told().contains("not that of the first certificate"));
    assert_eq!(fingerprint(here, &served), first);
    // Nor does a file that is gone change anything.
    std::fs::remove_file(here.join("own.pem")).unwrap();
    until("a missing file is told", &|| told().contains("cannot be read"));
    assert_eq!(fingerprint(here, &served), first);
    for file in ["pem", "key"] {
        std::fs::rename(here.join(format!("next.{file}")), here.join(format!("own.{file}"))).unwrap();
    }
    until("the new certificate is used", &|| fingerprint(here, &served) != first);
    assert_eq!(told().matches("was renewed").count(), 1, "{}", told());
    assert_eq!(told().matches("is not used").count(), 2, "each once: {}", told());
}

#[test]
fn a_certificate_or_key_that_cannot_be_used_is_one_line_and_no_file_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    if !(make_certificate(here, "own") && make_certificate(here, "other")) {
        return;
    }
    std::fs::copy(here.join("own.key"), here.join("open.key")).unwrap();
    std::fs::set_permissions(here.join("open.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(here.join("empty"), "").unwrap();
    std::fs::set_permissions(here.join("empty"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(here.join("text"), "-----BEGIN CERTIFICATE-----\nno base64!\n").unwrap();
    for (certificate, key, expected) in [
        ("missing.pem", "own.key", "check --tls-cert"),
        ("own.pem", "missing.key", "check --tls-key"),
        ("own.pem", "other.key", "not that of the first certificate"),
        ("own.key", "own.key", "no certificate in PEM"),
        ("empty", "own.key", "no certificate in PEM"),
        ("text", "own.key", "certificate is not in PEM"),
        ("own.pem", "empty", "no private key in PEM"),
        ("own.pem", "open.key", "chmod 600"),
        (".", "own.key", "check --tls-cert"),
    ] {
        let arguments =
            ["serve", "--listen", "127.0.0.1:0", "--db", "app.db", "--tls-cert", certificate, "--tls-key", key];
        let line = failure(here, &arguments);
        assert!(line.contains(expected), "{certificate}, {key}: {line}");
        assert!(!here.join("app.db").exists(), "{certificate}, {key}");
    }
    let alone = support::run(here, &["serve", "--db", "app.db", "--tls-cert", "own.pem"]);
    assert_eq!(alone.status.code(), Some(2), "{alone:?}");
    // The line names the file, and nothing of what is in it.
    let key = std::fs::read_to_string(here.join("own.key")).unwrap();
    let told = failure(here, &["serve", "--db", "app.db", "--tls-cert", "other.pem", "--tls-key", "own.key"]);
    assert!(told.contains("own.key") && !told.contains(key.lines().nth(1).unwrap()), "{told}");
    assert!(!here.join("app.db").exists());
}
