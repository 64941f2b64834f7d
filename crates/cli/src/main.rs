//! The `highwater` command: sync an API into an embedded store, and follow it by cursor.
//!
//! Thin over the library: whatever it does, a host can do.
#![allow(clippy::disallowed_methods)] // a program may look at the clock

mod args;
mod commands;
mod demo;
mod output;
mod stores;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use highwater::engine::CancelToken;
use highwater::{Error, ErrorKind};

use args::{Arguments, Command};
use output::Output;

/// What the shell is told after Ctrl-C.
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
        dispatch(&arguments, &output, &cancel).await
    });
    // A request that hangs must not keep a stopped program.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    match outcome.and_then(|()| output.check()) {
        Ok(()) if cancel.is_cancelled() && !matches!(arguments.command, Command::Demo(_)) => {
            ExitCode::from(INTERRUPTED)
        }
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.fail(&error);
            if error.kind() == ErrorKind::ClockImplausible {
                output.note("If the clock is right, run `highwater maintain accept-clock` with the same --db: no cursor expires of it.");
            }
            if error.kind() == ErrorKind::Cancelled { ExitCode::from(INTERRUPTED) } else { ExitCode::FAILURE }
        }
    }
}

async fn dispatch(arguments: &Arguments, output: &Output, cancel: &CancelToken) -> highwater::Result<()> {
    match &arguments.command {
        Command::Templates(options) => commands::templates::run(options, output).await,
        Command::Sync(options) => commands::sync::run(options, output, cancel).await,
        Command::DryRun(options) => commands::try_out::dry_run(options, output, cancel).await,
        Command::Act(options) => commands::try_out::act(options, output).await,
        Command::Proxy(options) => commands::try_out::proxy(options, output).await,
        Command::Records(options) => commands::records::run(options, output).await,
        Command::Get(options) => commands::records::get(options, output).await,
        Command::Tail(options) => commands::tail::run(options, output, cancel).await,
        Command::Status(options) => commands::status::run(options, output).await,
        Command::Consumers(options) => commands::consumers::run(options, output).await,
        Command::Runs(options) => commands::runs::run(options, output).await,
        Command::Logs(options) => commands::runs::logs(options, output).await,
        Command::Webhooks(options) => commands::webhooks::run(options, output).await,
        Command::Enable(options) => commands::control::enable(options, output).await,
        Command::Disable(options) => commands::control::disable(options, output).await,
        Command::Disconnect(options) => commands::control::disconnect(options, output).await,
        Command::Pause(name) => commands::control::pause(name, output).await,
        Command::Resume(name) => commands::control::resume(name, output).await,
        Command::Trigger(options) => commands::control::trigger(options, output).await,
        Command::Doctor(options) => commands::doctor::run(options, output).await,
        Command::Recode(options) => commands::recode::run(options, output).await,
        Command::Maintain(options) => commands::maintain::run(options, output).await,
        Command::SqlView(options) => commands::sql_view::run(options, output).await,
        Command::Demo(options) => demo::run(options, output, cancel).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "highwater", &mut script);
            output.raw(&script);
            Ok(())
        }
    }
}
