//! schemathesis against a running `highwater serve --demo`: it reads `/openapi.json`, sends what fits the document and what does not,
//! and compares every answer with it.
//!
//! `HIGHWATER_TEST_SCHEMATHESIS` says for how many seconds; without it nothing runs. It needs PyPI.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]
#![cfg(unix)]

#[path = "../../server/tests/api/python.rs"]
mod python;
mod support;

use std::process::Command;

use support::served::Served;

const PACKAGE: &str = "schemathesis==4.32.5";

/// What the document cannot say. Each has its reason, and everything else is checked.
///
/// * Names of things that there are not: the peer's clients get 400 for a connection that is unknown, and names of models, cursors
///   and ids depend on what is stored, so that a request that fits the schema may be refused.
/// * Bodies of `/proxy` are those of the provider; it is checked for failures of the server alone.
const SETTINGS: &str = r#"
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "410", "424", "429", "501", "502"]

[[operations]]
include-path-regex = "^/proxy"
enabled = false
"#;

#[test]
fn no_answer_is_a_failure_or_other_than_the_document_says() {
    let Ok(seconds) = std::env::var("HIGHWATER_TEST_SCHEMATHESIS") else {
        println!("skipped: HIGHWATER_TEST_SCHEMATHESIS is not set");
        return;
    };
    let Some(python) = python::with(PACKAGE) else { return };
    let folder = tempfile::tempdir().unwrap();
    let served = Served::demo(folder.path());
    let (url, key) = (&served.url, &served.key);
    let settings = folder.path().join("schemathesis.toml");
    std::fs::write(&settings, SETTINGS).unwrap();
    let seed = std::env::var("HIGHWATER_TEST_SEED").unwrap_or_else(|_| std::process::id().to_string());
    println!("seed {seed}");
    let status = Command::new(python.join("schemathesis"))
        .current_dir(folder.path())
        .arg("--config-file")
        .arg(&settings)
        .args([
            "run",
            &format!("{url}/openapi.json"),
            "--url",
            url,
            "--header",
            &format!("Authorization: Bearer {key}"),
        ])
        .args(["--checks", "all", "--continue-on-failure", "--max-time", &seconds, "--seed", &seed])
        // An event stream has no end, and a request may wait on purpose.
        .args(["--exclude-path", "/stream", "--exclude-path", "/runs/events", "--request-timeout", "60"])
        .args(["--suppress-health-check", "all", "--no-color"])
        .status()
        .unwrap();
    assert!(status.success(), "schemathesis found something: see above");
}
