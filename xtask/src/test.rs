//! `cargo xtask test`: every test, with nextest where it is installed.

use crate::process::{self, cargo, succeeds};

/// Features that no workspace member enables, but that the documentation uses.
const FEATURES: &[&str] = &["--features", "highwater/encryption,highwater/zstd,highwater/keychain,highwater/browser"];

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let further: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if succeeds(&mut cargo(&["nextest", "--version"])) {
        process::run(cargo(&["nextest", "run", "--workspace"]).args(FEATURES).args(&further))?;
        // nextest leaves the examples of the documentation out.
        process::run(cargo(&["test", "--workspace", "--doc"]).args(FEATURES))
    } else {
        process::run(cargo(&["test", "--workspace"]).args(FEATURES).args(&further))
    }
}
