//! `cargo xtask test`: every test, with nextest where it is installed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::process::{self, cargo, succeeds};
use crate::suites::{self, FEATURES, Suite};

/// Arguments are those of `cargo nextest run` or `cargo test`; `--programs` builds the programs and examples instead, as the
/// tests have them.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let features = ["--features", FEATURES];
    if arguments.first().is_some_and(|argument| argument == "--programs") {
        return process::run(cargo(&["build", "--workspace", "--bins", "--examples"]).args(features));
    }
    if succeeds(&mut cargo(&["nextest", "--version"])) {
        process::run(cargo(&["nextest", "run", "--workspace"]).args(features).args(arguments))?;
    } else if arguments.is_empty() {
        run_suites(&suites::build()?)?;
    } else {
        return process::run(cargo(&["test", "--workspace"]).args(features).args(arguments));
    }
    process::run(cargo(&["test", "--workspace", "--doc"]).args(features))
}

/// Runs several suites at a time, and shows what those print that fail.
fn run_suites(suites: &[Suite]) -> Result<(), String> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let worker = || {
        while let Some(suite) = suites.get(next.fetch_add(1, Ordering::Relaxed)) {
            let began = Instant::now();
            let output = suite.command().output().map_err(|error| format!("{}: {error}", suite.name))?;
            let told = String::from_utf8_lossy(&output.stdout);
            let summary = told.lines().rev().find(|line| line.starts_with("test result: ")).unwrap_or("no result");
            println!("{:48} {summary}; {:.1} s in all", suite.name, began.elapsed().as_secs_f32());
            if !output.status.success() {
                println!("{told}{}\n{}: {}", String::from_utf8_lossy(&output.stderr), suite.name, output.status);
                failed.lock().unwrap_or_else(PoisonError::into_inner).push(&*suite.name);
            }
        }
        Ok(())
    };
    suites::in_parallel(worker).into_iter().collect::<Result<(), String>>()?;
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}
