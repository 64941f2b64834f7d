//! The vault's key in a real keychain: a Secret Service on a D-Bus session of this test's own. `cargo xtask acceptance keychain`
//! runs it; skipped, and said so, where `dbus-run-session` or `gnome-keyring-daemon` is missing.
#![cfg(all(feature = "keychain", target_os = "linux"))]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::path::Path;
use std::process::Command;

use support::{GitHub, Mood, failure, highwater, one_line, text};

const IN_SESSION: &str = "HIGHWATER_KEYCHAIN_SESSION";
const FILE: &str = "acme.yaml";

fn connect(here: &Path) -> std::process::Output {
    let arguments = [
        "connect",
        "acme",
        "--provider-file",
        FILE,
        "--token-env",
        "THE_TOKEN",
        "--vault-key",
        "keychain",
        "--db",
        "app.db",
    ];
    highwater(here, &arguments).env("THE_TOKEN", "good").output().unwrap()
}

fn folder(server: &GitHub) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let about = format!("name: acme\nbase_url: {}\nauth:\n  - kind: bearer\n", server.url);
    std::fs::write(folder.path().join(FILE), about).unwrap();
    folder
}

#[test]
fn a_keychain_that_does_not_answer_is_told_before_anybody_signs_in() {
    let server = GitHub::start(1, Mood::Well);
    let folder = folder(&server);
    let arguments = ["connect", "acme", "--provider-file", FILE, "--token-env", "THE_TOKEN", "--vault-key", "keychain"];
    let mut command = highwater(folder.path(), &arguments);
    command.env("THE_TOKEN", "good").env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
    let line = one_line(command.output().unwrap(), 1);
    assert!(line.contains("no keychain answers") && line.contains("--vault-key file:PATH"), "{line}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the provider's file alone");
    assert_eq!(server.requests(), 0);
}

#[test]
fn the_key_lies_in_a_secret_service() {
    if std::env::var_os(IN_SESSION).is_some() {
        return in_session();
    }
    for program in ["dbus-run-session", "gnome-keyring-daemon"] {
        if Command::new(program).arg("--version").output().is_err() {
            println!("skipped: there is no {program} on this machine");
            return;
        }
    }
    let home = tempfile::tempdir().unwrap();
    let test = std::env::current_exe().unwrap();
    let script = "printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null && exec \"$0\" --exact the_key_lies_in_a_secret_service --nocapture";
    let mut session = Command::new("dbus-run-session");
    session.args(["--", "sh", "-c", script]).arg(test).env(IN_SESSION, "1");
    session.env("HOME", home.path()).env("XDG_DATA_HOME", home.path()).env("XDG_RUNTIME_DIR", home.path());
    let output = session.output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

fn in_session() {
    let server = GitHub::start(1, Mood::Well);
    let folder = folder(&server);
    let here = folder.path();
    let output = connect(here);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!here.join("app.db.key").exists());
    let ask = ["proxy", "acme", "GET", "/repos/o/r/issues", "--connection", "acme", "--provider-file", FILE, "--db"];
    let keychain = ["--vault-key", "keychain"];
    assert!(text(here, &[&ask[..], &["app.db"], &keychain].concat()).contains("Issue 0"));
    // The entry is the same from every folder.
    let below = here.join("below");
    std::fs::create_dir(&below).unwrap();
    let from_below: Vec<&str> = ask.iter().map(|&word| if word == FILE { "../acme.yaml" } else { word }).collect();
    assert!(text(&below, &[&from_below[..], &["../app.db"], &keychain].concat()).contains("Issue 0"));

    // The key is not where it is looked for.
    let line = failure(here, &[&ask[..], &["app.db"]].concat());
    assert!(line.contains("app.db.key") && line.contains("--vault-key"), "{line}");
    std::fs::rename(here.join("app.db"), here.join("moved.db")).unwrap();
    let line = failure(here, &[&ask[..], &["moved.db"], &keychain].concat());
    assert!(line.contains("moved.db of highwater") && line.contains("--vault-key"), "{line}");
    let entry = format!("keychain:{}", here.canonicalize().unwrap().join("app.db").display());
    assert!(text(here, &[&ask[..], &["moved.db", "--vault-key", &entry]].concat()).contains("Issue 0"));
}
