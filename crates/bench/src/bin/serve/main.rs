//! What the HTTP interface costs, beside its ceilings: pages and polls, event streams, pages of the dashboard.
//!
//! `cargo run --release -p highwater-bench --bin serve -- [--records 100000] [--runs 3] [--followers 1000] [--only pages]`
//! The server runs in a process of its own, whose processor time and memory are read from outside; the client is this process.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod client;
mod dashboard;
mod followers;
mod pages;
mod process;
#[path = "../../records.rs"]
#[allow(dead_code)] // the stores' benchmark uses the rest
mod records;
mod roles;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use process::Child;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measure the server over loopback.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// Records of about 1 KB in the store.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1000..))]
    records: u64,
    /// Measurements; figures are their medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Event streams that follow one model.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=4000))]
    followers: u32,
    /// Changes that each of them gets.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    changes: u32,
    /// Measure one part alone.
    #[arg(long)]
    only: Option<Part>,
    /// What this process does: set by the process that measures.
    #[arg(long, hide = true)]
    role: Option<Role>,
    /// The store's file, or that with the bytes of an answer.
    #[arg(long, hide = true)]
    file: Option<PathBuf>,
    /// Where the drained bytes go.
    #[arg(long, hide = true, default_value = "")]
    address: String,
}

/// A part of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Pages,
    Followers,
    Dashboard,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Make the store.
    Load,
    /// Be the server.
    Server,
    /// Be a bare handler that answers with the bytes of a file.
    Bare,
    /// Drain the store in this process, and copy the bytes to a socket.
    Drain,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Load => "load",
            Role::Server => "server",
            Role::Bare => "bare",
            Role::Drain => "drain",
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.role {
        Some(role) => roles::run(role, &arguments),
        None => measure(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("serve: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let store = folder.path().join("app.db");
    eprintln!("  making {} records", arguments.records);
    Child::start(Role::Load, arguments, &store, "")?.wait()?;
    let wants = |part: Part| arguments.only.is_none_or(|only| only == part);
    let mut server = Started::new(arguments, &store)?;
    println!("{} records of about 1 KB, SQLite, the server in a process of its own", arguments.records);
    if wants(Part::Pages) {
        pages::measure(arguments, &server, &store, folder.path())?;
    }
    if wants(Part::Dashboard) {
        dashboard::measure(&server)?;
    }
    if wants(Part::Followers) {
        followers::measure(arguments, &mut server)?;
    }
    Ok(())
}

/// A running server.
pub(crate) struct Started {
    child: Child,
    address: String,
    key: String,
    /// A path that signs in to the dashboard, once.
    link: String,
}

impl Started {
    fn new(arguments: &Arguments, store: &Path) -> Outcome<Self> {
        let mut child = Child::start(Role::Server, arguments, store, "")?;
        let line = child.line()?;
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut word = || words.next().ok_or("the server did not say where it is");
        Ok(Started { address: word()?, key: word()?, link: word()?, child })
    }
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn verdict(met: bool) -> &'static str {
    if met { "ok" } else { "miss" }
}
