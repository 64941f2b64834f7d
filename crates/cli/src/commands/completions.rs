//! `highwater completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use highwater::Result;

use crate::args::Arguments;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct CompletionsOptions {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(options: &CompletionsOptions, output: &Output) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "highwater", &mut script);
    output.raw(&script);
    Ok(())
}
