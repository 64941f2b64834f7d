//! Chores of the project: `cargo xtask COMMAND`.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)] // a program for people

mod acceptance;
mod catalogue;
mod embed_check;
mod fuzz;
mod msrv;
mod mutants;
mod process;
mod public_api;
mod size;
mod suites;
mod targets;
mod test;

use std::process::ExitCode;

/// The commands: name, what it does, how.
const COMMANDS: &[(&str, &str, Command)] = &[
    ("acceptance", "the proofs that take longer than CI may (or names)", acceptance::run),
    ("catalogue", "write docs/catalogue.md from the templates", catalogue::run),
    ("embed-check", "whether SQLite libraries of hosts resolve beside ours", embed_check::run),
    ("fuzz", "run the fuzz targets (--seconds 60, --build, or names)", fuzz::run),
    ("mutants", "break each rule of the log in turn: the suite must notice (--list, or names)", mutants::run),
    ("msrv", "whether every dependency builds with our rust-version, as far as it says", msrv::run),
    ("public-api", "count the public items of each crate (--json, --root FOLDER, or crates)", public_api::run),
    (
        "size",
        "crates, bytes and build time of what a host links (--json, --crates, --quick, --cold, or names)",
        size::run,
    ),
    ("targets", "whether the command compiles for Windows and macOS", targets::run),
    ("test", "run every test: unit, integration, documentation", test::run),
];

type Command = fn(&[String]) -> Result<(), String>;

fn main() -> ExitCode {
    if let Some(status) = public_api::as_rustdoc() {
        return status;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((_, _, command)) = COMMANDS.iter().find(|(name, ..)| arguments.first().is_some_and(|first| first == name))
    else {
        eprintln!("usage: cargo xtask COMMAND");
        for (name, help, _) in COMMANDS {
            eprintln!("  {name:12} {help}");
        }
        return ExitCode::from(2);
    };
    match command(&arguments[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
