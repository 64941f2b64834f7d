//! End to end: a local HTTP server, a template, the engine, SQLite; and the ceiling beside it.
//!
//! `cargo run --release -p highwater-bench --bin end-to-end -- [--records 100000] [--page 1000] [--runs 3] [--json]`
//! The server runs in a process of its own, and so does each measurement: processor time and memory are those of the
//! syncing process alone, without the server and without making the records.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "../../latency.rs"]
mod latency;
#[path = "../../measure.rs"]
#[allow(dead_code)] // the stores' benchmark uses the rest
mod measure;
#[path = "../../raw.rs"]
mod raw;
#[path = "../../records.rs"]
#[allow(dead_code)]
mod records;
mod report;
mod server;
mod sync;

use std::process::{Command, ExitCode, Stdio};

use clap::{Parser, ValueEnum};
use measure::Figures;
use records::Ids;
use server::Server;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Sync records from a local HTTP server into SQLite, and say what it took.
#[derive(Debug, Parser)]
struct Arguments {
    /// Records of about 1 KB that the server has.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..))]
    records: u64,
    /// Records in a page.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    page: u64,
    /// Measurements, each with its ceilings; figures are their medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// What this process does: set by the process that gathers the figures.
    #[arg(long, hide = true)]
    only: Option<Subject>,
    /// The server's address, for the client.
    #[arg(long, hide = true, default_value = "")]
    url: String,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// Be the server.
    Serve,
    /// The ceiling of reading: the same pages by the same client, thrown away.
    Pages,
    /// The ceiling of writing: the same bytes in a bare SQLite table.
    Raw,
    /// The whole way.
    Sync,
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Subject::Serve => "serve",
            Subject::Pages => "pages",
            Subject::Raw => "raw",
            Subject::Sync => "sync",
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.only {
        None => measure_all(&arguments),
        Some(Subject::Serve) => server::serve(&arguments),
        Some(subject) => measure_one(&arguments, subject),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("end-to-end: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Tells how far the measurement is.
fn progress(what: &str) {
    eprintln!("  {what}");
}

fn measure_all(arguments: &Arguments) -> Outcome<()> {
    let server = Server::start(arguments)?;
    let mut runs = Vec::new();
    for run in 1..=arguments.runs {
        progress(&format!("run {run} of {}", arguments.runs));
        let mut figures = Figures::new();
        for subject in [Subject::Pages, Subject::Raw, Subject::Sync] {
            figures.extend(in_own_process(arguments, subject, server.url())?);
        }
        runs.push(figures);
    }
    report::print(arguments, &runs);
    Ok(())
}

fn in_own_process(arguments: &Arguments, subject: Subject, url: &str) -> Outcome<Figures> {
    let mut command = own_command(arguments, subject)?;
    let output = command.args(["--url", url]).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("measuring {} failed: {}", subject.name(), output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// This program once more, as a process that does one thing.
fn own_command(arguments: &Arguments, subject: Subject) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--only", subject.name()]);
    command.args(["--records", &arguments.records.to_string(), "--page", &arguments.page.to_string()]);
    Ok(command)
}

fn measure_one(arguments: &Arguments, subject: Subject) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let mut figures = match subject {
        Subject::Raw => raw::run(arguments.records, arguments.page, Ids::Time, folder.path())?,
        Subject::Pages => runtime()?.block_on(sync::pages(arguments))?,
        _ => runtime()?.block_on(sync::run(arguments, folder.path()))?,
    };
    if subject == Subject::Raw {
        // Under a name of its own among the figures of the others.
        figures = figures.into_iter().map(|(name, figure)| (format!("raw_{name}"), figure)).collect();
    }
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

fn runtime() -> Outcome<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
