//! The `highwater` command: sync an API into an embedded store, and follow it by cursor.
//!
//! Thin over the library: a host can do everything it does.
#![allow(clippy::disallowed_methods)] // a program may read the clock

mod args;
mod catalogue;
mod commands;
mod output;
mod stores;
mod vaults;

use std::process::ExitCode;

use clap::Parser;
use highwater::engine::CancelToken;
use highwater::{Error, ErrorKind};

use args::Arguments;
use output::Output;

/// The exit code after Ctrl-C.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::new(arguments.json);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.fail(&Error::new(ErrorKind::Internal, "the runtime could not be started").because(error));
            return ExitCode::FAILURE;
        }
    };
    let cancel = CancelToken::new();
    let outcome = runtime.block_on(async {
        let watched = cancel.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                watched.cancel();
            }
        });
        arguments.command.run(&output, &cancel).await
    });
    // A hanging request must not keep a stopped program alive.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    match outcome.and_then(|()| output.check()) {
        Ok(()) if cancel.is_cancelled() && !arguments.command.ends_by_interruption() => ExitCode::from(INTERRUPTED),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.fail(&error);
            if error.kind() == ErrorKind::ClockImplausible {
                output.note("If the clock is right, run `highwater maintain accept-clock` with the same --db. It expires no cursors.");
            }
            if error.kind() == ErrorKind::Cancelled { ExitCode::from(INTERRUPTED) } else { ExitCode::FAILURE }
        }
    }
}
