//! `cargo xtask test`: every test, with nextest where it is installed.

use crate::process::{self, cargo, succeeds};

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let further: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if succeeds(&mut cargo(&["nextest", "--version"])) {
        process::run(cargo(&["nextest", "run", "--workspace"]).args(&further))?;
        // nextest leaves the examples of the documentation out.
        process::run(&mut cargo(&["test", "--workspace", "--doc"]))
    } else {
        process::run(cargo(&["test", "--workspace"]).args(&further))
    }
}
