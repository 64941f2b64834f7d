//! Whole workloads of the stores, beside the raw ceiling measured in the same run.
//!
//! Every measurement runs in a process of its own, so that processor time, peak memory and bytes
//! written are those of one store alone; this process starts them in turn and sets the figures
//! side by side.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod args;
mod latency;
mod measure;
mod raw;
mod records;
mod report;
mod workload;

use std::process::{Command, ExitCode, Stdio};

use clap::Parser;

use args::{Args, Subject};
use measure::Figures;

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.only {
        Some(subject) => measure_one(&args, subject),
        None => measure_all(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("highwater-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Tells how far the measurement is.
pub(crate) fn progress(what: &str) {
    eprintln!("  {what}");
}

fn measure_all(args: &Args) -> Outcome<()> {
    let mut reports = Vec::new();
    for subject in args.store.subjects() {
        let mut runs = Vec::new();
        for run in 1..=args.runs {
            progress(&format!("{} run {run} of {}", subject.name(), args.runs));
            let raw = in_own_process(args, Subject::Raw)?;
            runs.push((raw, in_own_process(args, *subject)?));
        }
        reports.push(report::Report::new(*subject, args.workload(), &runs));
    }
    if args.json {
        match reports.as_slice() {
            [report] => println!("{}", serde_json::to_string_pretty(&report.json())?),
            reports => {
                let all: Vec<_> = reports.iter().map(report::Report::json).collect();
                println!("{}", serde_json::to_string_pretty(&serde_json::json!({ "stores": all }))?);
            }
        }
    } else {
        for report in &reports {
            println!("{report}");
        }
    }
    Ok(())
}

fn in_own_process(args: &Args, subject: Subject) -> Outcome<Figures> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--only", subject.name(), "--ids", args.ids.name(), "--codec", args.codec.name()]);
    command.args(["--records", &args.records.to_string(), "--batch", &args.batch.to_string()]);
    if let Some(directory) = &args.directory {
        command.arg("--directory").arg(directory);
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("measuring {} failed: {}", subject.name(), output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn measure_one(args: &Args, subject: Subject) -> Outcome<()> {
    let directory = match &args.directory {
        Some(directory) => tempfile::tempdir_in(directory)?,
        None => tempfile::tempdir()?,
    };
    let figures = match subject {
        Subject::Raw => raw::run(args.records, args.batch, args.ids, directory.path())?,
        store => workload::run(store, &args.workload(), directory.path())?,
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
